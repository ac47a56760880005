//! Collecting what is owed: charged when it is issued, tried again on a schedule, and after a time of grace the tenant's
//! people can read and not write.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    ChargeRequest, Charged, Outcome, Payment, PaymentProvider, PaymentState, ProviderError, conclude, queries,
};
use crate::{
    billing::{
        invoices::{self, Invoice},
        subscriptions,
    },
    db::{Access, DbError, Gate, Restriction, Scope, ScopedTx},
    fault,
    ids::{InvoiceId, TenantId},
    outbox::{self, Effect},
    tenants,
};

/// When a payment is tried again, counted from the first that failed.
pub const RETRIES: [SignedDuration; 4] = [
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(3 * 24),
    SignedDuration::from_hours(5 * 24),
    SignedDuration::from_hours(7 * 24),
];
/// How long after the first failure the tenant's people can still write.
pub const GRACE: SignedDuration = SignedDuration::from_hours(14 * 24);
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
    now: Timestamp,
) -> Result<(), String> {
    let text = |error: DbError| error.to_string();
    let tx = gate.tenant(Scope::worker(tenant), Access::Write);
    let step = prepare(&tx, provider.map(PaymentProvider::name), id, now).await.map_err(text)?;
    tx.commit().await.map_err(text)?;
    drop(tx);
    fault::point("payments.begun");
    let (Step::Charge { payment, customer }, Some(provider)) = (step, provider) else { return Ok(()) };
    let answer = match &payment.reference {
        Some(reference) => provider.look_up(reference.clone()).await,
        None => {
            let method = payment.method.clone().unwrap_or_default();
            let request = ChargeRequest { payment: payment.id, invoice: id, customer, method, amount: payment.amount };
            provider.charge(request).await
        }
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

async fn prepare(tx: &ScopedTx, provider: Option<&str>, id: InvoiceId, now: Timestamp) -> Result<Step, DbError> {
    subscriptions::lock(tx).await?;
    let Some(invoice) = invoices::by_id(tx, id).await?.filter(|it| it.owed_minor() > 0) else {
        return Ok(Step::Nothing);
    };
    let account = queries::account(tx).await?;
    let is_ours = provider.is_some() && account.provider.as_deref() == provider;
    let payments = queries::of_invoice(tx, id).await?;
    // What has just been declined would be again: the schedule says when it is tried next, another card says now.
    let just_now = |it: &Payment| it.created_at > now - ASK_AGAIN && it.method == account.method;
    if payments.last().is_some_and(|it| it.state == PaymentState::Failed && just_now(it)) {
        return Ok(Step::Nothing);
    }
    let pending = payments.into_iter().find(|it| it.state == PaymentState::Pending);
    match (pending, account.customer, account.method, provider) {
        (Some(payment), Some(customer), _, _) if is_ours => Ok(Step::Charge { payment: Box::new(payment), customer }),
        // Somebody else's, of before: that provider is to say what became of it.
        (Some(_), _, _, _) => Ok(Step::Nothing),
        (None, Some(customer), Some(method), Some(provider)) if is_ours => {
            let payment = super::begin(tx, &invoice, provider, &method, now).await?;
            invoices::save(tx, &Invoice { attempts: invoice.attempts + 1, ..invoice }).await?;
            Ok(Step::Charge { payment: Box::new(payment), customer })
        }
        // There is nothing that can be charged: it is overdue once its time is over.
        _ => {
            let due_at = invoice.due_at.unwrap_or(now);
            if now < due_at {
                let effect = outbox::derived_id(id.0, "due");
                outbox::enqueue_as_at(tx, effect, &Effect::CollectInvoice { invoice: id.0 }, due_at, now).await?;
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
        outbox::enqueue_at(tx, &Effect::CollectInvoice { invoice: invoice.0 }, now + ASK_AGAIN, now).await?;
    }
    Ok(())
}

/// A payment of it failed, or nothing could be charged when it was due: the tenant is told, it is tried again on the schedule,
/// and the time of grace begins with the first failure.
///
/// # Errors
/// When a statement fails.
pub async fn after_failure(tx: &ScopedTx, id: InvoiceId, now: Timestamp) -> Result<(), DbError> {
    let Some(invoice) = invoices::by_id(tx, id).await?.filter(|it| it.owed_minor() > 0) else { return Ok(()) };
    let subscription = subscriptions::current(tx).await?;
    let since = subscription.as_ref().and_then(|it| it.past_due_since).unwrap_or(now);
    subscriptions::set_past_due(tx, Some(since), now).await?;
    let nth = usize::try_from(invoice.attempts - 1).unwrap_or(0);
    if let Some(after) = RETRIES.get(nth) {
        let effect = outbox::derived_id(id.0, &format!("retry {nth}"));
        let at = (since + *after).max(now + ASK_AGAIN);
        outbox::enqueue_as_at(tx, effect, &Effect::CollectInvoice { invoice: id.0 }, at, now).await?;
    }
    let effect = outbox::derived_id(id.0, &format!("failed {nth}"));
    outbox::enqueue_as(tx, effect, &Effect::AnnounceOverdue { invoice: id.0, is_last: false }, now).await?;
    let effect = outbox::derived_id(id.0, "restrict");
    outbox::enqueue_as_at(tx, effect, &Effect::RestrictOverdue { invoice: id.0 }, since + GRACE, now).await
}

/// The time of grace is over: where it is still owed, the tenant's people can read and not write.
///
/// # Errors
/// When a statement fails.
pub async fn restrict(tx: &ScopedTx, id: InvoiceId, now: Timestamp) -> Result<(), DbError> {
    subscriptions::lock(tx).await?;
    let is_owed =
        invoices::by_id(tx, id).await?.is_some_and(|it| it.state == invoices::State::Open && it.owed_minor() > 0);
    if !is_owed || tenants::current(tx).await?.restriction.is_some() {
        return Ok(());
    }
    tenants::restrict(tx, Some(Restriction::Overdue)).await?;
    let effect = outbox::derived_id(id.0, "restricted");
    outbox::enqueue_as(tx, effect, &Effect::AnnounceOverdue { invoice: id.0, is_last: true }, now).await
}

/// Where nothing is overdue any more, nothing binds the tenant.
///
/// # Errors
/// When a statement fails.
pub async fn relax(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    if invoices::open(tx).await?.iter().any(|it| it.attempts > 0) {
        return Ok(());
    }
    subscriptions::set_past_due(tx, None, now).await?;
    if tenants::current(tx).await?.restriction == Some(Restriction::Overdue) {
        tenants::restrict(tx, None).await?;
    }
    Ok(())
}
