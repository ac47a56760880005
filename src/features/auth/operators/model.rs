//! Sessions of operators.

use jiff::Timestamp;

use crate::{core::identity::PlatformViewer, features::users::User};

/// A platform administrator who has just signed in.
#[derive(Clone, Debug)]
pub struct OperatorSignedIn {
    /// For the `Authorization` header.
    pub access_token: String,
    /// When the token expires.
    pub expires_at: Timestamp,
    /// The signed-in administrator.
    pub viewer: PlatformViewer,
    /// The administrator's name.
    pub name: String,
}

/// A session in which a platform administrator acts as a user.
#[derive(Clone, Debug)]
pub struct Impersonation {
    /// For the `Authorization` header.
    pub access_token: String,
    /// When the session ends.
    pub expires_at: Timestamp,
    /// The user as whom the administrator acts.
    pub user: User,
}
