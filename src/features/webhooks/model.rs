//! Endpoints and the messages sent to them.

use std::str::FromStr;

use jiff::Timestamp;

use crate::{
    base::{
        ids::{WebhookDeliveryId, WebhookEndpointId},
        paging::TimeKey,
    },
    db::DbError,
    features::bookings::BookingEvent,
};

/// An endpoint of a tenant's own systems.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The id, unique within the tenant.
    pub id: WebhookEndpointId,
    /// The URL.
    pub url: String,
    /// A description for people.
    pub description: Option<String>,
    /// The events that it receives; empty for all.
    pub events: Vec<BookingEvent>,
    /// Whether it receives events.
    pub enabled: bool,
    /// Why it was disabled, unless an administrator did it.
    pub disabled_reason: Option<Disabled>,
    /// The number of consecutive failures.
    pub failures: i32,
    /// Since when it fails.
    pub failing_since: Option<Timestamp>,
    /// No message is sent before this instant.
    pub paused_until: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Why an endpoint was disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// It failed for [`PATIENCE`](super::PATIENCE).
    Failing,
    /// It responded with status 410.
    Gone,
}

impl Disabled {
    pub(super) fn as_str(self) -> &'static str {
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
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a reason")))
    }
}

/// A message to an endpoint.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The id, unique within the tenant.
    pub id: WebhookDeliveryId,
    /// The endpoint.
    pub endpoint: WebhookEndpointId,
    /// The event.
    pub event: String,
    /// The body as sent.
    pub body: String,
    /// The status.
    pub status: DeliveryStatus,
    /// The number of attempts.
    pub attempts: i32,
    /// When the last attempt was made.
    pub last_attempt_at: Option<Timestamp>,
    /// The outcome of the last attempt.
    pub last_outcome: Option<String>,
    /// When the event happened.
    pub created_at: Timestamp,
}

/// The status of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Waiting for the first or another attempt.
    Pending,
    /// Delivered.
    Delivered,
    /// Given up.
    Failed,
}

impl DeliveryStatus {
    pub(super) fn as_str(self) -> &'static str {
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
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a delivery status")))
    }
}

/// Sort key of the list of messages: newest first.
pub type DeliveryKey = TimeKey;

/// A change of an endpoint. An omitted field stays; an inner `None` removes the value.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// The URL.
    pub url: Option<String>,
    /// At most 200 characters.
    pub description: Option<Option<String>>,
    /// Empty for all.
    pub events: Option<Vec<BookingEvent>>,
    /// Whether it receives events.
    pub enabled: Option<bool>,
}

/// Why an operation on webhooks failed.
#[derive(Debug)]
pub enum WebhookError {
    /// The caller's role does not allow it.
    Forbidden,
    /// An impersonated session must not learn the administrator's secrets.
    Impersonated,
    /// There is no such endpoint, or no such message.
    NotFound,
    /// A field is out of range: the field and the message.
    Invalid(&'static str, String),
    /// The tenant has the maximum number of endpoints.
    TooMany,
    /// The message is already waiting to be sent.
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

/// A secret in the form that an administrator sees once: `whsec_` and base64.
pub struct NewSecret(pub String);
