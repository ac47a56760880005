//! The pools, and the gate in front of them.

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool_postgres::Pool;
use futures_util::FutureExt;
use tokio_postgres::Config;

use super::{
    Access, DbError, Placement, Scope, ScopedTx, StoreSettings,
    changes::Changes,
    common::{Common, PoolStatus, Pooler, Stats},
    connect::pool,
    connection_handoff::ConnectionHandoff,
    placement_cache::{Locate, PlacementCache, Routes},
    schemas::{self, DIRECTORY_SCHEMA},
    session::Session,
    stores::Stores,
    tenant_fair_share::TenantFairShare,
    tx::Route,
    unprepared::Types,
    wakeups::Wakeups,
};
use crate::base::ids::TenantId;

/// How long after a statement's time limit its answer may still come. Past that the server counts as silent, not slow.
const SILENCE: Duration = Duration::from_secs(3);

/// Connections that serve one task each: checking whether people may stay connected, looking up where tenants are,
/// carrying hints, and checking whether the database is ready.
const ALONE: usize = 4;

/// The sizes and wait timeouts of the pools.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// The most connections to the tenant store; the directory gets a quarter as many, at least one.
    pub max_connections: usize,
    /// The most connections to the tenant store for one tenant.
    pub each_tenant: usize,
    /// How long a request waits for a connection before it is answered `UNAVAILABLE`.
    pub wait: Duration,
    /// How long a statement may run before the server cancels it.
    pub statement: Duration,
    /// Connections to stores that tenants have of their own.
    pub stores: StoreSettings,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self::of_size(8)
    }
}

impl PoolSettings {
    /// Settings for this pool size: one tenant may use three quarters of it, the longest wait is five seconds, and a
    /// statement may run for ten seconds.
    pub fn of_size(max_connections: usize) -> Self {
        let each_tenant = (max_connections * 3 / 4).max(1);
        let (wait, statement) = (Duration::from_secs(5), Duration::from_secs(10));
        Self { max_connections, each_tenant, wait, statement, stores: StoreSettings::default() }
    }

    /// The most connections that a process holds at once, across all its pools.
    pub fn most_connections(&self) -> usize {
        self.max_connections + self.of_directory() + ALONE + self.stores.budget
    }

    fn of_directory(&self) -> usize {
        (self.max_connections / 4).max(1)
    }
}

const LOCATE: &str = "-- db.locate
    select id, isolation, url, moving_since is not null, isolation = 'SHARED' or store_ready_at is not null
      from tenants where id = any ($1)";

/// Opens scoped transactions and does nothing else. Higher layers get this instead of a pool.
#[derive(Clone)]
pub struct Gate {
    directory: Pool,
    /// The tenants in shared tables.
    shared: Arc<ConnectionHandoff>,
    /// One connection to the shared tables that no load can exhaust, for checking whether people may stay connected.
    asking: Pool,
    placements: Arc<PlacementCache>,
    common: Arc<Common>,
}

impl Gate {
    /// Prepares the pools. No connection is made before the first transaction.
    ///
    /// # Errors
    /// When the URL is not a PostgreSQL URL.
    pub fn try_new(database_url: &str, settings: PoolSettings) -> Result<Self, DbError> {
        Self::try_prepare(database_url, None, settings)
    }

    /// As [`Gate::try_new`], through a pooler in transaction mode: no state is left in a session and no statement is
    /// named. `direct_url` bypasses the pooler.
    ///
    /// # Errors
    /// When one of the URLs is not a PostgreSQL URL.
    pub fn try_pooled(database_url: &str, direct_url: &str, settings: PoolSettings) -> Result<Self, DbError> {
        Self::try_prepare(database_url, Some(direct_url), settings)
    }

    fn try_prepare(database_url: &str, direct_url: Option<&str>, settings: PoolSettings) -> Result<Self, DbError> {
        let direct = direct_url.map(Config::from_str).transpose()?;
        let config = Config::from_str(database_url).map_err(DbError::from)?;
        let PoolSettings { max_connections, each_tenant, wait, statement, stores } = settings;
        let is_direct = direct.is_none();
        let session = |schema| is_direct.then(|| Session::new(schema, statement));
        let directory = |size| pool(config.clone(), session(schemas::DIRECTORY_SCHEMA), size, wait);
        let store = |size| pool(config.clone(), session(schemas::SHARED_SCHEMA), size, wait);
        let shared = Arc::new(ConnectionHandoff::new(store(max_connections)?, is_direct));
        let common = Arc::new(Common {
            stats: Stats::default(),
            wakeups: Wakeups::default(),
            changes: Changes::default(),
            patience: statement + SILENCE,
            pooler: direct.clone().map(|it| Pooler { types: Types::new(it), statement }),
        });
        let locating = directory(1)?;
        let placements = PlacementCache::new(Routes {
            locate: locate(locating.clone(), common.clone()),
            locating,
            shared: shared.clone(),
            shares: Arc::new(TenantFairShare::new(each_tenant, wait)),
            stores: Stores::new(config.clone(), direct, stores, wait, statement),
            wait,
        });
        Ok(Self {
            asking: store(1)?,
            directory: directory(settings.of_directory())?,
            shared,
            placements: Arc::new(placements),
            common,
        })
    }

    /// A transaction in the tenant's store, wherever that is. Costs nothing until its first statement.
    ///
    /// # Panics
    /// With a directory scope, which has no tenant.
    pub fn tenant(&self, scope: Scope, access: Access) -> ScopedTx {
        ScopedTx::new(Route::Tenant(self.placements.clone()), self.common.clone(), scope, access)
    }

    /// A platform transaction in the shared store. It belongs to no tenant and sees no rows itself: it is for functions
    /// that look at each of many tenants in that tenant's own scope.
    pub fn shared(&self) -> ScopedTx {
        let route = Route::Shared(self.shared.clone());
        ScopedTx::new(route, self.common.clone(), Scope::platform(None), Access::Read)
    }

    /// As [`Gate::shared`], on a reserved connection: revoked access is noticed however busy the other pools are.
    pub fn asking(&self) -> ScopedTx {
        let route = Route::Pool(self.asking.clone(), schemas::SHARED_SCHEMA);
        ScopedTx::new(route, self.common.clone(), Scope::platform(None), Access::Read)
    }

    /// As [`Gate::asking`] for this tenant, wherever it is.
    ///
    /// # Errors
    /// When the tenant's placement is unknown.
    pub async fn asking_about(&self, tenant: TenantId) -> Result<ScopedTx, DbError> {
        Ok(match self.placement(tenant).await? {
            Placement::Shared => self.asking(),
            Placement::Own(..) => self.tenant(Scope::platform(Some(tenant)), Access::Read),
        })
    }

    /// A transaction in the directory. Costs nothing until its first statement.
    pub fn directory(&self, scope: Scope, access: Access) -> ScopedTx {
        let route = Route::Pool(self.directory.clone(), schemas::DIRECTORY_SCHEMA);
        ScopedTx::new(route, self.common.clone(), scope, access)
    }

    /// Where the tenant's store is, as far as this process knows.
    ///
    /// # Errors
    /// `TenantNotHere` when there is no such tenant.
    pub async fn placement(&self, tenant: TenantId) -> Result<Placement, DbError> {
        self.placements.of(tenant).await
    }

    /// Splits the tenants into those in the shared store and those with a store of their own, with its placement.
    ///
    /// # Errors
    /// When the directory cannot be queried.
    pub async fn split_by_store(
        &self,
        tenants: &[TenantId],
    ) -> Result<(Vec<TenantId>, Vec<(TenantId, Placement)>), DbError> {
        self.placements.split(tenants).await
    }

    /// Asks the directory whether the tenant's store exists at this placement.
    ///
    /// # Errors
    /// When the directory cannot be queried.
    pub async fn is_placed(&self, tenant: TenantId, at: &Placement) -> Result<bool, DbError> {
        Ok(self.placements.look(tenant, Instant::now()).await?.placement.as_ref() == Some(at))
    }

    /// Asks the directory whether the tenant has moved elsewhere, or is about to.
    ///
    /// # Errors
    /// When the directory cannot be queried.
    pub async fn has_left(&self, tenant: TenantId, place: &Placement) -> Result<bool, DbError> {
        let known = self.placements.look(tenant, Instant::now()).await?;
        Ok(known.is_moving || known.placement.is_some_and(|it| it != *place))
    }

    /// Counters of the transactions so far.
    pub fn stats(&self) -> &Stats {
        &self.common.stats
    }

    /// The tenants with background work to do, as this process's commits report them.
    pub fn wakeups(&self) -> &Wakeups {
        &self.common.wakeups
    }

    /// The changes that the commits of all processes report.
    pub fn changes(&self) -> &Changes {
        &self.common.changes
    }

    /// The state of the pools: the directory, the shared store, and all own stores together.
    pub fn pools(&self) -> [(&'static str, PoolStatus); 3] {
        let status = |pool: &Pool| {
            let status = pool.status();
            PoolStatus { open: status.size, idle: status.available, waiting: status.waiting }
        };
        let (open, idle, waiting) = self.placements.stores().status();
        let own = PoolStatus { open, idle, waiting };
        [("directory", status(&self.directory)), ("store", status(self.shared.pool())), ("own_stores", own)]
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// With the cause when it does not, after at most the pool's wait timeout.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.directory.get().await?.batch_execute("").await?;
        let (client, _uncommitted) = self.shared.get().await?.into_parts();
        Ok(client.batch_execute("").await?)
    }

    /// Closes unused connections to own stores.
    pub fn close_idle_stores(&self) {
        self.placements.stores().close_idle();
    }

    /// Closes the pools: connections close as they are returned, and no new transaction begins.
    pub fn close(&self) {
        self.directory.close();
        self.shared.pool().close();
        self.asking.close();
        self.placements.close();
    }
}

/// Whether this is the URL of a PostgreSQL database.
pub fn is_database_url(text: &str) -> bool {
    Config::from_str(text).is_ok()
}

/// The password in a URL, if it holds one.
pub fn url_password(url: &str) -> Option<Vec<u8>> {
    Config::from_str(url).ok()?.get_password().map(<[u8]>::to_vec)
}

/// Asks the directory, on one of these connections, where tenants are.
fn locate(pool: Pool, common: Arc<Common>) -> Locate {
    Box::new(move |tenants| {
        let route = Route::Pool(pool.clone(), DIRECTORY_SCHEMA);
        let directory = ScopedTx::new(route, common.clone(), Scope::directory_authenticator(), Access::Read);
        async move {
            let rows = directory.query(LOCATE, &[&tenants]).await?;
            directory.end_read();
            Ok(rows)
        }
        .boxed()
    })
}
