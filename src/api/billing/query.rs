//! Queries of billing.

use async_graphql::{Context, Enum, ID, Object};

use super::objects::{
    BillingProfile, Invoice, InvoicePreview, PlanSubscription, Usage, UsageDay, plan_of, preview_view,
};
use crate::{
    api::{
        ContextExt, RequestContext,
        plans::{BillingInterval, Plan},
    },
    base::money,
    features::billing::{
        BillingError as Error, SelfService, When, cycles::Interval, invoices, payments, standing, subscriptions,
    },
    graphql::{
        ApiError, Code, Date, ErrorClass, Listing, Money, PageArgs, STATEMENT_COST, UserError, UserErrorCode,
        connection, page_cost, parse_id,
    },
};

/// When a change takes effect.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "When")]
pub enum ChangeTiming {
    /// Immediately: the rest of the period is credited, and charged again on the new terms.
    Now,
    /// At the end of the period.
    PeriodEnd,
}

/// The tenant's subscription, usage and invoices. Administrators only.
pub struct Billing;

/// The tenant's subscription, usage and invoices. Administrators only.
#[Object]
impl Billing {
    /// The tenant's current plan, which determines limits and features.
    #[graphql(complexity = "2 * STATEMENT_COST + child_complexity")]
    async fn plan(&self, ctx: &Context<'_>) -> Result<Plan, ApiError> {
        let work = ctx.work()?;
        let tenant = crate::features::tenants::current(&work.tx).await?;
        plan_of(subscriptions::agreed(&work.tx, tenant.plan_version).await?)
    }

    /// The current subscription, or the last one that ended.
    #[graphql(complexity = "4 * STATEMENT_COST + child_complexity")]
    async fn subscription(&self, ctx: &Context<'_>) -> Result<PlanSubscription, ApiError> {
        standing(&ctx.work()?.tx).await?.try_into()
    }

    /// The usage of every meter in the current calendar month.
    #[graphql(complexity = "5 * STATEMENT_COST + 10 * child_complexity")]
    async fn usage(&self, ctx: &Context<'_>) -> Result<Vec<Usage>, ApiError> {
        let work = ctx.work()?;
        let lines = crate::features::billing::usage_lines(&work.tx, work.caller().clock.now()).await?;
        Ok(lines.into_iter().map(Usage::from).collect())
    }

    /// The usage of a meter on each day, for charts. Days without usage are omitted.
    #[graphql(complexity = "STATEMENT_COST + 60 * child_complexity")]
    async fn usage_series(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The meter, such as `bookings`, `users` or `api_cost`.")] meter: String,
        #[graphql(desc = "The first day, in the tenant's time zone.")] from: Date,
        #[graphql(desc = "The last day; at most 400 days after the first.")] to: Date,
    ) -> Result<Vec<UsageDay>, ApiError> {
        let days =
            crate::features::billing::usage_series(&ctx.work()?.tx, &meter, from.0, to.0).await.map_err(refused)?;
        Ok(days.into_iter().map(|it| UsageDay { day: Date(it.day), quantity: it.quantity }).collect())
    }

    /// Issued invoices, newest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn invoices(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
    ) -> Result<Listing<Invoice>, ApiError> {
        let page = PageArgs { first, after, last, before }.read("billing.invoices")?;
        let slice = invoices::list(&ctx.work()?.tx, &page).await?;
        Ok(connection("billing.invoices", slice, Invoice::from))
    }

    /// One invoice. Null when it does not exist.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn invoice(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "TypeID with the prefix `ivc`.")] id: ID,
    ) -> Result<Option<Invoice>, ApiError> {
        let id = parse_id(&id, "id")?;
        Ok(invoices::by_id(&ctx.work()?.tx, id).await?.map(Invoice::from))
    }

    /// A preview of the next invoice, with the usage so far. Null once the subscription has ended.
    #[graphql(complexity = "6 * STATEMENT_COST + child_complexity")]
    async fn upcoming_invoice(&self, ctx: &Context<'_>) -> Result<Option<InvoicePreview>, ApiError> {
        let work = ctx.work()?;
        let it = standing(&work.tx).await?;
        let currency = it.agreed.terms.currency()?;
        let upcoming = invoices::upcoming(&work.tx, &it.subscription).await?;
        Ok(upcoming.map(|(at, totals)| preview_view(at, totals, currency)))
    }

    /// The cost and time of a change of plan. Changes nothing.
    #[graphql(complexity = "10 * STATEMENT_COST + child_complexity")]
    async fn plan_change(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of the plan.")] plan: String,
        #[graphql(desc = "The billing interval (default MONTH).")] interval: Option<BillingInterval>,
        #[graphql(desc = "When the change takes effect (default NOW).")] when: Option<ChangeTiming>,
    ) -> Result<InvoicePreview, ApiError> {
        let biller = ctx.request().biller()?;
        let (interval, when) = read_change(interval, when);
        // Boxed: otherwise every field's future would be as large as this one.
        Ok(Box::pin(biller.preview(&plan, interval, when)).await.map_err(refused)?.into())
    }

    /// The recipient of invoices.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn profile(&self, ctx: &Context<'_>) -> Result<BillingProfile, ApiError> {
        Ok(invoices::profile(&ctx.work()?.tx).await?.into())
    }

    /// Whether a payment method is registered that can be charged.
    #[graphql(complexity = "STATEMENT_COST")]
    async fn has_payment_method(&self, ctx: &Context<'_>) -> Result<bool, ApiError> {
        Ok(payments::account(&ctx.work()?.tx).await?.method.is_some())
    }

    /// Credit for the next invoice; a negative amount is added to it, such as one that was too small to charge.
    #[graphql(complexity = "3 * STATEMENT_COST + child_complexity")]
    async fn credit(&self, ctx: &Context<'_>) -> Result<Money, ApiError> {
        let work = ctx.work()?;
        let currency = standing(&work.tx).await?.agreed.terms.currency()?;
        let minor = invoices::balance(&work.tx, currency).await?;
        Ok(money::Money { minor, currency }.into())
    }

    /// Whether the tenant is read-only, because an invoice is overdue for too long or its subscription is paused.
    #[graphql(complexity = "STATEMENT_COST")]
    async fn is_restricted(&self, ctx: &Context<'_>) -> Result<bool, ApiError> {
        Ok(crate::features::tenants::current(&ctx.work()?.tx).await?.restriction.is_some())
    }
}

pub(super) fn read_change(interval: Option<BillingInterval>, when: Option<ChangeTiming>) -> (Interval, When) {
    (interval.map_or(Interval::Month, Into::into), when.map_or(When::Now, Into::into))
}

/// Maps an error for a query, which has no user errors.
pub(super) fn refused(error: Error) -> ApiError {
    match ErrorClass::from(error) {
        ErrorClass::Refuse(error) => error,
        ErrorClass::Mend(error) => {
            let field = error.field.map(|it| it.join(".")).unwrap_or_default();
            ApiError::bad_input(field, error.message)
        }
    }
}

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::PlanNotFound => mend(UserErrorCode::NotFound, "plan", "There is no such plan."),
            Error::NotOffered => mend(UserErrorCode::Invalid, "interval", "The plan is not sold by this interval."),
            Error::OtherCurrency => mend(
                UserErrorCode::Invalid,
                "plan",
                "The plan uses another currency than the current one. Cancel the current one first.",
            ),
            Error::InvoiceNotFound => mend(UserErrorCode::NotFound, "id", "There is no such open invoice."),
            Error::SamePlan => mend(UserErrorCode::InUse, "plan", "The tenant already has this plan."),
            Error::CheckoutRequired => mend(
                UserErrorCode::CheckoutRequired,
                "plan",
                "A payment is due, and no payment method is registered. Use createCheckoutSession.",
            ),
            Error::CheckoutOpen(_) => mend(
                UserErrorCode::CheckoutOpen,
                "plan",
                "A checkout for this plan is already open. Continue there, or wait until it expires.",
            ),
            Error::NoCustomer => mend(
                UserErrorCode::CheckoutRequired,
                "",
                "The tenant is not registered with the payment provider yet. Use createCheckoutSession.",
            ),
            Error::InvalidTransition(status) => mend(
                UserErrorCode::InvalidTransition,
                "",
                &format!("The subscription is {}: this is not possible.", status.as_str()),
            ),
            Error::Invalid(field, message) => mend(UserErrorCode::Invalid, field, message),
            Error::NoProvider => {
                Self::Refuse(ApiError::refused(Code::Unavailable, "This deployment does not accept payments."))
            }
            Error::Provider(cause) => {
                tracing::warn!(cause, "the request to the payment provider failed");
                Self::Refuse(ApiError::refused(
                    Code::Unavailable,
                    "The payment provider is not available. Try again shortly.",
                ))
            }
            Error::Db(error) => error.into(),
        }
    }
}

impl RequestContext {
    /// The self-service of the caller's tenant. The billing rules check whether the caller is allowed to use it.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is signed in, `BAD_USER_INPUT` in a mutation that already holds a transaction:
    /// billing opens transactions of its own, which would wait for that one, and a payment provider is never called
    /// inside a transaction.
    pub fn biller(&self) -> Result<SelfService<'_>, ApiError> {
        if self.may_write() && self.has_begun() {
            let message = "Billing mutations come first in a document, before other changes.";
            return Err(ApiError::refused(Code::BadUserInput, message));
        }
        self.looking_biller()
    }

    /// The same, for reading.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is signed in.
    pub fn looking_biller(&self) -> Result<SelfService<'_>, ApiError> {
        let viewer = self.viewer().ok_or_else(ApiError::unauthenticated)?;
        Ok(SelfService { engine: &self.services().billing, viewer, clock: self.clock(), origin: self.origin() })
    }
}

/// Queries about billing.
#[derive(Default)]
pub struct BillingQuery;

#[Object]
impl BillingQuery {
    /// The tenant's subscription, usage and invoices. Administrators only.
    #[graphql(complexity = "3 * STATEMENT_COST + child_complexity")]
    async fn billing(&self, ctx: &Context<'_>) -> Result<Billing, ApiError> {
        // Boxed: otherwise the future of every query would be as large as this one.
        Box::pin(ctx.request().looking_biller()?.ensure()).await.map_err(refused)?;
        Ok(Billing)
    }

    /// The plans on offer, with prices, limits and features. Public.
    #[graphql(complexity = "STATEMENT_COST + 5 * child_complexity")]
    async fn plans(&self, ctx: &Context<'_>) -> Result<Vec<Plan>, ApiError> {
        let directory = ctx.request().directory();
        let plans = crate::features::billing::plans::on_offer(&directory).await?;
        // Ended at once: a request must not hold the directory while it waits for something else.
        directory.end_read();
        plans.into_iter().map(Plan::try_from).collect()
    }
}

/// Reads the subscription after a change. The change ran in its own transaction; this reads in another.
pub(super) async fn present(ctx: &Context<'_>) -> Result<PlanSubscription, ApiError> {
    let request = ctx.request();
    let viewer = request.viewer().ok_or_else(ApiError::unauthenticated)?;
    request.adopt(viewer);
    standing(&ctx.work()?.tx).await?.try_into()
}
