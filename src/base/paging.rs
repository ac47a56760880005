//! Keyset pagination: what features receive and return. The GraphQL layer reads and writes cursors.

use jiff::Timestamp;
use uuid::Uuid;

/// A row's position in a list ordered by time.
pub type TimeKey = (Timestamp, Uuid);

/// Earlier and later than every stored time: they replace an absent bound.
///
/// So one plan serves all bounds and uses the index. `coalesce` in SQL would prevent that: the planner regards it as a
/// function that could leak a row which the policy hides, so it evaluates the policy first and applies the bound as a
/// filter over all rows before the page (`contain_leaked_vars` in PostgreSQL's `clauses.c` knows which functions are
/// harmless). `$1 is null or …` would prevent it too, because it is not an index condition.
pub const EARLIEST: Timestamp = Timestamp::constant(-62_135_596_800, 0); // 0001-01-01
/// See [`EARLIEST`].
pub const LATEST: Timestamp = Timestamp::constant(253_370_764_800, 0); // 9999-01-01

/// The keys between which a page lies in a list ordered by time, both exclusive.
#[derive(Clone, Copy, Debug)]
pub struct TimeBounds {
    /// Only rows later than this.
    pub lower: TimeKey,
    /// Only rows earlier than this.
    pub upper: TimeKey,
}

impl TimeBounds {
    fn of(lower: Option<TimeKey>, upper: Option<TimeKey>) -> Self {
        Self { lower: lower.unwrap_or((EARLIEST, Uuid::nil())), upper: upper.unwrap_or((LATEST, Uuid::max())) }
    }
}

/// Which rows are requested.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page<K> {
    /// The most rows to return.
    pub limit: usize,
    /// Whether to return the last rows instead of the first.
    pub from_the_back: bool,
    /// Only rows past this key.
    pub after: Option<K>,
    /// Only rows before this key.
    pub before: Option<K>,
}

impl<K> Page<K> {
    /// How many rows to request from the database: one more than wanted, which shows whether there are others.
    pub fn fetch(&self) -> i64 {
        self.limit as i64 + 1
    }

    /// Puts the rows that the database found, in scan order, into the list's order.
    pub fn slice<T>(&self, mut rows: Vec<(K, T)>) -> Slice<K, T> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        if self.from_the_back {
            rows.reverse();
            Slice { rows, has_previous: more, has_next: self.before.is_some() }
        } else {
            Slice { rows, has_previous: self.after.is_some(), has_next: more }
        }
    }
}

impl Page<TimeKey> {
    /// The bounds in a list that is oldest first.
    pub fn bounds(&self) -> TimeBounds {
        TimeBounds::of(self.after, self.before)
    }

    /// The bounds in a list that is newest first, where later rows have smaller keys.
    pub fn bounds_newest_first(&self) -> TimeBounds {
        TimeBounds::of(self.before, self.after)
    }
}

/// Rows of a list in order, each with its key.
#[derive(Clone, Debug)]
pub struct Slice<K, T> {
    /// At most as many as were requested.
    pub rows: Vec<(K, T)>,
    /// Whether there are rows before these (when paging forward: whether a cursor was given).
    pub has_previous: bool,
    /// Whether there are rows after these (when paging backward: whether a cursor was given).
    pub has_next: bool,
}
