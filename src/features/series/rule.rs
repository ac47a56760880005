//! The times of a series: days by a rule, and a time of day in a zone.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Serialize};

/// Maximum number of bookings in a series: two years of weekly bookings.
pub const MAX_OCCURRENCES: usize = 106;
/// Maximum interval, in weeks or months.
pub const MAX_INTERVAL: i32 = 52;

/// What repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Frequency {
    /// Weekdays of a week.
    Weekly,
    /// The day of the month, such as the 15th. A month without that day is skipped (RFC 5545, section 3.3.10).
    Monthly,
    /// The weekday of the month, such as the second Tuesday. A month without that day is skipped.
    MonthlyByWeekday,
}

/// The rule for the days of a series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What repeats.
    pub frequency: Frequency,
    /// The interval in weeks or months: 1 to [`MAX_INTERVAL`].
    pub interval: i32,
    /// ISO weekdays (1 is Monday) of a weekly rule; empty means the weekday of the first day.
    pub weekdays: Vec<i8>,
    /// No day is before this one. Months are counted from it, and so are weeks, which start on Monday.
    pub first_day: Date,
    /// Minutes of the day on the wall clock: 0 to 1,439.
    pub time: i16,
    /// The number of occurrences, whatever their results.
    pub count: Option<usize>,
    /// No day is after this one.
    pub last_day: Option<Date>,
}

/// Why a rule is invalid: the field and the message.
pub type Flaw = (&'static str, String);

/// Why a time of day on a given day is not an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoInstant {
    /// The clock skips it.
    Nonexistent,
    /// The clock shows it twice, and the request did not say which.
    Ambiguous,
}

impl Rule {
    /// The days, earliest first.
    ///
    /// # Errors
    /// The flaw of a rule that is invalid, has no day, or has more than [`MAX_OCCURRENCES`].
    pub fn days(&self) -> Result<Vec<Date>, Flaw> {
        self.check()?;
        let most = self.count.unwrap_or(MAX_OCCURRENCES + 1);
        let mut days = Vec::new();
        // A monthly rule for the 31st with an interval of twelve months finds its day immediately or never. After a
        // number of steps without a day there will be no more.
        let mut empty_steps = 0;
        for step in 0.. {
            let (candidates, is_over) = self.step(step);
            let before = days.len();
            for day in candidates {
                if day >= self.first_day && self.last_day.is_none_or(|last| day <= last) && days.len() < most {
                    days.push(day);
                }
            }
            empty_steps = if days.len() == before { empty_steps + 1 } else { 0 };
            if is_over || days.len() >= most || empty_steps > 12 {
                break;
            }
        }
        if days.is_empty() {
            return Err(("lastDay", "The rule has no day until then.".into()));
        }
        if days.len() > MAX_OCCURRENCES {
            return Err(("lastDay", format!("A series can have at most {MAX_OCCURRENCES} bookings.")));
        }
        Ok(days)
    }

    fn check(&self) -> Result<(), Flaw> {
        if !(1..=MAX_INTERVAL).contains(&self.interval) {
            return Err(("interval", format!("An interval must be between 1 and {MAX_INTERVAL}.")));
        }
        if !(0..1_440).contains(&self.time) {
            return Err(("time", "A time must be between 00:00 and 23:59.".into()));
        }
        if self.frequency != Frequency::Weekly && !self.weekdays.is_empty() {
            return Err((
                "weekdays",
                "Only a weekly rule can have weekdays; a monthly rule follows its first day.".into(),
            ));
        }
        match (self.count, self.last_day) {
            (None, None) => Err(("count", "Give a count or a last day.".into())),
            (Some(count), _) if !(1..=MAX_OCCURRENCES).contains(&count) => {
                Err(("count", format!("A series must have 1 to {MAX_OCCURRENCES} bookings.")))
            }
            (_, Some(last)) if last < self.first_day => {
                Err(("lastDay", "The last day must not be before the first.".into()))
            }
            _ => Ok(()),
        }
    }

    /// The days of one week or month of the rule, and whether all further ones are past its end.
    fn step(&self, step: i32) -> (Vec<Date>, bool) {
        let away = self.interval.saturating_mul(step);
        let is_past = |day: Date| self.last_day.is_some_and(|last| day > last);
        if self.frequency == Frequency::Weekly {
            let since_monday = i64::from(self.first_day.weekday().to_monday_zero_offset());
            let Ok(monday) = self.first_day.checked_sub(since_monday.days()) else { return (Vec::new(), true) };
            let Ok(monday) = monday.checked_add(i64::from(away).weeks()) else { return (Vec::new(), true) };
            let mut weekdays = self.weekdays.clone();
            if weekdays.is_empty() {
                weekdays.push(self.first_day.weekday().to_monday_one_offset());
            }
            weekdays.sort_unstable();
            weekdays.dedup();
            let days = weekdays.into_iter().filter_map(|it| monday.checked_add(i64::from(it - 1).days()).ok());
            return (days.collect(), is_past(monday));
        }
        let Ok(month) = self.first_day.first_of_month().checked_add(i64::from(away).months()) else {
            return (Vec::new(), true);
        };
        let day = if self.frequency == Frequency::Monthly {
            Date::new(month.year(), month.month(), self.first_day.day())
        } else {
            let nth = (self.first_day.day() - 1) / 7 + 1;
            month.nth_weekday_of_month(nth, self.first_day.weekday())
        };
        (day.into_iter().collect(), is_past(month))
    }

    /// The instant at which a zone's clock shows the rule's time on a day. When the clock shows it twice, the offset
    /// selects one.
    ///
    /// # Errors
    /// When the clock never shows it, or shows it twice and the offset matches neither.
    pub fn instant(&self, day: Date, zone: &TimeZone, offset: Option<Offset>) -> Result<Timestamp, NoInstant> {
        let local = local_time(day, self.time).ok_or(NoInstant::Nonexistent)?;
        let found = zone.to_ambiguous_timestamp(local);
        if !found.is_ambiguous() {
            return found.compatible().map_err(|_| NoInstant::Nonexistent);
        }
        let (earlier, later) = (found.earlier(), found.later());
        // In a gap, both have another time of day than the wanted one.
        let shows = |it: Timestamp| zone.to_datetime(it) == local;
        let both: Vec<Timestamp> =
            [earlier, later].into_iter().filter_map(Result::ok).filter(|it| shows(*it)).collect();
        if both.is_empty() {
            return Err(NoInstant::Nonexistent);
        }
        let said = offset.and_then(|offset| both.into_iter().find(|it| zone.to_offset(*it) == offset));
        said.ok_or(NoInstant::Ambiguous)
    }
}

fn local_time(day: Date, minute: i16) -> Option<DateTime> {
    Some(day.at(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(frequency: Frequency, first_day: &str) -> Rule {
        let first_day = first_day.parse().unwrap();
        Rule { frequency, interval: 1, weekdays: vec![], first_day, time: 600, count: Some(4), last_day: None }
    }

    fn days(rule: &Rule) -> Vec<String> {
        rule.days().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn weeks_begin_on_monday_and_no_day_is_before_the_first() {
        // 2026-03-04 is a Wednesday.
        let rule = Rule { weekdays: vec![5, 1, 5], interval: 2, ..rule(Frequency::Weekly, "2026-03-04") };
        assert_eq!(days(&rule), ["2026-03-06", "2026-03-16", "2026-03-20", "2026-03-30"]);
        let plain = Rule { weekdays: vec![], interval: 1, ..rule };
        assert_eq!(days(&plain), ["2026-03-04", "2026-03-11", "2026-03-18", "2026-03-25"]);
    }

    #[test]
    fn months_without_the_day_are_left_out() {
        let last = rule(Frequency::Monthly, "2026-01-31");
        assert_eq!(days(&last), ["2026-01-31", "2026-03-31", "2026-05-31", "2026-07-31"]);
        let leap = Rule { interval: 12, count: Some(2), ..rule(Frequency::Monthly, "2028-02-29") };
        assert_eq!(days(&leap), ["2028-02-29", "2032-02-29"]);
        // The fifth Friday.
        let fifth = rule(Frequency::MonthlyByWeekday, "2026-01-30");
        assert_eq!(days(&fifth), ["2026-01-30", "2026-05-29", "2026-07-31", "2026-10-30"]);
        let second = Rule {
            last_day: "2026-04-14".parse().ok(),
            count: None,
            ..rule(Frequency::MonthlyByWeekday, "2026-01-13")
        };
        assert_eq!(days(&second), ["2026-01-13", "2026-02-10", "2026-03-10", "2026-04-14"]);
    }

    #[test]
    fn a_rule_without_an_end_or_a_day_is_none() {
        let good = rule(Frequency::Weekly, "2026-03-04");
        for (flawed, field) in [
            (Rule { count: None, ..good.clone() }, "count"),
            (Rule { count: Some(0), ..good.clone() }, "count"),
            (Rule { count: Some(107), ..good.clone() }, "count"),
            (Rule { count: None, last_day: "2030-01-01".parse().ok(), ..good.clone() }, "lastDay"),
            (Rule { last_day: "2026-03-03".parse().ok(), ..good.clone() }, "lastDay"),
            (Rule { weekdays: vec![1], count: None, last_day: "2026-03-05".parse().ok(), ..good.clone() }, "lastDay"),
            (Rule { interval: 0, ..good.clone() }, "interval"),
            (Rule { interval: 53, ..good.clone() }, "interval"),
            (Rule { time: 1_440, ..good.clone() }, "time"),
            (Rule { frequency: Frequency::Monthly, weekdays: vec![1], ..good.clone() }, "weekdays"),
        ] {
            assert_eq!(flawed.days().map_err(|it| it.0), Err(field), "{flawed:?}");
        }
        assert_eq!(Rule { count: Some(106), ..good.clone() }.days().unwrap().len(), 106);
        // Nothing follows the end of the calendar.
        let end = rule(Frequency::Weekly, "9999-12-20");
        assert_eq!(days(&end), ["9999-12-20", "9999-12-27"]);
    }

    /// docs/decisions/0017: New York, 2026-03-08 02:30 does not exist and 2026-11-01 01:30 exists twice.
    #[test]
    fn a_time_that_the_clock_skips_or_shows_twice_is_not_picked_silently() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let at = |day: &str, time, offset: Option<i8>| {
            let rule = Rule { time, ..rule(Frequency::Weekly, "2026-03-01") };
            rule.instant(day.parse().unwrap(), &zone, offset.map(Offset::constant)).map(|it| it.to_string())
        };
        assert_eq!(at("2026-03-08", 150, None), Err(NoInstant::Nonexistent));
        assert_eq!(at("2026-03-08", 150, Some(-5)), Err(NoInstant::Nonexistent), "no offset makes it exist");
        assert_eq!(at("2026-03-08", 180, None), Ok("2026-03-08T07:00:00Z".into()));
        assert_eq!(at("2026-11-01", 90, None), Err(NoInstant::Ambiguous));
        assert_eq!(at("2026-11-01", 90, Some(1)), Err(NoInstant::Ambiguous));
        assert_eq!(at("2026-11-01", 90, Some(-4)), Ok("2026-11-01T05:30:00Z".into()));
        assert_eq!(at("2026-11-01", 90, Some(-5)), Ok("2026-11-01T06:30:00Z".into()));
        assert_eq!(at("2026-07-01", 90, Some(1)), Ok("2026-07-01T05:30:00Z".into()), "nothing to tell apart");
    }
}
