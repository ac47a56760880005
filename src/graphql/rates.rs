//! How much of the API one may use: a budget of cost for each user, tenant and, where nobody is signed in, address.
//!
//! Budgets are of this process, by GCRA (the crate governor); a document is charged its cost before it runs. A tenant's
//! budget is its plan's.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use uuid::Uuid;

use super::{ApiError, Code};
use crate::{
    auth::{Actor, Role, network},
    db::{Access, DbError, Gate, Scope},
    ids::TenantId,
    telemetry, tenants,
};

/// What a budget of a tenant is counted in: parts of its own limit, so that one limiter serves all plans.
const PARTS: u32 = 1_000_000;
/// The part of a tenant's budget that one user can spend at most: a quarter.
const USERS_PART: u32 = 4;
/// How long a plan's limit is remembered.
const PLAN_LIFE: Duration = Duration::from_secs(60);
/// How many keys a limiter remembers before those with a full budget are forgotten.
const MANY: usize = 20_000;

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

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// The budgets of this process.
pub struct Rates {
    settings: RateSettings,
    users: Limiter<Uuid>,
    tenants: Limiter<Uuid>,
    addresses: Limiter<String>,
    plans: Mutex<HashMap<TenantId, (u32, Instant)>>,
    gate: Gate,
}

impl Rates {
    /// Every budget is full.
    pub fn new(settings: RateSettings, gate: Gate) -> Self {
        Self {
            settings,
            users: limiter(settings.user),
            tenants: limiter(PARTS),
            addresses: limiter(settings.address),
            plans: Mutex::default(),
            gate,
        }
    }

    /// Takes the cost of a document from whoever sends it: from his own budget first, so that what is refused there does
    /// not come out of his tenant's.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time to wait.
    pub async fn charge(&self, actor: &Actor, address: Option<&str>, cost: usize) -> Result<Charged, ApiError> {
        let cost = u32::try_from(cost.max(1)).unwrap_or(u32::MAX);
        match actor {
            Actor::Person(viewer) => {
                let limit = self.limit_of(viewer.tenant).await?;
                // Nobody alone can empty what is all of the tenant's.
                let budget = self.settings.user.min(limit / USERS_PART).max(1);
                let of_user = scaled(cost, self.settings.user, budget);
                let own = take("user", &self.users, &viewer.user.0, of_user, self.settings.user)?;
                let remaining = u64::from(own.remaining) * u64::from(budget) / u64::from(self.settings.user.max(1));
                let of_tenant = take("tenant", &self.tenants, &viewer.tenant.0, scaled(cost, PARTS, limit), PARTS);
                // Its customers together must not keep a tenant's own people from their work.
                if viewer.role == Role::User {
                    of_tenant?;
                }
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
        if let Some((limit, read_at)) = self.lock_plans().get(&tenant)
            && read_at.elapsed() < PLAN_LIFE
        {
            return Ok(*limit);
        }
        let directory = self.gate.directory(Scope::authenticator(tenant), Access::Read);
        let limit = tenants::api_cost(&directory).await?;
        directory.end_read();
        let limit = limit.and_then(|it| u32::try_from(it).ok()).unwrap_or(self.settings.tenant);
        let mut plans = self.lock_plans();
        if plans.len() >= MANY {
            plans.retain(|_, (_, read_at)| read_at.elapsed() < PLAN_LIFE);
        }
        plans.insert(tenant, (limit, Instant::now()));
        Ok(limit)
    }

    fn lock_plans(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, (u32, Instant)>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cost in units of which there are `units` where the budget is `budget`.
fn scaled(cost: u32, units: u32, budget: u32) -> u32 {
    let scaled = u64::from(cost) * u64::from(units) / u64::from(budget.max(1));
    u32::try_from(scaled.max(1)).unwrap_or(u32::MAX)
}

fn limiter<K: Clone + Eq + std::hash::Hash>(per_minute: u32) -> Limiter<K> {
    let quota = Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
    RateLimiter::keyed(quota).with_middleware()
}

fn take<K: Clone + Eq + std::hash::Hash>(
    whose: &'static str,
    limiter: &Limiter<K>,
    key: &K,
    cost: u32,
    budget: u32,
) -> Result<Charged, ApiError> {
    if limiter.len() > MANY {
        // Whoever has his whole budget again needs no memory.
        limiter.retain_recent();
    }
    let refused = |seconds: i64| {
        telemetry::count_rate_limited(whose);
        ApiError::Refused {
            code: Code::RateLimited,
            message: "Too fast: this costs more than is left of the budget. Try again later, or ask for less.".into(),
            field: None,
            retry_after: Some(seconds.max(1)),
        }
    };
    match limiter.check_key_n(key, NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN)) {
        Ok(Ok(state)) => Ok(Charged { budget, remaining: state.remaining_burst_capacity() }),
        Ok(Err(until)) => {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Err(refused(i64::try_from(wait.as_secs() + 1).unwrap_or(60)))
        }
        Err(_) => Err(refused(60)),
    }
}
