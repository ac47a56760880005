//! Relay connections with keyset cursors: a cursor contains the sort key and id of its row. Every page costs the
//! same, and rows that are added or removed between two pages shift nothing.

use async_graphql::{
    ObjectType,
    connection::{Connection, CursorType, Edge},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use super::{ApiError, STATEMENT_COST, concurrent_fields::ConcurrentFields};
use crate::base::paging::{Page, Slice};

/// Rows of a page when the client gives no number.
pub(super) const DEFAULT_PAGE: usize = 20;
/// Maximum rows of a page.
pub(super) const MAX_PAGE: usize = 100;

/// The paging arguments of a connection, as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageArgs {
    /// Number of rows from the start.
    pub first: Option<i32>,
    /// Rows after this cursor.
    pub after: Option<String>,
    /// Number of rows from the end.
    pub last: Option<i32>,
    /// Rows before this cursor.
    pub before: Option<String>,
}

impl PageArgs {
    /// Checks the arguments. `kind` is part of every cursor, so that a cursor of another list or order is refused.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` naming the argument.
    pub fn read<K: DeserializeOwned>(&self, kind: &'static str) -> Result<Page<K>, ApiError> {
        let (argument, count) = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(ApiError::bad_input("last", "use either first or last, not both")),
            (None, Some(last)) => ("last", Some(last)),
            (first, None) => ("first", first),
        };
        let limit = match count {
            None => DEFAULT_PAGE,
            Some(count) => usize::try_from(count)
                .ok()
                .filter(|count| (1..=MAX_PAGE).contains(count))
                .ok_or_else(|| ApiError::bad_input(argument, format!("must be from 1 to {MAX_PAGE}")))?,
        };
        let cursor = |argument, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => {
                let message = "is not a cursor of this list and order";
                decode(kind, text).map(Some).ok_or_else(|| ApiError::bad_input(argument, message))
            }
        };
        Ok(Page {
            limit,
            from_the_back: argument == "last",
            after: cursor("after", &self.after)?,
            before: cursor("before", &self.before)?,
        })
    }
}

/// The cost of a connection: its statement, and the cost of a row times the maximum number of rows.
pub fn page_cost(first: Option<i32>, last: Option<i32>, child_complexity: usize) -> usize {
    let rows = first.or(last).and_then(|it| usize::try_from(it).ok()).unwrap_or(DEFAULT_PAGE);
    STATEMENT_COST + rows.clamp(1, MAX_PAGE) * child_complexity
}

/// A cursor, opaque to clients. It is encoded only on demand: a page has one for each row, and clients that read
/// `nodes` use at most two.
pub struct Cursor(Box<dyn Fn() -> String + Send + Sync>);

impl CursorType for Cursor {
    type Error = std::convert::Infallible;

    fn decode_cursor(text: &str) -> Result<Self, Self::Error> {
        let text = text.to_owned();
        Ok(Self(Box::new(move || text.clone())))
    }

    fn encode_cursor(&self) -> String {
        (self.0)()
    }
}

/// A page of objects.
pub type Listing<N> = Connection<Cursor, ConcurrentFields<N>>;

/// Turns a slice of rows into a connection.
pub fn connection<K: Serialize + Send + Sync + 'static, T, N: ObjectType>(
    kind: &'static str,
    slice: Slice<K, T>,
    node: impl Fn(T) -> N,
) -> Listing<N> {
    let mut connection = Connection::new(slice.has_previous, slice.has_next);
    connection.edges.extend(slice.rows.into_iter().map(|(key, row)| {
        let cursor = Cursor(Box::new(move || encode(kind, &key)));
        Edge::new(cursor, ConcurrentFields(node(row)))
    }));
    connection
}

fn encode<K: Serialize>(kind: &'static str, key: &K) -> String {
    // Unwrap safety: keys are tuples of instants, texts and UUIDs, all of which JSON can hold.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(kind, key)).expect("a key is plain data"))
}

fn decode<K: DeserializeOwned>(kind: &'static str, text: &str) -> Option<K> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (found, key): (String, K) = serde_json::from_slice(&bytes).ok()?;
    // A string key can contain an escaped NUL character, which no row can.
    let holds_nul = bytes.windows(6).any(|it| it == b"\\u0000");
    (found == kind && !holds_nul).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(first: Option<i32>, after: Option<&str>) -> PageArgs {
        PageArgs { first, after: after.map(str::to_owned), ..PageArgs::default() }
    }

    #[test]
    fn a_cursor_is_good_for_its_own_order_only() {
        let cursor = encode("bookings.starts_at", &(1, "x"));
        let page: Page<(i32, String)> = args(None, Some(&cursor)).read("bookings.starts_at").unwrap();
        assert_eq!((page.after, page.limit), (Some((1, "x".into())), DEFAULT_PAGE));
        assert!(args(None, Some(&cursor)).read::<(i32, String)>("bookings.created_at").is_err());
        for garbage in ["", "x", "e30", "bnVsbA", "\0", &encode("n", &(1, "a\0b"))] {
            assert!(args(None, Some(garbage)).read::<(i32, String)>("n").is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn a_page_costs_as_much_as_it_may_hold() {
        assert_eq!(page_cost(Some(5), None, 3), STATEMENT_COST + 15);
        assert_eq!(page_cost(None, Some(7), 1), STATEMENT_COST + 7);
        assert_eq!(page_cost(None, None, 1), STATEMENT_COST + DEFAULT_PAGE);
        assert_eq!(page_cost(Some(i32::MIN), None, 1), STATEMENT_COST + DEFAULT_PAGE);
        assert_eq!(page_cost(Some(i32::MAX), None, 1), STATEMENT_COST + MAX_PAGE);
    }

    #[test]
    fn the_page_is_bounded() {
        for wrong in [-1, 0, 101, 10_000, i32::MIN, i32::MAX] {
            assert!(args(Some(wrong), None).read::<i32>("n").is_err(), "{wrong}");
        }
        for right in [1, 100] {
            assert_eq!(args(Some(right), None).read::<i32>("n").unwrap().limit, right as usize);
        }
    }
}
