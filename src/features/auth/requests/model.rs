//! What anonymous callers have asked for.

use jiff::Timestamp;
use uuid::Uuid;

use crate::core::identity::Origin;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A new password.
    PasswordReset,
    /// To sign in, with a wrong password: for the audit log.
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

/// A request that was taken to be looked into.
#[derive(Clone, Debug)]
pub(crate) struct ClaimedRequest {
    pub id: Uuid,
    pub kind: Kind,
    pub email: String,
    /// The slug, where one was named.
    pub tenant: Option<String>,
    pub created_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    pub(super) request: Option<Uuid>,
    pub(super) address: Option<String>,
}

impl ClaimedRequest {
    /// Where it came from.
    pub(crate) fn origin(&self) -> Origin {
        Origin { request_id: self.request.unwrap_or_default(), address: self.address.clone(), ..Origin::default() }
    }
}
