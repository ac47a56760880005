//! Collects invoices: each is charged when it is issued and retried on a schedule. After a grace period the tenant
//! becomes read-only.

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

/// How long a provider reliably remembers an idempotency key: Stripe, for a day.
const KEY_LIFE: SignedDuration = SignedDuration::from_hours(20);

/// The minimum time between an attempt and one that a user requests.
const ASK_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// When a provider that did not know the outcome yet is asked again.
const ASK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// The next request to the provider.
enum Step {
    /// No request.
    Nothing,
    /// Charge this payment.
    Charge { payment: Box<Payment>, customer: String },
}

/// Collects an invoice, as far as possible now. Repeated or concurrent calls charge once.
///
/// # Errors
/// When the provider or the database fails temporarily; the caller retries later.
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
        // Providers forget idempotency keys after a day. Then the charge is searched for before the request is
        // repeated.
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
    // A pending payment is resolved first, whatever happened to the invoice in the meantime: it may have been paid.
    if let Some(pending) = payments.iter().find(|it| it.state == PaymentState::Pending) {
        return Ok(match account.customer {
            Some(customer) if is_ours => Step::Charge { payment: Box::new(pending.clone()), customer },
            // A payment of a previous provider: that provider reports its outcome.
            _ => Step::Nothing,
        });
    }
    if invoice.state != State::Open || invoice.owed_minor() < LEAST_CHARGE {
        return Ok(Step::Nothing);
    }
    let last = payments.iter().rev().find(|it| it.method.is_some());
    let is_new_card = account.method.is_some() && last.is_none_or(|it| it.method != account.method);
    // A user's request counts, but not when it is repeated within a minute.
    let is_asked = at_once && payments.last().is_none_or(|it| it.created_at + ASK_PAUSE <= now);
    if !is_asked && !is_new_card && next_try(&invoice).is_none_or(|it| now < it) {
        return Ok(Step::Nothing);
    }
    match (account.customer, account.method, provider) {
        (Some(customer), Some(method), Some(provider)) if is_ours => {
            let payment = super::conclusion::begin(tx, &invoice, provider, &method, now).await?;
            // An attempt that a user requests does not count as one of the schedule's.
            let attempts = if is_asked && invoice.attempts > 0 { invoice.attempts } else { invoice.attempts + 1 };
            invoices::save(tx, &Invoice { attempts, ..invoice }).await?;
            Ok(Step::Charge { payment: Box::new(payment), customer })
        }
        // Without a payment method the invoice becomes overdue on its due date.
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
    // An event may have arrived first. It carries the provider's time, and this response the server's.
    let at = payment.provider_at.map_or(now, |it| it.max(now));
    conclude(tx, &payment, charged.reference.as_deref(), &charged.outcome, at, now).await?;
    if let (Outcome::Processing, Some(invoice)) = (&charged.outcome, payment.invoice) {
        let collect = Effect::CollectInvoice { invoice: invoice.0, at_once: false };
        outbox::enqueue_at(tx, &collect, now + ASK_AGAIN, now).await?;
    }
    Ok(())
}

/// Ends the grace period of an invoice. If the invoice is still unpaid, the tenant becomes read-only.
pub async fn restrict(tx: &ScopedTx, id: InvoiceId, now: Timestamp) -> Result<(), DbError> {
    subscriptions::lock(tx).await?;
    review(tx, now).await?;
    if invoices::by_id(tx, id).await?.is_some_and(|it| it.is_owing()) {
        let effect = outbox::derived_id(id.0, "restricted");
        outbox::enqueue_as(tx, effect, &Effect::AnnounceOverdue { invoice: id.0, is_last: true }, now).await?;
    }
    Ok(())
}

/// Queues the collection of open invoices that are no longer retried, after downtime or exhausted attempts.
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
