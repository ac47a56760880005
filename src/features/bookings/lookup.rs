//! Reading bookings.

use std::collections::HashMap;

use super::{
    model::{Booking, BookingFilter, BookingKey, BookingOrder, Preloaded},
    queries,
};
use crate::{
    base::{
        ids::UserId,
        paging::{Page, Slice},
    },
    db::{DbError, ScopedTx},
};

/// A page of the bookings that the caller may see. The services and customers of these bookings are loaded into
/// `related` by the same statement.
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

/// The same page for each of these customers, earliest first, in one statement.
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
<<<<<<< ours
||||||| base

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
=======

/// The bookings with these ids that the scope may see.
pub async fn by_ids(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Booking>, DbError> {
    queries::by_ids(tx, ids).await
}

/// Bookings that the scope may see and that changed at this instant or later, latest first: ids, services, customers
/// and versions. At most 1,000.
pub async fn changed_since(tx: &ScopedTx, since: Timestamp) -> Result<Vec<Changed>, DbError> {
    queries::changed_since(tx, since).await
}

/// The bookings of a person that start within an interval: their own, and those that use a resource which represents
/// them. Excludes bookings that ended without taking place. At most 1,000: upcoming ones first, soonest first, then
/// past ones, latest first.
pub async fn of_person(
    tx: &ScopedTx,
    user: UserId,
    within: (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<Booking>, DbError> {
    queries::of_person(tx, user, within, now).await
}

/// The bookings of each of these series that the scope may see, earliest first.
pub async fn of_series(tx: &ScopedTx, ids: &[SeriesId]) -> Result<HashMap<SeriesId, Vec<Booking>>, DbError> {
    queries::of_series(tx, ids).await
}

/// The history of each of these bookings, oldest change first.
pub async fn histories(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Vec<Transition>>, DbError> {
    queries::histories(tx, ids).await
}
>>>>>>> theirs
