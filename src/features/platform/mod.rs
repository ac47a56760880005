//! The operator's side: platform administrators see and manage every tenant of the deployment.
//!
//! A tenant's own store is authoritative; the directory has a copy for lists. For a change, the directory first records
//! that a copy will be needed. Then the change is made in the store, with an entry in the tenant's own audit log, and
//! copied immediately. If that is interrupted, background work finds the record and copies.

mod model;
pub mod moving;
mod operator;
mod queries;
pub mod selling;
mod tenants;
mod upkeep;

pub use model::{
    Event, EventKey, Leftover, Listed, Move, MoveKey, MoveState, PlatformError, Statistics, TenantFilter, TenantKey,
    TenantOrder,
};
pub use operator::Operator;
pub use queries::plan_keys;
pub use tenants::RESTORE_LIFE;
pub use upkeep::{by_slug, copy_wanted, erase_expired, served_tenants, sync};
