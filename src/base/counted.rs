//! A counter of how many callers are in a section at the moment.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts one caller until it is dropped.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    /// Counts one more.
    pub(crate) fn one(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }

    /// Counts one more, or returns `None` when there are `most` already.
    pub(crate) fn up_to(most: usize, count: &'a AtomicUsize) -> Option<Self> {
        let one_more = |counted| (counted < most).then_some(counted + 1);
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok().map(|_| Self(count))
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
