//! The register of tenants.

use jiff::Timestamp;

use super::{
    model::{NewTenant, Offer, Tenant, TenantStatus},
    queries,
};
use crate::db::{DbError, Restriction, ScopedTx};

/// Directory: the plan with this key, if it is on offer.
pub async fn offer(directory: &ScopedTx, key: &str) -> Result<Option<Offer>, DbError> {
    Ok(queries::offers(directory).await?.into_iter().find(|it| it.key == key))
}

/// Store: creates the tenant's row, without which nobody can enter. An existing row stays unchanged.
pub async fn found(tx: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<(), DbError> {
    queries::found(tx, new, TenantStatus::Active, now).await.map(drop)
}

/// Store: creates the tenant's row, still without an administrator; `false` when it exists.
pub async fn begin(tx: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<bool, DbError> {
    queries::found(tx, new, TenantStatus::Creating, now).await
}

/// Store: sets the tenant's state as decided by the platform.
pub async fn set_state(tx: &ScopedTx, tenant: &Tenant, now: Timestamp) -> Result<(), DbError> {
    queries::update_state(tx, tenant, now).await
}

/// Store: sets another plan, with its limits and features.
pub async fn set_plan(tx: &ScopedTx, offer: &Offer, now: Timestamp) -> Result<(), DbError> {
    queries::update_plan(tx, offer, now).await
}

/// Store: makes the tenant read-only for this reason; `None` allows writes again.
pub async fn restrict(tx: &ScopedTx, restriction: Option<Restriction>) -> Result<(), DbError> {
    queries::set_restriction(tx, restriction).await
}

/// Store: prevents concurrent changes to the tenant until the transaction ends.
pub async fn lock(tx: &ScopedTx) -> Result<(), DbError> {
    queries::lock_settings(tx).await
}
