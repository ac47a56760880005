//! When a tenant, its services and resources are open: by the week, from a day on, and on single days.
//!
//! Hours are wall-clock times of an IANA zone, and become instants day by day: so a change of the clock moves nothing that
//! people read on it. A time that a change skips is where the clock goes on; one that comes twice is the first of the two.

pub mod graphql;
mod holidays;
mod queries;

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde_json::json;
use uuid::Uuid;

use holidays::Unread;

use crate::{
    audit::{self, Changes},
    auth::{Caller, Role},
    db::{DbError, ScopedTx},
    ids::{ResourceId, ServiceId},
    resources, services, tenants,
};

/// Minutes of a day on the wall clock.
pub const DAY: i16 = 1_440;
/// Most spans of a week.
const MAX_SPANS: usize = 100;
/// Most days of one list of overrides.
pub const MAX_DAYS: i64 = 750;
/// Longest name of an override, in characters.
const MAX_NAME: usize = 200;

/// Whose hours they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Everything of the tenant.
    Tenant,
    /// One service, within the tenant's hours.
    Service(ServiceId),
    /// One resource.
    Resource(ResourceId),
}

impl Owner {
    fn columns(self) -> (Option<ServiceId>, Option<ResourceId>) {
        match self {
            Self::Tenant => (None, None),
            Self::Service(id) => (Some(id), None),
            Self::Resource(id) => (None, Some(id)),
        }
    }
}

/// A part of a day on the wall clock: minutes from midnight, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first minute.
    pub opens: i16,
    /// The first minute after it, at most 1,440.
    pub closes: i16,
}

/// The hours of a week, from a day on.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Within the tenant.
    pub id: Uuid,
    /// Whose.
    pub owner: Owner,
    /// The first day on which it counts.
    pub valid_from: Date,
    /// By whose clock.
    pub zone: TimeZone,
    /// ISO weekday (1 is Monday) and span; `None` is always open.
    pub hours: Option<Vec<(i8, Span)>>,
}

/// The hours of one day.
#[derive(Clone, Debug)]
pub struct Override {
    /// Within the tenant.
    pub id: Uuid,
    /// Whose.
    pub owner: Owner,
    /// Which day.
    pub day: Date,
    /// Empty is closed.
    pub hours: Vec<Span>,
    /// Such as that of a holiday.
    pub name: Option<String>,
    /// Whether it came from a calendar file, and not by hand.
    pub imported: bool,
}

/// Why hours could not be set.
#[derive(Debug)]
pub enum HoursError {
    /// The role does not allow it.
    Forbidden,
    /// There is no such service.
    ServiceNotFound,
    /// There is no such resource.
    ResourceNotFound,
    /// There is no such day to take back.
    NotFound,
    /// A field is out of its bounds: which, and what it may be.
    Invalid(&'static str, String),
    /// Others have their files read.
    Busy,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for HoursError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Half-open intervals of instants, in order.
pub type Open = Vec<(Timestamp, Timestamp)>;

/// All hours that concern a service: the tenant's, its own, and those of its resources.
#[derive(Clone, Debug)]
pub struct Hours {
    schedules: Vec<Schedule>,
    overrides: Vec<Override>,
    zone: TimeZone,
}

impl Hours {
    /// When an owner is open on the days around a time, each day's spans by themselves.
    pub fn open(&self, owner: Owner, from: Timestamp, to: Timestamp) -> Open {
        let zone_of = |day: Date| self.in_force(owner, day).map_or(&self.zone, |it| &it.zone);
        let mut day = from.to_zoned(self.zone.clone()).date().saturating_sub(2.days());
        let last = to.to_zoned(self.zone.clone()).date().saturating_add(2.days());
        let mut open = Vec::new();
        while day <= last {
            let zone = zone_of(day);
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

    /// By whose clock a service goes on a day: that of its own hours, or of its tenant where it has none.
    pub fn zone_of(&self, service: ServiceId, day: Date) -> &TimeZone {
        self.in_force(Owner::Service(service), day).map_or(&self.zone, |it| &it.zone)
    }

    /// Whether an owner has hours of its own.
    pub fn has_schedule(&self, owner: Owner) -> bool {
        self.schedules.iter().any(|it| it.owner == owner)
    }

    /// Whether an owner's hours of the day on which an instant falls are others than of the week.
    pub fn is_overridden(&self, owner: Owner, at: Timestamp) -> bool {
        let day = at.to_zoned(self.zone.clone()).date();
        self.overrides.iter().any(|it| it.owner == owner && it.day == day)
    }

    fn in_force(&self, owner: Owner, day: Date) -> Option<&Schedule> {
        let begun = self.schedules.iter().filter(|it| it.owner == owner && it.valid_from <= day);
        begun.max_by_key(|it| it.valid_from)
    }

    fn spans(&self, owner: Owner, day: Date) -> Vec<Span> {
        if let Some(single) = self.overrides.iter().find(|it| it.owner == owner && it.day == day) {
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

/// A minute of a day on a zone's clock; the end of the day is the beginning of the next.
fn instant(day: Date, minute: i16, zone: &TimeZone) -> Option<Timestamp> {
    if minute >= DAY {
        return Some(day.tomorrow().ok()?.to_zoned(zone.clone()).ok()?.timestamp());
    }
    if minute == 0 {
        return Some(day.to_zoned(zone.clone()).ok()?.timestamp());
    }
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    let local = zone.to_ambiguous_zoned(day.at(hour, minute, 0, 0));
    if !local.is_ambiguous() || local.clone().compatible().ok() == local.clone().earlier().ok() {
        return Some(local.compatible().ok()?.timestamp()); // Of two the first.
    }
    // Skipped: where the clock goes on.
    let before = local.earlier().ok()?.timestamp();
    zone.following(before).next().map(|it| it.timestamp())
}

/// What is in both.
pub fn intersect(one: &Open, other: &Open) -> Open {
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

/// Neighbours become one.
pub fn merge(open: &Open) -> Open {
    let mut merged: Open = Vec::new();
    for (from, to) in open {
        match merged.last_mut() {
            Some(last) if last.1 >= *from => last.1 = last.1.max(*to),
            _ => merged.push((*from, *to)),
        }
    }
    merged
}

/// Whether a time lies within one of these, which are merged.
pub fn contain(merged: &Open, from: Timestamp, to: Timestamp) -> bool {
    let at = merged.partition_point(|it| it.1 < to);
    merged.get(at).is_some_and(|it| it.0 <= from && it.1 >= to)
}

/// All hours that concern a service at this instant and later. One statement each for weeks and days, in one flush.
///
/// # Errors
/// When a statement fails.
pub async fn of_service(
    tx: &ScopedTx,
    service: ServiceId,
    at: Timestamp,
) -> Result<(Vec<Schedule>, Vec<Override>), DbError> {
    // Whatever the zone, no day around it is left out.
    let since = at.to_zoned(TimeZone::UTC).date().saturating_sub(3.days());
    let (schedules, overrides) = futures_util::join!(
        queries::schedules_of_service(tx, service),
        queries::overrides_of_service(tx, service, since)
    );
    Ok((schedules?, overrides?))
}

impl Hours {
    /// Of what was read, and the tenant's zone, which counts where no schedule does.
    pub fn new((schedules, overrides): (Vec<Schedule>, Vec<Override>), zone: TimeZone) -> Self {
        Self { schedules, overrides, zone }
    }
}

/// The schedules of an owner, earliest first.
///
/// # Errors
/// When the statement fails.
pub async fn schedules(tx: &ScopedTx, owner: Owner) -> Result<Vec<Schedule>, DbError> {
    queries::schedules_of(tx, owner).await
}

/// The days of an owner that are others than of the week, from one day up to before another.
///
/// # Errors
/// When the statement fails, or the days are too many.
pub async fn overrides(tx: &ScopedTx, owner: Owner, from: Date, to: Date) -> Result<Vec<Override>, HoursError> {
    if to <= from || from.until(to).map_or(i64::MAX, |it| i64::from(it.get_days())) > MAX_DAYS {
        return Err(HoursError::Invalid("to", format!("Ask for 1 to {MAX_DAYS} days.")));
    }
    Ok(queries::overrides_of(tx, owner, from, to).await?)
}

/// Sets the hours of an owner from a day on, in place of all that would have counted from then. Booked time stays as it is.
///
/// # Errors
/// See [`HoursError`].
pub async fn set_schedule(
    caller: &Caller<'_>,
    owner: Owner,
    valid_from: Date,
    zone: Option<TimeZone>,
    hours: Option<Vec<(i8, Span)>>,
) -> Result<Vec<Schedule>, HoursError> {
    allow(caller, owner).await?;
    if let Some(hours) = &hours {
        if hours.len() > MAX_SPANS {
            return Err(HoursError::Invalid("hours", format!("A week has at most {MAX_SPANS} spans.")));
        }
        for weekday in 1..=7 {
            check(&hours.iter().filter(|(of, _)| *of == weekday).map(|(_, span)| *span).collect::<Vec<_>>())?;
        }
    }
    let (tx, now) = (caller.tx, caller.clock.now());
    let zone = match zone {
        Some(zone) => zone,
        None => tenants::current(tx).await?.time_zone,
    };
    let schedule = Schedule { id: crate::ids::uuid_v7(now), owner, valid_from, zone, hours };
    let before: Vec<_> = queries::schedules_of(tx, owner).await?.iter().map(described).collect();
    queries::delete_schedules_from(tx, owner, valid_from).await?;
    queries::insert_schedule(tx, &schedule, now).await?;
    let after = queries::schedules_of(tx, owner).await?;
    let changes =
        Changes::default().field("schedules", json!(before), json!(after.iter().map(described).collect::<Vec<_>>()));
    audit::record(caller, "hours.set", object_of(owner).0, object_of(owner).1, changes).await?;
    Ok(after)
}

/// A schedule as the audit log tells of it.
fn described(it: &Schedule) -> serde_json::Value {
    json!({ "valid_from": it.valid_from.to_string(), "time_zone": it.zone.iana_name(), "hours": queries::week_json(it) })
}

/// A day as the audit log tells of it.
fn described_day(it: &Override) -> serde_json::Value {
    json!({ "day": it.day.to_string(), "hours": queries::spans_json(&it.hours), "name": it.name })
}

/// Sets the hours of one day, in place of what it had.
///
/// # Errors
/// See [`HoursError`].
pub async fn set_override(
    caller: &Caller<'_>,
    owner: Owner,
    day: Date,
    hours: Vec<Span>,
    name: Option<String>,
) -> Result<Override, HoursError> {
    allow(caller, owner).await?;
    check(&hours)?;
    let name = name.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    if name.as_ref().is_some_and(|it| it.chars().count() > MAX_NAME) {
        return Err(HoursError::Invalid("name", format!("A name has at most {MAX_NAME} characters.")));
    }
    let (tx, now) = (caller.tx, caller.clock.now());
    let single = Override { id: crate::ids::uuid_v7(now), owner, day, hours, name, imported: false };
    let before = day_before(tx, owner, day).await?;
    queries::delete_override(tx, owner, day).await?;
    queries::insert_override(tx, &single, now).await?;
    let changes = Changes::default().field("day", before, described_day(&single));
    audit::record(caller, "hours.override", object_of(owner).0, object_of(owner).1, changes).await?;
    Ok(single)
}

/// Takes the hours of one day back: it is as its week says again.
///
/// # Errors
/// `NotFound` where the day had none of its own.
pub async fn delete_override(caller: &Caller<'_>, owner: Owner, day: Date) -> Result<Date, HoursError> {
    allow(caller, owner).await?;
    let before = day_before(caller.tx, owner, day).await?;
    if !queries::delete_override(caller.tx, owner, day).await? {
        return Err(HoursError::NotFound);
    }
    let changes = Changes::default().field("day", before, serde_json::Value::Null);
    audit::record(caller, "hours.restore", object_of(owner).0, object_of(owner).1, changes).await?;
    Ok(day)
}

/// Closes the days that a calendar file closes, from one day up to before another, in place of those that such files closed
/// before. Days that have hours by hand keep them. Returns all days of that time that are others than of the week.
///
/// # Errors
/// See [`HoursError`]: `Invalid` says what is wrong with the file.
pub async fn import_holidays(
    caller: &Caller<'_>,
    owner: Owner,
    file: String,
    from: Option<Date>,
    to: Option<Date>,
) -> Result<Vec<Override>, HoursError> {
    // By the role, before anything is read; and the file before the transaction begins.
    if !caller.is_at_least(Role::Admin) {
        return Err(HoursError::Forbidden);
    }
    let (tx, now) = (caller.tx, caller.clock.now());
    // Wherever the tenant is, its day is no earlier, and no later than a day after.
    let earliest = from.unwrap_or_else(|| now.to_zoned(TimeZone::UTC).date().saturating_sub(1.day()));
    let latest = to.unwrap_or_else(|| earliest.saturating_add((MAX_DAYS + 2).days()));
    if earliest.until(latest).map_or(i64::MAX, |it| i64::from(it.get_days())) > MAX_DAYS + 2 {
        return Err(HoursError::Invalid("to", format!("Ask for 1 to {MAX_DAYS} days.")));
    }
    let days = holidays::read(file, earliest, latest).await;
    let days = days.map_err(|unread| match unread {
        Unread::Flawed(message) => HoursError::Invalid("calendar", message),
        Unread::Busy => HoursError::Busy,
    })?;
    allow(caller, owner).await?;
    let zone = tenants::current(tx).await?.time_zone;
    let from = from.unwrap_or_else(|| now.to_zoned(zone).date());
    let to = to.unwrap_or_else(|| from.saturating_add(MAX_DAYS.days()));
    let before = overrides(tx, owner, from, to).await?;
    let days = days.into_iter().filter(|(day, _)| *day >= from && *day < to);
    let names = days.map(|(day, name)| {
        let name: String = name.chars().filter(|it| !it.is_control()).take(MAX_NAME).collect();
        (day, Some(name.trim().to_owned()).filter(|it| !it.is_empty()))
    });
    let days: Vec<_> = names.collect();
    queries::delete_imported(tx, owner, from, to).await?;
    queries::insert_imported(tx, owner, &days, now).await?;
    let after = queries::overrides_of(tx, owner, from, to).await?;
    let closed =
        |all: &[Override]| json!(all.iter().filter(|it| it.imported).map(|it| it.day.to_string()).collect::<Vec<_>>());
    let changes = Changes::default().field("days", closed(&before), closed(&after));
    audit::record(caller, "hours.import", object_of(owner).0, object_of(owner).1, changes).await?;
    Ok(after)
}

async fn day_before(tx: &ScopedTx, owner: Owner, day: Date) -> Result<serde_json::Value, DbError> {
    let before = queries::overrides_of(tx, owner, day, day.saturating_add(1.day())).await?;
    Ok(before.first().map_or(serde_json::Value::Null, described_day))
}

async fn allow(caller: &Caller<'_>, owner: Owner) -> Result<(), HoursError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(HoursError::Forbidden);
    }
    tenants::lock_calendar(caller.tx).await?;
    match owner {
        Owner::Tenant => {}
        Owner::Service(id) => {
            services::by_ids(caller.tx, &[id]).await?.remove(&id).ok_or(HoursError::ServiceNotFound)?;
        }
        Owner::Resource(id) => {
            resources::by_ids(caller.tx, &[id]).await?.remove(&id).ok_or(HoursError::ResourceNotFound)?;
        }
    }
    Ok(())
}

/// Spans of one day: not empty, within it, and apart.
fn check(spans: &[Span]) -> Result<(), HoursError> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    if spans.len() > MAX_SPANS || sorted.iter().any(|it| it.opens < 0 || it.closes > DAY || it.opens >= it.closes) {
        return Err(HoursError::Invalid("hours", "Hours close after they open, on the same day.".into()));
    }
    if sorted.windows(2).any(|it| it[0].closes > it[1].opens) {
        return Err(HoursError::Invalid("hours", "Hours of one day must not overlap.".into()));
    }
    Ok(())
}

fn object_of(owner: Owner) -> (&'static str, Option<Uuid>) {
    match owner {
        Owner::Tenant => ("tenant", None),
        Owner::Service(id) => ("service", Some(id.0)),
        Owner::Resource(id) => ("resource", Some(id.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
