//! The types of requests from anonymous callers.

use jiff::Timestamp;
use uuid::Uuid;

use crate::core::identity::Origin;

/// The kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A password reset.
    PasswordReset,
    /// A sign-in with a wrong password, for the audit log.
    SignInFailed,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "PASSWORD_RESET",
            Self::SignInFailed => "SIGN_IN_FAILED",
        }
    }
}

/// A request that a worker took.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedRequest {
    pub id: Uuid,
    pub kind: Kind,
    pub email: String,
    /// The slug, if the caller named a tenant.
    pub tenant: Option<String>,
    pub created_at: Timestamp,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    pub(super) request: Option<Uuid>,
    pub(super) address: Option<String>,
}

impl ClaimedRequest {
    /// Where the request came from.
    pub(crate) fn origin(&self) -> Origin {
        Origin { request_id: self.request.unwrap_or_default(), address: self.address.clone(), ..Origin::default() }
    }
}
