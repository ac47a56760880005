//! Who has a socket open, how many he may have, and whether he may stay.

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

/// How often it is asked whether people may stay: twice, with the answer, within a second.
const ASK_EVERY: Duration = Duration::from_millis(400);
/// How many stores of tenants' own are asked at the same time.
const ASKING_OWN: usize = 8;
/// How long one of them may take, while others wait for their turn.
const SILENT_FOR: Duration = Duration::from_secs(2);
/// How many people one statement asks about.
const PART: usize = 2_000;

/// What sockets may do.
#[derive(Clone, Debug)]
pub struct SocketSettings {
    /// Sockets of one user.
    pub each_user: usize,
    /// Operations at once on one socket.
    pub operations: usize,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Whether mutations may be sent.
    pub mutations: bool,
    /// How long a client may take to say who he is.
    pub init: Duration,
    /// How long a client may take to read a message.
    pub send: Duration,
    /// How often a silent client is asked whether it is there.
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
    /// What they may do.
    pub settings: SocketSettings,
    /// Every socket's task.
    pub tasks: TaskTracker,
    gate: Gate,
    table: Mutex<Table>,
    next: AtomicU64,
    ask_now: Notify,
    /// Tenants whose own store is being asked.
    asked: Mutex<HashSet<TenantId>>,
    asking_own: Semaphore,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Open>,
    /// Whether a task asks for them.
    is_asked: bool,
}

struct Open {
    viewer: Viewer,
    revoked: watch::Sender<Option<Revocation>>,
}

/// A place among the open sockets, until it is dropped.
pub struct SocketPlace {
    sockets: Arc<Sockets>,
    number: u64,
    /// Told when its user may not stay.
    pub revoked: watch::Receiver<Option<Revocation>>,
}

impl Sockets {
    /// Nobody is there.
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

    /// A place for one more socket of this user; `None` when he has as many as he may.
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

    /// Somebody was refused what he was allowed before: asks at once.
    pub fn ask_now(&self) {
        self.ask_now.notify_one();
    }

    /// As long as anybody is there.
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
            // Neighbours of one tenant are looked at in one scope.
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
        // A store that does not answer keeps nobody of another waiting, and is not asked again while it is.
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
            // Whose tenant is elsewhere by now is asked for there, the next time.
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

/// Nothing is read without the database either, so nobody learns what he may not.
fn cannot_ask(error: &DbError) {
    tracing::warn!(%error, "cannot ask whether people with open sockets may stay");
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
