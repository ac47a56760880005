//! Who is calling: actors, tokens, passwords and sessions.
//!
//! The sign-in path opens its own transactions, in the role `AUTHENTICATOR`, and hashes between them, never inside one.

pub mod graphql;
pub mod joining;
pub mod links;
mod mails;
pub mod operators;
mod passwords;
mod queries;
mod recovery;
mod requests;
mod sign_in;
mod strength;
mod throttle;
mod tokens;

use std::{str::FromStr, sync::Arc};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    clock::Clock,
    db::{DbError, Scope, ScopeRole, ScopedTx},
    ids::{AdministratorId, SessionId, TenantId, UserId},
};

pub use joining::{Acceptance, Registration, SignUp, TenantDraft};
pub use passwords::{PasswordCost, Passwords, PasswordsError};
pub use sign_in::{Login, NewUser, SignIn, SignInError, SignedIn, normalise_email};
pub use throttle::{SignInLimits, network};
pub use tokens::{FeedToken, KeyError, TokenSettings, Tokens, Verified};

/// What a person of a tenant may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A customer: own profile and own bookings.
    User,
    /// The whole calendar, and customers' names.
    Staff,
    /// Everything of the tenant.
    Admin,
}

impl Role {
    /// As the database and the tokens spell it.
    pub fn as_str(self) -> &'static str {
        self.scope_role().as_str()
    }

    /// The scope of a person in this role.
    pub fn scope_role(self) -> ScopeRole {
        match self {
            Self::Admin => ScopeRole::Admin,
            Self::Staff => ScopeRole::Staff,
            Self::User => ScopeRole::User,
        }
    }
}

impl FromStr for Role {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        match text {
            "ADMIN" => Ok(Self::Admin),
            "STAFF" => Ok(Self::Staff),
            "USER" => Ok(Self::User),
            other => Err(DbError::Corrupt(format!("{other:?} is no role"))),
        }
    }
}

/// A signed-in person, as a verified token names him. Whether it is still so is `enter`'s to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// His tenant.
    pub tenant: TenantId,
    /// Himself.
    pub user: UserId,
    /// His role when the token was issued.
    pub role: Role,
    /// The sign-in that the token belongs to.
    pub session: SessionId,
    /// Whether it is a platform administrator who acts as him: then nothing that proves who somebody is can be changed.
    pub impersonated: bool,
}

impl Viewer {
    /// The scope of his transactions.
    pub fn scope(&self) -> Scope {
        Scope::person(self.tenant, self.user, self.role.scope_role(), self.session)
    }
}

/// A signed-in platform administrator, as a verified token names him. Whether it is still so is the directory's `enter`
/// to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformViewer {
    /// Himself.
    pub administrator: AdministratorId,
    /// The sign-in that the token belongs to.
    pub session: SessionId,
    /// For the logs of tenants.
    pub email: Arc<str>,
}

impl PlatformViewer {
    /// The scope of his transactions, within a tenant or in the directory alone.
    pub fn scope(&self, tenant: Option<TenantId>) -> Scope {
        Scope::platform_administrator(tenant, self.administrator, self.session)
    }
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// No token.
    Anonymous,
    /// A token that is not, or not any more, ours. Only what anonymous callers may do works; the rest is refused.
    Unverified,
    /// A verified token of somebody of a tenant.
    Person(Viewer),
    /// A verified token of an operator of the deployment.
    Platform(PlatformViewer),
}

/// Where a request came from, for the audit log.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The id that the response carries too.
    pub request_id: Uuid,
    /// Network address of the client.
    pub address: Option<String>,
    /// What the client calls itself, cut to 300 characters.
    pub user_agent: Option<String>,
    /// E-mail of the platform administrator who acts as the person, if one does.
    pub impersonator: Option<String>,
}

/// What becomes of a browser's cookies, in cookie mode.
#[derive(Clone, Debug)]
pub enum SessionCookies {
    /// A session was begun or prolonged.
    Set {
        /// The access token.
        access: String,
        /// Its life.
        access_seconds: i64,
        /// The refresh token.
        refresh: String,
        /// Its life.
        refresh_seconds: i64,
    },
    /// The session has ended.
    Clear,
}

/// What every rule of a signed-in person is given: whose transaction, who, when and from where.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The request's transaction.
    pub tx: &'a ScopedTx,
    /// Who asks.
    pub viewer: Viewer,
    /// What time it is.
    pub clock: &'a Clock,
    /// Where the request came from.
    pub origin: &'a Origin,
}

impl Caller<'_> {
    /// Whether the caller's role is at least this one.
    pub fn is_at_least(&self, role: Role) -> bool {
        self.viewer.role >= role
    }
}

/// Ends the caller's own session: its access tokens are refused from the next request on. Returns whether it was alive.
///
/// # Errors
/// When a statement fails.
pub async fn log_out(caller: &Caller<'_>) -> Result<bool, DbError> {
    let ended = queries::end_session(caller.tx, caller.viewer.session, "LOGOUT", caller.clock.now()).await?;
    if ended {
        crate::audit::record(caller, "sessions.logout", "session", Some(caller.viewer.session.0), Default::default())
            .await?;
    }
    Ok(ended)
}

/// Directory: whether anybody signs in with this e-mail. For the sign-in path's scope only.
///
/// # Errors
/// When the statement fails.
pub async fn is_login(directory: &ScopedTx, email: &str) -> Result<bool, DbError> {
    Ok(!queries::logins_of(directory, email).await?.is_empty())
}

/// Why somebody who was let in may not stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fall {
    /// The session has ended, or its user is gone.
    SessionEnded,
    /// The user has another role now.
    RoleChanged(Role),
    /// The tenant is suspended.
    TenantSuspended,
    /// The tenant is not served here any more.
    TenantGone,
}

/// Those of these people who may not stay, by their place in the list. What `enter` would find, for many at once.
///
/// # Errors
/// When the statement fails.
pub async fn fallen(tx: &ScopedTx, people: &[Viewer]) -> Result<Vec<(usize, Fall)>, DbError> {
    let fallen = queries::fallen_sessions(tx, people).await?;
    fallen
        .into_iter()
        .map(|(place, reason, role)| {
            let fall = match (reason.as_str(), role) {
                ("TN001", _) => Fall::TenantGone,
                ("TN003", _) => Fall::TenantSuspended,
                ("TN005", Some(role)) => Fall::RoleChanged(role.parse()?),
                _ => Fall::SessionEnded,
            };
            Ok((place, fall))
        })
        .collect()
}

/// One sign-in of the caller that still lives.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// Its id.
    pub id: SessionId,
    /// When it was begun.
    pub created_at: Timestamp,
    /// The last instant to which it can be prolonged.
    pub expires_at: Timestamp,
    /// What the client called itself.
    pub user_agent: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// Whether it is a platform administrator's, acting as the user.
    pub impersonated: bool,
}

/// The caller's own live sessions, newest first.
///
/// # Errors
/// When the statement fails.
pub async fn sessions(caller: &Caller<'_>) -> Result<Vec<LiveSession>, DbError> {
    queries::sessions_of(caller.tx, caller.viewer.user).await
}

/// Ends one of the caller's own sessions; `false` when it is none of his, or has ended.
///
/// # Errors
/// When a statement fails.
pub async fn revoke_session(caller: &Caller<'_>, id: SessionId) -> Result<bool, DbError> {
    let is_own = sessions(caller).await?.iter().any(|it| it.id == id);
    let ended = is_own && queries::end_session(caller.tx, id, "REVOKED", caller.clock.now()).await?;
    if ended {
        crate::audit::record(caller, "sessions.revoke", "session", Some(id.0), Default::default()).await?;
    }
    Ok(ended)
}

/// Ends all of the caller's sessions but this one, and returns how many.
///
/// # Errors
/// When a statement fails.
pub async fn revoke_other_sessions(caller: &Caller<'_>) -> Result<u64, DbError> {
    let Viewer { user, session, .. } = caller.viewer;
    let ended = queries::end_other_sessions(caller.tx, user, Some(session), "REVOKED", caller.clock.now()).await?;
    if ended > 0 {
        crate::audit::record(caller, "sessions.revoke_others", "user", Some(user.0), Default::default()).await?;
    }
    Ok(ended)
}
