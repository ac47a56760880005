//! Operations on endpoints.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::SignedDuration;
use serde_json::json;

use super::{
    model::{Delivery, DeliveryKey, DeliveryStatus, Endpoint, NewSecret, Patch, WebhookError},
    queries,
};
use crate::{
    base::{
        egress::WebhookClient,
        ids::{WebhookDeliveryId, WebhookEndpointId},
        paging::{Page, Slice},
        random,
    },
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
        outbox::{self, Effect},
    },
    db::DbError,
    features::bookings::BookingEvent,
};

/// Maximum number of endpoints of a tenant.
pub const MAX_ENDPOINTS: usize = 20;

/// Maximum length of a URL, in characters.
const MAX_URL: usize = 2_000;

/// Maximum length of a description, in characters.
const MAX_DESCRIPTION: usize = 200;

/// How long a secret still signs after it was replaced.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// How long an endpoint may fail before it is disabled.
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(5 * 24);

/// After this long without an attempt, a failure starts a new period of failure.
pub(super) const QUIET: SignedDuration = SignedDuration::from_hours(24);

/// How long messages are kept.
pub(super) const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Maximum pause after a failure.
pub(super) const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);

/// The tenant's endpoints, oldest first. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn list(caller: &Caller<'_>) -> Result<Vec<Endpoint>, WebhookError> {
    allow(caller)?;
    Ok(queries::list(caller.tx).await?)
}

/// Adds an endpoint, and returns it with the secret that signs its messages.
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

/// Changes an endpoint. Re-enabling it or changing its URL resets the failure count.
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

/// Creates a new secret for an endpoint. The previous one signs as well for [`OVERLAP`].
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

/// Deletes an endpoint with all its messages.
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

/// Queues a settled message again.
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

fn allow(caller: &Caller<'_>) -> Result<(), WebhookError> {
    if caller.is_at_least(Role::Admin) { Ok(()) } else { Err(WebhookError::Forbidden) }
}

fn allow_secrets(caller: &Caller<'_>) -> Result<(), WebhookError> {
    allow(caller)?;
    if caller.viewer.impersonated { Err(WebhookError::Impersonated) } else { Ok(()) }
}

async fn add_secret(caller: &Caller<'_>, endpoint: WebhookEndpointId) -> Result<NewSecret, DbError> {
    let secret = random::bytes::<32>();
    queries::insert_secret(caller.tx, endpoint, &secret, caller.clock.now()).await?;
    Ok(NewSecret(format!("whsec_{}", STANDARD.encode(secret))))
}

fn checked(mut endpoint: Endpoint, client: &WebhookClient) -> Result<Endpoint, WebhookError> {
    endpoint.url = endpoint.url.trim().to_owned();
    if endpoint.url.chars().count() > MAX_URL {
        return Err(WebhookError::Invalid("url", format!("A URL can have at most {MAX_URL} characters.")));
    }
    client.check(&endpoint.url).map_err(|message| WebhookError::Invalid("url", message))?;
    endpoint.description = endpoint.description.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    if endpoint.description.as_ref().is_some_and(|it| it.chars().count() > MAX_DESCRIPTION) {
        let message = format!("A description can have at most {MAX_DESCRIPTION} characters.");
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
