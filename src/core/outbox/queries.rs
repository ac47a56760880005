//! Every statement of the outbox.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ClaimedEffect, DeadLetter, Effect, LEASE, Lane};
use crate::{
    base::ids::TenantId,
    db::{DbError, Row, ScopedTx},
};

/// Adds an effect, unless its id exists.
pub(super) async fn insert(
    tx: &ScopedTx,
    id: Uuid,
    effect: &Effect,
    now: Timestamp,
    available_at: Timestamp,
) -> Result<(), DbError> {
    let effect = serde_json::to_value(effect).map_err(|error| DbError::Corrupt(error.to_string()))?;
    let (kind, payload) = (effect["kind"].as_str(), effect.get("payload").cloned().unwrap_or_else(|| json!({})));
    tx.execute(
        "-- outbox.insert
        insert into outbox (tenant_id, id, kind, payload, created_at, available_at)
        values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
        &[&tx.tenant(), &id, &kind, &payload, &now, &available_at],
    )
    .await
}

macro_rules! take_sql {
    ($lane:literal) => {
        concat!(
            "-- outbox.take
            with due as materialized (
              select id, available_at from outbox
               where tenant_id = $1 and available_at <= $2 and dead_at is null and kind ",
            $lane,
            " order by available_at, id limit $4 for update skip locked)
            update outbox o set available_at = $3, attempts = attempts + 1
              from due where o.tenant_id = $1 and o.id = due.id
            returning o.id, o.kind, o.payload, o.created_at, o.attempts, due.available_at"
        )
    };
}

/// Takes up to `limit` due effects of a lane, oldest first. Concurrent callers get different ones. They are due again
/// after [`LEASE`], unless they are `done` or `failed` before.
///
/// # Errors
/// When the statement fails.
pub async fn take(tx: &ScopedTx, lane: Lane, limit: i64, now: Timestamp) -> Result<Vec<ClaimedEffect>, DbError> {
    // A statement for each lane, so that each has its index.
    let sql = match lane {
        Lane::Usual => take_sql!("<> 'webhooks.send'"),
        Lane::Webhooks => take_sql!("= 'webhooks.send'"),
    };
    let rows = tx.query(sql, &[&tx.tenant(), &now, &(now + LEASE), &limit]).await?;
    let mut taken: Vec<ClaimedEffect> = rows.iter().map(read_taken).collect();
    taken.sort_by_key(|it| it.id);
    Ok(taken)
}

fn read_taken(row: &Row) -> ClaimedEffect {
    let (kind, payload): (&str, Value) = (row.get(1), row.get(2));
    let bare = payload.as_object().is_some_and(serde_json::Map::is_empty);
    let tagged = if bare { json!({ "kind": kind }) } else { json!({ "kind": kind, "payload": payload }) };
    let effect = serde_json::from_value(tagged).ok();
    ClaimedEffect { id: row.get(0), effect, created_at: row.get(3), attempt: row.get(4), due_at: row.get(5) }
}

/// Removes an effect that is done.
pub(super) async fn delete(tx: &ScopedTx, id: Uuid) -> Result<(), DbError> {
    tx.execute(
        "-- outbox.delete
        delete from outbox where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id],
    )
    .await
}

/// Records why an effect failed, and when it is tried again or that it was given up.
pub(super) async fn note_failure(
    tx: &ScopedTx,
    id: Uuid,
    error: &str,
    again_at: Timestamp,
    dead_at: Option<Timestamp>,
) -> Result<(), DbError> {
    tx.execute(
        "-- outbox.note_failure
        update outbox set last_error = $3, available_at = $4, dead_at = $5 where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id, &error, &again_at, &dead_at],
    )
    .await
}

/// Which of these tenants have due effects.
///
/// # Errors
/// When the statement fails.
pub async fn with_due_effects(tx: &ScopedTx, tenants: &[TenantId], now: Timestamp) -> Result<Vec<TenantId>, DbError> {
    let rows = tx
        .query(
            "-- outbox.with_due_effects
            select * from tenants_with_due_effects($1, $2)",
            &[&tenants, &now],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The effects that were given up, oldest first.
///
/// # Errors
/// When the statement fails.
pub async fn dead_letters(tx: &ScopedTx) -> Result<Vec<DeadLetter>, DbError> {
    let rows = tx
        .query(
            "-- outbox.dead_letters
            select id, kind, created_at, dead_at, attempts, coalesce(last_error, '')
              from outbox where tenant_id = $1 and dead_at is not null order by id limit 1000",
            &[&tx.tenant()],
        )
        .await?;
    let read = |row: &Row| DeadLetter {
        id: row.get(0),
        kind: row.get(1),
        created_at: row.get(2),
        dead_at: row.get(3),
        attempts: row.get(4),
        last_error: row.get(5),
    };
    Ok(rows.iter().map(read).collect())
}

/// Schedules everything that was given up for another attempt.
pub(super) async fn revive(tx: &ScopedTx, now: Timestamp) -> Result<usize, DbError> {
    let rows = tx
        .query(
            "-- outbox.revive
            update outbox set dead_at = null, attempts = 0, available_at = $2
             where tenant_id = $1 and dead_at is not null
            returning id",
            &[&tx.tenant(), &now],
        )
        .await?;
    Ok(rows.len())
}
