//! Sessions of operators.

use jiff::Timestamp;

use crate::{core::identity::PlatformViewer, features::users::User};

/// A platform administrator who has just signed in.
#[derive(Clone, Debug)]
pub struct OperatorSignedIn {
    /// For the `Authorization` header.
    pub access_token: String,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Who.
    pub viewer: PlatformViewer,
    /// What he is called.
    pub name: String,
}

/// A session in which a platform administrator acts as a user.
#[derive(Clone, Debug)]
pub struct Impersonation {
    /// For the `Authorization` header.
    pub access_token: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// As whom.
    pub user: User,
}
