//! Every statement on entitlements. `directory` where a function says so; the others run in the tenant's store.

use jiff::Timestamp;
use serde_json::Value;

use super::{Override, Rollout};
use crate::{
    base::ids::TenantId,
    db::{DbError, ScopedTx},
};

/// The overrides of this tenant.
pub(super) async fn overrides(tx: &ScopedTx) -> Result<Vec<Override>, DbError> {
    let rows = tx
        .query(
            "-- entitlements.overrides
            select key, enabled, expires_at, number from feature_overrides where tenant_id = $1",
            &[&tx.tenant()],
        )
        .await?;
    let read = |row: &crate::db::Row| Override {
        key: row.get(0),
        enabled: row.get(1),
        expires_at: row.get(2),
        number: row.get(3),
    };
    Ok(rows.iter().map(read).collect())
}

/// Stores an override.
pub(super) async fn upsert_override(tx: &ScopedTx, setting: &Override, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- entitlements.upsert_override
        insert into feature_overrides (tenant_id, key, enabled, expires_at, updated_at, number) values ($1, $2, $3, $4, $5, $6)
        on conflict (tenant_id, key) do update set enabled = $3, expires_at = $4, updated_at = $5, number = $6",
        &[&tx.tenant(), &setting.key, &setting.enabled, &setting.expires_at, &now, &setting.number],
    )
    .await
}

/// Removes an override.
pub(super) async fn delete_override(tx: &ScopedTx, key: &str) -> Result<(), DbError> {
    tx.execute(
        "-- entitlements.delete_override
        delete from feature_overrides where tenant_id = $1 and key = $2",
        &[&tx.tenant(), &key],
    )
    .await
}

/// Stores the features that are rolled out to the tenant.
pub(super) async fn set_rollouts(tx: &ScopedTx, keys: &Value) -> Result<(), DbError> {
    tx.execute(
        "-- entitlements.set_rollouts
        update tenant_state set rollouts = $2 where tenant_id = $1 and rollouts <> $2",
        &[&tx.tenant(), &keys],
    )
    .await
}

/// Directory: the rollout of each feature, by key.
pub async fn rollouts(directory: &ScopedTx) -> Result<Vec<Rollout>, DbError> {
    let rows = directory
        .query(
            "-- entitlements.rollouts
            select key, percentage, epoch from feature_rollouts order by key",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| Rollout { key: row.get(0), percentage: row.get(1), epoch: row.get(2) }).collect())
}

/// Directory: stores a rollout. Concurrent changes wait, so that no two have the same epoch.
pub(super) async fn upsert_rollout(directory: &ScopedTx, key: &str, percentage: i32) -> Result<(), DbError> {
    directory
        .execute(
            "-- entitlements.lock_rollouts
            select pg_advisory_xact_lock(hashtextextended('rollouts of features', 0))",
            &[],
        )
        .await?;
    directory
        .execute(
            "-- entitlements.upsert_rollout
            insert into feature_rollouts as r (key, percentage, epoch)
            select $1, $2, coalesce(max(epoch), 0) + 1 from feature_rollouts
            on conflict (key) do update set percentage = excluded.percentage, epoch = excluded.epoch",
            &[&key, &percentage],
        )
        .await
}

/// Directory: tenants whose stores have not seen the last change of the rollouts.
pub async fn behind(directory: &ScopedTx, epoch: i64) -> Result<Vec<TenantId>, DbError> {
    let rows = directory
        .query(
            "-- entitlements.behind
            select id from tenants where rollout_epoch < $1 and state in ('ACTIVE', 'SUSPENDED') order by id limit 1000",
            &[&epoch],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Directory: records that the store of the scope's tenant has seen this change of the rollouts.
pub async fn note_seen(directory: &ScopedTx, epoch: i64) -> Result<(), DbError> {
    directory
        .execute(
            "-- entitlements.note_seen
            update tenants set rollout_epoch = $2 where id = $1 and rollout_epoch < $2",
            &[&directory.tenant(), &epoch],
        )
        .await
}
