//! Changing what belongs to billing.

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

/// A checkout.
#[derive(InputObject)]
pub struct CreateCheckoutSessionInput {
    /// Key of the plan.
    plan: String,
    /// By the month or by the year. MONTH unless said.
    interval: Option<BillingInterval>,
    /// Where the browser goes once it is paid. That it came there grants nothing: the provider's word does.
    success_url: String,
    /// Where the browser goes when it is not.
    cancel_url: String,
}

/// A visit to the payment provider.
#[derive(InputObject)]
pub struct CreateBillingPortalSessionInput {
    /// Where the browser goes afterwards.
    return_url: String,
}

/// The end of a subscription.
#[derive(Default, InputObject)]
pub struct CancelSubscriptionInput {
    /// PERIOD_END unless said. With NOW what is left of the period is credited.
    when: Option<ChangeTiming>,
}

/// An invoice that is to be charged.
#[derive(InputObject)]
pub struct PayInvoiceInput {
    /// TypeID with the prefix `ivc`.
    id: ID,
}

/// Another plan, another interval, or both.
#[derive(InputObject)]
pub struct ChangePlanInput {
    /// Key of the plan.
    plan: String,
    /// By the month or by the year. MONTH unless said.
    interval: Option<BillingInterval>,
    /// NOW unless said.
    when: Option<ChangeTiming>,
    /// Only tells what it would cost, and changes nothing.
    dry_run: Option<bool>,
}

/// To whom invoices are addressed. What is left out or null is taken away.
#[derive(InputObject)]
pub struct UpdateBillingProfileInput {
    /// Name on invoices, at most 200 characters.
    legal_name: Option<String>,
    /// Address on invoices, at most 500 characters.
    address: Option<String>,
    /// Such as a VAT number, at most 40 characters.
    tax_id: Option<String>,
    /// Where mail about invoices goes.
    email: Option<String>,
}

/// Something that was used.
#[derive(InputObject)]
pub struct UsageEventInput {
    /// Which of your systems tells of it, at most 100 characters.
    source: String,
    /// Its name there, at most 200 characters. The same event has the same name, however often it is sent.
    event_id: String,
    /// A meter that a price, a limit or a feature of the plan speaks of.
    meter: String,
    /// Units, 1 to a million million.
    quantity: i64,
    /// When; at most 90 days ago.
    at: DateTime,
}

/// Usage, in a batch.
#[derive(InputObject)]
pub struct RecordUsageInput {
    /// 1 to 500.
    events: Vec<UsageEventInput>,
}

/// What became of an event of usage.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum UsageEventStatus {
    /// It is there and counted.
    Accepted,
    /// It was there already, and is counted once.
    Duplicate,
    /// It was refused; see the reason.
    Rejected,
}

/// Why an event of usage was refused.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Rejection")]
pub enum UsageRejection {
    /// Another event of the same source and id is there, with other content.
    Differs,
    /// The plan's quota has no room for it.
    QuotaExceeded,
    /// Neither a price nor a limit nor a feature of the plan speaks of the meter.
    UnknownMeter,
    /// Tenantry meters it itself.
    OwnMeter,
    /// The quantity is not from 1 to a million million.
    InvalidQuantity,
    /// Source or id is empty or too long.
    InvalidId,
    /// It is older than 90 days.
    TooOld,
    /// It is of the future.
    InTheFuture,
}

/// What became of one event.
#[derive(Clone, SimpleObject)]
pub struct UsageEventResult {
    /// As it was sent.
    pub source: String,
    /// As it was sent.
    pub event_id: String,
    /// What became of it.
    pub status: UsageEventStatus,
    /// Why it was refused.
    pub reason: Option<UsageRejection>,
}

payload!(
    /// The outcome of `createBillingPortalSession`.
    CreateBillingPortalSessionPayload {
        /// Where to send the person's browser.
        url: String
    }
);
payload!(
    /// The outcome of `cancelSubscription`.
    CancelSubscriptionPayload {
        /// The subscription, as it is now.
        subscription: PlanSubscription
    }
);
payload!(
    /// The outcome of `payInvoice`.
    PayInvoicePayload {
        /// The invoice, as it is now.
        invoice: Invoice
    }
);
payload!(
    /// The outcome of `keepSubscription`.
    KeepSubscriptionPayload {
        /// The subscription, as it is now.
        subscription: PlanSubscription
    }
);
payload!(
    /// The outcome of `updateBillingProfile`.
    UpdateBillingProfilePayload {
        /// As it is now.
        profile: BillingProfile
    }
);
payload!(
    /// The outcome of `recordUsage`: one result for each event, in their order.
    RecordUsagePayload {
        /// What became of each.
        results: Vec<UsageEventResult>
    }
);

/// The outcome of `createCheckoutSession`. With `CHECKOUT_OPEN` it holds the one that is open.
#[derive(SimpleObject)]
pub struct CreateCheckoutSessionPayload {
    /// The page.
    checkout_session: Option<CheckoutSession>,
    /// What the caller can mend.
    user_errors: Vec<UserError>,
}

/// The outcome of `changePlan`.
#[derive(SimpleObject)]
pub struct ChangePlanPayload {
    /// The subscription, as it is now. Null for a dry run.
    subscription: Option<PlanSubscription>,
    /// What it costs.
    preview: Option<InvoicePreview>,
    /// What the caller can mend.
    user_errors: Vec<UserError>,
}

/// Mutations of billing.
#[derive(Default)]
pub struct BillingMutation;

#[Object]
impl BillingMutation {
    /// Opens a page of the payment provider on which a plan is paid. The plan is taken once the provider says that it was.
    /// One page for each plan at a time: another call answers `CHECKOUT_OPEN` with the page that is open.
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

    /// Opens a page of the payment provider on which means of payment are seen and changed.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_billing_portal_session(
        &self,
        ctx: &Context<'_>,
        input: CreateBillingPortalSessionInput,
    ) -> Result<CreateBillingPortalSessionPayload, ApiError> {
        let biller = ctx.request().biller()?;
        Ok(settled(biller.open_portal(&input.return_url).await)?.into())
    }

    /// Changes the plan, at once or when the period ends; with `dryRun` it only tells what that would cost. At once it needs
    /// something that can be charged, or else it answers `CHECKOUT_REQUIRED`.
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

    /// Ends the subscription, when the period ends unless said; the tenant has the free plan then.
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

    /// Charges an open invoice now, whatever the schedule of retries says. What became of it is told by `payments`.
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

    /// Takes back what was to happen when the period ends: a change of plan, or the end.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn keep_subscription(&self, ctx: &Context<'_>) -> Result<KeepSubscriptionPayload, ApiError> {
        let biller = ctx.request().biller()?;
        Ok(match settled(biller.keep_plan().await)? {
            Ok(()) => Ok(present(ctx).await?).into(),
            Err(error) => Err(error).into(),
        })
    }

    /// Changes to whom invoices are addressed, from the next one on.
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

    /// Records usage that your own systems tell of. Each event counts once, however often it is sent; one that has an id of
    /// another and other content is refused. What is late is billed with the present period.
    #[graphql(complexity = "MUTATION_COST + 20 * child_complexity")]
    async fn record_usage(&self, ctx: &Context<'_>, input: RecordUsageInput) -> Result<RecordUsagePayload, ApiError> {
        // The plan says which meters there are.
        if ctx.request().has_begun() {
            // Nobody waits for a second connection while he holds one.
            if subscriptions::current(&ctx.work()?.tx).await?.is_none() {
                let message = "The tenant was never billed: ask for `billing` once, and then again.";
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
