//! Starts payments and records their outcomes.

use jiff::Timestamp;

use super::{
    model::{Payment, PaymentState},
    provider::Outcome,
    queries,
    retries::after_failure,
    settlement::settle,
};
use crate::{
    base::{ids::uuid_v7, money::Money},
    db::{DbError, ScopedTx},
    features::billing::invoices::Invoice,
};

/// Records the outcome of a payment. A successful payment never changes, and outdated reports are ignored.
pub(super) async fn conclude(
    tx: &ScopedTx,
    payment: &Payment,
    reference: Option<&str>,
    outcome: &Outcome,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    let is_old = payment.provider_at.is_some_and(|known| at < known) && *outcome != Outcome::Succeeded;
    if payment.state == PaymentState::Succeeded || is_old {
        return Ok(());
    }
    let (state, failure) = match outcome {
        Outcome::Succeeded => (PaymentState::Succeeded, None),
        Outcome::Failed(why) => (PaymentState::Failed, Some(why.chars().take(500).collect())),
        Outcome::Processing => (PaymentState::Pending, None),
    };
    let was = payment.state;
    let reference = reference.map(str::to_owned).or_else(|| payment.reference.clone());
    let known = Payment { state, failure, reference, provider_at: Some(at), ..payment.clone() };
    queries::update_payment(tx, &known, now).await?;
    match (outcome, payment.invoice) {
        (Outcome::Succeeded, invoice) => {
            let first = match invoice {
                Some(id) => crate::features::billing::invoices::by_id(tx, id).await?,
                None => None,
            };
            settle(tx, first.as_ref(), payment.amount, now).await
        }
        (Outcome::Failed(_), Some(invoice)) if was == PaymentState::Pending => after_failure(tx, invoice, now).await,
        (Outcome::Failed(_) | Outcome::Processing, _) => Ok(()),
    }
}

/// Inserts a new attempt before the provider is called.
pub(super) async fn begin(
    tx: &ScopedTx,
    invoice: &Invoice,
    provider: &str,
    method: &str,
    now: Timestamp,
) -> Result<Payment, DbError> {
    let payment = Payment {
        id: uuid_v7(now),
        invoice: Some(invoice.id),
        checkout: None,
        state: PaymentState::Pending,
        amount: Money { minor: invoice.owed_minor(), currency: invoice.currency },
        method: Some(method.to_owned()),
        reference: None,
        provider_at: None,
        failure: None,
        created_at: now,
    };
    queries::insert_payment(tx, &payment, provider).await?;
    Ok(payment)
}
