//! The tenant itself.

pub mod graphql;
pub mod loaders;
mod queries;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use crate::{
    db::{DbError, ScopedTx},
    ids::{PlanId, TenantId},
    money::Currency,
};

/// A tenant, as its own store knows it.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Everywhere.
    pub id: TenantId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// How its data is kept apart.
    pub isolation: Isolation,
    /// The zone of its calendar.
    pub time_zone: TimeZone,
    /// The currency of its prices.
    pub currency: Currency,
    /// What it has subscribed to.
    pub plan: PlanId,
    /// The plan's limits.
    pub limits: Limits,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStatus {
    /// Yes.
    Active,
    /// Nobody of it may do anything.
    Suspended,
    /// Its data is being moved: reads go on, writes wait.
    Moving,
    /// Gone.
    Deleted,
}

/// How a tenant's data is kept apart from the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In tables that tenants share, by row-level security.
    Shared,
    /// In a schema of its own.
    Schema,
    /// In a database of its own.
    Database,
}

/// What a plan allows at most of each meter.
#[derive(Clone, Debug)]
pub struct Limits(Value);

impl Limits {
    /// The most of this meter; `None` where there is no limit.
    pub fn of(&self, meter: &str) -> Option<i64> {
        self.0.get(meter)?.as_i64()
    }
}

/// A tenant to be made.
pub struct NewTenant {
    /// Its id.
    pub id: TenantId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The zone of its calendar, an IANA name.
    pub time_zone: String,
    /// The currency of its prices.
    pub currency: Currency,
    /// What it subscribes to.
    pub plan: PlanId,
    /// That plan's limits.
    pub limits: Value,
}

/// The tenant of the transaction's scope.
///
/// # Errors
/// When the statement fails.
pub async fn current(tx: &ScopedTx) -> Result<Tenant, DbError> {
    queries::current(tx).await
}

/// Directory: registers a tenant and returns its id. One whose slug is taken stays as it is, and its id is returned.
///
/// # Errors
/// When a statement fails.
pub async fn register(directory: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<TenantId, DbError> {
    queries::register(directory, new, now).await
}

/// Store: makes the tenant's row, without which nobody can enter. One that is there stays as it is.
///
/// # Errors
/// When the statement fails.
pub async fn found(tx: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<(), DbError> {
    queries::found(tx, new, now).await
}

/// Directory: adds an operator of the deployment, unless the e-mail is one's already.
///
/// # Errors
/// When the statement fails.
pub async fn add_platform_administrator(
    directory: &ScopedTx,
    email: &str,
    name: &str,
    password_hash: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    queries::insert_platform_administrator(directory, email, name, password_hash, now).await
}

/// Directory: whether the e-mail is an operator's. For the sign-in path's scope only.
///
/// # Errors
/// When the statement fails.
pub async fn is_platform_administrator(directory: &ScopedTx, email: &str) -> Result<bool, DbError> {
    queries::is_platform_administrator(directory, email).await
}
