//! Taking a plan at the page of a payment provider.
//!
//! The amount is reckoned for one instant, and from that instant the plan is taken once it is paid: so what was shown is what
//! is charged. Only the provider's word that it was paid grants anything; whoever comes back from the page is shown things.

use jiff::{SignedDuration, Timestamp};

use super::{Payment, PaymentState, queries, settle};
use crate::{
    base::{
        ids::{CheckoutId, PlanId, PlanVersionId, uuid_v7},
        money::Money,
    },
    db::{DbError, ScopedTx},
    features::{
        billing::{
            CheckoutWish,
            cycles::Interval,
            invoices, refuse_other_currency,
            subscriptions::{self, Agreed, Status},
        },
        tenants,
    },
};

/// How long a page is there.
pub const LIFE: SignedDuration = SignedDuration::from_mins(60);
/// How much of its life is left at least when the provider is asked for a page: Stripe wants half an hour.
pub const LEAST_LIFE: SignedDuration = SignedDuration::from_mins(31);

/// Where a visit to the page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckoutState {
    /// The provider has not answered yet.
    Creating,
    /// The page is there.
    Open,
    /// It was paid, and the plan was taken.
    Completed,
    /// The page is there no more.
    Expired,
}

impl CheckoutState {
    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Open => "OPEN",
            Self::Completed => "COMPLETED",
            Self::Expired => "EXPIRED",
        }
    }
}

impl std::str::FromStr for CheckoutState {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = [Self::Creating, Self::Open, Self::Completed, Self::Expired].into_iter();
        found
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is no state of a checkout")))
    }
}

/// A visit to the page of a payment provider.
#[derive(Clone, Debug)]
pub struct CheckoutSession {
    /// In the tenant.
    pub id: CheckoutId,
    /// To take which plan.
    pub plan: PlanId,
    /// In which version.
    pub version: PlanVersionId,
    /// For how long at a time.
    pub interval: Interval,
    /// Where it stands.
    pub state: CheckoutState,
    /// The instant for which the amount was reckoned.
    pub priced_at: Timestamp,
    /// What is to be paid there.
    pub amount: Money,
    /// Where whoever has paid goes.
    pub success_url: String,
    /// Where whoever has not goes.
    pub cancel_url: String,
    /// Whose page.
    pub provider: String,
    /// The provider's name for it.
    pub reference: Option<String>,
    /// Where it is.
    pub url: Option<String>,
    /// When it is there no more.
    pub expires_at: Timestamp,
}

impl CheckoutSession {
    /// Whether it is just what is wished for.
    pub fn is_for(&self, wish: &CheckoutWish, agreed: &Agreed) -> bool {
        self.version == agreed.version_id
            && self.interval == wish.interval
            && self.success_url == wish.success_url
            && self.cancel_url == wish.cancel_url
    }
}

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
            let present = subscriptions::advance(tx, present, now).await?;
            let has_it = (present.version, present.interval) == (session.version, session.interval);
            let goes_on = present.next.is_none() && present.cancel_at.is_none() && present.status != Status::Paused;
            let paid_now = subscriptions::agreed(tx, present.version).await?;
            if present.is_alive() && has_it && goes_on {
                // Only a means of payment was missing.
            } else if present.is_alive() && refuse_other_currency(&paid_now, &agreed).is_err() {
                // Another page, of another currency, was paid first: what was paid here is credit.
            } else if present.is_alive() {
                subscriptions::change_now(tx, present, &agreed, session.interval, session.priced_at, now).await?;
            } else {
                let from = present.ended_at.map_or(session.priced_at, |it| it.max(session.priced_at));
                subscriptions::begin(tx, &tenant, &agreed, session.interval, from, now).await?;
            }
        }
        ended => {
            let from = ended.and_then(|it| it.ended_at).map_or(session.priced_at, |it| it.max(session.priced_at));
            subscriptions::begin(tx, &tenant, &agreed, session.interval, from, now).await?;
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
    super::super::schedule(tx, now).await
}
