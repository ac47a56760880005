//! Limits how many connections one tenant may hold, so that one tenant's load leaves some for the others. (A read that
//! has handed its connection on and whose request has timed out holds none.)

use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::AtomicUsize},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::DbError;
use crate::base::{counted::Counted, ids::TenantId};

/// How many callers may wait for each connection of a tenant's share; further callers are refused at once.
const WAITING_EACH: usize = 64;
/// How many tenants are remembered before those that hold nothing are forgotten.
const MANY: usize = 4_096;

/// Every tenant's share of a pool.
#[derive(Debug)]
pub(super) struct TenantFairShare {
    each: usize,
    wait: Duration,
    tenants: Mutex<HashMap<TenantId, Weak<Share>>>,
}

#[derive(Debug)]
struct Share {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A place in a tenant's share, held as long as a connection is.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    /// Keeps the share in memory while any of its places is held.
    _share: Arc<Share>,
}

impl TenantFairShare {
    /// `each` connections per tenant, and at most `wait` for one.
    pub(super) fn new(each: usize, wait: Duration) -> Self {
        Self { each, wait, tenants: Mutex::default() }
    }

    /// Waits for a place in the tenant's share.
    pub(super) async fn place(&self, tenant: TenantId) -> Result<Place, DbError> {
        let share = self.share(tenant);
        let free = share.free.clone();
        if let Ok(permit) = free.clone().try_acquire_owned() {
            return Ok(Place { _permit: permit, _share: share });
        }
        let exhausted = || DbError::Unavailable("the tenant's share of the connections is exhausted".into());
        let _waiting = Counted::up_to(self.each * WAITING_EACH, &share.waiting).ok_or_else(exhausted)?;
        let permit = tokio::time::timeout(self.wait, free.acquire_owned()).await;
        let permit = permit.ok().and_then(Result::ok).ok_or_else(exhausted)?;
        Ok(Place { _permit: permit, _share: share.clone() })
    }

    fn share(&self, tenant: TenantId) -> Arc<Share> {
        let mut tenants = self.tenants.lock();
        if let Some(share) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return share;
        }
        if tenants.len() >= MANY {
            tenants.retain(|_, it| it.strong_count() > 0);
        }
        let share = Arc::new(Share { free: Arc::new(Semaphore::new(self.each)), waiting: AtomicUsize::new(0) });
        tenants.insert(tenant, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId(uuid::Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn one_tenant_cannot_take_anothers_share() {
        let shares = TenantFairShare::new(2, Duration::from_millis(20));
        let _held = (shares.place(tenant(1)).await.unwrap(), shares.place(tenant(1)).await.unwrap());
        assert!(shares.place(tenant(1)).await.is_err());
        let other = shares.place(tenant(2)).await;
        assert!(other.is_ok());
        drop(_held);
        assert!(shares.place(tenant(1)).await.is_ok());
    }

    #[tokio::test]
    async fn no_queue_is_without_bound_and_nobody_is_remembered_for_ever() {
        let shares = Arc::new(TenantFairShare::new(1, Duration::from_secs(60)));
        let held = shares.place(tenant(1)).await.unwrap();
        let waiting: Vec<_> = (0..WAITING_EACH)
            .map(|_| {
                let shares = shares.clone();
                tokio::spawn(async move { shares.place(tenant(1)).await.is_ok() })
            })
            .collect();
        while shares.share(tenant(1)).waiting.load(Ordering::Relaxed) < WAITING_EACH {
            tokio::task::yield_now().await;
        }
        assert!(shares.place(tenant(1)).await.is_err(), "at once, although the wait is a minute");
        drop(held);
        for it in waiting {
            assert!(it.await.unwrap());
        }
        for number in 2..2 + MANY as u128 {
            drop(shares.place(tenant(number)).await.unwrap());
        }
        drop(shares.place(tenant(1_000_000)).await.unwrap());
        assert!(shares.tenants.lock().len() < MANY);
    }
}
