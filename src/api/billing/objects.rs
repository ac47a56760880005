//! What billing shows.

use async_graphql::{ComplexObject, Context, Enum, ID, SimpleObject};

use crate::{
    api::{
        ContextExt,
        plans::{BillingInterval, Plan, PlanPrice},
    },
    base::{ids::InvoiceId, money},
    features::billing::{
        Preview, UsageLine,
        invoices::{self, Explanation, Kind, State},
        payments::{self, CheckoutSession as Session},
        subscriptions::{Agreed, Status},
    },
    graphql::{ApiError, Date, DateTime, Decimal, Money, STATEMENT_COST},
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

pub(super) fn plan_of(agreed: Agreed) -> Result<Plan, ApiError> {
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

pub(super) fn preview_view(
    at: jiff::Timestamp,
    totals: invoices::InvoiceTotals,
    currency: money::Currency,
) -> InvoicePreview {
    let money = |minor| Money::from(money::Money { minor, currency });
    InvoicePreview {
        falls_due_at: DateTime(at),
        net: money(totals.net_minor),
        tax: money(totals.tax_minor),
        total: money(totals.total_minor),
        lines: totals.lines.into_iter().map(|it| line_view(it, None, currency)).collect(),
    }
}

impl From<Preview> for InvoicePreview {
    fn from(it: Preview) -> Self {
        preview_view(it.takes_effect_at, it.totals, it.currency)
    }
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
