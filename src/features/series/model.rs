//! A series of bookings.

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

/// Bookings that were made together.
#[derive(Clone, Debug)]
pub struct Series {
    /// Within the tenant.
    pub id: SeriesId,
    /// What was booked.
    pub service: ServiceId,
    /// For whom.
    pub customer: UserId,
    /// As it was asked for.
    pub rule: Rule,
    /// By whose clock.
    pub zone: TimeZone,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A series to be made.
#[derive(Clone, Debug)]
pub struct NewSeries {
    /// What, for whom and with what; its start is that of the rule.
    pub booking: NewBooking,
    /// When.
    pub rule: Rule,
    /// Of the times that the clock shows twice, which.
    pub offset: Option<Offset>,
    /// Whether occurrences that cannot be had are left out; otherwise one of those undoes all.
    pub skips: bool,
}

/// What became, or would become, of one occurrence.
#[derive(Debug)]
pub struct Occurrence {
    /// On which day.
    pub day: Date,
    /// When; `None` where the time of day is none.
    pub starts_at: Option<Timestamp>,
    /// The booking, or why there is none.
    pub outcome: Result<Booking, Missed>,
}

/// Why an occurrence cannot be had.
#[derive(Debug)]
pub enum Missed {
    /// Its time is none.
    NoInstant(NoInstant),
    /// A rule stands in the way, or it is taken.
    Refused(BookingError),
}

/// What became of a series that was asked for.
#[derive(Debug)]
pub struct Outcome {
    /// The series; `None` where nothing was booked.
    pub series: Option<Series>,
    /// Each of its occurrences, earliest first.
    pub occurrences: Vec<Occurrence>,
}

/// How much of a series is called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One booking.
    This(BookingId),
    /// One and all that start later.
    Following(BookingId),
    /// All.
    All,
}

/// What became of a booking whose series was called off.
#[derive(Debug)]
pub struct CalledOff {
    /// The booking as it now is.
    pub booking: Booking,
    /// Why it stands; `None` when it was called off.
    pub stands: Option<BookingError>,
}

/// Why something could not be done with a series.
#[derive(Debug)]
pub enum SeriesError {
    /// There is no such series, or none that the caller may see.
    NotFound,
    /// There is no such booking in it.
    BookingNotFound,
    /// The rule is none.
    Flawed(Flaw),
    /// Whatever the occurrence.
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
