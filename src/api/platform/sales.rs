//! Plans, roll-outs, subscriptions and invoices, as platform administrators keep them.

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

/// How far a feature is rolled out.
#[derive(Clone, SimpleObject)]
pub struct FeatureRollout {
    /// Its name for programs.
    pub key: String,
    /// To so many of a hundred tenants, each always in the same part.
    pub percentage: i32,
}

/// Something that a payment provider told and that could not be carried out.
#[derive(Clone, SimpleObject)]
pub struct DeadPaymentEvent {
    /// Whose.
    pub provider: String,
    /// The provider's name for it.
    pub event_id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// When it came.
    pub received_at: DateTime,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it failed last.
    pub last_error: String,
}

/// A plan to be made.
#[derive(InputObject)]
pub struct CreatePlanInput {
    /// Its name for programs: 1 to 40 letters a to z, digits and underscores.
    key: String,
    /// Its name for people.
    name: String,
}

/// A change of a plan itself. What is left out stays.
#[derive(InputObject)]
pub struct UpdatePlanInput {
    /// Which plan.
    plan: String,
    /// Its name for people.
    name: Option<String>,
    /// Order on the price list, lowest first.
    position: Option<i32>,
    /// Whether new tenants can take it; whoever has it keeps it.
    active: Option<bool>,
}

/// The draft of a plan's next version, in place of the one that there may be.
#[derive(InputObject)]
pub struct DraftPlanVersionInput {
    /// Which plan.
    plan: String,
    /// What it says.
    terms: PlanTermsInput,
}

/// The draft that is published.
#[derive(InputObject)]
pub struct PublishPlanVersionInput {
    /// Of which plan.
    plan: String,
}

/// How far a feature is rolled out.
#[derive(InputObject)]
pub struct RollOutFeatureInput {
    /// Which feature.
    key: String,
    /// To so many of a hundred tenants, 0 to 100.
    percentage: i32,
}

/// A tenant whose subscription is paused or goes on.
#[derive(InputObject)]
pub struct PauseSubscriptionInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// Whether it is paused from now on.
    paused: bool,
}

/// The tax on a tenant's invoices.
#[derive(InputObject)]
pub struct SetTaxRateInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// In percent, at most 4 decimals.
    rate: Decimal,
    /// What it is called on invoices. `VAT` unless said.
    name: Option<String>,
}

/// An invoice of a tenant.
#[derive(InputObject)]
pub struct VoidInvoiceInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// TypeID with the prefix `ivc`.
    invoice_id: ID,
    /// Gives it up, as what will never be paid, instead of taking it back.
    as_uncollectible: Option<bool>,
}

/// A payment that was made outside.
#[derive(InputObject)]
pub struct RecordInvoicePaymentInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// TypeID with the prefix `ivc`.
    invoice_id: ID,
    /// How much.
    amount: MoneyInput,
    /// Such as that of a transfer. The same one counts once.
    reference: String,
}

/// An amount that is taken off an invoice.
#[derive(InputObject)]
pub struct CreditInvoiceInput {
    /// TypeID with the prefix `tnt`.
    tenant_id: ID,
    /// TypeID with the prefix `ivc`.
    invoice_id: ID,
    /// How much, with tax.
    amount: MoneyInput,
    /// Why, 1 to 500 characters.
    reason: String,
}

/// Something that a payment provider told in vain.
#[derive(InputObject)]
pub struct RetryPaymentEventInput {
    /// Whose.
    provider: String,
    /// The provider's name for it.
    event_id: String,
}

payload!(
    /// The outcome of `createPlan`.
    CreatePlanPayload {
        /// Its key.
        plan: String
    }
);
payload!(
    /// The outcome of `updatePlan`.
    UpdatePlanPayload {
        /// Its key.
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
        /// The version that is on offer now.
        plan: Plan
    }
);
payload!(
    /// The outcome of `rollOutFeature`.
    RollOutFeaturePayload {
        /// Every feature that is rolled out.
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
        /// What was issued.
        credit_note: CreditNote
    }
);
payload!(
    /// The outcome of `retryPaymentEvent`.
    RetryPaymentEventPayload {
        /// The provider's name for it.
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
    /// Where it stands.
    pub status: crate::api::billing::InvoiceStatus,
    /// Everything.
    pub total: crate::graphql::Money,
    /// What is still owed.
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

/// How far features are rolled out.
pub async fn rollouts(ctx: &Context<'_>) -> Result<Vec<FeatureRollout>, ApiError> {
    let found = ctx.request().operator()?.rollouts().await?;
    Ok(found.into_iter().map(|it| FeatureRollout { key: it.key, percentage: it.percentage }).collect())
}

/// What payment providers told in vain.
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

/// Mutations of platform administrators about what is sold.
#[derive(Default)]
pub struct SellingMutation;

#[Object]
impl SellingMutation {
    /// Makes a plan. It is on offer once a version of it is published. Platform administrators only, as all that follows.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_plan(&self, ctx: &Context<'_>, input: CreatePlanInput) -> Result<CreatePlanPayload, ApiError> {
        let operator = ctx.request().operator()?;
        Ok(settled(operator.create_plan(&input.key, &input.name).await.map(|it| it.key))?.into())
    }

    /// Changes a plan's name and place, or takes it off the price list.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_plan(&self, ctx: &Context<'_>, input: UpdatePlanInput) -> Result<UpdatePlanPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let patch = PlanPatch { name: input.name, position: input.position, active: input.active };
        Ok(settled(operator.update_plan(&input.plan, patch).await.map(|it| it.key))?.into())
    }

    /// Writes the draft of a plan's next version.
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

    /// Publishes a plan's draft: it is on offer from now on, and never changes again. Whoever has an older version keeps it
    /// until moved.
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

    /// Rolls a feature out to so many of a hundred tenants.
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

    /// Pauses a tenant's subscription: nothing is charged, and its people can read and not write. Or has it go on.
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

    /// Sets the tax on a tenant's invoices, from the next one on.
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

    /// Takes an invoice back of which nothing was paid, or gives it up.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn void_invoice(&self, ctx: &Context<'_>, input: VoidInvoiceInput) -> Result<VoidInvoicePayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.tenant_id, "input.tenantId")?;
        let invoice = parse_id(&input.invoice_id, "input.invoiceId")?;
        let state = if input.as_uncollectible.unwrap_or(false) { State::Uncollectible } else { State::Void };
        let done = operator.settle_invoice(id, invoice, state).await;
        Ok(settled(done.map(SettledInvoice::from))?.into())
    }

    /// Notes that an invoice was paid outside, such as by a transfer. What is paid beyond what is owed is credit.
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

    /// Takes an amount off an invoice by a credit note: off what is still owed, and beyond that off the next invoice.
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

    /// Has something tried again that a payment provider told in vain.
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
    ApiError::bad_input("input.amount.currency", "it must be the invoice's currency")
}
