//! Days that an iCalendar file (RFC 5545) closes: its all-day events, including recurring ones.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    str::FromStr,
    time::{Duration, Instant},
};

use icalendar::{
    Calendar, Component, DatePerhapsTime, EventStatus,
    rrule::{Frequency, RRuleSet},
};
use jiff::{Span, ToSpan, civil::Date};

use crate::base::{cpu, ids::TenantId};

/// Maximum size of a file, in bytes.
pub(super) const MAX_BYTES: usize = 512 * 1_024;
/// Maximum nesting of components in a file: a calendar, an event, an alarm, and one to spare.
const MAX_DEPTH: usize = 4;
/// Maximum length of one event, in days.
const MAX_LENGTH: i64 = 366;
/// Maximum number of recurring events in a file, because each takes time to expand.
const MAX_RULES: usize = 100;
/// Maximum number of days that all events of a file close, overlaps included.
const MAX_DAYS: usize = 10_000;
/// Maximum length of a name, in characters.
const MAX_NAME: usize = 200;
/// Parts of a rule that do not apply to whole days, or make them expensive to find.
const REFUSED_PARTS: [&str; 4] = ["BYHOUR", "BYMINUTE", "BYSECOND", "BYSETPOS"];

/// Time limit for reading a file.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a file was not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// What is wrong with the file.
    Flawed(String),
    /// Too many files are being read.
    Busy,
}

impl<T: Into<String>> From<T> for Unread {
    fn from(message: T) -> Self {
        Self::Flawed(message.into())
    }
}

/// The days from `from` to before `to` that a file of this tenant closes, with the names of the events. A slow file
/// does not block other work ([`cpu::run`]).
///
/// Events with a time of day and cancelled events close nothing.
///
/// # Errors
/// What is wrong with the file, or that too many files are being read.
pub(super) async fn read(
    tenant: TenantId,
    file: String,
    from: Date,
    to: Date,
) -> Result<BTreeMap<Date, String>, Unread> {
    cpu::run(tenant, move || closed_days(&file, from, to)).await.unwrap_or(Err(Unread::Busy))
}

fn closed_days(file: &str, from: Date, to: Date) -> Result<BTreeMap<Date, String>, Unread> {
    let begun = Instant::now();
    if file.len() > MAX_BYTES {
        return Err(format!("A calendar file can have at most {} KiB.", MAX_BYTES / 1_024).into());
    }
    // The parser recurses for each nested component, so the depth is checked on the unfolded lines that it sees.
    if depth(&icalendar::parser::unfold(file)) > MAX_DEPTH {
        return Err("The calendar's components are nested too deeply.".into());
    }
    let calendar = Calendar::from_str(file).map_err(|_| "This is not an iCalendar file.")?;
    if !file.trim_start_matches('\u{feff}').trim_start().starts_with("BEGIN:VCALENDAR") {
        return Err("This is not an iCalendar file.".into());
    }
    if calendar.events().filter(|it| it.property_value("RRULE").is_some()).count() > MAX_RULES {
        return Err(format!("At most {MAX_RULES} events can be recurring.").into());
    }
    // A moved occurrence is an event of its own and replaces the day from the rule (section 3.8.4.4).
    let mut moved: HashMap<&str, BTreeSet<Date>> = HashMap::new();
    for event in calendar.events() {
        let from = event.property_value("RECURRENCE-ID").and_then(read_date);
        if let (Some(uid), Some(from)) = (event.get_uid(), from) {
            moved.entry(uid).or_default().insert(from);
        }
    }
    let (mut days, mut budget): (BTreeMap<Date, BTreeSet<String>>, usize) = (BTreeMap::new(), MAX_DAYS);
    for event in calendar.events().filter(|it| it.get_status() != Some(EventStatus::Cancelled)) {
        let Some(DatePerhapsTime::Date(first)) = event.get_start() else { continue };
        let Some(first) = date(first) else { continue };
        let name: String = event.get_summary().unwrap_or_default().trim().chars().take(MAX_NAME).collect();
        let length = length(event, first).clamp(1, MAX_LENGTH);
        let is_rule = event.property_value("RECURRENCE-ID").is_none();
        let left_out = event.get_uid().and_then(|uid| moved.get(uid)).filter(|_| is_rule);
        let earliest = from.saturating_sub(MAX_LENGTH.days());
        if begun.elapsed() > PATIENCE {
            return Err("The calendar takes too long to read.".into());
        }
        for begin in begins(event, first, earliest, to)? {
            if left_out.is_some_and(|it| it.contains(&begin)) {
                continue;
            }
            for day in begin.series(1.day()).take(usize::try_from(length).unwrap_or(1)) {
                if day >= from && day < to {
                    budget = budget.checked_sub(1).ok_or("The calendar closes too many days.")?;
                    days.entry(day).or_default().insert(name.clone());
                }
            }
        }
    }
    let joined = |names: BTreeSet<String>| names.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ");
    Ok(days.into_iter().map(|(day, names)| (day, joined(names))).collect())
}

/// The length of an event in days: up to its end, by its duration, or one day (section 3.6.1).
fn length(event: &icalendar::Event, first: Date) -> i64 {
    if let Some(DatePerhapsTime::Date(end)) = event.get_end() {
        return date(end).map_or(1, |it| i64::from((it - first).get_days()));
    }
    let span = event.property_value("DURATION").and_then(|it| it.parse::<Span>().ok());
    span.map_or(1, |it| i64::from(it.get_days()) + 7 * i64::from(it.get_weeks()))
}

/// The days on which an event starts, from `from` to before `to`.
fn begins(event: &icalendar::Event, first: Date, from: Date, to: Date) -> Result<Vec<Date>, String> {
    let listed = |key: &str| -> Vec<Date> {
        let several = event.multi_properties().get(key).into_iter().flatten().map(|it| it.value());
        let one = event.property_value(key).into_iter();
        several.chain(one).flat_map(|it| it.split(',')).filter_map(read_date).collect()
    };
    let mut days = vec![first];
    days.extend(listed("RDATE"));
    if let Some(rule) = event.property_value("RRULE").filter(|_| first < to) {
        let flawed =
            || format!("The rule {:?} of an event is not supported.", rule.chars().take(100).collect::<String>());
        let is_refused = |part: &str| REFUSED_PARTS.contains(&part.split('=').next().unwrap_or_default());
        if rule.split(';').any(is_refused) {
            return Err(flawed());
        }
        // Days have no zone; as UTC instants they stay unchanged. The end is reduced to a day, however it is written.
        let rule = rule.split(';').map(|part| match part.strip_prefix("UNTIL=").and_then(|it| it.get(..8)) {
            Some(day) => format!("UNTIL={day}T000000Z"),
            None => part.to_owned(),
        });
        let rule = rule.collect::<Vec<_>>().join(";");
        let set = format!("DTSTART:{}T000000Z\nRRULE:{rule}", first.strftime("%Y%m%d"));
        let set: RRuleSet = set.parse().map_err(|_| flawed())?;
        let by_day = [Frequency::Yearly, Frequency::Monthly, Frequency::Weekly, Frequency::Daily];
        if set.get_rrule().iter().any(|it| !by_day.contains(&it.get_freq())) {
            return Err(flawed());
        }
        // Not beyond the requested range.
        let until = first.until(to).map_or(0, |it| it.get_days()).max(0);
        let until = *set.get_dt_start() + Duration::from_secs(86_400 * u64::try_from(until).unwrap_or(0));
        let found = set.before(until).limit().all(u16::MAX).dates;
        days.extend(found.into_iter().filter_map(|it| date(it.date_naive())));
    }
    let left_out: BTreeSet<Date> = listed("EXDATE").into_iter().collect();
    days.retain(|it| *it >= from && *it < to && !left_out.contains(it));
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

/// Parses the date at the start of a value.
fn read_date(text: &str) -> Option<Date> {
    Date::strptime("%Y%m%d", text.get(..8)?).ok()
}

/// The maximum nesting of components. Whatever looks like a start counts as one; only a real end counts as an end.
fn depth(unfolded: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in unfolded.split(['\n', '\r']) {
        if line.trim().get(..6).is_some_and(|it| it.eq_ignore_ascii_case("BEGIN:")) {
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

    fn flaw(read: Result<BTreeMap<Date, String>, Unread>) -> Result<BTreeMap<Date, String>, String> {
        read.map_err(|unread| match unread {
            Unread::Flawed(message) => message,
            Unread::Busy => "busy".into(),
        })
    }

    fn days(events: &str) -> Result<Vec<(String, String)>, String> {
        let file = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y\r\n{events}END:VCALENDAR\r\n");
        let found = flaw(closed_days(&file, "2026-12-01".parse().unwrap(), "2028-12-01".parse().unwrap()))?;
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
        // The fourth Thursday of November, until a day, except for one of them.
        let nth = event(
            "DTSTART;VALUE=DATE:20261126\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;UNTIL=20281123\r\nEXDATE;VALUE=DATE:20271125\r\nRDATE;VALUE=DATE:20270501",
        );
        let closed: Vec<String> = days(&nth).unwrap().into_iter().map(|it| it.0).collect();
        assert_eq!(closed, ["2027-05-01", "2028-11-23"]);
    }

    #[test]
    fn durations_moved_days_and_ends_of_rules_are_read() {
        let closed = |events: &str| -> Vec<String> { days(events).unwrap().into_iter().map(|it| it.0).collect() };
        let lasts = event("DTSTART;VALUE=DATE:20261224\r\nDURATION:P3D");
        assert_eq!(closed(&lasts), ["2026-12-24", "2026-12-25", "2026-12-26"]);
        let moved = event("DTSTART;VALUE=DATE:20261207\r\nRRULE:FREQ=WEEKLY;UNTIL=20261221T120000")
            + &event("RECURRENCE-ID;VALUE=DATE:20261214\r\nDTSTART;VALUE=DATE:20261216");
        assert_eq!(closed(&moved), ["2026-12-07", "2026-12-16", "2026-12-21"]);
    }

    #[test]
    fn what_is_no_calendar_is_said_to_be_none() {
        let file = |text: &str| flaw(closed_days(text, "2026-12-01".parse().unwrap(), "2028-12-01".parse().unwrap()));
        for bad in ["", "hello", "BEGIN:VCALENDAR", "<html></html>", "BEGIN:VEVENT\r\nEND:VEVENT\r\n"] {
            assert_eq!(file(bad), Err("This is not an iCalendar file.".into()), "{bad:?}");
        }
        // A file must not exhaust the server's stack or time.
        assert!(file(&"BEGIN:A\r\n".repeat(40_000)).unwrap_err().contains("deep"));
        // Nor may lines that are folded or look like an end.
        for line in ["B\n EGIN:A\n", "B\r\n\tEGIN:A\r\n", "BEGIN:A\nX:\n END:\n", "BEGIN:A\n END:A\n"] {
            let folded = format!("BEGIN:VCALENDAR\r\n{}", line.repeat(20_000));
            assert!(file(&folded).unwrap_err().contains("deep"), "{line:?}");
        }
        assert!(file(&"X".repeat(MAX_BYTES + 1)).unwrap_err().contains("at most"));
        for bad in ["FREQ=SECONDLY", "FREQ=YEARLY;BYMONTH=13", "FREQ=OFTEN", ""] {
            let rule = event(&format!("DTSTART;VALUE=DATE:20261126\r\nRRULE:{bad}"));
            assert!(days(&rule).unwrap_err().contains("The rule"), "{bad:?}");
        }
        // Neither may a slow rule, many rules, or many overlapping days.
        let slow = event("DTSTART;VALUE=DATE:20261126\r\nRRULE:FREQ=DAILY;BYHOUR=1,2;BYSETPOS=1");
        assert!(days(&slow).unwrap_err().contains("The rule"));
        let daily = event("DTSTART;VALUE=DATE:19000101\r\nRRULE:FREQ=DAILY");
        assert!(days(&daily.repeat(101)).unwrap_err().contains("At most 100"));
        let year = event("DTSTART;VALUE=DATE:20260101\r\nDTEND;VALUE=DATE:20270101\r\nRRULE:FREQ=DAILY");
        assert!(days(&year).unwrap_err().contains("too many days"));
        // A day that never occurs.
        let never = event("DTSTART;VALUE=DATE:20261126\r\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31");
        assert_eq!(days(&never).unwrap().len(), 0);
    }
}
