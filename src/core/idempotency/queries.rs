//! Every statement on idempotency keys.

use jiff::Timestamp;

use super::Named;
use crate::{
    base::ids::UserId,
    db::{DbError, ScopedTx},
};

/// Claims a key, waiting for its holder. `false` when it was used before.
pub(super) async fn insert(tx: &ScopedTx, user: UserId, named: &Named, expires_at: Timestamp) -> Result<bool, DbError> {
    let (key, fingerprint) = named.parts();
    let row = tx
        .query_opt(
            "-- idempotency.insert
            insert into idempotency_keys (tenant_id, user_id, key, fingerprint, expires_at) values ($1, $2, $3, $4, $5)
            on conflict do nothing
            returning true",
            &[&tx.tenant(), &user, &key, &fingerprint, &expires_at],
        )
        .await?;
    Ok(row.is_some())
}

/// What a key was used for: the request's fingerprint, and its answer. `None` for an unused key.
pub(super) async fn find(tx: &ScopedTx, user: UserId, key: &str) -> Result<Option<(Vec<u8>, Option<String>)>, DbError> {
    let row = tx
        .query_opt(
            "-- idempotency.find
            select fingerprint, answer from idempotency_keys where tenant_id = $1 and user_id = $2 and key = $3",
            &[&tx.tenant(), &user, &key],
        )
        .await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

/// Stores the answer.
pub(super) async fn set_answer(tx: &ScopedTx, user: UserId, key: &str, answer: &str) -> Result<(), DbError> {
    tx.execute(
        "-- idempotency.set_answer
        update idempotency_keys set answer = $4 where tenant_id = $1 and user_id = $2 and key = $3",
        &[&tx.tenant(), &user, &key, &answer],
    )
    .await
}

/// Frees a key.
pub(super) async fn delete(tx: &ScopedTx, user: UserId, key: &str) -> Result<(), DbError> {
    tx.execute(
        "-- idempotency.delete
        delete from idempotency_keys where tenant_id = $1 and user_id = $2 and key = $3",
        &[&tx.tenant(), &user, &key],
    )
    .await
}

/// Frees the user's expired keys.
pub(super) async fn delete_expired(tx: &ScopedTx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- idempotency.delete_expired
        delete from idempotency_keys where tenant_id = $1 and user_id = $2 and expires_at <= $3",
        &[&tx.tenant(), &user, &now],
    )
    .await
}
