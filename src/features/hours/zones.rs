//! Time zones by the names that calendar programs write.

use icu_time::zone::{WindowsParser, iana::IanaParserExtended};
use jiff::tz::TimeZone;

/// The time zone of a name in a calendar file: an IANA name, also at the end of a path as some programs write it, or a
/// Windows name by the table of CLDR. `None` for an unknown name.
pub(super) fn named(name: &str) -> Option<TimeZone> {
    let name = name.trim().trim_matches('"');
    let of_path = || {
        let parts: Vec<&str> = name.split('/').collect();
        let from = |count: usize| parts.get(parts.len().checked_sub(count)?..).map(|it| it.join("/"));
        [3, 2, 1].into_iter().filter_map(from).find_map(|it| iana(&it))
    };
    iana(name).or_else(|| windows(name)).or_else(of_path)
}

fn iana(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|it| it.iana_name().is_some())
}

fn windows(name: &str) -> Option<TimeZone> {
    let known = WindowsParser::new().parse(name, None)?;
    let found = IanaParserExtended::new().iter().find(|it| it.time_zone == known)?;
    iana(found.canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_windows_and_of_paths_are_known() {
        let zone = |name: &str| named(name).and_then(|it| it.iana_name().map(str::to_owned));
        for (name, expected) in [
            ("Europe/Amsterdam", "Europe/Amsterdam"),
            ("W. Europe Standard Time", "Europe/Berlin"),
            ("\"Romance Standard Time\"", "Europe/Paris"),
            ("Eastern Standard Time", "America/New_York"),
            ("AUS Eastern Standard Time", "Australia/Sydney"),
            ("UTC", "UTC"),
            ("/freeassociation.sourceforge.net/Europe/Berlin", "Europe/Berlin"),
            ("/citadel.org/20211207_1/America/Argentina/Ushuaia", "America/Argentina/Ushuaia"),
        ] {
            assert_eq!(zone(name).as_deref(), Some(expected), "{name}");
        }
        for unknown in ["", "Customized Time Zone", "Nowhere Standard Time", "/", "../../etc/passwd"] {
            assert_eq!(zone(unknown), None, "{unknown}");
        }
    }
}
