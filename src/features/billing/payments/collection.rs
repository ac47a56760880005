//! Collecting what is owed: charged when it is issued, tried again on a schedule, and after a time of grace the tenant's
//! people can read and not write.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    ChargeRequest, Charged, Outcome, Payment, PaymentProvider, PaymentState, ProviderError,
    conclusion::conclude,
    queries,
    retries::{after_failure, next_try},
};
use crate::{
    base::{
        fault,
        ids::{InvoiceId, TenantId},
    },
    core::outbox::{self, Effect},
    db::{Access, DbError, Gate, Scope, ScopedTx},
    features::billing::{
        invoices::{self, Invoice, LEAST_CHARGE, State},
        standing::{GRACE, review},
        subscriptions,
    },
};

/// How long a provider surely knows the key of a request: Stripe for a day.
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(20);

/// How long after an attempt somebody can ask for another.
const ASK_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// When a provider that did not know yet is asked again.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// What is to be asked of the provider.
enum Step {
    /// Nothing.
    Nothing,
    /// This payment.
    Charge { payment: Box<Payment>, customer: String },
}

/// Has an invoice paid, as far as that can be done now. Done again, or by two at once, it charges once.
///
/// # Errors
/// When the provider or the database fails for now: it is to be tried again.
pub async fn collect(
    gate: &Gate,
    provider: Option<&dyn PaymentProvider>,
    tenant: TenantId,
    id: InvoiceId,
    at_once: bool,
    now: Timestamp,
) -> Result<(), String> {
    let text = |error: DbError| error.to_string();
    let tx = gate.tenant(Scope::worker(tenant), Access::Write);
    let step = prepare(&tx, provider.map(PaymentProvider::name), id, at_once, now).await.map_err(text)?;
    tx.commit().await.map_err(text)?;
    drop(tx);
    fault::point("payments.begun");
    let (Step::Charge { payment, customer }, Some(provider)) = (step, provider) else { return Ok(()) };
    let answer = match &payment.reference {
        Some(reference) => provider.look_up(reference.clone()).await,
        // Providers forget their keys after a day: then it is looked for before it is sent again.
        None if payment.created_at + KEY_LIFE <= now => {
            match provider.find_charge(customer.clone(), payment.id).await {
                Ok(Some(charged)) => Ok(charged),
                Ok(None) => provider.charge(charge_of(&payment, id, customer)).await,
                Err(error) => Err(error),
            }
        }
        None => provider.charge(charge_of(&payment, id, customer)).await,
    };
    let charged = match answer {
        Ok(charged) => charged,
        Err(ProviderError::Refused(why)) => Charged { reference: None, outcome: Outcome::Failed(why) },
        Err(ProviderError::Later(why)) => return Err(why),
    };
    fault::point("payments.charged");
    let tx = gate.tenant(Scope::worker(tenant), Access::Write);
    note(&tx, payment.id, &charged, now).await.map_err(text)?;
    tx.commit().await.map_err(text)
}

fn charge_of(payment: &Payment, invoice: InvoiceId, customer: String) -> ChargeRequest {
    let method = payment.method.clone().unwrap_or_default();
    ChargeRequest { payment: payment.id, invoice, customer, method, amount: payment.amount }
}

async fn prepare(
    tx: &ScopedTx,
    provider: Option<&str>,
    id: InvoiceId,
    at_once: bool,
    now: Timestamp,
) -> Result<Step, DbError> {
    subscriptions::lock(tx).await?;
    let Some(invoice) = invoices::by_id(tx, id).await? else { return Ok(Step::Nothing) };
    let account = queries::account(tx).await?;
    let is_ours = provider.is_some() && account.provider.as_deref() == provider;
    let payments = queries::of_invoice(tx, id).await?;
    // What was begun is brought to an end first, whatever became of the invoice meanwhile: it may have been paid.
    if let Some(pending) = payments.iter().find(|it| it.state == PaymentState::Pending) {
        return Ok(match account.customer {
            Some(customer) if is_ours => Step::Charge { payment: Box::new(pending.clone()), customer },
            // Somebody else's, of before: that provider is to say what became of it.
            _ => Step::Nothing,
        });
    }
    if invoice.state != State::Open || invoice.owed_minor() < LEAST_CHARGE {
        return Ok(Step::Nothing);
    }
    let last = payments.iter().rev().find(|it| it.method.is_some());
    let is_new_card = account.method.is_some() && last.is_none_or(|it| it.method != account.method);
    // Asked for, but not by whoever clicks ten times.
    let is_asked = at_once && payments.last().is_none_or(|it| it.created_at + ASK_PAUSE <= now);
    if !is_asked && !is_new_card && next_try(&invoice).is_none_or(|it| now < it) {
        return Ok(Step::Nothing);
    }
    match (account.customer, account.method, provider) {
        (Some(customer), Some(method), Some(provider)) if is_ours => {
            let payment = super::conclusion::begin(tx, &invoice, provider, &method, now).await?;
            // What somebody asked for takes none of the schedule's attempts.
            let attempts = if is_asked && invoice.attempts > 0 { invoice.attempts } else { invoice.attempts + 1 };
            invoices::save(tx, &Invoice { attempts, ..invoice }).await?;
            Ok(Step::Charge { payment: Box::new(payment), customer })
        }
        // There is nothing that can be charged: it is overdue once its time is over.
        _ => {
            let due_at = invoice.due_at.unwrap_or(now);
            if now < due_at {
                let effect = outbox::derived_id(id.0, "due");
                let collect = Effect::CollectInvoice { invoice: id.0, at_once: false };
                outbox::enqueue_as_at(tx, effect, &collect, due_at, now).await?;
            } else {
                invoices::save(tx, &Invoice { attempts: invoice.attempts + 1, ..invoice }).await?;
                after_failure(tx, id, now).await?;
            }
            Ok(Step::Nothing)
        }
    }
}

async fn note(tx: &ScopedTx, payment: Uuid, charged: &Charged, now: Timestamp) -> Result<(), DbError> {
    subscriptions::lock(tx).await?;
    let Some(payment) = queries::payment(tx, payment).await? else { return Ok(()) };
    // An event may have come first: that has the provider's own time, and this has ours.
    let at = payment.provider_at.map_or(now, |it| it.max(now));
    conclude(tx, &payment, charged.reference.as_deref(), &charged.outcome, at, now).await?;
    if let (Outcome::Processing, Some(invoice)) = (&charged.outcome, payment.invoice) {
        let collect = Effect::CollectInvoice { invoice: invoice.0, at_once: false };
        outbox::enqueue_at(tx, &collect, now + ASK_AGAIN, now).await?;
    }
    Ok(())
}

/// The time of grace of an invoice is over: where it is still owed, the tenant's people can read and not write.
///
/// # Errors
/// When a statement fails.
pub async fn restrict(tx: &ScopedTx, id: InvoiceId, now: Timestamp) -> Result<(), DbError> {
    subscriptions::lock(tx).await?;
    review(tx, now).await?;
    if invoices::by_id(tx, id).await?.is_some_and(|it| it.is_owing()) {
        let effect = outbox::derived_id(id.0, "restricted");
        outbox::enqueue_as(tx, effect, &Effect::AnnounceOverdue { invoice: id.0, is_last: true }, now).await?;
    }
    Ok(())
}

/// Has everything collected that is open and that nobody tries any more: after a standstill, or when somebody has given up.
///
/// # Errors
/// When a statement fails.
pub async fn resume(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    let open = invoices::open(tx).await?;
    for invoice in &open {
        let payments = queries::of_invoice(tx, invoice.id).await?;
        let is_pending = payments.iter().any(|it| it.state == PaymentState::Pending);
        let is_due = is_pending || next_try(invoice).is_some_and(|it| it <= now);
        if is_due && invoice.issued_at.is_none_or(|it| it + ASK_AGAIN <= now) {
            let effect = outbox::derived_id(invoice.id.0, &format!("resumed on day {}", now.as_second() / 86_400));
            let collect = Effect::CollectInvoice { invoice: invoice.id.0, at_once: false };
            outbox::enqueue_as(tx, effect, &collect, now).await?;
        }
    }
    if open.iter().any(|it| it.overdue_since.is_some_and(|since| since + GRACE <= now)) {
        review(tx, now).await?;
    }
    Ok(())
}
