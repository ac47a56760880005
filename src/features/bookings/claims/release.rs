//! Releases claims, and offers freed times to the waitlist.

use jiff::Timestamp;
use uuid::Uuid;

use super::queries;
use crate::{
    base::ids::BookingId,
    core::outbox::{self, Effect},
    db::{Change, DbError, ScopedTx},
    features::bookings::{Booking, BookingError, slots::BookingContext},
};

/// Releases expired holds on a service and on everything that can serve it, before free times are read. The service's
/// id is included, because a class may hold resources that its service no longer uses.
pub(crate) async fn release_around(tx: &ScopedTx, ground: &BookingContext, now: Timestamp) -> Result<usize, DbError> {
    let ids: Vec<Uuid> = ground.links.iter().map(|it| it.resource.0).chain([ground.service.id.0]).collect();
    release_expired(tx, Some(&ids), now).await
}

/// Releases expired holds on these ids or (`None`) all, and returns how many bookings expired.
pub(crate) async fn release_expired(tx: &ScopedTx, ids: Option<&[Uuid]>, now: Timestamp) -> Result<usize, DbError> {
    // No offer is queued here: the offer for the end of each hold was queued when the hold was created.
    let expired = queries::expire_holds(tx, ids, now).await?;
    if expired > 0 {
        tx.announce(Change::Unknown); // The bookings belong to others and are not known here.
    }
    Ok(expired)
}

/// Queues an offer of a booking's freed time to the waitlist.
pub(crate) async fn tell_freed(tx: &ScopedTx, booking: &Booking, now: Timestamp) -> Result<(), DbError> {
    if booking.ends_at > now {
        outbox::enqueue(tx, &freed(booking), now).await?;
    }
    Ok(())
}

/// Queues an offer of a hold's time to the waitlist, for the instant at which the hold ends.
pub(crate) async fn tell_freed_at(tx: &ScopedTx, hold: &Booking, at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    outbox::enqueue_at(tx, &freed(hold), at, now).await
}

fn freed(booking: &Booking) -> Effect {
    Effect::OfferFreedTime { service: Some(booking.service.0), from: booking.starts_at, to: booking.ends_at }
}

/// Releases what a booking claims.
pub(crate) async fn let_go(tx: &ScopedTx, booking: BookingId) -> Result<(), BookingError> {
    Ok(queries::let_go(tx, booking).await?)
}
