//! A cache of where each tenant is, and the way to get a connection there.
//!
//! Entries never expire: the store itself reports (through `enter`) when a tenant is no longer there, and then the
//! directory is asked again. So outdated knowledge costs at most one refused statement.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool_postgres::Pool;
use futures_util::{FutureExt, future::BoxFuture};
use quick_cache::sync::Cache;
use tokio_postgres::Row;

use super::{
    DbError, Placement, Scope,
    connection_handoff::{Connection, ConnectionHandoff},
    held::{HeldConnection, Seen},
    stores::Stores,
    tenant_fair_share::TenantFairShare,
};
use crate::base::ids::TenantId;

/// How many tenants' placements are remembered.
const REMEMBERED: usize = 100_000;

/// How long a nonexistent tenant is remembered as nonexistent.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);

/// What the directory reported about a tenant.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// `None` when the tenant's own store is not created yet. A nonexistent tenant is looked up in the shared tables,
    /// where nothing is found: so the work done reveals nothing about whether a tenant exists.
    pub placement: Option<Placement>,
    /// Whether its writers wait, because it is about to move.
    pub is_moving: bool,
    /// Whether the directory knows the tenant.
    exists: bool,
    at: Instant,
}

impl Known {
    fn nothing(at: Instant) -> Self {
        Self { placement: Some(Placement::Shared), is_moving: false, exists: false, at }
    }
}

/// The tenants in the shared store, and the others with their placements.
pub(super) type Split = (Vec<TenantId>, Vec<(TenantId, Placement)>);

/// Asks the directory where these tenants are.
pub(super) type Locate = Box<dyn Fn(Vec<TenantId>) -> BoxFuture<'static, Result<Vec<Row>, DbError>> + Send + Sync>;

/// The pools that provide connections for tenants' transactions.
pub(super) struct Routes {
    /// Connections to the directory for these look-ups only: a holder of one of its other connections may be waiting
    /// for a look-up.
    pub locating: Pool,
    /// The look-up itself, in a transaction of its own. It is injected, because its parts are in a higher layer than
    /// this file.
    pub locate: Locate,
    pub shared: Arc<ConnectionHandoff>,
    pub shares: Arc<TenantFairShare>,
    pub stores: Arc<Stores>,
    /// How long a transaction waits for a tenant that is being moved.
    pub wait: Duration,
}

/// Where each tenant is.
pub(super) struct PlacementCache {
    routes: Routes,
    known: Cache<TenantId, Known>,
    /// Held while the directory is asked. Callers that waited for it find that it was asked.
    asking: tokio::sync::Mutex<()>,
}

impl PlacementCache {
    pub(super) fn new(routes: Routes) -> Self {
        Self { routes, known: Cache::new(REMEMBERED), asking: tokio::sync::Mutex::default() }
    }

    /// How long a transaction waits for a tenant that is being moved.
    pub(super) fn wait(&self) -> Duration {
        self.routes.wait
    }

    pub(super) fn stores(&self) -> &Stores {
        &self.routes.stores
    }

    /// Where the tenant is, as far as this process knows.
    pub(super) async fn of(&self, tenant: TenantId) -> Result<Placement, DbError> {
        if tenant.0.is_nil() {
            return Ok(Placement::Shared); // Stands for a nonexistent tenant, with the same amount of work.
        }
        let known = match self.known.get(&tenant) {
            Some(known) if known.exists || known.at.elapsed() < UNKNOWN_FOR => known,
            _ => self.look(tenant, Instant::now()).await?,
        };
        known.placement.ok_or(DbError::TenantNotHere)
    }

    /// Splits the tenants into those in the shared store and those with a store of their own, as far as this process
    /// knows.
    pub(super) async fn split(&self, tenants: &[TenantId]) -> Result<Split, DbError> {
        let is_unknown = |it: &TenantId| self.known.peek(it).is_none_or(|known| !known.exists);
        let unknown: Vec<TenantId> = tenants.iter().copied().filter(is_unknown).collect();
        if !unknown.is_empty() {
            let _asking = self.asking.lock().await;
            self.ask(&unknown).await?;
        }
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        for tenant in tenants {
            match self.known.peek(tenant).and_then(|it| it.placement) {
                Some(place @ Placement::Own(..)) => own.push((*tenant, place)),
                // A tenant that the directory does not know is looked up here, where nothing is found.
                _ => shared.push(*tenant),
            }
        }
        Ok((shared, own))
    }

    /// What the directory says now, or said after `since`.
    pub(super) async fn look(&self, tenant: TenantId, since: Instant) -> Result<Known, DbError> {
        if tenant.0.is_nil() {
            return Ok(Known::nothing(Instant::now()));
        }
        let _asking = self.asking.lock().await;
        if let Some(known) = self.known.peek(&tenant).filter(|it| it.at > since) {
            return Ok(known);
        }
        let mut found = self.ask(&[tenant]).await?;
        Ok(found.remove(&tenant).unwrap_or_else(|| Known::nothing(Instant::now())))
    }

    /// Boxed, because it is a transaction that another transaction waits for.
    fn ask<'a>(&'a self, tenants: &'a [TenantId]) -> BoxFuture<'a, Result<HashMap<TenantId, Known>, DbError>> {
        async move {
            let at = Instant::now();
            let rows = (self.routes.locate)(tenants.to_vec()).await?;
            let mut found = HashMap::new();
            for row in rows {
                let placement = Placement::read(row.get(1), row.get(2))?;
                // A tenant without its store does not count as known: this changes without any statement being refused.
                let is_ready: bool = row.get(4);
                let placement = is_ready.then_some(placement);
                let known = Known { placement, is_moving: row.get(3), exists: is_ready, at };
                found.insert(row.get::<_, TenantId>(0), known);
            }
            for tenant in tenants {
                let known = found.entry(*tenant).or_insert_with(|| Known::nothing(at));
                self.known.insert(*tenant, known.clone());
            }
            Ok(found)
        }
        .boxed()
    }

    /// A connection to the store at this placement, for this scope.
    pub(super) async fn connect(&self, scope: &Scope, placement: &Placement) -> Result<HeldConnection, DbError> {
        match placement {
            Placement::Own(_, location) => {
                let (client, lease) = self.routes.stores.connect(location).await?;
                let schema = Seen::Own(location.clone());
                Ok(HeldConnection { _lease: Some(lease), ..HeldConnection::new(Connection::new(client), schema) })
            }
            Placement::Shared => {
                let place = match scope.tenant() {
                    // Only for people: system work for a tenant must not wait behind that tenant's load, and a wait
                    // must not reveal whose an email address is.
                    Some(tenant) if scope.role().is_person() => Some(self.routes.shares.place(tenant).await?),
                    _ => None,
                };
                HeldConnection::shared(&self.routes.shared, place).await
            }
        }
    }

    /// Closes the pools that belong to it alone.
    pub(super) fn close(&self) {
        self.routes.locating.close();
        self.routes.stores.close();
    }
}
