//! The worker that creates, migrates, moves and removes stores.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinHandle, JoinSet},
};
use tokio_postgres::Config;

use super::{error::FleetError, logins::Logins};
use crate::{
    base::{clock::Clock, ids::TenantId},
    db::{Access, Gate, Placement, Scope, ScopedTx, Server, schemas},
    features::platform::moving as jobs,
};

/// How often to look for work that was not signalled.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Manages the stores of the deployment.
#[derive(Clone)]
pub struct Fleet {
    pub(super) gate: Gate,
    pub(super) logins: Logins,
    clock: Clock,
    /// The database that tenants' databases are cloned from, on each server.
    pub(super) template: String,
    /// Servers whose template is known to be current.
    pub(super) templates: Arc<tokio::sync::Mutex<HashSet<Option<Server>>>>,
    /// Limits the moves that run at the same time.
    pub(super) moving: Arc<Semaphore>,
    /// Reports when the process is stopping.
    stop: Option<watch::Receiver<Option<String>>>,
}

/// How many moves one process runs at a time.
const MOVES_AT_ONCE: usize = 4;

pub(super) fn tell(what: &'static str, done: Result<(), FleetError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "{what} failed; retrying later");
    }
}

impl Fleet {
    /// Creates it with these logins.
    pub fn new(gate: Gate, logins: Logins, clock: Clock) -> Self {
        let template = format!("{}_template", logins.owner.get_dbname().unwrap_or("tenantry"));
        Self::with_template(gate, logins, clock, template)
    }

    /// As [`Fleet::new`], with a template of this name, which several deployments may share.
    pub fn with_template(gate: Gate, logins: Logins, clock: Clock, template: String) -> Self {
        Self {
            gate,
            logins,
            clock,
            template,
            templates: Arc::default(),
            moving: Arc::new(Semaphore::new(MOVES_AT_ONCE)),
            stop: None,
        }
    }

    /// Works until `stop` is set. A running move then releases its tenant's writers, and the next worker restarts it.
    pub fn start(mut self, mut stop: watch::Receiver<Option<String>>) -> JoinHandle<()> {
        self.stop = Some(stop.clone());
        tokio::spawn(async move {
            let mut rung = self.gate.wakeups().stores();
            let mut tasks = JoinSet::new();
            // Each kind of work runs separately: creating a store does not wait for another tenant's move.
            let (mut making, mut removing) = (None, None);
            while stop.borrow().is_none() {
                let is_over = |task: &Option<AbortHandle>| task.as_ref().is_none_or(AbortHandle::is_finished);
                if is_over(&making) {
                    let fleet = self.clone();
                    making = Some(tasks.spawn(async move { tell("making stores", fleet.make_wanted_stores().await) }));
                }
                if is_over(&removing) {
                    let fleet = self.clone();
                    removing =
                        Some(tasks.spawn(async move { tell("removing stores", fleet.remove_leftovers().await) }));
                }
                // A running move is locked by its worker.
                let fleet = self.clone();
                tasks.spawn(async move { tell("moving tenants", fleet.go_on_with_moves().await) });
                while tasks.try_join_next().is_some() {}
                tokio::select! {
                    _ = stop.wait_for(Option::is_some) => {}
                    _ = rung.changed() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
            while tasks.join_next().await.is_some() {}
        })
    }

    /// Does all pending work: creates stores of new tenants, continues moves, removes what is out of use. A failure
    /// does not delay the others.
    pub async fn work(&self) {
        // Boxed: a caller that awaits several at once would be as large as all of them.
        let (making, moving) = (Box::pin(self.make_wanted_stores()), Box::pin(self.go_on_with_moves()));
        let (made, moved, removed) = tokio::join!(making, moving, Box::pin(self.remove_leftovers()));
        tell("making stores", made);
        tell("moving tenants", moved);
        tell("removing stores", removed);
    }

    pub(super) fn refuse_if_stopping(&self) -> Result<(), FleetError> {
        let stops = self.stop.as_ref().is_some_and(|it| it.borrow().is_some());
        if stops { Err(FleetError::Stopping) } else { Ok(()) }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn directory(&self, tenant: Option<TenantId>, access: Access) -> ScopedTx {
        self.gate.directory(Scope::platform(tenant), access)
    }

    /// The settings to connect to this placement's database with a login, and the schema of its tables there.
    pub(super) fn at<'a>(&self, login: &Config, placement: &'a Placement) -> (Config, &'a str) {
        match placement {
            Placement::Shared => (login.clone(), schemas::SHARED_SCHEMA),
            Placement::Own(_, location) => (location.config(login), &location.schema),
        }
    }

    async fn make_wanted_stores(&self) -> Result<(), FleetError> {
        let directory = self.directory(None, Access::Read);
        let wanted = jobs::without_store(&directory).await?;
        directory.end_read();
        drop(directory);
        for (tenant, placement) in wanted {
            if let Err(error) = self.make_store_of(tenant, &placement).await {
                tracing::error!(%error, tenant.id = %tenant, "cannot create the store of a new tenant");
            }
        }
        Ok(())
    }
}
