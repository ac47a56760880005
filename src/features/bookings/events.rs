//! What happens to bookings that others are to hear of: the customer by mail, a tenant's own systems by webhook.

use jiff::Timestamp;
use uuid::Uuid;

use super::BookingStatus;
use crate::base::ids::BookingId;

/// What became of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookingEvent {
    /// Made, and waits for staff.
    Created,
    /// Agreed.
    Confirmed,
    /// Moved to another time.
    Rescheduled,
    /// It took place.
    Completed,
    /// The customer did not come.
    NoShow,
    /// Called off.
    Cancelled,
    /// Staff did not confirm it.
    Rejected,
}

/// A step of a booking as the outbox tells it to whoever is to hear of it.
#[derive(Clone, Copy, Debug)]
pub struct Happened {
    /// The effect that tells of it: what follows from it has ids of its own, so that it follows once.
    pub effect: Uuid,
    /// What.
    pub event: BookingEvent,
    /// Of which.
    pub booking: BookingId,
    /// As it was then.
    pub version: i32,
    /// As it was then.
    pub status: BookingStatus,
    /// As it was then.
    pub starts_at: Timestamp,
    /// As it was then.
    pub ends_at: Timestamp,
    /// When it happened.
    pub at: Timestamp,
    /// Whether its customer is to have a mail.
    pub by_mail: bool,
}

impl BookingEvent {
    /// Every event.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Confirmed,
        Self::Rescheduled,
        Self::Completed,
        Self::NoShow,
        Self::Cancelled,
        Self::Rejected,
    ];

    /// As it is told, such as `booking.confirmed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "booking.created",
            Self::Confirmed => "booking.confirmed",
            Self::Rescheduled => "booking.rescheduled",
            Self::Completed => "booking.completed",
            Self::NoShow => "booking.no_show",
            Self::Cancelled => "booking.cancelled",
            Self::Rejected => "booking.rejected",
        }
    }

    /// The event with this name; `None` for none.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Of a booking that was just made, or taken up. A hold is nobody else's business yet.
    pub(super) fn of_new(status: BookingStatus) -> Option<Self> {
        match status {
            BookingStatus::Pending => Some(Self::Created),
            other => Self::of_status(other),
        }
    }

    /// Of a booking that has come to this status.
    pub(super) fn of_status(status: BookingStatus) -> Option<Self> {
        match status {
            BookingStatus::Confirmed => Some(Self::Confirmed),
            BookingStatus::Completed => Some(Self::Completed),
            BookingStatus::NoShow => Some(Self::NoShow),
            BookingStatus::Cancelled => Some(Self::Cancelled),
            BookingStatus::Rejected => Some(Self::Rejected),
            BookingStatus::Held | BookingStatus::Pending | BookingStatus::Expired => None,
        }
    }
}
