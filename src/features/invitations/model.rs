//! Invitations.

use std::str::FromStr;

use jiff::Timestamp;

use crate::{
    base::{
        ids::{InvitationId, UserId},
        paging::TimeKey,
    },
    core::identity::Role,
    db::DbError,
};

/// An invitation to join a tenant.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The id, unique within the tenant.
    pub id: InvitationId,
    /// The normalised email.
    pub email: String,
    /// The role after joining.
    pub role: Role,
    /// The status.
    pub status: InvitationStatus,
    /// Who sent it; `None` for a platform administrator.
    pub invited_by: Option<UserId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// The status of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationStatus {
    /// It can be accepted until it expires.
    Pending,
    /// The person joined.
    Accepted,
    /// It was revoked.
    Revoked,
}

impl FromStr for InvitationStatus {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        match text {
            "PENDING" => Ok(Self::Pending),
            "ACCEPTED" => Ok(Self::Accepted),
            "REVOKED" => Ok(Self::Revoked),
            other => Err(DbError::Corrupt(format!("{other:?} is not an invitation status"))),
        }
    }
}

/// Sort key of the list of invitations, newest first.
pub type InvitationKey = TimeKey;

/// Why an operation on an invitation failed.
#[derive(Debug)]
pub enum InvitationError {
    /// The caller's role does not allow it.
    Forbidden,
    /// An impersonated session cannot invite anyone.
    Impersonated,
    /// The inviting user has not verified their own email.
    Unconfirmed,
    /// The email is not valid.
    InvalidEmail,
    /// A user with this email can sign in already, with this role or a higher one.
    EmailTaken,
    /// There is no such invitation, or it is not pending.
    NotFound,
    /// The tenant has reached its monthly limit of invitation mails.
    TooMany,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for InvitationError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}
