//! The cost of API requests, summed in this process and recorded periodically.
//!
//! A query's transaction is read-only, so the cost of a request cannot be recorded in it. Each process sums the costs
//! and records them as events whose ids consist of the process and a counter, so that a retry does not count twice. A
//! process that is killed loses what it has not recorded, some seconds' cost, which is not billed.

use std::collections::HashMap;

use jiff::Timestamp;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{API_COST, Event};
use crate::{
    base::ids::TenantId,
    db::{Access, DbError, Gate, Scope},
    features::tenants,
};

/// Sums the cost of each tenant's requests.
#[derive(Default)]
pub struct ApiCosts(Mutex<State>);

struct State {
    /// The id of this process in event names.
    process: Uuid,
    count: u64,
    adding: HashMap<TenantId, i64>,
    /// Events that could not be recorded yet, with their ids.
    waiting: Vec<(TenantId, Event)>,
}

impl Default for State {
    fn default() -> Self {
        Self { process: Uuid::now_v7(), count: 0, adding: HashMap::new(), waiting: Vec::new() }
    }
}

impl ApiCosts {
    /// Adds the cost of a tenant's request.
    pub fn add(&self, tenant: TenantId, cost: u32) {
        *self.0.lock().adding.entry(tenant).or_default() += i64::from(cost);
    }

    /// Records the accumulated costs. What cannot be recorded now is kept for the next call.
    pub async fn record(&self, gate: &Gate, now: Timestamp) {
        let waiting = {
            let mut state = self.0.lock();
            let State { process, count, adding, waiting } = &mut *state;
            for (tenant, cost) in adding.drain() {
                *count += 1;
                let name = format!("api_cost:{process}:{count}");
                waiting.push((tenant, Event::own(API_COST, name, cost.min(1_000_000_000_000), now)));
            }
            std::mem::take(waiting)
        };
        let mut left = Vec::new();
        for (tenant, event) in waiting {
            match record(gate, tenant, &event, now).await {
                Ok(()) | Err(DbError::TenantNotHere) => {} // A tenant that is gone is not billed.
                Err(error) => {
                    tracing::warn!(%error, tenant.id = %tenant, "the cost of requests could not be recorded yet");
                    left.push((tenant, event));
                }
            }
        }
        self.0.lock().waiting.extend(left);
    }
}

async fn record(gate: &Gate, tenant: TenantId, event: &Event, now: Timestamp) -> Result<(), DbError> {
    let tx = gate.tenant(Scope::worker(tenant), Access::Write);
    let of = tenants::current(&tx).await?;
    super::record_one(&tx, event, &of, now).await?;
    tx.commit().await
}
