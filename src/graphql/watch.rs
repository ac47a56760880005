//! What a subscription waits for.

use std::time::Duration;

use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use crate::db::{Change, DbError};

/// How often whoever watches looks by himself, unless said.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why it is time to read.
#[derive(Clone, Copy, Debug)]
pub enum WatchEvent {
    /// This changed.
    Of(Change),
    /// Nobody told of anything, or of more than could be kept.
    Look,
}

/// Waits for changes of a tenant.
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

    /// The next hint, or that it is time to look.
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

/// Whether it is worth waiting for: nothing is said about who asks.
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
