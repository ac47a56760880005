//! Who waits, and for what.

use jiff::Timestamp;

use crate::{
    base::{
        ids::{BookingId, ResourceId, ServiceId, UserId, WaitlistEntryId},
        paging::TimeKey,
    },
    db::DbError,
    features::bookings::BookingError,
};

/// A place on the waitlist.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Within the tenant.
    pub id: WaitlistEntryId,
    /// For what.
    pub service: ServiceId,
    /// Who.
    pub customer: UserId,
    /// Only with this one; `None` for whichever is free.
    pub resource: Option<ResourceId>,
    /// When it would start.
    pub starts_at: Timestamp,
    /// Since when.
    pub created_at: Timestamp,
    /// Where it stands.
    pub status: Status,
    /// By which hold it was offered.
    pub booking: Option<BookingId>,
}

/// Where a place on the waitlist stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The time is taken.
    Waiting,
    /// It is held, to be taken up.
    Offered,
    /// It was taken up.
    Booked,
    /// The offer was not taken up, or the time has passed.
    Lapsed,
    /// The customer does not wait any more.
    Left,
}

/// Sort key of the list: who came first, then the id.
pub type EntryKey = TimeKey;

/// For what somebody wants to wait.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// For what.
    pub service: ServiceId,
    /// When it would start.
    pub starts_at: Timestamp,
    /// Only with this one; `None` for whichever is free.
    pub resource: Option<ResourceId>,
    /// Who; `None` for the caller.
    pub customer: Option<UserId>,
}

/// Why something could not be done with the waitlist.
#[derive(Debug)]
pub enum WaitlistError {
    /// There is no such place, or none that the caller may see.
    NotFound,
    /// He does not wait any more.
    NotWaiting,
    /// The time is free: it can be booked.
    Free,
    /// It cannot be booked, taken or not.
    Never,
    /// The customer waits for as many times as he may.
    TooMany,
    /// As for a booking.
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

/// A time that is free again.
#[derive(Clone, Copy, Debug)]
pub struct Freed {
    /// Of which service the booking was that held it.
    pub service: ServiceId,
    /// The first instant of it.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}
