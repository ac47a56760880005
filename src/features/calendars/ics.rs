//! Renders bookings as iCalendar files (RFC 5545), and as messages that update a reader's calendar (iTIP, RFC 5546).

use std::collections::BTreeMap;

use icalendar::{Calendar, Component, Event, EventLike, EventStatus, Property};
use jiff::{
    Timestamp,
    tz::{AmbiguousOffset, TimeZone},
};

use super::timezones;
use crate::{
    base::text::one_line,
    features::bookings::{Booking, BookingStatus},
};

/// A booking as it appears in the reader's calendar.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The booking.
    pub booking: Booking,
    /// The title, in one line.
    pub summary: String,
    /// The description.
    pub description: Option<String>,
    /// Where it takes place.
    pub location: Option<String>,
}

/// What a file asks a calendar program to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Show the bookings.
    Publish,
    /// Add the booking, or change it.
    Request,
    /// Remove the booking.
    Cancel,
}

impl Method {
    /// The value in the file and in the content type of its mail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "PUBLISH",
            Self::Request => "REQUEST",
            Self::Cancel => "CANCEL",
        }
    }
}

/// A person in a file: a name and an email address.
pub type Party<'a> = (&'a str, &'a str);

/// Who a file is from and to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parties<'a> {
    /// The sender.
    pub organizer: Option<Party<'a>>,
    /// The customer, where the file is a message to them.
    pub attendee: Option<Party<'a>>,
}

/// Renders a file of these bookings. A booking has the same `UID` in every file, and its version as `SEQUENCE`. A newer
/// file therefore updates what an older one added to a calendar, and a cancelled booking is removed from it. Times are in
/// the booking's zone, which the file describes.
pub fn file(name: &str, entries: &[Entry], method: Method, parties: Parties<'_>, at: Timestamp) -> String {
    let mut calendar = Calendar::empty();
    calendar.append_property(Property::new("VERSION", "2.0"));
    calendar.append_property(Property::new("PRODID", "-//Tenantry//Bookings//EN"));
    calendar.append_property(Property::new("CALSCALE", "GREGORIAN"));
    calendar.append_property(Property::new("METHOD", method.as_str()));
    calendar.name(&one_line(name));
    let mut zones: BTreeMap<&str, (&TimeZone, Timestamp, Timestamp)> = BTreeMap::new();
    for entry in entries {
        calendar.push(event(entry, method, parties, at));
        let Booking { starts_at, ends_at, time_zone, .. } = &entry.booking;
        if let Some(name) = time_zone.iana_name() {
            let known = zones.entry(name).or_insert((time_zone, *starts_at, *ends_at));
            *known = (known.0, known.1.min(*starts_at), known.2.max(*ends_at));
        }
    }
    let described = zones.into_values().filter_map(|(zone, from, to)| timezones::component(zone, from, to));
    let described: String = described.collect();
    // The descriptions stand before the events that use them.
    calendar.to_string().replacen("BEGIN:VEVENT", &format!("{described}BEGIN:VEVENT"), 1)
}

fn event(entry: &Entry, method: Method, parties: Parties<'_>, at: Timestamp) -> Event {
    let booking = &entry.booking;
    let mut event = Event::with_uid(&format!("{}@tenantry", booking.id));
    event.add_property("DTSTAMP", utc(at));
    event.append_property(instant("DTSTART", booking.starts_at, &booking.time_zone));
    event.append_property(instant("DTEND", booking.ends_at, &booking.time_zone));
    event.sequence(u32::try_from(booking.version).unwrap_or(0));
    event.summary(&one_line(&entry.summary));
    if let Some(description) = &entry.description {
        event.description(&description.lines().map(one_line).collect::<Vec<_>>().join("\n"));
    }
    if let Some(location) = &entry.location {
        event.location(&one_line(location));
    }
    event.status(match booking.status {
        _ if method == Method::Cancel => EventStatus::Cancelled,
        BookingStatus::Held | BookingStatus::Pending => EventStatus::Tentative,
        BookingStatus::Confirmed | BookingStatus::Completed | BookingStatus::NoShow => EventStatus::Confirmed,
        BookingStatus::Cancelled | BookingStatus::Rejected | BookingStatus::Expired => EventStatus::Cancelled,
    });
    if let Some((name, address)) = parties.organizer {
        event.append_property(party("ORGANIZER", name, address).done());
    }
    if let Some((name, address)) = parties.attendee {
        let mut attendee = party("ATTENDEE", name, address);
        let attendee = attendee.add_parameter("ROLE", "REQ-PARTICIPANT").add_parameter("PARTSTAT", "ACCEPTED");
        event.append_multi_property(attendee.add_parameter("RSVP", "FALSE").done());
    }
    event
}

fn party(role: &str, name: &str, address: &str) -> Property {
    let name = one_line(name).replace('"', "'");
    Property::new(role, format!("mailto:{address}")).add_parameter("CN", &name).done()
}

/// An instant on the clock of its zone, or in UTC where the clock does not tell it: of a time that is shown twice, a
/// calendar program takes the first.
fn instant(name: &str, at: Timestamp, zone: &TimeZone) -> Property {
    let local = zone.to_datetime(at);
    let shown = zone.to_ambiguous_timestamp(local);
    let is_second = matches!(shown.offset(), AmbiguousOffset::Fold { .. }) && shown.earlier().is_ok_and(|it| it != at);
    match zone.iana_name().filter(|it| !is_second && *it != "UTC") {
        None => Property::new(name, utc(at)),
        Some(zone) => {
            let local = local.strftime("%Y%m%dT%H%M%S").to_string();
            Property::new(name, local).add_parameter("TZID", zone).done()
        }
    }
}

fn utc(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{
        ids::{BookingId, ServiceId, UserId},
        money::Money,
    };

    #[test]
    fn a_file_says_what_its_bookings_are_and_nothing_that_a_name_put_into_it() {
        let booking = Booking {
            id: BookingId(uuid::Uuid::from_u128(1)),
            service: ServiceId(uuid::Uuid::from_u128(2)),
            customer: UserId(uuid::Uuid::from_u128(3)),
            starts_at: "2026-12-07T09:00:00Z".parse().unwrap(),
            ends_at: "2026-12-07T09:45:00Z".parse().unwrap(),
            time_zone: TimeZone::UTC,
            status: BookingStatus::Confirmed,
            price: Money { minor: 0, currency: "EUR".parse().unwrap() },
            notes: None,
            version: 3,
            created_at: Timestamp::UNIX_EPOCH,
            held_until: None,
            series: None,
        };
        let summary = format!("Cut; \"wash\", \\dry\r\nEND:VEVENT {}", "ü".repeat(60));
        let entry = Entry {
            booking,
            summary: summary.clone(),
            description: Some("One\r\nATTENDEE:mailto:x@y.z".into()),
            location: Some("Street 1\r\nX-EVIL:1".into()),
        };
        let parties = Parties { organizer: Some(("A \"B\"; C:\r\nD", "no-reply@acme.test")), attendee: None };
        let text = file("Acme\nX:y", std::slice::from_ref(&entry), Method::Request, parties, Timestamp::UNIX_EPOCH);
        assert!(text.split("\r\n").all(|line| line.len() <= 75 && !line.contains(['\r', '\n'])), "{text}");
        let unfolded = icalendar::parser::unfold(&text);
        assert_eq!(unfolded.matches("\nEND:VEVENT").count(), 1, "{text}");
        assert!(!["\nATTENDEE", "\nX:y", "\nX-EVIL"].iter().any(|it| unfolded.contains(it)), "{text}");
        let read: Calendar = text.parse().unwrap();
        let event = read.events().next().unwrap();
        assert_eq!(event.get_uid(), Some("bkg_00000000000000000000000001@tenantry"));
        assert_eq!(event.property_value("DTSTART"), Some("20261207T090000Z"));
        assert_eq!(event.property_value("SEQUENCE"), Some("3"));
        assert_eq!(event.get_summary(), Some(one_line(&summary).as_str()));
        assert_eq!(event.property_value("ORGANIZER"), Some("mailto:no-reply@acme.test"));
        // The second of two half past two is told in UTC.
        let zone = TimeZone::get("Europe/Amsterdam").unwrap();
        let at = |text: &str| instant("DTSTART", text.parse().unwrap(), &zone).value().to_owned();
        assert_eq!(at("2027-10-31T00:30:00Z"), "20271031T023000");
        assert_eq!(at("2027-10-31T01:30:00Z"), "20271031T013000Z");
        let parties = Parties { attendee: Some(("Ann \"A\"", "ann@acme.test")), ..parties };
        let cancelled = file("Acme", &[entry], Method::Cancel, parties, Timestamp::UNIX_EPOCH);
        let unfolded = icalendar::parser::unfold(&cancelled);
        for line in ["METHOD:CANCEL", "STATUS:CANCELLED", "SEQUENCE:3"] {
            assert!(unfolded.contains(line), "{line}: {unfolded}");
        }
        assert!(unfolded.contains("ATTENDEE") && unfolded.contains("mailto:ann@acme.test"), "{unfolded}");
    }
}
