//! The errors that a client can see.
//!
//! There are three error types for three audiences: `DbError` for operators, a feature's own error for code that
//! branches, and the types in this file for clients. An error that the caller can correct is a [`UserError`] in a
//! payload; every other one is an [`ApiError`] in `errors`, with a code of a closed list. [`ErrorClass`] is where each
//! feature assigns its errors to one of the two.

use std::borrow::Cow;

use async_graphql::{Enum, ErrorExtensions, SimpleObject};

use crate::db::DbError;

/// `errors[].extensions.code`, in addition to the `GRAPHQL_*` codes of documents that cannot be parsed or validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Not signed in, or no longer.
    Unauthenticated,
    /// Signed in, but not allowed.
    Forbidden,
    /// An invalid input.
    BadUserInput,
    /// Rate limit exceeded: try again after the given time.
    RateLimited,
    /// The idempotency key was used for another request.
    IdempotencyConflict,
    /// The session in the cookies belongs to another tenant than the request names.
    TenantMismatch,
    /// No capacity at the moment: try again.
    Unavailable,
    /// The request took too long.
    Timeout,
    /// A server error; the log has the cause under the request's id.
    Internal,
}

impl Code {
    /// The code as clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::RateLimited => "RATE_LIMITED",
            Self::IdempotencyConflict => "IDEMPOTENCY_CONFLICT",
            Self::TenantMismatch => "TENANT_MISMATCH",
            Self::Unavailable => "UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::Internal => "INTERNAL",
        }
    }
}

/// A refusal that fails its field. It intentionally has no `Display`: async-graphql turns every `Display` error into
/// a message that clients see. Without it, only the conversion in this file compiles.
#[derive(Clone, Debug)]
pub enum ApiError {
    /// A refusal that the client may see.
    Refused {
        /// A code of the closed list.
        code: Code,
        /// The message for people.
        message: Cow<'static, str>,
        /// Path of the invalid argument, such as `input.startsAt`.
        field: Option<String>,
        /// Seconds after which a retry makes sense.
        retry_after: Option<i64>,
    },
    /// A server error: the cause is only for the log.
    Internal(String),
}

impl ApiError {
    /// The caller is not signed in, or no longer.
    pub fn unauthenticated() -> Self {
        Self::refused(Code::Unauthenticated, "Sign in first. The access token is missing, expired or revoked.")
    }

    /// The caller's role does not allow it.
    pub fn forbidden() -> Self {
        Self::refused(Code::Forbidden, FORBIDDEN_MESSAGE)
    }

    /// An impersonating administrator tried something that only the user may do.
    pub fn impersonated() -> Self {
        Self::refused(Code::Forbidden, IMPERSONATED_MESSAGE)
    }

    /// An invalid input, with the path of the argument.
    pub fn bad_input(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        let field = field.into();
        let message = format!("{field}: {}", message.into()).into();
        Self::Refused { code: Code::BadUserInput, message, field: Some(field), retry_after: None }
    }

    /// No capacity at the moment. `retry_after` is in seconds.
    pub fn unavailable(retry_after: i64) -> Self {
        Self::Refused {
            code: Code::Unavailable,
            message: "The service is busy. Try again shortly.".into(),
            field: None,
            retry_after: Some(retry_after),
        }
    }

    /// A refusal with this code and message, without a field or a retry time.
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
                // A business rule should have refused first.
                tracing::warn!(cause, "a row policy refused what no business rule refused");
                Self::forbidden()
            }
            DbError::InvalidValue => Self::refused(
                Code::BadUserInput,
                "A value cannot be stored: it contains an unsupported character or date.",
            ),
            DbError::Timeout => Self::refused(Code::Timeout, "The request took too long and was stopped."),
            DbError::CommitUnknown(cause) => {
                tracing::error!(cause, "a commit was not acknowledged");
                Self::refused(
                    Code::Unavailable,
                    "The connection was lost during the commit. The change may or may not have been made. Check before you \
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

/// A refusal of the whole request, without a location in its document.
pub fn nowhere(error: ApiError) -> async_graphql::ServerError {
    let mut error = async_graphql::Error::from(error).into_server_error(async_graphql::Pos::default());
    error.locations.clear();
    error
}

const FORBIDDEN_MESSAGE: &str = "Your role does not allow this.";
const IMPERSONATED_MESSAGE: &str = "An impersonating administrator cannot change who may sign in or what users may do.";

/// Whether an error says that the caller's role does not allow something. The audit log records such errors.
pub fn is_refusal_by_role(error: &async_graphql::ServerError) -> bool {
    error.message == FORBIDDEN_MESSAGE || error.message == IMPERSONATED_MESSAGE
}

/// The message for a server error. With the request's id, it is all that a client sees.
pub const INTERNAL_MESSAGE: &str = "Something went wrong on our side. Please quote the request id.";

/// Why a mutation failed. Codes are stable; new ones may be added.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum UserErrorCode {
    /// A value is out of range; the message gives the details.
    Invalid,
    /// The object does not exist, or the caller may not see it.
    NotFound,
    /// Another object has the name.
    NameTaken,
    /// A user with this email already exists.
    EmailTaken,
    /// Another tenant has the slug.
    SlugTaken,
    /// The email or the password is wrong.
    WrongCredentials,
    /// The password is too short, too long, or easily guessed.
    WeakPassword,
    /// The tenant is suspended.
    TenantSuspended,
    /// The token is unknown, already used or expired.
    TokenInvalid,
    /// No other administrator would remain.
    LastAdmin,
    /// Another booking holds the time.
    SlotTaken,
    /// Closed at that time, or bookings start at other times.
    OutsideHours,
    /// The time is too soon or has passed.
    TooSoon,
    /// The time is too far ahead.
    TooFar,
    /// The clock of the time zone does not show this time on that day.
    NonexistentTime,
    /// The clock of the time zone shows this time twice on that day: choose one with an offset.
    AmbiguousTime,
    /// The current status does not allow this change.
    InvalidTransition,
    /// The object has changed since it was read: read it again.
    Stale,
    /// The plan's limit is reached.
    QuotaExceeded,
    /// A checkout for this plan is already open.
    CheckoutOpen,
    /// A payment is due, and no payment method is registered.
    CheckoutRequired,
    /// Other objects depend on it, or it already exists.
    InUse,
}

/// An error that the caller can correct. Every other error is an entry in the response's `errors`, with
/// `extensions.code`.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserError {
    /// What went wrong, for programs.
    pub code: UserErrorCode,
    /// What went wrong, for people.
    pub message: String,
    /// Path of the invalid input field, below `input`.
    pub field: Option<Vec<String>>,
}

impl UserError {
    /// Names the invalid input field; `""` for none.
    pub fn new(code: UserErrorCode, field: &str, message: impl Into<String>) -> Self {
        let field = (!field.is_empty()).then(|| field.split('.').map(str::to_owned).collect());
        Self { code, message: message.into(), field }
    }
}

/// How an error of a feature is reported to a client.
pub enum ErrorClass {
    /// In a payload, as an error that the caller can correct.
    Mend(UserError),
    /// In `errors`: the field fails.
    Refuse(ApiError),
}

/// Turns a rule's result into a payload's result: errors that the caller can correct stay values.
///
/// # Errors
/// Errors that the caller cannot correct.
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

/// A query has no payload: an error that the caller can correct becomes an invalid input.
impl From<ErrorClass> for ApiError {
    fn from(meaning: ErrorClass) -> Self {
        match meaning {
            ErrorClass::Refuse(error) => error,
            ErrorClass::Mend(error) => Self::bad_input(error.field.unwrap_or_default().join("."), error.message),
        }
    }
}

/// Defines a mutation's payload: the changed object, nullable, and the errors that the caller can correct.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $ty:ty }) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            $(#[$field_doc])*
            pub $field: Option<$ty>,
            /// Errors that the caller can correct. Empty when the mutation succeeded.
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
