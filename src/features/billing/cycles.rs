//! Billing cycles: always counted from the original anchor, in the tenant's time zone.
//!
//! Counting from the anchor and not from the previous cycle brings a subscription that started on a 31st back to the
//! 31st after a shorter month (jiff's `checked_add` uses the last day of a month without such a day).

use jiff::{Span, Timestamp, Zoned, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{db::DbError, features::usage::Period};

/// How often a price is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Interval {
    /// Every month.
    Month,
    /// Every year.
    Year,
}

impl Interval {
    /// The value in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Month => "MONTH",
            Self::Year => "YEAR",
        }
    }

    fn months(self) -> i64 {
        match self {
            Self::Month => 1,
            Self::Year => 12,
        }
    }
}

impl std::str::FromStr for Interval {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        match text {
            "MONTH" => Ok(Self::Month),
            "YEAR" => Ok(Self::Year),
            other => Err(DbError::Corrupt(format!("{other:?} is not an interval"))),
        }
    }
}

/// The cycle that contains an instant.
///
/// Adjacent cycles share their boundary, so cycles tile without gap or overlap.
pub fn cycle_at(anchor: Timestamp, zone: &TimeZone, interval: Interval, at: Timestamp) -> Period {
    let anchor = anchor.to_zoned(zone.clone());
    let local = at.to_zoned(zone.clone());
    let months = (i64::from(local.year()) - i64::from(anchor.year())) * 12 + i64::from(local.month())
        - i64::from(anchor.month());
    let mut index = months.div_euclid(interval.months());
    // The estimate from the months is at most one cycle off, whatever the day and the hour.
    while boundary(&anchor, interval, index) > at {
        index -= 1;
    }
    while boundary(&anchor, interval, index + 1) <= at {
        index += 1;
    }
    Period { start: boundary(&anchor, interval, index), end: boundary(&anchor, interval, index + 1) }
}

/// The start of the cycle with this index; cycle 0 starts at the anchor.
fn boundary(anchor: &Zoned, interval: Interval, index: i64) -> Timestamp {
    let moved = anchor.checked_add(Span::new().months(index * interval.months()));
    // Nothing is billed past the year 9999.
    moved.map_or(if index < 0 { Timestamp::MIN } else { Timestamp::MAX }, |it| it.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_31st_comes_back_to_the_31st() {
        let zone = TimeZone::get("Europe/Amsterdam").unwrap();
        let anchor = at("2026-01-31T09:00:00Z");
        let starts: Vec<String> = ["2026-02-20", "2026-03-05", "2026-04-02", "2026-04-30"]
            .map(|day| cycle_at(anchor, &zone, Interval::Month, at(&format!("{day}T12:00:00Z"))).start.to_string())
            .to_vec();
        // Ten in the morning in that zone, in winter and in summer.
        assert_eq!(
            starts,
            ["2026-01-31T09:00:00Z", "2026-02-28T09:00:00Z", "2026-03-31T08:00:00Z", "2026-04-30T08:00:00Z"]
        );
    }

    #[test]
    fn a_leap_day_comes_back_every_fourth_year() {
        let zone = TimeZone::UTC;
        let anchor = at("2024-02-29T00:00:00Z");
        let cycle = cycle_at(anchor, &zone, Interval::Year, at("2027-12-01T00:00:00Z"));
        assert_eq!((cycle.start, cycle.end), (at("2027-02-28T00:00:00Z"), at("2028-02-29T00:00:00Z")));
    }

    proptest! {
        #[test]
        fn cycles_tile(
            anchor in 0_i64..4_000_000_000,
            offset in -2_000_000_000_i64..2_000_000_000,
            zone in prop::sample::select(vec!["Europe/Amsterdam", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"]),
            yearly: bool,
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let interval = if yearly { Interval::Year } else { Interval::Month };
            let anchor = Timestamp::from_second(anchor).unwrap();
            let at = Timestamp::from_second(anchor.as_second() + offset).unwrap();
            let cycle = cycle_at(anchor, &zone, interval, at);
            prop_assert!(cycle.start <= at && at < cycle.end);
            let next = cycle_at(anchor, &zone, interval, cycle.end);
            prop_assert_eq!(next.start, cycle.end);
            let last = cycle_at(anchor, &zone, interval, cycle.start - jiff::SignedDuration::from_nanos(1));
            prop_assert_eq!(last.end, cycle.start);
        }
    }
}
