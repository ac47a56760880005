//! Days that an iCalendar file (RFC 5545) closes: its events that last whole days, with those that come again.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use icalendar::{
    Calendar, Component, DatePerhapsTime, EventStatus,
    rrule::{Frequency, RRuleSet},
};
use jiff::{ToSpan, civil::Date};

/// Longest file, in bytes.
pub const MAX_BYTES: usize = 512 * 1_024;
/// How deep components of a file stand in each other: a calendar, an event, an alarm, and room for one more.
const MAX_DEPTH: usize = 4;
/// Most days of one event.
const MAX_LENGTH: i32 = 366;
/// Most times that an event comes again.
const MAX_TIMES: u16 = u16::MAX;
/// Most events of a file that come again: each takes time to look through.
const MAX_RULES: usize = 200;

/// The days from one up to before another that a file closes, with the names of what closes them.
///
/// Events that begin at a time of day, and cancelled ones, close nothing.
///
/// # Errors
/// What is wrong with the file.
pub fn closed_days(file: &str, from: Date, to: Date) -> Result<BTreeMap<Date, String>, String> {
    if file.len() > MAX_BYTES {
        return Err(format!("A calendar has at most {} KiB.", MAX_BYTES / 1_024));
    }
    // The parser calls itself for each component in a component.
    if depth(file) > MAX_DEPTH {
        return Err("The calendar's components stand too deep in each other.".into());
    }
    let calendar = Calendar::from_str(file).map_err(|_| "It is no iCalendar file.".to_owned())?;
    if !file.trim_start_matches('\u{feff}').trim_start().starts_with("BEGIN:VCALENDAR") {
        return Err("It is no iCalendar file.".into());
    }
    if calendar.events().filter(|it| it.property_value("RRULE").is_some()).count() > MAX_RULES {
        return Err(format!("At most {MAX_RULES} events may come again."));
    }
    let mut days: BTreeMap<Date, BTreeSet<String>> = BTreeMap::new();
    for event in calendar.events().filter(|it| it.get_status() != Some(EventStatus::Cancelled)) {
        let Some(DatePerhapsTime::Date(first)) = event.get_start() else { continue };
        let Some(first) = date(first) else { continue };
        let length = match event.get_end() {
            Some(DatePerhapsTime::Date(end)) => date(end).map_or(1, |it| (it - first).get_days()),
            _ => 1, // Without an end it is that day (section 3.6.1).
        };
        let name = event.get_summary().unwrap_or_default().trim().to_owned();
        let earliest = from.saturating_sub(i64::from(MAX_LENGTH).days());
        for first in begins(event, first, earliest, to)? {
            for day in first.series(1.day()).take(usize::try_from(length.clamp(1, MAX_LENGTH)).unwrap_or(1)) {
                if day >= from && day < to {
                    days.entry(day).or_default().insert(name.clone());
                }
            }
        }
    }
    let joined = |names: BTreeSet<String>| names.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ");
    Ok(days.into_iter().map(|(day, names)| (day, joined(names))).collect())
}

/// The days on which an event begins, from one up to before another.
fn begins(event: &icalendar::Event, first: Date, from: Date, to: Date) -> Result<Vec<Date>, String> {
    let listed = |key: &str| -> Vec<Date> {
        let several = event.multi_properties().get(key).into_iter().flatten().map(|it| it.value());
        let one = event.property_value(key).into_iter();
        let values = several.chain(one).flat_map(|it| it.split(','));
        values.filter_map(|it| it.get(..8)).filter_map(|it| Date::strptime("%Y%m%d", it).ok()).collect()
    };
    let mut days = vec![first];
    days.extend(listed("RDATE"));
    if let Some(rule) = event.property_value("RRULE") {
        let flawed = || format!("The rule {:?} of an event is none.", rule.chars().take(100).collect::<String>());
        // Days have no zone; as instants of UTC they stay what they are. An end that is a day is one too.
        let rule = rule.split(';').map(|part| match part.strip_prefix("UNTIL=") {
            Some(day) if day.len() == 8 => format!("{part}T000000Z"),
            _ => part.to_owned(),
        });
        let rule = rule.collect::<Vec<_>>().join(";");
        let set = format!("DTSTART:{}T000000Z\nRRULE:{rule}", first.strftime("%Y%m%d"));
        let set: RRuleSet = set.parse().map_err(|_| flawed())?;
        let by_day = [Frequency::Yearly, Frequency::Monthly, Frequency::Weekly, Frequency::Daily];
        if set.get_rrule().iter().any(|it| !by_day.contains(&it.get_freq())) {
            return Err(flawed());
        }
        let found = set.limit().all(MAX_TIMES).dates;
        days.extend(found.into_iter().filter_map(|it| date(it.date_naive())));
    }
    let left_out: BTreeSet<Date> = listed("EXDATE").into_iter().collect();
    days.retain(|it| *it >= from && *it < to && !left_out.contains(it));
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

/// How deep components stand in each other.
fn depth(file: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in file.split(['\n', '\r']).map(|it| it.trim().to_ascii_uppercase()) {
        if line.starts_with("BEGIN:") {
            now += 1;
            most = most.max(now);
        } else if line.starts_with("END:") {
            now = now.saturating_sub(1);
        }
    }
    most
}

fn date(day: impl std::fmt::Display) -> Option<Date> {
    day.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(events: &str) -> Result<Vec<(String, String)>, String> {
        let file = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y\r\n{events}END:VCALENDAR\r\n");
        let found = closed_days(&file, "2026-12-01".parse().unwrap(), "2028-12-01".parse().unwrap())?;
        Ok(found.into_iter().map(|(day, name)| (day.to_string(), name)).collect())
    }

    fn event(lines: &str) -> String {
        format!("BEGIN:VEVENT\r\nUID:1\r\n{lines}\r\nEND:VEVENT\r\n")
    }

    #[test]
    fn whole_days_close_and_times_of_day_do_not() {
        let file = [
            event("DTSTART;VALUE=DATE:20261225\r\nDTEND;VALUE=DATE:20261227\r\nSUMMARY:Christmas\\, at hom\r\n e"),
            event("DTSTART;VALUE=DATE:20261226\r\nSUMMARY:Boxing Day"),
            event("DTSTART;VALUE=DATE:20261128\r\nDTEND;VALUE=DATE:20261203\r\nSUMMARY:Fair"),
            event("DTSTART:20261230T090000Z\r\nSUMMARY:A meeting"),
            event("DTSTART;VALUE=DATE:20261231\r\nSTATUS:CANCELLED\r\nSUMMARY:Not this year"),
            event("DTSTART;VALUE=DATE:20200101\r\nSUMMARY:Long ago"),
        ];
        let expected = [
            ("2026-12-01", "Fair"),
            ("2026-12-02", "Fair"),
            ("2026-12-25", "Christmas, at home"),
            ("2026-12-26", "Boxing Day, Christmas, at home"),
        ];
        let expected: Vec<_> = expected.iter().map(|(day, name)| ((*day).to_owned(), (*name).to_owned())).collect();
        assert_eq!(days(&file.concat()), Ok(expected));
    }

    #[test]
    fn what_comes_again_closes_each_time() {
        let yearly = event("DTSTART;VALUE=DATE:19900101\r\nRRULE:FREQ=YEARLY\r\nSUMMARY:New Year");
        let closed: Vec<String> = days(&yearly).unwrap().into_iter().map(|it| it.0).collect();
        assert_eq!(closed, ["2027-01-01", "2028-01-01"]);
        // The fourth Thursday of November, until a day, but for one of them.
        let nth = event(
            "DTSTART;VALUE=DATE:20261126\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;UNTIL=20281123\r\nEXDATE;VALUE=DATE:20271125\r\nRDATE;VALUE=DATE:20270501",
        );
        let closed: Vec<String> = days(&nth).unwrap().into_iter().map(|it| it.0).collect();
        assert_eq!(closed, ["2027-05-01", "2028-11-23"]);
    }

    #[test]
    fn what_is_no_calendar_is_said_to_be_none() {
        let file = |text: &str| closed_days(text, "2026-12-01".parse().unwrap(), "2028-12-01".parse().unwrap());
        for bad in ["", "hello", "BEGIN:VCALENDAR", "<html></html>", "BEGIN:VEVENT\r\nEND:VEVENT\r\n"] {
            assert_eq!(file(bad), Err("It is no iCalendar file.".into()), "{bad:?}");
        }
        // Neither the stack nor the time of the server is the file's to take.
        assert!(file(&"BEGIN:A\r\n".repeat(40_000)).unwrap_err().contains("deep"));
        assert!(file(&"X".repeat(MAX_BYTES + 1)).unwrap_err().contains("at most"));
        for bad in ["FREQ=SECONDLY", "FREQ=YEARLY;BYMONTH=13", "FREQ=OFTEN", ""] {
            let rule = event(&format!("DTSTART;VALUE=DATE:20261126\r\nRRULE:{bad}"));
            assert!(days(&rule).unwrap_err().contains("The rule"), "{bad:?}");
        }
        // A day that never comes.
        let never = event("DTSTART;VALUE=DATE:20261126\r\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31");
        assert_eq!(days(&never).unwrap().len(), 0);
    }
}
