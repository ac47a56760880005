//! The tenant itself: its state, plan and settings.

mod model;
mod queries;
mod registry;
pub mod settings;
mod slugs;

pub use crate::db::Isolation;
pub use model::{
    BookingRules, Branding, Contact, Limits, Locale, MAX_AHEAD_DAYS, NewTenant, Offer, Tenant, TenantStatus,
};
pub use queries::{api_cost, complete, current, erase, find, lock_calendar, offers, register};
pub use registry::{begin, found, lock, offer, restrict, set_plan, set_state};
pub use settings::{SettingsError, SettingsPatch};
pub use slugs::checked_slug;
