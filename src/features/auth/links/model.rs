//! What a link is for.

use jiff::SignedDuration;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To choose a new password. Its subject is a user.
    PasswordReset,
    /// To show that a mailbox is one's own. Its subject is a user.
    EmailVerification,
    /// To join. Its subject is an invitation.
    Invitation,
    /// To confirm a registration, which is its subject.
    Registration,
}

impl Purpose {
    /// As the database spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "PASSWORD_RESET",
            Self::EmailVerification => "EMAIL_VERIFICATION",
            Self::Invitation => "INVITATION",
            Self::Registration => "REGISTRATION",
        }
    }

    /// How long a link is good, from its first mail on.
    pub(super) fn life(self) -> SignedDuration {
        match self {
            Self::PasswordReset => SignedDuration::from_mins(30),
            Self::EmailVerification => SignedDuration::from_hours(3 * 24),
            // The invitation itself says when it expires.
            Self::Invitation => SignedDuration::from_hours(366 * 24),
            Self::Registration => SignedDuration::from_hours(24),
        }
    }
}
