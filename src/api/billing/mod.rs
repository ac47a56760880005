//! Billing in the API: what a tenant's administrator sees and does.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use super::plans::{BillingInterval, Plan, PlanPrice};
use crate::{
    api::{ContextExt, RequestContext},
    base::{ids::InvoiceId, money},
    features::{
        billing::{
            Became, Biller, BillingError as Error, CheckoutWish, Preview, Rejection, UsageLine, When,
            cycles::Interval,
            invoices::{self, Explanation, Kind, State},
            payments::{self, CheckoutSession as Session},
            standing,
            subscriptions::{self, Agreed, Status},
        },
        usage,
    },
    graphql::{
        ApiError, Code, Date, DateTime, Decimal, Listing, MUTATION_COST, Meaning, Money, PageArgs, STATEMENT_COST,
        UserError, UserErrorCode, connection, page_cost, parse_id, payload, settled,
    },
};

/// How long the address of an invoice's file is good for, in seconds.
const LINK_LIFE: i64 = 15 * 60;

/// How much of a meter was used in a period.
#[derive(Clone, SimpleObject)]
pub struct Usage {
    /// `bookings`, `resources`, `services`, `users`, or another that the plan speaks of.
    pub meter: String,
    /// So much.
    pub used: i32,
    /// Of at most so much; null without a limit.
    pub limit: Option<i32>,
    /// The first instant of the period: a calendar month of the tenant's zone.
    pub period_start: DateTime,
    /// The first instant after the period.
    pub period_end: DateTime,
}

impl From<UsageLine> for Usage {
    fn from(line: UsageLine) -> Self {
        Self {
            meter: line.meter,
            used: to_int(line.used),
            limit: line.limit.map(to_int),
            period_start: DateTime(line.period.start),
            period_end: DateTime(line.period.end),
        }
    }
}

/// GraphQL's `Int` has 32 bits; more than two thousand million of anything is shown as that.
fn to_int(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// How much of a meter was used on a day.
#[derive(Clone, SimpleObject)]
pub struct UsageDay {
    /// In the tenant's zone.
    pub day: Date,
    /// The sum; of `users` the most.
    pub quantity: i64,
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Status")]
pub enum SubscriptionStatus {
    /// For nothing, until its trial ends.
    Trialing,
    /// All is paid that should be.
    Active,
    /// Something is owed that should have been paid. After a time of grace nothing can be changed in the tenant.
    PastDue,
    /// Nothing is charged, and nothing can be changed in the tenant.
    Paused,
    /// Over.
    Cancelled,
}

/// The tenant's subscription to a plan.
#[derive(SimpleObject)]
pub struct PlanSubscription {
    /// TypeID with the prefix `sub`.
    pub id: ID,
    /// The plan, in the version that was taken.
    pub plan: Plan,
    /// By the month or by the year.
    pub interval: BillingInterval,
    /// Where it stands.
    pub status: SubscriptionStatus,
    /// The first instant of the present month or year, counted from its anchor in the tenant's zone.
    pub current_period_start: DateTime,
    /// The first instant after it.
    pub current_period_end: DateTime,
    /// When its trial ends, or has ended.
    pub trial_ends_at: Option<DateTime>,
    /// What it changes to at the end of the period.
    pub next_plan: Option<Plan>,
    /// When it ends.
    pub cancel_at: Option<DateTime>,
    /// Since when something is owed that should have been paid.
    pub past_due_since: Option<DateTime>,
}

fn plan_of(agreed: Agreed) -> Result<Plan, ApiError> {
    Plan::try_from(crate::features::billing::plans::PlanVersion {
        id: agreed.version_id,
        plan: crate::features::billing::plans::Plan {
            id: agreed.plan,
            key: agreed.plan_key,
            name: agreed.plan_name,
            position: 0,
            active: true,
        },
        version: agreed.version,
        published_at: None,
        terms: agreed.terms,
    })
}

impl TryFrom<crate::features::billing::Standing> for PlanSubscription {
    type Error = ApiError;

    fn try_from(it: crate::features::billing::Standing) -> Result<Self, ApiError> {
        let (subscription, period) = (it.subscription, it.period);
        // A subscription that is to end changes to nothing: its tenant falls back.
        let next = it.next.filter(|_| subscription.cancel_at.is_none() && subscription.is_alive());
        Ok(Self {
            id: subscription.id.to_string().into(),
            plan: plan_of(it.agreed)?,
            interval: subscription.interval.into(),
            status: subscription.status.into(),
            current_period_start: DateTime(period.cycle_start),
            current_period_end: DateTime(period.cycle_end),
            trial_ends_at: subscription.trial_ends_at.map(DateTime),
            next_plan: next.map(plan_of).transpose()?,
            cancel_at: subscription.cancel_at.map(DateTime),
            past_due_since: subscription.past_due_since.map(DateTime),
        })
    }
}

/// Where an invoice stands.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum InvoiceStatus {
    /// About to be issued; never shown.
    Draft,
    /// To be paid.
    Open,
    /// Paid, or nothing was to be paid.
    Paid,
    /// Taken back: nothing is owed for it.
    Void,
    /// Owed, and given up.
    Uncollectible,
}

/// What a line of an invoice is.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum InvoiceLineKind {
    /// A fee in advance.
    Flat,
    /// Of such a fee what was not used after all.
    Credit,
    /// What was used.
    Usage,
    /// Carried to the next invoice, or (below 0) from an earlier one.
    Balance,
}

/// A line of an invoice. The lines' `net` and `tax` sum to the invoice's total.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct InvoiceLine {
    /// What it is.
    pub kind: InvoiceLineKind,
    /// For people.
    pub name: String,
    /// What was used.
    pub meter: Option<String>,
    /// How much of it.
    pub quantity: Option<i64>,
    /// The first instant that it covers.
    pub from: Option<DateTime>,
    /// The first instant after that.
    pub to: Option<DateTime>,
    /// Without tax, rounded once.
    pub net: Money,
    /// The tax, rounded once.
    pub tax: Money,
    #[graphql(skip)]
    origin: Option<(InvoiceId, invoices::Line)>,
}

/// How a line came about: rated again, from the price and the events of usage that it points to.
#[derive(Clone, SimpleObject)]
pub struct LineExplanation {
    /// The plan, in the version whose price it is.
    pub plan: Plan,
    /// The price.
    pub price: PlanPrice,
    /// What the events of usage say.
    pub quantity: Option<i64>,
    /// The parts of the amount; of a fee the one of the whole month or year.
    pub steps: Vec<RatingStep>,
    /// Microseconds that a fee or credit covers.
    pub covered_micros: Option<i64>,
    /// Microseconds of the whole month or year.
    pub cycle_micros: Option<i64>,
    /// What comes out without tax.
    pub net: Money,
    /// The tax on it.
    pub tax: Money,
    /// Whether that is what the line says.
    pub agrees: bool,
}

/// A part of an amount: units at a price, and an amount once.
#[derive(Clone, SimpleObject)]
pub struct RatingStep {
    /// Units, or packages.
    pub quantity: i64,
    /// Of one, exact.
    pub unit_amount: Decimal,
    /// Once, exact.
    pub flat_amount: Decimal,
    /// Both together, exact.
    pub amount: Decimal,
}

/// An attempt to have an invoice paid.
#[derive(Clone, SimpleObject)]
pub struct PaymentAttempt {
    /// When it was begun.
    pub at: DateTime,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Why it failed.
    pub failure: Option<String>,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "payments::PaymentState")]
pub enum PaymentStatus {
    /// Nobody knows yet.
    Pending,
    /// It was made.
    Succeeded,
    /// It was not.
    Failed,
}

/// What the platform took off an invoice that was issued.
#[derive(Clone, SimpleObject)]
pub struct CreditNote {
    /// TypeID with the prefix `crn`.
    pub id: ID,
    /// From 1 without a gap.
    pub number: String,
    /// With tax.
    pub amount: Money,
    /// The tax in it.
    pub tax: Money,
    /// Why.
    pub reason: String,
    /// When.
    pub issued_at: DateTime,
}

/// What the tenant is to pay, or has paid.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Invoice {
    /// TypeID with the prefix `ivc`.
    pub id: ID,
    /// Such as `INV-000001`: without a gap within the tenant.
    pub number: String,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// The instant for which it is: flat fees from then on, usage until then.
    pub falls_due_at: DateTime,
    /// When it was issued.
    pub issued_at: Option<DateTime>,
    /// When it is to be paid at the latest.
    pub due_at: Option<DateTime>,
    /// When it was paid, taken back or given up.
    pub settled_at: Option<DateTime>,
    /// Without tax, and without what was carried.
    pub net: Money,
    /// The tax.
    pub tax: Money,
    /// Everything: the sum of its lines.
    pub total: Money,
    /// What is still owed.
    pub owed: Money,
    /// The tax rate in percent.
    pub tax_rate: Decimal,
    /// To whom it is addressed.
    pub recipient: String,
    #[graphql(skip)]
    origin: Option<invoices::Invoice>,
}

impl From<invoices::Invoice> for Invoice {
    fn from(it: invoices::Invoice) -> Self {
        let money = |minor| Money::from(money::Money { minor, currency: it.currency });
        Self {
            id: it.id.to_string().into(),
            number: it.display_number(),
            status: it.state.into(),
            falls_due_at: DateTime(it.falls_due),
            issued_at: it.issued_at.map(DateTime),
            due_at: it.due_at.map(DateTime),
            settled_at: it.settled_at.map(DateTime),
            net: money(it.net_minor),
            tax: money(it.tax_minor),
            total: money(it.total_minor),
            owed: money(it.owed_minor()),
            tax_rate: Decimal(rust_decimal::Decimal::new(i64::from(it.tax.rate_ppm), 4).normalize()),
            recipient: it.recipient.name.clone(),
            origin: Some(it),
        }
    }
}

fn line_view(line: invoices::Line, invoice: Option<InvoiceId>, currency: money::Currency) -> InvoiceLine {
    let money = |minor| Money::from(money::Money { minor, currency });
    InvoiceLine {
        kind: line.kind.into(),
        name: line.name.clone(),
        meter: line.meter.clone(),
        quantity: line.quantity,
        from: line.covers.map(|it| DateTime(it.start)),
        to: line.covers.map(|it| DateTime(it.end)),
        net: money(line.net_minor),
        tax: money(line.tax_minor),
        origin: invoice.map(|invoice| (invoice, line)),
    }
}

#[ComplexObject]
impl Invoice {
    /// Its lines, in their order.
    #[graphql(complexity = "STATEMENT_COST + 8 * child_complexity")]
    async fn lines(&self, ctx: &Context<'_>) -> Result<Vec<InvoiceLine>, ApiError> {
        let Some(invoice) = &self.origin else { return Ok(vec![]) };
        let lines = invoices::lines(&ctx.work()?.tx, invoice.id).await?;
        Ok(lines.into_iter().map(|it| line_view(it, Some(invoice.id), invoice.currency)).collect())
    }

    /// What was taken off it, oldest first.
    #[graphql(complexity = "STATEMENT_COST + 5 * child_complexity")]
    async fn credit_notes(&self, ctx: &Context<'_>) -> Result<Vec<CreditNote>, ApiError> {
        let Some(invoice) = &self.origin else { return Ok(vec![]) };
        let notes = invoices::credit_notes(&ctx.work()?.tx, invoice.id).await?;
        Ok(notes.into_iter().map(CreditNote::from).collect())
    }

    /// Attempts to have it paid, oldest first.
    #[graphql(complexity = "STATEMENT_COST + 5 * child_complexity")]
    async fn payments(&self, ctx: &Context<'_>) -> Result<Vec<PaymentAttempt>, ApiError> {
        let Some(invoice) = &self.origin else { return Ok(vec![]) };
        let found = payments::of_invoice(&ctx.work()?.tx, invoice.id).await?;
        let view = |it: payments::Payment| PaymentAttempt {
            at: DateTime(it.created_at),
            amount: it.amount.into(),
            status: it.state.into(),
            failure: it.failure,
        };
        Ok(found.into_iter().map(view).collect())
    }

    /// Path of its file (PDF) on this server. Whoever has it can read the file, for 15 minutes.
    async fn pdf_path(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        let request = ctx.request();
        let (Some(invoice), Some(viewer)) = (&self.origin, request.viewer()) else {
            return Err(ApiError::unauthenticated());
        };
        let expires = request.sign_in_clock().now().as_second() + LINK_LIFE;
        let sealed = request.services().sign_in.seal(&format!("invoice {} {} {expires}", viewer.tenant, invoice.id));
        Ok(format!("/invoices/{sealed}.pdf"))
    }
}

impl From<invoices::CreditNote> for CreditNote {
    fn from(it: invoices::CreditNote) -> Self {
        let money = |minor| Money::from(money::Money { minor, currency: it.currency });
        Self {
            id: it.id.to_string().into(),
            number: format!("CRN-{:06}", it.number),
            amount: money(it.amount_minor),
            tax: money(it.tax_minor),
            reason: it.reason,
            issued_at: DateTime(it.issued_at),
        }
    }
}

#[ComplexObject]
impl InvoiceLine {
    /// How it came about, rated again now. Null for what was carried, and for what is not billed yet.
    #[graphql(complexity = "2 * STATEMENT_COST + child_complexity")]
    async fn explain(&self, ctx: &Context<'_>) -> Result<Option<LineExplanation>, ApiError> {
        let Some((id, line)) = &self.origin else { return Ok(None) };
        let work = ctx.work()?;
        let Some(invoice) = invoices::by_id(&work.tx, *id).await? else { return Ok(None) };
        let Some(it) = invoices::explain(&work.tx, &invoice, line).await? else { return Ok(None) };
        let Explanation { agreed, price, quantity, steps, share, net_minor, tax_minor } = it;
        let money = |minor| Money::from(money::Money { minor, currency: invoice.currency });
        let step = |it: crate::features::billing::terms::Step| RatingStep {
            quantity: it.quantity,
            unit_amount: Decimal(it.unit),
            flat_amount: Decimal(it.flat),
            amount: Decimal(it.amount),
        };
        let agrees = net_minor == line.net_minor && tax_minor == line.tax_minor && quantity == line.quantity;
        Ok(Some(LineExplanation {
            price: PlanPrice::new(&price, invoice.currency),
            plan: plan_of(agreed)?,
            quantity,
            steps: steps.into_iter().map(step).collect(),
            covered_micros: share.map(|it| it.0),
            cycle_micros: share.map(|it| it.1),
            net: money(net_minor),
            tax: money(tax_minor),
            agrees,
        }))
    }
}

/// What would be billed.
#[derive(Clone, SimpleObject)]
pub struct InvoicePreview {
    /// When.
    pub falls_due_at: DateTime,
    /// Its lines, with the usage so far.
    pub lines: Vec<InvoiceLine>,
    /// Without tax, and without what is carried.
    pub net: Money,
    /// The tax.
    pub tax: Money,
    /// What would have to be paid.
    pub total: Money,
}

fn preview_view(at: jiff::Timestamp, reckoning: invoices::Reckoning, currency: money::Currency) -> InvoicePreview {
    let money = |minor| Money::from(money::Money { minor, currency });
    InvoicePreview {
        falls_due_at: DateTime(at),
        net: money(reckoning.net_minor),
        tax: money(reckoning.tax_minor),
        total: money(reckoning.total_minor),
        lines: reckoning.lines.into_iter().map(|it| line_view(it, None, currency)).collect(),
    }
}

impl From<Preview> for InvoicePreview {
    fn from(it: Preview) -> Self {
        preview_view(it.takes_effect_at, it.reckoning, it.currency)
    }
}

/// When a change takes effect.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "When")]
pub enum ChangeTiming {
    /// At once: what is left of the period is credited, and charged anew.
    Now,
    /// When the period ends.
    PeriodEnd,
}

/// To whom invoices are addressed.
#[derive(Clone, SimpleObject)]
pub struct BillingProfile {
    /// Name on invoices; the tenant's own where there is none.
    pub legal_name: Option<String>,
    /// Address on invoices.
    pub address: Option<String>,
    /// Such as a VAT number.
    pub tax_id: Option<String>,
    /// Where mail about invoices goes; to every administrator where there is none.
    pub email: Option<String>,
}

impl From<invoices::Profile> for BillingProfile {
    fn from(it: invoices::Profile) -> Self {
        Self { legal_name: it.legal_name, address: it.address, tax_id: it.tax_id, email: it.email }
    }
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
        Ok(upcoming.map(|(at, reckoning)| preview_view(at, reckoning, currency)))
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

fn read_change(interval: Option<BillingInterval>, when: Option<ChangeTiming>) -> (Interval, When) {
    (interval.map_or(Interval::Month, Into::into), when.map_or(When::Now, Into::into))
}

/// In a query, which has no user errors.
fn refused(error: Error) -> ApiError {
    match Meaning::from(error) {
        Meaning::Refuse(error) => error,
        Meaning::Mend(error) => {
            let field = error.field.map(|it| it.join(".")).unwrap_or_default();
            ApiError::bad_input(field, error.message)
        }
    }
}

impl From<Error> for Meaning {
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
    pub fn biller(&self) -> Result<Biller<'_>, ApiError> {
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
    pub fn looking_biller(&self) -> Result<Biller<'_>, ApiError> {
        let viewer = self.viewer().ok_or_else(ApiError::unauthenticated)?;
        Ok(Biller { engine: &self.services().billing, viewer, clock: self.clock(), origin: self.origin() })
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

/// A page of the payment provider.
#[derive(Clone, SimpleObject)]
pub struct CheckoutSession {
    /// TypeID with the prefix `chk`.
    pub id: ID,
    /// Where to send the person's browser.
    pub url: String,
    /// What is to be paid there; with 0 only a means of payment is left.
    pub amount: Money,
    /// When the page is there no more.
    pub expires_at: DateTime,
}

impl From<Session> for CheckoutSession {
    fn from(it: Session) -> Self {
        Self {
            id: it.id.to_string().into(),
            url: it.url.unwrap_or_default(),
            amount: it.amount.into(),
            expires_at: DateTime(it.expires_at),
        }
    }
}

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
        let view = |(event, became): (usage::Event, Became)| {
            let (status, reason) = match became {
                Became::Accepted => (UsageEventStatus::Accepted, None),
                Became::Duplicate => (UsageEventStatus::Duplicate, None),
                Became::Rejected(why) => (UsageEventStatus::Rejected, Some(why.into())),
            };
            UsageEventResult { source: event.source, event_id: event.event_id, status, reason }
        };
        Ok(work.settle(became.map(|it| events.into_iter().zip(it).map(view).collect()))?.into())
    }
}

/// The subscription as it is once it was changed in a transaction of its own, read in another.
async fn present(ctx: &Context<'_>) -> Result<PlanSubscription, ApiError> {
    let request = ctx.request();
    let viewer = request.viewer().ok_or_else(ApiError::unauthenticated)?;
    request.adopt(viewer);
    standing(&ctx.work()?.tx).await?.try_into()
}
