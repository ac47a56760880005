//! Every statement on calendar feeds.

use jiff::Timestamp;

use crate::{
    base::ids::UserId,
    db::{DbError, ScopedTx},
};

/// Serialises changes to a user's feed.
pub(super) async fn lock_feed(tx: &ScopedTx, user: UserId) -> Result<(), DbError> {
    tx.execute(
        "-- calendars.lock_feed
        select pg_advisory_xact_lock(hashtextextended('feed of ' || $1::uuid::text || $2::uuid::text, 0))",
        &[&tx.tenant(), &user],
    )
    .await
}

/// Adds a feed.
pub(super) async fn insert_feed(tx: &ScopedTx, user: UserId, token_hash: &[u8], now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- calendars.insert_feed
        insert into calendar_feeds (tenant_id, user_id, token_hash, created_at) values ($1, $2, $3, $4)",
        &[&tx.tenant(), &user, &token_hash, &now],
    )
    .await
}

/// Removes a user's feed; returns whether there was one.
pub(super) async fn delete_feed(tx: &ScopedTx, user: UserId) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- calendars.delete_feed
            delete from calendar_feeds where tenant_id = $1 and user_id = $2 returning true",
            &[&tx.tenant(), &user],
        )
        .await?;
    Ok(row.is_some())
}

/// When a user's feed was created; `None` without one, and for callers other than that user.
pub async fn feed_of(tx: &ScopedTx, user: UserId) -> Result<Option<Timestamp>, DbError> {
    let row = tx
        .query_opt(
            "-- calendars.feed_of
            select created_at from calendar_feeds where tenant_id = $1 and user_id = $2",
            &[&tx.tenant(), &user],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Continues with the rights of a feed's user; `None` when there is no feed with this token.
pub(super) async fn enter_feed(tx: &ScopedTx, token_hash: &[u8]) -> Result<Option<UserId>, DbError> {
    let row = tx
        .query_one(
            "-- calendars.enter_feed (tenant_id = $1)
            select enter_feed($1, $2)",
            &[&tx.tenant(), &token_hash],
        )
        .await?;
    Ok(row.get(0))
}
