//! Every statement on one-time links.

use jiff::Timestamp;
use uuid::Uuid;

use super::Purpose;
use crate::db::{DbError, ScopedTx};

/// Serialises the mails about a subject.
pub(super) async fn lock_subject(tx: &ScopedTx, subject: Uuid) -> Result<(), DbError> {
    tx.execute(
        "-- links.lock_subject
        select pg_advisory_xact_lock(hashtextextended('links of ' || $1::uuid::text || $2::uuid::text, 0))",
        &[&tx.tenant(), &subject],
    )
    .await
}

/// Adds a link, unless it exists.
pub(super) async fn insert(
    tx: &ScopedTx,
    id: Uuid,
    purpose: Purpose,
    subject: Uuid,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- links.insert
        insert into one_time_links (tenant_id, id, purpose, subject_id, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
        &[&tx.tenant(), &id, &purpose.as_str(), &subject, &now, &expires_at],
    )
    .await
}

/// Whether a link is valid and no newer one has the same purpose and subject.
pub(super) async fn is_newest_and_good(
    tx: &ScopedTx,
    id: Uuid,
    purpose: Purpose,
    subject: Uuid,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- links.is_newest_and_good
            select true from one_time_links l
             where l.tenant_id = $1 and l.id = $2 and l.used_at is null and l.voided_at is null and l.expires_at > $5
               and not exists (select from one_time_links n
                                where n.tenant_id = $1 and n.purpose = $3 and n.subject_id = $4 and n.id > l.id)",
            &[&tx.tenant(), &id, &purpose.as_str(), &subject, &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Revokes links, except one.
pub(super) async fn void(
    tx: &ScopedTx,
    purpose: Purpose,
    subject: Uuid,
    kept: Option<Uuid>,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- links.void
        update one_time_links set voided_at = $5
         where tenant_id = $1 and purpose = $2 and subject_id = $3 and id is distinct from $4
           and used_at is null and voided_at is null",
        &[&tx.tenant(), &purpose.as_str(), &subject, &kept, &now],
    )
    .await
}

/// Stores a token's hash.
pub(super) async fn insert_token(tx: &ScopedTx, token_hash: &[u8], link: Uuid) -> Result<(), DbError> {
    tx.execute(
        "-- links.insert_token
        insert into one_time_link_tokens (tenant_id, token_hash, link_id) values ($1, $2, $3)",
        &[&tx.tenant(), &token_hash, &link],
    )
    .await
}

/// The subject of a valid token.
pub(super) async fn subject_of(
    tx: &ScopedTx,
    token_hash: &[u8],
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<Uuid>, DbError> {
    let row = tx
        .query_opt(
            "-- links.subject_of
            select l.subject_id
              from one_time_link_tokens k
              join one_time_links l on l.tenant_id = k.tenant_id and l.id = k.link_id
             where k.tenant_id = $1 and k.token_hash = $2 and l.purpose = $3
               and l.used_at is null and l.voided_at is null and l.expires_at > $4",
            &[&tx.tenant(), &token_hash, &purpose.as_str(), &now],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Uses a token with one conditional update: a second caller gets no row.
pub(super) async fn use_up(
    tx: &ScopedTx,
    token_hash: &[u8],
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<Uuid>, DbError> {
    let row = tx
        .query_opt(
            "-- links.use_up
            update one_time_links l set used_at = $4
              from one_time_link_tokens k
             where l.tenant_id = $1 and k.tenant_id = l.tenant_id and k.link_id = l.id and k.token_hash = $2
               and l.purpose = $3 and l.used_at is null and l.voided_at is null and l.expires_at > $4
            returning l.subject_id",
            &[&tx.tenant(), &token_hash, &purpose.as_str(), &now],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Removes the links of these subjects, and some that expired before this instant.
pub(super) async fn delete(tx: &ScopedTx, subjects: &[Uuid], expired_before: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- links.delete
        delete from one_time_links
         where tenant_id = $1 and (subject_id = any ($2) or id in (
           select id from one_time_links where tenant_id = $1 and expires_at < $3 limit 20))",
        &[&tx.tenant(), &subjects, &expired_before],
    )
    .await
}
