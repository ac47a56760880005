//! Cancels a series or a part of it.

use super::{
    model::{CalledOff, Extent, Series, SeriesError},
    queries,
};
use crate::{
    base::ids::{BookingId, SeriesId},
    core::{
        identity::Caller,
        outbox::{self, Effect},
    },
    features::{
        bookings::{self, Booking, BookingError, BookingStatus},
        tenants,
    },
};

/// Cancels bookings of a series: one, one and all that start later, or all. Bookings that ended before, have started,
/// or can no longer be cancelled are kept, and the result gives the reason.
///
/// # Errors
/// See [`SeriesError`].
pub async fn cancel(
    caller: &Caller<'_>,
    id: SeriesId,
    extent: Extent,
    reason: Option<String>,
) -> Result<(Series, Vec<CalledOff>), SeriesError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    tenants::lock_calendar(tx).await?;
    let series = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(SeriesError::NotFound)?;
    let bookings = bookings::of_series(tx, &[id]).await?.remove(&id).unwrap_or_default();
    let named = |id: BookingId| bookings.iter().find(|it| it.id == id).ok_or(SeriesError::BookingNotFound);
    let wanted: Vec<Booking> = match extent {
        Extent::This(booking) => vec![named(booking)?.clone()],
        Extent::Following(booking) => {
            let first = named(booking)?.starts_at;
            bookings.iter().filter(|it| it.starts_at >= first).cloned().collect()
        }
        Extent::All => bookings.clone(),
    };
    let mut results = Vec::with_capacity(wanted.len());
    for booking in wanted {
        let cancelled = BookingStatus::Cancelled;
        let stands = matches!(booking.status, BookingStatus::Pending | BookingStatus::Confirmed);
        if stands && booking.starts_at <= now && !matches!(extent, Extent::This(_)) {
            // Cancelling a series never affects bookings that have started, even for staff: those must be
            // cancelled one by one.
            results.push(CalledOff { booking, stands: Some(BookingError::HasBegun) });
            continue;
        }
        let done = Box::pin(bookings::cancel_quietly(caller, booking.id, reason.clone())).await;
        results.push(match done {
            Ok(booking) => CalledOff { booking, stands: None },
            Err(BookingError::Db(error)) => return Err(error.into()),
            Err(error @ BookingError::TooLong(..)) => return Err(error.into()),
            Err(error) if booking.status != cancelled => CalledOff { booking, stands: Some(error) },
            Err(_) => continue, // Already cancelled.
        });
    }
    let bookings: Vec<_> = results.iter().filter(|it| it.stands.is_none()).map(|it| it.booking.id.0).collect();
    if !bookings.is_empty() {
        outbox::enqueue(tx, &Effect::MailSeries { series: id.0, cancelled: true, bookings }, now).await?;
    }
    Ok((series, results))
}
