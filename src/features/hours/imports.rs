//! Imports holidays from calendar files. Each named source is replaced by itself, and a day is closed while any of them
//! closes it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, ToSpan, civil::Date};
use serde_json::json;

use super::{
    holidays::{self, Source, Unread},
    model::{HolidayFile, HolidaySource, HoursError, Imported, Override, Owner},
    queries,
    schedules::{MAX_DAYS, allow, object_of, overrides, require},
};
use crate::{
    base::names,
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
    },
    db::{DbError, ScopedTx},
    features::tenants,
};

/// Maximum length of an exception's name, in characters.
const MAX_NAME: usize = 200;
/// Maximum number of sources of one owner.
const MAX_SOURCES: usize = 20;

/// Closes the days that a calendar file closes, and replaces the days of the same source within that time. Manual
/// exceptions and other sources stay. A dry run writes nothing.
///
/// # Errors
/// See [`HoursError`]: `Invalid` contains what is wrong with the file. A file that closes no day is not imported:
/// [`Imported::closes`] is empty then, and nothing is written.
pub async fn import_holidays(caller: &Caller<'_>, file: HolidayFile) -> Result<Imported, HoursError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(HoursError::Forbidden);
    }
    let (tx, now, owner) = (caller.tx, caller.clock.now(), file.owner);
    let source = names::checked(&file.source).ok_or(HoursError::Invalid("source", names::RULE.into()))?;
    require(tx, owner).await?;
    let zone = tenants::current(tx).await?.time_zone;
    let from = file.from.unwrap_or_else(|| now.to_zoned(zone.clone()).date());
    let to = file.to.unwrap_or_else(|| from.saturating_add(MAX_DAYS.days()));
    if to <= from || from.until(to).map_or(i64::MAX, |it| i64::from(it.get_days())) > MAX_DAYS {
        return Err(HoursError::Invalid("to", format!("Request 1 to {MAX_DAYS} days.")));
    }
    // The file is read before the calendar is locked.
    let found =
        holidays::read(tx.tenant(), Source { text: file.text, from, to, home: zone, filter: file.filter }).await;
    let found = found.map_err(|unread| match unread {
        Unread::Flawed(message) => HoursError::Invalid("calendar", message),
        Unread::Busy => HoursError::Busy,
    })?;
    let closes: Vec<_> = found.days.into_iter().map(|(day, name)| (day, named(&name))).collect();
    let writes = !file.is_dry && !closes.is_empty();
    if writes {
        allow(caller, owner).await?;
        let before = overrides(tx, owner, from, to).await?;
        let mut sources: BTreeSet<String> =
            queries::holiday_sources(tx, owner).await?.into_iter().map(|it| it.name).collect();
        sources.insert(source.clone());
        if sources.len() > MAX_SOURCES {
            let message = format!("There can be at most {MAX_SOURCES} sources. Delete one of them.");
            return Err(HoursError::Invalid("source", message));
        }
        queries::delete_holidays(tx, owner, &source, from, to).await?;
        queries::insert_holidays(tx, owner, &source, &closes, now).await?;
        let after = close_again(tx, owner, (from, to), now).await?;
        record(caller, "hours.import", owner, &source, (&before, &after)).await?;
    }
    Ok(Imported {
        overrides: overrides(tx, owner, from, to).await?,
        closes,
        skipped: found.skipped,
        skipped_count: found.skipped_count,
        ignored_count: found.ignored_count,
    })
}

/// Removes a source. Its days are open again, unless another source or a manual exception closes them. Returns how many
/// days it had.
///
/// # Errors
/// See [`HoursError`]: `SourceNotFound` without such a source.
pub async fn delete_holidays(caller: &Caller<'_>, owner: Owner, source: &str) -> Result<i64, HoursError> {
    allow(caller, owner).await?;
    let (tx, now) = (caller.tx, caller.clock.now());
    let sources = queries::holiday_sources(tx, owner).await?;
    let known = sources.into_iter().find(|it| it.name == source).ok_or(HoursError::SourceNotFound)?;
    let range = (known.first, known.last.saturating_add(1.day()));
    let before = queries::overrides_of(tx, owner, range.0, range.1).await?;
    queries::delete_holidays(tx, owner, source, range.0, range.1).await?;
    let after = close_again(tx, owner, range, now).await?;
    record(caller, "hours.delete_holidays", owner, source, (&before, &after)).await?;
    Ok(known.days)
}

/// The sources of an owner, by name. Administrators only.
///
/// # Errors
/// `Forbidden`, an owner that does not exist, or the statement failed.
pub async fn holiday_sources(caller: &Caller<'_>, owner: Owner) -> Result<Vec<HolidaySource>, HoursError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(HoursError::Forbidden);
    }
    require(caller.tx, owner).await?;
    Ok(queries::holiday_sources(caller.tx, owner).await?)
}

/// Closes the days of all sources within a time, and no others.
async fn close_again(
    tx: &ScopedTx,
    owner: Owner,
    (from, to): (Date, Date),
    now: Timestamp,
) -> Result<Vec<Override>, DbError> {
    let mut days: BTreeMap<Date, BTreeSet<String>> = BTreeMap::new();
    for (day, name) in queries::holidays_of(tx, owner, from, to).await? {
        days.entry(day).or_default().extend(name);
    }
    let joined = |names: BTreeSet<String>| named(&names.into_iter().collect::<Vec<_>>().join(", "));
    let days: Vec<_> = days.into_iter().map(|(day, names)| (day, joined(names))).collect();
    queries::delete_imported(tx, owner, from, to).await?;
    queries::insert_imported(tx, owner, &days, now).await?;
    queries::overrides_of(tx, owner, from, to).await
}

async fn record(
    caller: &Caller<'_>,
    action: &'static str,
    owner: Owner,
    source: &str,
    (before, after): (&[Override], &[Override]),
) -> Result<(), DbError> {
    let closed =
        |all: &[Override]| json!(all.iter().filter(|it| it.imported).map(|it| it.day.to_string()).collect::<Vec<_>>());
    let changes = Changes::default().field("days", closed(before), closed(after)).field(
        "source",
        serde_json::Value::Null,
        source.to_owned(),
    );
    audit::record(caller, action, object_of(owner).0, object_of(owner).1, changes).await
}

/// A name as stored; `None` when it is empty.
fn named(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|it| !it.is_control()).take(MAX_NAME).collect();
    Some(name.trim().to_owned()).filter(|it| !it.is_empty())
}
