//! All stores of the deployment, as its operator keeps them: made, brought up to date, moved, exported, removed.
//!
//! It works with the operator's logins, which no request ever has: as `tenantry_owner` it makes, migrates and drops stores, as
//! `tenantry_platform` it copies rows past the policies. What it decides by, and what it has done, stands in the directory,
//! which it reads and writes as the platform through the [`Gate`] like everybody else.

pub mod archive;
mod copying;
mod erasing;
mod link;
mod moving;
mod stores;
mod upgrading;

use std::{collections::HashSet, str::FromStr, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinHandle, JoinSet},
};
use tokio_postgres::Config;

use crate::{
    base::{clock::Clock, ids::TenantId},
    db::{Access, DbError, Gate, MigrationError, Placement, Scope, ScopedTx, Server, migrations},
    features::platform::moving::queries as jobs,
};

pub use erasing::{Erased, Remains};
pub use upgrading::{Standing, Store, Upgraded};

/// How often it is looked for what nobody rang for.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The operator's logins to the deployment's database; the same hold on every server.
#[derive(Clone, Debug)]
pub struct Logins {
    owner: Config,
    platform: Config,
}

/// Why something could not be done to a store.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The server of a store did not let us in, or lost us.
    #[error("{0}")]
    Connection(#[from] tokio_postgres::Error),
    /// A migration failed.
    #[error("{0}")]
    Migration(#[from] MigrationError),
    /// The directory could not be read or written.
    #[error("the directory: {0}")]
    Directory(#[from] DbError),
    /// What was copied is not what was there.
    #[error("{table}: {found} after copying, expected {expected}")]
    Differs {
        /// Which table.
        table: String,
        /// Count and checksum at the source.
        expected: String,
        /// Count and checksum at the target.
        found: String,
    },
    /// Whoever asked for it asked for its end.
    #[error("it was asked to end")]
    Aborted,
    /// The process stops.
    #[error("the process stops")]
    Stopping,
    /// A file could not be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// Anything else, in a sentence.
    #[error("{0}")]
    Refused(String),
}

impl FleetError {
    /// What whoever asked for it is told: nothing of PostgreSQL's own words, which go to the log.
    pub fn told(&self) -> String {
        match self {
            Self::Connection(_) => "A server could not be reached, or refused.".into(),
            Self::Migration(_) => "A migration failed.".into(),
            Self::Directory(_) => "The directory could not be read or written.".into(),
            Self::File(_) => "A file could not be read or written.".into(),
            Self::Differs { .. } | Self::Aborted | Self::Stopping | Self::Refused(_) => self.to_string(),
        }
    }
}

impl Logins {
    /// From URLs of the deployment's database.
    ///
    /// # Errors
    /// When one is none of PostgreSQL's.
    pub fn try_new(owner_url: &str, platform_url: &str) -> Result<Self, tokio_postgres::Error> {
        Ok(Self { owner: Config::from_str(owner_url)?, platform: Config::from_str(platform_url)? })
    }
}

/// Keeps stores.
#[derive(Clone)]
pub struct Fleet {
    gate: Gate,
    logins: Logins,
    clock: Clock,
    /// The database that those of tenants are cloned from, on each server.
    template: String,
    /// Servers whose template is known to be up to date.
    templates: Arc<tokio::sync::Mutex<HashSet<Option<Server>>>>,
    /// Room for moves at the same time.
    moving: Arc<Semaphore>,
    /// Says when the process stops.
    stop: Option<watch::Receiver<Option<String>>>,
}

/// How many moves one process is at.
const MOVES_AT_ONCE: usize = 4;

fn tell(what: &'static str, done: Result<(), FleetError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "{what} cannot be gone on with now");
    }
}

impl Fleet {
    /// With these logins.
    pub fn new(gate: Gate, logins: Logins, clock: Clock) -> Self {
        let template = format!("{}_template", logins.owner.get_dbname().unwrap_or("tenantry"));
        Self::with_template(gate, logins, clock, template)
    }

    /// The same, with a template of this name, which several deployments may share.
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

    /// Works until it is told to stop. A move that is under way then lets its tenant's writers go on, and is begun anew by
    /// whoever comes next.
    pub fn start(mut self, mut stop: watch::Receiver<Option<String>>) -> JoinHandle<()> {
        self.stop = Some(stop.clone());
        tokio::spawn(async move {
            let mut rung = self.gate.wakeups().stores();
            let mut tasks = JoinSet::new();
            // Each kind of work by itself: whoever waits for a store does not wait for somebody else's move.
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
                // Those that are under way are held by whoever is at them.
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

    /// Does what there is to do: makes stores of new tenants, goes on with moves, removes what is out of use. One that fails
    /// holds none of the others up.
    pub async fn work(&self) {
        // Boxed: whoever awaits several at once would be as large as all of them.
        let (making, moving) = (Box::pin(self.make_wanted_stores()), Box::pin(self.go_on_with_moves()));
        let (made, moved, removed) = tokio::join!(making, moving, Box::pin(self.remove_leftovers()));
        tell("making stores", made);
        tell("moving tenants", moved);
        tell("removing stores", removed);
    }

    fn refuse_if_stopping(&self) -> Result<(), FleetError> {
        let stops = self.stop.as_ref().is_some_and(|it| it.borrow().is_some());
        if stops { Err(FleetError::Stopping) } else { Ok(()) }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn directory(&self, tenant: Option<TenantId>, access: Access) -> ScopedTx {
        self.gate.directory(Scope::platform(tenant), access)
    }

    /// How to connect to the database of this placement with a login, and the schema of its tables there.
    fn at<'a>(&self, login: &Config, placement: &'a Placement) -> (Config, &'a str) {
        match placement {
            Placement::Shared => (login.clone(), migrations::SHARED_SCHEMA),
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
                tracing::error!(%error, tenant.id = %tenant, "the store of a new tenant cannot be made");
            }
        }
        Ok(())
    }
}
