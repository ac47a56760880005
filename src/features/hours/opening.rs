//! Converts schedules and exceptions to open intervals.

use std::collections::{BTreeMap, HashMap};

use jiff::{
    Timestamp, ToSpan,
    civil::Date,
    tz::{AmbiguousOffset, TimeZone},
};

use super::{
    described::described_day,
    model::{DAY, Open, Override, Owner, Schedule, Span},
    queries,
};
use crate::{
    base::ids::{ResourceId, ServiceId},
    db::{DbError, ScopedTx},
};

/// All hours that concern a service: the tenant's, its own, and those of its resources.
#[derive(Clone, Debug)]
pub struct Hours {
    /// Weekly hours by owner, earliest first.
    schedules: HashMap<Owner, Vec<Schedule>>,
    overrides: HashMap<Owner, BTreeMap<Date, Override>>,
    zone: TimeZone,
}

/// ISO weekdays and spans.
type Week<'a> = &'a [(i8, Span)];

/// All hours and exceptions of an owner.
#[derive(Debug, PartialEq, Eq)]
pub struct Timetable<'a> {
    weeks: Vec<(Date, Option<&'a str>, Option<Week<'a>>)>,
    days: Vec<(Date, &'a [Span])>,
}

impl Hours {
    /// The open intervals of an owner on the days around a time, separate for each day.
    pub fn open(&self, owner: Owner, from: Timestamp, to: Timestamp) -> Open {
        let mut day = from.to_zoned(self.zone.clone()).date().saturating_sub(2.days());
        let last = to.to_zoned(self.zone.clone()).date().saturating_add(2.days());
        let mut open = Vec::new();
        while day <= last {
            let zone = self.zone_on(owner, day);
            let spans = self.spans(owner, day);
            let instants = spans
                .iter()
                .filter_map(|span| Some((instant(day, span.opens, zone)?, instant(day, span.closes, zone)?)));
            open.extend(instants.filter(|(opens, closes)| opens < closes && *closes > from && *opens < to));
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        open.sort_unstable();
        open
    }

    /// The time zone of an owner's hours on a day; the tenant's if it has none.
    pub fn zone_on(&self, owner: Owner, day: Date) -> &TimeZone {
        self.in_force(owner, day).map_or(&self.zone, |it| &it.zone)
    }

    /// The time zone of bookings on a day, which may use these resources: the one that all resources with hours of their
    /// own share, or that of the service's hours, or the tenant's.
    pub fn zone_of_bookings(&self, resources: &[ResourceId], service: ServiceId, day: Date) -> &TimeZone {
        let of_resource = |it: &ResourceId| self.in_force(Owner::Resource(*it), day).map(|it| &it.zone);
        let mut zones = resources.iter().filter_map(of_resource);
        match zones.next() {
            Some(first) if zones.all(|it| it.iana_name() == first.iana_name()) => first,
            _ => self.zone_on(Owner::Service(service), day),
        }
    }

    /// Whether an exception closes a part of a time for an owner.
    pub fn is_closed_by_override(&self, owner: Owner, from: Timestamp, to: Timestamp) -> bool {
        let day_of = |it: Timestamp| it.to_zoned(TimeZone::UTC).date();
        let near = day_of(from).saturating_sub(1.day())..=day_of(to).saturating_add(1.day());
        let exceptions = self.overrides.get(&owner).into_iter().flat_map(|it| it.range(near.clone()));
        exceptions.map(|(_, single)| single).any(|single| {
            let zone = self.zone_on(owner, single.day);
            let at = |minute| instant(single.day, minute, zone);
            let (Some(begins), Some(ends)) = (at(0), at(DAY)) else { return false };
            let (from, to) = (from.max(begins), to.min(ends));
            let open = single.hours.iter().filter_map(|it| Some((at(it.opens)?, at(it.closes)?))).collect::<Open>();
            from < to && !contain(&merge(&open), from, to)
        })
    }

    /// All hours and exceptions of an owner, to compare with those of another.
    pub fn timetable(&self, owner: Owner) -> Timetable<'_> {
        let weeks = self.schedules.get(&owner).into_iter().flatten();
        let days = self.overrides.get(&owner).into_iter().flatten();
        Timetable {
            weeks: weeks.map(|it| (it.valid_from, it.zone.iana_name(), it.hours.as_deref())).collect(),
            days: days.map(|(day, it)| (*day, it.hours.as_slice())).collect(),
        }
    }

    /// Whether an owner has hours of its own on a day.
    pub(super) fn has_own(&self, owner: Owner, day: Date) -> bool {
        self.in_force(owner, day).is_some() || self.exception(owner, day).is_some()
    }

    /// Whether an owner has hours of its own on any day.
    pub(super) fn has_any(&self, owner: Owner) -> bool {
        self.schedules.contains_key(&owner) || self.overrides.contains_key(&owner)
    }

    fn in_force(&self, owner: Owner, day: Date) -> Option<&Schedule> {
        self.schedules.get(&owner)?.iter().rev().find(|it| it.valid_from <= day)
    }

    fn exception(&self, owner: Owner, day: Date) -> Option<&Override> {
        self.overrides.get(&owner)?.get(&day)
    }

    pub(super) fn spans(&self, owner: Owner, day: Date) -> Vec<Span> {
        if let Some(single) = self.exception(owner, day) {
            return single.hours.clone();
        }
        match self.in_force(owner, day).and_then(|it| it.hours.as_ref()) {
            None => vec![Span { opens: 0, closes: DAY }],
            Some(week) => {
                let weekday = day.weekday().to_monday_one_offset();
                week.iter().filter(|(of, _)| *of == weekday).map(|(_, span)| *span).collect()
            }
        }
    }
}

/// The instant of a minute of a day in a zone; the end of a day is the start of the next.
pub(super) fn instant(day: Date, minute: i16, zone: &TimeZone) -> Option<Timestamp> {
    if minute >= DAY {
        return instant(day.tomorrow().ok()?, 0, zone);
    }
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    let local = zone.to_ambiguous_timestamp(day.at(hour, minute, 0, 0));
    if !matches!(local.offset(), AmbiguousOffset::Gap { .. }) {
        return local.earlier().ok(); // Of two instants, the first.
    }
    // Skipped: the instant of the clock change.
    let before = local.earlier().ok()?;
    zone.following(before).next().map(|it| it.timestamp())
}

/// The intersection of both, each in order.
pub fn intersect<T: Copy + Ord>(one: &[(T, T)], other: &[(T, T)]) -> Vec<(T, T)> {
    let (mut found, mut first) = (Vec::new(), 0);
    for (from, to) in one {
        while other.get(first).is_some_and(|it| it.1 <= *from) {
            first += 1;
        }
        let overlapping = other[first..].iter().take_while(|it| it.0 < *to);
        found.extend(overlapping.map(|it| (it.0.max(*from), it.1.min(*to))));
    }
    found
}

/// Merges adjacent and overlapping intervals, which are in order.
pub fn merge<T: Copy + Ord>(open: &[(T, T)]) -> Vec<(T, T)> {
    let mut merged: Vec<(T, T)> = Vec::new();
    for (from, to) in open {
        match merged.last_mut() {
            Some(last) if last.1 >= *from => last.1 = last.1.max(*to),
            _ => merged.push((*from, *to)),
        }
    }
    merged
}

/// Whether a time lies within one of these merged intervals.
pub fn contain(merged: &Open, from: Timestamp, to: Timestamp) -> bool {
    let at = merged.partition_point(|it| it.1 < to);
    merged.get(at).is_some_and(|it| it.0 <= from && it.1 >= to)
}

/// All hours that concern a service at this instant and later. One statement for weekly hours and one for days, in one
/// flush.
pub async fn of_service(
    tx: &ScopedTx,
    service: ServiceId,
    at: Timestamp,
) -> Result<(Vec<Schedule>, Vec<Override>), DbError> {
    // Early enough to include every relevant day, in any zone.
    let since = at.to_zoned(TimeZone::UTC).date().saturating_sub(3.days());
    let (schedules, overrides) = futures_util::join!(
        queries::schedules_of_service(tx, service),
        queries::overrides_of_service(tx, service, since)
    );
    Ok((schedules?, overrides?))
}

impl Hours {
    /// Combines the stored hours with the tenant's zone, which applies where there is no schedule.
    pub fn new((schedules, overrides): (Vec<Schedule>, Vec<Override>), zone: TimeZone) -> Self {
        let (mut by_owner, mut exceptions) = (HashMap::<_, Vec<Schedule>>::new(), HashMap::<_, BTreeMap<_, _>>::new());
        for schedule in schedules {
            by_owner.entry(schedule.owner).or_default().push(schedule);
        }
        by_owner.values_mut().for_each(|it| it.sort_by_key(|it| it.valid_from));
        for single in overrides {
            exceptions.entry(single.owner).or_default().insert(single.day, single);
        }
        Self { schedules: by_owner, overrides: exceptions, zone }
    }
}

pub(super) async fn day_before(tx: &ScopedTx, owner: Owner, day: Date) -> Result<serde_json::Value, DbError> {
    let before = queries::overrides_of(tx, owner, day, day.saturating_add(1.day())).await?;
    Ok(before.first().map_or(serde_json::Value::Null, described_day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hours(zone: &str, week: Vec<(i8, Span)>) -> Hours {
        let zone = TimeZone::get(zone).unwrap();
        let valid_from = "2020-01-01".parse().unwrap();
        let schedule =
            Schedule { id: Uuid::nil(), owner: Owner::Tenant, valid_from, zone: zone.clone(), hours: Some(week) };
        Hours::new((vec![schedule], vec![]), zone)
    }

    #[test]
    fn hours_follow_the_wall_clock_over_a_change() {
        // New York, 2026-03-08: the clock goes from 2 to 3. 2026-11-01: from 2 back to 1.
        let week = vec![(7, Span { opens: 60, closes: 240 })];
        let of = |from: &str, to: &str| hours("America/New_York", week.clone()).open(Owner::Tenant, at(from), at(to));
        assert_eq!(
            of("2026-03-08T00:00:00Z", "2026-03-09T00:00:00Z"),
            [(at("2026-03-08T06:00:00Z"), at("2026-03-08T08:00:00Z"))]
        );
        assert_eq!(
            of("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
            [(at("2026-11-01T05:00:00Z"), at("2026-11-01T09:00:00Z"))]
        );
        // Opening and closing in the hour that Amsterdam skips on 2027-03-28: at 3 o'clock, which is 1 o'clock UTC.
        let gap = |opens, closes| {
            let week = vec![(7, Span { opens, closes })];
            hours("Europe/Amsterdam", week).open(Owner::Tenant, at("2027-03-27T22:00:00Z"), at("2027-03-28T20:00:00Z"))
        };
        assert_eq!(gap(60, 150), [(at("2027-03-28T00:00:00Z"), at("2027-03-28T01:00:00Z"))]);
        assert_eq!(gap(150, 240), [(at("2027-03-28T01:00:00Z"), at("2027-03-28T02:00:00Z"))]);
        // Lord Howe changes by half an hour: its Sunday of 4 October 2026 has 23.5 hours.
        let whole = hours("Australia/Lord_Howe", vec![(7, Span { opens: 0, closes: DAY })]);
        let open = whole.open(Owner::Tenant, at("2026-10-03T14:00:00Z"), at("2026-10-04T12:00:00Z"));
        assert_eq!(open[0].1.duration_since(open[0].0), jiff::SignedDuration::from_mins(23 * 60 + 30));
    }

    #[test]
    fn intervals_are_intersected_merged_and_asked() {
        let minute = |it: i64| Timestamp::from_second(it * 60).unwrap();
        let spans =
            |all: &[(i64, i64)]| -> Open { all.iter().map(|(from, to)| (minute(*from), minute(*to))).collect() };
        assert_eq!(
            intersect(&spans(&[(0, 10), (20, 30)]), &spans(&[(5, 25), (28, 40)])),
            spans(&[(5, 10), (20, 25), (28, 30)])
        );
        assert_eq!(merge(&spans(&[(0, 10), (10, 20), (25, 30)])), spans(&[(0, 20), (25, 30)]));
        let merged = spans(&[(0, 20), (25, 30)]);
        assert!(contain(&merged, minute(0), minute(20)) && contain(&merged, minute(26), minute(30)));
        assert!(!contain(&merged, minute(15), minute(26)) && !contain(&merged, minute(29), minute(31)));
    }
}
