//! Waitlist entries.

use jiff::Timestamp;

use crate::{
    base::{
        ids::{BookingId, ResourceId, ServiceId, UserId, WaitlistEntryId},
        paging::TimeKey,
    },
    db::DbError,
    features::bookings::BookingError,
};

/// An entry on the waitlist.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The id, unique within the tenant.
    pub id: WaitlistEntryId,
    /// The service.
    pub service: ServiceId,
    /// The customer.
    pub customer: UserId,
    /// The wanted resource; `None` for any free one.
    pub resource: Option<ResourceId>,
    /// The wanted start.
    pub starts_at: Timestamp,
    /// When the customer joined.
    pub created_at: Timestamp,
    /// The status.
    pub status: Status,
    /// The hold that offered the time, if any.
    pub booking: Option<BookingId>,
}

/// The status of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The time is taken.
    Waiting,
    /// The time is held for the customer to confirm.
    Offered,
    /// The customer confirmed the offer.
    Booked,
    /// The offer was not confirmed, or the time has passed.
    Lapsed,
    /// The customer left the waitlist.
    Left,
}

/// Sort key of the list: time of joining, then the id.
pub type EntryKey = TimeKey;

/// A request to join the waitlist.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// The service.
    pub service: ServiceId,
    /// The wanted start.
    pub starts_at: Timestamp,
    /// The wanted resource; `None` for any free one.
    pub resource: Option<ResourceId>,
    /// The customer; `None` for the caller.
    pub customer: Option<UserId>,
}

/// Why an operation on the waitlist failed.
#[derive(Debug)]
pub enum WaitlistError {
    /// There is no such entry, or none that the caller may see.
    NotFound,
    /// The customer is no longer waiting.
    NotWaiting,
    /// The time is free: it can be booked.
    Free,
    /// The time can never be booked, taken or not.
    Never,
    /// The customer has the maximum number of entries.
    TooMany,
    /// An error as for a booking.
    Booking(BookingError),
}

impl From<BookingError> for WaitlistError {
    fn from(error: BookingError) -> Self {
        Self::Booking(error)
    }
}

impl From<DbError> for WaitlistError {
    fn from(error: DbError) -> Self {
        Self::Booking(BookingError::Db(error))
    }
}

/// A time that became available.
#[derive(Clone, Copy, Debug)]
pub struct Freed {
    /// The service of the booking that held it.
    pub service: ServiceId,
    /// The start.
    pub from: Timestamp,
    /// The end (exclusive).
    pub to: Timestamp,
}
