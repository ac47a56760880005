//! Why an effect was not carried out.

use crate::{
    db::DbError,
    features::{auth::SignInError, mail::MailError},
};

/// Why an effect was not carried out.
pub(super) enum Failure {
    /// A retry will not help.
    Hopeless(String),
    /// A retry may succeed.
    Later(String),
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::Later(error.to_string())
    }
}

impl From<SignInError> for Failure {
    fn from(error: SignInError) -> Self {
        Self::Later(format!("{error:?}"))
    }
}

impl From<MailError> for Failure {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Hopeless(why) => Self::Hopeless(why),
            MailError::Later(why) => Self::Later(why),
        }
    }
}
