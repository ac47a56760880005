//! Reading bookings.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    model::{Booking, BookingFilter, BookingKey, BookingOrder, Changed, Preloaded, Transition},
    queries,
};
use crate::{
    base::{
        ids::{BookingId, SeriesId, UserId},
        paging::{Page, Slice},
    },
    db::{DbError, ScopedTx},
};

/// A page of the bookings that the caller may see. What they point at comes into `related`, in the same statement.
///
/// # Errors
/// When the statement fails.
pub async fn list(
    tx: &ScopedTx,
    filter: &BookingFilter,
    order: BookingOrder,
    page: &Page<BookingKey>,
    related: &mut Preloaded,
) -> Result<Slice<BookingKey, Booking>, DbError> {
    let bookings = queries::list(tx, filter, order, page, related).await?;
    Ok(page.slice(bookings.into_iter().map(|it| (order.key(&it), it)).collect()))
}

/// The same page of each of these customers, earliest first, in one statement.
///
/// # Errors
/// When the statement fails.
pub async fn pages_of_customers(
    tx: &ScopedTx,
    customers: &[UserId],
    filter: &BookingFilter,
    page: &Page<BookingKey>,
) -> Result<HashMap<UserId, Slice<BookingKey, Booking>>, DbError> {
    let mut rows: HashMap<UserId, Vec<(BookingKey, Booking)>> = customers.iter().map(|it| (*it, Vec::new())).collect();
    for booking in queries::of_customers(tx, customers, filter, page).await? {
        rows.entry(booking.customer).or_default().push((BookingOrder::StartsAtAsc.key(&booking), booking));
    }
    Ok(rows.into_iter().map(|(customer, rows)| (customer, page.slice(rows))).collect())
}

/// Those of these bookings that the scope may see.
///
/// # Errors
/// When the statement fails.
pub async fn by_ids(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Booking>, DbError> {
    queries::by_ids(tx, ids).await
}

/// Bookings that the scope may see and that were changed at this instant or later, latest first: ids, for whom and of
/// which service, and versions. At most 1,000.
///
/// # Errors
/// When the statement fails.
pub async fn changed_since(tx: &ScopedTx, since: Timestamp) -> Result<Vec<Changed>, DbError> {
    queries::changed_since(tx, since).await
}

/// The bookings of a person that start within a time: his own, and those that hold a resource which stands for him. Not
/// those that ended without taking place. At most 1,000: those to come first, the next first, then those that are over, the
/// last first.
///
/// # Errors
/// When the statement fails.
pub async fn of_person(
    tx: &ScopedTx,
    user: UserId,
    within: (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<Booking>, DbError> {
    queries::of_person(tx, user, within, now).await
}

/// The bookings of each of these series that the scope may see, earliest first.
///
/// # Errors
/// When the statement fails.
pub async fn of_series(tx: &ScopedTx, ids: &[SeriesId]) -> Result<HashMap<SeriesId, Vec<Booking>>, DbError> {
    queries::of_series(tx, ids).await
}

/// The history of each of these bookings, first step first.
///
/// # Errors
/// When the statement fails.
pub async fn histories(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Vec<Transition>>, DbError> {
    queries::histories(tx, ids).await
}
