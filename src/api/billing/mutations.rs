//! Mutations of billing.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    objects::{BillingProfile, CheckoutSession, Invoice, InvoicePreview, PlanSubscription},
    query::{ChangeTiming, present, read_change, refused},
};
use crate::{
    api::{ContextExt, plans::BillingInterval},
    base::ids::InvoiceId,
    features::{
        billing::{
            BillingError as Error, CheckoutWish, RecordOutcome, Rejection, When, cycles::Interval, invoices,
            subscriptions,
        },
        usage,
    },
    graphql::{ApiError, Code, DateTime, MUTATION_COST, UserError, parse_id, payload, settled},
};

/// A checkout to start.
#[derive(InputObject)]
pub struct CreateCheckoutSessionInput {
    /// Key of the plan.
    plan: String,
    /// The billing interval. MONTH by default.
    interval: Option<BillingInterval>,
    /// Where the browser goes after payment. Arriving there grants nothing: only the provider's confirmation does.
    success_url: String,
    /// Where the browser goes when the payment is abandoned.
    cancel_url: String,
}

/// A visit to the payment provider's billing portal.
#[derive(InputObject)]
pub struct CreateBillingPortalSessionInput {
    /// Where the browser goes afterwards.
    return_url: String,
}

/// The cancellation of a subscription.
#[derive(Default, InputObject)]
pub struct CancelSubscriptionInput {
    /// PERIOD_END by default. With NOW, the rest of the period is credited.
    when: Option<ChangeTiming>,
}

/// An invoice to charge.
#[derive(InputObject)]
pub struct PayInvoiceInput {
    /// TypeID with the prefix `ivc`.
    id: ID,
}

/// A change of plan, interval, or both.
#[derive(InputObject)]
pub struct ChangePlanInput {
    /// Key of the plan.
    plan: String,
    /// The billing interval. MONTH by default.
    interval: Option<BillingInterval>,
    /// NOW unless said.
    when: Option<ChangeTiming>,
    /// Returns the cost of the change without making it.
    dry_run: Option<bool>,
}

/// The recipient of invoices. Fields that are omitted or null are removed.
#[derive(InputObject)]
pub struct UpdateBillingProfileInput {
    /// Name on invoices, at most 200 characters.
    legal_name: Option<String>,
    /// Address on invoices, at most 500 characters.
    address: Option<String>,
    /// A tax id, such as a VAT number, at most 40 characters.
    tax_id: Option<String>,
    /// The address for emails about invoices.
    email: Option<String>,
}

/// A usage event.
#[derive(InputObject)]
pub struct UsageEventInput {
    /// The system that reports it, at most 100 characters.
    source: String,
    /// The id of the event in that system, at most 200 characters. Use the same id whenever the same event is sent again.
    event_id: String,
    /// A meter that a price, a limit or a feature of the plan uses.
    meter: String,
    /// Number of units, 1 to 1,000,000,000,000.
    quantity: i64,
    /// When it happened; at most 90 days ago.
    at: DateTime,
}

/// A batch of usage events.
#[derive(InputObject)]
pub struct RecordUsageInput {
    /// 1 to 500 events.
    events: Vec<UsageEventInput>,
}

/// The result of recording a usage event.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum UsageEventStatus {
    /// Recorded and counted.
    Accepted,
    /// Already recorded; it is counted once.
    Duplicate,
    /// Refused; see the reason.
    Rejected,
}

/// Why a usage event was refused.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Rejection")]
pub enum UsageRejection {
    /// An event with the same source and id, but different content, is already recorded.
    Differs,
    /// It exceeds the plan's quota.
    QuotaExceeded,
    /// No price, limit or feature of the plan uses the meter.
    UnknownMeter,
    /// Tenantry measures this meter itself.
    OwnMeter,
    /// The quantity is not between 1 and 1,000,000,000,000.
    InvalidQuantity,
    /// Source or id is empty or too long.
    InvalidId,
    /// It is older than 90 days.
    TooOld,
    /// It is in the future.
    InTheFuture,
}

/// The result for one event.
#[derive(Clone, SimpleObject)]
pub struct UsageEventResult {
    /// The source, as sent.
    pub source: String,
    /// The event id, as sent.
    pub event_id: String,
    /// The result.
    pub status: UsageEventStatus,
    /// Why it was refused.
    pub reason: Option<UsageRejection>,
}

payload!(
    /// The outcome of `createBillingPortalSession`.
    CreateBillingPortalSessionPayload {
        /// The URL to open in the browser.
        url: String
    }
);
payload!(
    /// The outcome of `cancelSubscription`.
    CancelSubscriptionPayload {
        /// The subscription after the change.
        subscription: PlanSubscription
    }
);
payload!(
    /// The outcome of `payInvoice`.
    PayInvoicePayload {
        /// The invoice after the change.
        invoice: Invoice
    }
);
payload!(
    /// The outcome of `keepSubscription`.
    KeepSubscriptionPayload {
        /// The subscription after the change.
        subscription: PlanSubscription
    }
);
payload!(
    /// The outcome of `updateBillingProfile`.
    UpdateBillingProfilePayload {
        /// The updated billing profile.
        profile: BillingProfile
    }
);
payload!(
    /// The outcome of `recordUsage`.
    RecordUsagePayload {
        /// One result for each event, in the same order.
        results: Vec<UsageEventResult>
    }
);

/// The outcome of `createCheckoutSession`. With `CHECKOUT_OPEN`, it contains the session that is already open.
#[derive(SimpleObject)]
pub struct CreateCheckoutSessionPayload {
    /// The checkout page.
    checkout_session: Option<CheckoutSession>,
    /// Errors that the caller can correct.
    user_errors: Vec<UserError>,
}

/// The outcome of `changePlan`.
#[derive(SimpleObject)]
pub struct ChangePlanPayload {
    /// The subscription after the change. Null for a dry run.
    subscription: Option<PlanSubscription>,
    /// The cost of the change.
    preview: Option<InvoicePreview>,
    /// Errors that the caller can correct.
    user_errors: Vec<UserError>,
}

/// Mutations of billing.
#[derive(Default)]
pub struct BillingMutation;

#[Object]
impl BillingMutation {
    /// Opens a checkout page of the payment provider for a plan. The subscription starts once the provider confirms
    /// the payment. One page for each plan at a time: another call returns `CHECKOUT_OPEN` with the open page.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_checkout_session(
        &self,
        ctx: &Context<'_>,
        input: CreateCheckoutSessionInput,
    ) -> Result<CreateCheckoutSessionPayload, ApiError> {
        let biller = ctx.request().biller()?;
        let interval = input.interval.map_or(Interval::Month, Into::into);
        let CreateCheckoutSessionInput { plan, success_url, cancel_url, .. } = input;
        let checked = biller.check_out(CheckoutWish { plan, interval, success_url, cancel_url }).await;
        let open = match &checked {
            Err(Error::CheckoutOpen(open)) => Some((**open).clone()),
            _ => None,
        };
        Ok(match settled(checked)? {
            Ok(session) => CreateCheckoutSessionPayload { checkout_session: Some(session.into()), user_errors: vec![] },
            Err(error) => {
                CreateCheckoutSessionPayload { checkout_session: open.map(Into::into), user_errors: vec![error] }
            }
        })
    }

    /// Opens a page of the payment provider on which payment methods are managed.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_billing_portal_session(
        &self,
        ctx: &Context<'_>,
        input: CreateBillingPortalSessionInput,
    ) -> Result<CreateBillingPortalSessionPayload, ApiError> {
        let biller = ctx.request().biller()?;
        Ok(settled(biller.open_portal(&input.return_url).await)?.into())
    }

    /// Changes the plan, at once or at the end of the period; with `dryRun`, only returns the cost. An immediate
    /// change needs a payment method that can be charged; otherwise it returns `CHECKOUT_REQUIRED`.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn change_plan(&self, ctx: &Context<'_>, input: ChangePlanInput) -> Result<ChangePlanPayload, ApiError> {
        let biller = ctx.request().biller()?;
        let (interval, when) = read_change(input.interval, input.when);
        let is_dry = input.dry_run.unwrap_or(false);
        let done = if is_dry {
            biller.preview(&input.plan, interval, when).await
        } else {
            biller.change_plan(&input.plan, interval, when).await
        };
        Ok(match settled(done)? {
            Ok(preview) => {
                let subscription = if is_dry { None } else { Some(present(ctx).await?) };
                ChangePlanPayload { subscription, preview: Some(preview.into()), user_errors: vec![] }
            }
            Err(error) => ChangePlanPayload { subscription: None, preview: None, user_errors: vec![error] },
        })
    }

    /// Cancels the subscription, by default at the end of the period. The tenant then has the free plan.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn cancel_subscription(
        &self,
        ctx: &Context<'_>,
        input: CancelSubscriptionInput,
    ) -> Result<CancelSubscriptionPayload, ApiError> {
        let biller = ctx.request().biller()?;
        let when = input.when.map_or(When::PeriodEnd, Into::into);
        Ok(match settled(biller.cancel(when).await)? {
            Ok(()) => Ok(present(ctx).await?).into(),
            Err(error) => Err(error).into(),
        })
    }

    /// Charges an open invoice now, regardless of the retry schedule. `payments` shows the result.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn pay_invoice(&self, ctx: &Context<'_>, input: PayInvoiceInput) -> Result<PayInvoicePayload, ApiError> {
        let biller = ctx.request().biller()?;
        let id: InvoiceId = parse_id(&input.id, "input.id")?;
        let paid = match settled(biller.pay(id).await)? {
            Ok(()) => {
                let request = ctx.request();
                request.adopt(request.viewer().ok_or_else(ApiError::unauthenticated)?);
                let invoice = invoices::by_id(&ctx.work()?.tx, id).await?;
                let gone = || ApiError::Internal("an invoice has disappeared".into());
                Ok(Invoice::from(invoice.ok_or_else(gone)?))
            }
            Err(error) => Err(error),
        };
        Ok(paid.into())
    }

    /// Withdraws a scheduled change: a change of plan, or the cancellation.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn keep_subscription(&self, ctx: &Context<'_>) -> Result<KeepSubscriptionPayload, ApiError> {
        let biller = ctx.request().biller()?;
        Ok(match settled(biller.keep_plan().await)? {
            Ok(()) => Ok(present(ctx).await?).into(),
            Err(error) => Err(error).into(),
        })
    }

    /// Updates the recipient of invoices, starting with the next invoice.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_billing_profile(
        &self,
        ctx: &Context<'_>,
        input: UpdateBillingProfileInput,
    ) -> Result<UpdateBillingProfilePayload, ApiError> {
        let work = ctx.work()?;
        let profile = invoices::Profile {
            legal_name: input.legal_name,
            address: input.address,
            tax_id: input.tax_id,
            email: input.email,
        };
        let saved = crate::features::billing::update_profile(&work.caller(), profile).await;
        Ok(work.settle(saved.map(BillingProfile::from))?.into())
    }

    /// Records usage events from your own systems. Each event counts once, however often it is sent; an event with
    /// the id of another and different content is refused. Late usage is billed in the current period.
    #[graphql(complexity = "MUTATION_COST + 20 * child_complexity")]
    async fn record_usage(&self, ctx: &Context<'_>, input: RecordUsageInput) -> Result<RecordUsagePayload, ApiError> {
        // The plan determines which meters exist.
        if ctx.request().has_begun() {
            // A request that holds a connection must not wait for a second one.
            if subscriptions::current(&ctx.work()?.tx).await?.is_none() {
                let message = "The tenant has no subscription yet. Query `billing` once, then try again.";
                return Err(ApiError::refused(Code::BadUserInput, message));
            }
        } else {
            ctx.request().looking_biller()?.ensure().await.map_err(refused)?;
        }
        let work = ctx.work()?;
        let event = |it: UsageEventInput| usage::Event {
            source: it.source,
            event_id: it.event_id,
            meter: it.meter,
            quantity: it.quantity,
            occurred_at: subscriptions::in_micros(it.at.0),
        };
        let events: Vec<usage::Event> = input.events.into_iter().map(event).collect();
        let became = crate::features::billing::record_usage(&work.caller(), &events).await;
        let view = |(event, became): (usage::Event, RecordOutcome)| {
            let (status, reason) = match became {
                RecordOutcome::Accepted => (UsageEventStatus::Accepted, None),
                RecordOutcome::Duplicate => (UsageEventStatus::Duplicate, None),
                RecordOutcome::Rejected(why) => (UsageEventStatus::Rejected, Some(why.into())),
            };
            UsageEventResult { source: event.source, event_id: event.event_id, status, reason }
        };
        Ok(work.settle(became.map(|it| events.into_iter().zip(it).map(view).collect()))?.into())
    }
}
