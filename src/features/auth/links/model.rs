//! The purposes of links.

use jiff::SignedDuration;

/// The purpose of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Choosing a new password. The subject is a user.
    PasswordReset,
    /// Proving ownership of a mailbox. The subject is a user.
    EmailVerification,
    /// Joining a tenant. The subject is an invitation.
    Invitation,
    /// Confirming a registration, which is the subject.
    Registration,
}

impl Purpose {
    /// The value in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "PASSWORD_RESET",
            Self::EmailVerification => "EMAIL_VERIFICATION",
            Self::Invitation => "INVITATION",
            Self::Registration => "REGISTRATION",
        }
    }

    /// How long a link is valid, counted from its first mail.
    pub(super) fn life(self) -> SignedDuration {
        match self {
            Self::PasswordReset => SignedDuration::from_mins(30),
            Self::EmailVerification => SignedDuration::from_hours(3 * 24),
            // The invitation has its own expiry.
            Self::Invitation => SignedDuration::from_hours(366 * 24),
            Self::Registration => SignedDuration::from_hours(24),
        }
    }
}
