//! Every statement on services. `by_ids` feeds a loader; `list` is paged.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Draft, Service, ServiceKey};
use crate::{
    db::{DbError, ScopedTx},
    ids::ServiceId,
    paging::Page,
};

macro_rules! columns {
    () => {
        "id, name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation, active, created_at"
    };
}

macro_rules! list_sql {
    ($direction:literal) => {
        concat!(
            "-- services.list
            select ",
            columns!(),
            "
              from services
             where tenant_id = $1
               and ($2::boolean is null or active = $2)
               and ($3::text is null or position(lower($3) in lower(name)) > 0)
               and ($4::text is null or (name, id) > ($4, $5::uuid))
               and ($6::text is null or (name, id) < ($6, $7::uuid))
             order by name ",
            $direction,
            ", id ",
            $direction,
            " limit $8"
        )
    };
}

/// One row more than the page, in the order of the scan.
pub async fn list(
    tx: &ScopedTx,
    active: Option<bool>,
    search: Option<&str>,
    page: &Page<ServiceKey>,
) -> Result<Vec<Service>, DbError> {
    let sql = if page.from_the_back { list_sql!("desc") } else { list_sql!("asc") };
    let (after_name, after_id) = page.after.clone().unzip();
    let (before_name, before_id) = page.before.clone().unzip();
    let rows = tx
        .query(sql, &[&tx.tenant(), &active, &search, &after_name, &after_id, &before_name, &before_id, &page.fetch()])
        .await?;
    rows.iter().map(Service::read).collect()
}

/// Those that exist in the tenant.
pub async fn by_ids(tx: &ScopedTx, ids: &[ServiceId]) -> Result<HashMap<ServiceId, Service>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- services.by_ids
            select ",
                columns!(),
                "
              from services where tenant_id = $1 and id = any ($2)"
            ),
            &[&tx.tenant(), &ids],
        )
        .await?;
    rows.iter().map(|row| Service::read(row).map(|service| (service.id, service))).collect()
}

/// The service, locked until the transaction ends: neither changed nor booked by anybody else meanwhile.
pub async fn lock(tx: &ScopedTx, id: ServiceId) -> Result<Option<Service>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- services.lock
            select ",
                columns!(),
                "
              from services where tenant_id = $1 and id = $2 for update"
            ),
            &[&tx.tenant(), &id],
        )
        .await?;
    row.as_ref().map(Service::read).transpose()
}

/// `None` when another service has the name.
pub async fn insert(tx: &ScopedTx, id: ServiceId, draft: &Draft, now: Timestamp) -> Result<Option<Service>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- services.insert
            insert into services
              (tenant_id, id, name, description, duration_minutes, price_minor, currency, capacity,
               requires_confirmation, created_at, updated_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
            on conflict (tenant_id, name) do nothing
            returning ",
                columns!(),
                ""
            ),
            &[
                &tx.tenant(),
                &id,
                &draft.name,
                &draft.description,
                &draft.duration_minutes,
                &draft.price.minor,
                &draft.price.currency,
                &draft.capacity,
                &draft.requires_confirmation,
                &now,
            ],
        )
        .await?;
    row.as_ref().map(Service::read).transpose()
}

/// `None` when there is no such service. A taken name violates `services_tenant_id_name_key`.
pub async fn update(tx: &ScopedTx, id: ServiceId, draft: &Draft, now: Timestamp) -> Result<Option<Service>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- services.update
            update services
               set name = $3, description = $4, duration_minutes = $5, price_minor = $6, currency = $7, capacity = $8,
                   requires_confirmation = $9, active = $10, updated_at = $11
             where tenant_id = $1 and id = $2
            returning ",
                columns!(),
                ""
            ),
            &[
                &tx.tenant(),
                &id,
                &draft.name,
                &draft.description,
                &draft.duration_minutes,
                &draft.price.minor,
                &draft.price.currency,
                &draft.capacity,
                &draft.requires_confirmation,
                &draft.active,
                &now,
            ],
        )
        .await?;
    row.as_ref().map(Service::read).transpose()
}

/// Deletes the service unless bookings point at it; returns whether it did.
pub async fn delete_unbooked(tx: &ScopedTx, id: ServiceId) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- services.delete_unbooked
            delete from services s
             where s.tenant_id = $1 and s.id = $2
               and not exists (select from bookings b where b.tenant_id = $1 and b.service_id = $2)
            returning true",
            &[&tx.tenant(), &id],
        )
        .await?;
    Ok(row.is_some())
}

/// How many can be booked.
pub async fn count_active(tx: &ScopedTx) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- services.count_active
            select count(*) from services where tenant_id = $1 and active",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.get(0))
}

/// Lets one transaction of the tenant at a time count its services, until it ends.
pub async fn lock_count(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- services.lock_count
        select pg_advisory_xact_lock(hashtextextended('services of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}

/// Whether bookings that are not over hold seats past this capacity.
pub async fn has_bookings_beyond(tx: &ScopedTx, id: ServiceId, capacity: i32, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- services.has_bookings_beyond
            select true from bookings
             where tenant_id = $1 and service_id = $2 and seat >= $3::integer and ends_at > $4
               and status in ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW')
             limit 1",
            &[&tx.tenant(), &id, &capacity, &now],
        )
        .await?;
    Ok(row.is_some())
}
