//! What all transactions of this process have in common.

use std::{sync::atomic::AtomicU64, time::Duration};

use super::{changes::Changes, unprepared::Types, wakeups::Wakeups};

/// What the transactions of this process did, since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Transactions begun.
    pub transactions: AtomicU64,
    /// Statements run, without `begin`, `enter`, savepoints and `commit`.
    pub statements: AtomicU64,
    /// Transactions begun on a connection that another transaction has handed on (`db/connection_handoff.rs`).
    pub handed_on: AtomicU64,
    /// Those of them that begin behind one that may not have been answered yet.
    pub chained: AtomicU64,
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

/// What all transactions of this process have in common.
pub(super) struct Common {
    pub stats: Stats,
    pub wakeups: Wakeups,
    pub changes: Changes,
    /// How long a statement waits for its answer.
    pub patience: Duration,
    /// Set where connections lead through a pooler in transaction mode, which gives each transaction another session.
    pub pooler: Option<Pooler>,
}

/// What is to be said in each transaction, because no session remembers it.
pub(super) struct Pooler {
    pub types: Types,
    /// The longest time of a statement.
    pub statement: Duration,
}
