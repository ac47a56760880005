//! Types of booking series.

use jiff::{
    Timestamp,
    civil::Date,
    tz::{Offset, TimeZone},
};

use super::rule::{Flaw, NoInstant, Rule};
use crate::{
    base::ids::{BookingId, SeriesId, ServiceId, UserId},
    db::DbError,
    features::bookings::{Booking, BookingError, NewBooking},
};

/// Bookings that were created together.
#[derive(Clone, Debug)]
pub struct Series {
    /// The id, unique within the tenant.
    pub id: SeriesId,
    /// The service.
    pub service: ServiceId,
    /// The customer.
    pub customer: UserId,
    /// The rule as requested.
    pub rule: Rule,
    /// The time zone of the rule.
    pub zone: TimeZone,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A series to create.
#[derive(Clone, Debug)]
pub struct NewSeries {
    /// Service, customer and resource; the start comes from the rule.
    pub booking: NewBooking,
    /// The rule.
    pub rule: Rule,
    /// Selects one of the two instants when the clock shows a time twice.
    pub offset: Option<Offset>,
    /// Whether occurrences that cannot be booked are skipped. Otherwise one of them fails the whole series.
    pub skips: bool,
}

/// The result for one occurrence.
#[derive(Debug)]
pub struct Occurrence {
    /// The day.
    pub day: Date,
    /// The start; `None` when the time does not exist, or exists twice, on that day.
    pub starts_at: Option<Timestamp>,
    /// The booking, or why there is none.
    pub outcome: Result<Booking, Missed>,
}

/// Why an occurrence cannot be booked.
#[derive(Debug)]
pub enum Missed {
    /// Its time does not exist, or exists twice.
    NoInstant(NoInstant),
    /// A rule forbids it, or the time is taken.
    Refused(BookingError),
}

/// The result of creating a series.
#[derive(Debug)]
pub struct Outcome {
    /// The series; `None` when it was not booked.
    pub series: Option<Series>,
    /// Each of its occurrences, earliest first.
    pub occurrences: Vec<Occurrence>,
}

/// How much of a series to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One booking.
    This(BookingId),
    /// This one and all that start later.
    Following(BookingId),
    /// Every booking.
    All,
}

/// The result for a booking of a cancelled series.
#[derive(Debug)]
pub struct CalledOff {
    /// The booking in its current state.
    pub booking: Booking,
    /// Why it was kept; `None` when it was cancelled.
    pub stands: Option<BookingError>,
}

/// Why an operation on a series failed.
#[derive(Debug)]
pub enum SeriesError {
    /// There is no such series, or none that the caller may see.
    NotFound,
    /// The series has no such booking.
    BookingNotFound,
    /// The rule is invalid.
    Flawed(Flaw),
    /// An error that concerns every occurrence.
    Booking(BookingError),
}

impl From<BookingError> for SeriesError {
    fn from(error: BookingError) -> Self {
        Self::Booking(error)
    }
}

impl From<DbError> for SeriesError {
    fn from(error: DbError) -> Self {
        Self::Booking(BookingError::Db(error))
    }
}
