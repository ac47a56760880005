//! State that all transactions of this process share.

use std::{sync::atomic::AtomicU64, time::Duration};

use super::{changes::Changes, unprepared::Types, wakeups::Wakeups};

/// Counters of this process's transactions since it started.
#[derive(Debug, Default)]
pub struct Stats {
    /// Transactions begun.
    pub transactions: AtomicU64,
    /// Statements run, without `begin`, `enter`, savepoints and `commit`.
    pub statements: AtomicU64,
    /// Transactions begun on a connection that another transaction handed on (`db/connection_handoff.rs`).
    pub handed_on: AtomicU64,
    /// How many of those began behind one that may not have been answered yet.
    pub chained: AtomicU64,
    /// Transactions dropped without a commit or rollback.
    pub abandoned: AtomicU64,
}

/// The state of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolStatus {
    /// Open connections.
    pub open: usize,
    /// Connections that are not in use.
    pub idle: usize,
    /// Callers waiting for a connection.
    pub waiting: usize,
}

/// State that all transactions of this process share.
pub(super) struct Common {
    pub stats: Stats,
    pub wakeups: Wakeups,
    pub changes: Changes,
    /// How long a statement waits for its answer.
    pub patience: Duration,
    /// Set when connections go through a pooler in transaction mode, which gives each transaction another session.
    pub pooler: Option<Pooler>,
}

/// Settings that each transaction must send, because no session keeps them.
pub(super) struct Pooler {
    pub types: Types,
    /// The longest a statement may run.
    pub statement: Duration,
}
