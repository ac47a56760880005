//! The register of tenants.

use jiff::Timestamp;

use super::{
    model::{NewTenant, Offer, Tenant, TenantStatus},
    queries,
};
<<<<<<< ours
use crate::db::{DbError, Restriction, ScopedTx};
||||||| base
use crate::{
    base::ids::TenantId,
    db::{DbError, Restriction, ScopedTx},
};

/// Lets nobody else change the tenant's calendar, or what can be booked in it, until the transaction ends: the first lock of
/// whatever makes, moves or ends bookings, and of whatever changes services, resources and hours. So nobody decides by what
/// is changed meanwhile, and documents wait for each other in turn and never in a ring.
///
/// # Errors
/// When the statement fails.
pub async fn lock_calendar(tx: &ScopedTx) -> Result<(), DbError> {
    queries::lock_calendar(tx).await
}

/// The tenant of the transaction's scope.
///
/// # Errors
/// When the statement fails.
pub async fn current(tx: &ScopedTx) -> Result<Tenant, DbError> {
    queries::current(tx).await
}

/// Directory: how much the scope's tenant may ask of the API in a minute, by its plan; `None` where the plan says nothing.
///
/// # Errors
/// When the statement fails.
pub async fn api_cost(directory: &ScopedTx) -> Result<Option<i64>, DbError> {
    queries::api_cost(directory).await
}

/// Directory: every plan on offer, in the order of the price list.
///
/// # Errors
/// When the statement fails.
pub async fn offers(directory: &ScopedTx) -> Result<Vec<Offer>, DbError> {
    queries::offers(directory).await
}
=======
use crate::{
    base::ids::TenantId,
    db::{DbError, Restriction, ScopedTx},
};

/// Locks the tenant's calendar, and what can be booked in it, until the transaction ends. Every operation that creates,
/// moves or ends bookings takes this lock first, and so does every change of services, resources and hours. No
/// transaction therefore decides on data that changes concurrently, and transactions wait in line and never deadlock.
pub async fn lock_calendar(tx: &ScopedTx) -> Result<(), DbError> {
    queries::lock_calendar(tx).await
}

/// The tenant of the transaction's scope.
pub async fn current(tx: &ScopedTx) -> Result<Tenant, DbError> {
    queries::current(tx).await
}

/// Directory: the API cost per minute that the plan of the scope's tenant allows; `None` when the plan sets no limit.
pub async fn api_cost(directory: &ScopedTx) -> Result<Option<i64>, DbError> {
    queries::api_cost(directory).await
}

/// Directory: every plan on offer, in the order of the price list.
pub async fn offers(directory: &ScopedTx) -> Result<Vec<Offer>, DbError> {
    queries::offers(directory).await
}
>>>>>>> theirs

/// Directory: the plan with this key, if it is on offer.
pub async fn offer(directory: &ScopedTx, key: &str) -> Result<Option<Offer>, DbError> {
<<<<<<< ours
    Ok(queries::offers(directory).await?.into_iter().find(|it| it.key == key))
||||||| base
    Ok(offers(directory).await?.into_iter().find(|it| it.key == key))
}

/// Directory: registers a tenant and returns its id. One whose slug is taken stays as it is, and its id is returned.
///
/// # Errors
/// When a statement fails.
pub async fn register(directory: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<TenantId, DbError> {
    queries::register(directory, new, now).await
=======
    Ok(offers(directory).await?.into_iter().find(|it| it.key == key))
}

/// Directory: registers a tenant and returns its id. If the slug is taken, the existing tenant stays unchanged and its
/// id is returned.
pub async fn register(directory: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<TenantId, DbError> {
    queries::register(directory, new, now).await
>>>>>>> theirs
}

/// Store: creates the tenant's row, without which nobody can enter. An existing row stays unchanged.
pub async fn found(tx: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<(), DbError> {
    queries::found(tx, new, TenantStatus::Active, now).await.map(drop)
}

/// Store: creates the tenant's row, still without an administrator; `false` when it exists.
pub async fn begin(tx: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<bool, DbError> {
    queries::found(tx, new, TenantStatus::Creating, now).await
}

<<<<<<< ours
/// Store: what the platform says of the tenant's state from now on.
///
/// # Errors
/// When the statement fails.
||||||| base
/// Store: the tenant has its first administrator, or an invitation for him; `false` when it is not one that was begun.
///
/// # Errors
/// When the statement fails.
pub async fn complete(tx: &ScopedTx, now: Timestamp) -> Result<bool, DbError> {
    queries::complete(tx, now).await
}

/// Store: what the platform says of the tenant's state from now on.
///
/// # Errors
/// When the statement fails.
=======
/// Store: marks the tenant as complete, once it has its first administrator or an invitation for one; `false` when the
/// tenant is not in creation.
pub async fn complete(tx: &ScopedTx, now: Timestamp) -> Result<bool, DbError> {
    queries::complete(tx, now).await
}

/// Store: sets the tenant's state as decided by the platform.
>>>>>>> theirs
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
<<<<<<< ours
||||||| base

/// Store: the tenant of the scope, if the store holds it.
///
/// # Errors
/// When the statement fails.
pub async fn find(tx: &ScopedTx) -> Result<Option<Tenant>, DbError> {
    queries::find(tx).await
}

/// Store: erases everything of a tenant whose time to be restored is over; `false` when it is not, or none is there.
///
/// # Errors
/// When the statement fails.
pub async fn erase(tx: &ScopedTx) -> Result<bool, DbError> {
    queries::erase(tx).await
}
=======

/// Store: the tenant of the scope, if the store holds it.
pub async fn find(tx: &ScopedTx) -> Result<Option<Tenant>, DbError> {
    queries::find(tx).await
}

/// Store: erases all data of a deleted tenant whose restore period is over; `false` when it is not over, or there is no
/// such tenant.
pub async fn erase(tx: &ScopedTx) -> Result<bool, DbError> {
    queries::erase(tx).await
}
>>>>>>> theirs
