//! Which tenants have background work to do. Every commit of this process that leaves some reports it, so that the work
//! starts at once.
//!
//! A hint only. Work left by another process, or by one that is gone, is found by polling.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::base::ids::TenantId;

/// A set of tenants, with one notification for them and one for the directory.
#[derive(Debug, Default)]
pub struct Wakeups {
    tenants: Mutex<HashSet<TenantId>>,
    of_tenants: Notify,
    of_directory: Notify,
    of_stores: watch::Sender<()>,
}

impl Wakeups {
    /// Signals work for this tenant's store, or for the directory.
    pub fn ring(&self, tenant: Option<TenantId>) {
        match tenant {
            Some(tenant) => {
                self.tenants.lock().insert(tenant);
                self.of_tenants.notify_one();
            }
            None => self.of_directory.notify_one(),
        }
    }

    /// Signals the task that creates and moves stores.
    pub fn ring_for_stores(&self) {
        self.of_stores.send_replace(());
    }

    /// Changes when work for stores is signalled.
    pub fn stores(&self) -> watch::Receiver<()> {
        self.of_stores.subscribe()
    }

    /// Waits until work is signalled for tenants, and returns which.
    pub async fn tenants(&self) -> Vec<TenantId> {
        loop {
            let rung: Vec<_> = self.tenants.lock().drain().collect();
            if !rung.is_empty() {
                return rung;
            }
            self.of_tenants.notified().await;
        }
    }

    /// Waits until work is signalled for the directory.
    pub async fn directory(&self) {
        self.of_directory.notified().await;
    }
}
