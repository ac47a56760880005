//! Sessions, as others see them.

use jiff::Timestamp;

use crate::{base::ids::SessionId, core::identity::Role};

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

/// Why somebody who was let in may not stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The session has ended, or its user is gone.
    SessionEnded,
    /// The user has another role now.
    RoleChanged(Role),
    /// The tenant is suspended.
    TenantSuspended,
    /// The tenant is not served here any more.
    TenantGone,
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
