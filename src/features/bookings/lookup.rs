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
