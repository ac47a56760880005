//! A connection that is in use.

use std::sync::Arc;

use deadpool_postgres::Pool;

use super::{
    DbError, Location,
    connection_handoff::{Connection, ConnectionHandoff, PendingCommit},
    flush::write_now,
    schemas,
    stores::Lease,
    tenant_fair_share::Place,
};

/// How many callers may wait for each connection of a pool; further callers are refused at once.
const WAITING_EACH: usize = 128;

/// A connection that is in use. Fields drop in this order: the connection goes back before its places are freed.
pub(super) struct HeldConnection {
    pub client: Arc<Connection>,
    /// The same connection, when the transaction before is not yet committed.
    pub uncommitted: Option<PendingCommit>,
    pub(super) schema: Seen,
    /// The pool whose callers may wait for this connection.
    pub(super) wanted_by: Option<Arc<ConnectionHandoff>>,
    /// The lease in the store, when it is a tenant's own store.
    pub(super) _lease: Option<Lease>,
    /// The place in the tenant's share of the shared store.
    pub(super) _place: Option<Place>,
}

/// Which tables a connection sees.
pub(super) enum Seen {
    Schema(&'static str),
    Own(Arc<Location>),
}

impl HeldConnection {
    /// A connection of this pool, which sees this schema.
    pub(super) async fn of(pool: &Pool, schema: &'static str) -> Result<Self, DbError> {
        bounded(pool)?;
        Ok(Self::new(Connection::new(pool.get().await?), Seen::Schema(schema)))
    }

    /// A connection to the shared store. `place` is the caller's place in its tenant's share, if it needs one.
    pub(super) async fn shared(pool: &Arc<ConnectionHandoff>, place: Option<Place>) -> Result<Self, DbError> {
        bounded(pool.pool())?;
        let (client, uncommitted) = pool.get().await?.into_parts();
        let held = Self::new(client, Seen::Schema(schemas::SHARED_SCHEMA));
        Ok(Self { uncommitted, wanted_by: Some(pool.clone()), _place: place, ..held })
    }

    pub(super) fn new(client: Arc<Connection>, schema: Seen) -> Self {
        Self { client, uncommitted: None, schema, wanted_by: None, _lease: None, _place: None }
    }

    /// The schema whose tables it sees.
    pub(super) fn schema(&self) -> &str {
        match &self.schema {
            Seen::Schema(schema) => schema,
            Seen::Own(location) => &location.schema,
        }
    }

    /// Ends a transaction that has only read and in which nothing failed.
    pub(super) fn end_read(self) {
        let Self { client, wanted_by, _lease, _place, .. } = self;
        match wanted_by {
            Some(pool) => pool.hand_on(client),
            None => write_now(client.batch_execute("commit")),
        }
    }

    /// Hands the connection on before it has answered. `unanswered` counts the transactions on it that may not have
    /// been answered: see [`ConnectionHandoff::hand_on_unanswered`].
    pub(super) fn hand_on_unanswered(&self, unanswered: usize) -> bool {
        self.wanted_by.as_ref().is_some_and(|pool| pool.hand_on_unanswered(&self.client, unanswered))
    }

    /// Removes the connection from its pool and closes it.
    pub(super) fn close(self) {
        self.client.spoil();
    }
}

/// Refuses the caller when too many already wait for the pool.
fn bounded(pool: &Pool) -> Result<(), DbError> {
    let status = pool.status();
    if status.waiting > status.max_size * WAITING_EACH {
        return Err(DbError::Unavailable("too many requests are waiting for a connection".into()));
    }
    Ok(())
}
