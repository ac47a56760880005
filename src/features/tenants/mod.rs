//! The tenant itself.

pub mod graphql;
pub mod loaders;
mod queries;
pub mod settings;
mod slugs;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

pub use crate::db::Isolation;
pub use settings::{BookingRules, Branding, Locale, SettingsError, SettingsPatch};
pub use slugs::checked_slug;

use crate::{
    db::{DbError, Placement, Restriction, ScopedTx},
    ids::{PlanId, PlanVersionId, TenantId},
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
    /// The version of the plan, whose limits and features these are.
    pub plan_version: PlanVersionId,
    /// What the plan switches on, as `entitlements` reads it.
    pub plan_features: Vec<Value>,
    /// Keys of the features that are rolled out to it.
    pub rollouts: Vec<String>,
    /// Why its people may read and not write.
    pub restriction: Option<Restriction>,
    /// The language of its mail.
    pub locale: Locale,
    /// How it looks.
    pub branding: Branding,
    /// Whether customers may register themselves.
    pub open_registration: bool,
    /// What binds its customers.
    pub booking_rules: BookingRules,
    /// Why it is suspended, if it is.
    pub suspended_reason: Option<String>,
    /// When it is erased for good, if it was deleted.
    pub erase_after: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of this was changed last.
    pub updated_at: Timestamp,
}

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStatus {
    /// Not yet: its first administrator is missing.
    Creating,
    /// Yes.
    Active,
    /// Nobody of it may do anything.
    Suspended,
    /// Its data is being moved: reads go on, writes wait.
    Moving,
    /// Gone.
    Deleted,
}

impl TenantStatus {
    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Moving => "MOVING",
            Self::Deleted => "DELETED",
        }
    }
}

impl std::str::FromStr for TenantStatus {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        [Self::Creating, Self::Active, Self::Suspended, Self::Moving, Self::Deleted]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is no tenant state")))
    }
}

/// What a plan allows at most of each meter.
#[derive(Clone, Debug)]
pub struct Limits(Value);

impl Limits {
    /// The most of this meter; `None` where there is no limit.
    pub fn of(&self, meter: &str) -> Option<i64> {
        self.0.get(meter)?.as_i64()
    }

    /// The meters that have one.
    pub fn meters(&self) -> impl Iterator<Item = &String> {
        self.0.as_object().into_iter().flat_map(|it| it.keys())
    }
}

/// A tenant to be made.
pub struct NewTenant {
    /// Its id.
    pub id: TenantId,
    /// Where its store is.
    pub placement: Placement,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The zone of its calendar, an IANA name.
    pub time_zone: String,
    /// The currency of its prices.
    pub currency: Currency,
    /// What it subscribes to.
    pub offer: Offer,
}

/// A plan in the version that is on offer, as a tenant's store copies it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// In the directory.
    pub plan: PlanId,
    /// Its name for programs.
    pub key: String,
    /// Which version.
    pub version: PlanVersionId,
    /// What the version says: `billing` reads it.
    pub terms: Value,
}

impl Offer {
    /// Most of each meter.
    pub fn limits(&self) -> &Value {
        &self.terms["limits"]
    }

    /// What it switches on.
    pub fn features(&self) -> &Value {
        &self.terms["features"]
    }
}

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

/// Directory: the plan of this key, if it is on offer.
///
/// # Errors
/// When the statement fails.
pub async fn offer(directory: &ScopedTx, key: &str) -> Result<Option<Offer>, DbError> {
    Ok(offers(directory).await?.into_iter().find(|it| it.key == key))
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
    queries::found(tx, new, TenantStatus::Active, now).await.map(drop)
}

/// Store: makes the tenant's row, still without an administrator; `false` when there is one already.
///
/// # Errors
/// When the statement fails.
pub async fn begin(tx: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<bool, DbError> {
    queries::found(tx, new, TenantStatus::Creating, now).await
}

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
