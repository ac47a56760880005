//! The wall-clock times at which bookings start.

use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

use super::{
    model::{DAY, Owner, Span},
    opening::{Hours, instant, intersect, merge},
};

/// A span of one day in which bookings start: steps are counted from its opening on the clock of its zone.
#[derive(Clone, Debug)]
pub struct StartSpan {
    opens: DateTime,
    closes: DateTime,
    zone: TimeZone,
}

/// Wall-clock intervals in order.
type Local = Vec<(DateTime, DateTime)>;

impl StartSpan {
    /// Whether an instant is a whole number of steps after the opening, on the clock. Of a time that the clock shows
    /// twice, both instants are.
    pub fn has(&self, at: Timestamp, step_minutes: i32) -> bool {
        let local = self.zone.to_datetime(at);
        let (since, step) = (local.duration_since(self.opens), i64::from(step_minutes) * 60);
        local >= self.opens
            && local < self.closes
            && step > 0
            && since.subsec_nanos() == 0
            && since.as_secs() % step == 0
    }

    /// The instants of all steps, in order of the clock. A time that the clock skips is left out, and of a time that it
    /// shows twice the first instant is returned.
    pub fn starts(&self, step_minutes: i32) -> impl Iterator<Item = Timestamp> + '_ {
        let step = i64::from(step_minutes.max(1));
        let local = (0_i64..).map_while(move |count| {
            let local = self.opens.checked_add(SignedDuration::from_mins(count * step)).ok()?;
            (local < self.closes).then_some(local)
        });
        local.filter_map(|it| {
            let found = self.zone.to_ambiguous_timestamp(it);
            if matches!(found.offset(), AmbiguousOffset::Gap { .. }) { None } else { found.earlier().ok() }
        })
    }
}

impl Hours {
    /// The spans of starts, on the days around a time, of bookings that need all of these owners open: the most specific
    /// owner first, the tenant last. A span opens when all of them are open; its zone is that of the first owner with
    /// hours of its own on that day.
    pub fn start_spans(&self, owners: &[Owner], from: Timestamp, to: Timestamp) -> Vec<StartSpan> {
        let first = from.to_zoned(TimeZone::UTC).date().saturating_sub(2.days());
        let last = to.to_zoned(TimeZone::UTC).date().saturating_add(2.days());
        // The hours of the other owners on the clock of a zone, for each pair that occurs.
        let mut known: Vec<(Owner, TimeZone, Local)> = Vec::new();
        let mut found = Vec::new();
        for day in first.series(1.day()).take_while(|it| *it <= last) {
            let has_own = |it: &Owner| self.has_own(*it, day);
            let anchor = owners.iter().copied().find(has_own).unwrap_or(Owner::Tenant);
            let zone = self.zone_on(anchor, day);
            let mut spans: Local = self.spans(anchor, day).iter().filter_map(|it| local(day, *it)).collect();
            spans.sort_unstable();
            for other in owners.iter().copied().filter(|it| *it != anchor && self.has_any(*it)) {
                let is_it = |it: &(Owner, TimeZone, Local)| it.0 == other && it.1.iana_name() == zone.iana_name();
                let at = known.iter().position(is_it).unwrap_or_else(|| {
                    known.push((other, zone.clone(), self.on_clock(other, zone, first, last)));
                    known.len() - 1
                });
                spans = intersect(&spans, &known[at].2);
            }
            found.extend(spans.into_iter().map(|(opens, closes)| StartSpan { opens, closes, zone: zone.clone() }));
        }
        found
    }

    /// When an owner is open, on the clock of a zone, merged.
    fn on_clock(&self, owner: Owner, zone: &TimeZone, first: Date, last: Date) -> Local {
        let (first, last) = (first.saturating_sub(1.day()), last.saturating_add(1.day()));
        let mut open = Vec::new();
        for day in first.series(1.day()).take_while(|it| *it <= last) {
            let own = self.zone_on(owner, day);
            let is_same = own.iana_name() == zone.iana_name();
            open.extend(self.spans(owner, day).iter().filter_map(|span| {
                if is_same {
                    return local(day, *span);
                }
                let at = |minute| Some(zone.to_datetime(instant(day, minute, own)?));
                Some((at(span.opens)?, at(span.closes)?))
            }));
        }
        open.retain(|(opens, closes)| opens < closes);
        open.sort_unstable();
        merge(&open)
    }
}

/// A span of a day on the clock.
fn local(day: Date, span: Span) -> Option<(DateTime, DateTime)> {
    let at = |minute: i16| {
        if minute >= DAY {
            return day.tomorrow().ok().map(|it| it.at(0, 0, 0, 0));
        }
        Some(day.at(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0))
    };
    Some((at(span.opens)?, at(span.closes)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::ids::ResourceId, features::hours::Schedule};
    use uuid::Uuid;

    fn schedule(owner: Owner, zone: &str, opens: i16, closes: i16) -> Schedule {
        let hours = Some((1..=7).map(|day| (day, Span { opens, closes })).collect());
        let zone = TimeZone::get(zone).unwrap();
        Schedule { id: Uuid::nil(), owner, valid_from: "2020-01-01".parse().unwrap(), zone, hours }
    }

    /// The local times of a day at which bookings start.
    fn clock(hours: &Hours, owners: &[Owner], zone: &str, day: &str, step: i32) -> Vec<String> {
        let (zone, day): (_, Date) = (TimeZone::get(zone).unwrap(), day.parse().unwrap());
        let noon = day.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp();
        let spans = hours.start_spans(owners, noon, noon);
        let starts = spans.iter().flat_map(|it| it.starts(step)).map(|it| it.to_zoned(zone.clone()));
        starts.filter(|it| it.date() == day).map(|it| it.strftime("%H:%M%:z").to_string()).collect()
    }

    #[test]
    fn steps_are_counted_on_the_clock() {
        let amsterdam = "Europe/Amsterdam";
        let always = Hours::new((vec![], vec![]), TimeZone::get(amsterdam).unwrap());
        let of = |day, step| clock(&always, &[Owner::Tenant], amsterdam, day, step);
        assert!(of("2027-03-27", 90).contains(&"18:00+01:00".to_owned()));
        for day in ["2027-03-28", "2027-10-31"] {
            assert!(of(day, 90).iter().any(|it| it.starts_with("18:00")), "{day}");
        }
        assert_eq!(
            of("2027-03-28", 30)[..6],
            ["00:00", "00:30", "01:00", "01:30", "03:00", "03:30"].map(|it| {
                let offset = if it < "02:00" { "+01:00" } else { "+02:00" };
                format!("{it}{offset}")
            })
        );
        let twice: Vec<_> = of("2027-10-31", 60).into_iter().filter(|it| it.starts_with("02")).collect();
        assert_eq!(twice, ["02:00+02:00"], "the first of the two");
        // Of the two instants, each can be asked for.
        let span = always.start_spans(
            &[Owner::Tenant],
            "2027-10-31T00:00:00Z".parse().unwrap(),
            "2027-10-31T00:00:00Z".parse().unwrap(),
        );
        for at in ["2027-10-31T00:00:00Z", "2027-10-31T01:00:00Z"] {
            assert!(span.iter().any(|it| it.has(at.parse().unwrap(), 120)), "{at}");
        }
        // An opening that the clock skips still counts: half past three is an hour after half past two.
        let gap = Hours::new((vec![schedule(Owner::Tenant, amsterdam, 150, 360)], vec![]), TimeZone::UTC);
        assert_eq!(
            clock(&gap, &[Owner::Tenant], amsterdam, "2027-03-28", 60),
            ["03:30+02:00", "04:30+02:00", "05:30+02:00"]
        );
    }

    #[test]
    fn a_span_opens_when_everything_is_open() {
        let anna = Owner::Resource(ResourceId(Uuid::from_u128(1)));
        let owners = [anna, Owner::Tenant];
        let amsterdam = "Europe/Amsterdam";
        let of = |schedules: Vec<Schedule>| {
            let hours = Hours::new((schedules, vec![]), TimeZone::get(amsterdam).unwrap());
            clock(&hours, &owners, amsterdam, "2027-01-12", 60)
        };
        let expected = ["09:30+01:00", "10:30+01:00", "11:30+01:00"];
        assert_eq!(of(vec![schedule(anna, amsterdam, 570, 750)]), expected);
        assert_eq!(of(vec![schedule(Owner::Tenant, amsterdam, 570, 750)]), expected);
        assert_eq!(
            of(vec![schedule(anna, amsterdam, 570, 750), schedule(Owner::Tenant, amsterdam, 0, 1_440)]),
            expected
        );
        assert_eq!(
            of(vec![schedule(anna, amsterdam, 0, 750), schedule(Owner::Tenant, amsterdam, 570, 1_200)]),
            expected
        );
        // In another zone the opening is the same instant.
        assert_eq!(
            of(vec![schedule(anna, amsterdam, 0, 750), schedule(Owner::Tenant, "Europe/London", 510, 1_140)]),
            expected
        );
    }
}
