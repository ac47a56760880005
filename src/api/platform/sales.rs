//! Plans, roll-outs, subscriptions and invoices, as platform administrators manage them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use rust_decimal::prelude::ToPrimitive;

use crate::{
    api::{
        ContextExt,
        billing::{CreditNote, Invoice},
        plans::{Plan, PlanTermsInput},
        platform::{PlatformTenant, tenant},
    },
    features::billing::{
        invoices::{State, Tax},
        plans::PlanPatch,
    },
    graphql::{ApiError, DateTime, Decimal, MUTATION_COST, MoneyInput, parse_id, payload, settled},
};

/// The roll-out of a feature.
#[derive(Clone, SimpleObject)]
pub struct FeatureRollout {
    /// Its machine name.
    pub key: String,
    /// The percentage of tenants that have the feature. Each tenant always falls into the same part.
    pub percentage: i32,
}

/// An event from a payment provider that could not be processed.
#[derive(Clone, SimpleObject)]
pub struct DeadPaymentEvent {
    /// The payment provider.
    pub provider: String,
    /// The provider's id of the event.
    pub event_id: String,
    /// The type of event, such as `payment_intent.succeeded`.
    pub kind: String,
    /// When it was received.
    pub received_at: DateTime,
    /// Number of attempts.
    pub attempts: i32,
    /// The last error.
    pub last_error: String,
}

/// A plan to create.
#[derive(InputObject)]
pub struct CreatePlanInput {
    /// Its machine name: 1 to 40 letters a to z, digits and underscores.
    key: String,
    /// Its display name.
    name: String,
}

/// Changes to a plan itself. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdatePlanInput {
    /// The plan's key.
    plan: String,
    /// Its display name.
    name: Option<String>,
    /// Position on the price list, lowest first.
    position: Option<i32>,
    /// Whether new tenants can choose it; existing subscribers keep it.
    active: Option<bool>,
}

/// The draft of a plan's next version. It replaces an existing draft.
#[derive(InputObject)]
pub struct DraftPlanVersionInput {
    /// The plan's key.
    plan: String,
    /// The terms of the version.
    terms: PlanTermsInput,
}

/// The draft to publish.
#[derive(InputObject)]
pub struct PublishPlanVersionInput {
    /// The plan's key.
    plan: String,
}

/// The roll-out of a feature.
#[derive(InputObject)]
pub struct RollOutFeatureInput {
    /// The feature's key.
    key: String,
    /// Percentage of tenants, 0 to 100.
    percentage: i32,
}

/// A subscription to pause or resume.
#[derive(InputObject)]
pub struct PauseSubscriptionInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// True pauses the subscription; false resumes it.
    paused: bool,
}

/// The tax on a tenant's invoices.
#[derive(InputObject)]
pub struct SetTaxRateInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// In percent, at most 4 decimals.
    rate: Decimal,
    /// The name of the tax on invoices. `VAT` by default.
    name: Option<String>,
}

/// An invoice to void.
#[derive(InputObject)]
pub struct VoidInvoiceInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// TypeID with the prefix `ivc`.
    invoice_id: ID,
    /// Marks the invoice as uncollectible instead of void.
    as_uncollectible: Option<bool>,
}

/// A payment that was made outside the platform.
#[derive(InputObject)]
pub struct RecordInvoicePaymentInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// TypeID with the prefix `ivc`.
    invoice_id: ID,
    /// The amount paid.
    amount: MoneyInput,
    /// A reference, such as that of a bank transfer. The same reference counts once.
    reference: String,
}

/// A credit on an invoice.
#[derive(InputObject)]
pub struct CreditInvoiceInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// TypeID with the prefix `ivc`.
    invoice_id: ID,
    /// The amount, including tax.
    amount: MoneyInput,
    /// The reason, 1 to 500 characters.
    reason: String,
}

/// A payment event to retry.
#[derive(InputObject)]
pub struct RetryPaymentEventInput {
    /// The payment provider.
    provider: String,
    /// The provider's id of the event.
    event_id: String,
}

payload!(
    /// The outcome of `createPlan`.
    CreatePlanPayload {
        /// The plan's key.
        plan: String
    }
);
payload!(
    /// The outcome of `updatePlan`.
    UpdatePlanPayload {
        /// The plan's key.
        plan: String
    }
);
payload!(
    /// The outcome of `draftPlanVersion`.
    DraftPlanVersionPayload {
        /// The draft.
        plan: Plan
    }
);
payload!(
    /// The outcome of `publishPlanVersion`.
    PublishPlanVersionPayload {
        /// The version that is now on offer.
        plan: Plan
    }
);
payload!(
    /// The outcome of `rollOutFeature`.
    RollOutFeaturePayload {
        /// Every roll-out.
        rollouts: Vec<FeatureRollout>
    }
);
payload!(
    /// The outcome of `pauseSubscription`.
    PauseSubscriptionPayload {
        /// The tenant.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `setTaxRate`.
    SetTaxRatePayload {
        /// The tenant.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `voidInvoice`.
    VoidInvoicePayload {
        /// The invoice.
        invoice: SettledInvoice
    }
);
payload!(
    /// The outcome of `recordInvoicePayment`.
    RecordInvoicePaymentPayload {
        /// The invoice.
        invoice: SettledInvoice
    }
);
payload!(
    /// The outcome of `creditInvoice`.
    CreditInvoicePayload {
        /// The credit note.
        credit_note: CreditNote
    }
);
payload!(
    /// The outcome of `retryPaymentEvent`.
    RetryPaymentEventPayload {
        /// The provider's id of the event.
        event_id: String
    }
);

/// An invoice of a tenant, as the platform sees it.
#[derive(Clone, SimpleObject)]
pub struct SettledInvoice {
    /// TypeID with the prefix `ivc`.
    pub id: ID,
    /// Such as `INV-000001`.
    pub number: String,
    /// The status.
    pub status: crate::api::billing::InvoiceStatus,
    /// The total.
    pub total: crate::graphql::Money,
    /// The amount still owed.
    pub owed: crate::graphql::Money,
}

impl From<crate::features::billing::invoices::Invoice> for SettledInvoice {
    fn from(it: crate::features::billing::invoices::Invoice) -> Self {
        let it = Invoice::from(it);
        Self { id: it.id, number: it.number, status: it.status, total: it.total, owed: it.owed }
    }
}

/// Every version of every plan.
pub async fn plan_versions(ctx: &Context<'_>) -> Result<Vec<Plan>, ApiError> {
    ctx.request().operator()?.plan_versions().await?.into_iter().map(Plan::try_from).collect()
}

/// Every feature roll-out.
pub async fn rollouts(ctx: &Context<'_>) -> Result<Vec<FeatureRollout>, ApiError> {
    let found = ctx.request().operator()?.rollouts().await?;
    Ok(found.into_iter().map(|it| FeatureRollout { key: it.key, percentage: it.percentage }).collect())
}

/// Payment events that could not be processed.
pub async fn dead_payment_events(ctx: &Context<'_>) -> Result<Vec<DeadPaymentEvent>, ApiError> {
    let found = ctx.request().operator()?.dead_payment_events().await?;
    let view = |it: crate::features::billing::payments::DeadEvent| DeadPaymentEvent {
        provider: it.provider,
        event_id: it.event,
        kind: it.kind,
        received_at: DateTime(it.received_at),
        attempts: it.attempts,
        last_error: it.last_error,
    };
    Ok(found.into_iter().map(view).collect())
}

/// Mutations of platform administrators for plans and billing.
#[derive(Default)]
pub struct SellingMutation;

#[Object]
impl SellingMutation {
    /// Creates a plan. It is on offer once a version of it is published. This and the following mutations are for
    /// platform administrators only.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_plan(&self, ctx: &Context<'_>, input: CreatePlanInput) -> Result<CreatePlanPayload, ApiError> {
        let operator = ctx.request().operator()?;
        Ok(settled(operator.create_plan(&input.key, &input.name).await.map(|it| it.key))?.into())
    }

    /// Changes a plan's name and position, or removes it from the price list.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_plan(&self, ctx: &Context<'_>, input: UpdatePlanInput) -> Result<UpdatePlanPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let patch = PlanPatch { name: input.name, position: input.position, active: input.active };
        Ok(settled(operator.update_plan(&input.plan, patch).await.map(|it| it.key))?.into())
    }

    /// Saves the draft of a plan's next version.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn draft_plan_version(
        &self,
        ctx: &Context<'_>,
        input: DraftPlanVersionInput,
    ) -> Result<DraftPlanVersionPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let drafted = match input.terms.read() {
            Ok(terms) => operator.draft_plan(&input.plan, terms).await,
            Err(error) => Err(error.into()),
        };
        Ok(match settled(drafted)? {
            Ok(version) => Ok(Plan::try_from(version)?).into(),
            Err(error) => Err(error).into(),
        })
    }

    /// Publishes a plan's draft: it is on offer from now on, and never changes again. Existing subscribers keep their
    /// version until they are moved.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn publish_plan_version(
        &self,
        ctx: &Context<'_>,
        input: PublishPlanVersionInput,
    ) -> Result<PublishPlanVersionPayload, ApiError> {
        let operator = ctx.request().operator()?;
        Ok(match settled(operator.publish_plan(&input.plan).await)? {
            Ok(version) => Ok(Plan::try_from(version)?).into(),
            Err(error) => Err(error).into(),
        })
    }

    /// Rolls a feature out to a percentage of tenants.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn roll_out_feature(
        &self,
        ctx: &Context<'_>,
        input: RollOutFeatureInput,
    ) -> Result<RollOutFeaturePayload, ApiError> {
        let operator = ctx.request().operator()?;
        let set = operator.roll_out(&input.key, input.percentage).await;
        let view =
            |it: crate::features::entitlements::Rollout| FeatureRollout { key: it.key, percentage: it.percentage };
        Ok(settled(set.map(|it| it.into_iter().map(view).collect()))?.into())
    }

    /// Pauses a tenant's subscription, or resumes it. While paused, nothing is charged, and the tenant's users can
    /// read but not write.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn pause_subscription(
        &self,
        ctx: &Context<'_>,
        input: PauseSubscriptionInput,
    ) -> Result<PauseSubscriptionPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.tenant_id, "input.tenantId")?;
        Ok(tenant(&operator, operator.set_paused(id, input.paused).await).await?.into())
    }

    /// Sets the tax on a tenant's invoices, starting with the next invoice.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn set_tax_rate(&self, ctx: &Context<'_>, input: SetTaxRateInput) -> Result<SetTaxRatePayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.tenant_id, "input.tenantId")?;
        let millionths = input.rate.0.checked_mul(10_000.into()).filter(|it| it.fract().is_zero());
        let rate_ppm = millionths.and_then(|it| it.to_i32());
        let rate_ppm =
            rate_ppm.ok_or_else(|| ApiError::bad_input("input.rate", "a percentage with at most 4 decimals"))?;
        let name = input.name.map_or_else(|| Tax::default().name, |it| it.trim().to_owned());
        Ok(tenant(&operator, operator.set_tax(id, Tax { rate_ppm, name }).await).await?.into())
    }

    /// Voids an invoice of which nothing was paid, or marks it as uncollectible.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn void_invoice(&self, ctx: &Context<'_>, input: VoidInvoiceInput) -> Result<VoidInvoicePayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.tenant_id, "input.tenantId")?;
        let invoice = parse_id(&input.invoice_id, "input.invoiceId")?;
        let state = if input.as_uncollectible.unwrap_or(false) { State::Uncollectible } else { State::Void };
        let done = operator.settle_invoice(id, invoice, state).await;
        Ok(settled(done.map(SettledInvoice::from))?.into())
    }

    /// Records a payment made outside the platform, such as a bank transfer. An overpayment becomes credit.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn record_invoice_payment(
        &self,
        ctx: &Context<'_>,
        input: RecordInvoicePaymentInput,
    ) -> Result<RecordInvoicePaymentPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.tenant_id, "input.tenantId")?;
        let invoice = parse_id(&input.invoice_id, "input.invoiceId")?;
        let amount = input.amount.read("input.amount")?;
        let done = match operator.invoice(id, invoice).await {
            Ok(known) if known.currency != amount.currency => return Err(other_currency()),
            Ok(_) => operator.record_payment(id, invoice, amount.minor, &input.reference).await,
            Err(error) => Err(error),
        };
        Ok(settled(done.map(SettledInvoice::from))?.into())
    }

    /// Issues a credit note on an invoice. It reduces the amount owed; the rest is credited to the next invoice.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn credit_invoice(
        &self,
        ctx: &Context<'_>,
        input: CreditInvoiceInput,
    ) -> Result<CreditInvoicePayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.tenant_id, "input.tenantId")?;
        let invoice = parse_id(&input.invoice_id, "input.invoiceId")?;
        let amount = input.amount.read("input.amount")?;
        let done = match operator.invoice(id, invoice).await {
            Ok(known) if known.currency != amount.currency => return Err(other_currency()),
            Ok(_) => operator.credit_invoice(id, invoice, amount.minor, &input.reason).await,
            Err(error) => Err(error),
        };
        Ok(settled(done.map(CreditNote::from))?.into())
    }

    /// Retries a payment event that could not be processed.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn retry_payment_event(
        &self,
        ctx: &Context<'_>,
        input: RetryPaymentEventInput,
    ) -> Result<RetryPaymentEventPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let done = operator.retry_payment_event(&input.provider, &input.event_id).await;
        Ok(settled(done.map(|()| input.event_id))?.into())
    }
}

fn other_currency() -> ApiError {
    ApiError::bad_input("input.amount.currency", "must be the invoice's currency")
}
