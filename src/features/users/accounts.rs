//! Operations on users: listing, renaming, roles, deactivation, erasure.

use jiff::Timestamp;

use super::{
    model::{User, UserError, UserFilter, UserKey, UserStatus},
    queries,
};
use crate::base::names;
use crate::{
    base::{
        ids::UserId,
        paging::{Page, Slice},
    },
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
        outbox::{self, Effect},
    },
    db::{Change, DbError, ScopedTx},
    features::{tenants, usage},
};

/// A page of the tenant's users, by name. Only staff may list them.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn list(
    caller: &Caller<'_>,
    filter: &UserFilter,
    page: &Page<UserKey>,
) -> Result<Slice<UserKey, User>, UserError> {
    if !caller.is_at_least(Role::Staff) {
        return Err(UserError::Forbidden);
    }
    let users = queries::list(caller.tx, filter, page).await?;
    Ok(page.slice(users.into_iter().map(|user| ((user.name.clone(), user.id.0), user)).collect()))
}

/// The user with this id, if the scope may see them and they can sign in.
pub async fn active(tx: &ScopedTx, id: UserId) -> Result<Option<User>, DbError> {
    let found = queries::by_ids(tx, &[id]).await?.remove(&id);
    Ok(found.filter(|it| it.status == UserStatus::Active))
}

/// Changes a user's name. Administrators may rename anyone; other users only themselves.
///
/// # Errors
/// `NotFound` for any user whom the caller may not change, whether or not they exist.
pub async fn rename(caller: &Caller<'_>, id: UserId, name: Option<&str>) -> Result<User, UserError> {
    let before = queries::by_ids(caller.tx, &[id]).await?.remove(&id).ok_or(UserError::NotFound)?;
    let Some(name) = name else { return Ok(before) };
    // An operator who acts as a user changes nobody else.
    if caller.viewer.impersonated && id != caller.viewer.user {
        return Err(UserError::Impersonated);
    }
    let name = &checked_name(name).ok_or(UserError::InvalidName)?;
    if before.status == UserStatus::Erased {
        return Err(UserError::NotFound);
    }
    let now = caller.clock.now();
    let user = queries::update_name(caller.tx, id, name, now).await?.ok_or(UserError::NotFound)?;
    let changes = Changes::default().personal(id.0, "name", Some(&before.name), Some(&user.name));
    audit::record(caller, "users.update", "user", Some(id.0), changes).await?;
    caller.tx.announce(Change::User { id: id.0 });
    Ok(user)
}

/// A person's trimmed name; `None` when it is empty, too long or has several lines.
pub fn checked_name(name: &str) -> Option<String> {
    names::checked(name)
}

/// Prevents concurrent changes of roles and statuses until the transaction ends.
pub async fn lock_roles(tx: &ScopedTx) -> Result<(), DbError> {
    queries::lock_administrators(tx).await
}

/// Whether the plan allows one more user now. A caller who adds one checks again with [`take_place`].
pub async fn has_place(tx: &ScopedTx) -> Result<bool, DbError> {
    let (active, tenant) = futures_util::join!(queries::count_active(tx), tenants::current(tx));
    let active = active?;
    Ok(tenant?.limits.of("users").is_none_or(|most| active < most))
}

/// Reserves a place for one more active user; `false` when the plan allows none.
///
/// Nobody else can join until the transaction ends, so that of two callers at the limit only one gets the last place.
pub async fn take_place(tx: &ScopedTx) -> Result<bool, DbError> {
    queries::lock_places(tx).await?;
    has_place(tx).await
}

/// Records the number of active users, after one has joined or left. Concurrent joins and departures wait, so that no
/// two record the same number.
pub async fn meter(tx: &ScopedTx, id: UserId, now: Timestamp) -> Result<(), DbError> {
    queries::lock_places(tx).await?;
    let (level, tenant) = (queries::count_active(tx).await?, tenants::current(tx).await?);
    let event = usage::Event::own(usage::USERS, format!("user:{}:{}", id.0, now.as_microsecond()), level, now);
    usage::record_one(tx, &event, &tenant, now).await.map(drop)
}

/// Erases a person: their name, email, the notes on their bookings, what the audit log holds about them, and their
/// credentials. Their bookings stay, under a pseudonym. Administrators only.
///
/// # Errors
/// `LastAdmin` as for [`set_role`].
pub async fn erase(caller: &Caller<'_>, id: UserId) -> Result<User, UserError> {
    let before = lock_as_administrator(caller, id).await?;
    if before.status == UserStatus::Erased {
        return Err(UserError::NotFound);
    }
    refuse_last_administrator(caller.tx, &before).await?;
    let (tx, now) = (caller.tx, caller.clock.now());
    // Unique, in a domain that nobody can own (RFC 2606), and the same wherever it is shown.
    let pseudonym = format!("erased-{}@erased.invalid", id.0.simple());
    let user = queries::erase(tx, id, &pseudonym, ERASED_NAME, now).await?.ok_or(UserError::NotFound)?;
    let mut subjects = queries::erase_invitations(tx, &before.email, &pseudonym, now).await?;
    subjects.push(id.0);
    queries::erase_notes(tx, id, now).await?;
    queries::forget_mail_preferences(tx, id, now).await?;
    if before.status == UserStatus::Active {
        meter(tx, id, now).await?;
    }
    end_access(tx, Some(id), AccessEnd::Erased, now).await?;
    audit::forget(tx, &subjects).await?;
    // Data that only the sign-in path can see is removed right after the commit.
    outbox::enqueue(tx, &Effect::ForgetLogin { user: id.0 }, now).await?;
    let changes = Changes::default().field("status", before.status.as_str(), user.status.as_str());
    audit::record(caller, "users.erase", "user", Some(id.0), changes).await?;
    tx.announce(Change::User { id: id.0 });
    Ok(user)
}

/// The name shown for an erased person.
const ERASED_NAME: &str = "Erased person";

/// Changes a user's role. Administrators only. The user's sessions are refused from the next request on, because their
/// tokens name the old role.
///
/// # Errors
/// `LastAdmin` when no other administrator would remain, also when two administrators demote each other concurrently.
pub async fn set_role(caller: &Caller<'_>, id: UserId, role: Role) -> Result<User, UserError> {
    let before = lock_as_administrator(caller, id).await?;
    if before.role == role {
        return Ok(before);
    }
    if before.status == UserStatus::Erased {
        return Err(UserError::NotFound);
    }
    refuse_last_administrator(caller.tx, &before).await?;
    let user = queries::update_role(caller.tx, id, role, caller.clock.now()).await?.ok_or(UserError::NotFound)?;
    if role < before.role {
        // An invitation from before the demotion must not raise the user again.
        queries::revoke_invitations(caller.tx, &before.email, caller.clock.now()).await?;
    }
    let changes = Changes::default().field("role", before.role.as_str(), role.as_str());
    audit::record(caller, "users.set_role", "user", Some(id.0), changes).await?;
    caller.tx.announce(Change::User { id: id.0 });
    Ok(user)
}

/// Deactivates or reactivates a user. Administrators only. A deactivated user cannot sign in, and their sessions are
/// refused from the next request on.
///
/// # Errors
/// `LastAdmin` as for [`set_role`].
pub async fn set_status(caller: &Caller<'_>, id: UserId, status: UserStatus) -> Result<User, UserError> {
    let before = lock_as_administrator(caller, id).await?;
    if before.status == status {
        return Ok(before);
    }
    if before.status == UserStatus::Erased {
        return Err(UserError::NotFound);
    }
    if status == UserStatus::Active && !take_place(caller.tx).await? {
        return Err(UserError::QuotaExceeded);
    }
    refuse_last_administrator(caller.tx, &before).await?;
    let user = queries::update_status(caller.tx, id, status, caller.clock.now()).await?.ok_or(UserError::NotFound)?;
    meter(caller.tx, id, caller.clock.now()).await?;
    if status == UserStatus::Deactivated {
        // Permanent: a reactivated user must sign in again.
        end_access(caller.tx, Some(id), AccessEnd::Deactivated, caller.clock.now()).await?;
        // An older invitation must not reactivate the user either.
        queries::revoke_invitations(caller.tx, &before.email, caller.clock.now()).await?;
    }
    let changes = Changes::default().field("status", before.status.as_str(), status.as_str());
    audit::record(caller, "users.set_status", "user", Some(id.0), changes).await?;
    caller.tx.announce(Change::User { id: id.0 });
    Ok(user)
}

/// Why all access of a user was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessEnd {
    /// The user was deactivated.
    Deactivated,
    /// The user was erased.
    Erased,
    /// The tenant was suspended or deleted.
    Suspended,
    /// An administrator ended the user's sessions.
    Administrator,
    /// The user chose a new password with a mailed link.
    PasswordReset,
}

impl AccessEnd {
    fn as_str(self) -> &'static str {
        match self {
            Self::Deactivated => "DEACTIVATED",
            Self::Erased => "ERASED",
            Self::Suspended => "SUSPENDED",
            Self::Administrator => "ADMINISTRATOR",
            Self::PasswordReset => "PASSWORD_RESET",
        }
    }
}

/// Ends sessions with their refresh tokens, the calendar feed, and unused password reset links of one user, or of every
/// user of the tenant. Returns how many sessions ended.
///
/// # Errors
/// When the statement fails, as it does for a role below `ADMIN`.
pub async fn end_access(tx: &ScopedTx, user: Option<UserId>, why: AccessEnd, now: Timestamp) -> Result<u64, DbError> {
    Ok(u64::try_from(queries::end_access(tx, user, why.as_str(), now).await?).unwrap_or(0))
}

/// Ends every session of a user of the tenant, and the calendar feed. Administrators only. Returns the user.
///
/// # Errors
/// `NotFound` for a user of another tenant, as for one that does not exist.
pub async fn revoke_sessions(caller: &Caller<'_>, id: UserId) -> Result<User, UserError> {
    let user = lock_as_administrator(caller, id).await?;
    let ended = end_access(caller.tx, Some(id), AccessEnd::Administrator, caller.clock.now()).await?;
    let changes = Changes::default().field("sessions", serde_json::Value::Null, ended);
    audit::record(caller, "users.revoke_sessions", "user", Some(id.0), changes).await?;
    caller.tx.announce(Change::User { id: id.0 });
    Ok(user)
}

/// The user, with changes to the tenant's administrators locked for other transactions.
async fn lock_as_administrator(caller: &Caller<'_>, id: UserId) -> Result<User, UserError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(UserError::Forbidden);
    }
    if caller.viewer.impersonated {
        return Err(UserError::Impersonated);
    }
    queries::lock_administrators(caller.tx).await?;
    queries::by_ids(caller.tx, &[id]).await?.remove(&id).ok_or(UserError::NotFound)
}

async fn refuse_last_administrator(tx: &ScopedTx, user: &User) -> Result<(), UserError> {
    let keeps_the_tenant = user.role == Role::Admin && user.status == UserStatus::Active;
    if keeps_the_tenant && queries::count_administrators(tx).await? <= 1 {
        return Err(UserError::LastAdmin);
    }
    Ok(())
}
