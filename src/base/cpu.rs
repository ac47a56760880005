//! Runs work that takes a core for longer than a millisecond: off the async threads, a bounded number at a time, the
//! rest in a bounded queue. (Passwords have a queue of their own, `auth::passwords`, so that sign-in waits for nothing
//! else.)
//!
//! Each tenant runs one piece of work at a time. So a tenant with slow work delays itself and occupies at most one
//! core.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, Semaphore};

use super::ids::TenantId;

/// How long a piece of work may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many pieces may wait or run at once.
const MAX_QUEUE: usize = 64;

/// The work was not done, because too much is queued already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much work is queued already")]
pub struct Busy;

/// A bounded number of threads for blocking work.
#[derive(Clone)]
pub struct CpuPool {
    running: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    turns: Arc<Mutex<HashMap<TenantId, Arc<Turn<()>>>>>,
}

impl Default for CpuPool {
    /// As many pieces at a time as there are cores, at least two.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            running: Arc::new(Semaphore::new(cores.max(2))),
            queue: Arc::new(Semaphore::new(MAX_QUEUE)),
            turns: Arc::default(),
        }
    }
}

/// The pool of this process, which has one set of cores.
static POOL: LazyLock<CpuPool> = LazyLock::new(CpuPool::default);

/// [`CpuPool::run`] in the pool of this process.
///
/// # Errors
/// [`Busy`].
pub async fn run<T: Send + 'static>(tenant: TenantId, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
    POOL.run(tenant, work).await
}

impl CpuPool {
    /// Runs a piece of this tenant's work on a thread of its own when its turn comes. If the caller is dropped, the
    /// work still runs to its end, which releases the turn.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full, when the turn does not come within 3 seconds, or when the work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        tenant: TenantId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = self.queue.clone().try_acquire_owned().map_err(|_| Busy)?;
        // Declared first, so dropped last: by then this turn is released.
        let forget = Forget { pool: self.clone(), tenant };
        let turn = self.turns.lock().entry(tenant).or_default().clone();
        let begin = async { (turn.lock_owned().await, self.running.clone().acquire_owned().await) };
        let (turn, permit) = tokio::time::timeout(PATIENCE, begin).await.map_err(|_| Busy)?;
        let permit = permit.map_err(|_| Busy)?;
        let task = tokio::task::spawn_blocking(move || {
            let _forget = forget;
            let _held = (turn, permit, place);
            work()
        });
        task.await.map_err(|_| Busy)
    }
}

/// Removes a tenant's turn once nothing waits for it.
struct Forget {
    pool: CpuPool,
    tenant: TenantId,
}

impl Drop for Forget {
    fn drop(&mut self) {
        let mut turns = self.pool.turns.lock();
        // A turn that is held or awaited has more owners than the map; the last owner finds it with a count of one.
        if turns.get(&self.tenant).is_some_and(|it| Arc::strong_count(it) == 1) {
            turns.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use jiff::Timestamp;

    use super::*;

    fn tenant() -> TenantId {
        TenantId::generate(Timestamp::now())
    }

    #[tokio::test]
    async fn a_tenant_waits_for_itself_and_nobody_for_it() {
        let pool = CpuPool::default();
        let (slow, other) = (tenant(), tenant());
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let held = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(slow, move || gate.recv().is_ok()).await }
        });
        while pool.running.available_permits() == pool.queue.available_permits() || pool.turns.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(slow, Instant::now).await }
        });
        assert_eq!(pool.run(other, || 7).await, Ok(7), "another tenant's work goes on");
        let before = Instant::now();
        assert!(!second.is_finished());
        open.send(()).unwrap();
        assert_eq!(held.await.unwrap(), Ok(true));
        assert!(second.await.unwrap().unwrap() > before);
        assert_eq!(pool.turns.lock().len(), 0, "and is forgotten");
    }

    #[tokio::test]
    async fn the_queue_has_an_end_and_places_come_back() {
        let pool = CpuPool { queue: Arc::new(Semaphore::new(1)), ..CpuPool::default() };
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let held = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(tenant(), move || gate.recv().is_ok()).await }
        });
        while pool.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run(tenant(), || 1).await, Err(Busy));
        drop(open);
        assert_eq!(held.await.unwrap(), Ok(false));
        assert_eq!(pool.run(tenant(), || 1).await, Ok(1));
        assert_eq!(pool.run(tenant(), || panic!("a bug")).await, Err::<(), _>(Busy));
        assert_eq!(pool.run(tenant(), || 1).await, Ok(1), "a panic gives its place back");
    }
}
