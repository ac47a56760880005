//! What anonymous callers have asked for, worked off later.

use jiff::{SignedDuration, Timestamp};

use super::{
    model::{ClaimedRequest, Kind},
    queries,
};
use crate::{
    base::ids::uuid_v7,
    core::identity::Origin,
    db::{DbError, ScopedTx},
};

/// How long whoever took a request has to look into it, before somebody else may.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// Requests that are taken at once.
const AT_ONCE: i64 = 20;

/// Notes a request, and has background work look into it once the transaction has committed.
pub(crate) async fn insert(
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
pub(crate) async fn take(directory: &ScopedTx, now: Timestamp) -> Result<Vec<ClaimedRequest>, DbError> {
    queries::take(directory, AT_ONCE, now, now + LEASE).await
}
