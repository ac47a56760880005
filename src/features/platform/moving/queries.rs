//! Every statement on moves of tenants and on their stores. All of them run in the directory.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    base::{
        ids::{AdministratorId, MoveId, TenantId},
        paging::{Page, TimeBounds},
    },
    db::{DbError, Placement, Row, ScopedTx},
    features::platform::{Leftover, Move, MoveKey, MoveState},
};

macro_rules! columns {
    () => {
        "id, tenant_id, from_isolation, from_url, to_isolation, to_url, state, abort_wanted, rows_total, rows_copied, \
         attempts, last_error, requested_by, created_at, fenced_at, flipped_at, ended_at"
    };
}

fn read(row: &Row) -> Result<Move, DbError> {
    Ok(Move {
        id: row.get(0),
        tenant: row.get(1),
        from: Placement::read(row.get(2), row.get(3))?,
        to: Placement::read(row.get(4), row.get(5))?,
        state: row.get::<_, &str>(6).parse()?,
        abort_wanted: row.get(7),
        rows_total: row.get(8),
        rows_copied: row.get(9),
        attempts: row.get(10),
        last_error: row.get(11),
        requested_by: row.get(12),
        created_at: row.get(13),
        fenced_at: row.get(14),
        flipped_at: row.get(15),
        ended_at: row.get(16),
    })
}

/// The placement of the scope's tenant.
pub async fn placement(directory: &ScopedTx) -> Result<Option<Placement>, DbError> {
    let row = directory
        .query_opt(
            "-- moving.placement
            select isolation, url from tenants where id = $1",
            &[&directory.tenant()],
        )
        .await?;
    row.map(|row| Placement::read(row.get(0), row.get(1))).transpose()
}

/// Adds a move; `None` when the tenant is already being moved.
pub(super) async fn insert(
    directory: &ScopedTx,
    id: MoveId,
    tenant: TenantId,
    from: &Placement,
    to: &Placement,
    by: Option<AdministratorId>,
    now: Timestamp,
) -> Result<Option<Move>, DbError> {
    let row = directory
        .query_opt(
            concat!(
                "-- moving.insert
                insert into tenant_moves (id, tenant_id, from_isolation, from_url, to_isolation, to_url, requested_by, created_at)
                values ($1, $2, $3, $4, $5, $6, $7, $8)
                on conflict do nothing
                returning ",
                columns!()
            ),
            &[
                &id,
                &tenant,
                &from.isolation().as_str(),
                &from.url(),
                &to.isolation().as_str(),
                &to.url(),
                &by,
                &now,
            ],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// One move.
pub async fn find(directory: &ScopedTx, id: MoveId) -> Result<Option<Move>, DbError> {
    let row = directory
        .query_opt(
            concat!(
                "-- moving.find
                select ",
                columns!(),
                " from tenant_moves where id = $1"
            ),
            &[&id],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Lists one row more than the page, in the order of the scan: newest first.
pub(super) async fn list(
    directory: &ScopedTx,
    tenant: Option<TenantId>,
    page: &Page<MoveKey>,
) -> Result<Vec<Move>, DbError> {
    macro_rules! list_sql {
        ($direction:literal) => {
            concat!(
                "-- moving.list
                select ",
                columns!(),
                " from tenant_moves
                 where ($1::uuid is null or tenant_id = $1)
                   and (created_at, id) > ($2, $3)
                   and (created_at, id) < ($4, $5)
                 order by created_at ",
                $direction,
                ", id ",
                $direction,
                " limit $6"
            )
        };
    }
    let sql = if page.from_the_back { list_sql!("asc") } else { list_sql!("desc") };
    let TimeBounds { lower, upper } = page.bounds_newest_first();
    let rows = directory.query(sql, &[&tenant, &lower.0, &lower.1, &upper.0, &upper.1, &page.fetch()]).await?;
    rows.iter().map(read).collect()
}

/// Requests the abortion of a move; `None` when it can no longer be aborted.
pub(super) async fn want_abort(directory: &ScopedTx, id: MoveId) -> Result<Option<Move>, DbError> {
    let row = directory
        .query_opt(
            concat!(
                "-- moving.want_abort
                update tenant_moves set abort_wanted = true
                 where id = $1 and state in ('WAITING', 'PREPARING', 'COPYING')
                returning ",
                columns!()
            ),
            &[&id],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Moves that have not ended, oldest first.
pub async fn open(directory: &ScopedTx) -> Result<Vec<Move>, DbError> {
    let rows = directory
        .query(
            concat!(
                "-- moving.open
                select ",
                columns!(),
                " from tenant_moves where ended_at is null order by created_at, id limit 100"
            ),
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Advances a move that has not ended. `FLIPPING` is refused with `false` when its abortion was requested.
pub async fn step(directory: &ScopedTx, id: MoveId, state: MoveState, now: Timestamp) -> Result<bool, DbError> {
    let row = directory
        .query_opt(
            "-- moving.step
            update tenant_moves
               set state = $2,
                   attempts = attempts + case when $2 = 'PREPARING' then 1 else 0 end,
                   rows_copied = case when $2 = 'PREPARING' then 0 else rows_copied end,
                   fenced_at = case when $2 = 'COPYING' then $3 else fenced_at end,
                   flipped_at = case when $2 = 'DONE' then $3 else flipped_at end,
                   ended_at = case when $2 in ('DONE', 'ABORTED', 'FAILED') then $3 end
             where id = $1 and ended_at is null and (state <> 'FLIPPING' or $2 in ('FLIPPING', 'DONE'))
               and ($2 <> 'FLIPPING' or not abort_wanted)
            returning true",
            &[&id, &state.as_str(), &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Records the progress of the copy; returns whether its abortion was requested.
pub async fn note_progress(
    directory: &ScopedTx,
    id: MoveId,
    rows_total: i64,
    rows_copied: i64,
) -> Result<bool, DbError> {
    let row = directory
        .query_opt(
            "-- moving.note_progress
            update tenant_moves set rows_total = $2, rows_copied = $3 where id = $1 and ended_at is null
            returning abort_wanted",
            &[&id, &rows_total, &rows_copied],
        )
        .await?;
    Ok(row.is_none_or(|row| row.get(0)))
}

/// Records the error of an attempt.
pub async fn note_error(directory: &ScopedTx, id: MoveId, error: &str) -> Result<(), DbError> {
    directory
        .execute(
            "-- moving.note_error
            update tenant_moves set last_error = left($2, 500) where id = $1 and ended_at is null",
            &[&id, &error],
        )
        .await
}

/// Records since when writes to the scope's tenant wait; `None` lets them continue.
pub async fn set_moving(directory: &ScopedTx, since: Option<Timestamp>) -> Result<(), DbError> {
    directory
        .execute(
            "-- moving.set_moving
            update tenants set moving_since = $2 where id = $1",
            &[&directory.tenant(), &since],
        )
        .await
}

/// Records the new placement of the scope's tenant.
pub async fn place(directory: &ScopedTx, to: &Placement, now: Timestamp) -> Result<(), DbError> {
    let ready_at = to.location().map(|_| now);
    directory
        .execute(
            "-- moving.place
            update tenants set isolation = $2, url = $3, store_ready_at = $4, epoch = epoch + 1, moving_since = null
             where id = $1",
            &[&directory.tenant(), &to.isolation().as_str(), &to.url(), &ready_at],
        )
        .await
}

/// Schedules a removal for this instant.
pub async fn leave(
    directory: &ScopedTx,
    id: Uuid,
    tenant: TenantId,
    placement: &Placement,
    remove_after: Timestamp,
) -> Result<(), DbError> {
    directory
        .execute(
            "-- moving.leave
            insert into store_leftovers (id, tenant_id, isolation, url, remove_after) values ($1, $2, $3, $4, $5)",
            &[&id, &tenant, &placement.isolation().as_str(), &placement.url(), &remove_after],
        )
        .await
}

/// What is due for removal.
pub async fn leftovers(directory: &ScopedTx, now: Timestamp) -> Result<Vec<Leftover>, DbError> {
    let rows = directory
        .query(
            "-- moving.leftovers
            select id, tenant_id, isolation, url from store_leftovers where remove_after <= $1 order by remove_after, id limit 100",
            &[&now],
        )
        .await?;
    let read = |row: &Row| {
        let placement = Placement::read(row.get(2), row.get(3))?;
        Ok(Leftover { id: row.get(0), tenant: row.get(1), placement })
    };
    rows.iter().map(read).collect()
}

/// Removes the record of a completed removal.
pub async fn forget_leftover(directory: &ScopedTx, id: Uuid) -> Result<(), DbError> {
    directory
        .execute(
            "-- moving.forget_leftover
            delete from store_leftovers where id = $1",
            &[&id],
        )
        .await
}

/// Records a failed removal.
pub async fn note_leftover_error(directory: &ScopedTx, id: Uuid, error: &str) -> Result<(), DbError> {
    directory
        .execute(
            "-- moving.note_leftover_error
            update store_leftovers set last_error = left($2, 500) where id = $1",
            &[&id, &error],
        )
        .await
}

/// Whether a tenant is at this placement or moving to it.
pub async fn is_used(directory: &ScopedTx, tenant: TenantId, placement: &Placement) -> Result<bool, DbError> {
    let row = directory
        .query_one(
            "-- moving.is_used
            select exists (select from tenants where case when $3::text is null then id = $1 and url is null else url = $3 end)
                or exists (select from tenant_moves where ended_at is null and tenant_id = $1 and to_isolation = $2 and to_url is not distinct from $3)",
            &[&tenant, &placement.isolation().as_str(), &placement.url()],
        )
        .await?;
    Ok(row.get(0))
}

/// New tenants whose dedicated store does not exist yet.
pub async fn without_store(directory: &ScopedTx) -> Result<Vec<(TenantId, Placement)>, DbError> {
    let rows = directory
        .query(
            "-- moving.without_store
            select id, isolation, url from tenants
             where state = 'CREATING' and isolation <> 'SHARED' and store_ready_at is null order by id limit 100",
            &[],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get(0), Placement::read(row.get(1), row.get(2))?))).collect()
}

/// Records that the store of the scope's tenant is ready; `false` when the tenant no longer needs one at this
/// placement.
pub async fn store_is_ready(directory: &ScopedTx, placement: &Placement, now: Timestamp) -> Result<bool, DbError> {
    let row = directory
        .query_opt(
            "-- moving.store_is_ready
            update tenants set store_ready_at = coalesce(store_ready_at, $3) where id = $1 and url = $2 returning true",
            &[&directory.tenant(), &placement.url(), &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Every tenant with a dedicated store, by slug.
pub async fn own_stores(directory: &ScopedTx) -> Result<Vec<(TenantId, String, Placement)>, DbError> {
    let rows = directory
        .query(
            "-- moving.own_stores
            select id, slug, isolation, url from tenants where isolation <> 'SHARED' and store_ready_at is not null order by slug",
            &[],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get(0), row.get(1), Placement::read(row.get(2), row.get(3))?))).collect()
}
