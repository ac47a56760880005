//! The pools, and the gate in front of them.

use std::{
    str::FromStr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, NoTls};

use super::{Access, DbError, Scope, ScopedTx, changes::Changes, migrations, shares::Shares, wakeups::Wakeups};

/// How long after a statement's time its answer may come: past that the server is silent, not slow.
const SILENCE: Duration = Duration::from_secs(3);

/// How large the pools are and how long they wait.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Most connections to the tenant store; the directory gets a quarter as many, at least one.
    pub max_connections: usize,
    /// Most connections to the tenant store for one tenant.
    pub each_tenant: usize,
    /// How long a request waits for a connection before it is answered `UNAVAILABLE`.
    pub wait: Duration,
    /// How long a statement may run before the server cancels it.
    pub statement: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self::of_size(8)
    }
}

impl PoolSettings {
    /// Of this size: three quarters of it are the most for one tenant, five seconds the longest wait, ten those of a
    /// statement.
    pub fn of_size(max_connections: usize) -> Self {
        let each_tenant = (max_connections * 3 / 4).max(1);
        let (wait, statement) = (Duration::from_secs(5), Duration::from_secs(10));
        Self { max_connections, each_tenant, wait, statement }
    }
}

/// What the transactions of this process did, since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Transactions begun.
    pub transactions: AtomicU64,
    /// Statements run, without `begin`, `enter`, savepoints and `commit`.
    pub statements: AtomicU64,
    /// Transactions that were dropped without an end.
    pub abandoned: AtomicU64,
}

/// How a pool stands.
#[derive(Clone, Copy, Debug)]
pub struct PoolStatus {
    /// Connections.
    pub open: usize,
    /// Those that nobody holds.
    pub idle: usize,
    /// Those who wait for one.
    pub waiting: usize,
}

/// Opens scoped transactions and does nothing else: what is handed up instead of a pool.
#[derive(Clone)]
pub struct Gate {
    directory: Pool,
    /// Every tenant's store, as long as all are placed in shared tables.
    shared: Pool,
    /// One connection to the tenant store that no flood takes: for asking whether people may stay.
    asking: Pool,
    stats: Arc<Stats>,
    wakeups: Arc<Wakeups>,
    changes: Arc<Changes>,
    /// How long a statement waits for its answer.
    patience: Duration,
    shares: Arc<Shares>,
}

impl Gate {
    /// Prepares the pools. No connection is made before the first transaction.
    ///
    /// # Errors
    /// When the URL is not one of PostgreSQL's.
    pub fn try_new(database_url: &str, settings: PoolSettings) -> Result<Self, DbError> {
        let config = Config::from_str(database_url).map_err(DbError::from)?;
        let directory_size = (settings.max_connections / 4).max(1);
        Ok(Self {
            asking: pool(config.clone(), migrations::SHARED_SCHEMA, 1, settings)?,
            directory: pool(config.clone(), migrations::DIRECTORY_SCHEMA, directory_size, settings)?,
            shared: pool(config, migrations::SHARED_SCHEMA, settings.max_connections, settings)?,
            patience: settings.statement + SILENCE,
            stats: Arc::default(),
            wakeups: Arc::default(),
            changes: Arc::default(),
            shares: Arc::new(Shares::new(settings.each_tenant, settings.wait)),
        })
    }

    /// A transaction in the tenant's store. Costs nothing until its first statement.
    pub fn tenant(&self, scope: Scope, access: Access) -> ScopedTx {
        let shares = Some(self.shares.clone());
        ScopedTx::new(self.shared.clone(), shares, self.stats.clone(), self.bells(), self.patience, scope, access)
    }

    /// A transaction of the platform in the tenant store, on a connection of its own: whoever has lost his right to be there
    /// is found however busy the others are.
    pub fn asking(&self) -> ScopedTx {
        let (stats, scope) = (self.stats.clone(), Scope::platform(None));
        ScopedTx::new(self.asking.clone(), None, stats, self.bells(), self.patience, scope, Access::Read)
    }

    /// A transaction in the directory. Costs nothing until its first statement.
    pub fn directory(&self, scope: Scope, access: Access) -> ScopedTx {
        ScopedTx::new(self.directory.clone(), None, self.stats.clone(), self.bells(), self.patience, scope, access)
    }

    /// Whom a commit tells.
    fn bells(&self) -> (Arc<Wakeups>, Arc<Changes>) {
        (self.wakeups.clone(), self.changes.clone())
    }

    /// What the transactions did so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Who has background work to do, as the commits of this process tell.
    pub fn wakeups(&self) -> &Wakeups {
        &self.wakeups
    }

    /// What changes, as the commits of all processes tell.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// How the pools stand: directory and store.
    pub fn pools(&self) -> [(&'static str, PoolStatus); 2] {
        let status = |pool: &Pool| {
            let status = pool.status();
            PoolStatus { open: status.size, idle: status.available, waiting: status.waiting }
        };
        [("directory", status(&self.directory)), ("store", status(&self.shared))]
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// With the cause when it does not, after at most the pool's waiting time.
    pub async fn ping(&self) -> Result<(), DbError> {
        for pool in [&self.directory, &self.shared] {
            pool.get().await?.batch_execute("").await?;
        }
        Ok(())
    }

    /// Closes the pools: connections end as they come back, and nothing new begins.
    pub fn close(&self) {
        self.directory.close();
        self.shared.close();
        self.asking.close();
    }
}

fn pool(mut config: Config, schema: &'static str, size: usize, settings: PoolSettings) -> Result<Pool, DbError> {
    let PoolSettings { wait, statement, .. } = settings;
    config.application_name("tenantry").connect_timeout(wait);
    // `Fast` runs no SQL at check-out: `ScopedTx` never lets a connection back that is not clean.
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let search_path = match schema {
        migrations::DIRECTORY_SCHEMA => "set search_path = directory, pg_temp",
        _ => "set search_path = shared, pg_temp",
    };
    let timeout = statement.as_millis().to_string();
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(wait))
        .create_timeout(Some(wait))
        .recycle_timeout(Some(wait))
        // Names in SQL are unqualified; the pool says whose tables they are, with temporary ones last.
        .post_create(Hook::async_fn(move |client, _| {
            let timeout = timeout.clone();
            Box::pin(async move {
                client.batch_execute(search_path).await.map_err(HookError::Backend)?;
                let set = "select set_config('statement_timeout', $1, false)";
                client.query(set, &[&timeout]).await.map(drop).map_err(HookError::Backend)
            })
        }))
        .build()
        .map_err(|error| DbError::Unavailable(error.to_string()))
}

/// Whether this is a URL of a PostgreSQL database.
pub fn is_database_url(text: &str) -> bool {
    Config::from_str(text).is_ok()
}

/// The password in a URL, if it holds one.
pub fn url_password(url: &str) -> Option<Vec<u8>> {
    Config::from_str(url).ok()?.get_password().map(<[u8]>::to_vec)
}
