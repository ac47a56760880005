//! The loaders of one transaction. They are never shared with another transaction: a process-wide loader would be a
//! cross-tenant leak.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_graphql::dataloader::{DataLoader, HashMapCache};

use super::{
    bookings::BookingLoader,
    counted::{Cached, Counted},
    resources::ResourceLoader,
    series::SeriesLoader,
    services::ServiceLoader,
    tenants::TenantLoader,
    users::UserLoader,
};
use crate::{db::ScopedTx, graphql::batching::LoadQueue};

/// Every loader of one transaction. Each is created on first use: a request needs one or two.
pub struct Loaders {
    tx: Arc<ScopedTx>,
    queue: LoadQueue,
    tenants: OnceLock<Cached<TenantLoader>>,
    users: OnceLock<Cached<UserLoader>>,
    resources: OnceLock<Cached<ResourceLoader>>,
    services: OnceLock<Cached<ServiceLoader>>,
    bookings: OnceLock<Cached<BookingLoader>>,
    series: OnceLock<Cached<SeriesLoader>>,
}

impl Loaders {
    /// Starts with empty caches; batches run when the queue's request is idle.
    pub fn new(tx: &Arc<ScopedTx>, queue: &LoadQueue) -> Self {
        Self {
            tx: tx.clone(),
            queue: queue.clone(),
            tenants: OnceLock::new(),
            users: OnceLock::new(),
            resources: OnceLock::new(),
            services: OnceLock::new(),
            bookings: OnceLock::new(),
            series: OnceLock::new(),
        }
    }

    /// The tenant.
    pub fn tenants(&self) -> &Cached<TenantLoader> {
        self.tenants.get_or_init(|| cached("tenants", TenantLoader(self.tx.clone()), &self.queue))
    }

    /// Users by id.
    pub fn users(&self) -> &Cached<UserLoader> {
        self.users.get_or_init(|| cached("users", UserLoader(self.tx.clone()), &self.queue))
    }

    /// Resources by id.
    pub fn resources(&self) -> &Cached<ResourceLoader> {
        self.resources.get_or_init(|| cached("resources", ResourceLoader(self.tx.clone()), &self.queue))
    }

    /// Services by id, and the resources of each.
    pub fn services(&self) -> &Cached<ServiceLoader> {
        self.services.get_or_init(|| cached("services", ServiceLoader(self.tx.clone()), &self.queue))
    }

    /// Bookings by id, their histories and resources, series, and pages of customers' bookings.
    pub fn bookings(&self) -> &Cached<BookingLoader> {
        self.bookings.get_or_init(|| cached("bookings", BookingLoader(self.tx.clone()), &self.queue))
    }

    /// Series by id.
    pub fn series(&self) -> &Cached<SeriesLoader> {
        self.series.get_or_init(|| cached("series", SeriesLoader(self.tx.clone()), &self.queue))
    }
}

fn cached<L>(name: &'static str, loader: L, queue: &LoadQueue) -> Cached<L> {
    let queue = queue.clone();
    // The queue decides when a batch is complete, so neither a delay nor a size limit cuts one short.
    DataLoader::with_cache(Counted { loader, name }, move |batch| queue.push(batch), HashMapCache::default())
        .delay(Duration::ZERO)
        .max_batch_size(usize::MAX)
}
