//! Reads and changes schedules and exceptions.

use jiff::{civil::Date, tz::TimeZone};
use serde_json::json;
use uuid::Uuid;

use super::{
    described::{described, described_day},
    model::{DAY, HoursError, Later, Override, Owner, Schedule, Span},
    opening::day_before,
    queries,
};
use crate::base::names;
use crate::{
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
    },
    db::{DbError, ScopedTx},
    features::{resources, services, tenants},
};

/// Maximum number of spans in a week.
const MAX_SPANS: usize = 100;

/// Maximum number of days in one list of exceptions.
pub const MAX_DAYS: i64 = 750;

/// The schedules of an owner, earliest first.
pub async fn schedules(tx: &ScopedTx, owner: Owner) -> Result<Vec<Schedule>, DbError> {
    queries::schedules_of(tx, owner).await
}

/// The exceptions of an owner, from `from` to before `to`.
///
/// # Errors
/// When the statement fails, or there are too many days.
pub async fn overrides(tx: &ScopedTx, owner: Owner, from: Date, to: Date) -> Result<Vec<Override>, HoursError> {
    if to <= from || from.until(to).map_or(i64::MAX, |it| i64::from(it.get_days())) > MAX_DAYS {
        return Err(HoursError::Invalid("to", format!("Request 1 to {MAX_DAYS} days.")));
    }
    Ok(queries::overrides_of(tx, owner, from, to).await?)
}

/// Sets the weekly hours of an owner from a day on, and replaces a schedule from the same day. Schedules that start later
/// are kept or replaced as `later` says; without it, they refuse the change. Existing bookings stay.
///
/// # Errors
/// See [`HoursError`].
pub async fn set_schedule(
    caller: &Caller<'_>,
    owner: Owner,
    valid_from: Date,
    zone: Option<TimeZone>,
    hours: Option<Vec<(i8, Span)>>,
    later: Option<Later>,
) -> Result<Vec<Schedule>, HoursError> {
    allow(caller, owner).await?;
    if let Some(hours) = &hours {
        if hours.len() > MAX_SPANS {
            return Err(HoursError::Invalid("hours", format!("A week can have at most {MAX_SPANS} spans.")));
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
    let schedule = Schedule { id: crate::base::ids::uuid_v7(now), owner, valid_from, zone, hours };
    let existing = queries::schedules_of(tx, owner).await?;
    let before: Vec<_> = existing.iter().map(described).collect();
    let following: Vec<Schedule> = existing.into_iter().filter(|it| it.valid_from > valid_from).collect();
    if later.is_none() && !following.is_empty() {
        return Err(HoursError::LaterSchedules(following));
    }
    queries::delete_schedules_from(tx, owner, valid_from, later == Some(Later::Replace)).await?;
    queries::insert_schedule(tx, &schedule, now).await?;
    let after = queries::schedules_of(tx, owner).await?;
    let changes =
        Changes::default().field("schedules", json!(before), json!(after.iter().map(described).collect::<Vec<_>>()));
    audit::record(caller, "hours.set", object_of(owner).0, object_of(owner).1, changes).await?;
    Ok(after)
}

/// Moves all schedules of the tenant, its services and resources that are in the zone `from` to the zone `to` (without
/// `from`, none), and returns those that remain in other zones than `to`.
///
/// # Errors
/// See [`HoursError`].
pub async fn schedules_elsewhere(
    caller: &Caller<'_>,
    from: Option<TimeZone>,
    to: &TimeZone,
) -> Result<Vec<Schedule>, HoursError> {
    allow(caller, Owner::Tenant).await?;
    let (tx, now) = (caller.tx, caller.clock.now());
    let is_in = |it: &Schedule, zone: &TimeZone| it.zone.iana_name() == zone.iana_name();
    let all = queries::all_schedules(tx).await?;
    let moves = |it: &Schedule| !is_in(it, to) && from.as_ref().is_some_and(|from| is_in(it, from));
    let (moved, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(moves);
    if !moved.is_empty() {
        let ids: Vec<Uuid> = moved.iter().map(|it| it.id).collect();
        queries::delete_schedules(tx, &ids).await?;
        for schedule in &moved {
            queries::insert_schedule(tx, &Schedule { zone: to.clone(), ..schedule.clone() }, now).await?;
        }
        let zones = Changes::default().field(
            "time_zone",
            from.as_ref().and_then(TimeZone::iana_name).map(str::to_owned),
            to.iana_name().map(str::to_owned),
        );
        audit::record(caller, "hours.move_zone", "tenant", None, zones).await?;
    }
    Ok(kept.into_iter().filter(|it| !is_in(it, to)).collect())
}

/// Sets the hours of one day, and replaces an existing exception.
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
    let name = name.filter(|it| !it.trim().is_empty());
    let name = name.map(|it| names::checked(&it).ok_or(HoursError::Invalid("name", names::RULE.into()))).transpose()?;
    let (tx, now) = (caller.tx, caller.clock.now());
    let single = Override { id: crate::base::ids::uuid_v7(now), owner, day, hours, name, imported: false };
    let before = day_before(tx, owner, day).await?;
    queries::delete_override(tx, owner, day).await?;
    queries::insert_override(tx, &single, now).await?;
    let changes = Changes::default().field("day", before, described_day(&single));
    audit::record(caller, "hours.override", object_of(owner).0, object_of(owner).1, changes).await?;
    Ok(single)
}

/// Removes the exception of one day: its weekly hours apply again.
///
/// # Errors
/// `NotFound` when the day has no exception.
pub async fn delete_override(caller: &Caller<'_>, owner: Owner, day: Date) -> Result<Date, HoursError> {
    allow(caller, owner).await?;
    let before = day_before(caller.tx, owner, day).await?;
    queries::delete_holidays_of_day(caller.tx, owner, day).await?;
    if !queries::delete_override(caller.tx, owner, day).await? {
        return Err(HoursError::NotFound);
    }
    let changes = Changes::default().field("day", before, serde_json::Value::Null);
    audit::record(caller, "hours.restore", object_of(owner).0, object_of(owner).1, changes).await?;
    Ok(day)
}

pub(super) async fn allow(caller: &Caller<'_>, owner: Owner) -> Result<(), HoursError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(HoursError::Forbidden);
    }
    tenants::lock_calendar(caller.tx).await?;
    require(caller.tx, owner).await
}

/// Refuses an owner that does not exist.
pub(super) async fn require(tx: &ScopedTx, owner: Owner) -> Result<(), HoursError> {
    match owner {
        Owner::Tenant => {}
        Owner::Service(id) => {
            services::by_ids(tx, &[id]).await?.remove(&id).ok_or(HoursError::ServiceNotFound)?;
        }
        Owner::Resource(id) => {
            resources::by_ids(tx, &[id]).await?.remove(&id).ok_or(HoursError::ResourceNotFound)?;
        }
    }
    Ok(())
}

/// Checks the spans of one day: not empty, within the day, and not overlapping.
fn check(spans: &[Span]) -> Result<(), HoursError> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    if spans.len() > MAX_SPANS || sorted.iter().any(|it| it.opens < 0 || it.closes > DAY || it.opens >= it.closes) {
        return Err(HoursError::Invalid("hours", "Hours must close after they open, on the same day.".into()));
    }
    if sorted.windows(2).any(|it| it[0].closes > it[1].opens) {
        return Err(HoursError::Invalid("hours", "Hours of one day must not overlap.".into()));
    }
    Ok(())
}

pub(super) fn object_of(owner: Owner) -> (&'static str, Option<Uuid>) {
    match owner {
        Owner::Tenant => ("tenant", None),
        Owner::Service(id) => ("service", Some(id.0)),
        Owner::Resource(id) => ("resource", Some(id.0)),
    }
}
