//! How much a tenant uses of what its plan limits. Counted where it is used, in the same transaction.

mod queries;

use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::db::{DbError, ScopedTx};

/// What is counted in `usage_counters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meter {
    /// Bookings made in a calendar month of the tenant's zone. Cancelling gives none back.
    Bookings,
    /// Mails that invite somebody, in a calendar month.
    InvitationMails,
}

impl Meter {
    /// As plans and the database spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bookings => "bookings",
            Self::InvitationMails => "invitation_mails",
        }
    }
}

/// A half-open span of time over which a meter is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first instant of it.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Period {
    /// The calendar month that holds this instant in this zone.
    pub fn month_of(now: Timestamp, zone: &TimeZone) -> Self {
        let start_of_month = |zoned: &Zoned| zoned.first_of_month().and_then(|it| it.start_of_day());
        let local = now.to_zoned(zone.clone());
        let start = start_of_month(&local).map_or(now, |it| it.timestamp());
        let end = local.first_of_month().ok().and_then(|it| it.checked_add(jiff::Span::new().months(1)).ok());
        let end = end.and_then(|it| start_of_month(&it).ok()).map_or(Timestamp::MAX, |it| it.timestamp());
        Self { start, end }
    }
}

/// Counts one more; `false`, and nothing counted, when the limit is reached.
///
/// Locks the counter until the transaction ends, so that of two at the limit only one gets the last.
///
/// # Errors
/// When the statement fails.
pub async fn count_one(tx: &ScopedTx, meter: Meter, period: Period, limit: Option<i64>) -> Result<bool, DbError> {
    queries::count_one(tx, meter, period, limit).await
}

/// How much was used in the period.
///
/// # Errors
/// When the statement fails.
pub async fn used(tx: &ScopedTx, meter: Meter, period: Period) -> Result<i64, DbError> {
    queries::used(tx, meter, period).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_the_tenants_own() {
        let zone = TimeZone::get("Europe/Amsterdam").unwrap();
        let period = Period::month_of("2026-03-31T23:30:00Z".parse().unwrap(), &zone);
        assert_eq!(period.start.to_string(), "2026-03-31T22:00:00Z"); // April there already, in summer time
        assert_eq!(period.end.to_string(), "2026-04-30T22:00:00Z");
        let winter = Period::month_of("2026-03-01T00:00:00Z".parse().unwrap(), &zone);
        assert_eq!(winter.start.to_string(), "2026-02-28T23:00:00Z");
        assert_eq!(winter.end, period.start);
    }
}
