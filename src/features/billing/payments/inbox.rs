//! The inbox for events from payment providers: each event is stored as received, then processed, both exactly once.
//!
//! The tenant of an event is found through the stored customer ids, never through data in the event itself.

use jiff::{SignedDuration, Timestamp};

use super::{
    NotYet, PaymentProvider,
    facts::apply,
    model::{DeadEvent, Waiting},
    queries,
};
use crate::{
    base::fault,
    db::{Access, DbError, Gate, Scope},
    features::billing::subscriptions,
};

/// How long a worker may process an event before another worker may take it.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// The number of attempts after which an event is given up: about two days.
const MAX_ATTEMPTS: i32 = 14;

/// The delay after the first failure; it doubles with each further one.
const FIRST_DELAY: SignedDuration = SignedDuration::from_secs(10);

/// The maximum delay.
const LONGEST_DELAY: SignedDuration = SignedDuration::from_hours(8);

/// How long a processed event is remembered: longer than providers repeat events.
const MEMORY: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Why an event was not accepted.
#[derive(Debug)]
pub enum ReceiveError {
    /// The event cannot be parsed.
    Unreadable(String),
    /// A statement failed: the provider should send the event again.
    Db(DbError),
}

impl From<DbError> for ReceiveError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Accepts a verified event. Once it is stored, the provider need not send it again. It is processed immediately if
/// possible.
///
/// # Errors
/// When the event could not be stored.
pub async fn receive(
    gate: &Gate,
    provider: &dyn PaymentProvider,
    body: &str,
    now: Timestamp,
) -> Result<(), ReceiveError> {
    let event = provider.read_event(body).map_err(ReceiveError::Unreadable)?;
    let waiting =
        Waiting { provider: provider.name().into(), event: event.id, kind: event.kind, body: body.into(), attempts: 0 };
    let directory = gate.directory(Scope::platform(None), Access::Write);
    let is_new = queries::keep_event(&directory, &waiting, now, now + LEASE).await?;
    directory.commit().await?;
    drop(directory);
    fault::point("payments.kept");
    if is_new {
        carry_out(gate, provider, &waiting, now).await?;
    }
    Ok(())
}

/// Processes waiting events, and returns how many. For background work.
pub async fn work_off(gate: &Gate, provider: &dyn PaymentProvider, now: Timestamp) -> Result<usize, DbError> {
    let directory = gate.directory(Scope::platform(None), Access::Write);
    let taken = queries::take_events(&directory, provider.name(), now, now + LEASE).await?;
    directory.commit().await?;
    drop(directory);
    for waiting in &taken {
        carry_out(gate, provider, waiting, now).await?;
    }
    Ok(taken.len())
}

/// Processes an event and records the outcome.
async fn carry_out(
    gate: &Gate,
    provider: &dyn PaymentProvider,
    waiting: &Waiting,
    now: Timestamp,
) -> Result<(), DbError> {
    let tried = have_effect(gate, provider, waiting, now).await;
    fault::point("payments.effect");
    let directory = gate.directory(Scope::platform(None), Access::Write);
    match tried {
        Ok(Some(tenant)) => queries::settle_event(&directory, waiting, "DONE", Some(tenant)).await?,
        Ok(None) => queries::settle_event(&directory, waiting, "IGNORED", None).await?,
        Err(why) => {
            let is_dead = waiting.attempts + 1 >= MAX_ATTEMPTS;
            let delay = FIRST_DELAY * 2_i32.pow(u32::try_from(waiting.attempts).unwrap_or(0).min(20));
            if is_dead {
                tracing::error!(
                    provider = waiting.provider,
                    event = waiting.event,
                    why,
                    "a payment event was given up after too many attempts"
                );
            }
            let again_at = now + delay.min(LONGEST_DELAY);
            queries::note_event_failure(&directory, waiting, &why, again_at, is_dead).await?;
        }
    }
    directory.commit().await
}

/// Applies the event and marks it as processed, in one transaction of its tenant. `None` when the event concerns no
/// known tenant.
async fn have_effect(
    gate: &Gate,
    provider: &dyn PaymentProvider,
    waiting: &Waiting,
    now: Timestamp,
) -> Result<Option<crate::base::ids::TenantId>, String> {
    let event = provider.read_event(&waiting.body)?;
    let Some(customer) = event.customer.filter(|_| !event.facts.is_empty()) else { return Ok(None) };
    let text = |error: DbError| error.to_string();
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let tenant = queries::tenant_of(&directory, &waiting.provider, &customer).await.map_err(text)?;
    directory.end_read();
    drop(directory);
    let Some(tenant) = tenant else { return Ok(None) };
    let tx = gate.tenant(Scope::worker(tenant), Access::Write);
    subscriptions::lock(&tx).await.map_err(text)?;
    if queries::note_handled(&tx, &waiting.provider, &waiting.event, now).await.map_err(text)? {
        for fact in &event.facts {
            apply(&tx, &waiting.provider, fact, event.at, now).await.map_err(|error| match error {
                NotYet::Unknown(what) => format!("{what} is not known here yet"),
                NotYet::Db(error) => error.to_string(),
            })?;
        }
    }
    fault::point("payments.uncommitted");
    tx.commit().await.map_err(text)?;
    Ok(Some(tenant))
}

/// Events that were given up, oldest first. In the directory, for platform administrators.
pub async fn dead(directory: &crate::db::ScopedTx) -> Result<Vec<DeadEvent>, DbError> {
    queries::dead_events(directory).await
}

/// Queues a given-up event again; `false` when there is no such event.
pub async fn revive(
    directory: &crate::db::ScopedTx,
    provider: &str,
    event: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    queries::revive_event(directory, provider, event, now).await
}

/// Removes events that were processed long ago.
pub async fn purge(gate: &Gate, now: Timestamp) -> Result<(), DbError> {
    let directory = gate.directory(Scope::platform(None), Access::Write);
    queries::purge_events(&directory, now - MEMORY).await?;
    directory.commit().await
}
