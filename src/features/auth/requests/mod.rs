//! What was asked for in the name of an e-mail by somebody who is not signed in. The directory keeps it for seconds.

mod queries;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::Origin;
use crate::{
    db::{DbError, ScopedTx},
    ids::uuid_v7,
};

/// How long whoever took a request has to look into it, before somebody else may.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// Requests that are taken at once.
const AT_ONCE: i64 = 20;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A new password.
    PasswordReset,
    /// To sign in, with a wrong password: for the audit log.
    SignInFailed,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::PasswordReset => "PASSWORD_RESET",
            Self::SignInFailed => "SIGN_IN_FAILED",
        }
    }
}

/// A request that was taken to be looked into.
#[derive(Clone, Debug)]
pub struct Taken {
    pub id: Uuid,
    pub kind: Kind,
    pub email: String,
    /// The slug, where one was named.
    pub tenant: Option<String>,
    pub created_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    request: Option<Uuid>,
    address: Option<String>,
}

impl Taken {
    /// Where it came from.
    pub fn origin(&self) -> Origin {
        Origin { request_id: self.request.unwrap_or_default(), address: self.address.clone(), ..Origin::default() }
    }
}

/// Notes a request, and has background work look into it once the transaction has committed.
pub async fn insert(
    directory: &ScopedTx,
    kind: Kind,
    email: &str,
    tenant: Option<&str>,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), DbError> {
    // A slug that is too long is nobody's.
    let tenant = tenant.map(|it| it.chars().take(63).collect::<String>());
    queries::insert(directory, uuid_v7(now), kind, email, tenant.as_deref(), origin, now).await?;
    directory.wake_on_commit();
    Ok(())
}

/// Takes some requests, oldest first; whoever else looks at the same time gets others.
pub async fn take(directory: &ScopedTx, now: Timestamp) -> Result<Vec<Taken>, DbError> {
    queries::take(directory, AT_ONCE, now, now + LEASE).await
}

/// It was looked into.
pub async fn delete(directory: &ScopedTx, id: Uuid) -> Result<(), DbError> {
    queries::delete(directory, id).await
}
