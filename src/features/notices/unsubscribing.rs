//! Links in reminders that stop them without a sign-in. They do nothing else, and tell nothing of their user.

use jiff::{SignedDuration, Timestamp};

use super::queries;
use crate::{
    base::ids::{TenantId, UserId},
    core::{
        audit::{self, Changes},
        identity::Origin,
    },
    db::{DbError, ScopedTx},
    features::{auth::UnsubscribeToken, users},
};

/// How long a link is valid: a year.
const LIFE: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Creates the link of one mail to a user, and returns its token. For background work.
pub(super) async fn mint(tx: &ScopedTx, user: UserId, now: Timestamp) -> Result<String, DbError> {
    let token = UnsubscribeToken::generate(tx.tenant());
    queries::insert_link(tx, &token.hash(), user, now - LIFE, now).await?;
    Ok(token.expose())
}

/// The tenant in a link's token; `None` when the token is malformed.
pub fn tenant_of(token: &str) -> Option<TenantId> {
    UnsubscribeToken::parse(token).map(|it| it.tenant)
}

/// Stops the reminders to the user of a link; `false` when there is no such link. It runs in a transaction of the sign-in
/// path.
pub async fn stop_reminders(tx: &ScopedTx, token: &str, origin: &Origin, now: Timestamp) -> Result<bool, DbError> {
    let Some(token) = UnsubscribeToken::parse(token) else { return Ok(false) };
    let Some(user) = queries::user_of_link(tx, &token.hash(), now - LIFE).await? else { return Ok(false) };
    let before = users::mail_preferences(tx, user).await?;
    if before.reminders {
        users::stop_reminders(tx, user, now).await?;
        let event = audit::Event::of_sign_in(user, "users.update_mail_preferences", "user", Some(user.0));
        let event = event.with(Changes::default().field("reminders", true, false));
        audit::record_as(tx, event, now, origin).await?;
    }
    Ok(true)
}
