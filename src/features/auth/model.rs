//! Session types that other modules use.

use jiff::Timestamp;

use crate::{base::ids::SessionId, core::identity::Role};

/// How the browser's cookies change, in cookie mode.
#[derive(Clone, Debug)]
pub enum SessionCookies {
    /// A session was started or refreshed.
    Set {
        /// The access token.
        access: String,
        /// Lifetime of the access token, in seconds.
        access_seconds: i64,
        /// The refresh token.
        refresh: String,
        /// Lifetime of the refresh token, in seconds.
        refresh_seconds: i64,
    },
    /// The session has ended.
    Clear,
}

/// Why a caller who was admitted loses access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The session has ended, or its user no longer exists.
    SessionEnded,
    /// The user now has another role.
    RoleChanged(Role),
    /// The tenant is suspended.
    TenantSuspended,
    /// This server no longer serves the tenant.
    TenantGone,
}

/// A live session of the caller.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// The session's id.
    pub id: SessionId,
    /// When the session started.
    pub created_at: Timestamp,
    /// The instant past which the session cannot be extended.
    pub expires_at: Timestamp,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
    /// The client's address.
    pub address: Option<String>,
    /// Whether a platform administrator started the session to act as the user.
    pub impersonated: bool,
}
