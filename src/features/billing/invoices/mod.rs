//! Invoices: what falls due, in the order of time, each thing once.
//!
//! Flat fees are due in advance and usage when its period is over. A fee that was billed for longer than its period lasted is
//! credited. An invoice is drafted with its final amounts, then issued with the next number; afterwards only its state changes.

pub mod pdf;
mod queries;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    subscriptions::{self, Agreed, BillingPeriod, Mode, Subscription},
    terms::{Price, Step, TooLarge, round, share},
};
use crate::{
    base::{
        ids::{CreditNoteId, InvoiceId, PlanVersionId, SubscriptionId, uuid_v7},
        money::Currency,
        paging::{Page, Slice, TimeKey},
    },
    core::outbox::{self, Effect},
    db::{DbError, ScopedTx},
    features::{
        tenants::Tenant,
        usage::{self, Period},
    },
};

pub(super) use queries::make_account;

/// The least that is charged, in minor units, as providers want it (Stripe: half a euro or dollar): what is less is put off.
pub const LEAST_CHARGE: i64 = 50;
/// How long after its issue an invoice is to be paid at the latest.
const PAYMENT_TERM: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Where an invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its amounts are final; it has no number yet.
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

impl State {
    const ALL: [Self; 5] = [Self::Draft, Self::Open, Self::Paid, Self::Void, Self::Uncollectible];

    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Open => "OPEN",
            Self::Paid => "PAID",
            Self::Void => "VOID",
            Self::Uncollectible => "UNCOLLECTIBLE",
        }
    }
}

impl std::str::FromStr for State {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is no state of an invoice")))
    }
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fee in advance.
    Flat,
    /// Of such a fee what was not used after all.
    Credit,
    /// What was used.
    Usage,
    /// Carried to the next invoice (above 0), or from an earlier one (below).
    Balance,
}

impl Kind {
    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "FLAT",
            Self::Credit => "CREDIT",
            Self::Usage => "USAGE",
            Self::Balance => "BALANCE",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = [Self::Flat, Self::Credit, Self::Usage, Self::Balance].into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is no kind of a line")))
    }
}

/// To whom an invoice is addressed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The tenant's legal name, or its name.
    pub name: String,
    /// Lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Such as a VAT number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
}

/// What a tenant's administrator says of its invoices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Name on invoices.
    pub legal_name: Option<String>,
    /// Address on invoices.
    pub address: Option<String>,
    /// Such as a VAT number.
    pub tax_id: Option<String>,
    /// Where invoices go; to every administrator where there is none.
    pub email: Option<String>,
}

/// The tax on a tenant's invoices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tax {
    /// In millionths.
    pub rate_ppm: i32,
    /// What it is called.
    pub name: String,
}

impl Default for Tax {
    fn default() -> Self {
        Self { rate_ppm: 0, name: "VAT".into() }
    }
}

impl Tax {
    /// On an amount, rounded once.
    fn on(&self, net_minor: i64) -> Result<i64, TooLarge> {
        let exact = Decimal::from(net_minor).checked_mul(Decimal::new(i64::from(self.rate_ppm), 6)).ok_or(TooLarge)?;
        let rounded = exact.round_dp_with_strategy(0, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        i64::try_from(rounded).map_err(|_| TooLarge)
    }
}

/// What a tenant is to pay.
#[derive(Clone, Debug)]
pub struct Invoice {
    /// In the tenant.
    pub id: InvoiceId,
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// The instant for which it is.
    pub falls_due: Timestamp,
    /// Where it stands.
    pub state: State,
    /// From 1 without a gap; a draft has none.
    pub number: Option<i64>,
    /// Of every amount.
    pub currency: Currency,
    /// Without tax, and without what was carried.
    pub net_minor: i64,
    /// The tax.
    pub tax_minor: i64,
    /// Everything.
    pub total_minor: i64,
    /// What was paid of it.
    pub paid_minor: i64,
    /// What credit notes took off what was still owed.
    pub credited_minor: i64,
    /// On every line.
    pub tax: Tax,
    /// To whom.
    pub recipient: Recipient,
    /// When it was issued.
    pub issued_at: Option<Timestamp>,
    /// When it is to be paid at the latest.
    pub due_at: Option<Timestamp>,
    /// When it was paid, voided or given up.
    pub settled_at: Option<Timestamp>,
    /// How often a payment of it was tried.
    pub attempts: i32,
    /// When it first could not be collected.
    pub overdue_since: Option<Timestamp>,
}

impl Invoice {
    /// What is still owed.
    pub fn owed_minor(&self) -> i64 {
        match self.state {
            State::Open | State::Uncollectible => (self.total_minor - self.paid_minor - self.credited_minor).max(0),
            State::Draft | State::Paid | State::Void => 0,
        }
    }

    /// Whether it waits to be paid: it is open, and something is owed.
    pub fn is_owing(&self) -> bool {
        self.state == State::Open && self.owed_minor() > 0
    }

    /// As people read it.
    pub fn display_number(&self) -> String {
        self.number.map_or_else(|| "draft".to_owned(), |number| format!("INV-{number:06}"))
    }
}

/// A line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// In the tenant.
    pub id: Uuid,
    /// What it is.
    pub kind: Kind,
    /// Of which period.
    pub period: Option<Uuid>,
    /// By which version of which plan.
    pub version: Option<PlanVersionId>,
    /// By which of its prices.
    pub price: Option<Uuid>,
    /// For people.
    pub name: String,
    /// What was used.
    pub meter: Option<String>,
    /// How much of it.
    pub quantity: Option<i64>,
    /// For which time.
    pub covers: Option<Period>,
    /// Rounded once.
    pub net_minor: i64,
    /// Rounded once.
    pub tax_minor: i64,
}

/// What the platform took off an invoice.
#[derive(Clone, Debug)]
pub struct CreditNote {
    /// In the tenant.
    pub id: CreditNoteId,
    /// Of which invoice.
    pub invoice: InvoiceId,
    /// From 1 without a gap.
    pub number: i64,
    /// With tax.
    pub amount_minor: i64,
    /// The tax in it.
    pub tax_minor: i64,
    /// What of it comes off the next invoice.
    pub balance_minor: i64,
    /// Of the amounts.
    pub currency: Currency,
    /// Why.
    pub reason: String,
    /// When.
    pub issued_at: Timestamp,
}

/// Lines with their sums.
#[derive(Clone, Debug)]
pub struct Reckoning {
    /// Every line, the balance last.
    pub lines: Vec<Line>,
    /// Without tax, and without what was carried.
    pub net_minor: i64,
    /// The tax.
    pub tax_minor: i64,
    /// Everything.
    pub total_minor: i64,
}

fn too_large(_: TooLarge) -> DbError {
    DbError::Corrupt("an amount is larger than money can be".into())
}

fn micros(from: Timestamp, to: Timestamp) -> i64 {
    to.as_microsecond() - from.as_microsecond()
}

/// Most of one line, in minor units: a tenant that reports more than the world can pay is still billed, and nothing that it
/// reports keeps its invoices from being issued.
const MAX_LINE: i64 = 100_000_000_000_000;

/// What a quantity costs, rounded once.
fn rated(price: &Price, quantity: i64, currency: Currency) -> i64 {
    let exact = price.model.rate(quantity).and_then(|it| round(it, currency));
    exact.unwrap_or(MAX_LINE).min(MAX_LINE)
}

fn line(kind: Kind, period: &BillingPeriod, price: &Price, covers: Period, net_minor: i64) -> Line {
    Line {
        id: uuid_v7(covers.end),
        kind,
        period: Some(period.id),
        version: Some(period.version),
        price: Some(price.id),
        name: price.name.clone(),
        meter: None,
        quantity: None,
        covers: Some(covers),
        net_minor,
        tax_minor: 0,
    }
}

/// The part of the flat fee of a period's cycle that falls to `[starts_at, until)`.
fn fee_until(period: &BillingPeriod, price: &Price, until: Timestamp, currency: Currency) -> Result<i64, DbError> {
    let fee = price.model.rate(1).map_err(too_large)?;
    let whole = micros(period.cycle_start, period.cycle_end);
    share(fee, micros(period.starts_at, until), whole, currency).map_err(too_large)
}

/// The flat fee of a period, in advance; `None` where there is none.
pub fn flat_line(period: &BillingPeriod, agreed: &Agreed) -> Result<Option<Line>, DbError> {
    let currency = agreed.terms.currency()?;
    let Some(price) = agreed.terms.flat(period.interval).filter(|_| period.mode == Mode::Billed) else {
        return Ok(None);
    };
    let net = fee_until(period, price, period.ends_at, currency)?;
    let covers = Period { start: period.starts_at, end: period.ends_at };
    Ok((net != 0).then(|| line(Kind::Flat, period, price, covers, net)))
}

/// What was billed of the flat fee beyond the period's end, back; `None` where nothing was.
pub fn credit_line(period: &BillingPeriod, agreed: &Agreed) -> Result<Option<Line>, DbError> {
    let currency = agreed.terms.currency()?;
    // Of a trial or a pause nothing was billed, however long it was to be.
    let beyond = period.flat_billed_until.filter(|it| *it > period.ends_at && period.mode == Mode::Billed);
    let (Some(until), Some(price)) = (beyond, agreed.terms.flat(period.interval)) else { return Ok(None) };
    let net = fee_until(period, price, period.ends_at, currency)? - fee_until(period, price, until, currency)?;
    let covers = Period { start: period.ends_at, end: until };
    Ok((net != 0).then(|| line(Kind::Credit, period, price, covers, net)))
}

/// What was used in a period, by every price of its interval. In a pause or a trial only what was told of late, and was used
/// before it.
///
/// # Errors
/// When a statement fails.
pub async fn usage_lines(tx: &ScopedTx, period: &BillingPeriod, agreed: &Agreed) -> Result<Vec<Line>, DbError> {
    let currency = agreed.terms.currency()?;
    let covers = Period { start: period.starts_at, end: period.ends_at };
    let mut lines = Vec::new();
    for price in agreed.terms.prices.iter().filter(|it| it.interval == period.interval) {
        let Some(meter) = &price.meter else { continue };
        let quantity = usage::quantity_in(tx, meter, covers, period.mode != Mode::Billed).await?;
        if quantity > 0 {
            let net = rated(price, quantity, currency);
            let line = line(Kind::Usage, period, price, covers, net);
            lines.push(Line { meter: Some(meter.clone()), quantity: Some(quantity), ..line });
        }
    }
    Ok(lines)
}

/// Puts tax on every line, carries what is below nothing to the next invoice, and takes off what was carried to this one.
pub fn reckon(mut lines: Vec<Line>, tax: &Tax, credit_minor: i64) -> Result<Reckoning, DbError> {
    let (mut net, mut taxes) = (0_i64, 0_i64);
    for line in &mut lines {
        line.tax_minor = tax.on(line.net_minor).map_err(too_large)?;
        net = net.checked_add(line.net_minor).ok_or_else(|| too_large(TooLarge))?;
        taxes = taxes.checked_add(line.tax_minor).ok_or_else(|| too_large(TooLarge))?;
    }
    let gross = net.checked_add(taxes).ok_or_else(|| too_large(TooLarge))?;
    // With what earlier invoices have left over, or have put off.
    let owed = gross.saturating_sub(credit_minor);
    let total = if owed < LEAST_CHARGE { 0 } else { owed };
    let carried = total - gross;
    if carried != 0 {
        let name = match (carried > 0, total > 0, owed > 0) {
            (true, true, _) => "Put off from earlier invoices",
            (true, false, _) => "Credit carried to the next invoice",
            (false, false, true) => "Too little to be charged: put off to the next invoice",
            (false, _, _) => "Credit from earlier invoices",
        };
        lines.push(Line {
            id: uuid_v7(Timestamp::now()),
            kind: Kind::Balance,
            period: None,
            version: None,
            price: None,
            name: name.into(),
            meter: None,
            quantity: None,
            covers: None,
            net_minor: carried,
            tax_minor: 0,
        });
    }
    Ok(Reckoning { lines, net_minor: net, tax_minor: taxes, total_minor: total })
}

/// Drafts an invoice for each instant at which something has fallen due, and returns how many. Under [`subscriptions::lock`],
/// once the subscription was [advanced](subscriptions::advance). Done again it drafts nothing.
///
/// # Errors
/// When a statement fails.
pub async fn draft_due(tx: &ScopedTx, tenant: &Tenant, now: Timestamp) -> Result<usize, DbError> {
    // At one instant all lines are of one currency: it changes only from or to what costs nothing.
    let mut due: BTreeMap<(Timestamp, SubscriptionId), Vec<(Line, Currency)>> = BTreeMap::new();
    for period in subscriptions::unbilled(tx).await? {
        let agreed = subscriptions::agreed(tx, period.version).await?;
        let currency = agreed.terms.currency()?;
        let mut flat_until = None;
        if period.flat_billed_until.is_none() && period.starts_at <= now {
            let lines = due.entry((period.starts_at, period.subscription)).or_default();
            lines.extend(flat_line(&period, &agreed)?.map(|it| (it, currency)));
            flat_until = Some(period.ends_at);
        }
        let is_over = period.ends_at <= now;
        if is_over {
            // Whoever records usage waits until this is committed, and then counts it later.
            usage::close(tx, period.ends_at).await?;
            let lines = due.entry((period.ends_at, period.subscription)).or_default();
            lines.extend(usage_lines(tx, &period, &agreed).await?.into_iter().map(|it| (it, currency)));
            lines.extend(credit_line(&period, &agreed)?.map(|it| (it, currency)));
            flat_until = Some(period.ends_at);
        }
        subscriptions::note_billed(tx, &period, flat_until, is_over.then_some(now)).await?;
    }
    let mut drafted = 0;
    for ((falls_due, subscription), lines) in due {
        // What costs nothing needs no invoice.
        let Some(currency) = lines.iter().find(|(it, _)| it.net_minor != 0).map(|it| it.1) else { continue };
        let lines = lines.into_iter().filter(|it| it.1 == currency).map(|it| it.0).collect();
        let (tax, profile) = (queries::tax(tx).await?, queries::profile(tx).await?);
        let credit = queries::balance(tx, currency).await?;
        let reckoning = reckon(lines, &tax, credit)?;
        let recipient = Recipient {
            name: profile.legal_name.unwrap_or_else(|| tenant.name.clone()),
            address: profile.address,
            tax_id: profile.tax_id,
        };
        let id = InvoiceId::generate(now);
        queries::insert(tx, id, subscription, falls_due, currency, &reckoning, &tax, &recipient, now).await?;
        drafted += 1;
    }
    Ok(drafted)
}

/// Gives the oldest draft the next number, and has it sent and collected. `None` where there is no draft.
///
/// # Errors
/// When a statement fails.
pub async fn issue_next(tx: &ScopedTx, now: Timestamp) -> Result<Option<Invoice>, DbError> {
    let Some(draft) = queries::oldest_draft(tx).await? else { return Ok(None) };
    let number = queries::take_number(tx, now).await?;
    let is_paid = draft.total_minor == 0;
    let issued = Invoice {
        state: if is_paid { State::Paid } else { State::Open },
        number: Some(number),
        issued_at: Some(now),
        due_at: Some(now + PAYMENT_TERM),
        settled_at: is_paid.then_some(now),
        ..draft
    };
    queries::update(tx, &issued).await?;
    let effect = outbox::derived_id(issued.id.0, "issued");
    outbox::enqueue_as(tx, effect, &Effect::AnnounceInvoice { invoice: issued.id.0 }, now).await?;
    if !is_paid {
        let effect = outbox::derived_id(issued.id.0, "collect");
        outbox::enqueue_as(tx, effect, &Effect::CollectInvoice { invoice: issued.id.0, at_once: false }, now).await?;
    }
    Ok(Some(issued))
}

/// One invoice, as the scope may see it.
///
/// # Errors
/// When the statement fails.
pub async fn by_id(tx: &ScopedTx, id: InvoiceId) -> Result<Option<Invoice>, DbError> {
    queries::by_id(tx, id).await
}

/// Its lines, in their order.
///
/// # Errors
/// When the statement fails.
pub async fn lines(tx: &ScopedTx, id: InvoiceId) -> Result<Vec<Line>, DbError> {
    queries::lines(tx, id).await
}

/// Its credit notes, oldest first.
///
/// # Errors
/// When the statement fails.
pub async fn credit_notes(tx: &ScopedTx, id: InvoiceId) -> Result<Vec<CreditNote>, DbError> {
    queries::credit_notes(tx, id).await
}

/// Sort key of the list: newest first.
pub type InvoiceKey = TimeKey;

/// A page of what was issued, newest first.
///
/// # Errors
/// When the statement fails.
pub async fn list(tx: &ScopedTx, page: &Page<InvoiceKey>) -> Result<Slice<InvoiceKey, Invoice>, DbError> {
    let found = queries::list(tx, page).await?;
    Ok(page.slice(found.into_iter().map(|it| ((it.issued_at.unwrap_or(it.falls_due), it.id.0), it)).collect()))
}

/// What is owed and not given up, oldest first.
///
/// # Errors
/// When the statement fails.
pub async fn open(tx: &ScopedTx) -> Result<Vec<Invoice>, DbError> {
    queries::open(tx).await
}

/// Writes its state and what was paid of it. What is paid or void stays so, whoever asks.
///
/// # Errors
/// When the statement fails.
pub async fn save(tx: &ScopedTx, invoice: &Invoice) -> Result<(), DbError> {
    queries::update(tx, invoice).await
}

/// Takes what was paid: `Paid` once nothing is owed any more; what is beyond becomes credit.
pub fn with_payment(invoice: Invoice, amount_minor: i64, now: Timestamp) -> Invoice {
    let paid_minor = invoice.paid_minor.saturating_add(amount_minor);
    let is_settled = paid_minor + invoice.credited_minor >= invoice.total_minor;
    Invoice {
        paid_minor,
        state: if is_settled { State::Paid } else { invoice.state },
        settled_at: if is_settled { Some(now) } else { invoice.settled_at },
        ..invoice
    }
}

/// Why an invoice cannot be taken back, given up or credited.
#[derive(Debug)]
pub enum InvoiceError {
    /// There is no such invoice.
    NotFound,
    /// Not from the state that it is in.
    InvalidTransition(State),
    /// A value is out of its bounds: which field, and what it has to be.
    Invalid(&'static str, &'static str),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for InvoiceError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Takes an invoice back, or gives it up.
///
/// # Errors
/// `NotFound`, `InvalidTransition`.
pub async fn settle(tx: &ScopedTx, id: InvoiceId, state: State, now: Timestamp) -> Result<Invoice, InvoiceError> {
    let invoice = by_id(tx, id).await?.ok_or(InvoiceError::NotFound)?;
    let fits = match state {
        State::Void => matches!(invoice.state, State::Open | State::Uncollectible) && invoice.paid_minor == 0,
        State::Uncollectible => invoice.state == State::Open,
        State::Draft | State::Open | State::Paid => false,
    };
    if !fits {
        return Err(InvoiceError::InvalidTransition(invoice.state));
    }
    let settled = Invoice { state, settled_at: Some(now), ..invoice };
    queries::update(tx, &settled).await?;
    // A fee that is not owed any more, or never paid, is not credited when its period is cut short.
    for line in queries::lines(tx, id).await?.iter().filter(|it| it.kind == Kind::Flat) {
        if let Some(period) = line.period {
            subscriptions::forget_fee(tx, period).await?;
        }
    }
    Ok(settled)
}

/// Takes an amount, with tax, off an invoice: first of what is still owed, then, as credit, of the next invoice.
///
/// # Errors
/// `NotFound`, `InvalidTransition`, `Invalid` for more than the invoice's total.
pub async fn credit(
    tx: &ScopedTx,
    id: InvoiceId,
    amount_minor: i64,
    reason: &str,
    now: Timestamp,
) -> Result<CreditNote, InvoiceError> {
    let invoice = by_id(tx, id).await?.ok_or(InvoiceError::NotFound)?;
    if !matches!(invoice.state, State::Open | State::Paid) {
        return Err(InvoiceError::InvalidTransition(invoice.state));
    }
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 500 {
        return Err(InvoiceError::Invalid("reason", "A reason has 1 to 500 characters."));
    }
    let before: i64 = credit_notes(tx, id).await?.iter().map(|it| it.amount_minor).sum();
    let gross = invoice.net_minor + invoice.tax_minor;
    if amount_minor <= 0 || amount_minor > gross - before {
        return Err(InvoiceError::Invalid(
            "amount",
            "It must be above 0, and no more than the invoice says that was not credited yet.",
        ));
    }
    let off_debt = amount_minor.min(invoice.owed_minor());
    // The tax in it, as it is in the whole.
    let tax = part_of(amount_minor, invoice.tax_minor, gross);
    let note = CreditNote {
        id: CreditNoteId::generate(now),
        invoice: id,
        number: queries::take_credit_note_number(tx, now).await?,
        amount_minor,
        tax_minor: tax,
        balance_minor: amount_minor - off_debt,
        currency: invoice.currency,
        reason: reason.to_owned(),
        issued_at: now,
    };
    queries::insert_credit_note(tx, &note).await?;
    if off_debt > 0 {
        let credited = Invoice { credited_minor: invoice.credited_minor + off_debt, ..invoice };
        queries::update(tx, &with_payment(credited, 0, now)).await?;
    }
    Ok(note)
}

/// `amount * part / whole`, rounded down.
fn part_of(amount: i64, part: i64, whole: i64) -> i64 {
    let exact = i128::from(amount) * i128::from(part) / i128::from(whole.max(1));
    i64::try_from(exact).unwrap_or(0).max(0)
}

/// What an invoice would be for what falls due when the present period ends, with the usage so far.
///
/// # Errors
/// When a statement fails.
pub async fn upcoming(tx: &ScopedTx, subscription: &Subscription) -> Result<Option<(Timestamp, Reckoning)>, DbError> {
    let last = subscriptions::last_period(tx, subscription.id).await?;
    if last.usage_billed_at.is_some() {
        return Ok(None);
    }
    let agreed = subscriptions::agreed(tx, last.version).await?;
    let mut lines = usage_lines(tx, &last, &agreed).await?;
    if let Some((next, agreed_next)) = subscriptions::following(tx, subscription, &last).await? {
        lines.extend(flat_line(&next, &agreed_next)?);
    }
    let reckoning = reckon(lines, &queries::tax(tx).await?, queries::balance(tx, agreed.terms.currency()?).await?)?;
    Ok(Some((last.ends_at, reckoning)))
}

/// What would fall due at once if the plan were changed now.
///
/// # Errors
/// When a statement fails.
pub async fn preview(
    tx: &ScopedTx,
    subscription: &Subscription,
    changed: &Subscription,
    agreed: &Agreed,
    at: Timestamp,
) -> Result<Reckoning, DbError> {
    let mut lines = Vec::new();
    if subscription.is_alive() {
        let last = subscriptions::last_period(tx, subscription.id).await?;
        let cut = BillingPeriod { ends_at: at, ..last };
        let present = subscriptions::agreed(tx, cut.version).await?;
        lines.extend(usage_lines(tx, &cut, &present).await?);
        lines.extend(credit_line(&cut, &present)?);
    }
    lines.extend(flat_line(&changed.period_from(at), agreed)?);
    reckon(lines, &queries::tax(tx).await?, queries::balance(tx, agreed.terms.currency()?).await?)
}

/// What would fall due at the end of the present cycle if the plan were changed then.
///
/// # Errors
/// When a statement fails.
pub async fn preview_at_end(
    tx: &ScopedTx,
    changed: &Subscription,
    agreed: &Agreed,
    last: &BillingPeriod,
) -> Result<Reckoning, DbError> {
    let present = subscriptions::agreed(tx, last.version).await?;
    let mut lines = usage_lines(tx, last, &present).await?;
    let next = changed.clone().after_cycle(last.cycle_end);
    lines.extend(flat_line(&next.period_from(last.cycle_end), agreed)?);
    reckon(lines, &queries::tax(tx).await?, queries::balance(tx, agreed.terms.currency()?).await?)
}

/// How a line came about, rated again from the price and the events that it points to.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The version of the plan.
    pub agreed: Agreed,
    /// The price.
    pub price: Price,
    /// What the events say now.
    pub quantity: Option<i64>,
    /// The parts of the amount; of a fee the one of the whole cycle.
    pub steps: Vec<Step>,
    /// The part of the cycle, and the whole, in microseconds; `None` for usage.
    pub share: Option<(i64, i64)>,
    /// What comes out.
    pub net_minor: i64,
    /// The tax on it.
    pub tax_minor: i64,
}

/// Rates a line again. `None` for what was carried, which no price says.
///
/// # Errors
/// When a statement fails, or the line points to nothing.
pub async fn explain(tx: &ScopedTx, invoice: &Invoice, line: &Line) -> Result<Option<Explanation>, DbError> {
    let (Some(version), Some(price), Some(period), Some(covers)) = (line.version, line.price, line.period, line.covers)
    else {
        return Ok(None);
    };
    let agreed = subscriptions::agreed(tx, version).await?;
    let lost = |what: &str| DbError::Corrupt(format!("a line points to {what} that is not there"));
    let price = agreed.terms.prices.iter().find(|it| it.id == price).cloned().ok_or_else(|| lost("a price"))?;
    let period = subscriptions::period(tx, period).await?.ok_or_else(|| lost("a period"))?;
    let whole = micros(period.cycle_start, period.cycle_end);
    let quantity = match &price.meter {
        Some(meter) => Some(usage::quantity_in(tx, meter, covers, period.mode != Mode::Billed).await?),
        None => None,
    };
    let steps = price.model.steps(quantity.unwrap_or(1)).unwrap_or_default();
    let fee = |until| fee_until(&period, &price, until, invoice.currency);
    let net_minor = match line.kind {
        Kind::Flat => fee(covers.end)?,
        Kind::Credit => fee(covers.start)? - fee(covers.end)?,
        Kind::Usage | Kind::Balance => rated(&price, quantity.unwrap_or(0), invoice.currency),
    };
    let tax_minor = invoice.tax.on(net_minor).map_err(too_large)?;
    let share = (line.kind != Kind::Usage).then(|| (micros(covers.start, covers.end), whole));
    Ok(Some(Explanation { agreed, price, quantity, steps, share, net_minor, tax_minor }))
}

/// Name and address on invoices.
///
/// # Errors
/// When the statement fails.
pub async fn profile(tx: &ScopedTx) -> Result<Profile, DbError> {
    queries::profile(tx).await
}

/// Name and address on invoices, from the next one on.
///
/// # Errors
/// When the statement fails.
pub async fn set_profile(tx: &ScopedTx, profile: &Profile, now: Timestamp) -> Result<(), DbError> {
    queries::upsert_profile(tx, profile, now).await
}

/// The tax on the tenant's invoices.
///
/// # Errors
/// When the statement fails.
pub async fn tax(tx: &ScopedTx) -> Result<Tax, DbError> {
    queries::tax(tx).await
}

/// The tax on the tenant's invoices, from the next one on.
///
/// # Errors
/// When the statement fails.
pub async fn set_tax(tx: &ScopedTx, tax: &Tax, now: Timestamp) -> Result<(), DbError> {
    queries::upsert_tax(tx, tax, now).await
}

/// What comes off the next invoice.
///
/// # Errors
/// When the statement fails.
pub async fn balance(tx: &ScopedTx, currency: Currency) -> Result<i64, DbError> {
    queries::balance(tx, currency).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage_of(net_minor: i64) -> Line {
        Line {
            id: Uuid::nil(),
            kind: Kind::Usage,
            period: None,
            version: None,
            price: None,
            name: "x".into(),
            meter: None,
            quantity: None,
            covers: None,
            net_minor,
            tax_minor: 0,
        }
    }

    #[test]
    fn what_is_too_little_to_be_charged_is_put_off() {
        let tax = Tax::default();
        let little = reckon(vec![usage_of(30)], &tax, 0).unwrap();
        assert_eq!((little.total_minor, little.lines[1].net_minor), (0, -30));
        // The balance is what was carried: 30 below nothing.
        let more = reckon(vec![usage_of(25)], &tax, -30).unwrap();
        assert_eq!((more.total_minor, more.lines[1].net_minor), (55, 30));
    }

    #[test]
    fn tax_is_rounded_once_for_each_line_and_lines_sum_to_the_total() {
        let tax = Tax { rate_ppm: 88_750, name: "Sales tax".into() };
        let reckoned = reckon(vec![usage_of(101), usage_of(101), usage_of(-40)], &tax, 0).unwrap();
        // 8.96375, 8.96375 and -3.55 cents.
        assert_eq!(reckoned.lines.iter().map(|it| it.tax_minor).collect::<Vec<_>>(), [9, 9, -4]);
        assert_eq!((reckoned.net_minor, reckoned.tax_minor, reckoned.total_minor), (162, 14, 176));
    }

    #[test]
    fn what_is_below_nothing_is_carried_and_taken_off_later() {
        let tax = Tax::default();
        let carried = reckon(vec![usage_of(-500), usage_of(100)], &tax, 0).unwrap();
        assert_eq!((carried.total_minor, carried.lines[2].net_minor), (0, 400));
        let partly = reckon(vec![usage_of(300)], &tax, 400).unwrap();
        assert_eq!((partly.total_minor, partly.lines[1].net_minor), (0, -300));
        let wholly = reckon(vec![usage_of(300)], &tax, 100).unwrap();
        assert_eq!((wholly.total_minor, wholly.lines[1].net_minor), (200, -100));
    }
}
