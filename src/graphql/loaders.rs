//! The loaders of one transaction. Never shared with another: a process-wide loader would be a cross-tenant leak.

use std::{sync::Arc, time::Duration};

use async_graphql::dataloader::{DataLoader, HashMapCache};

use super::batching::LoadQueue;
use crate::{
    bookings::loaders::BookingLoader, db::ScopedTx, services::loaders::ServiceLoader, tenants::loaders::TenantLoader,
    users::loaders::UserLoader,
};

/// A loader with the cache of its request.
pub type Cached<L> = DataLoader<L, HashMapCache>;

/// Every loader, around one transaction.
pub struct Loaders {
    /// The tenant.
    pub tenants: Cached<TenantLoader>,
    /// Users by id.
    pub users: Cached<UserLoader>,
    /// Services by id.
    pub services: Cached<ServiceLoader>,
    /// Bookings by id, histories, and pages of customers' bookings.
    pub bookings: Cached<BookingLoader>,
}

impl Loaders {
    /// Empty caches; batches run when the queue's request is idle.
    pub fn new(tx: &Arc<ScopedTx>, queue: &LoadQueue) -> Self {
        Self {
            tenants: cached(TenantLoader(tx.clone()), queue),
            users: cached(UserLoader(tx.clone()), queue),
            services: cached(ServiceLoader(tx.clone()), queue),
            bookings: cached(BookingLoader(tx.clone()), queue),
        }
    }
}

fn cached<L>(loader: L, queue: &LoadQueue) -> Cached<L> {
    let queue = queue.clone();
    // The queue decides when a batch is complete, so there is neither a delay nor a size that would cut one short.
    DataLoader::with_cache(loader, move |batch| queue.push(batch), HashMapCache::default())
        .delay(Duration::ZERO)
        .max_batch_size(usize::MAX)
}
