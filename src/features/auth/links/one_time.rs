//! Links that work once.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{model::Purpose, queries};
use crate::{
    db::{DbError, ScopedTx},
    features::auth::opaque_tokens::LinkToken,
};

/// Makes a token for the mail with this id, and puts older links for the same subject out of force. `None` when the mail
/// is not worth sending any more: a newer one was asked for, or its link was used.
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

/// What a token is about, if it is good now. It stays good.
pub async fn subject_of(
    tx: &ScopedTx,
    token: &LinkToken,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<Uuid>, DbError> {
    queries::subject_of(tx, &token.hash(), purpose, now).await
}

/// Uses a token up, and returns what it is about. Of two at once exactly one gets it.
pub async fn use_up(
    tx: &ScopedTx,
    token: &LinkToken,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<Uuid>, DbError> {
    queries::use_up(tx, &token.hash(), purpose, now).await
}

/// Puts every link for this purpose and subject out of force.
pub async fn void(tx: &ScopedTx, purpose: Purpose, subject: Uuid, now: Timestamp) -> Result<(), DbError> {
    queries::void(tx, purpose, subject, None, now).await
}

/// Removes links of these subjects, and some that have long expired.
pub async fn remove(tx: &ScopedTx, subjects: &[Uuid], now: Timestamp) -> Result<(), DbError> {
    queries::delete(tx, subjects, now - SignedDuration::from_hours(7 * 24)).await
}
