//! Renders bookings as an iCalendar file (RFC 5545).

use icalendar::{Calendar, Component, Event, EventStatus, Property};
use jiff::{Timestamp, tz::TimeZone};

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
}

/// The sender of a file: a name and an email address.
pub type Organizer<'a> = (&'a str, &'a str);

/// Renders a file of these bookings. A booking has the same `UID` in every file, and its version as `SEQUENCE`. A newer
/// file therefore updates what an older one added to a calendar, and a cancelled booking is removed from it.
pub fn file(name: &str, entries: &[Entry], organizer: Option<Organizer<'_>>, now: Timestamp) -> String {
    let mut calendar = Calendar::empty();
    calendar.append_property(Property::new("VERSION", "2.0"));
    calendar.append_property(Property::new("PRODID", "-//Tenantry//Bookings//EN"));
    calendar.append_property(Property::new("CALSCALE", "GREGORIAN"));
    calendar.append_property(Property::new("METHOD", "PUBLISH"));
    calendar.name(&one_line(name));
    for entry in entries {
        calendar.push(event(entry, organizer, now));
    }
    calendar.to_string()
}

fn event(entry: &Entry, organizer: Option<Organizer<'_>>, now: Timestamp) -> Event {
    let booking = &entry.booking;
    let mut event = Event::with_uid(&format!("{}@tenantry", booking.id));
    event.add_property("DTSTAMP", instant(now));
    event.add_property("DTSTART", instant(booking.starts_at));
    event.add_property("DTEND", instant(booking.ends_at));
    event.sequence(u32::try_from(booking.version).unwrap_or(0));
    event.summary(&one_line(&entry.summary));
    if let Some(description) = &entry.description {
        event.description(&description.lines().map(one_line).collect::<Vec<_>>().join("\n"));
    }
    event.status(match booking.status {
        BookingStatus::Held | BookingStatus::Pending => EventStatus::Tentative,
        BookingStatus::Confirmed | BookingStatus::Completed | BookingStatus::NoShow => EventStatus::Confirmed,
        BookingStatus::Cancelled | BookingStatus::Rejected | BookingStatus::Expired => EventStatus::Cancelled,
    });
    if let Some((name, address)) = organizer {
        let name = one_line(name).replace('"', "'");
        event
            .append_property(Property::new("ORGANIZER", format!("mailto:{address}")).add_parameter("CN", &name).done());
    }
    event
}

/// An instant in UTC, which every calendar converts to its reader's zone.
fn instant(at: Timestamp) -> String {
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
        let entry =
            Entry { booking, summary: summary.clone(), description: Some("One\r\nATTENDEE:mailto:x@y.z".into()) };
        let text = file("Acme\nX:y", &[entry], Some(("A \"B\"; C:\r\nD", "no-reply@acme.test")), Timestamp::UNIX_EPOCH);
        assert!(text.split("\r\n").all(|line| line.len() <= 75 && !line.contains(['\r', '\n'])), "{text}");
        let unfolded = icalendar::parser::unfold(&text);
        assert_eq!(unfolded.matches("\nEND:VEVENT").count(), 1, "{text}");
        assert!(!unfolded.contains("\nATTENDEE") && !unfolded.contains("\nX:y"), "{text}");
        let read: Calendar = text.parse().unwrap();
        let event = read.events().next().unwrap();
        assert_eq!(event.get_uid(), Some("bkg_00000000000000000000000001@tenantry"));
        assert_eq!(event.property_value("DTSTART"), Some("20261207T090000Z"));
        assert_eq!(event.property_value("SEQUENCE"), Some("3"));
        assert_eq!(event.get_summary(), Some(one_line(&summary).as_str()));
        assert_eq!(event.property_value("ORGANIZER"), Some("mailto:no-reply@acme.test"));
    }
}
