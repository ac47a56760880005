//! How much of the API one may use: a budget of cost for each user, tenant and, where nobody is signed in, address.
//!
//! Budgets are of this process, by GCRA (the crate governor); a document is charged its cost before it runs. A tenant's
//! budget is its plan's.

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

/// What a budget of a tenant is counted in: parts of its own limit, so that one limiter serves all plans.
const PARTS: u32 = 1_000_000;
/// What a tenant's customers can spend of it together: three quarters, so that its own people can go on.
const CUSTOMERS_PARTS: u32 = PARTS / 4 * 3;
/// The part of a tenant's budget that one user can spend at most: a quarter.
const USERS_PART: u32 = 4;
/// How long a plan's limit is remembered.
const PLAN_LIFE: Duration = Duration::from_secs(60);
/// How many budgets of a kind are remembered.
const MANY: usize = 50_000;
/// How many budgets those share who come when so many are remembered.
const SHARED: u64 = 4_096;
/// How often those who have their whole budget again are forgotten, at most.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// Budgets a minute, all of it at once or spread.
#[derive(Clone, Copy, Debug)]
pub struct RateSettings {
    /// Of a user.
    pub user: u32,
    /// Of an address, for requests that nobody signed.
    pub address: u32,
    /// Of a tenant whose plan says nothing.
    pub tenant: u32,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self { user: 120_000, address: 60_000, tenant: 6_000_000 }
    }
}

/// What became of a budget.
#[derive(Clone, Copy, Debug)]
pub struct Charged {
    /// A minute's, all together.
    pub budget: u32,
    /// Left of it.
    pub remaining: u32,
}

/// Why nothing was taken.
#[derive(Debug)]
pub enum ChargeError {
    /// The budget has too little left.
    BudgetExhausted {
        /// When it has enough again, in seconds.
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

/// What a budget is kept for.
trait Key: Clone + Eq + std::hash::Hash {
    /// One of few keys, which all share where there are too many to remember.
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

/// Budgets of one kind, of so many keys at most.
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

    /// The key itself, or, where there are too many, one that it shares with others.
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
            // Whoever has his whole budget again needs no memory.
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
    /// Of each tenant's customers together.
    customers: Budgets<Uuid>,
    addresses: Budgets<String>,
    plans: Mutex<HashMap<TenantId, (u32, Instant)>>,
    gate: Gate,
    /// What was taken of each tenant's, to be billed.
    pub costs: ApiCosts,
}

impl Rates {
    /// Every budget is full.
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

    /// Takes the cost of a document from whoever sends it: from his own budget first, so that what is refused there does
    /// not come out of his tenant's.
    ///
    /// # Errors
    /// `BudgetExhausted` with the time to wait.
    pub async fn charge(&self, actor: &Actor, address: Option<&str>, cost: usize) -> Result<Charged, ChargeError> {
        let cost = u32::try_from(cost.max(1)).unwrap_or(u32::MAX);
        match actor {
            Actor::Person(viewer) => {
                let limit = self.limit_of(viewer.tenant).await?;
                // Nobody alone can empty what is all of the tenant's.
                let budget = self.settings.user.min(limit / USERS_PART).max(1);
                let of_user = scaled(cost, self.settings.user, budget);
                let own = take("user", &self.users, &viewer.user.0, of_user, self.settings.user)?;
                let remaining = u64::from(own.remaining) * u64::from(budget) / u64::from(self.settings.user.max(1));
                let of_tenant = scaled(cost, PARTS, limit);
                // Its customers together must not keep a tenant's own people from their work.
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
            // Whoever comes while it is looked up goes by what it was, and so does everybody where it cannot be.
            *read_at = Instant::now();
        }
        let directory = self.gate.directory(Scope::authenticator(tenant), Access::Read);
        let looked_up = tenants::api_cost(&directory).await;
        directory.end_read();
        let limit = match (looked_up, self.plans.lock().get(&tenant)) {
            (Ok(limit), _) => limit,
            (Err(error), Some((was, _))) => {
                tracing::warn!(%error, "a tenant's plan cannot be looked up: it counts as it was");
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

/// A cost in units of which there are `units` where the budget is `budget`.
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
        // Those who share a budget are still limited.
        let taken =
            (0..1_000).filter(|_| take("address", &budgets, &"2001:db8:ffff".to_owned(), 100, 1_000).is_ok()).count();
        assert!(taken <= 10, "{taken}");
    }
}
