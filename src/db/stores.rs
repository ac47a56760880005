//! Connections to tenants' own stores: a small pool for each store in use, opened on demand, all of them within one
//! budget.
//!
//! Every connection holds a place in the budget from before it is made until it is closed, whether in use or idle. A
//! caller that needs a place when none is left closes the least recently used idle connection. When none is idle, the
//! caller waits, and the next connection that is returned is closed for them instead of being kept. A connection in use
//! is never closed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tokio_postgres::{Client, Config, NoTls, error::SqlState};

use super::{
    DbError,
    connect::build,
    placement::{Location, Server},
    safety, see_only,
    session::Session,
};
use crate::base::counted::Counted;

/// How long a server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How many connections to another server may be opened at the same time.
const CONNECTING_EACH: usize = 4;
/// How long a connection may take to end once it is no longer wanted.
const ENDING: Duration = Duration::from_secs(1);
/// How long a server process takes to exit after it was asked to: until then the server counts it.
const GOING: Duration = Duration::from_millis(20);
/// How long a server may fail to acknowledge what is sent to it.
const SILENT_FOR: Duration = Duration::from_secs(15);
/// How long an unreachable store counts as unreachable before it is tried again.
const DOWN_FOR: Duration = Duration::from_secs(1);
/// How many callers may wait for each connection of a store.
const WAITING_EACH: usize = 64;

/// How many connections tenants' own stores get.
#[derive(Clone, Copy, Debug)]
pub struct StoreSettings {
    /// For all stores together, at any time.
    pub budget: usize,
    /// For each store.
    pub each: usize,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// The oldest store migration with which this program can serve the store.
    pub oldest: i32,
    /// Whether to refuse a store in which the login role could bypass the policies. Always on, except in tests of the
    /// filters alone.
    pub checks_role: bool,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            budget: 16,
            each: 4,
            idle: Duration::from_secs(60),
            oldest: super::migrations::OLDEST_STORE,
            checks_role: true,
        }
    }
}

/// All own stores that this process is or was recently connected to.
pub(super) struct Stores {
    base: Config,
    /// Bypasses the pooler, when there is one.
    direct: Option<Config>,
    settings: StoreSettings,
    wait: Duration,
    statement: Duration,
    budget: Arc<Semaphore>,
    /// How many callers wait for a place in the budget.
    wanting: AtomicUsize,
    /// How many connections were closed for them whose places are not free yet. (One too few when others end
    /// meanwhile.)
    leaving: Mutex<usize>,
    /// The part of the budget that each other server can block if it does not answer.
    servers: Mutex<HashMap<Server, Arc<Room>>>,
    open: Mutex<HashMap<Arc<Location>, Arc<Store>>>,
    is_kept_tidy: AtomicBool,
}

/// A part of the budget.
struct Room {
    /// For opening connections at the same time.
    connecting: Semaphore,
    /// For connections in use at the same time: three quarters of the budget.
    in_use: Arc<Semaphore>,
}

struct Store {
    pool: Pool,
    /// Set for a store on another server.
    room: Option<Arc<Room>>,
    /// How many callers are about to get a connection to it.
    asking: AtomicUsize,
    used: Mutex<Instant>,
    /// Set once the store was found fit to be served.
    fit: OnceCell<()>,
    down: Arc<Mutex<Option<Down>>>,
}

/// Since when a store has been unreachable, and why.
struct Down {
    since: Instant,
    why: String,
}

/// Held while a connection of the store is in use, and dropped after it.
pub(super) struct Lease {
    stores: Arc<Stores>,
    _store: Arc<Store>,
    _in_use: Option<OwnedSemaphorePermit>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The returned connection is idle now, and a caller may be waiting for its place.
        self.stores.make_room();
    }
}

impl Stores {
    pub(super) fn new(
        base: Config,
        direct: Option<Config>,
        settings: StoreSettings,
        wait: Duration,
        statement: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            base,
            direct,
            settings,
            wait,
            statement,
            budget: Arc::new(Semaphore::new(settings.budget)),
            wanting: AtomicUsize::new(0),
            leaving: Mutex::new(0),
            servers: Mutex::default(),
            open: Mutex::default(),
            is_kept_tidy: AtomicBool::new(false),
        })
    }

    /// A connection to this store.
    ///
    /// # Errors
    /// `StoreMissing` when there is none (any more); `Unavailable` when it cannot be reached or must not be served, at
    /// once if that is already known.
    pub(super) async fn connect(self: &Arc<Self>, location: &Arc<Location>) -> Result<(Object, Lease), DbError> {
        let store = self.store(location)?;
        if let Some(down) = &*store.down.lock()
            && down.since.elapsed() < DOWN_FOR
        {
            return Err(DbError::Unavailable(down.why.clone()));
        }
        let too_many = || DbError::Unavailable("too many requests are waiting for the tenant's store".into());
        let _asking = Counted::up_to(self.settings.each * WAITING_EACH, &store.asking).ok_or_else(too_many)?;
        let _in_use = match &store.room {
            None => None,
            Some(room) => {
                let place = tokio::time::timeout(self.wait, room.in_use.clone().acquire_owned()).await;
                let all_wait = || DbError::Unavailable("all connections to the tenant's server are in use".into());
                Some(place.ok().and_then(Result::ok).ok_or_else(all_wait)?)
            }
        };
        let lease = Lease { stores: self.clone(), _store: store.clone(), _in_use };
        let got = tokio::time::timeout(self.wait + CONNECT_LIMIT, store.pool.get()).await;
        let client = match got {
            Ok(Ok(client)) => client,
            Ok(Err(PoolError::Backend(error))) if is_missing(&error) => return Err(DbError::StoreMissing),
            Ok(Err(error)) => {
                // A lack of room says nothing about the store.
                if !matches!(error, PoolError::Timeout(_)) {
                    note_down(&store.down, error.to_string());
                }
                return Err(error.into());
            }
            Err(_) => return Err(DbError::Unavailable("the tenant's store does not accept connections".into())),
        };
        // Boxed, because it runs once and every transaction passes here: it must not enlarge each of them.
        let look = || {
            Box::pin(async {
                let looked = tokio::time::timeout(CONNECT_LIMIT, self.look(&client, location)).await;
                looked.unwrap_or_else(|_| Err(DbError::Unavailable("the tenant's store does not answer".into())))
            })
        };
        if let Err(error) = store.fit.get_or_try_init(look).await {
            if !matches!(error, DbError::StoreMissing) {
                tracing::error!(%error, store = %location, "a tenant's store cannot be served");
                note_down(&store.down, error.to_string());
            }
            drop(client); // Before the lease.
            return Err(error);
        }
        *store.down.lock() = None;
        *store.used.lock() = Instant::now();
        Ok((client, lease))
    }

    async fn look(&self, client: &Client, location: &Location) -> Result<(), DbError> {
        let Some(direct) = &self.direct else { return self.look_by(client, &location.schema).await };
        // The check uses named statements and sets a search path, neither of which may go through the pooler.
        let mut config = location.config(direct);
        config.application_name("tenantry").connect_timeout(CONNECT_LIMIT);
        let (client, connection) = config.connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        see_only(&client, &location.schema).await?;
        let found = self.look_by(&client, &location.schema).await;
        drop(client);
        let _ = connection.await;
        found
    }

    async fn look_by(&self, client: &Client, schema: &str) -> Result<(), DbError> {
        let version = safety::store_version(client, schema).await?.ok_or(DbError::StoreMissing)?;
        if version < self.settings.oldest {
            let oldest = self.settings.oldest;
            return Err(DbError::Unavailable(format!(
                "the store is at migration {version}, expected at least {oldest}"
            )));
        }
        if !self.settings.checks_role {
            return Ok(());
        }
        let findings = safety::findings(client, &[schema]).await?;
        if findings.is_empty() { Ok(()) } else { Err(DbError::Unavailable(findings.join("; "))) }
    }

    fn store(self: &Arc<Self>, location: &Arc<Location>) -> Result<Arc<Store>, DbError> {
        if !self.is_kept_tidy.swap(true, Ordering::Relaxed) {
            tokio::spawn(keep_tidy(Arc::downgrade(self), self.settings.idle));
        }
        let mut open = self.open.lock();
        if let Some(store) = open.get(location) {
            return Ok(store.clone());
        }
        let down = Arc::default();
        let room = location.server.as_ref().map(|it| self.room(it));
        let budgeted = Budgeted { stores: Arc::downgrade(self), down: Arc::clone(&down), room: room.clone() };
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let mut config = location.config(&self.base);
        config.application_name("tenantry").connect_timeout(CONNECT_LIMIT).tcp_user_timeout(SILENT_FOR);
        let manager = Manager::from_connect(config, budgeted, recycling);
        let session = self.direct.is_none().then(|| Session::new(&location.schema, self.statement));
        let pool = build(manager, session, self.settings.each, self.wait)?;
        let (asking, used) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        let store = Arc::new(Store { pool, room, asking, used, fit: OnceCell::new(), down });
        open.insert(location.clone(), store.clone());
        Ok(store)
    }

    fn room(&self, server: &Server) -> Arc<Room> {
        let in_use = (self.settings.budget * 3 / 4).max(1);
        let new = || Room { connecting: Semaphore::new(CONNECTING_EACH), in_use: Arc::new(Semaphore::new(in_use)) };
        self.servers.lock().entry(server.clone()).or_insert_with(|| new().into()).clone()
    }

    /// A place in the budget. Another caller's idle connection may be closed to free one.
    async fn place(self: Arc<Self>) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = self.budget.clone().try_acquire_owned() {
            return Some(place);
        }
        let _wanting = Counted::one(&self.wanting);
        self.make_room();
        self.budget.clone().acquire_owned().await.ok()
    }

    /// Closes idle connections while more callers wait for a place than places are about to be free.
    fn make_room(&self) {
        if self.wanting.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Held during the search: a connection returned meanwhile is considered after it.
        let mut leaving = self.leaving.lock();
        while *leaving < self.wanting.load(Ordering::SeqCst) && self.close_longest_idle() {
            *leaving += 1;
        }
    }

    /// A connection has ended and its place is free.
    fn one_has_left(&self) {
        let mut leaving = self.leaving.lock();
        *leaving = leaving.saturating_sub(1);
        drop(leaving);
        self.make_room();
    }

    /// Closes one idle connection of the least recently used store. Returns whether there was one.
    fn close_longest_idle(&self) -> bool {
        // (The pool's `available` excludes connections that its own waiters will get, so each pool is inspected.)
        let mut stores: Vec<_> = {
            let open = self.open.lock();
            open.values().filter(|it| it.pool.status().size > 0).map(|it| (*it.used.lock(), it.clone())).collect()
        };
        stores.sort_by_key(|(used, _)| *used);
        for (_, store) in stores {
            let mut is_closed = false;
            // One that the server has ended frees no place: its place is free already.
            store.pool.retain(|client, _| !client.is_closed() && std::mem::replace(&mut is_closed, true));
            if is_closed {
                return true;
            }
        }
        false
    }

    /// Closes connections that have been idle for long, and forgets stores without connections.
    fn tidy(&self) {
        let idle = self.settings.idle;
        self.open.lock().retain(|_, store| {
            store.pool.retain(|_, metrics| metrics.last_used() < idle);
            let is_used = Arc::strong_count(store) > 1 || store.pool.status().size > 0;
            is_used || store.used.lock().elapsed() < idle
        });
    }

    /// Connections: open, idle, and the number of callers waiting for one.
    pub(super) fn status(&self) -> (usize, usize, usize) {
        let open = self.open.lock();
        let sum = |count: fn(&Store) -> usize| open.values().map(|it| count(it)).sum();
        (
            self.settings.budget - self.budget.available_permits(),
            sum(|it| it.pool.status().available),
            self.wanting.load(Ordering::Relaxed) + sum(|it| it.pool.status().waiting),
        )
    }

    /// Closes all idle connections.
    pub(super) fn close_idle(&self) {
        for store in self.open.lock().values() {
            store.pool.retain(|_, _| false);
        }
    }

    /// Closes all pools: connections close as they are returned.
    pub(super) fn close(&self) {
        self.budget.close();
        for store in self.open.lock().drain() {
            store.1.pool.close();
        }
    }
}

fn note_down(down: &Mutex<Option<Down>>, why: String) {
    *down.lock() = Some(Down { since: Instant::now(), why });
}

/// Whether the database does not exist, rather than that the server refuses the connection.
fn is_missing(error: &tokio_postgres::Error) -> bool {
    // Or the database is about to be dropped and accepts no connections any more.
    let missing = [SqlState::INVALID_CATALOG_NAME, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
    error.code().is_some_and(|it| missing.contains(it))
}

async fn keep_tidy(stores: Weak<Stores>, idle: Duration) {
    loop {
        tokio::time::sleep(idle / 2).await;
        let Some(stores) = stores.upgrade() else { return };
        stores.tidy();
    }
}

/// Opens connections that hold a place in the budget until they are closed.
struct Budgeted {
    stores: Weak<Stores>,
    down: Arc<Mutex<Option<Down>>>,
    room: Option<Arc<Room>>,
}

impl Connect for Budgeted {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        Box::pin(async move {
            let _connecting = match &self.room {
                Some(room) => room.connecting.acquire().await.ok(),
                None => None,
            };
            let stores = self.stores.clone();
            let place = match stores.upgrade() {
                Some(stores) => stores.place().await,
                None => None,
            };
            let Ok(connected) = tokio::time::timeout(CONNECT_LIMIT, config.connect(NoTls)).await else {
                note_down(&self.down, "the server of the tenant's store does not answer".into());
                drop(place);
                // There is no tokio-postgres error to return here: the pool's own timeout ends this.
                return std::future::pending().await;
            };
            let (client, connection) = connected?;
            // The pool aborts the task that it is given when it drops a client. The connection must then close by
            // itself, so that the server is notified. If the server is silent and it cannot close, it gives its place
            // back anyway.
            let (is_wanted, dropped) = tokio::sync::oneshot::channel::<()>();
            let watch = tokio::spawn(async move {
                let _is_wanted = is_wanted;
                std::future::pending().await
            });
            tokio::spawn(async move {
                let mut connection = std::pin::pin!(connection);
                tokio::select! {
                    ended = &mut connection => if let Err(error) = ended {
                        tracing::debug!(%error, "a connection to a tenant's store was lost");
                    },
                    _ = dropped => drop(tokio::time::timeout(ENDING, connection).await),
                }
                tokio::time::sleep(GOING).await;
                drop(place);
                if let Some(stores) = stores.upgrade() {
                    stores.one_has_left();
                }
            });
            Ok((client, watch))
        })
    }
}
