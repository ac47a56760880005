//! The lifecycle of a subscription: start, change, pause and end.

use jiff::{SignedDuration, Timestamp};

use super::{
    model::{Advanced, Agreed, BillingPeriod, Mode, NeedsReview, Status, Subscription},
    queries,
};
use crate::{
    base::ids::{PlanVersionId, SubscriptionId, uuid_v7},
    core::outbox::{self, Effect},
    db::{DbError, ScopedTx},
    features::{
        billing::cycles::{Interval, cycle_at},
        tenants::{self, Tenant},
    },
};

/// Truncates to microseconds, the precision of the database.
pub fn in_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// The terms that the tenant has agreed to in this version.
///
/// # Errors
/// When the tenant has not agreed to this version.
pub async fn agreed(tx: &ScopedTx, version: PlanVersionId) -> Result<Agreed, DbError> {
    let found = queries::agreed(tx, version).await?;
    found.ok_or_else(|| DbError::Corrupt(format!("no terms of {version}")))
}

/// The current period, or the last one of a subscription that has ended.
///
/// # Errors
/// When there is none: every subscription starts with one.
pub async fn last_period(tx: &ScopedTx, id: SubscriptionId) -> Result<BillingPeriod, DbError> {
    let found = queries::last_period(tx, id).await?;
    found.ok_or_else(|| DbError::Corrupt(format!("{id} has no period")))
}

/// The period that would follow the last one, with its terms; `None` when nothing follows.
pub async fn following(
    tx: &ScopedTx,
    subscription: &Subscription,
    last: &BillingPeriod,
) -> Result<Option<(BillingPeriod, Agreed)>, DbError> {
    let at = last.ends_at;
    if !subscription.is_alive() || subscription.cancel_at.is_some_and(|it| it <= at) {
        return Ok(None);
    }
    let next = subscription.clone().at_boundary(at, at == last.cycle_end).0;
    Ok(Some((next.period_from(at), agreed(tx, next.version).await?)))
}

/// Records what was billed for a period.
pub async fn note_billed(
    tx: &ScopedTx,
    period: &BillingPeriod,
    flat_until: Option<Timestamp>,
    usage_at: Option<Timestamp>,
) -> Result<(), DbError> {
    queries::note_billed(tx, period.id, flat_until, usage_at).await
}

/// Starts a new subscription at this instant.
pub async fn begin(
    tx: &ScopedTx,
    tenant: &Tenant,
    version: &Agreed,
    interval: Interval,
    at: Timestamp,
    now: Timestamp,
) -> Result<NeedsReview, DbError> {
    queries::keep_terms(tx, version, now).await?;
    let at = in_micros(at);
    let subscription = new(tx, tenant, version, interval, at, now).await?;
    queries::insert(tx, &subscription, now).await?;
    queries::insert_period(tx, &subscription.period_from(at), None).await?;
    if tenant.plan_version != version.version_id {
        apply(tx, version, now).await?;
    }
    Ok(NeedsReview(subscription))
}

/// The subscription that would start at this instant.
pub async fn new(
    tx: &ScopedTx,
    tenant: &Tenant,
    version: &Agreed,
    interval: Interval,
    at: Timestamp,
    now: Timestamp,
) -> Result<Subscription, DbError> {
    let trial_ends_at = trial_of(tx, version, at).await?;
    Ok(Subscription {
        id: SubscriptionId::generate(now),
        version: version.version_id,
        // A plan that is not sold monthly is sold yearly.
        interval: if version.terms.is_offered(interval) { interval } else { Interval::Year },
        status: if trial_ends_at.is_some() { Status::Trialing } else { Status::Active },
        anchor: trial_ends_at.unwrap_or(at),
        zone: tenant.time_zone.clone(),
        trial_ends_at,
        next: None,
        cancel_at: None,
        past_due_since: None,
        ended_at: None,
    })
}

/// When a trial of these terms that starts now would end; `None` when there is none. A tenant gets one trial ever.
async fn trial_of(tx: &ScopedTx, version: &Agreed, at: Timestamp) -> Result<Option<Timestamp>, DbError> {
    if version.terms.trial_days == 0 || queries::had_trial(tx).await? {
        return Ok(None);
    }
    Ok(Some(at + SignedDuration::from_hours(24 * i64::from(version.terms.trial_days))))
}

/// Puts the limits and features of the agreed terms in force.
async fn apply(tx: &ScopedTx, version: &Agreed, now: Timestamp) -> Result<(), DbError> {
    tenants::set_plan(tx, &version.offer(), now).await?;
    // The directory's copy holds the API cost limit.
    outbox::enqueue(tx, &Effect::SyncTenant, now).await.map(drop)
}

impl Subscription {
    /// The period that starts at this instant, in the current state.
    pub fn period_from(&self, at: Timestamp) -> BillingPeriod {
        let cycle = cycle_at(self.anchor, &self.zone, self.interval, at);
        let trial_end = self.trial_ends_at.filter(|end| *end > at);
        let (mode, ends_at) = match trial_end {
            _ if self.status == Status::Paused => (Mode::Paused, cycle.end),
            Some(end) => (Mode::Trial, cycle.end.min(end)),
            None => (Mode::Billed, cycle.end),
        };
        BillingPeriod {
            id: uuid_v7(at),
            subscription: self.id,
            version: self.version,
            interval: self.interval,
            mode,
            starts_at: at,
            ends_at,
            cycle_start: cycle.start,
            cycle_end: cycle.end,
            flat_billed_until: None,
            usage_billed_at: None,
        }
    }

    /// The subscription after the end of a period, and whether its version or interval changed.
    fn at_boundary(mut self, at: Timestamp, ends_cycle: bool) -> (Self, bool) {
        let next = if ends_cycle { self.next.take() } else { None };
        if let Some((version, interval)) = next {
            if interval != self.interval {
                self.anchor = at;
            }
            (self.version, self.interval) = (version, interval);
        }
        if self.status == Status::Trialing && self.trial_ends_at.is_none_or(|it| it <= at) {
            self.status = if self.past_due_since.is_some() { Status::PastDue } else { Status::Active };
        }
        (self, next.is_some())
    }

    /// The subscription after the end of a cycle.
    pub fn after_cycle(self, at: Timestamp) -> Self {
        self.at_boundary(at, true).0
    }

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        self.status != Status::Cancelled
    }
}

/// Brings a subscription up to date: creates every period that has started, and applies changes and cancellations that
/// were scheduled for the end of a cycle. Repeating it changes nothing.
pub async fn advance(tx: &ScopedTx, mut subscription: Subscription, now: Timestamp) -> Result<Advanced, DbError> {
    if !subscription.is_alive() {
        return Ok(Advanced::GoesOn(subscription));
    }
    let mut last = last_period(tx, subscription.id).await?;
    while last.ends_at <= now {
        let at = last.ends_at;
        if subscription.cancel_at.is_some_and(|it| it <= at) {
            return end(tx, subscription, at, now).await.map(Advanced::Over);
        }
        let changed;
        (subscription, changed) = subscription.at_boundary(at, at == last.cycle_end);
        if changed {
            apply(tx, &agreed(tx, subscription.version).await?, now).await?;
        }
        let next = subscription.period_from(at);
        queries::insert_period(tx, &next, Some(at)).await?;
        last = next;
        if last.ends_at > now {
            queries::update(tx, &subscription, now).await?;
        }
    }
    Ok(Advanced::GoesOn(subscription))
}

/// Ends the subscription and puts the terms of `next` in force, which for a cancelled subscription are those of the
/// fallback plan.
async fn end(tx: &ScopedTx, subscription: Subscription, at: Timestamp, now: Timestamp) -> Result<NeedsReview, DbError> {
    if let Some((version, _)) = subscription.next {
        apply(tx, &agreed(tx, version).await?, now).await?;
    }
    let over = Subscription { status: Status::Cancelled, ended_at: Some(at), past_due_since: None, ..subscription };
    queries::update(tx, &over, now).await?;
    Ok(NeedsReview(over))
}

/// Ends the current period early, and returns the instant of the cut. Two changes never share an instant.
async fn cut(tx: &ScopedTx, subscription: &Subscription, at: Timestamp) -> Result<Timestamp, DbError> {
    let last = last_period(tx, subscription.id).await?;
    let earliest = last.starts_at + SignedDuration::from_micros(1);
    let at = in_micros(at).max(earliest);
    queries::end_period(tx, last.id, at).await?;
    Ok(at)
}

/// The subscription after a change at this instant. A trial continues under any plan; a pause ends. A change of
/// interval starts a new cycle, and so does the change from a free to a paid plan: the first paid subscription starts a
/// full billing period.
pub async fn changed(
    tx: &ScopedTx,
    mut subscription: Subscription,
    version: &Agreed,
    interval: Interval,
    at: Timestamp,
) -> Result<Subscription, DbError> {
    if subscription.status == Status::Paused {
        subscription.status = if subscription.past_due_since.is_some() { Status::PastDue } else { Status::Active };
    }
    let trial = if subscription.status == Status::Active { trial_of(tx, version, at).await? } else { None };
    let begins_to_pay = version.terms.costs() && !agreed(tx, subscription.version).await?.terms.costs();
    if let Some(end) = trial {
        (subscription.trial_ends_at, subscription.status, subscription.anchor) = (Some(end), Status::Trialing, end);
    } else if interval != subscription.interval || begins_to_pay {
        subscription.anchor = subscription.trial_ends_at.filter(|it| *it > at).unwrap_or(at);
    }
    (subscription.version, subscription.interval) = (version.version_id, interval);
    (subscription.next, subscription.cancel_at) = (None, None);
    Ok(subscription)
}

/// Changes version, interval or both, immediately.
pub async fn change_now(
    tx: &ScopedTx,
    subscription: Subscription,
    version: &Agreed,
    interval: Interval,
    at: Timestamp,
    now: Timestamp,
) -> Result<NeedsReview, DbError> {
    queries::keep_terms(tx, version, now).await?;
    let at = cut(tx, &subscription, at).await?;
    let subscription = changed(tx, subscription, version, interval, at).await?;
    queries::update(tx, &subscription, now).await?;
    queries::insert_period(tx, &subscription.period_from(at), Some(at)).await?;
    apply(tx, version, now).await?;
    Ok(NeedsReview(subscription))
}

/// Schedules a change of version, interval or both for the end of the cycle.
pub async fn change_at_end(
    tx: &ScopedTx,
    subscription: Subscription,
    version: &Agreed,
    interval: Interval,
    now: Timestamp,
) -> Result<Subscription, DbError> {
    queries::keep_terms(tx, version, now).await?;
    let is_same = version.version_id == subscription.version && interval == subscription.interval;
    let next = (!is_same).then_some((version.version_id, interval));
    let changed = Subscription { next, cancel_at: None, ..subscription };
    queries::update(tx, &changed, now).await?;
    Ok(changed)
}

/// Schedules the cancellation for the end of the cycle; the tenant then falls back to `fallback`.
pub async fn cancel_at_end(
    tx: &ScopedTx,
    subscription: Subscription,
    fallback: Option<&Agreed>,
    now: Timestamp,
) -> Result<Subscription, DbError> {
    if let Some(fallback) = fallback {
        queries::keep_terms(tx, fallback, now).await?;
    }
    let last = last_period(tx, subscription.id).await?;
    let next = fallback.map(|it| (it.version_id, Interval::Month));
    let changed = Subscription { next, cancel_at: Some(last.cycle_end), ..subscription };
    queries::update(tx, &changed, now).await?;
    Ok(changed)
}

/// Cancels immediately; the tenant falls back to `fallback`.
pub async fn cancel_now(
    tx: &ScopedTx,
    subscription: Subscription,
    fallback: Option<&Agreed>,
    now: Timestamp,
) -> Result<NeedsReview, DbError> {
    let mut subscription = cancel_at_end(tx, subscription, fallback, now).await?;
    let at = cut(tx, &subscription, now).await?;
    subscription.cancel_at = Some(at);
    end(tx, subscription, at, now).await
}

/// Pauses the subscription: nothing is charged, and the tenant is read-only.
pub async fn pause(tx: &ScopedTx, mut subscription: Subscription, now: Timestamp) -> Result<NeedsReview, DbError> {
    let at = cut(tx, &subscription, now).await?;
    subscription.status = Status::Paused;
    queries::update(tx, &subscription, now).await?;
    queries::insert_period(tx, &subscription.period_from(at), Some(at)).await?;
    Ok(NeedsReview(subscription))
}

/// Resumes charging from now on.
pub async fn resume(tx: &ScopedTx, mut subscription: Subscription, now: Timestamp) -> Result<NeedsReview, DbError> {
    let at = cut(tx, &subscription, now).await?;
    let is_trial = subscription.trial_ends_at.is_some_and(|it| it > at);
    subscription.status = match subscription.past_due_since {
        _ if is_trial => Status::Trialing,
        Some(_) => Status::PastDue,
        None => Status::Active,
    };
    queries::update(tx, &subscription, now).await?;
    queries::insert_period(tx, &subscription.period_from(at), Some(at)).await?;
    Ok(NeedsReview(subscription))
}

/// Records since when payment is overdue; `None` when it is not.
pub async fn set_past_due(tx: &ScopedTx, since: Option<Timestamp>, now: Timestamp) -> Result<(), DbError> {
    let Some(subscription) = queries::current(tx).await?.filter(Subscription::is_alive) else { return Ok(()) };
    let status = match (subscription.status, since) {
        (Status::Active, Some(_)) => Status::PastDue,
        (Status::PastDue, None) => Status::Active,
        (status, _) => status,
    };
    let changed = Subscription { status, past_due_since: since, ..subscription };
    queries::update(tx, &changed, now).await
}

/// Whether an immediate change between these terms is impossible because both cost something in different currencies:
/// an invoice has one currency.
pub fn is_other_currency(present: &Agreed, wanted: &Agreed) -> bool {
    present.terms.costs() && wanted.terms.costs() && present.terms.currency != wanted.terms.currency
}
