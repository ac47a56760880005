//! Every statement on tenants that the platform runs. All of them run in the directory.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Event, EventKey, Listed, Statistics, TenantFilter, TenantKey, TenantOrder};
use crate::{
    base::{
        ids::{PlanId, TenantId},
        paging::{Page, TimeBounds},
    },
    db::{DbError, Row, ScopedTx},
    features::tenants::{Isolation, Tenant},
};

macro_rules! columns {
    () => {
        "t.id, t.slug, t.name, t.state, t.isolation, t.plan_id, t.suspended_reason, t.erase_after, t.created_at"
    };
}

fn read(row: &Row) -> Result<Listed, DbError> {
    Ok(Listed {
        id: row.get(0),
        slug: row.get(1),
        name: row.get(2),
        status: row.get::<_, &str>(3).parse()?,
        isolation: row.get::<_, &str>(4).parse::<Isolation>()?,
        plan: row.get(5),
        suspended_reason: row.get(6),
        erase_after: row.get(7),
        created_at: row.get(8),
    })
}

/// One statement for each order: the column, its type, and the direction of the scan.
macro_rules! list_sql {
    ($column:literal, $type:literal, $past:literal, $short_of:literal, $direction:literal) => {
        concat!(
            "-- platform.tenants
            select ",
            columns!(),
            " from tenants t left join plans p on p.id = t.plan_id
             where ($1::text[] is null or t.state = any ($1))
               and ($2::text is null or p.key = $2)
               and ($3::text is null or position(lower($3) in lower(t.name)) > 0 or position(lower($3) in t.slug) > 0)
               and ($4::text is null or (",
            $column,
            ", t.id) ",
            $past,
            " ($4::text::",
            $type,
            ", $5::uuid))
               and ($6::text is null or (",
            $column,
            ", t.id) ",
            $short_of,
            " ($6::text::",
            $type,
            ", $7::uuid))
             order by ",
            $column,
            " ",
            $direction,
            ", t.id ",
            $direction,
            " limit $8"
        )
    };
}

/// Lists one row more than the page, in the order of the scan.
pub(super) async fn tenants(
    directory: &ScopedTx,
    filter: &TenantFilter,
    order: TenantOrder,
    page: &Page<TenantKey>,
) -> Result<Vec<Listed>, DbError> {
    use TenantOrder::{CreatedAtAsc, CreatedAtDesc, NameAsc, NameDesc};
    // From the back, a list is scanned in reverse; the meaning of `after` and `before` stays.
    let sql = match (order, page.from_the_back) {
        (CreatedAtAsc, false) => list_sql!("t.created_at", "timestamptz", ">", "<", "asc"),
        (CreatedAtAsc, true) => list_sql!("t.created_at", "timestamptz", ">", "<", "desc"),
        (CreatedAtDesc, false) => list_sql!("t.created_at", "timestamptz", "<", ">", "desc"),
        (CreatedAtDesc, true) => list_sql!("t.created_at", "timestamptz", "<", ">", "asc"),
        (NameAsc, false) => list_sql!("t.name", "text", ">", "<", "asc"),
        (NameAsc, true) => list_sql!("t.name", "text", ">", "<", "desc"),
        (NameDesc, false) => list_sql!("t.name", "text", "<", ">", "desc"),
        (NameDesc, true) => list_sql!("t.name", "text", "<", ">", "asc"),
    };
    let statuses: Option<Vec<&str>> = filter.statuses.as_ref().map(|it| it.iter().map(|it| it.as_str()).collect());
    let ((after, after_id), (before, before_id)) = (page.after.clone().unzip(), page.before.clone().unzip());
    let rows = directory
        .query(sql, &[&statuses, &filter.plan, &filter.search, &after, &after_id, &before, &before_id, &page.fetch()])
        .await?;
    rows.iter().map(read).collect()
}

/// One tenant.
pub(super) async fn tenant(directory: &ScopedTx, id: TenantId) -> Result<Option<Listed>, DbError> {
    let row = directory
        .query_opt(
            concat!(
                "-- platform.tenant
                select ",
                columns!(),
                " from tenants t where t.id = $1"
            ),
            &[&id],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The id of the tenant with this slug.
pub(super) async fn id_of_slug(directory: &ScopedTx, slug: &str) -> Result<Option<TenantId>, DbError> {
    let row = directory
        .query_opt(
            "-- platform.id_of_slug
            select id from tenants where slug = $1",
            &[&slug],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Statistics about the tenants.
pub(super) async fn statistics(directory: &ScopedTx, since: Timestamp) -> Result<Statistics, DbError> {
    let by_status = directory
        .query(
            "-- platform.tenants_by_status
            select state, count(*), count(*) filter (where created_at >= $1 and state <> 'DELETED')
              from tenants group by state order by state",
            &[&since],
        )
        .await?;
    let by_plan = directory
        .query(
            "-- platform.tenants_by_plan
            select p.key, count(t.id) from plans p
              left join tenants t on t.plan_id = p.id and t.state <> 'DELETED'
             group by p.key, p.position order by p.position",
            &[],
        )
        .await?;
    Ok(Statistics {
        new_in_thirty_days: by_status.iter().map(|row| row.get::<_, i64>(2)).sum(),
        by_status: by_status
            .iter()
            .map(|row| Ok((row.get::<_, &str>(0).parse()?, row.get(1))))
            .collect::<Result<_, DbError>>()?,
        by_plan: by_plan.iter().map(|row| (row.get(0), row.get(1))).collect(),
    })
}

macro_rules! events_sql {
    ($direction:literal) => {
        concat!(
            "-- platform.events
            select id, at, administrator_id, action, tenant_id, details, address
              from platform_events
             where (at, id) > ($1, $2)
               and (at, id) < ($3, $4)
             order by at ",
            $direction,
            ", id ",
            $direction,
            " limit $5"
        )
    };
}

/// Lists one row more than the page, in the order of the scan. The list is newest first, so following rows are smaller.
pub(super) async fn events(directory: &ScopedTx, page: &Page<EventKey>) -> Result<Vec<Event>, DbError> {
    let sql = if page.from_the_back { events_sql!("asc") } else { events_sql!("desc") };
    let TimeBounds { lower, upper } = page.bounds_newest_first();
    let rows = directory.query(sql, &[&lower.0, &lower.1, &upper.0, &upper.1, &page.fetch()]).await?;
    let read = |row: &Row| Event {
        id: row.get(0),
        at: row.get(1),
        administrator: row.get(2),
        action: row.get(3),
        tenant: row.get(4),
        details: row.get(5),
        address: row.get(6),
    };
    Ok(rows.iter().map(read).collect())
}

/// The keys of these plans, for display.
pub async fn plan_keys(directory: &ScopedTx) -> Result<HashMap<PlanId, String>, DbError> {
    let rows = directory
        .query(
            "-- platform.plan_keys
            select id, key from plans",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Copies the tenant's own state, unless a newer one was copied.
pub(super) async fn copy(directory: &ScopedTx, tenant: &Tenant) -> Result<(), DbError> {
    directory
        .execute(
            "-- platform.copy
            update tenants set name = $2, state = $3, plan_id = $4, suspended_reason = $5, erase_after = $6, changed_at = $7,
                   plan_version_id = $8
             where id = $1 and state <> 'CREATING' and (changed_at is null or changed_at <= $7)",
            &[
                &directory.tenant(),
                &tenant.name,
                &tenant.status.as_str(),
                &tenant.plan,
                &tenant.suspended_reason,
                &tenant.erase_after,
                &tenant.updated_at,
                &tenant.plan_version,
            ],
        )
        .await
}

/// Records that a copy of the scope's tenant will be needed; `false` when there is no such tenant.
pub(super) async fn want_copy(directory: &ScopedTx, now: Timestamp) -> Result<bool, DbError> {
    let row = directory
        .query_opt(
            "-- platform.want_copy
            update tenants set sync_wanted_at = $2 where id = $1 and state <> 'CREATING' returning true",
            &[&directory.tenant(), &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Clears requests for a copy up to this instant.
pub(super) async fn copied(directory: &ScopedTx, wanted_before: Timestamp) -> Result<(), DbError> {
    directory
        .execute(
            "-- platform.copied
            update tenants set sync_wanted_at = null where id = $1 and sync_wanted_at <= $2",
            &[&directory.tenant(), &wanted_before],
        )
        .await
}

/// Tenants whose copy was requested before this instant.
pub(super) async fn wanted(directory: &ScopedTx, before: Timestamp) -> Result<Vec<TenantId>, DbError> {
    let rows = directory
        .query(
            "-- platform.wanted
            select id from tenants where sync_wanted_at <= $1 order by sync_wanted_at limit 100",
            &[&before],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Tenants that may have background work.
pub(super) async fn served(directory: &ScopedTx) -> Result<Vec<TenantId>, DbError> {
    let rows = directory
        .query(
            "-- platform.served
            select id from tenants where state not in ('CREATING', 'DELETED') order by id",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Deleted tenants whose restore period is over.
pub(super) async fn expired(directory: &ScopedTx) -> Result<Vec<TenantId>, DbError> {
    let rows = directory
        .query(
            "-- platform.expired
            select id from tenants where state = 'DELETED' and erase_after < now() order by id limit 100",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Removes the scope's tenant after its data was erased from its store.
pub(super) async fn delete(directory: &ScopedTx) -> Result<(), DbError> {
    directory
        .execute(
            "-- platform.delete_logins
            delete from logins where tenant_id = $1",
            &[&directory.tenant()],
        )
        .await?;
    directory
        .execute(
            "-- platform.delete
            delete from tenants where id = $1 and state = 'DELETED' and erase_after < now()",
            &[&directory.tenant()],
        )
        .await
}
