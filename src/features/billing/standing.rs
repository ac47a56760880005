//! Where a tenant stands: what it subscribes to, whether it is past due, and whether its people may write.

use jiff::{SignedDuration, Timestamp};

use super::{
    invoices::{self, LEAST_CHARGE},
    subscriptions::{self, Advanced, Agreed, BillingPeriod, NeedsReview, Status, Subscription},
};
use crate::{
    db::{DbError, Restriction, ScopedTx},
    features::tenants,
};

/// How long after the first failure the tenant's people can still write.
pub const GRACE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The one place that says whether a tenant is past due, and whether its people may write: from what is open now. Whatever
/// changes a subscription, an invoice or a payment asks it.
///
/// # Errors
/// When a statement fails.
pub async fn review(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    // What is too little to be charged binds nobody.
    let open = invoices::open(tx).await?.into_iter().filter(|it| it.owed_minor() >= LEAST_CHARGE);
    let overdue: Vec<Timestamp> = open.filter_map(|it| it.overdue_since).collect();
    subscriptions::set_past_due(tx, overdue.iter().min().copied(), now).await?;
    let is_paused = subscriptions::current(tx).await?.is_some_and(|it| match it.status {
        Status::Paused => true,
        // Over, and there was nothing that is for nothing to fall back to: its data can be read, and taken along.
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
///
/// # Errors
/// When a statement fails.
pub(super) async fn reviewed(tx: &ScopedTx, changed: NeedsReview, now: Timestamp) -> Result<Subscription, DbError> {
    review(tx, now).await?;
    Ok(changed.into_subscription())
}

/// Brings a subscription to the present, as [`subscriptions::advance`] does, and reviews its tenant where it is over.
///
/// # Errors
/// When a statement fails.
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

/// A subscription with what was agreed and the period that goes on.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The subscription.
    pub subscription: Subscription,
    /// What was agreed.
    pub agreed: Agreed,
    /// What it changes to.
    pub next: Option<Agreed>,
    /// The period that goes on, or the last one.
    pub period: BillingPeriod,
}

/// Where the tenant's subscription stands. In the scope of its administrator; [`SelfService::ensure`](super::SelfService::ensure) has made it.
///
/// # Errors
/// When a statement fails.
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
