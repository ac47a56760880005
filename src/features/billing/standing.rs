//! A tenant's standing: its subscription, whether it is past due, and whether it is read-only.

use jiff::{SignedDuration, Timestamp};

use super::{
    invoices::{self, LEAST_CHARGE},
    subscriptions::{self, Advanced, Agreed, BillingPeriod, NeedsReview, Status, Subscription},
};
use crate::{
    db::{DbError, Restriction, ScopedTx},
    features::tenants,
};

/// How long the tenant can still write after the first failed collection.
pub const GRACE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Decides from the open invoices whether a tenant is past due and whether it is read-only. This is the only place that
/// decides it. Every change of a subscription, an invoice or a payment calls it.
pub async fn review(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    // Amounts below the minimum charge do not count.
    let open = invoices::open(tx).await?.into_iter().filter(|it| it.owed_minor() >= LEAST_CHARGE);
    let overdue: Vec<Timestamp> = open.filter_map(|it| it.overdue_since).collect();
    subscriptions::set_past_due(tx, overdue.iter().min().copied(), now).await?;
    let is_paused = subscriptions::current(tx).await?.is_some_and(|it| match it.status {
        Status::Paused => true,
        // The subscription ended and there is no free plan to fall back to: data can be read and exported.
        Status::Cancelled => it.next.is_none(),
        Status::Trialing | Status::Active | Status::PastDue => false,
    });
    let restriction = if is_paused {
        Some(Restriction::Paused)
    } else if overdue.iter().any(|since| *since + GRACE <= now) {
        Some(Restriction::Overdue)
    } else {
        None
    };
    tenants::restrict(tx, restriction).await
}

/// Reviews the tenant of a subscription that has just changed.
pub(super) async fn reviewed(tx: &ScopedTx, changed: NeedsReview, now: Timestamp) -> Result<Subscription, DbError> {
    review(tx, now).await?;
    Ok(changed.into_subscription())
}

/// Brings a subscription up to date with [`subscriptions::advance`], and reviews its tenant if the subscription ended.
pub(super) async fn advance(
    tx: &ScopedTx,
    subscription: Subscription,
    now: Timestamp,
) -> Result<Subscription, DbError> {
    match subscriptions::advance(tx, subscription, now).await? {
        Advanced::GoesOn(subscription) => Ok(subscription),
        Advanced::Over(changed) => reviewed(tx, changed, now).await,
    }
}

/// A subscription with its terms and its current period.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The subscription.
    pub subscription: Subscription,
    /// The agreed terms.
    pub agreed: Agreed,
    /// The terms that it changes to at the end of the cycle.
    pub next: Option<Agreed>,
    /// The current period, or the last one.
    pub period: BillingPeriod,
}

/// The tenant's subscription, in the scope of its administrator. [`SelfService::ensure`](super::SelfService::ensure) must have created it.
pub async fn standing(tx: &ScopedTx) -> Result<Standing, DbError> {
    let found = subscriptions::current(tx).await?;
    let subscription = found.ok_or_else(|| DbError::Corrupt("the tenant has no subscription".into()))?;
    let agreed = subscriptions::agreed(tx, subscription.version).await?;
    let next = match subscription.next {
        Some((version, _)) => Some(subscriptions::agreed(tx, version).await?),
        None => None,
    };
    let period = subscriptions::last_period(tx, subscription.id).await?;
    Ok(Standing { subscription, agreed, next, period })
}
