//! Webhooks of a tenant's own: its systems are told what becomes of bookings, signed, at least once.

mod addresses;
mod client;
pub mod graphql;
mod queries;

use std::str::FromStr;

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

pub use client::{Answer, Message, WebhookClient};

use crate::{
    audit::{self, Changes, Event},
    auth::{Caller, Origin, Role},
    bookings::{self, BookingEvent},
    db::{DbError, ScopedTx},
    ids::{BookingId, WebhookDeliveryId, WebhookEndpointId},
    mail::{Letter, Subject},
    outbox::{self, Effect, derived_id},
    paging::{Page, Slice},
    tenants, users,
};

/// Most endpoints of a tenant.
pub const MAX_ENDPOINTS: usize = 20;
/// Longest address, in characters.
const MAX_URL: usize = 2_000;
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 200;
/// How long secrets sign after a newer one was made.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(24);
/// How long an endpoint fails before it is disabled.
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(5 * 24);
/// How long messages are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Longest pause after a failure.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// An endpoint of a tenant's own systems.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Within the tenant.
    pub id: WebhookEndpointId,
    /// Where.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// Which events it is told of; empty for all.
    pub events: Vec<BookingEvent>,
    /// Whether it is told.
    pub enabled: bool,
    /// Why it is not, where no administrator did it.
    pub disabled_reason: Option<Disabled>,
    /// How many attempts have failed since one did not.
    pub failures: i32,
    /// Since when.
    pub failing_since: Option<Timestamp>,
    /// Nothing is sent before.
    pub paused_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why an endpoint was disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// It has failed for [`PATIENCE`].
    Failing,
    /// It said so, with status 410.
    Gone,
}

impl Disabled {
    fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "FAILING",
            Self::Gone => "GONE",
        }
    }
}

impl FromStr for Disabled {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        [Self::Failing, Self::Gone]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is no reason")))
    }
}

/// A message to an endpoint.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Within the tenant.
    pub id: WebhookDeliveryId,
    /// To whom.
    pub endpoint: WebhookEndpointId,
    /// What happened.
    pub event: String,
    /// As it is sent.
    pub body: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i32,
    /// When last.
    pub last_attempt_at: Option<Timestamp>,
    /// What came of that.
    pub last_outcome: Option<String>,
    /// When it happened.
    pub created_at: Timestamp,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// To be sent, perhaps again.
    Pending,
    /// Taken.
    Delivered,
    /// Given up.
    Failed,
}

impl DeliveryStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Delivered => "DELIVERED",
            Self::Failed => "FAILED",
        }
    }
}

impl FromStr for DeliveryStatus {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        [Self::Pending, Self::Delivered, Self::Failed]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is no status of a delivery")))
    }
}

/// Sort key of the list of messages: newest first.
pub type DeliveryKey = (Timestamp, Uuid);

/// A change of an endpoint. What is left out stays; an inner `None` takes it away.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// Where.
    pub url: Option<String>,
    /// At most 200 characters.
    pub description: Option<Option<String>>,
    /// Empty for all.
    pub events: Option<Vec<BookingEvent>>,
    /// Whether it is told.
    pub enabled: Option<bool>,
}

/// Why something could not be done with webhooks.
#[derive(Debug)]
pub enum WebhookError {
    /// The role does not allow it.
    Forbidden,
    /// Somebody acts as the administrator, and would be given a secret of his.
    Impersonated,
    /// There is no such endpoint, or no such message.
    NotFound,
    /// A field is out of its bounds: which, and what it may be.
    Invalid(&'static str, String),
    /// There are as many as there may be.
    TooMany,
    /// The message is on its way.
    Pending,
    /// The endpoint is disabled.
    EndpointDisabled,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for WebhookError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// A secret as its endpoint is given it, once: `whsec_` and base64.
pub struct NewSecret(pub String);

/// The tenant's endpoints, oldest first. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn list(caller: &Caller<'_>) -> Result<Vec<Endpoint>, WebhookError> {
    allow(caller)?;
    Ok(queries::list(caller.tx).await?)
}

/// Adds an endpoint, and returns it with the secret that signs what it is sent.
///
/// # Errors
/// See [`WebhookError`]; nothing is written then.
pub async fn create(
    caller: &Caller<'_>,
    client: &WebhookClient,
    url: String,
    description: Option<String>,
    events: Vec<BookingEvent>,
) -> Result<(Endpoint, NewSecret), WebhookError> {
    allow_secrets(caller)?;
    let (tx, now) = (caller.tx, caller.clock.now());
    queries::lock(tx).await?;
    if queries::list(tx).await?.len() >= MAX_ENDPOINTS {
        return Err(WebhookError::TooMany);
    }
    let endpoint = Endpoint {
        id: WebhookEndpointId::generate(now),
        url,
        description,
        events,
        enabled: true,
        disabled_reason: None,
        failures: 0,
        failing_since: None,
        paused_until: None,
        created_at: now,
    };
    let endpoint = checked(endpoint, client)?;
    queries::insert(tx, &endpoint).await?;
    let secret = add_secret(caller, endpoint.id).await?;
    audit::record(caller, "webhooks.create", "webhook_endpoint", Some(endpoint.id.0), changes(None, &endpoint)).await?;
    Ok((endpoint, secret))
}

/// Changes an endpoint. Enabled again, it begins without a memory of failures.
///
/// # Errors
/// See [`WebhookError`]; nothing is written then.
pub async fn update(
    caller: &Caller<'_>,
    client: &WebhookClient,
    id: WebhookEndpointId,
    patch: Patch,
) -> Result<Endpoint, WebhookError> {
    allow(caller)?;
    let (tx, now) = (caller.tx, caller.clock.now());
    let before = queries::by_id(tx, id, true).await?.ok_or(WebhookError::NotFound)?;
    let mut after = before.clone();
    after.url = patch.url.unwrap_or(after.url);
    after.description = patch.description.unwrap_or(after.description);
    after.events = patch.events.unwrap_or(after.events);
    after.enabled = patch.enabled.unwrap_or(after.enabled);
    if after.enabled {
        after.disabled_reason = None;
    }
    if (after.enabled && !before.enabled) || after.url != before.url {
        (after.failures, after.failing_since, after.paused_until) = (0, None, None);
    }
    let after = checked(after, client)?;
    queries::update(tx, &after, now).await?;
    audit::record(caller, "webhooks.update", "webhook_endpoint", Some(id.0), changes(Some(&before), &after)).await?;
    Ok(after)
}

/// Makes a new secret of an endpoint. The one before signs as well for [`OVERLAP`].
///
/// # Errors
/// See [`WebhookError`]; nothing is written then.
pub async fn rotate_secret(caller: &Caller<'_>, id: WebhookEndpointId) -> Result<(Endpoint, NewSecret), WebhookError> {
    allow_secrets(caller)?;
    let endpoint = queries::by_id(caller.tx, id, true).await?.ok_or(WebhookError::NotFound)?;
    let secret = add_secret(caller, id).await?;
    audit::record(caller, "webhooks.rotate_secret", "webhook_endpoint", Some(id.0), Changes::default()).await?;
    Ok((endpoint, secret))
}

/// Takes an endpoint away, with all that was to be sent to it.
///
/// # Errors
/// See [`WebhookError`].
pub async fn delete(caller: &Caller<'_>, id: WebhookEndpointId) -> Result<WebhookEndpointId, WebhookError> {
    allow(caller)?;
    if !queries::delete(caller.tx, id).await? {
        return Err(WebhookError::NotFound);
    }
    audit::record(caller, "webhooks.delete", "webhook_endpoint", Some(id.0), Changes::default()).await?;
    Ok(id)
}

/// A page of the messages to an endpoint, newest first. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn deliveries(
    caller: &Caller<'_>,
    endpoint: WebhookEndpointId,
    page: &Page<DeliveryKey>,
) -> Result<Slice<DeliveryKey, Delivery>, WebhookError> {
    allow(caller)?;
    let found = queries::deliveries(caller.tx, endpoint, page).await?;
    Ok(page.slice(found.into_iter().map(|it| ((it.created_at, it.id.0), it)).collect()))
}

/// Has a message sent again, which was taken or given up.
///
/// # Errors
/// See [`WebhookError`].
pub async fn send_again(caller: &Caller<'_>, id: WebhookDeliveryId) -> Result<Delivery, WebhookError> {
    allow(caller)?;
    let (tx, now) = (caller.tx, caller.clock.now());
    let delivery = queries::delivery(tx, id).await?.ok_or(WebhookError::NotFound)?;
    let endpoint = queries::by_id(tx, delivery.endpoint, false).await?.ok_or(WebhookError::NotFound)?;
    if !endpoint.enabled {
        return Err(WebhookError::EndpointDisabled);
    }
    if !queries::reopen(tx, id).await? {
        return Err(WebhookError::Pending);
    }
    outbox::enqueue(tx, &Effect::SendWebhook { delivery: id.0 }, now).await?;
    audit::record(caller, "webhooks.send_again", "webhook_delivery", Some(id.0), Changes::default()).await?;
    Ok(Delivery { status: DeliveryStatus::Pending, ..delivery })
}

/// Something that became of a booking, as the outbox tells it.
#[derive(Clone, Debug)]
pub struct Happened<'a> {
    /// The effect that tells of it: what follows from it has ids of its own, so that it follows once.
    pub effect: Uuid,
    /// What.
    pub event: BookingEvent,
    /// Of which.
    pub booking: BookingId,
    /// As it was then.
    pub version: i32,
    /// As it was then.
    pub status: &'a str,
    /// As it was then.
    pub starts_at: Timestamp,
    /// As it was then.
    pub ends_at: Timestamp,
    /// When it happened.
    pub at: Timestamp,
}

/// Writes a message for each endpoint that is told of this. For background work.
///
/// # Errors
/// When a statement fails.
pub async fn follow(tx: &ScopedTx, happened: &Happened<'_>, now: Timestamp) -> Result<(), DbError> {
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
            "status": happened.status,
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

/// A message that is to be sent now.
#[derive(Debug)]
pub struct Due {
    delivery: Delivery,
    endpoint: Endpoint,
    secrets: Vec<Vec<u8>>,
}

impl Due {
    /// Sends it once.
    pub async fn send(&self, client: &WebhookClient, now: Timestamp) -> Answer {
        let (id, url, body) = (self.delivery.id.to_string(), &self.endpoint.url, &self.delivery.body);
        client.send(&Message { id: &id, url, body, secrets: &self.secrets }, now).await
    }
}

/// What is to be done about a message.
#[derive(Debug)]
pub enum Next {
    /// Send it.
    Send(Box<Due>),
    /// Its endpoint has just failed: later.
    Wait,
    /// Nothing: it was taken, or nobody wants it any more.
    Nothing,
}

/// What is to be done about a message; `last` when there will be no other attempt, which waits for nothing. For background
/// work.
///
/// # Errors
/// When a statement fails.
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

/// Notes what came of an attempt; `last` when there will be no other. Returns whether the message is settled. For background
/// work.
///
/// # Errors
/// When a statement fails.
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
    let since = endpoint.failing_since.unwrap_or(now);
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

/// Five seconds, doubled with each failure.
fn pause(failures: i32) -> SignedDuration {
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(10);
    (SignedDuration::from_secs(5) * 2_i32.pow(doublings)).min(LONGEST_PAUSE)
}

/// Removes what was kept long enough. For background work.
///
/// # Errors
/// When a statement fails.
pub async fn purge(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    queries::purge(tx, now - KEPT, now - OVERLAP).await
}

/// The mail that tells an administrator that an endpoint was disabled; `None` where it is not any more, or he is none. For
/// background work.
///
/// # Errors
/// When a statement fails.
pub async fn letter(tx: &ScopedTx, endpoint: Uuid, user: Uuid) -> Result<Option<Letter>, DbError> {
    let endpoint = queries::by_id(tx, WebhookEndpointId(endpoint), false).await?;
    let Some(endpoint) = endpoint.filter(|it| it.disabled_reason.is_some()) else { return Ok(None) };
    let administrators = users::administrators(tx).await?;
    let Some(reader) = administrators.into_iter().find(|it| it.id.0 == user) else { return Ok(None) };
    let tenant = tenants::current(tx).await?;
    Ok(Some(Letter {
        to: reader.email,
        tenant_name: tenant.name,
        locale: tenant.locale,
        branding: tenant.branding,
        subject: Subject::WebhookDisabled { name: reader.name, url: endpoint.url },
        calendar: None,
    }))
}

fn allow(caller: &Caller<'_>) -> Result<(), WebhookError> {
    if caller.is_at_least(Role::Admin) { Ok(()) } else { Err(WebhookError::Forbidden) }
}

fn allow_secrets(caller: &Caller<'_>) -> Result<(), WebhookError> {
    allow(caller)?;
    if caller.viewer.impersonated { Err(WebhookError::Impersonated) } else { Ok(()) }
}

async fn add_secret(caller: &Caller<'_>, endpoint: WebhookEndpointId) -> Result<NewSecret, DbError> {
    let mut secret = [0; 32];
    // Unwrap safety: a system without randomness must not serve.
    rand::fill(&mut secret).expect("randomness");
    queries::insert_secret(caller.tx, endpoint, &secret, caller.clock.now()).await?;
    Ok(NewSecret(format!("whsec_{}", STANDARD.encode(secret))))
}

fn checked(mut endpoint: Endpoint, client: &WebhookClient) -> Result<Endpoint, WebhookError> {
    endpoint.url = endpoint.url.trim().to_owned();
    if endpoint.url.chars().count() > MAX_URL {
        return Err(WebhookError::Invalid("url", format!("An address has at most {MAX_URL} characters.")));
    }
    client.check(&endpoint.url).map_err(|message| WebhookError::Invalid("url", message))?;
    endpoint.description = endpoint.description.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    if endpoint.description.as_ref().is_some_and(|it| it.chars().count() > MAX_DESCRIPTION) {
        let message = format!("A description has at most {MAX_DESCRIPTION} characters.");
        return Err(WebhookError::Invalid("description", message));
    }
    endpoint.events.sort_unstable_by_key(|it| it.as_str());
    endpoint.events.dedup();
    Ok(endpoint)
}

fn changes(before: Option<&Endpoint>, after: &Endpoint) -> Changes {
    Changes::between(before, after, |it: &Endpoint| {
        [
            ("url", json!(it.url)),
            ("description", json!(it.description)),
            ("events", json!(it.events.iter().map(|it| it.as_str()).collect::<Vec<_>>())),
            ("enabled", json!(it.enabled)),
        ]
    })
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
