//! The current time. Rules ask the [`Clock`] of their request, never the system, so that tests can set it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;

/// A source of the current instant.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds since 1970, when the clock is set manually; `None` for the system clock.
    set: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { set: None }
    }

    /// A clock that stands still until it is advanced.
    pub fn standing_at(instant: Timestamp) -> Self {
        Self { set: Some(Arc::new(AtomicI64::new(instant.as_millisecond()))) }
    }

    /// The current instant, in milliseconds. (The database stores microseconds, so nothing is lost.)
    pub fn now(&self) -> Timestamp {
        let millis = match &self.set {
            Some(set) => set.load(Ordering::Relaxed),
            None => Timestamp::now().as_millisecond(),
        };
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Advances a clock that was set manually; has no effect on the system clock.
    pub fn advance(&self, by: jiff::SignedDuration) {
        if let Some(set) = &self.set {
            set.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
        }
    }
}
