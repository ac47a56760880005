//! Open sockets: how many each user may have, and whether their sessions are still valid.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::{
    base::ids::TenantId,
    core::{identity::Viewer, telemetry},
    db::{Access, DbError, Gate, Placement, Scope, ScopedTx},
    features::auth::{self, Revocation},
};

/// How often sessions are checked: with the response, twice within a second.
const ASK_EVERY: Duration = Duration::from_millis(400);
/// How many dedicated stores are checked at the same time.
const ASKING_OWN: usize = 8;
/// How long one of them may take, while others wait.
const SILENT_FOR: Duration = Duration::from_secs(2);
/// Maximum number of users in one statement.
const PART: usize = 2_000;

/// The limits of sockets.
#[derive(Clone, Debug)]
pub struct SocketSettings {
    /// Maximum number of sockets of one user.
    pub each_user: usize,
    /// Maximum number of running operations on one socket.
    pub operations: usize,
    /// Maximum bytes of a message.
    pub message_bytes: usize,
    /// Whether mutations are allowed.
    pub mutations: bool,
    /// How long a client may take to send `connection_init`.
    pub init: Duration,
    /// How long a client may take to read a message.
    pub send: Duration,
    /// How often the server pings a client.
    pub ping_every: Duration,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            each_user: 20,
            operations: 50,
            message_bytes: 64 * 1024,
            mutations: false,
            init: Duration::from_secs(5),
            send: Duration::from_secs(10),
            ping_every: Duration::from_secs(15),
        }
    }
}

/// Every open socket of this process.
pub struct Sockets {
    /// The limits of each socket.
    pub settings: SocketSettings,
    /// The tasks of all sockets.
    pub tasks: TaskTracker,
    gate: Gate,
    table: Mutex<Table>,
    next: AtomicU64,
    ask_now: Notify,
    /// Tenants whose own store is being checked.
    asked: Mutex<HashSet<TenantId>>,
    asking_own: Semaphore,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Open>,
    /// Whether a task is checking them.
    is_asked: bool,
}

struct Open {
    viewer: Viewer,
    revoked: watch::Sender<Option<Revocation>>,
}

/// A place among the open sockets, held until it is dropped.
pub struct SocketPlace {
    sockets: Arc<Sockets>,
    number: u64,
    /// Signals that its user's access has ended.
    pub revoked: watch::Receiver<Option<Revocation>>,
}

impl Sockets {
    /// Starts without sockets.
    pub fn new(settings: SocketSettings, gate: Gate) -> Arc<Self> {
        Arc::new(Self {
            settings,
            tasks: TaskTracker::new(),
            gate,
            table: Mutex::default(),
            next: AtomicU64::new(0),
            ask_now: Notify::new(),
            asked: Mutex::default(),
            asking_own: Semaphore::new(ASKING_OWN),
        })
    }

    /// A place for one more socket of this user; `None` when the user has the maximum number.
    pub fn enter(self: &Arc<Self>, viewer: Viewer) -> Option<SocketPlace> {
        let mut table = self.table.lock();
        if table.open.values().filter(|it| is_same_user(&it.viewer, &viewer)).count() >= self.settings.each_user {
            return None;
        }
        let (revoked, receiver) = watch::channel(None);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        table.open.insert(number, Open { viewer, revoked });
        telemetry::note_sockets(table.open.len());
        if !std::mem::replace(&mut table.is_asked, true) {
            tokio::spawn(self.clone().keep_asking());
        }
        Some(SocketPlace { sockets: self.clone(), number, revoked: receiver })
    }

    /// A user was refused something that was allowed before: checks all sessions at once.
    pub fn ask_now(&self) {
        self.ask_now.notify_one();
    }

    /// Checks sessions as long as any socket is open.
    async fn keep_asking(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                () = self.ask_now.notified() => {}
            }
            let mut people: Vec<(u64, Viewer)> = {
                let mut table = self.table.lock();
                if table.open.is_empty() {
                    table.is_asked = false;
                    return;
                }
                table.open.iter().map(|(number, it)| (*number, it.viewer)).collect()
            };
            // Users of one tenant are checked in one scope.
            people.sort_by_key(|(_, viewer)| viewer.tenant);
            for part in people.chunks(PART) {
                self.ask(part).await;
            }
        }
    }

    async fn ask(self: &Arc<Self>, people: &[(u64, Viewer)]) {
        let tenants: Vec<_> = people.iter().map(|(_, viewer)| viewer.tenant).collect();
        let (shared, own) = match self.gate.split_by_store(&tenants).await {
            Ok(split) => split,
            Err(error) => return cannot_ask(&error),
        };
        let among = |tenants: &HashSet<TenantId>| -> Vec<(u64, Viewer)> {
            people.iter().filter(|(_, viewer)| tenants.contains(&viewer.tenant)).copied().collect()
        };
        // A store that does not respond delays no other store, and is not checked again while a check is running.
        for (tenant, place) in own.into_iter().collect::<HashMap<_, _>>() {
            if !self.asked.lock().insert(tenant) {
                continue;
            }
            let (sockets, people) = (self.clone(), among(&HashSet::from([tenant])));
            tokio::spawn(async move {
                if let Ok(_turn) = sockets.asking_own.acquire().await {
                    let tx = sockets.gate.tenant(Scope::platform(Some(tenant)), Access::Read);
                    let asked = tokio::time::timeout(SILENT_FOR, sockets.ask_store(tx, &place, people)).await;
                    asked.unwrap_or_else(|_| cannot_ask(&DbError::Timeout));
                }
                sockets.asked.lock().remove(&tenant);
            });
        }
        let shared = shared.into_iter().collect();
        self.ask_store(self.gate.asking(), &Placement::Shared, among(&shared)).await;
    }

    async fn ask_store(&self, tx: ScopedTx, place: &Placement, people: Vec<(u64, Viewer)>) {
        if people.is_empty() {
            return;
        }
        let viewers: Vec<Viewer> = people.iter().map(|(_, viewer)| *viewer).collect();
        let revoked = match auth::revoked(&tx, &viewers).await {
            Ok(revoked) => revoked,
            Err(error) => return cannot_ask(&error),
        };
        tx.end_read();
        for (at, fall) in revoked {
            let Some((number, viewer)) = people.get(at) else { continue };
            // A user whose tenant has moved is checked in the new store next time.
            if matches!(fall, Revocation::TenantGone) && self.gate.has_left(viewer.tenant, place).await.unwrap_or(true)
            {
                continue;
            }
            if let Some(it) = self.table.lock().open.get(number) {
                it.revoked.send_replace(Some(fall));
            }
        }
    }
}

/// Logs the failure. Without the database nothing can be read either, so no user sees data without permission.
fn cannot_ask(error: &DbError) {
    tracing::warn!(%error, "cannot check the sessions of open sockets");
}

fn is_same_user(one: &Viewer, other: &Viewer) -> bool {
    (one.tenant, one.user) == (other.tenant, other.user)
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        let mut table = self.sockets.table.lock();
        table.open.remove(&self.number);
        telemetry::note_sockets(table.open.len());
    }
}
