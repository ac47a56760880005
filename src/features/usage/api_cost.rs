//! What requests cost, counted in this process and recorded every so often.
//!
//! A query's transaction is read only, so what a request costs cannot be written in it. Each process adds up and records what
//! came together, as events whose ids are the process's and a count: sent again after a failure they are there once. What a
//! process that is killed had not recorded yet, some seconds' cost, is lost, and not billed.

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

/// Adds up what the requests of each tenant cost.
#[derive(Default)]
pub struct ApiCosts(Mutex<State>);

struct State {
    /// Names the events of this process.
    process: Uuid,
    count: u64,
    adding: HashMap<TenantId, i64>,
    /// What could not be recorded yet: under the same ids.
    waiting: Vec<(TenantId, Event)>,
}

impl Default for State {
    fn default() -> Self {
        Self { process: Uuid::now_v7(), count: 0, adding: HashMap::new(), waiting: Vec::new() }
    }
}

impl ApiCosts {
    /// A request of the tenant costs so much.
    pub fn add(&self, tenant: TenantId, cost: u32) {
        *self.0.lock().adding.entry(tenant).or_default() += i64::from(cost);
    }

    /// Records what came together. What cannot be recorded now is kept for the next time.
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
                Ok(()) | Err(DbError::TenantNotHere) => {} // Of a tenant that is gone nobody is billed.
                Err(error) => {
                    tracing::warn!(%error, tenant.id = %tenant, "what requests cost cannot be recorded now");
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
