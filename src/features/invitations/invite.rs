//! Creates, resends and revokes invitations.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    model::{Invitation, InvitationError, InvitationKey, InvitationStatus},
    queries,
};
use crate::{
    base::{
        ids::InvitationId,
        paging::{Page, Slice},
    },
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
        outbox::{self, Effect},
    },
    db::DbError,
    features::{
        auth::{joining::INVITATION_LIFE, normalise_email},
        usage::{self, Meter, Period},
        users,
    },
};

/// Maximum length of an email, in bytes (RFC 5321).
const MAX_EMAIL_BYTES: usize = 320;

/// Maximum number of invitation mails of one tenant in a calendar month: more than any tenant needs, as a limit on
/// abuse.
const MAX_MAILS: i64 = 1_000;

/// A page of the tenant's invitations, newest first. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn list(
    caller: &Caller<'_>,
    page: &Page<InvitationKey>,
) -> Result<Slice<InvitationKey, Invitation>, InvitationError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(InvitationError::Forbidden);
    }
    let found = queries::list(caller.tx, page).await?;
    Ok(page.slice(found.into_iter().map(|it| ((it.created_at, it.id.0), it)).collect()))
}

/// Invites a person by email. A pending invitation of the same email is replaced: its link stops working, and the new
/// role applies. Administrators only.
///
/// # Errors
/// `EmailTaken` when the email belongs to an active user with at least this role.
pub async fn invite(caller: &Caller<'_>, email: &str, role: Role) -> Result<Invitation, InvitationError> {
    refuse_others(caller)?;
    refuse_unconfirmed(caller).await?;
    let email = normalise_email(email);
    if email.len() > MAX_EMAIL_BYTES || !crate::base::text::is_address(&email) {
        return Err(InvitationError::InvalidEmail);
    }
    if queries::active_role(caller.tx, &email).await?.is_some_and(|known| known >= role) {
        return Err(InvitationError::EmailTaken);
    }
    let now = caller.clock.now();
    queries::revoke_pending(caller.tx, &email, now).await?;
    let new = Invitation {
        id: InvitationId::generate(now),
        email,
        role,
        status: InvitationStatus::Pending,
        invited_by: Some(caller.viewer.user),
        created_at: now,
        expires_at: now + INVITATION_LIFE,
    };
    if !queries::insert(caller.tx, &new).await? {
        // A concurrent invitation of the same email was not committed when this transaction looked.
        return Err(DbError::Contention("concurrent invitations of one email".into()).into());
    }
    send(caller, &new, now).await?;
    let facts = Changes::default().personal(new.id.0, "email", None, Some(&new.email)).field(
        "role",
        Value::Null,
        role.as_str(),
    );
    audit::record(caller, "invitations.create", "invitation", Some(new.id.0), facts).await?;
    Ok(new)
}

/// Resends a pending invitation with a new link, valid for another 7 days. Administrators only.
///
/// # Errors
/// `NotFound` when no such invitation is pending.
pub async fn resend(caller: &Caller<'_>, id: InvitationId) -> Result<Invitation, InvitationError> {
    refuse_others(caller)?;
    refuse_unconfirmed(caller).await?;
    let now = caller.clock.now();
    let found = queries::prolong(caller.tx, id, now + INVITATION_LIFE).await?.ok_or(InvitationError::NotFound)?;
    send(caller, &found, now).await?;
    audit::record(caller, "invitations.resend", "invitation", Some(id.0), Changes::default()).await?;
    Ok(found)
}

/// Revokes a pending invitation: its link stops working immediately. Administrators only.
///
/// # Errors
/// `NotFound` when no such invitation is pending.
pub async fn revoke(caller: &Caller<'_>, id: InvitationId) -> Result<Invitation, InvitationError> {
    refuse_others(caller)?;
    let found = queries::revoke(caller.tx, id, caller.clock.now()).await?.ok_or(InvitationError::NotFound)?;
    let changes = Changes::default().field("status", "PENDING", "REVOKED");
    audit::record(caller, "invitations.revoke", "invitation", Some(id.0), changes).await?;
    Ok(found)
}

/// A caller who has mail sent to others must have verified their own email.
async fn refuse_unconfirmed(caller: &Caller<'_>) -> Result<(), InvitationError> {
    let id = caller.viewer.user;
    let inviter = users::by_ids(caller.tx, &[id]).await?.remove(&id);
    if inviter.is_some_and(|it| it.email_verified_at.is_some()) { Ok(()) } else { Err(InvitationError::Unconfirmed) }
}

fn refuse_others(caller: &Caller<'_>) -> Result<(), InvitationError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(InvitationError::Forbidden);
    }
    // An invited person would remain after the impersonated session.
    if caller.viewer.impersonated { Err(InvitationError::Impersonated) } else { Ok(()) }
}

async fn send(caller: &Caller<'_>, invitation: &Invitation, now: Timestamp) -> Result<(), InvitationError> {
    let month = Period::month_of(now, &jiff::tz::TimeZone::UTC);
    if !usage::count_one(caller.tx, Meter::InvitationMails, month, Some(MAX_MAILS)).await? {
        return Err(InvitationError::TooMany);
    }
    outbox::enqueue(caller.tx, &Effect::MailInvitation { invitation: invitation.id.0 }, now).await?;
    Ok(())
}
