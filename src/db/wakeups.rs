//! Who has background work to do: told by each commit of this process that left some, so that it begins at once.
//!
//! A hint only. What another process left, or one that is gone, is found by looking from time to time.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::base::ids::TenantId;

/// A set of tenants, and a bell for them and one for the directory.
#[derive(Debug, Default)]
pub struct Wakeups {
    tenants: Mutex<HashSet<TenantId>>,
    of_tenants: Notify,
    of_directory: Notify,
    of_stores: watch::Sender<()>,
}

impl Wakeups {
    /// Rings for this tenant's store, or for the directory.
    pub fn ring(&self, tenant: Option<TenantId>) {
        match tenant {
            Some(tenant) => {
                self.tenants.lock().insert(tenant);
                self.of_tenants.notify_one();
            }
            None => self.of_directory.notify_one(),
        }
    }

    /// Rings for whoever makes and moves stores.
    pub fn ring_for_stores(&self) {
        self.of_stores.send_replace(());
    }

    /// Changes when somebody rings for stores.
    pub fn stores(&self) -> watch::Receiver<()> {
        self.of_stores.subscribe()
    }

    /// Waits until somebody rang for tenants, and returns which.
    pub async fn tenants(&self) -> Vec<TenantId> {
        loop {
            let rung: Vec<_> = self.tenants.lock().drain().collect();
            if !rung.is_empty() {
                return rung;
            }
            self.of_tenants.notified().await;
        }
    }

    /// Waits until somebody rang for the directory.
    pub async fn directory(&self) {
        self.of_directory.notified().await;
    }
}
