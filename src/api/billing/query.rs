//! Reading what belongs to billing.

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
    /// At once: what is left of the period is credited, and charged anew.
    Now,
    /// When the period ends.
    PeriodEnd,
}

/// What the tenant has subscribed to, what it uses, and what it pays. Administrators only.
pub struct Billing;

/// What the tenant has subscribed to, what it uses, and what it pays. Administrators only.
#[Object]
impl Billing {
    /// What limits and features come from: the plan that the tenant has now.
    #[graphql(complexity = "2 * STATEMENT_COST + child_complexity")]
    async fn plan(&self, ctx: &Context<'_>) -> Result<Plan, ApiError> {
        let work = ctx.work()?;
        let tenant = crate::features::tenants::current(&work.tx).await?;
        plan_of(subscriptions::agreed(&work.tx, tenant.plan_version).await?)
    }

    /// The subscription, or the one that ended last.
    #[graphql(complexity = "4 * STATEMENT_COST + child_complexity")]
    async fn subscription(&self, ctx: &Context<'_>) -> Result<PlanSubscription, ApiError> {
        standing(&ctx.work()?.tx).await?.try_into()
    }

    /// Every meter, in the present calendar month.
    #[graphql(complexity = "5 * STATEMENT_COST + 10 * child_complexity")]
    async fn usage(&self, ctx: &Context<'_>) -> Result<Vec<Usage>, ApiError> {
        let work = ctx.work()?;
        let lines = crate::features::billing::usage_lines(&work.tx, work.caller().clock.now()).await?;
        Ok(lines.into_iter().map(Usage::from).collect())
    }

    /// How much of a meter was used on each day, for charts. Days without any are left out.
    #[graphql(complexity = "STATEMENT_COST + 60 * child_complexity")]
    async fn usage_series(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which meter, such as `bookings`, `users` or `api_cost`.")] meter: String,
        #[graphql(desc = "The first day, in the tenant's zone.")] from: Date,
        #[graphql(desc = "The last day; at most 400 days after the first.")] to: Date,
    ) -> Result<Vec<UsageDay>, ApiError> {
        let days =
            crate::features::billing::usage_series(&ctx.work()?.tx, &meter, from.0, to.0).await.map_err(refused)?;
        Ok(days.into_iter().map(|it| UsageDay { day: Date(it.day), quantity: it.quantity }).collect())
    }

    /// What was issued, newest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn invoices(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
    ) -> Result<Listing<Invoice>, ApiError> {
        let page = PageArgs { first, after, last, before }.read("billing.invoices")?;
        let slice = invoices::list(&ctx.work()?.tx, &page).await?;
        Ok(connection("billing.invoices", slice, Invoice::from))
    }

    /// One invoice. Null when there is none of this id.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn invoice(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "TypeID with the prefix `ivc`.")] id: ID,
    ) -> Result<Option<Invoice>, ApiError> {
        let id = parse_id(&id, "id")?;
        Ok(invoices::by_id(&ctx.work()?.tx, id).await?.map(Invoice::from))
    }

    /// What the next invoice would be, with the usage so far. Null once the subscription is over.
    #[graphql(complexity = "6 * STATEMENT_COST + child_complexity")]
    async fn upcoming_invoice(&self, ctx: &Context<'_>) -> Result<Option<InvoicePreview>, ApiError> {
        let work = ctx.work()?;
        let it = standing(&work.tx).await?;
        let currency = it.agreed.terms.currency()?;
        let upcoming = invoices::upcoming(&work.tx, &it.subscription).await?;
        Ok(upcoming.map(|(at, totals)| preview_view(at, totals, currency)))
    }

    /// What a change of plan would cost, and when. Changes nothing.
    #[graphql(complexity = "10 * STATEMENT_COST + child_complexity")]
    async fn plan_change(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key of the plan.")] plan: String,
        #[graphql(desc = "By the month or by the year (default MONTH).")] interval: Option<BillingInterval>,
        #[graphql(desc = "When (default NOW).")] when: Option<ChangeTiming>,
    ) -> Result<InvoicePreview, ApiError> {
        let biller = ctx.request().biller()?;
        let (interval, when) = read_change(interval, when);
        // Boxed: every field of an object would be as large as its largest.
        Ok(Box::pin(biller.preview(&plan, interval, when)).await.map_err(refused)?.into())
    }

    /// To whom invoices are addressed.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn profile(&self, ctx: &Context<'_>) -> Result<BillingProfile, ApiError> {
        Ok(invoices::profile(&ctx.work()?.tx).await?.into())
    }

    /// Whether something is known that can be charged.
    #[graphql(complexity = "STATEMENT_COST")]
    async fn has_payment_method(&self, ctx: &Context<'_>) -> Result<bool, ApiError> {
        Ok(payments::account(&ctx.work()?.tx).await?.method.is_some())
    }

    /// What comes off the next invoice; below 0 it comes on top, as what was too little to be charged.
    #[graphql(complexity = "3 * STATEMENT_COST + child_complexity")]
    async fn credit(&self, ctx: &Context<'_>) -> Result<Money, ApiError> {
        let work = ctx.work()?;
        let currency = standing(&work.tx).await?.agreed.terms.currency()?;
        let minor = invoices::balance(&work.tx, currency).await?;
        Ok(money::Money { minor, currency }.into())
    }

    /// Whether the tenant's people can only read, because it owes too long or its subscription is paused.
    #[graphql(complexity = "STATEMENT_COST")]
    async fn is_restricted(&self, ctx: &Context<'_>) -> Result<bool, ApiError> {
        Ok(crate::features::tenants::current(&ctx.work()?.tx).await?.restriction.is_some())
    }
}

pub(super) fn read_change(interval: Option<BillingInterval>, when: Option<ChangeTiming>) -> (Interval, When) {
    (interval.map_or(Interval::Month, Into::into), when.map_or(When::Now, Into::into))
}

/// In a query, which has no user errors.
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
                "The plan is of another currency than the present one: end that first.",
            ),
            Error::InvoiceNotFound => mend(UserErrorCode::NotFound, "id", "There is no such invoice that is open."),
            Error::SamePlan => mend(UserErrorCode::InUse, "plan", "The tenant has this plan already."),
            Error::CheckoutRequired => mend(
                UserErrorCode::CheckoutRequired,
                "plan",
                "Something is to be paid, and nothing can be charged yet: use createCheckoutSession.",
            ),
            Error::CheckoutOpen(_) => mend(
                UserErrorCode::CheckoutOpen,
                "plan",
                "A checkout for this plan is open: go on there, or wait until it expires.",
            ),
            Error::NoCustomer => mend(
                UserErrorCode::CheckoutRequired,
                "",
                "The payment provider does not know the tenant yet: use createCheckoutSession.",
            ),
            Error::InvalidTransition(status) => mend(
                UserErrorCode::InvalidTransition,
                "",
                &format!("The subscription is {}: that cannot be done with it.", status.as_str()),
            ),
            Error::Invalid(field, message) => mend(UserErrorCode::Invalid, field, message),
            Error::NoProvider => {
                Self::Refuse(ApiError::refused(Code::Unavailable, "This deployment takes no payments."))
            }
            Error::Provider(cause) => {
                tracing::warn!(cause, "the payment provider cannot do it");
                Self::Refuse(ApiError::refused(
                    Code::Unavailable,
                    "The payment provider cannot be reached now. Try again shortly.",
                ))
            }
            Error::Db(error) => error.into(),
        }
    }
}

impl RequestContext {
    /// The caller, at work on his tenant's billing. The rules look whether he may.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is signed in, `BAD_USER_INPUT` in a mutation that holds a transaction already: what is
    /// done here has its own, which would wait for that one, and a payment provider is not asked inside of one.
    pub fn biller(&self) -> Result<SelfService<'_>, ApiError> {
        if self.may_write() && self.has_begun() {
            let message = "Put what concerns billing first: not after another change in the same document.";
            return Err(ApiError::refused(Code::BadUserInput, message));
        }
        self.looking_biller()
    }

    /// The same, to look.
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
    /// What the tenant has subscribed to, what it uses, and what it pays. Administrators only.
    #[graphql(complexity = "3 * STATEMENT_COST + child_complexity")]
    async fn billing(&self, ctx: &Context<'_>) -> Result<Billing, ApiError> {
        // Boxed: every query, whatever it asks, would be as large as it.
        Box::pin(ctx.request().looking_biller()?.ensure()).await.map_err(refused)?;
        Ok(Billing)
    }

    /// The plans on offer, with prices, limits and features. Public.
    #[graphql(complexity = "STATEMENT_COST + 5 * child_complexity")]
    async fn plans(&self, ctx: &Context<'_>) -> Result<Vec<Plan>, ApiError> {
        let directory = ctx.request().directory();
        let plans = crate::features::billing::plans::on_offer(&directory).await?;
        // Ended at once: nobody holds the directory while he waits for something else.
        directory.end_read();
        plans.into_iter().map(Plan::try_from).collect()
    }
}

/// The subscription as it is once it was changed in a transaction of its own, read in another.
pub(super) async fn present(ctx: &Context<'_>) -> Result<PlanSubscription, ApiError> {
    let request = ctx.request();
    let viewer = request.viewer().ok_or_else(ApiError::unauthenticated)?;
    request.adopt(viewer);
    standing(&ctx.work()?.tx).await?.try_into()
}
