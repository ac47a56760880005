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

/// How long after a statement's time its answer may come: past that the server is silent, not slow.
const SILENCE: Duration = Duration::from_secs(3);

/// Connections with one task each: asking whether people may stay, looking up where tenants are, carrying hints, and looking
/// whether the database is ready.
const ALONE: usize = 4;

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
    /// Connections to stores of tenants' own.
    pub stores: StoreSettings,
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
        Self { max_connections, each_tenant, wait, statement, stores: StoreSettings::default() }
    }

    /// Most connections that a process holds at once, all its pools together.
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

/// Opens scoped transactions and does nothing else: what is handed up instead of a pool.
#[derive(Clone)]
pub struct Gate {
    directory: Pool,
    /// The tenants in shared tables.
    shared: Arc<ConnectionHandoff>,
    /// One connection to the shared tables that no flood takes: for asking whether people may stay.
    asking: Pool,
    placements: Arc<PlacementCache>,
    common: Arc<Common>,
}

impl Gate {
    /// Prepares the pools. No connection is made before the first transaction.
    ///
    /// # Errors
    /// When the URL is not one of PostgreSQL's.
    pub fn try_new(database_url: &str, settings: PoolSettings) -> Result<Self, DbError> {
        Self::try_prepare(database_url, None, settings)
    }

    /// The same through a pooler in transaction mode: nothing is left to a session, and no statement has a name. The second
    /// URL leads past the pooler.
    ///
    /// # Errors
    /// When one of the URLs is not one of PostgreSQL's.
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
    /// In a scope of the directory, which has no tenant.
    pub fn tenant(&self, scope: Scope, access: Access) -> ScopedTx {
        ScopedTx::new(Route::Tenant(self.placements.clone()), self.common.clone(), scope, access)
    }

    /// A transaction of the platform in the shared store, which belongs to no tenant and sees nothing itself: for functions
    /// that look at each of many tenants in that tenant's own scope.
    pub fn shared(&self) -> ScopedTx {
        let route = Route::Shared(self.shared.clone());
        ScopedTx::new(route, self.common.clone(), Scope::platform(None), Access::Read)
    }

    /// The same on a connection of its own: whoever has lost his right to be there is found however busy the others are.
    pub fn asking(&self) -> ScopedTx {
        let route = Route::Pool(self.asking.clone(), schemas::SHARED_SCHEMA);
        ScopedTx::new(route, self.common.clone(), Scope::platform(None), Access::Read)
    }

    /// The same for this tenant, wherever it is.
    ///
    /// # Errors
    /// When it is not known where the tenant is.
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
    /// `TenantNotHere` where there is no such tenant.
    pub async fn placement(&self, tenant: TenantId) -> Result<Placement, DbError> {
        self.placements.of(tenant).await
    }

    /// Those of the tenants that are in the shared store, and those that have a store of their own, with where it is.
    ///
    /// # Errors
    /// When the directory cannot be asked.
    pub async fn split_by_store(
        &self,
        tenants: &[TenantId],
    ) -> Result<(Vec<TenantId>, Vec<(TenantId, Placement)>), DbError> {
        self.placements.split(tenants).await
    }

    /// Asks the directory whether the tenant's store is there, at this place.
    ///
    /// # Errors
    /// When the directory cannot be asked.
    pub async fn is_placed(&self, tenant: TenantId, at: &Placement) -> Result<bool, DbError> {
        Ok(self.placements.look(tenant, Instant::now()).await?.placement.as_ref() == Some(at))
    }

    /// Asks the directory whether the tenant is elsewhere by now, or about to be.
    ///
    /// # Errors
    /// When the directory cannot be asked.
    pub async fn has_left(&self, tenant: TenantId, place: &Placement) -> Result<bool, DbError> {
        let known = self.placements.look(tenant, Instant::now()).await?;
        Ok(known.is_moving || known.placement.is_some_and(|it| it != *place))
    }

    /// What the transactions did so far.
    pub fn stats(&self) -> &Stats {
        &self.common.stats
    }

    /// Who has background work to do, as the commits of this process tell.
    pub fn wakeups(&self) -> &Wakeups {
        &self.common.wakeups
    }

    /// What changes, as the commits of all processes tell.
    pub fn changes(&self) -> &Changes {
        &self.common.changes
    }

    /// How the pools stand: directory, shared store, and the stores of tenants' own together.
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
    /// With the cause when it does not, after at most the pool's waiting time.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.directory.get().await?.batch_execute("").await?;
        let (client, _uncommitted) = self.shared.get().await?.into_parts();
        Ok(client.batch_execute("").await?)
    }

    /// Closes connections to stores of tenants' own that nobody uses.
    pub fn close_idle_stores(&self) {
        self.placements.stores().close_idle();
    }

    /// Closes the pools: connections end as they come back, and nothing new begins.
    pub fn close(&self) {
        self.directory.close();
        self.shared.pool().close();
        self.asking.close();
        self.placements.close();
    }
}

/// Whether this is a URL of a PostgreSQL database.
pub fn is_database_url(text: &str) -> bool {
    Config::from_str(text).is_ok()
}

/// The password in a URL, if it holds one.
pub fn url_password(url: &str) -> Option<Vec<u8>> {
    Config::from_str(url).ok()?.get_password().map(<[u8]>::to_vec)
}

/// Asks the directory on one of these connections where tenants are.
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
