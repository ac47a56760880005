//! Requests of anonymous callers, processed later.

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

/// How long a worker may process a request before another worker may take it.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// The number of requests taken at once.
const AT_ONCE: i64 = 20;

/// Queues a request, and wakes the background work once the transaction has committed.
pub(crate) async fn insert(
    directory: &ScopedTx,
    kind: Kind,
    email: &str,
    tenant: Option<&str>,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), DbError> {
    // No tenant has a longer slug.
    let tenant = tenant.map(|it| it.chars().take(63).collect::<String>());
    queries::insert(directory, uuid_v7(now), kind, email, tenant.as_deref(), origin, now).await?;
    directory.wake_on_commit();
    Ok(())
}

/// Takes some requests, oldest first. Concurrent callers get different ones.
pub(crate) async fn take(directory: &ScopedTx, now: Timestamp) -> Result<Vec<ClaimedRequest>, DbError> {
    queries::take(directory, AT_ONCE, now, now + LEASE).await
}
