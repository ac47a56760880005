//! Drafting, issuing, settling and crediting invoices.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    model::{CreditNote, Invoice, InvoiceError, InvoiceKey, Kind, Line, Profile, Recipient, State, Tax},
    queries,
    rating::{compute_totals, credit_line, flat_line, usage_lines},
};
use crate::{
    base::{
        ids::{CreditNoteId, InvoiceId, SubscriptionId},
        money::Currency,
        paging::{Page, Slice},
    },
    core::outbox::{self, Effect},
    db::{DbError, ScopedTx},
    features::{billing::subscriptions, tenants::Tenant, usage},
};

/// The payment term, counted from the issue of an invoice.
const PAYMENT_TERM: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Drafts an invoice for each instant at which something fell due, and returns how many. The caller holds
/// [`subscriptions::lock`] and has [advanced](subscriptions::advance) the subscription. Repeating it drafts nothing.
pub async fn draft_due(tx: &ScopedTx, tenant: &Tenant, now: Timestamp) -> Result<usize, DbError> {
    // All lines of one instant have one currency, which changes only from or to a free plan.
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
            // Callers that record usage wait until this is committed, and their events then count later.
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
        // Nothing is invoiced when all lines are zero.
        let Some(currency) = lines.iter().find(|(it, _)| it.net_minor != 0).map(|it| it.1) else { continue };
        let lines = lines.into_iter().filter(|it| it.1 == currency).map(|it| it.0).collect();
        let (tax, profile) = (queries::tax(tx).await?, queries::profile(tx).await?);
        let credit = queries::balance(tx, currency).await?;
        let totals = compute_totals(lines, &tax, credit)?;
        let recipient = Recipient {
            name: profile.legal_name.unwrap_or_else(|| tenant.name.clone()),
            address: profile.address,
            tax_id: profile.tax_id,
        };
        let id = InvoiceId::generate(now);
        queries::insert(tx, id, subscription, falls_due, currency, &totals, &tax, &recipient, now).await?;
        drafted += 1;
    }
    Ok(drafted)
}

/// Issues the oldest draft with the next number, and queues its mail and collection. `None` when there is no draft.
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

/// A page of the issued invoices, newest first.
pub async fn list(tx: &ScopedTx, page: &Page<InvoiceKey>) -> Result<Slice<InvoiceKey, Invoice>, DbError> {
    let found = queries::list(tx, page).await?;
    Ok(page.slice(found.into_iter().map(|it| (it.number.unwrap_or(0), it)).collect()))
}

/// Stores an invoice's state and payments. A paid or void invoice never changes.
pub async fn save(tx: &ScopedTx, invoice: &Invoice) -> Result<(), DbError> {
    queries::update(tx, invoice).await
}

/// Adds a payment: the invoice is `Paid` once nothing is owed; an excess becomes credit.
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

/// Voids an invoice, or writes it off.
///
/// # Errors
/// `NotFound`, `InvalidTransition`.
pub async fn settle(tx: &ScopedTx, id: InvoiceId, state: State, now: Timestamp) -> Result<Invoice, InvoiceError> {
    let invoice = queries::by_id(tx, id).await?.ok_or(InvoiceError::NotFound)?;
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
    // A fee that is no longer owed, or was never paid, is not credited when its period is cut short.
    for line in queries::lines(tx, id).await?.iter().filter(|it| it.kind == Kind::Flat) {
        if let Some(period) = line.period {
            subscriptions::forget_fee(tx, period).await?;
        }
    }
    Ok(settled)
}

/// Credits an amount including tax: first against the debt, then as credit for the next invoice.
///
/// # Errors
/// `NotFound`, `InvalidTransition`, `Invalid` when the amount exceeds the invoice's total.
pub async fn credit(
    tx: &ScopedTx,
    id: InvoiceId,
    amount_minor: i64,
    reason: &str,
    now: Timestamp,
) -> Result<CreditNote, InvoiceError> {
    let invoice = queries::by_id(tx, id).await?.ok_or(InvoiceError::NotFound)?;
    if !matches!(invoice.state, State::Open | State::Paid) {
        return Err(InvoiceError::InvalidTransition(invoice.state));
    }
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 500 {
        return Err(InvoiceError::Invalid("reason", "A reason must have 1 to 500 characters."));
    }
    let before: i64 = queries::credit_notes(tx, id).await?.iter().map(|it| it.amount_minor).sum();
    let gross = invoice.net_minor + invoice.tax_minor;
    if amount_minor <= 0 || amount_minor > gross - before {
        return Err(InvoiceError::Invalid(
            "amount",
            "Must be above 0 and at most the part of the invoice that was not credited yet.",
        ));
    }
    let off_debt = amount_minor.min(invoice.owed_minor());
    // The included tax, in proportion to the whole invoice.
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

/// Changes name and address, from the next invoice on.
pub async fn set_profile(tx: &ScopedTx, profile: &Profile, now: Timestamp) -> Result<(), DbError> {
    queries::upsert_profile(tx, profile, now).await
}

/// Changes the tax, from the next invoice on.
pub async fn set_tax(tx: &ScopedTx, tax: &Tax, now: Timestamp) -> Result<(), DbError> {
    queries::upsert_tax(tx, tax, now).await
}
