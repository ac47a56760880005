//! Splits an iCalendar stream (RFC 5545) into its events, so that each can be read by itself.
//!
//! A stream can hold several calendars, lines can end in any way, and a component can lack its end: what surrounds an event
//! does not decide whether it is read.

use icalendar::parser;

/// Maximum nesting of components: a calendar, an event, an alarm, and one to spare.
const MAX_DEPTH: usize = 4;

/// The properties that decide about closed days. Others are not read, so that they cannot be in the way.
const READ: [&str; 15] = [
    "CATEGORIES",
    "CLASS",
    "DTEND",
    "DTSTART",
    "DURATION",
    "EXDATE",
    "EXRULE",
    "RDATE",
    "RECURRENCE-ID",
    "RRULE",
    "STATUS",
    "SUMMARY",
    "TRANSP",
    "UID",
    "X-MICROSOFT-CDO-ALLDAYEVENT",
];

/// An event, as its lines.
#[derive(Debug)]
pub(super) struct RawEvent {
    /// The number of its first line in the file, from 1.
    pub line: usize,
    /// The unfolded lines of the properties that are read.
    lines: String,
    /// Whether it has an end.
    pub is_complete: bool,
    /// Whether its calendar cancels what it contains.
    pub is_cancelled: bool,
    /// The time zone that its calendar names for all of it.
    pub calendar_zone: Option<String>,
}

/// A property of an event.
#[derive(Clone, Debug)]
pub(super) struct Property {
    /// In upper case.
    pub name: String,
    pub value: String,
    /// The time zone that it names.
    pub zone: Option<String>,
}

/// What a calendar says of all of its events.
#[derive(Default)]
struct CalendarFacts {
    is_cancelled: bool,
    zone: Option<String>,
}

impl RawEvent {
    /// Its properties; `None` when a line of it is not well formed.
    pub(super) fn properties(&self) -> Option<Vec<Property>> {
        let text = format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n{}END:VEVENT\r\nEND:VCALENDAR\r\n", self.lines);
        let calendar = parser::read_calendar(&text).ok()?;
        let event = calendar.components.into_iter().next()?;
        let read = |it: parser::Property<'_>| {
            let is_zone = |it: &&parser::Parameter<'_>| it.key.as_str().eq_ignore_ascii_case("TZID");
            let zone = it.params.iter().find(is_zone).and_then(|it| it.val.as_ref());
            let zone = zone.map(|it| it.as_str().trim_matches('"').to_owned());
            Property { name: it.name.as_str().to_ascii_uppercase(), value: it.val.as_str().trim().to_owned(), zone }
        };
        Some(event.properties.into_iter().map(read).collect())
    }

    /// The summary, where the event cannot be read as a whole.
    pub(super) fn rough_summary(&self) -> &str {
        let summary = self.lines.lines().find_map(|it| it.strip_prefix("SUMMARY")?.split_once(':'));
        summary.map_or("", |it| it.1)
    }
}

/// The events of a file, in order.
///
/// # Errors
/// When it is not an iCalendar file, or components are nested too deeply.
pub(super) fn events(file: &str) -> Result<Vec<RawEvent>, String> {
    let (mut found, mut open, mut facts) = (Vec::new(), None::<RawEvent>, CalendarFacts::default());
    // Names of the components that the current line is in.
    let mut within: Vec<String> = Vec::new();
    let mut is_calendar = false;
    for (number, line) in unfolded(file) {
        let (name, rest) = line.split_at(line.find([':', ';']).unwrap_or(line.len()));
        let (name, value) = (name.trim().to_ascii_uppercase(), rest.strip_prefix(':').unwrap_or_default().trim());
        match name.as_str() {
            "BEGIN" => {
                let component = value.to_ascii_uppercase();
                let cuts_short = matches!(component.as_str(), "VCALENDAR" | "VEVENT");
                if cuts_short {
                    // The component before it lacks its end.
                    found.extend(open.take());
                }
                if component == "VCALENDAR" {
                    (is_calendar, facts) = (true, CalendarFacts::default());
                    within.clear();
                } else if component == "VEVENT" {
                    within.truncate(1);
                    if is_calendar {
                        let lines = String::new();
                        open = Some(RawEvent {
                            line: number,
                            lines,
                            is_complete: false,
                            is_cancelled: false,
                            calendar_zone: None,
                        });
                    }
                }
                within.push(component);
                if within.len() > MAX_DEPTH {
                    return Err("The calendar's components are nested too deeply.".into());
                }
            }
            "END" => {
                let component = value.to_ascii_uppercase();
                if let Some(at) = within.iter().rposition(|it| *it == component) {
                    within.truncate(at);
                    if component == "VEVENT" || component == "VCALENDAR" {
                        let is_complete = component == "VEVENT";
                        found.extend(open.take().map(|event| RawEvent { is_complete, ..event }));
                    }
                }
            }
            "METHOD" if within.len() == 1 => facts.is_cancelled = value.eq_ignore_ascii_case("CANCEL"),
            "X-WR-TIMEZONE" if within.len() == 1 => facts.zone = Some(value.to_owned()),
            _ => {
                let is_inside = within.last().is_some_and(|it| it == "VEVENT");
                if let Some(event) = open.as_mut().filter(|_| is_inside && READ.contains(&name.as_str())) {
                    event.lines.push_str(&name);
                    event.lines.push_str(rest);
                    event.lines.push_str("\r\n");
                    (event.is_cancelled, event.calendar_zone) = (facts.is_cancelled, facts.zone.clone());
                }
            }
        }
    }
    found.extend(open);
    if is_calendar { Ok(found) } else { Err("This is not an iCalendar file.".into()) }
}

/// The lines of a file with their numbers, each with the lines that continue it.
fn unfolded(file: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in file.replace("\r\n", "\n").split(['\n', '\r']).enumerate() {
        let line = line.trim_start_matches('\u{feff}');
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(more), Some(last)) => last.1.push_str(more),
            _ if line.is_empty() => {}
            _ => lines.push((number + 1, line.to_owned())),
        }
    }
    lines
}
