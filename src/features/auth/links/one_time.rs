//! Creates, checks and uses one-time links.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{model::Purpose, queries};
use crate::{
    db::{DbError, ScopedTx},
    features::auth::opaque_tokens::LinkToken,
};

/// Creates a token for the mail with this id, and revokes older links for the same subject. Returns `None` when the
/// mail is obsolete: a newer one was requested, or its link was used.
pub async fn mint(
    tx: &ScopedTx,
    mail: Uuid,
    purpose: Purpose,
    subject: Uuid,
    now: Timestamp,
) -> Result<Option<LinkToken>, DbError> {
    queries::lock_subject(tx, subject).await?;
    queries::insert(tx, mail, purpose, subject, now, now + purpose.life()).await?;
    if !queries::is_newest_and_good(tx, mail, purpose, subject, now).await? {
        return Ok(None);
    }
    queries::void(tx, purpose, subject, Some(mail), now).await?;
    let token = LinkToken::generate(tx.tenant());
    queries::insert_token(tx, &token.hash(), mail).await?;
    Ok(Some(token))
}

/// The subject of a token, if it is valid now. The token stays valid.
pub async fn subject_of(
    tx: &ScopedTx,
    token: &LinkToken,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<Uuid>, DbError> {
    queries::subject_of(tx, &token.hash(), purpose, now).await
}

/// Uses a token and returns its subject. Of two concurrent uses exactly one succeeds.
pub async fn use_up(
    tx: &ScopedTx,
    token: &LinkToken,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<Uuid>, DbError> {
    queries::use_up(tx, &token.hash(), purpose, now).await
}

/// Revokes every link for this purpose and subject.
pub async fn void(tx: &ScopedTx, purpose: Purpose, subject: Uuid, now: Timestamp) -> Result<(), DbError> {
    queries::void(tx, purpose, subject, None, now).await
}

/// Removes the links of these subjects, and some that expired over a week ago.
pub async fn remove(tx: &ScopedTx, subjects: &[Uuid], now: Timestamp) -> Result<(), DbError> {
    queries::delete(tx, subjects, now - SignedDuration::from_hours(7 * 24)).await
}
