//! Applies what a provider reports.

use jiff::Timestamp;

use super::{
    CheckoutState, checkout,
    conclusion::conclude,
    model::NotYet,
    provider::{Fact, Outcome},
    queries,
};
use crate::{
    core::outbox::{self, Effect},
    db::{DbError, ScopedTx},
};

/// Stores a payment method; outdated reports are ignored. A new method triggers the collection of open invoices.
pub(super) async fn save_method(tx: &ScopedTx, reference: &str, at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    let before = queries::account(tx).await?.method;
    if queries::save_method(tx, reference, at, now).await? && before.as_deref() != Some(reference) {
        for invoice in crate::features::billing::invoices::open(tx).await? {
            outbox::enqueue(tx, &Effect::CollectInvoice { invoice: invoice.id.0, at_once: false }, now).await?;
        }
    }
    Ok(())
}

/// Applies a provider's report. This is the only path for reports. A repeated report has no effect, and an outdated one
/// is ignored. The caller holds [`crate::features::billing::subscriptions::lock`].
///
/// # Errors
/// `Unknown` when the report refers to something that is not known here yet.
pub(super) async fn apply(
    tx: &ScopedTx,
    provider: &str,
    fact: &Fact,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), NotYet> {
    match fact {
        Fact::CheckoutCompleted { reference, payment } => {
            let session = queries::checkout_by_reference(tx, provider, reference).await?;
            let session = session.ok_or(NotYet::Unknown("the checkout session"))?;
            if !matches!(session.state, CheckoutState::Completed) {
                checkout::grant(tx, &session, payment.as_ref(), at, now).await?;
            }
            Ok(())
        }
        // An unknown session expires by itself.
        Fact::CheckoutExpired { reference } => match queries::checkout_by_reference(tx, provider, reference).await? {
            Some(session) => Ok(queries::expire_checkout(tx, session.id).await?),
            None => Ok(()),
        },
        Fact::PaymentSucceeded { reference, payment: asked } => {
            let known = queries::payment_by_reference(tx, provider, reference).await?;
            // A payment whose response was lost has no reference yet.
            let payment = match (known, asked) {
                (None, Some(asked)) => queries::payment(tx, *asked).await?.filter(|it| it.reference.is_none()),
                (known, _) => known,
            };
            let payment = payment.ok_or(NotYet::Unknown("the payment"))?;
            Ok(conclude(tx, &payment, Some(reference), &Outcome::Succeeded, at, now).await?)
        }
        Fact::PaymentFailed { reference, reason } => {
            match queries::payment_by_reference(tx, provider, reference).await? {
                Some(payment) => {
                    Ok(conclude(tx, &payment, Some(reference), &Outcome::Failed(reason.clone()), at, now).await?)
                }
                // A card that was declined on the page, or a charge whose response will report the same.
                None => Ok(()),
            }
        }
        Fact::MethodSaved { reference } => Ok(save_method(tx, reference, at, now).await?),
        Fact::MethodRemoved { reference } => Ok(queries::forget_method(tx, reference, at, now).await?),
    }
}
