//! Schedules the next billing run.

use jiff::Timestamp;

use super::subscriptions::{self, Subscription};
use crate::{
    core::outbox::{self, Effect},
    db::{DbError, ScopedTx},
};

/// Schedules a billing run for the end of the current period.
pub async fn schedule(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    let Some(subscription) = subscriptions::current(tx).await?.filter(Subscription::is_alive) else { return Ok(()) };
    let at = subscriptions::last_period(tx, subscription.id).await?.ends_at;
    let effect = outbox::derived_id(subscription.id.0, &format!("billing at {at}"));
    outbox::enqueue_as_at(tx, effect, &Effect::RunBilling, at, now).await
}
