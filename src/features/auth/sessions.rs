//! Sessions: listing, ending, and checking them.

use super::{
    model::{LiveSession, Revocation},
    queries,
};
use crate::{
    base::ids::SessionId,
    core::identity::{Caller, Viewer},
    db::{DbError, ScopedTx},
};

/// Ends the caller's own session. Its access tokens are refused from the next request on. Returns whether it was live.
pub async fn log_out(caller: &Caller<'_>) -> Result<bool, DbError> {
    let ended = queries::end_session(caller.tx, caller.viewer.session, "LOGOUT", caller.clock.now()).await?;
    if ended {
        crate::core::audit::record(
            caller,
            "sessions.logout",
            "session",
            Some(caller.viewer.session.0),
            Default::default(),
        )
        .await?;
    }
    Ok(ended)
}

/// Directory: whether the email is a login. Only for the scope of the sign-in path.
pub async fn is_login(directory: &ScopedTx, email: &str) -> Result<bool, DbError> {
    Ok(!queries::logins_of(directory, email).await?.is_empty())
}

/// The people in this list who lost access, by their position: what `enter` would find, for many at once.
pub async fn revoked(tx: &ScopedTx, people: &[Viewer]) -> Result<Vec<(usize, Revocation)>, DbError> {
    let revoked = queries::revoked_sessions(tx, people).await?;
    revoked
        .into_iter()
        .map(|(place, reason, role)| {
            let fall = match (reason.as_str(), role) {
                ("TN001", _) => Revocation::TenantGone,
                ("TN003", _) => Revocation::TenantSuspended,
                ("TN005", Some(role)) => Revocation::RoleChanged(role.parse()?),
                _ => Revocation::SessionEnded,
            };
            Ok((place, fall))
        })
        .collect()
}

/// The caller's own live sessions, newest first.
pub async fn sessions(caller: &Caller<'_>) -> Result<Vec<LiveSession>, DbError> {
    queries::sessions_of(caller.tx, caller.viewer.user).await
}

/// Ends one of the caller's own sessions; `false` when it is not theirs or has already ended.
pub async fn revoke_session(caller: &Caller<'_>, id: SessionId) -> Result<bool, DbError> {
    let is_own = sessions(caller).await?.iter().any(|it| it.id == id);
    let ended = is_own && queries::end_session(caller.tx, id, "REVOKED", caller.clock.now()).await?;
    if ended {
        crate::core::audit::record(caller, "sessions.revoke", "session", Some(id.0), Default::default()).await?;
    }
    Ok(ended)
}

/// Ends all of the caller's other sessions, and returns how many.
pub async fn revoke_other_sessions(caller: &Caller<'_>) -> Result<u64, DbError> {
    let Viewer { user, session, .. } = caller.viewer;
    let ended = queries::end_other_sessions(caller.tx, user, Some(session), "REVOKED", caller.clock.now()).await?;
    if ended > 0 {
        crate::core::audit::record(caller, "sessions.revoke_others", "user", Some(user.0), Default::default()).await?;
    }
    Ok(ended)
}
