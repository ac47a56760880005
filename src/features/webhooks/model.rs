//! Endpoints and what is sent to them.

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
    /// It has failed for [`PATIENCE`](super::PATIENCE).
    Failing,
    /// It said so, with status 410.
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
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is no status of a delivery")))
    }
}

/// Sort key of the list of messages: newest first.
pub type DeliveryKey = TimeKey;

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
