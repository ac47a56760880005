//! Decides when loaders run: as soon as the execution of a request cannot continue without them.
//!
//! async-graphql's `DataLoader` passes each batch to a spawner after a delay. Spawned on the runtime, a batch can
//! start on another thread while its siblings are still adding keys, and `bookings { service customer }` costs a
//! different number of statements each time. Here, batches wait in a queue of their request, and [`drive`] polls them
//! only when the execution is idle: then everything that one level can request has been requested.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{Stream, future::BoxFuture, stream::FuturesUnordered};
use parking_lot::Mutex;

/// The waiting batches of one request.
#[derive(Clone, Default)]
pub struct LoadQueue(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl LoadQueue {
    /// Adds a batch. This is the spawner of a `DataLoader`.
    pub fn push(&self, batch: BoxFuture<'static, ()>) {
        self.0.lock().push(batch);
    }

    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut self.0.lock())
    }
}

/// Runs an execution together with the batches that it requests.
pub async fn drive<T>(execution: impl Future<Output = T>, queue: LoadQueue) -> T {
    let mut execution = pin!(execution);
    let mut running = FuturesUnordered::new();
    poll_fn(move |cx| {
        loop {
            // An execution that woke itself has more keys to add before it waits: batches must not start yet.
            let busy = Arc::new(BusyWaker { outer: cx.waker().clone(), woken: AtomicBool::new(false) });
            if let Poll::Ready(value) = execution.as_mut().poll(&mut Context::from_waker(&Waker::from(busy.clone()))) {
                return Poll::Ready(value);
            }
            if busy.woken.load(Ordering::Acquire) {
                return Poll::Pending; // The wake was forwarded, so this is polled again at once.
            }
            running.extend(queue.take());
            match Stream::poll_next(pin!(&mut running), cx) {
                Poll::Ready(Some(())) => {} // A batch has completed a load: continue.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Forwards wakes, and records them.
struct BusyWaker {
    outer: Waker,
    woken: AtomicBool,
}

impl Wake for BusyWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.outer.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::atomic::AtomicUsize, time::Duration};

    use async_graphql::dataloader::{DataLoader, Loader};
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    struct Counting(Arc<AtomicUsize>);

    impl Loader<u32> for Counting {
        type Value = u32;
        type Error = ();

        async fn load(&self, keys: &[u32]) -> Result<HashMap<u32, u32>, ()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(keys.iter().map(|key| (*key, key * 2)).collect())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_level_of_five_hundred_is_one_batch() {
        for _ in 0..50 {
            let (queue, batches) = (LoadQueue::default(), Arc::new(AtomicUsize::new(0)));
            let spawner = queue.clone();
            let loader = DataLoader::new(Counting(batches.clone()), move |batch| spawner.push(batch))
                .delay(Duration::ZERO)
                .max_batch_size(usize::MAX);
            let level = |offset: u32| join_all((offset..offset + 500).map(|key| loader.load_one(key)));
            let execution = async {
                let first = level(0).await;
                let second = level(1000).await;
                (first.len(), second[1])
            };
            assert_eq!(drive(execution, queue).await, (500, Ok(Some(2002))));
            assert_eq!(batches.load(Ordering::Relaxed), 2);
        }
    }

    struct Doubling;

    impl Loader<u32> for Doubling {
        type Value = u32;
        type Error = ();

        async fn load(&self, keys: &[u32]) -> Result<HashMap<u32, u32>, ()> {
            Ok(keys.iter().map(|key| (*key, key * 2)).collect())
        }
    }

    /// A batch waits for every caller that can still add keys, but not for a clock: tokio's timer rounds a delay of
    /// zero up to a millisecond.
    #[tokio::test]
    async fn a_batch_waits_for_no_clock() {
        let queue = LoadQueue::default();
        let spawner = queue.clone();
        let loader = DataLoader::new(Doubling, move |batch| spawner.push(batch)).delay(Duration::ZERO);
        assert_eq!(drive(loader.load_one(1), queue).now_or_never(), Some(Ok(Some(2))));
    }
}
