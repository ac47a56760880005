//! Taking a plan at the page of a payment provider.
//!
//! The amount is reckoned for one instant, and from that instant the plan is taken once it is paid: so what was shown is what
//! is charged. Only the provider's word that it was paid grants anything; whoever comes back from the page is shown things.

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

/// How long a page is there.
pub const LIFE: SignedDuration = SignedDuration::from_mins(60);

/// How much of its life is left at least when the provider is asked for a page: Stripe wants half an hour.
pub const LEAST_LIFE: SignedDuration = SignedDuration::from_mins(31);

/// The plan is taken, from the instant for which it was priced, and what was paid settles its invoice.
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
                // Only a means of payment was missing.
            } else if present.is_alive() && subscriptions::is_other_currency(&paid_now, &agreed) {
                // Another page, of another currency, was paid first: what was paid here is credit.
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
