//! Every statement on services. `by_ids` feeds a loader; `list` is paged.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Draft, Link, Service, ServiceKey, service_columns};
use crate::{
    base::{
        ids::{ResourceId, ServiceId},
        paging::Page,
    },
    db::{DbError, ScopedTx},
};

macro_rules! list_sql {
    ($direction:literal) => {
        concat!(
            "-- services.list
            select ",
            service_columns!(),
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

/// Lists one row more than the page, in the order of the scan.
pub(super) async fn list(
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

/// The services with these ids in the tenant, active or not.
pub async fn by_ids(tx: &ScopedTx, ids: &[ServiceId]) -> Result<HashMap<ServiceId, Service>, DbError> {
    // One alone is looked up without a list, whose length a planner would want to know each time.
    let rows = match ids {
        [id] => {
            tx.query(
                concat!(
                    "-- services.by_id
                    select ",
                    service_columns!(),
                    " from services where tenant_id = $1 and id = $2"
                ),
                &[&tx.tenant(), id],
            )
            .await?
        }
        ids => {
            tx.query(
                concat!(
                    "-- services.by_ids
                    select ",
                    service_columns!(),
                    " from services where tenant_id = $1 and id = any ($2)"
                ),
                &[&tx.tenant(), &ids],
            )
            .await?
        }
    };
    rows.iter().map(|row| Service::read(row).map(|service| (service.id, service))).collect()
}

/// A service, locked until the transaction ends against concurrent changes and bookings.
pub(super) async fn lock(tx: &ScopedTx, id: ServiceId) -> Result<Option<Service>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- services.lock
            select ",
                service_columns!(),
                "
              from services where tenant_id = $1 and id = $2 for update"
            ),
            &[&tx.tenant(), &id],
        )
        .await?;
    row.as_ref().map(Service::read).transpose()
}

/// Adds a service; `None` when another service has the name.
pub(super) async fn insert(
    tx: &ScopedTx,
    id: ServiceId,
    draft: &Draft,
    now: Timestamp,
) -> Result<Option<Service>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- services.insert
            insert into services
              (tenant_id, id, name, description, duration_minutes, price_minor, currency, capacity,
               requires_confirmation, created_at, updated_at, buffer_before_minutes, buffer_after_minutes,
               min_notice_minutes, max_ahead_days, cancel_notice_minutes, reschedule_notice_minutes,
               slot_step_minutes)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12, $13, $14, $15, $16, $17)
            on conflict (tenant_id, name) do nothing
            returning ",
                service_columns!(),
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
                &draft.rules.buffer_before_minutes,
                &draft.rules.buffer_after_minutes,
                &draft.rules.min_notice_minutes,
                &draft.rules.max_ahead_days,
                &draft.rules.cancel_notice_minutes,
                &draft.rules.reschedule_notice_minutes,
                &draft.rules.slot_step_minutes,
            ],
        )
        .await?;
    row.as_ref().map(Service::read).transpose()
}

/// Changes a service; `None` when there is no such service. A taken name violates `services_tenant_id_name_key`.
pub(super) async fn update(
    tx: &ScopedTx,
    id: ServiceId,
    draft: &Draft,
    now: Timestamp,
) -> Result<Option<Service>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- services.update
            update services
               set name = $3, description = $4, duration_minutes = $5, price_minor = $6, currency = $7, capacity = $8,
                   requires_confirmation = $9, active = $10, updated_at = $11, buffer_before_minutes = $12,
                   buffer_after_minutes = $13, min_notice_minutes = $14, max_ahead_days = $15,
                   cancel_notice_minutes = $16, reschedule_notice_minutes = $17, slot_step_minutes = $18
             where tenant_id = $1 and id = $2
            returning ",
                service_columns!(),
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
                &draft.rules.buffer_before_minutes,
                &draft.rules.buffer_after_minutes,
                &draft.rules.min_notice_minutes,
                &draft.rules.max_ahead_days,
                &draft.rules.cancel_notice_minutes,
                &draft.rules.reschedule_notice_minutes,
                &draft.rules.slot_step_minutes,
            ],
        )
        .await?;
    row.as_ref().map(Service::read).transpose()
}

/// Deletes a service unless bookings refer to it; returns whether it did.
pub(super) async fn delete_unbooked(tx: &ScopedTx, id: ServiceId) -> Result<bool, DbError> {
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

/// How many services are active.
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

/// Serialises the counting of the tenant's services until the transaction ends.
pub(super) async fn lock_count(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- services.lock_count
        select pg_advisory_xact_lock(hashtextextended('services of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}

/// Whether current or upcoming bookings use seats beyond this capacity.
pub(super) async fn has_bookings_beyond(
    tx: &ScopedTx,
    id: ServiceId,
    capacity: i32,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- services.has_bookings_beyond
            select true where exists (
                select from booking_claims c join bookings b on b.tenant_id = c.tenant_id and b.id = c.booking_id
                 where c.tenant_id = $1 and c.service_id = $2 and c.lane >= $3::integer and c.blocked_to > $4 and c.active
                   and (b.held_until is null or b.held_until > $4))
              or exists (
                select from occurrences o
                 where o.tenant_id = $1 and o.service_id = $2 and o.ends_at > $4 and o.active
                   and $3::integer < (
                     select count(*) from bookings b
                      where b.tenant_id = $1 and b.occurrence_id = o.id and b.holds_seat
                        and (b.held_until is null or b.held_until > $4)))",
            &[&tx.tenant(), &id, &capacity, &now],
        )
        .await?;
    Ok(row.is_some())
}

/// The resources that can serve each of these services, higher priority first.
pub async fn links(tx: &ScopedTx, ids: &[ServiceId]) -> Result<HashMap<ServiceId, Vec<Link>>, DbError> {
    let rows = tx
        .query(
            "-- services.links
            select l.service_id, l.resource_id, r.kind, l.priority, r.active
              from service_resources l join resources r on r.tenant_id = l.tenant_id and r.id = l.resource_id
             where l.tenant_id = $1 and l.service_id = any ($2)
             order by l.service_id, l.priority desc, r.name",
            &[&tx.tenant(), &ids],
        )
        .await?;
    let mut links: HashMap<ServiceId, Vec<Link>> = HashMap::new();
    for row in &rows {
        let kind = row.get::<_, &str>(2).parse()?;
        let link = Link { resource: row.get(1), kind, priority: row.get(3), active: row.get(4) };
        links.entry(row.get(0)).or_default().push(link);
    }
    Ok(links)
}

/// Removes all resources from a service.
pub(super) async fn delete_links(tx: &ScopedTx, id: ServiceId) -> Result<(), DbError> {
    tx.execute(
        "-- services.delete_links
        delete from service_resources where tenant_id = $1 and service_id = $2",
        &[&tx.tenant(), &id],
    )
    .await
}

/// Adds resources to a service; of duplicates the first counts.
pub(super) async fn insert_links(tx: &ScopedTx, id: ServiceId, links: &[(ResourceId, i16)]) -> Result<(), DbError> {
    let (resources, priorities): (Vec<ResourceId>, Vec<i16>) = links.iter().copied().unzip();
    tx.execute(
        "-- services.insert_links
        insert into service_resources (tenant_id, service_id, resource_id, priority)
        select $1, $2, l.id, l.priority from unnest($3::uuid[], $4::smallint[]) as l (id, priority)
        on conflict do nothing",
        &[&tx.tenant(), &id, &resources, &priorities],
    )
    .await
}

/// Whether the service has current or upcoming bookings.
pub(super) async fn has_claims(tx: &ScopedTx, id: ServiceId, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- services.has_claims
            select true from bookings b
             where b.tenant_id = $1 and b.service_id = $2 and b.ends_at > $3 and b.status in ('HELD', 'PENDING', 'CONFIRMED')
               and (b.held_until is null or b.held_until > $3)
             limit 1",
            &[&tx.tenant(), &id, &now],
        )
        .await?;
    Ok(row.is_some())
}
