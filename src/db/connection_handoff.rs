//! A pool whose connections go from hand to hand: who has only read leaves its `commit` to whoever waits for a connection,
//! whose `begin` it goes out with. So PostgreSQL is woken once for a transaction where it would be twice.
//!
//! Who knows that he reads once, and briefly, hands his connection on as soon as his statement is sent: the next one's
//! statements stand behind it when PostgreSQL is done with it, and it need not be woken for them. He sends nothing more on
//! that connection, whatever becomes of him. [`LONGEST_CHAIN`] of them stand behind one another at most.
//!
//! Where nobody waits, the commit goes out at once. Whoever waits is in line for the pool too, so nobody is passed over: all who
//! use the pool come through here. Nothing is handed on while the pool has lost connections, or else nobody would make new ones;
//! and nothing through a pooler in transaction mode, whose server connections are free for others between two transactions.

use std::{
    collections::VecDeque,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{Object, Pool, PoolError, Timeouts};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::flush::write_now;

/// How many transactions stand behind one another on a connection, the first one included.
const LONGEST_CHAIN: usize = 4;

/// A pool's connection, for those who share it. It goes back when the last of them lets go of it.
pub(super) struct Connection {
    /// `None` while it is dropped.
    object: Option<Object>,
    is_spoilt: AtomicBool,
}

impl Connection {
    pub(super) fn new(object: Object) -> Arc<Self> {
        Arc::new(Self { object: Some(object), is_spoilt: AtomicBool::new(false) })
    }

    /// Has it closed, instead of going back.
    pub(super) fn spoil(&self) {
        self.is_spoilt.store(true, Ordering::Relaxed);
    }
}

impl Deref for Connection {
    type Target = Object;

    fn deref(&self) -> &Object {
        // Unwrap safety: taken by `drop` alone.
        self.object.as_ref().expect("a connection")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && self.is_spoilt.load(Ordering::Relaxed)
        {
            drop(Object::take(object));
        }
    }
}

/// A pool, and those who wait for one of its connections.
pub(super) struct ConnectionHandoff {
    pool: Pool,
    /// Whether the pool's connections are ours from their begin to their end.
    is_direct: bool,
    /// In the order in which they came; they wait for the pool too, and some have gone since.
    waiting: Mutex<VecDeque<oneshot::Sender<PendingCommit>>>,
}

/// A connection whose last transaction has only read, and is still to be committed.
pub(super) struct PendingCommit {
    /// `None` once somebody else sends the commit.
    client: Option<Arc<Connection>>,
    /// How many transactions on it may not have been answered yet.
    unanswered: usize,
}

impl PendingCommit {
    /// Leaves the commit to the caller. Returns how many transactions before his may not have been answered yet.
    pub(super) fn take(mut self) -> usize {
        self.client = None;
        self.unanswered
    }

    /// The connection, for who does not send anything yet.
    pub(super) fn client(&self) -> Arc<Connection> {
        // Unwrap safety: `take` alone takes it, and `self` too.
        self.client.clone().expect("a connection")
    }
}

impl Drop for PendingCommit {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        match tokio::runtime::Handle::try_current() {
            // Kept from the pool until all is answered.
            Ok(runtime) if self.unanswered > 0 => {
                runtime.spawn(async move { client.batch_execute("commit").await });
            }
            _ => write_now(client.batch_execute("commit")),
        }
    }
}

/// What one gets who asks for a connection.
pub(super) enum Handed {
    /// From the pool, between two transactions.
    Idle(Arc<Connection>),
    /// From another's hand.
    PendingCommit(PendingCommit),
}

impl Handed {
    /// The connection, and the transaction on it that is still to be committed.
    pub(super) fn into_parts(self) -> (Arc<Connection>, Option<PendingCommit>) {
        match self {
            Self::Idle(client) => (client, None),
            Self::PendingCommit(it) => (it.client(), Some(it)),
        }
    }

    fn idle(client: Object) -> Self {
        Self::Idle(Connection::new(client))
    }
}

impl ConnectionHandoff {
    pub(super) fn new(pool: Pool, is_direct: bool) -> Self {
        Self { pool, is_direct, waiting: Mutex::default() }
    }

    /// Whether all connections are made that the pool may have. (Who makes one must not be handed another meanwhile: his own
    /// would be thrown away.)
    fn is_whole(&self) -> bool {
        let status = self.pool.status();
        status.size >= status.max_size
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A connection, as soon as there is one.
    ///
    /// # Errors
    /// When the pool's time to wait is over, it is closed, or no connection can be made.
    pub(super) async fn get(&self) -> Result<Handed, PoolError> {
        let at_once = Timeouts { wait: Some(Duration::ZERO), ..self.pool.timeouts() };
        match self.pool.timeout_get(&at_once).await {
            Err(PoolError::Timeout(deadpool_postgres::TimeoutType::Wait)) => {}
            got => return got.map(Handed::idle),
        }
        if !self.is_direct || !self.is_whole() {
            return self.pool.get().await.map(Handed::idle);
        }
        let (next, handed) = oneshot::channel();
        self.queue(next);
        tokio::select! {
            biased;
            Ok(handed) = handed => Ok(Handed::PendingCommit(handed)),
            got = self.pool.get() => got.map(Handed::idle),
        }
    }

    fn queue(&self, next: oneshot::Sender<PendingCommit>) {
        let mut waiting = self.waiting.lock();
        while waiting.front().is_some_and(oneshot::Sender::is_closed) {
            waiting.pop_front();
        }
        waiting.push_back(next);
    }

    /// Hands on a connection whose transaction has only read, and which nothing failed in.
    pub(super) fn hand_on(&self, client: Arc<Connection>) {
        drop(self.offer(PendingCommit { client: Some(client), unanswered: 0 })); // Which commits, where nobody took it.
    }

    /// Hands on a connection whose transaction has only read, and has sent all that it will, as the last of so many that may
    /// not have been answered yet. Returns whether it did: somebody has to wait for it, and not too many to stand before him.
    pub(super) fn hand_on_unanswered(&self, client: &Arc<Connection>, unanswered: usize) -> bool {
        if unanswered >= LONGEST_CHAIN {
            return false;
        }
        let kept = self.offer(PendingCommit { client: Some(client.clone()), unanswered });
        kept.map(PendingCommit::take).is_none() // Whoever keeps it commits it himself.
    }

    /// Gives a connection to who waits for it first; gives it back where nobody does.
    fn offer(&self, mut handed: PendingCommit) -> Option<PendingCommit> {
        let may_be_handed = self.is_direct && !handed.client().is_closed() && self.is_whole();
        while may_be_handed && let Some(next) = self.next() {
            match next.send(handed) {
                Ok(()) => return None,
                Err(back) => handed = back, // Who has gone.
            }
        }
        Some(handed)
    }

    fn next(&self) -> Option<oneshot::Sender<PendingCommit>> {
        self.waiting.lock().pop_front()
    }
}
