//! What time it is. Rules ask the [`Clock`] of their request, never the system, so that tests can set it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;

/// A source of the present instant.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds since 1970 while the clock is set by hand.
    set: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { set: None }
    }

    /// A clock that stands still until it is moved.
    pub fn standing_at(instant: Timestamp) -> Self {
        Self { set: Some(Arc::new(AtomicI64::new(instant.as_millisecond()))) }
    }

    /// The present instant, to the millisecond (what the database keeps is to the microsecond, so nothing is lost).
    pub fn now(&self) -> Timestamp {
        let millis = match &self.set {
            Some(set) => set.load(Ordering::Relaxed),
            None => Timestamp::now().as_millisecond(),
        };
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Moves a clock that was set by hand; the system's clock stays as it is.
    pub fn advance(&self, by: jiff::SignedDuration) {
        if let Some(set) = &self.set {
            set.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
        }
    }
}
