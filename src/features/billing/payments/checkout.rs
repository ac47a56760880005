//! Subscribing to a plan on a payment provider's page.
//!
//! The amount is calculated for one instant, and the plan starts at that instant once it is paid, so the displayed
//! amount is the charged amount. Only the provider's confirmation of the payment grants anything; the redirect back
//! from the page does not.

use jiff::{SignedDuration, Timestamp};

use super::{Payment, PaymentState, model::CheckoutSession, queries, settlement::settle};
use crate::{
    base::{ids::uuid_v7, money::Money},
    db::{DbError, ScopedTx},
    features::{
        billing::{
            invoices,
            schedule::schedule,
            standing,
            subscriptions::{self, Status},
        },
        tenants,
    },
};

/// How long a page is open.
pub const LIFE: SignedDuration = SignedDuration::from_mins(60);

/// The minimum remaining life when the provider is asked for a page: Stripe requires half an hour.
pub const LEAST_LIFE: SignedDuration = SignedDuration::from_mins(31);

/// Activates the plan from the instant for which it was priced, and settles its invoice with the payment.
pub async fn grant(
    tx: &ScopedTx,
    session: &CheckoutSession,
    payment: Option<&(String, i64)>,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    let tenant = tenants::current(tx).await?;
    let agreed = subscriptions::agreed(tx, session.version).await?;
    match subscriptions::current(tx).await? {
        Some(present) if present.is_alive() => {
            let present = standing::advance(tx, present, now).await?;
            let has_it = (present.version, present.interval) == (session.version, session.interval);
            let goes_on = present.next.is_none() && present.cancel_at.is_none() && present.status != Status::Paused;
            let paid_now = subscriptions::agreed(tx, present.version).await?;
            if present.is_alive() && has_it && goes_on {
                // Only the payment method was missing.
            } else if present.is_alive() && subscriptions::is_other_currency(&paid_now, &agreed) {
                // A page in another currency was paid first, so this payment becomes credit.
            } else if present.is_alive() {
                standing::reviewed(
                    tx,
                    subscriptions::change_now(tx, present, &agreed, session.interval, session.priced_at, now).await?,
                    now,
                )
                .await?;
            } else {
                let from = present.ended_at.map_or(session.priced_at, |it| it.max(session.priced_at));
                standing::reviewed(
                    tx,
                    subscriptions::begin(tx, &tenant, &agreed, session.interval, from, now).await?,
                    now,
                )
                .await?;
            }
        }
        ended => {
            let from = ended.and_then(|it| it.ended_at).map_or(session.priced_at, |it| it.max(session.priced_at));
            standing::reviewed(tx, subscriptions::begin(tx, &tenant, &agreed, session.interval, from, now).await?, now)
                .await?;
        }
    }
    queries::complete_checkout(tx, session.id, now).await?;
    invoices::draft_due(tx, &tenant, now).await?;
    while invoices::issue_next(tx, now).await?.is_some() {}
    if let Some((reference, amount_minor)) = payment
        && *amount_minor > 0
    {
        let paid = Payment {
            id: uuid_v7(now),
            invoice: None,
            checkout: Some(session.id),
            state: PaymentState::Succeeded,
            amount: Money { minor: *amount_minor, ..session.amount },
            method: None,
            reference: Some(reference.clone()),
            provider_at: Some(at),
            failure: None,
            created_at: now,
        };
        queries::insert_payment(tx, &paid, &session.provider).await?;
        settle(tx, None, paid.amount, now).await?;
    }
    schedule(tx, now).await
}
