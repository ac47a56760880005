//! Giving resources back, and telling who waits for them.

use jiff::Timestamp;
use uuid::Uuid;

use super::queries;
use crate::{
    base::ids::BookingId,
    core::outbox::{self, Effect},
    db::{Change, DbError, ScopedTx},
    features::bookings::{Booking, BookingError, slots::BookingContext},
};

/// Lets go what was held for too long of a service and of all that can serve it: before anybody looks what is free. By the
/// service as well, since a class may hold what its service has given up since.
///
/// # Errors
/// When a statement fails.
pub(crate) async fn release_around(tx: &ScopedTx, ground: &BookingContext, now: Timestamp) -> Result<usize, DbError> {
    let ids: Vec<Uuid> = ground.links.iter().map(|it| it.resource.0).chain([ground.service.id.0]).collect();
    release_expired(tx, Some(&ids), now).await
}

/// Lets go what was held for too long, of these or (`None`) of all, and returns how many bookings that were.
///
/// # Errors
/// When a statement fails.
pub(crate) async fn release_expired(tx: &ScopedTx, ids: Option<&[Uuid]>, now: Timestamp) -> Result<usize, DbError> {
    // Each was told of when it was made: whoever waits for its time is offered it anyway.
    let expired = queries::expire_holds(tx, ids, now).await?;
    if expired > 0 {
        tx.announce(Change::Unknown); // Of bookings of others, of whom nothing is known here.
    }
    Ok(expired)
}

/// Has background work offer the time of a booking, which is free again, to whoever waits for it.
///
/// # Errors
/// When the statement fails.
pub(crate) async fn tell_freed(tx: &ScopedTx, booking: &Booking, now: Timestamp) -> Result<(), DbError> {
    if booking.ends_at > now {
        outbox::enqueue(tx, &freed(booking), now).await?;
    }
    Ok(())
}

/// The same, of a hold that will be over at an instant: not before.
///
/// # Errors
/// When the statement fails.
pub(crate) async fn tell_freed_at(tx: &ScopedTx, hold: &Booking, at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    outbox::enqueue_at(tx, &freed(hold), at, now).await
}

fn freed(booking: &Booking) -> Effect {
    Effect::OfferFreedTime { service: Some(booking.service.0), from: booking.starts_at, to: booking.ends_at }
}

/// Lets go what a booking holds.
///
/// # Errors
/// When the statement fails.
pub(crate) async fn let_go(tx: &ScopedTx, booking: BookingId) -> Result<(), BookingError> {
    Ok(queries::let_go(tx, booking).await?)
}
