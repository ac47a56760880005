//! Describes time zones for calendar programs (RFC 5545, section 3.6.5), from the transitions of the time zone database.

use jiff::{
    SignedDuration, Timestamp,
    tz::{Offset, TimeZone},
};

/// How far beyond its times a description reaches, so that it shows both of a zone's offsets.
const MARGIN: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The component that describes a zone from one instant to another, unfolded: a line each, all shorter than a fold. It
/// lists every change of that time instead of a rule, so that it is right where rules have changed.
pub(super) fn component(zone: &TimeZone, from: Timestamp, to: Timestamp) -> Option<String> {
    let name = zone.iana_name()?;
    let (from, to) = (from.saturating_sub(MARGIN).unwrap_or(from), to.saturating_add(MARGIN).unwrap_or(to));
    let mut changes: Vec<String> = Vec::new();
    let before = zone.preceding(from).next();
    if before.is_none() {
        let at = zone.to_offset_info(from);
        let is_summer = at.dst().is_dst();
        changes.push(observance(is_summer, "19700101T000000", at.offset(), at.offset(), at.abbreviation()));
    }
    for it in before.into_iter().chain(zone.following(from).take_while(|it| it.timestamp() <= to)) {
        let offset_before = zone.to_offset(it.timestamp() - SignedDuration::from_nanos(1));
        let local = offset_before.to_datetime(it.timestamp()).strftime("%Y%m%dT%H%M%S").to_string();
        changes.push(observance(it.dst().is_dst(), &local, offset_before, it.offset(), it.abbreviation()));
    }
    Some(format!("BEGIN:VTIMEZONE\r\nTZID:{name}\r\n{}END:VTIMEZONE\r\n", changes.concat()))
}

fn observance(is_summer: bool, begins: &str, before: Offset, after: Offset, name: &str) -> String {
    let kind = if is_summer { "DAYLIGHT" } else { "STANDARD" };
    let (before, after) = (offset_text(before), offset_text(after));
    format!(
        "BEGIN:{kind}\r\nDTSTART:{begins}\r\nTZOFFSETFROM:{before}\r\nTZOFFSETTO:{after}\r\nTZNAME:{name}\r\nEND:{kind}\r\n"
    )
}

/// An offset as `+0130`, with seconds where it has some.
fn offset_text(offset: Offset) -> String {
    let (sign, seconds) = (if offset.seconds() < 0 { '-' } else { '+' }, offset.seconds().unsigned_abs());
    let rest = if seconds % 60 > 0 { format!("{:02}", seconds % 60) } else { String::new() };
    format!("{sign}{:02}{:02}{rest}", seconds / 3_600, seconds / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(zone: &str) -> String {
        let at = |text: &str| text.parse().unwrap();
        component(&TimeZone::get(zone).unwrap(), at("2026-12-07T09:00:00Z"), at("2027-07-07T09:00:00Z")).unwrap()
    }

    #[test]
    fn every_change_around_a_time_is_listed() {
        let amsterdam = of("Europe/Amsterdam");
        for change in [
            "BEGIN:DAYLIGHT\r\nDTSTART:20270328T020000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nTZNAME:CEST\r\nEND:DAYLIGHT",
            "BEGIN:STANDARD\r\nDTSTART:20271031T030000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nTZNAME:CET\r\nEND:STANDARD",
        ] {
            assert!(amsterdam.contains(change), "{amsterdam}");
        }
        assert!(of("Australia/Lord_Howe").contains("TZOFFSETFROM:+1030\r\nTZOFFSETTO:+1100"));
        assert!(of("Asia/Kathmandu").contains("TZOFFSETTO:+0545"));
        assert!(of("America/St_Johns").contains("TZOFFSETTO:-0230"));
        assert!(of("UTC").contains("DTSTART:19700101T000000\r\nTZOFFSETFROM:+0000\r\nTZOFFSETTO:+0000"));
        assert_eq!(offset_text(Offset::from_seconds(-4 * 3_600 - 1_800 - 5).unwrap()), "-043005");
    }
}
