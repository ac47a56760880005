//! A page of a list by keyset: what features are asked for and give back. The GraphQL floor reads and writes cursors.

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
