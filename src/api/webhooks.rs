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

/// An event that an endpoint can receive. Its name on the wire is of the form `booking.confirmed`.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::bookings::BookingEvent")]
pub enum WebhookEvent {
    /// `booking.created`: created, and waiting for confirmation by staff.
    Created,
    /// `booking.confirmed`: confirmed.
    Confirmed,
    /// `booking.rescheduled`: moved to another time.
    Rescheduled,
    /// `booking.completed`: it took place.
    Completed,
    /// `booking.no_show`: the customer did not come.
    NoShow,
    /// `booking.cancelled`: cancelled.
    Cancelled,
    /// `booking.rejected`: staff did not confirm it.
    Rejected,
}

/// Why the platform disabled an endpoint.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::webhooks::Disabled")]
pub enum WebhookDisabledReason {
    /// Deliveries to it have failed for five days.
    Failing,
    /// It answered with status 410 (Gone).
    Gone,
}

/// The status of a delivery.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::webhooks::DeliveryStatus")]
pub enum WebhookDeliveryStatus {
    /// Waiting to be sent, or to be retried.
    Pending,
    /// The endpoint answered with a status of 200 to 299.
    Delivered,
    /// Failed for good after about two days of retries.
    Failed,
}

/// An endpoint of the tenant's own systems that receives booking events.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct WebhookEndpoint {
    /// TypeID with the prefix `whe`.
    pub id: ID,
    /// Its URL.
    pub url: String,
    /// A description for people.
    pub description: Option<String>,
    /// The events that it receives. Empty for all.
    pub events: Vec<WebhookEvent>,
    /// Whether it receives events.
    pub enabled: bool,
    /// Why it was disabled, when no administrator did it.
    pub disabled_reason: Option<WebhookDisabledReason>,
    /// Since when every attempt has failed. Null when the last one succeeded.
    pub failing_since: Option<DateTime>,
    /// When it was created.
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
    /// Deliveries to it, newest first. They are kept for thirty days.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
    ) -> Result<Listing<WebhookDelivery>, ApiError> {
        const KIND: &str = "webhook_deliveries";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let found = crate::features::webhooks::deliveries(&ctx.work()?.caller(), self.key, &page).await;
        let slice = found.map_err(|error| ApiError::from(ErrorClass::from(error)))?;
        Ok(connection(KIND, slice, WebhookDelivery::from))
    }
}

/// A delivery to an endpoint.
#[derive(Clone, SimpleObject)]
pub struct WebhookDelivery {
    /// TypeID with the prefix `whd`: the `webhook-id` of the message.
    pub id: ID,
    /// The name of the event on the wire.
    pub event: String,
    /// The body: JSON, with ids and no personal data.
    pub body: String,
    /// The status.
    pub status: WebhookDeliveryStatus,
    /// Number of attempts.
    pub attempts: i32,
    /// When it was last attempted.
    pub last_attempt_at: Option<DateTime>,
    /// The result of the last attempt: the status of the response, or why there was none.
    pub last_outcome: Option<String>,
    /// When the event happened.
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

/// An endpoint to create.
#[derive(InputObject)]
pub struct CreateWebhookEndpointInput {
    /// The URL: a public address that begins with `https://`, at most 2,000 characters.
    url: String,
    /// A description for people, at most 200 characters.
    description: Option<String>,
    /// The events that it receives; all when omitted or empty.
    events: Option<Vec<WebhookEvent>>,
}

/// Changes to an endpoint. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateWebhookEndpointInput {
    /// The endpoint.
    id: ID,
    /// A public URL that begins with `https://`, at most 2,000 characters.
    url: Option<String>,
    /// At most 200 characters; null removes it.
    description: MaybeUndefined<String>,
    /// The events that it receives. Empty for all.
    events: Option<Vec<WebhookEvent>>,
    /// Whether it receives events. Enabling it again resets its record of failures.
    enabled: Option<bool>,
}

/// An endpoint whose secret to rotate.
#[derive(InputObject)]
pub struct RotateWebhookSecretInput {
    /// The endpoint.
    id: ID,
}

/// An endpoint to delete.
#[derive(InputObject)]
pub struct DeleteWebhookEndpointInput {
    /// The endpoint.
    id: ID,
}

/// A delivery to retry.
#[derive(InputObject)]
pub struct RetryWebhookDeliveryInput {
    /// The delivery.
    id: ID,
}

/// The outcome of `createWebhookEndpoint`.
#[derive(SimpleObject)]
pub struct CreateWebhookEndpointPayload {
    /// The endpoint.
    pub endpoint: Option<WebhookEndpoint>,
    /// The secret that signs deliveries to it, `whsec_…`. It is shown only once.
    pub secret: Option<String>,
    /// Errors that the caller can correct. Empty when the mutation succeeded.
    pub user_errors: Vec<UserError>,
}

/// The outcome of `rotateWebhookSecret`.
#[derive(SimpleObject)]
pub struct RotateWebhookSecretPayload {
    /// The endpoint.
    pub endpoint: Option<WebhookEndpoint>,
    /// The secret that signs deliveries to it from now on, `whsec_…`. It is shown only once.
    pub secret: Option<String>,
    /// Errors that the caller can correct. Empty when the mutation succeeded.
    pub user_errors: Vec<UserError>,
}

payload!(
    /// The outcome of `updateWebhookEndpoint`.
    UpdateWebhookEndpointPayload {
        /// The updated endpoint.
        endpoint: WebhookEndpoint
    }
);
payload!(
    /// The outcome of `deleteWebhookEndpoint`.
    DeleteWebhookEndpointPayload {
        /// The id of the deleted endpoint.
        deleted_id: ID
    }
);
payload!(
    /// The outcome of `retryWebhookDelivery`.
    RetryWebhookDeliveryPayload {
        /// The delivery, `PENDING` again.
        delivery: WebhookDelivery
    }
);

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::Impersonated => Self::Refuse(ApiError::impersonated()),
            Error::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such endpoint or delivery."),
            Error::Invalid(field, message) => mend(UserErrorCode::Invalid, field, &message),
            Error::TooMany => mend(
                UserErrorCode::QuotaExceeded,
                "",
                &format!("A tenant can have at most {} endpoints.", crate::features::webhooks::MAX_ENDPOINTS),
            ),
            Error::Pending => mend(UserErrorCode::InvalidTransition, "id", "The delivery is still pending."),
            Error::EndpointDisabled => {
                mend(UserErrorCode::InvalidTransition, "id", "The endpoint is disabled. Enable it first.")
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
    /// Creates an endpoint that receives booking events: signed by the Standard Webhooks specification, at least
    /// once, in no guaranteed order. Failed deliveries are retried for about two days; an endpoint that fails for
    /// five days is disabled.
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

    /// Updates an endpoint.
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

    /// Creates a new secret for an endpoint. For a day, every delivery is also signed with the previous secret, so
    /// that the receiver can switch over.
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

    /// Deletes an endpoint and its pending deliveries.
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

    /// Sends a delivery again that was delivered or has failed.
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
