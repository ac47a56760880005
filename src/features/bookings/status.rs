//! Where a booking stands, and where it can go from there.

use std::str::FromStr;

use crate::db::DbError;

/// Where a booking stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BookingStatus {
    /// The time is kept for a short while.
    Held,
    /// Waits for staff to confirm it.
    Pending,
    /// Agreed.
    Confirmed,
    /// It took place.
    Completed,
    /// The customer did not come.
    NoShow,
    /// Called off.
    Cancelled,
    /// Staff did not confirm it.
    Rejected,
    /// Nobody took up the held time.
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

    /// As the database and the API spell it.
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

    /// Whether a booking that stands here keeps its time from others.
    pub fn holds_time(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Rejected | Self::Expired)
    }

    /// Whether a booking can go from here to there. The last five are ends.
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
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is no booking status")))
    }
}
