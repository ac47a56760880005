//! Who has background work to do: told by each commit of this process that left some, so that it begins at once.
//!
//! A hint only. What another process left, or one that is gone, is found by looking from time to time.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::ids::TenantId;

/// A set of tenants (or the directory, as `None`) and a bell.
#[derive(Debug, Default)]
pub struct Wakeups {
    waiting: Mutex<HashSet<Option<TenantId>>>,
    bell: Notify,
}

impl Wakeups {
    /// Rings for this tenant's store, or for the directory.
    pub fn ring(&self, tenant: Option<TenantId>) {
        self.lock().insert(tenant);
        self.bell.notify_one();
    }

    /// Waits until somebody rang, and returns for whom.
    pub async fn heard(&self) -> Vec<Option<TenantId>> {
        loop {
            let waiting: Vec<_> = self.lock().drain().collect();
            if !waiting.is_empty() {
                return waiting;
            }
            self.bell.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Option<TenantId>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
