//! Settles invoices with payments.

use jiff::Timestamp;

use super::{
    model::{Payment, PaymentState},
    queries,
};
use crate::{
    base::{
        ids::{InvoiceId, uuid_v7},
        money::Money,
    },
    db::{DbError, ScopedTx},
    features::billing::{
        invoices::{Invoice, InvoiceError, State},
        standing::review,
    },
};

/// Settles this invoice first with a payment, then the others in order; the rest becomes credit. Reviews the tenant's
/// standing afterwards.
pub(super) async fn settle(
    tx: &ScopedTx,
    first: Option<&Invoice>,
    amount: Money,
    now: Timestamp,
) -> Result<(), DbError> {
    let is_first = |it: &Invoice| first.is_some_and(|first| first.id == it.id);
    let others = crate::features::billing::invoices::open(tx).await?.into_iter().filter(|it| !is_first(it));
    let mut left = amount.minor;
    for invoice in first.cloned().into_iter().chain(others).filter(|it| it.currency == amount.currency) {
        let part = invoice.owed_minor().min(left);
        if part > 0 {
            left -= part;
            crate::features::billing::invoices::save(
                tx,
                &crate::features::billing::invoices::with_payment(invoice, part, now),
            )
            .await?;
        }
    }
    review(tx, now).await
}

/// Records a payment made outside of Tenantry, such as a transfer. The same reference counts once.
///
/// # Errors
/// `NotFound`, `Invalid`, `InvalidTransition`.
pub async fn record_outside(
    tx: &ScopedTx,
    id: InvoiceId,
    amount_minor: i64,
    reference: &str,
    now: Timestamp,
) -> Result<Invoice, InvoiceError> {
    let invoice = crate::features::billing::invoices::by_id(tx, id).await?.ok_or(InvoiceError::NotFound)?;
    let reference = reference.trim();
    if reference.is_empty() || reference.chars().count() > 200 {
        return Err(InvoiceError::Invalid("reference", "A reference must have 1 to 200 characters."));
    }
    if amount_minor <= 0 {
        return Err(InvoiceError::Invalid("amount", "Must be above 0."));
    }
    if queries::payment_by_reference(tx, OUTSIDE, reference).await?.is_some() {
        return Ok(invoice);
    }
    if !matches!(invoice.state, State::Open | State::Uncollectible) {
        return Err(InvoiceError::InvalidTransition(invoice.state));
    }
    let amount = Money { minor: amount_minor, currency: invoice.currency };
    let payment = Payment {
        id: uuid_v7(now),
        invoice: Some(id),
        checkout: None,
        state: PaymentState::Succeeded,
        amount,
        method: None,
        reference: Some(reference.to_owned()),
        provider_at: Some(now),
        failure: None,
        created_at: now,
    };
    queries::insert_payment(tx, &payment, OUTSIDE).await?;
    settle(tx, Some(&invoice), amount, now).await?;
    crate::features::billing::invoices::by_id(tx, id).await?.ok_or(InvoiceError::NotFound)
}

/// The provider name of payments made outside of Tenantry.
const OUTSIDE: &str = "outside";

/// An amount, as displayed to people.
pub fn display(amount: Money) -> String {
    format!("{} {}", amount.currency, amount.amount())
}
