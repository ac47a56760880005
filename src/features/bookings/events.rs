//! Booking events that others receive: the customer by mail, the tenant's own systems by webhook.

use jiff::Timestamp;
use uuid::Uuid;

use super::BookingStatus;
use crate::base::ids::BookingId;

/// An event in a booking's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookingEvent {
    /// Created, and awaits confirmation by staff.
    Created,
    /// Confirmed.
    Confirmed,
    /// Moved to another time.
    Rescheduled,
    /// It took place.
    Completed,
    /// The customer did not come.
    NoShow,
    /// Cancelled.
    Cancelled,
    /// Staff did not confirm it.
    Rejected,
}

/// A booking event, as the outbox delivers it.
#[derive(Clone, Copy, Debug)]
pub struct Happened {
    /// The id of the effect. Follow-up effects derive their ids from it, so that each happens once.
    pub effect: Uuid,
    /// The event.
    pub event: BookingEvent,
    /// The booking.
    pub booking: BookingId,
    /// The version at that time.
    pub version: i32,
    /// The status at that time.
    pub status: BookingStatus,
    /// The start at that time.
    pub starts_at: Timestamp,
    /// The end at that time.
    pub ends_at: Timestamp,
    /// When it happened.
    pub at: Timestamp,
    /// Whether the customer gets a mail.
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

    /// The public name, such as `booking.confirmed`.
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

    /// The event with this name; `None` when there is none.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// The event for a new booking or a confirmed hold. A hold itself sends no event.
    pub(super) fn of_new(status: BookingStatus) -> Option<Self> {
        match status {
            BookingStatus::Pending => Some(Self::Created),
            other => Self::of_status(other),
        }
    }

    /// The event for a booking that reached this status.
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
