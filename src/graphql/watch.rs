//! Waiting for changes, for subscriptions.

use std::time::Duration;

use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use crate::db::{Change, DbError};

/// Default interval at which a subscription looks for changes by itself.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The reason to read again.
#[derive(Clone, Copy, Debug)]
pub enum WatchEvent {
    /// A hint that this changed.
    Of(Change),
    /// No hint came for a while, or hints were lost.
    Look,
}

/// Waits for changes in a tenant.
pub struct Watch {
    hints: Receiver<Change>,
    looks: Interval,
}

impl Watch {
    pub(crate) fn new(hints: Receiver<Change>, look_every: Duration) -> Self {
        let mut looks = interval_at(Instant::now() + look_every, look_every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { hints, looks }
    }

    /// Waits for the next hint, or until it is time to look.
    pub async fn next(&mut self) -> WatchEvent {
        tokio::select! {
            _ = self.looks.tick() => WatchEvent::Look,
            hint = self.hints.recv() => match hint {
                Ok(change) => WatchEvent::Of(change),
                Err(RecvError::Lagged(_) | RecvError::Closed) => WatchEvent::Look,
            }
        }
    }
}

/// Whether the error is transient: it says nothing about the caller, and a retry makes sense.
pub fn is_passing(error: &DbError) -> bool {
    matches!(
        error,
        DbError::Unavailable(_)
            | DbError::Timeout
            | DbError::Contention(_)
            | DbError::TenantMoving
            | DbError::StoreMissing
    )
}
