//! Objects of billing.

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

/// Lifetime of an invoice's download link, in seconds.
const LINK_LIFE: i64 = 15 * 60;

/// The usage of a meter in a period.
#[derive(Clone, SimpleObject)]
pub struct Usage {
    /// `bookings`, `resources`, `services`, `users`, or another meter of the plan.
    pub meter: String,
    /// The quantity used.
    pub used: i32,
    /// The limit; null when there is none.
    pub limit: Option<i32>,
    /// The start of the period, inclusive: a calendar month in the tenant's time zone.
    pub period_start: DateTime,
    /// The end of the period, exclusive.
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

/// GraphQL's `Int` has 32 bits; a larger number is shown as the largest `Int`.
fn to_int(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The usage of a meter on one day.
#[derive(Clone, SimpleObject)]
pub struct UsageDay {
    /// The day, in the tenant's time zone.
    pub day: Date,
    /// The sum; for `users`, the maximum.
    pub quantity: i64,
}

/// The status of a subscription.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Status")]
pub enum SubscriptionStatus {
    /// Free of charge until the trial ends.
    Trialing,
    /// Everything due is paid.
    Active,
    /// An invoice is overdue. After a grace period the tenant becomes read-only.
    PastDue,
    /// Nothing is charged, and the tenant is read-only.
    Paused,
    /// Ended.
    Cancelled,
}

/// The tenant's subscription to a plan.
#[derive(SimpleObject)]
pub struct PlanSubscription {
    /// TypeID with the prefix `sub`.
    pub id: ID,
    /// The plan, in the version that was subscribed to.
    pub plan: Plan,
    /// The billing interval.
    pub interval: BillingInterval,
    /// The status.
    pub status: SubscriptionStatus,
    /// The start of the current month or year, inclusive, counted from the anchor in the tenant's time zone.
    pub current_period_start: DateTime,
    /// The end of the current month or year, exclusive.
    pub current_period_end: DateTime,
    /// When the trial ends or ended.
    pub trial_ends_at: Option<DateTime>,
    /// The plan from the end of the period on, when a change is scheduled.
    pub next_plan: Option<Plan>,
    /// When it ends.
    pub cancel_at: Option<DateTime>,
    /// Since when an invoice has been overdue.
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
        // A subscription that will end has no next plan: its tenant falls back to the free plan.
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

/// The status of an invoice.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum InvoiceStatus {
    /// About to be issued; never shown.
    Draft,
    /// Waiting for payment.
    Open,
    /// Paid, or nothing was due.
    Paid,
    /// Void: nothing is owed for it.
    Void,
    /// Unpaid and given up.
    Uncollectible,
}

/// The kind of an invoice line.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum InvoiceLineKind {
    /// A fee charged in advance.
    Flat,
    /// A credit for the unused part of such a fee.
    Credit,
    /// Usage.
    Usage,
    /// Carried to the next invoice, or (below 0) from an earlier one.
    Balance,
}

/// A line of an invoice. The `net` and `tax` of all lines add up to the invoice's total.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct InvoiceLine {
    /// Its kind.
    pub kind: InvoiceLineKind,
    /// The text on the invoice.
    pub name: String,
    /// The meter.
    pub meter: Option<String>,
    /// The quantity used.
    pub quantity: Option<i64>,
    /// The start of what it covers, inclusive.
    pub from: Option<DateTime>,
    /// The end of what it covers, exclusive.
    pub to: Option<DateTime>,
    /// The amount without tax, rounded once.
    pub net: Money,
    /// The tax, rounded once.
    pub tax: Money,
    #[graphql(skip)]
    origin: Option<(InvoiceId, invoices::Line)>,
}

/// How a line was calculated: recomputed from its price and usage events.
#[derive(Clone, SimpleObject)]
pub struct LineExplanation {
    /// The plan, in the version that contains the price.
    pub plan: Plan,
    /// The price.
    pub price: PlanPrice,
    /// The quantity according to the usage events.
    pub quantity: Option<i64>,
    /// The parts of the amount; for a fee, the part for the whole month or year.
    pub steps: Vec<RatingStep>,
    /// The part of the month or year that a fee or credit covers, in microseconds.
    pub covered_micros: Option<i64>,
    /// The length of the whole month or year, in microseconds.
    pub cycle_micros: Option<i64>,
    /// The recomputed amount without tax.
    pub net: Money,
    /// The tax on it.
    pub tax: Money,
    /// Whether the recomputed amounts equal those of the line.
    pub agrees: bool,
}

/// A part of an amount: units at a price, and a fixed amount.
#[derive(Clone, SimpleObject)]
pub struct RatingStep {
    /// Number of units, or of packages.
    pub quantity: i64,
    /// The exact amount of one.
    pub unit_amount: Decimal,
    /// The exact fixed amount.
    pub flat_amount: Decimal,
    /// The exact sum of both.
    pub amount: Decimal,
}

/// An attempt to collect payment for an invoice.
#[derive(Clone, SimpleObject)]
pub struct PaymentAttempt {
    /// When it started.
    pub at: DateTime,
    /// The amount.
    pub amount: Money,
    /// The status.
    pub status: PaymentStatus,
    /// Why it failed.
    pub failure: Option<String>,
}

/// The status of a payment.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "payments::PaymentState")]
pub enum PaymentStatus {
    /// The result is not known yet.
    Pending,
    /// Succeeded.
    Succeeded,
    /// Failed.
    Failed,
}

/// A credit note that the platform issued on an invoice.
#[derive(Clone, SimpleObject)]
pub struct CreditNote {
    /// TypeID with the prefix `crn`.
    pub id: ID,
    /// Numbered from 1 without gaps.
    pub number: String,
    /// The amount, including tax.
    pub amount: Money,
    /// The tax included in it.
    pub tax: Money,
    /// The reason.
    pub reason: String,
    /// When it was issued.
    pub issued_at: DateTime,
}

/// An invoice of the tenant.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Invoice {
    /// TypeID with the prefix `ivc`.
    pub id: ID,
    /// The number, such as `INV-000001`: without gaps within the tenant.
    pub number: String,
    /// The status.
    pub status: InvoiceStatus,
    /// The billing date: it covers flat fees from then on, and usage until then.
    pub falls_due_at: DateTime,
    /// When it was issued.
    pub issued_at: Option<DateTime>,
    /// When it must be paid.
    pub due_at: Option<DateTime>,
    /// When it was paid, voided or marked as uncollectible.
    pub settled_at: Option<DateTime>,
    /// The amount without tax, and without amounts carried over.
    pub net: Money,
    /// The tax.
    pub tax: Money,
    /// The total: the sum of its lines.
    pub total: Money,
    /// The amount still owed.
    pub owed: Money,
    /// The tax rate in percent.
    pub tax_rate: Decimal,
    /// The recipient.
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

    /// Its credit notes, oldest first.
    #[graphql(complexity = "STATEMENT_COST + 5 * child_complexity")]
    async fn credit_notes(&self, ctx: &Context<'_>) -> Result<Vec<CreditNote>, ApiError> {
        let Some(invoice) = &self.origin else { return Ok(vec![]) };
        let notes = invoices::credit_notes(&ctx.work()?.tx, invoice.id).await?;
        Ok(notes.into_iter().map(CreditNote::from).collect())
    }

    /// Attempts to collect payment, oldest first.
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

    /// Path of its PDF file on this server. Anyone who has the path can read the file, for 15 minutes.
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
    /// How it was calculated, recomputed now. Null for amounts carried over, and for lines that are not billed yet.
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

/// A preview of an invoice.
#[derive(Clone, SimpleObject)]
pub struct InvoicePreview {
    /// The billing date.
    pub falls_due_at: DateTime,
    /// Its lines, with the usage so far.
    pub lines: Vec<InvoiceLine>,
    /// The amount without tax, and without amounts carried over.
    pub net: Money,
    /// The tax.
    pub tax: Money,
    /// The amount to pay.
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

/// The recipient of invoices.
#[derive(Clone, SimpleObject)]
pub struct BillingProfile {
    /// Name on invoices; the tenant's name when null.
    pub legal_name: Option<String>,
    /// Address on invoices.
    pub address: Option<String>,
    /// A tax id, such as a VAT number.
    pub tax_id: Option<String>,
    /// The address for emails about invoices; every administrator when null.
    pub email: Option<String>,
}

impl From<invoices::Profile> for BillingProfile {
    fn from(it: invoices::Profile) -> Self {
        Self { legal_name: it.legal_name, address: it.address, tax_id: it.tax_id, email: it.email }
    }
}

/// A checkout page of the payment provider.
#[derive(Clone, SimpleObject)]
pub struct CheckoutSession {
    /// TypeID with the prefix `chk`.
    pub id: ID,
    /// The URL to open in the browser.
    pub url: String,
    /// The amount to pay there; 0 when only a payment method is registered.
    pub amount: Money,
    /// When the page expires.
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
