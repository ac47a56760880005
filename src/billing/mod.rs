//! What a tenant has subscribed to and how much of it is used.

pub mod graphql;
mod queries;

use crate::{
    auth::{Caller, Role},
    db::{DbError, ScopedTx},
    ids::PlanId,
    money::Money,
    services, tenants,
    usage::{self, Meter, Period},
    users,
};

/// Something that tenants can subscribe to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the directory.
    pub id: PlanId,
    /// Its name for programs.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// Of one month.
    pub price: Money,
    /// Most of each meter, by its name. A meter that is not named has no limit.
    pub limits: Vec<(String, i64)>,
    /// Keys of the features that it switches on.
    pub features: Vec<String>,
}

/// How much of a meter was used in a period.
#[derive(Clone, Debug)]
pub struct UsageLine {
    /// `bookings`, `services` or `users`.
    pub meter: &'static str,
    /// So much.
    pub used: i64,
    /// Of at most so much.
    pub limit: Option<i64>,
    /// Counted over this; what can be counted at any time is counted now.
    pub period: Period,
}

/// The caller's plan and usage; see [`overview`].
#[derive(Clone, Debug)]
pub struct Overview {
    /// What the tenant has subscribed to.
    pub plan: PlanId,
    /// Every meter.
    pub usage: Vec<UsageLine>,
}

/// Why billing could not be shown.
#[derive(Debug)]
pub enum BillingError {
    /// Only administrators see it.
    Forbidden,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for BillingError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Directory: the plans on offer, in the order of the price list.
///
/// # Errors
/// When the statement fails.
pub async fn plans(directory: &ScopedTx) -> Result<Vec<Plan>, DbError> {
    queries::plans(directory).await
}

/// The tenant's plan and its usage in the present month. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn overview(caller: &Caller<'_>) -> Result<Overview, BillingError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(BillingError::Forbidden);
    }
    let tenant = tenants::current(caller.tx).await?;
    let period = Period::month_of(caller.clock.now(), &tenant.time_zone);
    let (bookings, services, users) = futures_util::join!(
        usage::used(caller.tx, Meter::Bookings, period),
        services::count_active(caller.tx),
        users::count_active(caller.tx)
    );
    let line = |meter, used| UsageLine { meter, used, limit: tenant.limits.of(meter), period };
    let usage = vec![line(Meter::Bookings.as_str(), bookings?), line("services", services?), line("users", users?)];
    Ok(Overview { plan: tenant.plan, usage })
}
