//! The services that a tenant offers for booking.

mod catalogue;
mod model;
mod queries;

pub use catalogue::{
    MAX_AHEAD_DAYS, MAX_BUFFER_MINUTES, MAX_CAPACITY, MAX_DESCRIPTION, MAX_DURATION_MINUTES, MAX_LINKS,
    MAX_NOTICE_MINUTES, create, delete, list, set_resources, update,
};
pub(crate) use model::service_columns;
pub use model::{
    Deleted, Draft, EffectiveRules, Link, Patch, Rules, RulesPatch, Service, ServiceError, ServiceFilter, ServiceKey,
};
pub use queries::{by_ids, count_active, links};
