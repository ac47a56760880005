//! Classes: bookings of a service that has several seats and uses resources. Bookings with the same start share one
//! occurrence, which claims the resources once for all of them and counts the seats.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::queries;
use crate::{
    base::ids::ResourceId,
    db::ScopedTx,
    features::bookings::{
        Booking, BookingError,
        model::{Claim, Class, Slot},
        slots::BookingContext,
    },
};

impl BookingContext {
    /// The class at a time; `None` also when the service has no classes.
    pub(crate) async fn class_at(
        &self,
        tx: &ScopedTx,
        starts_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Class>, BookingError> {
        if self.is_class() { at(tx, self, starts_at, now).await } else { Ok(None) }
    }
}

/// The class of a service at a time, if there is one.
pub(crate) async fn at(
    tx: &ScopedTx,
    ground: &BookingContext,
    starts_at: Timestamp,
    now: Timestamp,
) -> Result<Option<Class>, BookingError> {
    let until = starts_at + SignedDuration::from_micros(1);
    let found = queries::classes_of(tx, ground.service.id, (starts_at, until), now).await?;
    Ok(found.into_iter().next())
}

/// Takes a seat in an existing class.
///
/// # Errors
/// `SlotTaken` when no seat is free, or the class does not use the wanted resource.
pub(crate) async fn join(
    tx: &ScopedTx,
    booking: &Booking,
    class: &Class,
    wanted: Option<ResourceId>,
) -> Result<(), BookingError> {
    if wanted.is_some_and(|wanted| !class.resources.contains(&wanted)) {
        return Err(BookingError::SlotTaken);
    }
    if queries::take_seat(tx, booking.id, class.id).await? { Ok(()) } else { Err(BookingError::SlotTaken) }
}

/// Creates a class with its first booking, which has chosen the resources.
///
/// # Errors
/// `SlotTaken` when one of them is taken.
pub(crate) async fn open(
    tx: &ScopedTx,
    booking: &Booking,
    slot: &Slot,
    claims: &[Claim],
    now: Timestamp,
) -> Result<(), BookingError> {
    let resources: Vec<Uuid> = claims
        .iter()
        .filter_map(|it| match it {
            Claim::Resource(id) => Some(id.0),
            Claim::Seat(_) => None,
        })
        .collect();
    if queries::open_class(tx, booking.id, slot, &resources, now).await? {
        Ok(())
    } else {
        Err(BookingError::SlotTaken)
    }
}
