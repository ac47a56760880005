//! Rate limits of the API: a cost budget for each user, each tenant and, for anonymous requests, each address.
//!
//! Budgets are kept in this process, by GCRA (the crate governor). A document is charged its cost before it runs. A
//! tenant's budget comes from its plan.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    base::ids::TenantId,
    base::network::network,
    core::{
        identity::{Actor, Role},
        telemetry,
    },
    db::{Access, DbError, Gate, Scope},
    features::{tenants, usage::api_cost::ApiCosts},
};

/// The unit of tenants' budgets: parts of the tenant's own limit, so that one limiter serves all plans.
const PARTS: u32 = 1_000_000;
/// What all customers of a tenant can spend together: three quarters, so that the tenant's staff can continue to work.
const CUSTOMERS_PARTS: u32 = PARTS / 4 * 3;
/// One user can spend at most one over this part of a tenant's budget: a quarter.
const USERS_PART: u32 = 4;
/// How long a plan's limit is cached.
const PLAN_LIFE: Duration = Duration::from_secs(60);
/// The maximum number of cached budgets of a kind.
const MANY: usize = 50_000;
/// The number of shared budgets for keys beyond that maximum.
const SHARED: u64 = 4_096;
/// The minimum time between removals of budgets that are full again.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Budgets for one minute, usable at once or spread over it.
#[derive(Clone, Copy, Debug)]
pub struct RateSettings {
    /// The budget of a user.
    pub user: u32,
    /// The budget of an address, for anonymous requests.
    pub address: u32,
    /// The budget of a tenant whose plan sets none.
    pub tenant: u32,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self { user: 120_000, address: 60_000, tenant: 6_000_000 }
    }
}

/// The state of a budget after a charge.
#[derive(Clone, Copy, Debug)]
pub struct Charged {
    /// The whole budget for one minute.
    pub budget: u32,
    /// What remains of it.
    pub remaining: u32,
}

/// Why a charge was refused.
#[derive(Debug)]
pub enum ChargeError {
    /// Too little of the budget remains.
    BudgetExhausted {
        /// When enough remains again, in seconds.
        retry_after: i64,
    },
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for ChargeError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// The key of a budget.
trait Key: Clone + Eq + std::hash::Hash {
    /// A shared key, for when there are too many keys to keep.
    fn shared(number: u64) -> Self;
}

impl Key for Uuid {
    fn shared(number: u64) -> Self {
        Self::from_u64_pair(0, number)
    }
}

impl Key for String {
    fn shared(number: u64) -> Self {
        format!("shared {number}")
    }
}

/// Budgets of one kind, with a bounded number of keys.
struct Budgets<K: Key> {
    limiter: Limiter<K>,
    most: usize,
    tidied_at: Mutex<Instant>,
}

impl<K: Key> Budgets<K> {
    fn new(per_minute: u32, most: usize) -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
        Self { limiter: RateLimiter::keyed(quota).with_middleware(), most, tidied_at: Mutex::new(Instant::now()) }
    }

    /// The key itself or, when there are too many, a shared one.
    fn place(&self, key: &K) -> K {
        if self.limiter.len() < self.most {
            return key.clone();
        }
        let is_due = {
            let mut tidied_at = self.tidied_at.lock();
            let is_due = tidied_at.elapsed() > TIDY_EVERY;
            if is_due {
                *tidied_at = Instant::now();
            }
            is_due
        };
        if is_due {
            // A budget that is full again need not be kept.
            self.limiter.retain_recent();
        }
        if self.limiter.len() < self.most {
            return key.clone();
        }
        let mut hasher = std::hash::DefaultHasher::new();
        key.hash(&mut hasher);
        K::shared(std::hash::Hasher::finish(&hasher) % SHARED)
    }
}

/// The budgets of this process.
pub struct Rates {
    settings: RateSettings,
    users: Budgets<Uuid>,
    tenants: Budgets<Uuid>,
    /// The budgets of each tenant's customers together.
    customers: Budgets<Uuid>,
    addresses: Budgets<String>,
    plans: Mutex<HashMap<TenantId, (u32, Instant)>>,
    gate: Gate,
    /// The charged cost of each tenant, for billing.
    pub costs: ApiCosts,
}

impl Rates {
    /// Starts with full budgets.
    pub fn new(settings: RateSettings, gate: Gate) -> Self {
        Self {
            settings,
            users: Budgets::new(settings.user, MANY),
            tenants: Budgets::new(PARTS, MANY),
            customers: Budgets::new(CUSTOMERS_PARTS, MANY),
            addresses: Budgets::new(settings.address, MANY),
            plans: Mutex::default(),
            gate,
            costs: ApiCosts::default(),
        }
    }

    /// Charges the cost of a document to the sender: to their own budget first, so that a refusal there does not reduce
    /// the tenant's budget.
    ///
    /// # Errors
    /// `BudgetExhausted` with the time to wait.
    pub async fn charge(&self, actor: &Actor, address: Option<&str>, cost: usize) -> Result<Charged, ChargeError> {
        let cost = u32::try_from(cost.max(1)).unwrap_or(u32::MAX);
        match actor {
            Actor::Person(viewer) => {
                let limit = self.limit_of(viewer.tenant).await?;
                // No user alone can exhaust the tenant's budget.
                let budget = self.settings.user.min(limit / USERS_PART).max(1);
                let of_user = scaled(cost, self.settings.user, budget);
                let own = take("user", &self.users, &viewer.user.0, of_user, self.settings.user)?;
                let remaining = u64::from(own.remaining) * u64::from(budget) / u64::from(self.settings.user.max(1));
                let of_tenant = scaled(cost, PARTS, limit);
                // A tenant's customers together must not block its staff.
                if viewer.role == Role::User {
                    take("customers", &self.customers, &viewer.tenant.0, of_tenant, CUSTOMERS_PARTS)?;
                }
                take("tenant", &self.tenants, &viewer.tenant.0, of_tenant, PARTS)?;
                self.costs.add(viewer.tenant, cost);
                Ok(Charged { budget, remaining: u32::try_from(remaining).unwrap_or(budget) })
            }
            Actor::Platform(viewer) => take("user", &self.users, &viewer.administrator.0, cost, self.settings.user),
            Actor::Anonymous | Actor::Unverified => {
                let address = address.map_or_else(|| "unknown".to_owned(), network);
                take("address", &self.addresses, &address, cost, self.settings.address)
            }
        }
    }

    /// The limit of the tenant's plan, looked up once a minute.
    async fn limit_of(&self, tenant: TenantId) -> Result<u32, DbError> {
        if let Some((limit, read_at)) = self.plans.lock().get_mut(&tenant) {
            if read_at.elapsed() < PLAN_LIFE {
                return Ok(*limit);
            }
            // During the lookup, and if it fails, all requests use the previous limit.
            *read_at = Instant::now();
        }
        let directory = self.gate.directory(Scope::authenticator(tenant), Access::Read);
        let looked_up = tenants::api_cost(&directory).await;
        directory.end_read();
        let limit = match (looked_up, self.plans.lock().get(&tenant)) {
            (Ok(limit), _) => limit,
            (Err(error), Some((was, _))) => {
                tracing::warn!(%error, "a tenant's plan could not be looked up; its previous limit applies");
                return Ok(*was);
            }
            (Err(error), None) => return Err(error),
        };
        let limit = limit.and_then(|it| u32::try_from(it).ok()).unwrap_or(self.settings.tenant);
        let mut plans = self.plans.lock();
        if plans.len() >= MANY {
            plans.retain(|_, (_, read_at)| read_at.elapsed() < PLAN_LIFE);
        }
        plans.insert(tenant, (limit, Instant::now()));
        Ok(limit)
    }
}

/// Converts a cost to parts, with `units` parts for the whole `budget`.
fn scaled(cost: u32, units: u32, budget: u32) -> u32 {
    let scaled = (u64::from(cost) * u64::from(units)).div_ceil(u64::from(budget.max(1)));
    u32::try_from(scaled.max(1)).unwrap_or(u32::MAX)
}

fn take<K: Key>(
    whose: &'static str,
    budgets: &Budgets<K>,
    key: &K,
    cost: u32,
    budget: u32,
) -> Result<Charged, ChargeError> {
    let refused = |seconds: i64| {
        telemetry::count_rate_limited(whose);
        ChargeError::BudgetExhausted { retry_after: seconds.max(1) }
    };
    match budgets.limiter.check_key_n(&budgets.place(key), NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN)) {
        Ok(Ok(state)) => Ok(Charged { budget, remaining: state.remaining_burst_capacity() }),
        Ok(Err(until)) => {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Err(refused(i64::try_from(wait.as_secs() + 1).unwrap_or(60)))
        }
        Err(_) => Err(refused(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_addresses_takes_no_memory_without_end() {
        let budgets = Budgets::<String>::new(1_000, 100);
        for number in 0..20_000 {
            let _ = take("address", &budgets, &format!("2001:db8:{number:x}"), 10, 1_000);
        }
        assert!(budgets.limiter.len() <= 100 + SHARED as usize, "{}", budgets.limiter.len());
        // Keys that share a budget are still limited.
        let taken =
            (0..1_000).filter(|_| take("address", &budgets, &"2001:db8:ffff".to_owned(), 100, 1_000).is_ok()).count();
        assert!(taken <= 10, "{taken}");
    }
}
