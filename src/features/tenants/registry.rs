//! The register of tenants.

use jiff::Timestamp;

use super::{
    model::{NewTenant, Offer, Tenant, TenantStatus},
    queries,
};
use crate::db::{DbError, Restriction, ScopedTx};

/// Directory: the plan of this key, if it is on offer.
///
/// # Errors
/// When the statement fails.
pub async fn offer(directory: &ScopedTx, key: &str) -> Result<Option<Offer>, DbError> {
    Ok(queries::offers(directory).await?.into_iter().find(|it| it.key == key))
}

/// Store: makes the tenant's row, without which nobody can enter. One that is there stays as it is.
///
/// # Errors
/// When the statement fails.
pub async fn found(tx: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<(), DbError> {
    queries::found(tx, new, TenantStatus::Active, now).await.map(drop)
}

/// Store: makes the tenant's row, still without an administrator; `false` when there is one already.
///
/// # Errors
/// When the statement fails.
pub async fn begin(tx: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<bool, DbError> {
    queries::found(tx, new, TenantStatus::Creating, now).await
}

/// Store: what the platform says of the tenant's state from now on.
///
/// # Errors
/// When the statement fails.
pub async fn set_state(tx: &ScopedTx, tenant: &Tenant, now: Timestamp) -> Result<(), DbError> {
    queries::update_state(tx, tenant, now).await
}

/// Store: another plan, with its limits and features.
///
/// # Errors
/// When the statement fails.
pub async fn set_plan(tx: &ScopedTx, offer: &Offer, now: Timestamp) -> Result<(), DbError> {
    queries::update_plan(tx, offer, now).await
}

/// Store: why the tenant's people may read and not write from now on; `None` lets them.
///
/// # Errors
/// When the statement fails.
pub async fn restrict(tx: &ScopedTx, restriction: Option<Restriction>) -> Result<(), DbError> {
    queries::set_restriction(tx, restriction).await
}

/// Store: lets nobody else change the tenant until the transaction ends.
///
/// # Errors
/// When the statement fails.
pub async fn lock(tx: &ScopedTx) -> Result<(), DbError> {
    queries::lock_settings(tx).await
}
