//! The loaders of one transaction. Never shared with another: a process-wide loader would be a cross-tenant leak.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};

use super::batching::LoadQueue;
use crate::{
    bookings::loaders::BookingLoader, db::ScopedTx, resources::loaders::ResourceLoader, series::loaders::SeriesLoader,
    services::loaders::ServiceLoader, telemetry, tenants::loaders::TenantLoader, users::loaders::UserLoader,
};

/// A loader with the cache of its request.
pub type Cached<L> = DataLoader<Counted<L>, HashMapCache>;

/// A loader whose batches are counted.
pub struct Counted<L> {
    loader: L,
    name: &'static str,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static, L: Loader<K>> Loader<K> for Counted<L> {
    type Value = L::Value;
    type Error = L::Error;

    async fn load(&self, keys: &[K]) -> Result<HashMap<K, L::Value>, L::Error> {
        telemetry::note_batch(self.name, keys.len());
        self.loader.load(keys).await
    }
}

/// Every loader, around one transaction.
pub struct Loaders {
    /// The tenant.
    pub tenants: Cached<TenantLoader>,
    /// Users by id.
    pub users: Cached<UserLoader>,
    /// Resources by id.
    pub resources: Cached<ResourceLoader>,
    /// Services by id, and the resources of each.
    pub services: Cached<ServiceLoader>,
    /// Bookings by id, histories, and pages of customers' bookings.
    pub bookings: Cached<BookingLoader>,
    /// Series by id.
    pub series: Cached<SeriesLoader>,
}

impl Loaders {
    /// Empty caches; batches run when the queue's request is idle.
    pub fn new(tx: &Arc<ScopedTx>, queue: &LoadQueue) -> Self {
        Self {
            tenants: cached("tenants", TenantLoader(tx.clone()), queue),
            users: cached("users", UserLoader(tx.clone()), queue),
            resources: cached("resources", ResourceLoader(tx.clone()), queue),
            services: cached("services", ServiceLoader(tx.clone()), queue),
            bookings: cached("bookings", BookingLoader(tx.clone()), queue),
            series: cached("series", SeriesLoader(tx.clone()), queue),
        }
    }
}

fn cached<L>(name: &'static str, loader: L, queue: &LoadQueue) -> Cached<L> {
    let queue = queue.clone();
    // The queue decides when a batch is complete, so there is neither a delay nor a size that would cut one short.
    DataLoader::with_cache(Counted { loader, name }, move |batch| queue.push(batch), HashMapCache::default())
        .delay(Duration::ZERO)
        .max_batch_size(usize::MAX)
}
