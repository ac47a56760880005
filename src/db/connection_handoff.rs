//! A pool that pipelines the COMMIT of a read-only transaction with the BEGIN of the next waiting caller. PostgreSQL is
//! then woken once for a transaction instead of twice.
//!
//! A transaction that is known to be a single, brief read hands its connection on as soon as its statement is sent. The
//! next caller's statements are already queued when PostgreSQL finishes the current one, so PostgreSQL need not be
//! woken for them. The transaction that handed the connection on sends nothing more on it, whatever happens to it. At
//! most [`LONGEST_CHAIN`] transactions are queued behind one another.
//!
//! When no caller is waiting, the commit is sent at once. A waiting caller also stands in the pool's own queue, so
//! nobody is passed over: all users of the pool go through this module. Nothing is handed on while the pool has fewer
//! connections than it may have, because then no new ones would be made. Nothing is handed on through a pooler in
//! transaction mode, because its server connections may serve others between two transactions.

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

/// How many transactions may be queued on a connection, including the first.
const LONGEST_CHAIN: usize = 4;

/// A pool's connection, shared by its users. It returns to the pool when the last of them drops it.
pub(super) struct Connection {
    /// `None` only while it is being dropped.
    object: Option<Object>,
    is_spoilt: AtomicBool,
}

impl Connection {
    pub(super) fn new(object: Object) -> Arc<Self> {
        Arc::new(Self { object: Some(object), is_spoilt: AtomicBool::new(false) })
    }

    /// Closes the connection on drop instead of returning it to the pool.
    pub(super) fn spoil(&self) {
        self.is_spoilt.store(true, Ordering::Relaxed);
    }
}

impl Deref for Connection {
    type Target = Object;

    fn deref(&self) -> &Object {
        // Unwrap safety: only `drop` takes it.
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

/// A pool, and the callers that wait for one of its connections.
pub(super) struct ConnectionHandoff {
    pool: Pool,
    /// Whether this process owns the sessions of its connections, which it does not through a pooler.
    is_direct: bool,
    /// In order of arrival. Each of them also waits for the pool, and some may have left since.
    waiting: Mutex<VecDeque<oneshot::Sender<PendingCommit>>>,
}

/// A connection whose last transaction has only read and is not yet committed.
pub(super) struct PendingCommit {
    /// `None` once another owner sends the commit.
    client: Option<Arc<Connection>>,
    /// How many transactions on it may still be unanswered.
    unanswered: usize,
}

impl PendingCommit {
    /// Leaves the commit to the caller. Returns how many earlier transactions may still be unanswered.
    pub(super) fn take(mut self) -> usize {
        self.client = None;
        self.unanswered
    }

    /// The connection, for a caller that does not send anything yet.
    pub(super) fn client(&self) -> Arc<Connection> {
        // Unwrap safety: only `take` empties it, and it consumes `self`.
        self.client.clone().expect("a connection")
    }
}

impl Drop for PendingCommit {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        match tokio::runtime::Handle::try_current() {
            // Kept from the pool until everything is answered.
            Ok(runtime) if self.unanswered > 0 => {
                runtime.spawn(async move { client.batch_execute("commit").await });
            }
            _ => write_now(client.batch_execute("commit")),
        }
    }
}

/// What a caller that asks for a connection gets.
pub(super) enum Handed {
    /// From the pool, between two transactions.
    Idle(Arc<Connection>),
    /// Handed on by another transaction.
    PendingCommit(PendingCommit),
}

impl Handed {
    /// The connection, and the transaction on it that is not yet committed.
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

    /// Whether the pool has made all the connections it may have. A caller that is making one must not be handed
    /// another meanwhile: its own would be thrown away.
    fn is_whole(&self) -> bool {
        let status = self.pool.status();
        status.size >= status.max_size
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Returns a connection as soon as one is available.
    ///
    /// # Errors
    /// When the pool's wait timeout expires, the pool is closed, or no connection can be made.
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

    /// Hands on a connection whose transaction has only read and in which nothing failed.
    pub(super) fn hand_on(&self, client: Arc<Connection>) {
        drop(self.offer(PendingCommit { client: Some(client), unanswered: 0 })); // Dropping it commits, when no caller took it.
    }

    /// Hands on a connection whose transaction has only read and has sent everything it will. `unanswered` counts the
    /// transactions on it that may not have been answered yet. Returns whether it did: only when a caller waits and the
    /// queue is not too long.
    pub(super) fn hand_on_unanswered(&self, client: &Arc<Connection>, unanswered: usize) -> bool {
        if unanswered >= LONGEST_CHAIN {
            return false;
        }
        let kept = self.offer(PendingCommit { client: Some(client.clone()), unanswered });
        kept.map(PendingCommit::take).is_none() // When it is kept, its owner commits.
    }

    /// Gives the connection to the first waiting caller. Returns it when no caller waits.
    fn offer(&self, mut handed: PendingCommit) -> Option<PendingCommit> {
        let may_be_handed = self.is_direct && !handed.client().is_closed() && self.is_whole();
        while may_be_handed && let Some(next) = self.next() {
            match next.send(handed) {
                Ok(()) => return None,
                Err(back) => handed = back, // That caller has left.
            }
        }
        Some(handed)
    }

    fn next(&self) -> Option<oneshot::Sender<PendingCommit>> {
        self.waiting.lock().pop_front()
    }
}
