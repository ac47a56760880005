//! Every statement on opening hours.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{HolidaySource, Override, Owner, Schedule, Span};
use crate::{
    base::ids::{ResourceId, ServiceId, uuid_v7},
    db::{DbError, Row, ScopedTx},
};

fn owner(row: &Row) -> Owner {
    match (row.get::<_, Option<ServiceId>>(1), row.get::<_, Option<ResourceId>>(2)) {
        (Some(id), _) => Owner::Service(id),
        (None, Some(id)) => Owner::Resource(id),
        (None, None) => Owner::Tenant,
    }
}

fn read_schedule(row: &Row) -> Result<Schedule, DbError> {
    let corrupt = |what: &str| DbError::Corrupt(format!("a schedule has {what}"));
    let zone = TimeZone::get(row.get(4)).map_err(|error| DbError::Corrupt(error.to_string()))?;
    let hours = match row.get::<_, Option<Value>>(5) {
        None => None,
        Some(week) => {
            let week: Vec<(i8, i16, i16)> = serde_json::from_value(week).map_err(|_| corrupt("no hours"))?;
            Some(week.into_iter().map(|(weekday, opens, closes)| (weekday, Span { opens, closes })).collect())
        }
    };
    Ok(Schedule { id: row.get(0), owner: owner(row), valid_from: row.get(3), zone, hours })
}

fn read_override(row: &Row) -> Result<Override, DbError> {
    let hours: Vec<(i16, i16)> =
        serde_json::from_value(row.get(4)).map_err(|error| DbError::Corrupt(error.to_string()))?;
    let hours = hours.into_iter().map(|(opens, closes)| Span { opens, closes }).collect();
    Ok(Override { id: row.get(0), owner: owner(row), day: row.get(3), hours, name: row.get(5), imported: row.get(6) })
}

/// The weekly hours as stored.
pub(super) fn week_json(schedule: &Schedule) -> Value {
    let spans =
        |week: &Vec<(i8, Span)>| json!(week.iter().map(|(day, it)| (day, it.opens, it.closes)).collect::<Vec<_>>());
    schedule.hours.as_ref().map_or(Value::Null, spans)
}

/// The spans as stored.
pub(super) fn spans_json(spans: &[Span]) -> Value {
    json!(spans.iter().map(|it| (it.opens, it.closes)).collect::<Vec<_>>())
}

/// The schedules of the tenant, of a service, and of the resources that can serve it.
pub(super) async fn schedules_of_service(tx: &ScopedTx, service: ServiceId) -> Result<Vec<Schedule>, DbError> {
    let rows = tx
        .query(
            "-- hours.schedules_of_service
            select id, service_id, resource_id, valid_from, time_zone, hours from opening_schedules
             where tenant_id = $1
               and (service_id = $2 or (service_id is null and resource_id is null) or resource_id in (
                 select l.resource_id from service_resources l where l.tenant_id = $1 and l.service_id = $2))",
            &[&tx.tenant(), &service],
        )
        .await?;
    rows.iter().map(read_schedule).collect()
}

/// The exceptions of the tenant, of a service, and of the resources that can serve it, from a day on.
pub(super) async fn overrides_of_service(
    tx: &ScopedTx,
    service: ServiceId,
    since: Date,
) -> Result<Vec<Override>, DbError> {
    let rows = tx
        .query(
            "-- hours.overrides_of_service
            select id, service_id, resource_id, day, hours, name, imported from opening_overrides
             where tenant_id = $1 and day >= $3
               and (service_id = $2 or (service_id is null and resource_id is null) or resource_id in (
                 select l.resource_id from service_resources l where l.tenant_id = $1 and l.service_id = $2))",
            &[&tx.tenant(), &service, &since],
        )
        .await?;
    rows.iter().map(read_override).collect()
}

/// The schedules of one owner, earliest first.
pub(super) async fn schedules_of(tx: &ScopedTx, owner: Owner) -> Result<Vec<Schedule>, DbError> {
    let (service, resource) = owner.columns();
    let rows = tx
        .query(
            "-- hours.schedules_of
            select id, service_id, resource_id, valid_from, time_zone, hours from opening_schedules
             where tenant_id = $1 and service_id is not distinct from $2 and resource_id is not distinct from $3
             order by valid_from",
            &[&tx.tenant(), &service, &resource],
        )
        .await?;
    rows.iter().map(read_schedule).collect()
}

/// The exceptions of one owner, from `from` to before `to`.
pub(super) async fn overrides_of(tx: &ScopedTx, owner: Owner, from: Date, to: Date) -> Result<Vec<Override>, DbError> {
    let (service, resource) = owner.columns();
    let rows = tx
        .query(
            "-- hours.overrides_of
            select id, service_id, resource_id, day, hours, name, imported from opening_overrides
             where tenant_id = $1 and service_id is not distinct from $2 and resource_id is not distinct from $3
               and day >= $4 and day < $5
             order by day",
            &[&tx.tenant(), &service, &resource, &from, &to],
        )
        .await?;
    rows.iter().map(read_override).collect()
}

/// All schedules, of the tenant first.
pub(super) async fn all_schedules(tx: &ScopedTx) -> Result<Vec<Schedule>, DbError> {
    let rows = tx
        .query(
            "-- hours.all_schedules
            select id, service_id, resource_id, valid_from, time_zone, hours from opening_schedules
             where tenant_id = $1 order by service_id nulls first, resource_id nulls first, valid_from",
            &[&tx.tenant()],
        )
        .await?;
    rows.iter().map(read_schedule).collect()
}

/// Deletes these schedules.
pub(super) async fn delete_schedules(tx: &ScopedTx, ids: &[Uuid]) -> Result<(), DbError> {
    tx.execute(
        "-- hours.delete_schedules
        delete from opening_schedules where tenant_id = $1 and id = any ($2)",
        &[&tx.tenant(), &ids],
    )
    .await
}

/// Deletes the schedule from this day and, with `later`, those that start after it.
pub(super) async fn delete_schedules_from(tx: &ScopedTx, owner: Owner, from: Date, later: bool) -> Result<(), DbError> {
    let (service, resource) = owner.columns();
    tx.execute(
        "-- hours.delete_schedules_from
        delete from opening_schedules
         where tenant_id = $1 and service_id is not distinct from $2 and resource_id is not distinct from $3
           and (valid_from = $4 or ($5 and valid_from > $4))",
        &[&tx.tenant(), &service, &resource, &from, &later],
    )
    .await
}

/// Adds a schedule. Of two concurrent inserts for the same day the first stays.
pub(super) async fn insert_schedule(tx: &ScopedTx, schedule: &Schedule, now: Timestamp) -> Result<(), DbError> {
    let (service, resource) = schedule.owner.columns();
    let hours = schedule.hours.as_ref().map(|_| week_json(schedule));
    tx.execute(
        "-- hours.insert_schedule
        insert into opening_schedules (tenant_id, id, service_id, resource_id, valid_from, time_zone, hours, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
        &[
            &tx.tenant(),
            &schedule.id,
            &service,
            &resource,
            &schedule.valid_from,
            &schedule.zone.iana_name().unwrap_or("UTC"),
            &hours,
            &now,
        ],
    )
    .await
}

/// Deletes a day's exception; returns whether there was one.
pub(super) async fn delete_override(tx: &ScopedTx, owner: Owner, day: Date) -> Result<bool, DbError> {
    let (service, resource) = owner.columns();
    let row = tx
        .query_opt(
            "-- hours.delete_override
            delete from opening_overrides
             where tenant_id = $1 and service_id is not distinct from $2 and resource_id is not distinct from $3
               and day = $4
            returning true",
            &[&tx.tenant(), &service, &resource, &day],
        )
        .await?;
    Ok(row.is_some())
}

/// Adds a day's exception. Of two concurrent inserts the first stays.
pub(super) async fn insert_override(tx: &ScopedTx, single: &Override, now: Timestamp) -> Result<(), DbError> {
    let (service, resource) = single.owner.columns();
    tx.execute(
        "-- hours.insert_override
        insert into opening_overrides (tenant_id, id, service_id, resource_id, day, hours, name, created_at, imported)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
        &[
            &tx.tenant(),
            &single.id,
            &service,
            &resource,
            &single.day,
            &spans_json(&single.hours),
            &single.name,
            &now,
            &single.imported,
        ],
    )
    .await
}

/// Deletes the days closed by calendar files, from `from` to before `to`.
pub(super) async fn delete_imported(tx: &ScopedTx, owner: Owner, from: Date, to: Date) -> Result<(), DbError> {
    let (service, resource) = owner.columns();
    tx.execute(
        "-- hours.delete_imported
        delete from opening_overrides
         where tenant_id = $1 and service_id is not distinct from $2 and resource_id is not distinct from $3
           and day >= $4 and day < $5 and imported",
        &[&tx.tenant(), &service, &resource, &from, &to],
    )
    .await
}

/// Closes these days, except those with a manual exception.
pub(super) async fn insert_imported(
    tx: &ScopedTx,
    owner: Owner,
    days: &[(Date, Option<String>)],
    now: Timestamp,
) -> Result<(), DbError> {
    let (service, resource) = owner.columns();
    let ids: Vec<Uuid> = days.iter().map(|_| uuid_v7(now)).collect();
    let (days, names): (Vec<Date>, Vec<Option<&str>>) = days.iter().map(|(day, name)| (*day, name.as_deref())).unzip();
    tx.execute(
        "-- hours.insert_imported
        insert into opening_overrides (tenant_id, id, service_id, resource_id, day, hours, name, created_at, imported)
        select $1, d.id, $2::uuid, $3::uuid, d.day, '[]', d.name, $4::timestamptz, true
          from unnest($5::uuid[], $6::date[], $7::text[]) as d (id, day, name)
        on conflict do nothing",
        &[&tx.tenant(), &service, &resource, &now, &ids, &days, &names],
    )
    .await
}

/// The sources of holidays of one owner, by name.
pub(super) async fn holiday_sources(tx: &ScopedTx, owner: Owner) -> Result<Vec<HolidaySource>, DbError> {
    let (service, resource) = owner.columns();
    let rows = tx
        .query(
            "-- hours.holiday_sources
            select source, count(*), min(day), max(day) from holidays
             where tenant_id = $1 and service_id is not distinct from $2 and resource_id is not distinct from $3
             group by source order by source",
            &[&tx.tenant(), &service, &resource],
        )
        .await?;
    let read = |row: &Row| HolidaySource { name: row.get(0), days: row.get(1), first: row.get(2), last: row.get(3) };
    Ok(rows.iter().map(read).collect())
}

/// The days that sources close, from `from` to before `to`: one for each source that closes it.
pub(super) async fn holidays_of(
    tx: &ScopedTx,
    owner: Owner,
    from: Date,
    to: Date,
) -> Result<Vec<(Date, Option<String>)>, DbError> {
    let (service, resource) = owner.columns();
    let rows = tx
        .query(
            "-- hours.holidays_of
            select day, name from holidays
             where tenant_id = $1 and service_id is not distinct from $2 and resource_id is not distinct from $3
               and day >= $4 and day < $5",
            &[&tx.tenant(), &service, &resource, &from, &to],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Deletes the days of a source, from `from` to before `to`.
pub(super) async fn delete_holidays(
    tx: &ScopedTx,
    owner: Owner,
    source: &str,
    from: Date,
    to: Date,
) -> Result<(), DbError> {
    let (service, resource) = owner.columns();
    tx.execute(
        "-- hours.delete_holidays
        delete from holidays
         where tenant_id = $1 and service_id is not distinct from $2 and resource_id is not distinct from $3
           and source = $4 and day >= $5 and day < $6",
        &[&tx.tenant(), &service, &resource, &source, &from, &to],
    )
    .await
}

/// Deletes a day of all sources.
pub(super) async fn delete_holidays_of_day(tx: &ScopedTx, owner: Owner, day: Date) -> Result<(), DbError> {
    let (service, resource) = owner.columns();
    tx.execute(
        "-- hours.delete_holidays_of_day
        delete from holidays
         where tenant_id = $1 and service_id is not distinct from $2 and resource_id is not distinct from $3
           and day = $4",
        &[&tx.tenant(), &service, &resource, &day],
    )
    .await
}

/// Adds the days of a source.
pub(super) async fn insert_holidays(
    tx: &ScopedTx,
    owner: Owner,
    source: &str,
    days: &[(Date, Option<String>)],
    now: Timestamp,
) -> Result<(), DbError> {
    let (service, resource) = owner.columns();
    let ids: Vec<Uuid> = days.iter().map(|_| uuid_v7(now)).collect();
    let (days, names): (Vec<Date>, Vec<Option<&str>>) = days.iter().map(|(day, name)| (*day, name.as_deref())).unzip();
    tx.execute(
        "-- hours.insert_holidays
        insert into holidays (tenant_id, id, service_id, resource_id, source, day, name, created_at)
        select $1, d.id, $2::uuid, $3::uuid, $4::text, d.day, d.name, $5::timestamptz
          from unnest($6::uuid[], $7::date[], $8::text[]) as d (id, day, name)
        on conflict do nothing",
        &[&tx.tenant(), &service, &resource, &source, &now, &ids, &days, &names],
    )
    .await
}
