//! A pool whose connections go from hand to hand: who has only read leaves its `commit` to whoever waits for a connection,
//! whose `begin` it goes out with. So PostgreSQL is woken once for a transaction where it would be twice.
//!
//! Where nobody waits, the commit goes out at once. Whoever waits is in line for the pool too, so nobody is passed over: all who
//! use the pool come through here. Nothing is handed on while the pool has lost connections, or else nobody would make new ones;
//! and nothing through a pooler in transaction mode, whose server connections are free for others between two transactions.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use deadpool_postgres::{Object, Pool, PoolError, Timeouts};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::tx::write_now;

/// A pool, and those who wait for one of its connections.
pub(super) struct Handing {
    pool: Pool,
    /// Whether the pool's connections are ours from their begin to their end.
    is_direct: bool,
    /// In the order in which they came; they wait for the pool too, and some have gone since.
    waiting: Mutex<VecDeque<oneshot::Sender<Uncommitted>>>,
}

/// A connection whose last transaction has only read, and is still to be committed.
pub(super) struct Uncommitted(Option<Arc<Object>>);

impl Uncommitted {
    /// The connection, for who sends the commit himself.
    pub fn take(mut self) -> Arc<Object> {
        // Unwrap safety: this alone takes it, and takes `self` too.
        self.0.take().expect("a connection")
    }

    /// The connection, for who does not send anything yet.
    pub fn client(&self) -> Arc<Object> {
        // Unwrap safety: `take` alone takes it, and `self` too.
        self.0.clone().expect("a connection")
    }
}

impl Drop for Uncommitted {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            write_now(client.batch_execute("commit"));
        }
    }
}

/// What one gets who asks for a connection.
pub(super) enum Handed {
    /// From the pool, between two transactions.
    Idle(Arc<Object>),
    /// From another's hand.
    Uncommitted(Uncommitted),
}

impl Handed {
    /// The connection, and the transaction on it that is still to be committed.
    pub fn into_parts(self) -> (Arc<Object>, Option<Uncommitted>) {
        match self {
            Self::Idle(client) => (client, None),
            Self::Uncommitted(it) => (it.client(), Some(it)),
        }
    }

    fn idle(client: Object) -> Self {
        Self::Idle(Arc::new(client))
    }
}

impl Handing {
    pub fn new(pool: Pool, is_direct: bool) -> Self {
        Self { pool, is_direct, waiting: Mutex::default() }
    }

    /// Whether all connections are made that the pool may have. (Who makes one must not be handed another meanwhile: his own
    /// would be thrown away.)
    fn is_whole(&self) -> bool {
        let status = self.pool.status();
        status.size >= status.max_size
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A connection, as soon as there is one.
    ///
    /// # Errors
    /// When the pool's time to wait is over, it is closed, or no connection can be made.
    pub async fn get(&self) -> Result<Handed, PoolError> {
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
            Ok(handed) = handed => Ok(Handed::Uncommitted(handed)),
            got = self.pool.get() => got.map(Handed::idle),
        }
    }

    fn queue(&self, next: oneshot::Sender<Uncommitted>) {
        let mut waiting = self.waiting.lock();
        while waiting.front().is_some_and(oneshot::Sender::is_closed) {
            waiting.pop_front();
        }
        waiting.push_back(next);
    }

    /// Hands on a connection whose transaction has only read, and which nothing failed in.
    pub fn hand_on(&self, client: Arc<Object>) {
        let may_be_handed = self.is_direct && !client.is_closed() && self.is_whole();
        let mut handed = Uncommitted(Some(client));
        while may_be_handed && let Some(next) = self.next() {
            match next.send(handed) {
                Ok(()) => return,
                Err(back) => handed = back, // Who has gone.
            }
        }
    }

    fn next(&self) -> Option<oneshot::Sender<Uncommitted>> {
        self.waiting.lock().pop_front()
    }
}
