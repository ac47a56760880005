//! Formats days and times for mails as the reader's locale writes them, by the data of CLDR (ICU4X).

use icu_calendar::Date;
use icu_datetime::{
    DateTimeFormatter, NoCalendarFormatter,
    fieldsets::{T, YMDE},
};
use icu_locale_core::{Locale, locale};
use icu_time::Time;
use jiff::{Timestamp, Zoned, tz::TimeZone};

/// The span of a booking on a zone's clock, such as `Monday, 7 December 2026, 10:00–10:45 (Europe/Amsterdam)`.
pub fn time(tag: &str, from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
    let (from, to) = (from.to_zoned(zone.clone()), to.to_zoned(zone.clone()));
    let until =
        if from.date() == to.date() { clock(tag, &to) } else { format!("{}, {}", day(tag, &to), clock(tag, &to)) };
    let hour = match tag.split('-').next() {
        Some("de") => " Uhr",
        Some("nl") => " uur",
        _ => "",
    };
    let zone = zone.iana_name().unwrap_or("UTC");
    format!("{}, {}–{until}{hour} ({zone})", day(tag, &from), clock(tag, &from))
}

/// An instant on a zone's clock, such as `Monday, 7 December 2026, 10:00`.
pub fn instant(tag: &str, at: Timestamp, zone: &TimeZone) -> String {
    let at = at.to_zoned(zone.clone());
    format!("{}, {}", day(tag, &at), clock(tag, &at))
}

fn clock(tag: &str, at: &Zoned) -> String {
    let part = |number: i8| u8::try_from(number).unwrap_or(0);
    let time = Time::try_new(part(at.hour()), part(at.minute()), 0, 0).ok();
    let written = time.and_then(|time| {
        let formatter = NoCalendarFormatter::try_new((&parsed(tag)).into(), T::hm()).ok()?;
        Some(formatter.format(&time).to_string())
    });
    written.unwrap_or_else(|| at.strftime("%H:%M").to_string())
}

fn day(tag: &str, at: &Zoned) -> String {
    let part = |number: i8| u8::try_from(number).unwrap_or(1);
    let date = Date::try_new_iso(i32::from(at.year()), part(at.month()), part(at.day())).ok();
    let written = date.and_then(|date| {
        let formatter = DateTimeFormatter::try_new((&parsed(tag)).into(), YMDE::long()).ok()?;
        Some(formatter.format(&date).to_string())
    });
    written.unwrap_or_else(|| at.date().to_string())
}

fn parsed(tag: &str) -> Locale {
    tag.parse().unwrap_or(locale!("en-GB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_their_readers_write_them() {
        let at = |text: &str| text.parse().unwrap();
        let (from, to) = (at("2026-12-07T09:00:00Z"), at("2026-12-07T13:45:00Z"));
        let zone = TimeZone::get("Europe/Amsterdam").unwrap();
        for (tag, expected) in [
            ("en-GB", "Monday, 7 December 2026, 10:00–14:45 (Europe/Amsterdam)"),
            ("en-US", "Monday, December 7, 2026, 10:00 AM–2:45 PM (Europe/Amsterdam)"),
            ("de", "Montag, 7. Dezember 2026, 10:00–14:45 Uhr (Europe/Amsterdam)"),
            ("de-AT", "Montag, 7. Dezember 2026, 10:00–14:45 Uhr (Europe/Amsterdam)"),
            ("nl-BE", "maandag 7 december 2026, 10:00–14:45 uur (Europe/Amsterdam)"),
        ] {
            // Some locales write a narrow space before AM and PM.
            assert_eq!(time(tag, from, to, &zone).replace('\u{202f}', " "), expected, "{tag}");
        }
        let long = time("en-GB", from, at("2026-12-08T00:30:00Z"), &zone);
        assert_eq!(long, "Monday, 7 December 2026, 10:00–Tuesday, 8 December 2026, 01:30 (Europe/Amsterdam)");
        assert_eq!(instant("nl", from, &zone), "maandag 7 december 2026, 10:00");
        assert_eq!(instant("not a tag", from, &zone), "Monday, 7 December 2026, 10:00");
    }
}
