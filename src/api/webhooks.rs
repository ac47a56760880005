//! Webhooks in the API. Administrators only.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::{
    api::ContextExt,
    base::ids::WebhookEndpointId,
    features::webhooks::{Patch, WebhookError as Error},
    graphql::{
        ApiError, DateTime, ErrorClass, Listing, MUTATION_COST, PageArgs, STATEMENT_COST, UserError, UserErrorCode,
        connection, page_cost, parse_id, payload,
    },
};

/// What an endpoint is told of. On the wire it is written as `booking.confirmed`.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::bookings::BookingEvent")]
pub enum WebhookEvent {
    /// `booking.created`: made, and waits for staff.
    Created,
    /// `booking.confirmed`: agreed.
    Confirmed,
    /// `booking.rescheduled`: moved to another time.
    Rescheduled,
    /// `booking.completed`: it took place.
    Completed,
    /// `booking.no_show`: the customer did not come.
    NoShow,
    /// `booking.cancelled`: called off.
    Cancelled,
    /// `booking.rejected`: staff did not confirm it.
    Rejected,
}

/// Why an endpoint was disabled, where no administrator did it.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::webhooks::Disabled")]
pub enum WebhookDisabledReason {
    /// It has failed for five days.
    Failing,
    /// It said that it is gone, with status 410.
    Gone,
}

/// Where a message to an endpoint stands.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::webhooks::DeliveryStatus")]
pub enum WebhookDeliveryStatus {
    /// To be sent, perhaps again.
    Pending,
    /// Taken: the endpoint answered with a status of 200 to 299.
    Delivered,
    /// Given up after some two days.
    Failed,
}

/// An endpoint of the tenant's own systems, which is told what becomes of bookings.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct WebhookEndpoint {
    /// TypeID with the prefix `whe`.
    pub id: ID,
    /// Where.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// Which events it is told of. Empty for all.
    pub events: Vec<WebhookEvent>,
    /// Whether it is told.
    pub enabled: bool,
    /// Why it is not, where no administrator did it.
    pub disabled_reason: Option<WebhookDisabledReason>,
    /// Since when every attempt has failed. Null where the last one did not.
    pub failing_since: Option<DateTime>,
    /// When it was made.
    pub created_at: DateTime,
    #[graphql(skip)]
    key: WebhookEndpointId,
}

impl From<crate::features::webhooks::Endpoint> for WebhookEndpoint {
    fn from(endpoint: crate::features::webhooks::Endpoint) -> Self {
        Self {
            id: endpoint.id.to_string().into(),
            url: endpoint.url,
            description: endpoint.description,
            events: endpoint.events.into_iter().map(Into::into).collect(),
            enabled: endpoint.enabled,
            disabled_reason: endpoint.disabled_reason.map(Into::into),
            failing_since: endpoint.failing_since.map(DateTime),
            created_at: DateTime(endpoint.created_at),
            key: endpoint.id,
        }
    }
}

#[ComplexObject]
impl WebhookEndpoint {
    /// The messages to it, newest first. They are kept for thirty days.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
    ) -> Result<Listing<WebhookDelivery>, ApiError> {
        const KIND: &str = "webhook_deliveries";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let found = crate::features::webhooks::deliveries(&ctx.work()?.caller(), self.key, &page).await;
        let slice = found.map_err(|error| ApiError::from(ErrorClass::from(error)))?;
        Ok(connection(KIND, slice, WebhookDelivery::from))
    }
}

/// A message to an endpoint.
#[derive(Clone, SimpleObject)]
pub struct WebhookDelivery {
    /// TypeID with the prefix `whd`: the message's `webhook-id`.
    pub id: ID,
    /// What happened, as it is written on the wire.
    pub event: String,
    /// What is sent: JSON, with ids and no personal data.
    pub body: String,
    /// Where it stands.
    pub status: WebhookDeliveryStatus,
    /// How often it was tried.
    pub attempts: i32,
    /// When last.
    pub last_attempt_at: Option<DateTime>,
    /// What came of that: the status of the answer, or why there was none.
    pub last_outcome: Option<String>,
    /// When it happened.
    pub created_at: DateTime,
}

impl From<crate::features::webhooks::Delivery> for WebhookDelivery {
    fn from(delivery: crate::features::webhooks::Delivery) -> Self {
        Self {
            id: delivery.id.to_string().into(),
            event: delivery.event,
            body: delivery.body,
            status: delivery.status.into(),
            attempts: delivery.attempts,
            last_attempt_at: delivery.last_attempt_at.map(DateTime),
            last_outcome: delivery.last_outcome,
            created_at: DateTime(delivery.created_at),
        }
    }
}

/// An endpoint to be told.
#[derive(InputObject)]
pub struct CreateWebhookEndpointInput {
    /// Where: an address of the public network that begins with `https://`, at most 2,000 characters.
    url: String,
    /// For people, at most 200 characters.
    description: Option<String>,
    /// Which events it is told of; left out or empty all of them.
    events: Option<Vec<WebhookEvent>>,
}

/// A change of an endpoint. Fields that are left out stay as they are.
#[derive(InputObject)]
pub struct UpdateWebhookEndpointInput {
    /// Which.
    id: ID,
    /// As for a new one.
    url: Option<String>,
    /// At most 200 characters.
    description: MaybeUndefined<String>,
    /// Empty for all.
    events: Option<Vec<WebhookEvent>>,
    /// Whether it is told. Enabled again it begins without a memory of failures.
    enabled: Option<bool>,
}

/// An endpoint to be given a new secret.
#[derive(InputObject)]
pub struct RotateWebhookSecretInput {
    /// Which.
    id: ID,
}

/// An endpoint to be taken away.
#[derive(InputObject)]
pub struct DeleteWebhookEndpointInput {
    /// Which.
    id: ID,
}

/// A message to be sent again.
#[derive(InputObject)]
pub struct RetryWebhookDeliveryInput {
    /// Which.
    id: ID,
}

/// The outcome of `createWebhookEndpoint`.
#[derive(SimpleObject)]
pub struct CreateWebhookEndpointPayload {
    /// The endpoint.
    pub endpoint: Option<WebhookEndpoint>,
    /// What signs the messages to it, `whsec_…`. It is told this once.
    pub secret: Option<String>,
    /// What the caller can mend. Empty when the mutation did what was asked.
    pub user_errors: Vec<UserError>,
}

/// The outcome of `rotateWebhookSecret`.
#[derive(SimpleObject)]
pub struct RotateWebhookSecretPayload {
    /// The endpoint.
    pub endpoint: Option<WebhookEndpoint>,
    /// What signs the messages to it from now on, `whsec_…`. It is told this once.
    pub secret: Option<String>,
    /// What the caller can mend. Empty when the mutation did what was asked.
    pub user_errors: Vec<UserError>,
}

payload!(
    /// The outcome of `updateWebhookEndpoint`.
    UpdateWebhookEndpointPayload {
        /// The endpoint as changed.
        endpoint: WebhookEndpoint
    }
);
payload!(
    /// The outcome of `deleteWebhookEndpoint`.
    DeleteWebhookEndpointPayload {
        /// The id of what is gone.
        deleted_id: ID
    }
);
payload!(
    /// The outcome of `retryWebhookDelivery`.
    RetryWebhookDeliveryPayload {
        /// The message, `PENDING`.
        delivery: WebhookDelivery
    }
);

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::Impersonated => Self::Refuse(ApiError::impersonated()),
            Error::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such endpoint or message."),
            Error::Invalid(field, message) => mend(UserErrorCode::Invalid, field, &message),
            Error::TooMany => mend(
                UserErrorCode::QuotaExceeded,
                "",
                &format!("A tenant has at most {} endpoints.", crate::features::webhooks::MAX_ENDPOINTS),
            ),
            Error::Pending => mend(UserErrorCode::InvalidTransition, "id", "The message is on its way."),
            Error::EndpointDisabled => {
                mend(UserErrorCode::InvalidTransition, "id", "Its endpoint is disabled: enable it first.")
            }
            Error::Db(error) => error.into(),
        }
    }
}

/// Queries about webhooks.
#[derive(Default)]
pub struct WebhookQuery;

#[Object]
impl WebhookQuery {
    /// The endpoints of the tenant's own systems, oldest first: at most 20. Administrators only.
    #[graphql(complexity = "STATEMENT_COST + 5 * child_complexity")]
    async fn webhook_endpoints(&self, ctx: &Context<'_>) -> Result<Vec<WebhookEndpoint>, ApiError> {
        let found = crate::features::webhooks::list(&ctx.work()?.caller()).await;
        let found = found.map_err(|error| ApiError::from(ErrorClass::from(error)))?;
        Ok(found.into_iter().map(WebhookEndpoint::from).collect())
    }
}

/// Mutations of webhooks. Administrators only.
#[derive(Default)]
pub struct WebhookMutation;

#[Object]
impl WebhookMutation {
    /// Has an endpoint told what becomes of bookings: signed as Standard Webhooks says, at least once, in no promised order.
    /// What fails is tried again for some two days; an endpoint that fails for five days is disabled.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        input: CreateWebhookEndpointInput,
    ) -> Result<CreateWebhookEndpointPayload, ApiError> {
        let work = ctx.work()?;
        let events = input.events.unwrap_or_default().into_iter().map(Into::into).collect();
        let client = &ctx.request().services().webhooks;
        let created =
            crate::features::webhooks::create(&work.caller(), client, input.url, input.description, events).await;
        Ok(match work.settle(created)? {
            Ok((endpoint, secret)) => CreateWebhookEndpointPayload {
                endpoint: Some(endpoint.into()),
                secret: Some(secret.0),
                user_errors: Vec::new(),
            },
            Err(error) => CreateWebhookEndpointPayload { endpoint: None, secret: None, user_errors: vec![error] },
        })
    }

    /// Changes an endpoint.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        input: UpdateWebhookEndpointInput,
    ) -> Result<UpdateWebhookEndpointPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let patch = Patch {
            url: input.url,
            description: input.description.as_opt_ref().map(|it| it.cloned()),
            events: input.events.map(|it| it.into_iter().map(Into::into).collect()),
            enabled: input.enabled,
        };
        let client = &ctx.request().services().webhooks;
        let updated = crate::features::webhooks::update(&work.caller(), client, id, patch).await;
        Ok(work.settle(updated.map(WebhookEndpoint::from))?.into())
    }

    /// Makes a new secret of an endpoint. The one before signs every message as well for a day: so whoever receives can
    /// change over.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn rotate_webhook_secret(
        &self,
        ctx: &Context<'_>,
        input: RotateWebhookSecretInput,
    ) -> Result<RotateWebhookSecretPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        Ok(match work.settle(crate::features::webhooks::rotate_secret(&work.caller(), id).await)? {
            Ok((endpoint, secret)) => RotateWebhookSecretPayload {
                endpoint: Some(endpoint.into()),
                secret: Some(secret.0),
                user_errors: Vec::new(),
            },
            Err(error) => RotateWebhookSecretPayload { endpoint: None, secret: None, user_errors: vec![error] },
        })
    }

    /// Takes an endpoint away, with all that was to be sent to it.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        input: DeleteWebhookEndpointInput,
    ) -> Result<DeleteWebhookEndpointPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let deleted = crate::features::webhooks::delete(&work.caller(), id).await;
        Ok(work.settle(deleted.map(|id| ID::from(id.to_string())))?.into())
    }

    /// Sends a message again that was taken or given up.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn retry_webhook_delivery(
        &self,
        ctx: &Context<'_>,
        input: RetryWebhookDeliveryInput,
    ) -> Result<RetryWebhookDeliveryPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let again = crate::features::webhooks::send_again(&work.caller(), id).await;
        Ok(work.settle(again.map(WebhookDelivery::from))?.into())
    }
}
