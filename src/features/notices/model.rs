//! Types of notices.

use std::str::FromStr;

use jiff::Timestamp;

use crate::{
    base::ids::{BookingId, UserId},
    db::DbError,
    features::{calendars::Method, mail::Letter},
};

/// What a customer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// The booking awaits confirmation by staff.
    Received,
    /// The booking is confirmed.
    Confirmed,
    /// The booking was moved.
    Moved,
    /// The booking was cancelled.
    Cancelled,
    /// Staff did not confirm the booking.
    Rejected,
    /// The booking starts soon.
    Reminder,
    /// A time on the waitlist became available.
    Offered,
}

impl NoticeKind {
    /// The value in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "RECEIVED",
            Self::Confirmed => "CONFIRMED",
            Self::Moved => "MOVED",
            Self::Cancelled => "CANCELLED",
            Self::Rejected => "REJECTED",
            Self::Reminder => "REMINDER",
            Self::Offered => "OFFERED",
        }
    }
}

impl FromStr for NoticeKind {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let all = [
            Self::Received,
            Self::Confirmed,
            Self::Moved,
            Self::Cancelled,
            Self::Rejected,
            Self::Reminder,
            Self::Offered,
        ];
        let found = all.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a kind of notice")))
    }
}

/// What the calendar file of a notice asked for.
pub type CalendarMethod = Method;

/// A mail that was sent about a booking.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// What it told.
    pub kind: NoticeKind,
    /// What its calendar file asked for; `None` without a file.
    pub method: Option<Method>,
    /// When it was handed to the mail server.
    pub at: Timestamp,
}

/// A mail about bookings of one customer, to send and then to record.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The mail.
    pub letter: Letter,
    /// What it tells.
    pub kind: NoticeKind,
    /// The bookings that it is about, each with what its calendar file asks for.
    pub about: Vec<(BookingId, Option<Method>)>,
    /// The customer.
    pub customer: UserId,
}
