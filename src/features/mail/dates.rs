//! Formats days and times for mails, in the reader's language.

use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::features::tenants::Locale;

const WEEKDAYS: [[&str; 7]; 3] = [
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"],
    ["maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag", "zondag"],
];
const MONTHS: [[&str; 12]; 3] = [
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    [
        "januari",
        "februari",
        "maart",
        "april",
        "mei",
        "juni",
        "juli",
        "augustus",
        "september",
        "oktober",
        "november",
        "december",
    ],
];

/// The span of a booking on a zone's clock, such as `Monday, 7 December 2026, 10:00–10:45 (Europe/Amsterdam)`.
pub fn time(locale: Locale, from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
    let (from, to) = (from.to_zoned(zone.clone()), to.to_zoned(zone.clone()));
    let until = if from.date() == to.date() { clock(&to) } else { format!("{}, {}", day(locale, &to), clock(&to)) };
    let hour = match locale {
        Locale::En => "",
        Locale::De => " Uhr",
        Locale::Nl => " uur",
    };
    let zone = zone.iana_name().unwrap_or("UTC");
    format!("{}, {}–{until}{hour} ({zone})", day(locale, &from), clock(&from))
}

/// An instant on a zone's clock, such as `Monday, 7 December 2026, 10:00`.
pub fn instant(locale: Locale, at: Timestamp, zone: &TimeZone) -> String {
    let at = at.to_zoned(zone.clone());
    format!("{}, {}", day(locale, &at), clock(&at))
}

fn clock(at: &Zoned) -> String {
    at.strftime("%H:%M").to_string()
}

fn day(locale: Locale, at: &Zoned) -> String {
    let language = match locale {
        Locale::En => 0,
        Locale::De => 1,
        Locale::Nl => 2,
    };
    let place = |number: i8| usize::try_from(number).unwrap_or(0);
    let weekday = WEEKDAYS[language][place(at.weekday().to_monday_zero_offset())];
    let month = MONTHS[language][place(at.month() - 1)];
    let (day, year) = (at.day(), at.year());
    match locale {
        Locale::En => format!("{weekday}, {day} {month} {year}"),
        Locale::De => format!("{weekday}, {day}. {month} {year}"),
        Locale::Nl => format!("{weekday} {day} {month} {year}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_their_readers_write_them() {
        let at = |text: &str| text.parse().unwrap();
        let (from, to) = (at("2026-12-07T09:00:00Z"), at("2026-12-07T09:45:00Z"));
        let zone = TimeZone::get("Europe/Amsterdam").unwrap();
        let of = |locale| time(locale, from, to, &zone);
        assert_eq!(of(Locale::En), "Monday, 7 December 2026, 10:00–10:45 (Europe/Amsterdam)");
        assert_eq!(of(Locale::De), "Montag, 7. Dezember 2026, 10:00–10:45 Uhr (Europe/Amsterdam)");
        assert_eq!(of(Locale::Nl), "maandag 7 december 2026, 10:00–10:45 uur (Europe/Amsterdam)");
        let long = time(Locale::En, from, at("2026-12-08T00:30:00Z"), &zone);
        assert_eq!(long, "Monday, 7 December 2026, 10:00–Tuesday, 8 December 2026, 01:30 (Europe/Amsterdam)");
    }
}
