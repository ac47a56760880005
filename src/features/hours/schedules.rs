//! Reads and changes schedules and exceptions.

use jiff::{ToSpan, civil::Date, tz::TimeZone};
use serde_json::json;
use uuid::Uuid;

use super::{
    described::{described, described_day},
    holidays::{self, Unread},
    model::{DAY, HoursError, Override, Owner, Schedule, Span},
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

/// Maximum length of an exception's name, in characters.
pub(super) const MAX_NAME: usize = 200;

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

/// Sets the weekly hours of an owner from a day on, and replaces all schedules that would have applied from then.
/// Existing bookings stay.
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
    let before: Vec<_> = queries::schedules_of(tx, owner).await?.iter().map(described).collect();
    queries::delete_schedules_from(tx, owner, valid_from).await?;
    queries::insert_schedule(tx, &schedule, now).await?;
    let after = queries::schedules_of(tx, owner).await?;
    let changes =
        Changes::default().field("schedules", json!(before), json!(after.iter().map(described).collect::<Vec<_>>()));
    audit::record(caller, "hours.set", object_of(owner).0, object_of(owner).1, changes).await?;
    Ok(after)
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
    if !queries::delete_override(caller.tx, owner, day).await? {
        return Err(HoursError::NotFound);
    }
    let changes = Changes::default().field("day", before, serde_json::Value::Null);
    audit::record(caller, "hours.restore", object_of(owner).0, object_of(owner).1, changes).await?;
    Ok(day)
}

/// Closes the days that a calendar file closes, from `from` to before `to`, and replaces days closed by earlier files.
/// Manual exceptions stay. Returns all exceptions of that time.
///
/// # Errors
/// See [`HoursError`]: `Invalid` contains what is wrong with the file.
pub async fn import_holidays(
    caller: &Caller<'_>,
    owner: Owner,
    file: String,
    from: Option<Date>,
    to: Option<Date>,
) -> Result<Vec<Override>, HoursError> {
    // The role is checked before anything is read, and the file is read before the transaction starts.
    if !caller.is_at_least(Role::Admin) {
        return Err(HoursError::Forbidden);
    }
    let (tx, now) = (caller.tx, caller.clock.now());
    // In any zone, the tenant's current day is at most one day before or after the day in UTC.
    let earliest = from.unwrap_or_else(|| now.to_zoned(TimeZone::UTC).date().saturating_sub(1.day()));
    let latest = to.unwrap_or_else(|| earliest.saturating_add((MAX_DAYS + 2).days()));
    if earliest.until(latest).map_or(i64::MAX, |it| i64::from(it.get_days())) > MAX_DAYS + 2 {
        return Err(HoursError::Invalid("to", format!("Request 1 to {MAX_DAYS} days.")));
    }
    let days = holidays::read(tx.tenant(), file, earliest, latest).await;
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

fn object_of(owner: Owner) -> (&'static str, Option<Uuid>) {
    match owner {
        Owner::Tenant => ("tenant", None),
        Owner::Service(id) => ("service", Some(id.0)),
        Owner::Resource(id) => ("resource", Some(id.0)),
    }
}
