//! Days that an iCalendar file (RFC 5545) closes: its whole-day events, including recurring ones. What cannot be read is
//! skipped and reported; the rest stands.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use icalendar::rrule::{Frequency, RRuleSet};
use jiff::{
    Span, Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use super::{
    ical::{self, Property, RawEvent},
    model::{EventFilter, Skipped},
    zones,
};
use crate::base::{cpu, ids::TenantId, text::one_line};

/// Maximum size of a file, in bytes.
pub(super) const MAX_BYTES: usize = 512 * 1_024;
/// Maximum length of one event, in days.
const MAX_LENGTH: i64 = 366;
/// Maximum number of days that all events of a file close, overlaps included.
const MAX_DAYS: usize = 10_000;
/// Maximum length of a name, in characters.
const MAX_NAME: usize = 200;
/// Maximum number of skipped events that are reported one by one.
const MAX_REPORTED: usize = 100;
/// Parts of a rule that select times of the day. Only midnight is a whole day.
const TIME_PARTS: [&str; 3] = ["BYHOUR", "BYMINUTE", "BYSECOND"];

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

/// What a file closes.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// The days, with the names of their events.
    pub days: BTreeMap<Date, String>,
    /// The first events that could not be read.
    pub skipped: Vec<Skipped>,
    /// How many could not be read.
    pub skipped_count: usize,
    /// How many events close nothing: those with a time of day, cancelled ones, and those that the filter leaves out.
    pub ignored_count: usize,
}

/// A file to read.
pub(super) struct Source {
    /// The text.
    pub text: String,
    /// The first day.
    pub from: Date,
    /// The end (exclusive).
    pub to: Date,
    /// The time zone of times that name none: the tenant's.
    pub home: TimeZone,
    /// Which events count.
    pub filter: EventFilter,
}

/// Reads a file of this tenant. A slow file does not block other work ([`cpu::run`]).
///
/// # Errors
/// What is wrong with the whole file, or that too many files are being read.
pub(super) async fn read(tenant: TenantId, source: Source) -> Result<Closed, Unread> {
    cpu::run(tenant, move || closed_days(&source)).await.unwrap_or(Err(Unread::Busy))
}

/// A whole-day event.
struct Event {
    uid: Option<String>,
    name: String,
    first: Date,
    /// In days.
    length: i64,
    /// The occurrence of a recurring event that this one replaces.
    replaces: Option<Date>,
    rule: Option<String>,
    more: Vec<Date>,
    left_out: BTreeSet<Date>,
}

/// What reading an event comes to.
enum Outcome {
    Closes(Event),
    /// It closes nothing, but may replace an occurrence of another event.
    Ignored {
        uid: Option<String>,
        replaces: Option<Date>,
    },
}

fn closed_days(source: &Source) -> Result<Closed, Unread> {
    let begun = Instant::now();
    if source.text.len() > MAX_BYTES {
        return Err(format!("A calendar file can have at most {} KiB.", MAX_BYTES / 1_024).into());
    }
    let mut closed = Closed::default();
    let mut events: Vec<(RawEvent, Event)> = Vec::new();
    // A moved occurrence is an event of its own and replaces the day from the rule (section 3.8.4.4).
    let mut moved: HashMap<String, BTreeSet<Date>> = HashMap::new();
    for raw in ical::events(&source.text)? {
        let (uid, replaces) = match event(&raw, source) {
            Err(reason) => {
                closed.skip(&raw, None, reason);
                continue;
            }
            Ok(Outcome::Ignored { uid, replaces }) => {
                closed.ignored_count += 1;
                (uid, replaces)
            }
            Ok(Outcome::Closes(event)) => {
                let known = (event.uid.clone(), event.replaces);
                events.push((raw, event));
                known
            }
        };
        if let (Some(uid), Some(day)) = (uid, replaces) {
            moved.entry(uid).or_default().insert(day);
        }
    }
    let (mut days, mut budget): (BTreeMap<Date, BTreeSet<String>>, usize) = (BTreeMap::new(), MAX_DAYS);
    let (from, to) = (source.from, source.to);
    for (raw, event) in events {
        if begun.elapsed() > PATIENCE {
            return Err("The calendar takes too long to read.".into());
        }
        let earliest = from.saturating_sub(MAX_LENGTH.days());
        let begins = match begins(&event, earliest, to) {
            Ok(begins) => begins,
            Err(reason) => {
                closed.skip(&raw, Some(&event.name), reason);
                continue;
            }
        };
        let replaced = event.uid.as_ref().and_then(|uid| moved.get(uid)).filter(|_| event.replaces.is_none());
        for begin in begins.into_iter().filter(|it| replaced.is_none_or(|days| !days.contains(it))) {
            for day in begin.series(1.day()).take(usize::try_from(event.length).unwrap_or(1)) {
                if day >= from && day < to {
                    budget = budget.checked_sub(1).ok_or("The calendar closes too many days.")?;
                    days.entry(day).or_default().insert(event.name.clone());
                }
            }
        }
    }
    let joined = |names: BTreeSet<String>| names.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ");
    closed.days = days.into_iter().map(|(day, names)| (day, joined(names))).collect();
    closed.skipped.sort_by_key(|it| it.line);
    Ok(closed)
}

impl Closed {
    fn skip(&mut self, raw: &RawEvent, name: Option<&str>, reason: String) {
        self.skipped_count += 1;
        if self.skipped.len() < MAX_REPORTED {
            let summary = name.unwrap_or_else(|| raw.rough_summary());
            let summary = summary.chars().filter(|it| !it.is_control()).take(MAX_NAME).collect();
            self.skipped.push(Skipped { line: raw.line, summary, reason });
        }
    }
}

/// Reads an event.
///
/// # Errors
/// Why it cannot be read.
fn event(raw: &RawEvent, source: &Source) -> Result<Outcome, String> {
    if !raw.is_complete {
        return Err("The event has no end.".into());
    }
    let properties = raw.properties().ok_or("A line of the event is not well formed.")?;
    let all = |name: &'static str| properties.iter().filter(move |it| it.name == name);
    let one = |name: &'static str| all(name).next();
    let says = |name: &'static str, value: &str| one(name).is_some_and(|it| it.value.eq_ignore_ascii_case(value));
    let uid = one("UID").map(|it| it.value.clone());
    let starts = one("DTSTART").ok_or("The event has no start.")?;
    let clock = Clock::of(starts, raw, source)?;
    let replaces = one("RECURRENCE-ID").and_then(|it| clock.day(&it.value, it.zone.as_deref()));
    let name: String =
        one("SUMMARY").map(|it| one_line(&it.value)).unwrap_or_default().chars().take(MAX_NAME).collect();
    let categories: Vec<String> = all("CATEGORIES").flat_map(|it| texts(&it.value)).collect();
    let is_off = raw.is_cancelled || says("STATUS", "CANCELLED");
    let is_flagged = says("X-MICROSOFT-CDO-ALLDAYEVENT", "TRUE");
    let length = length(&clock, one("DTEND"), one("DURATION"), is_flagged)?;
    let fits = source.filter.fits(&name, &categories, says("TRANSP", "TRANSPARENT"));
    let Some(length) = length.filter(|_| !is_off && fits) else { return Ok(Outcome::Ignored { uid, replaces }) };
    let days = |name: &'static str| {
        let values = all(name).flat_map(|it| it.value.split(',').map(move |value| (value, it.zone.as_deref())));
        values
            .filter_map(|(value, zone)| clock.day(value.split('/').next().unwrap_or_default(), zone))
            .collect::<Vec<_>>()
    };
    let (more, left_out) = (days("RDATE"), days("EXDATE").into_iter().collect());
    let rule = match one("RRULE") {
        Some(rule) => Some(rule_of_days(&rule.value, &clock)?),
        None => None,
    };
    if one("EXRULE").is_some() {
        return Err("The event has a rule of exceptions (EXRULE), which is not supported.".into());
    }
    Ok(Outcome::Closes(Event { uid, name, first: clock.starts.date(), length, replaces, rule, more, left_out }))
}

/// The clock on which an event's times are whole days.
struct Clock {
    starts: DateTime,
    has_time: bool,
    /// The zone of the start, where it is known.
    zone: Option<TimeZone>,
}

impl Clock {
    /// The clock of a start: of its own zone, or for an instant in UTC the calendar's or the tenant's zone when it is
    /// midnight there.
    fn of(starts: &Property, raw: &RawEvent, source: &Source) -> Result<Self, String> {
        let unread = || format!("The start {:?} is not a date.", starts.value.chars().take(40).collect::<String>());
        if let Some(day) = whole_date(&starts.value) {
            return Ok(Self { starts: day.at(0, 0, 0, 0), has_time: false, zone: None });
        }
        let local = local_time(&starts.value).ok_or_else(unread)?;
        if !is_utc(&starts.value) {
            let zone = starts.zone.as_deref().and_then(zones::named);
            return Ok(Self { starts: local, has_time: true, zone });
        }
        let at = TimeZone::UTC.to_timestamp(local).map_err(|_| unread())?;
        let named = raw.calendar_zone.as_deref().and_then(zones::named);
        let is_midnight = |zone: &TimeZone| zone.to_datetime(at).time() == Time::midnight();
        let zone = named.into_iter().chain([source.home.clone()]).find(is_midnight).unwrap_or(TimeZone::UTC);
        Ok(Self { starts: zone.to_datetime(at), has_time: true, zone: Some(zone) })
    }

    /// A time on this clock. One in a zone of its own stays as it is written there.
    fn time(&self, value: &str, own_zone: Option<&str>) -> Option<DateTime> {
        let local = local_time(value).or_else(|| whole_date(value).map(|it| it.at(0, 0, 0, 0)))?;
        if !is_utc(value) || own_zone.is_some() {
            return Some(local);
        }
        let at: Timestamp = TimeZone::UTC.to_timestamp(local).ok()?;
        Some(self.zone.as_ref().map_or(local, |it| it.to_datetime(at)))
    }

    fn day(&self, value: &str, own_zone: Option<&str>) -> Option<Date> {
        self.time(value.trim(), own_zone).map(DateTime::date)
    }
}

/// How many whole days an event lasts; `None` when it has a time of day.
///
/// A day lasts from midnight to midnight or to a minute before (section 3.6.1 for events without an end).
fn length(
    clock: &Clock,
    ends: Option<&Property>,
    lasts: Option<&Property>,
    is_flagged: bool,
) -> Result<Option<i64>, String> {
    let first = clock.starts.date();
    let days = |to: Date| i64::from((to - first).get_days());
    if let Some(ends) = ends {
        let unread = || format!("The end {:?} is not a date.", ends.value.chars().take(40).collect::<String>());
        let end = clock.time(&ends.value, ends.zone.as_deref()).ok_or_else(unread)?;
        let (whole, time) = (days(end.date()), end.time());
        if !clock.has_time {
            return Ok(Some(whole.clamp(1, MAX_LENGTH)));
        }
        let ends_at_midnight = time == Time::midnight();
        let whole = if ends_at_midnight { whole } else { whole + 1 };
        let ends_a_day = ends_at_midnight || (time.hour(), time.minute()) == (23, 59);
        let is_whole = clock.starts.time() == Time::midnight() && ends_a_day && whole > 0;
        return Ok((is_whole || is_flagged).then(|| whole.clamp(1, MAX_LENGTH)));
    }
    let Some(lasts) = lasts else { return Ok((!clock.has_time || is_flagged).then_some(1)) };
    let span: Span = lasts.value.parse().map_err(|_| "The duration is not well formed.".to_owned())?;
    let minutes = 7 * 1_440 * i64::from(span.get_weeks())
        + 1_440 * i64::from(span.get_days())
        + 60 * i64::from(span.get_hours())
        + span.get_minutes();
    let whole = minutes.saturating_add(1) / 1_440;
    let is_whole = clock.starts.time() == Time::midnight() && minutes > 0 && minutes.saturating_add(1) % 1_440 <= 1;
    Ok((!clock.has_time || is_whole || is_flagged).then(|| whole.clamp(1, MAX_LENGTH)))
}

/// A rule in days: its end is reduced to a day, and parts that say nothing of days are removed.
///
/// # Errors
/// When the rule cannot be read as one of days.
fn rule_of_days(rule: &str, clock: &Clock) -> Result<String, String> {
    let flawed = || unsupported(rule);
    let mut parts = Vec::new();
    for part in rule.split(';').map(|it| it.trim().to_ascii_uppercase()).filter(|it| !it.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(flawed)?;
        match key {
            "UNTIL" => {
                let day = clock.day(value, None).ok_or_else(flawed)?;
                parts.push(format!("UNTIL={}T000000Z", day.strftime("%Y%m%d")));
            }
            "RSCALE" if value == "GREGORIAN" => {}
            _ if key.starts_with("X-") || (TIME_PARTS.contains(&key) && matches!(value, "0" | "00")) => {}
            _ if TIME_PARTS.contains(&key) => return Err(flawed()),
            _ => parts.push(part),
        }
    }
    Ok(parts.join(";"))
}

fn unsupported(rule: &str) -> String {
    format!("The rule {:?} is not supported.", rule.chars().take(100).collect::<String>())
}

/// The days on which an event starts, from `from` to before `to`. The start itself always counts, also where the rule ends
/// before it.
fn begins(event: &Event, from: Date, to: Date) -> Result<Vec<Date>, String> {
    let first = event.first;
    let mut days = vec![first];
    days.extend(&event.more);
    if let Some(rule) = event.rule.as_ref().filter(|_| first < to && event.replaces.is_none()) {
        // Days have no zone; as UTC instants they stay unchanged.
        let start = first.strftime("%Y%m%dT000000Z").to_string();
        let ends_before = rule.split(';').filter_map(|it| it.strip_prefix("UNTIL=")).any(|it| it < start.as_str());
        let rule = match ends_before {
            true => format!("{rule};").replace(&format!("{};", until_part(rule)), ""),
            false => rule.clone(),
        };
        let set = format!("DTSTART:{start}\nRRULE:{}", rule.trim_end_matches(';'));
        let set: RRuleSet = set.parse().map_err(|_| unsupported(&rule))?;
        let by_day = [Frequency::Yearly, Frequency::Monthly, Frequency::Weekly, Frequency::Daily];
        if set.get_rrule().iter().any(|it| !by_day.contains(&it.get_freq())) {
            return Err(unsupported(&rule));
        }
        if !ends_before {
            // Not beyond the requested range.
            let until = first.until(to).map_or(0, |it| it.get_days()).max(0);
            let until = *set.get_dt_start() + Duration::from_secs(86_400 * u64::try_from(until).unwrap_or(0));
            let found = set.before(until).limit().all(u16::MAX).dates;
            days.extend(found.into_iter().filter_map(|it| it.date_naive().to_string().parse::<Date>().ok()));
        }
    }
    days.retain(|it| *it >= from && *it < to && !event.left_out.contains(it));
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

fn until_part(rule: &str) -> &str {
    rule.split(';').find(|it| it.starts_with("UNTIL=")).unwrap_or_default()
}

/// A value that is a date alone.
fn whole_date(value: &str) -> Option<Date> {
    if value.len() == 8 { Date::strptime("%Y%m%d", value).ok() } else { None }
}

/// The date and time that a value shows.
fn local_time(value: &str) -> Option<DateTime> {
    DateTime::strptime("%Y%m%dT%H%M%S", value.trim_end_matches(['Z', 'z'])).ok()
}

fn is_utc(value: &str) -> bool {
    value.ends_with(['Z', 'z'])
}

/// The texts of a list, in which commas within a text are escaped (section 3.3.11).
fn texts(list: &str) -> Vec<String> {
    let (mut texts, mut is_escaped) = (vec![String::new()], false);
    for it in list.chars() {
        match it {
            '\\' if !is_escaped => is_escaped = true,
            ',' if !is_escaped => texts.push(String::new()),
            _ => {
                if let Some(last) = texts.last_mut() {
                    last.push(it);
                }
                is_escaped = false;
            }
        }
    }
    texts.iter().map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, filter: EventFilter) -> Result<Closed, String> {
        let source = Source {
            text: text.into(),
            from: "2026-12-01".parse().unwrap(),
            to: "2028-12-01".parse().unwrap(),
            home: TimeZone::get("Europe/Amsterdam").unwrap(),
            filter,
        };
        closed_days(&source).map_err(|unread| match unread {
            Unread::Flawed(message) => message,
            Unread::Busy => "busy".into(),
        })
    }

    fn closed(events: &str) -> Closed {
        let file = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y\r\n{events}END:VCALENDAR\r\n");
        read(&file, EventFilter::default()).unwrap()
    }

    fn days(events: &str) -> Vec<String> {
        closed(events).days.into_keys().map(|it| it.to_string()).collect()
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
        let found = closed(&file.concat());
        let named: Vec<_> = found.days.iter().map(|(day, name)| (day.to_string(), name.as_str())).collect();
        assert_eq!(named, expected.map(|(day, name)| (day.to_owned(), name)));
        assert_eq!((found.skipped_count, found.ignored_count), (0, 2));
    }

    #[test]
    fn what_comes_again_closes_each_time() {
        let yearly = event("DTSTART;VALUE=DATE:19900101\r\nRRULE:FREQ=YEARLY\r\nSUMMARY:New Year");
        assert_eq!(days(&yearly), ["2027-01-01", "2028-01-01"]);
        // The fourth Thursday of November, until a day, except for one of them.
        let nth = event(
            "DTSTART;VALUE=DATE:20261126\r\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;UNTIL=20281123\r\nEXDATE;VALUE=DATE:20271125\r\nRDATE;VALUE=DATE:20270501",
        );
        assert_eq!(days(&nth), ["2027-05-01", "2028-11-23"]);
        // The last Monday of May, as Outlook writes it.
        let last = event("DTSTART;VALUE=DATE:20270531\r\nRRULE:FREQ=YEARLY;BYDAY=MO;BYMONTH=5;BYSETPOS=-1");
        assert_eq!(days(&last), ["2027-05-31", "2028-05-29"]);
        // Its end is an instant in UTC: the day in the zone of the start.
        let until = |end: &str| {
            let rule = format!("RRULE:FREQ=DAILY;UNTIL={end}");
            days(&event(&format!(
                "DTSTART;TZID=Europe/Amsterdam:20270101T000000\r\nDTEND;TZID=Europe/Amsterdam:20270102T000000\r\n{rule}"
            )))
        };
        assert_eq!(until("20270102T225959Z"), ["2027-01-01", "2027-01-02"]);
        assert_eq!(until("20270102T230000Z"), ["2027-01-01", "2027-01-02", "2027-01-03"]);
    }

    #[test]
    fn durations_moved_days_and_ends_of_rules_are_read() {
        let lasts = event("DTSTART;VALUE=DATE:20261224\r\nDURATION:P3D");
        assert_eq!(days(&lasts), ["2026-12-24", "2026-12-25", "2026-12-26"]);
        let moved = event("DTSTART;VALUE=DATE:20261207\r\nRRULE:FREQ=WEEKLY;UNTIL=20261221T120000")
            + &event("RECURRENCE-ID;VALUE=DATE:20261214\r\nDTSTART;VALUE=DATE:20261216");
        assert_eq!(days(&moved), ["2026-12-07", "2026-12-16", "2026-12-21"]);
    }

    /// A file must not exhaust the server's stack or time, and what is no calendar is said to be none.
    #[test]
    fn the_whole_is_refused_only_when_nothing_of_it_can_be_read() {
        let flaw = |text: &str| read(text, EventFilter::default()).unwrap_err();
        for bad in ["", "hello", "<html></html>", "BEGIN:VEVENT\r\nEND:VEVENT\r\n"] {
            assert_eq!(flaw(bad), "This is not an iCalendar file.", "{bad:?}");
        }
        assert!(flaw(&format!("BEGIN:VCALENDAR\r\n{}", "BEGIN:A\r\n".repeat(40_000))).contains("deep"));
        // Nor may lines that are folded or look like an end.
        for line in ["B\n EGIN:A\n", "B\r\n\tEGIN:A\r\n", "BEGIN:A\nX:\n END:\n", "BEGIN:A\n END:A\n"] {
            assert!(flaw(&format!("BEGIN:VCALENDAR\r\n{}", line.repeat(20_000))).contains("deep"), "{line:?}");
        }
        assert!(flaw(&"X".repeat(MAX_BYTES + 1)).contains("at most"));
        let year = event("DTSTART;VALUE=DATE:20260101\r\nDTEND;VALUE=DATE:20270101\r\nRRULE:FREQ=DAILY");
        let calendar = |events: &str| format!("BEGIN:VCALENDAR\r\n{events}END:VCALENDAR\r\n");
        assert!(flaw(&calendar(&year)).contains("too many days"));
        // One bad rule, among good ones, is skipped.
        for bad in ["FREQ=SECONDLY", "FREQ=YEARLY;BYMONTH=13", "FREQ=OFTEN", "", "FREQ=DAILY;BYHOUR=1,2;BYSETPOS=1"] {
            let found = closed(
                &(event(&format!("DTSTART;VALUE=DATE:20261126\r\nSUMMARY:Bad\r\nRRULE:{bad}"))
                    + &event("DTSTART;VALUE=DATE:20261225")),
            );
            assert_eq!(found.days.len(), 1, "{bad:?}");
            assert_eq!((found.skipped[0].line, found.skipped[0].summary.as_str()), (4, "Bad"), "{bad:?}");
            assert!(found.skipped[0].reason.contains("rule"), "{bad:?}");
        }
        // A day that never occurs.
        let never = event("DTSTART;VALUE=DATE:20261126\r\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31");
        assert_eq!(days(&never).len(), 0);
    }

    #[test]
    fn filters_leave_out_observances() {
        let file = [
            event("DTSTART;VALUE=DATE:20261225\r\nSUMMARY:Christmas\r\nCATEGORIES:Holiday,Public\\, national"),
            event("DTSTART;VALUE=DATE:20261206\r\nSUMMARY:Saint Nicholas\r\nCATEGORIES:Observance"),
            event("DTSTART;VALUE=DATE:20261231\r\nSUMMARY:New Year's Eve\r\nTRANSP:TRANSPARENT"),
        ];
        let file = format!("BEGIN:VCALENDAR\r\n{}END:VCALENDAR\r\n", file.concat());
        let of =
            |filter: EventFilter| -> Vec<i8> { read(&file, filter).unwrap().days.keys().map(|it| it.day()).collect() };
        let list = |text: &str| vec![text.to_owned()];
        let none = EventFilter::default;
        assert_eq!(of(none()), [6, 25, 31]);
        assert_eq!(of(EventFilter { categories: list("holiday"), ..none() }), [25]);
        assert_eq!(of(EventFilter { categories: list("public, national"), ..none() }), [25]);
        assert_eq!(of(EventFilter { without_categories: list("OBSERVANCE"), ..none() }), [25, 31]);
        assert_eq!(of(EventFilter { summaries: list("new year"), ..none() }), [31]);
        assert_eq!(of(EventFilter { without_summaries: list("eve"), ..none() }), [6, 25]);
        assert_eq!(of(EventFilter { without_transparent: true, ..none() }), [6, 25]);
    }
}
