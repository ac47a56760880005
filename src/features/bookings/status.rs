//! The statuses of a booking and the transitions between them.

use std::str::FromStr;

use crate::db::DbError;

/// The status of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BookingStatus {
    /// The slot is reserved for a short time.
    Held,
    /// Awaits confirmation by staff.
    Pending,
    /// Confirmed.
    Confirmed,
    /// It took place.
    Completed,
    /// The customer did not come.
    NoShow,
    /// Cancelled.
    Cancelled,
    /// Staff did not confirm it.
    Rejected,
    /// The hold expired unconfirmed.
    Expired,
}

impl BookingStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Pending,
        Self::Confirmed,
        Self::Completed,
        Self::NoShow,
        Self::Cancelled,
        Self::Rejected,
        Self::Expired,
    ];

    /// The value in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Pending => "PENDING",
            Self::Confirmed => "CONFIRMED",
            Self::Completed => "COMPLETED",
            Self::NoShow => "NO_SHOW",
            Self::Cancelled => "CANCELLED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
        }
    }

    /// Whether a booking with this status blocks its time.
    pub fn holds_time(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Rejected | Self::Expired)
    }

    /// Whether a booking can change from this status to another. The last five statuses are final.
    pub fn leads_to(self, to: Self) -> bool {
        match self {
            Self::Held => matches!(to, Self::Pending | Self::Confirmed | Self::Cancelled | Self::Expired),
            Self::Pending => matches!(to, Self::Confirmed | Self::Rejected | Self::Cancelled),
            Self::Confirmed => matches!(to, Self::Completed | Self::NoShow | Self::Cancelled),
            Self::Completed | Self::NoShow | Self::Cancelled | Self::Rejected | Self::Expired => false,
        }
    }
}

impl FromStr for BookingStatus {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a booking status")))
    }
}
