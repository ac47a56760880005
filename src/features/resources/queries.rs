//! Every statement on resources. `by_ids` feeds a loader; `list` is paged.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Draft, Resource, ResourceKey, ResourceKind};
use crate::{
    base::{ids::ResourceId, paging::Page},
    db::{DbError, ScopedTx},
};

macro_rules! list_sql {
    ($direction:literal) => {
        concat!(
            "-- resources.list
            select id, kind, name, user_id, active
              from resources
             where tenant_id = $1
               and ($2::text is null or kind = $2)
               and ($3::boolean is null or active = $3)
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
    kind: Option<ResourceKind>,
    active: Option<bool>,
    page: &Page<ResourceKey>,
) -> Result<Vec<Resource>, DbError> {
    let sql = if page.from_the_back { list_sql!("desc") } else { list_sql!("asc") };
    let (after_name, after_id) = page.after.clone().unzip();
    let (before_name, before_id) = page.before.clone().unzip();
    let kind = kind.map(ResourceKind::as_str);
    let rows = tx
        .query(sql, &[&tx.tenant(), &kind, &active, &after_name, &after_id, &before_name, &before_id, &page.fetch()])
        .await?;
    rows.iter().map(Resource::read).collect()
}

/// The resources with these ids in the tenant, active or not.
pub async fn by_ids(tx: &ScopedTx, ids: &[ResourceId]) -> Result<HashMap<ResourceId, Resource>, DbError> {
    let rows = tx
        .query(
            "-- resources.by_ids
            select id, kind, name, user_id, active from resources where tenant_id = $1 and id = any ($2)",
            &[&tx.tenant(), &ids],
        )
        .await?;
    rows.iter().map(|row| Resource::read(row).map(|it| (it.id, it))).collect()
}

/// A resource, locked until the transaction ends against concurrent changes and bookings.
pub(super) async fn lock(tx: &ScopedTx, id: ResourceId) -> Result<Option<Resource>, DbError> {
    let row = tx
        .query_opt(
            "-- resources.lock
            select id, kind, name, user_id, active from resources where tenant_id = $1 and id = $2 for update",
            &[&tx.tenant(), &id],
        )
        .await?;
    row.as_ref().map(Resource::read).transpose()
}

/// Adds a resource; `None` when another resource has the name.
pub(super) async fn insert(
    tx: &ScopedTx,
    id: ResourceId,
    draft: &Draft,
    now: Timestamp,
) -> Result<Option<Resource>, DbError> {
    let row = tx
        .query_opt(
            "-- resources.insert
            insert into resources (tenant_id, id, kind, name, user_id, active, created_at, updated_at)
            values ($1, $2, $3, $4, $5, $6, $7, $7)
            on conflict (tenant_id, name) do nothing
            returning id, kind, name, user_id, active",
            &[&tx.tenant(), &id, &draft.kind.as_str(), &draft.name, &draft.user, &draft.active, &now],
        )
        .await?;
    row.as_ref().map(Resource::read).transpose()
}

/// Changes a resource; `None` when there is no such resource. A taken name violates `resources_tenant_id_name_key`.
pub(super) async fn update(
    tx: &ScopedTx,
    id: ResourceId,
    draft: &Draft,
    now: Timestamp,
) -> Result<Option<Resource>, DbError> {
    let row = tx
        .query_opt(
            "-- resources.update
            update resources set name = $3, user_id = $4, active = $5, updated_at = $6
             where tenant_id = $1 and id = $2
            returning id, kind, name, user_id, active",
            &[&tx.tenant(), &id, &draft.name, &draft.user, &draft.active, &now],
        )
        .await?;
    row.as_ref().map(Resource::read).transpose()
}

/// Deletes a resource unless bookings use or used it, or a service lists it; returns whether it did.
pub(super) async fn delete_unclaimed(tx: &ScopedTx, id: ResourceId) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- resources.delete_unclaimed
            delete from resources r
             where r.tenant_id = $1 and r.id = $2
               and not exists (select from booking_claims c where c.tenant_id = $1 and c.resource_id = $2)
               and not exists (select from service_resources l where l.tenant_id = $1 and l.resource_id = $2)
            returning true",
            &[&tx.tenant(), &id],
        )
        .await?;
    Ok(row.is_some())
}

/// How many resources are active.
pub async fn count_active(tx: &ScopedTx) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- resources.count_active
            select count(*) from resources where tenant_id = $1 and active",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.get(0))
}

/// Serialises the counting of the tenant's resources until the transaction ends.
pub(super) async fn lock_count(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- resources.lock_count
        select pg_advisory_xact_lock(hashtextextended('resources of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}
