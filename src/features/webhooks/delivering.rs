//! Messages to endpoints: created for an event, sent, and recorded. For background work.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::{
    Delivery, DeliveryStatus, Disabled, Endpoint, OVERLAP, PATIENCE,
    endpoints::{KEPT, LONGEST_PAUSE, QUIET},
    queries,
};
use crate::{
    base::{
        egress::{Answer, Message, WebhookClient},
        ids::{WebhookDeliveryId, WebhookEndpointId},
    },
    core::{
        audit::{self, Changes, Event},
        identity::Origin,
        outbox::{self, Effect, derived_id},
    },
    db::{DbError, ScopedTx},
    features::{
        bookings::{self, Happened},
        mail::{Letter, Subject},
        tenants, users,
    },
};

/// Creates a message for each endpoint that receives this event.
pub async fn follow(tx: &ScopedTx, happened: &Happened, now: Timestamp) -> Result<(), DbError> {
    let endpoints = queries::list(tx).await?;
    let listens = |it: &Endpoint| it.enabled && (it.events.is_empty() || it.events.contains(&happened.event));
    let endpoints: Vec<Endpoint> = endpoints.into_iter().filter(listens).collect();
    if endpoints.is_empty() {
        return Ok(());
    }
    let id = happened.booking;
    let Some(booking) = bookings::by_ids(tx, &[id]).await?.remove(&id) else { return Ok(()) };
    let resources = bookings::resources_of(tx, &[id]).await?.remove(&id).unwrap_or_default();
    let body = json!({
        "type": happened.event.as_str(),
        "timestamp": happened.at.to_string(),
        "data": {
            "id": id.to_string(),
            "version": happened.version,
            "status": happened.status.as_str(),
            "startsAt": happened.starts_at.to_string(),
            "endsAt": happened.ends_at.to_string(),
            "timeZone": booking.time_zone.iana_name(),
            "serviceId": booking.service.to_string(),
            "customerId": booking.customer.to_string(),
            "resourceIds": resources.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "seriesId": booking.series.map(|it| it.to_string()),
        }
    })
    .to_string();
    for endpoint in endpoints {
        let delivery = derived_id(happened.effect, &endpoint.id.to_string());
        queries::insert_delivery(tx, delivery, endpoint.id, happened.event.as_str(), &body, happened.at).await?;
        let send = derived_id(happened.effect, &format!("{} send", endpoint.id));
        outbox::enqueue_as(tx, send, &Effect::SendWebhook { delivery }, now).await?;
    }
    Ok(())
}

/// A message to send now.
#[derive(Debug)]
pub struct Due {
    delivery: Delivery,
    endpoint: Endpoint,
    secrets: Vec<Vec<u8>>,
}

impl Due {
    /// Sends the message once.
    pub async fn send(&self, client: &WebhookClient, now: Timestamp) -> Answer {
        let (id, url, body) = (self.delivery.id.to_string(), &self.endpoint.url, &self.delivery.body);
        client.send(&Message { id: &id, url, body, secrets: &self.secrets }, now).await
    }
}

/// What to do with a message.
#[derive(Debug)]
pub enum Next {
    /// Send it.
    Send(Box<Due>),
    /// Wait: the endpoint has just failed.
    Wait,
    /// Do nothing: the message was delivered or is no longer needed.
    Nothing,
}

/// Decides what to do with a message. `last` marks the last attempt, which does not wait.
pub async fn next(tx: &ScopedTx, delivery: Uuid, last: bool, now: Timestamp) -> Result<Next, DbError> {
    let Some(delivery) = queries::delivery(tx, WebhookDeliveryId(delivery)).await? else { return Ok(Next::Nothing) };
    if delivery.status != DeliveryStatus::Pending {
        return Ok(Next::Nothing);
    }
    let Some(endpoint) = queries::by_id(tx, delivery.endpoint, false).await? else { return Ok(Next::Nothing) };
    if !endpoint.enabled {
        queries::note_attempt(tx, delivery.id, DeliveryStatus::Failed, None, "the endpoint is disabled").await?;
        return Ok(Next::Nothing);
    }
    if !last && endpoint.paused_until.is_some_and(|it| it > now) {
        return Ok(Next::Wait);
    }
    let secrets = queries::secrets(tx, endpoint.id, now - OVERLAP).await?;
    Ok(Next::Send(Box::new(Due { delivery, endpoint, secrets })))
}

/// Records the outcome of an attempt; `last` marks the last one. Returns whether the message is settled.
pub async fn note(tx: &ScopedTx, due: &Due, answer: &Answer, last: bool, now: Timestamp) -> Result<bool, DbError> {
    let (delivery, id) = (&due.delivery, due.endpoint.id);
    let outcome = match answer {
        Answer::Status(status) => format!("status {status}"),
        Answer::None(why) => (*why).to_owned(),
    };
    let at = Some(now);
    let Some(endpoint) = queries::by_id(tx, id, true).await? else { return Ok(true) };
    if matches!(answer, Answer::Status(200..=299)) {
        queries::note_attempt(tx, delivery.id, DeliveryStatus::Delivered, at, &outcome).await?;
        if endpoint.failures > 0 {
            queries::note_health(tx, id, (0, None, None), None, now).await?;
        }
        return Ok(true);
    }
    // Days without an attempt do not count as days of failure.
    let was_tried = endpoint.paused_until.is_some_and(|it| now.duration_since(it) < QUIET);
    let since = endpoint.failing_since.filter(|_| was_tried).unwrap_or(now);
    let disabled = match answer {
        Answer::Status(410) => Some(Disabled::Gone),
        _ if now.duration_since(since) >= PATIENCE => Some(Disabled::Failing),
        _ => None,
    };
    let settled = last || disabled.is_some();
    let status = if settled { DeliveryStatus::Failed } else { DeliveryStatus::Pending };
    queries::note_attempt(tx, delivery.id, status, at, &outcome).await?;
    let failures = endpoint.failures.saturating_add(1);
    let disabled = disabled.filter(|_| endpoint.enabled);
    queries::note_health(tx, id, (failures, Some(since), Some(now + pause(failures))), disabled, now).await?;
    if let Some(reason) = disabled {
        let facts = Changes::default().field("enabled", true, false).field("reason", json!(null), reason.as_str());
        let event = Event::of_work("webhooks.disable", "webhook_endpoint", Some(id.0)).with(facts);
        audit::record_as(tx, event, now, &Origin::default()).await?;
        for user in users::administrators(tx).await? {
            let mail = Effect::MailWebhookDisabled { endpoint: id.0, user: user.id.0 };
            outbox::enqueue(tx, &mail, now).await?;
        }
    }
    Ok(settled)
}

/// Five seconds, doubled with each further failure.
fn pause(failures: i32) -> SignedDuration {
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(10);
    (SignedDuration::from_secs(5) * 2_i32.pow(doublings)).min(LONGEST_PAUSE)
}

/// Removes messages and secrets whose retention period is over.
pub async fn purge(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    queries::purge(tx, now - KEPT, now - OVERLAP).await
}

/// The mail to an administrator about a disabled endpoint; `None` when the endpoint is enabled again, or the user is no
/// administrator. For background work.
pub async fn letter(tx: &ScopedTx, endpoint: Uuid, user: Uuid) -> Result<Option<Letter>, DbError> {
    let endpoint = queries::by_id(tx, WebhookEndpointId(endpoint), false).await?;
    let Some(endpoint) = endpoint.filter(|it| it.disabled_reason.is_some()) else { return Ok(None) };
    let administrators = users::administrators(tx).await?;
    let Some(reader) = administrators.into_iter().find(|it| it.id.0 == user) else { return Ok(None) };
    let tenant = tenants::current(tx).await?;
    let subject = Subject::WebhookDisabled { name: reader.name, url: endpoint.url };
    Ok(Some(Letter::of(tenant, reader.email, subject)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        assert_eq!(pause(1), SignedDuration::from_secs(5));
        assert_eq!(pause(3), SignedDuration::from_secs(20));
        assert_eq!(pause(i32::MAX), LONGEST_PAUSE);
    }
}
