//! The operator's side: every tenant of the deployment, seen and kept by platform administrators.
//!
//! What a tenant is stands in its own store; the directory has a copy for lists. So the directory first notes that a copy
//! will be wanted, then the change is made in the store, with an event in the tenant's own audit log, and copied right
//! after. Should that be interrupted, background work finds the note and copies.

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
