//! The tenant itself: its state, plan and settings.

mod model;
mod queries;
mod registry;
pub mod settings;
mod slugs;

pub use crate::db::Isolation;
pub use model::{BookingRules, Branding, Limits, Locale, MAX_AHEAD_DAYS, NewTenant, Offer, Tenant, TenantStatus};
pub use registry::{
    api_cost, begin, complete, current, erase, find, found, lock, lock_calendar, offer, offers, register, restrict,
    set_plan, set_state,
};
pub use settings::{SettingsError, SettingsPatch};
pub use slugs::checked_slug;
