//! What a client may be told.
//!
//! Three error types for three audiences: `DbError` for operators, a feature's own error for code that branches, and
//! these for clients. What the caller can mend is a [`UserError`] in a payload; everything else an [`ApiError`] in
//! `errors`, with a code of a closed list. [`ErrorClass`] is where a feature says which of the two its errors are.

use std::borrow::Cow;

use async_graphql::{Enum, ErrorExtensions, SimpleObject};

use crate::db::DbError;

/// `errors[].extensions.code`, with the `GRAPHQL_*` codes of documents that do not parse or validate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Not signed in, or not any more.
    Unauthenticated,
    /// Signed in, but not allowed.
    Forbidden,
    /// An input that means nothing.
    BadUserInput,
    /// Too fast: try again after the given time.
    RateLimited,
    /// The idempotency key was used for another request.
    IdempotencyConflict,
    /// No capacity now: try again.
    Unavailable,
    /// It took too long.
    Timeout,
    /// A fault of ours; the log has the cause under the request's id.
    Internal,
}

impl Code {
    /// As clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::RateLimited => "RATE_LIMITED",
            Self::IdempotencyConflict => "IDEMPOTENCY_CONFLICT",
            Self::Unavailable => "UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::Internal => "INTERNAL",
        }
    }
}

/// A refusal that fails its field. It has no `Display` on purpose: async-graphql would turn any `Display` error into a
/// message that clients see, and so only this file's conversion compiles.
#[derive(Clone, Debug)]
pub enum ApiError {
    /// Something the client may know.
    Refused {
        /// Of the closed list.
        code: Code,
        /// For people.
        message: Cow<'static, str>,
        /// Path of the argument at fault, such as `input.startsAt`.
        field: Option<String>,
        /// Seconds after which it is worth trying again.
        retry_after: Option<i64>,
    },
    /// A fault of ours: the cause is for the log alone.
    Internal(String),
}

impl ApiError {
    /// Nobody is signed in, or not any more.
    pub fn unauthenticated() -> Self {
        Self::refused(Code::Unauthenticated, "Sign in first: the access token is missing, expired or was ended.")
    }

    /// The role does not allow it.
    pub fn forbidden() -> Self {
        Self::refused(Code::Forbidden, FORBIDDEN_MESSAGE)
    }

    /// Somebody acts as somebody else, who alone may do this.
    pub fn impersonated() -> Self {
        Self::refused(Code::Forbidden, IMPERSONATED_MESSAGE)
    }

    /// An input that means nothing, with the path of the argument.
    pub fn bad_input(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        let field = field.into();
        let message = format!("{field}: {}", message.into()).into();
        Self::Refused { code: Code::BadUserInput, message, field: Some(field), retry_after: None }
    }

    /// No capacity now.
    pub fn unavailable(retry_after: i64) -> Self {
        Self::Refused {
            code: Code::Unavailable,
            message: "The service is busy. Try again shortly.".into(),
            field: None,
            retry_after: Some(retry_after),
        }
    }

    /// With this code, and nothing more to say.
    pub fn refused(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused { code, message: message.into(), field: None, retry_after: None }
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(cause) | DbError::Contention(cause) => {
                tracing::warn!(cause, "unavailable");
                Self::unavailable(1)
            }
            DbError::TenantMoving => Self::unavailable(2),
            DbError::StoreMissing => {
                tracing::error!("a tenant's store is not where the directory says");
                Self::unavailable(5)
            }
            DbError::SessionEnded | DbError::RoleChanged | DbError::TenantNotHere => Self::unauthenticated(),
            DbError::TenantSuspended => Self::refused(Code::Forbidden, "This tenant is suspended."),
            DbError::Refused(cause) => {
                // The rules above should have said no first.
                tracing::warn!(cause, "a policy refused what no rule did");
                Self::forbidden()
            }
            DbError::InvalidValue => {
                Self::refused(Code::BadUserInput, "A value cannot be stored: a character or a date.")
            }
            DbError::Timeout => Self::refused(Code::Timeout, "The request took too long and was stopped."),
            DbError::CommitUnknown(cause) => {
                tracing::error!(cause, "a commit was not acknowledged");
                Self::refused(
                    Code::Unavailable,
                    "The connection was lost at the very end: the change may have been made or not. Look before you \
                     repeat it.",
                )
            }
            DbError::Violation { .. } | DbError::NotCommitted | DbError::Other(_) | DbError::Corrupt(_) => {
                Self::Internal(format!("{error:?}"))
            }
        }
    }
}

impl From<ApiError> for async_graphql::Error {
    fn from(error: ApiError) -> Self {
        let (code, message, field, retry_after) = match error {
            ApiError::Refused { code, message, field, retry_after } => (code, message, field, retry_after),
            ApiError::Internal(cause) => {
                tracing::error!(cause, "internal error");
                (Code::Internal, INTERNAL_MESSAGE.into(), None, None)
            }
        };
        async_graphql::Error::new(message).extend_with(|_, extensions| {
            extensions.set("code", code.as_str());
            if let Some(field) = field {
                extensions.set("field", field);
            }
            if let Some(seconds) = retry_after {
                extensions.set("retryAfter", seconds);
            }
        })
    }
}

/// A refusal of the whole request: of no place in its document.
pub fn nowhere(error: ApiError) -> async_graphql::ServerError {
    let mut error = async_graphql::Error::from(error).into_server_error(async_graphql::Pos::default());
    error.locations.clear();
    error
}

const FORBIDDEN_MESSAGE: &str = "Your role does not allow this.";
const IMPERSONATED_MESSAGE: &str = "Whoever acts as somebody else cannot change who may sign in, or do what.";

/// Whether an error says that the caller's role does not allow something, which the audit log tells of.
pub fn is_refusal_by_role(error: &async_graphql::ServerError) -> bool {
    error.message == FORBIDDEN_MESSAGE || error.message == IMPERSONATED_MESSAGE
}

/// All that a client is told of a fault of ours, beside the request's id.
pub const INTERNAL_MESSAGE: &str = "Something went wrong on our side. Please quote the request id.";

/// Why a mutation did not do what was asked. Codes are stable; new ones may be added.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum UserErrorCode {
    /// A value is out of its bounds; the message says which.
    Invalid,
    /// There is no such object, or none that the caller may see.
    NotFound,
    /// Another object has the name.
    NameTaken,
    /// Somebody has the e-mail.
    EmailTaken,
    /// Another tenant has the slug.
    SlugTaken,
    /// E-mail or password is wrong.
    WrongCredentials,
    /// The password is too short, too long, or too easy to guess.
    WeakPassword,
    /// The tenant is suspended.
    TenantSuspended,
    /// The token is unknown, used up or expired.
    TokenInvalid,
    /// Nobody else could keep the tenant.
    LastAdmin,
    /// Another booking holds the time.
    SlotTaken,
    /// It is closed then, or bookings begin at other times.
    OutsideHours,
    /// The time is too near or has passed.
    TooSoon,
    /// The time is too far ahead.
    TooFar,
    /// The clock of the time zone does not show this time on that day.
    NonexistentTime,
    /// The clock of the time zone shows this time twice on that day: an offset says which.
    AmbiguousTime,
    /// The booking's status does not lead to the one asked for.
    InvalidTransition,
    /// The object was changed since it was read: read it again.
    Stale,
    /// The plan's limit is reached.
    QuotaExceeded,
    /// A checkout for this plan is open already.
    CheckoutOpen,
    /// Something is to be paid, and nothing can be charged yet.
    CheckoutRequired,
    /// Other objects depend on it, or it is there already.
    InUse,
}

/// What the caller can mend. Everything else is an entry in the response's `errors`, with `extensions.code`.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserError {
    /// What went wrong, for programs.
    pub code: UserErrorCode,
    /// What went wrong, for people.
    pub message: String,
    /// Path of the input field at fault, below `input`.
    pub field: Option<Vec<String>>,
}

impl UserError {
    /// With the input field at fault, or `""` for none.
    pub fn new(code: UserErrorCode, field: &str, message: impl Into<String>) -> Self {
        let field = (!field.is_empty()).then(|| field.split('.').map(str::to_owned).collect());
        Self { code, message: message.into(), field }
    }
}

/// What a feature's error means to a client.
pub enum ErrorClass {
    /// The caller can mend it.
    Mend(UserError),
    /// The field fails.
    Refuse(ApiError),
}

/// A rule's result as a payload's: what the caller can mend stays a value.
///
/// # Errors
/// What the caller cannot mend.
pub fn settled<T, E: Into<ErrorClass>>(result: Result<T, E>) -> Result<Result<T, UserError>, ApiError> {
    match result.map_err(Into::into) {
        Ok(value) => Ok(Ok(value)),
        Err(ErrorClass::Mend(error)) => Ok(Err(error)),
        Err(ErrorClass::Refuse(error)) => Err(error),
    }
}

impl From<DbError> for ErrorClass {
    fn from(error: DbError) -> Self {
        Self::Refuse(error.into())
    }
}

/// In a query there is no payload: what the caller can mend is bad input.
impl From<ErrorClass> for ApiError {
    fn from(meaning: ErrorClass) -> Self {
        match meaning {
            ErrorClass::Refuse(error) => error,
            ErrorClass::Mend(error) => Self::bad_input(error.field.unwrap_or_default().join("."), error.message),
        }
    }
}

/// Defines a mutation's payload: what changed, nullable, and the errors that the caller can mend.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $ty:ty }) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            $(#[$field_doc])*
            pub $field: Option<$ty>,
            /// What the caller can mend. Empty when the mutation did what was asked.
            pub user_errors: Vec<$crate::graphql::UserError>,
        }

        impl From<Result<$ty, $crate::graphql::UserError>> for $name {
            fn from(result: Result<$ty, $crate::graphql::UserError>) -> Self {
                match result {
                    Ok(changed) => Self { $field: Some(changed), user_errors: Vec::new() },
                    Err(error) => Self { $field: None, user_errors: vec![error] },
                }
            }
        }
    };
}
pub(crate) use payload;
