//! A page of a list by keyset: what features are asked for and give back. The GraphQL floor reads and writes cursors.

use jiff::Timestamp;
use uuid::Uuid;

/// Where a row stands in a list by time.
pub type TimeKey = (Timestamp, Uuid);

/// Before every time that is kept, and after every one: what stands for a bound that is not there.
///
/// One plan for all bounds finds its place in the index so. With `coalesce` in SQL it would not: to the planner that is a
/// function which could tell of a row what the policy keeps secret, so it waits for the policy and becomes a filter over all
/// rows before the page (`contain_leaked_vars` in PostgreSQL's `clauses.c` knows which are harmless). Nor would it with
/// `$1 is null or …`, which is no place in an index.
pub const EARLIEST: Timestamp = Timestamp::constant(-62_135_596_800, 0); // 0001-01-01
/// See [`EARLIEST`].
pub const LATEST: Timestamp = Timestamp::constant(253_370_764_800, 0); // 9999-01-01

/// Between which keys a page lies in a list by time, both left out.
#[derive(Clone, Copy, Debug)]
pub struct TimeBounds {
    /// Only rows that are later.
    pub lower: TimeKey,
    /// Only rows that are earlier.
    pub upper: TimeKey,
}

impl TimeBounds {
    fn of(lower: Option<TimeKey>, upper: Option<TimeKey>) -> Self {
        Self { lower: lower.unwrap_or((EARLIEST, Uuid::nil())), upper: upper.unwrap_or((LATEST, Uuid::max())) }
    }
}

/// Which rows are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page<K> {
    /// At most so many.
    pub limit: usize,
    /// The last ones instead of the first.
    pub from_the_back: bool,
    /// Only rows past this key.
    pub after: Option<K>,
    /// Only rows before this key.
    pub before: Option<K>,
}

impl<K> Page<K> {
    /// What to ask the database for: one row more than wanted tells whether there are others.
    pub fn fetch(&self) -> i64 {
        self.limit as i64 + 1
    }

    /// Puts what the database found, in the order in which it was scanned, into the list's order.
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
    /// Of a list that is oldest first.
    pub fn bounds(&self) -> TimeBounds {
        TimeBounds::of(self.after, self.before)
    }

    /// Of a list that is newest first: what comes after is smaller.
    pub fn bounds_newest_first(&self) -> TimeBounds {
        TimeBounds::of(self.before, self.after)
    }
}

/// Rows of a list in order, each with its key.
#[derive(Clone, Debug)]
pub struct Slice<K, T> {
    /// At most as many as were wanted.
    pub rows: Vec<(K, T)>,
    /// Whether rows stand before these (when paging forward: whether a cursor was given).
    pub has_previous: bool,
    /// Whether rows stand after these (when paging backward: whether a cursor was given).
    pub has_next: bool,
}
