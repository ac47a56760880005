//! An invitation.

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

/// Somebody who was asked to join.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Within the tenant.
    pub id: InvitationId,
    /// Normalised.
    pub email: String,
    /// What he will be allowed to do.
    pub role: Role,
    /// Whether it waits, was accepted or taken back.
    pub status: InvitationStatus,
    /// Who invited; `None` for a platform administrator.
    pub invited_by: Option<UserId>,
    /// When he was invited first.
    pub created_at: Timestamp,
    /// Until when he can accept.
    pub expires_at: Timestamp,
}

/// Where an invitation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationStatus {
    /// It can be accepted until it expires.
    Pending,
    /// He joined.
    Accepted,
    /// It was taken back.
    Revoked,
}

impl FromStr for InvitationStatus {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        match text {
            "PENDING" => Ok(Self::Pending),
            "ACCEPTED" => Ok(Self::Accepted),
            "REVOKED" => Ok(Self::Revoked),
            other => Err(DbError::Corrupt(format!("{other:?} is no status of an invitation"))),
        }
    }
}

/// Sort key of the list of invitations, newest first.
pub type InvitationKey = TimeKey;

/// Why something could not be done with an invitation.
#[derive(Debug)]
pub enum InvitationError {
    /// The role does not allow it.
    Forbidden,
    /// Whoever acts as somebody else cannot invite.
    Impersonated,
    /// Who invites has not confirmed his own e-mail.
    Unconfirmed,
    /// This is no e-mail.
    InvalidEmail,
    /// Somebody with this e-mail can sign in already, in this role or a higher one.
    EmailTaken,
    /// There is no such invitation, or it is not pending.
    NotFound,
    /// The tenant has sent a great many already.
    TooMany,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for InvitationError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}
