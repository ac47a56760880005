//! What a tenant uses, as its administrator sees it and as the tenant's own systems tell of it.

use jiff::{SignedDuration, ToSpan, civil::Date};

use super::{
    BillingError,
    subscriptions::{self, Subscription},
};
use crate::{
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
    },
    db::{DbError, ScopedTx},
    features::{
        resources, services, tenants,
        usage::{self, Period, Recorded},
        users,
    },
};
use jiff::Timestamp;

/// Most events of one `recordUsage`.
pub(super) const MAX_EVENTS: usize = 500;
/// How old an event of usage may be.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How far ahead of our clock the sender's may be.
const MAX_AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// Most days of one series.
const MAX_DAYS: i32 = 400;

/// How much of a meter was used in a period.
#[derive(Clone, Debug)]
pub struct UsageLine {
    /// Its name.
    pub meter: String,
    /// So much.
    pub used: i64,
    /// Of at most so much.
    pub limit: Option<i64>,
    /// Counted over this; what can be counted at any time is counted now.
    pub period: Period,
}

/// Every meter that the plan limits or prices, in the present calendar month.
///
/// # Errors
/// When a statement fails.
pub async fn usage_lines(tx: &ScopedTx, now: Timestamp) -> Result<Vec<UsageLine>, DbError> {
    let tenant = tenants::current(tx).await?;
    let period = Period::month_of(now, &tenant.time_zone);
    let (used, services, resources, users) = futures_util::join!(
        usage::used_of_all(tx, period),
        services::count_active(tx),
        resources::count_active(tx),
        users::count_active(tx)
    );
    let used = used?;
    let line = |meter: &str, used| UsageLine { meter: meter.to_owned(), used, limit: tenant.limits.of(meter), period };
    let counted = |meter: &str| used.get(meter).copied().unwrap_or(0);
    let mut lines = vec![
        line(usage::BOOKINGS, counted(usage::BOOKINGS)),
        line("resources", resources?),
        line("services", services?),
        line(usage::USERS, users?),
    ];
    let known = ["resources", "services", usage::USERS, usage::BOOKINGS, usage::API_COST];
    let others = used
        .keys()
        .chain(tenant.limits.meters())
        .filter(|it| !known.contains(&it.as_str()) && *it != "invitation_mails");
    let others: std::collections::BTreeSet<&String> = others.collect();
    lines.extend(others.into_iter().map(|it| line(it, counted(it))));
    Ok(lines)
}

/// How much of a meter was used on each day from one to another.
///
/// # Errors
/// `Invalid` for days in the wrong order, or too many.
pub async fn usage_series(tx: &ScopedTx, meter: &str, from: Date, to: Date) -> Result<Vec<usage::Day>, BillingError> {
    let most = from.checked_add(MAX_DAYS.days()).unwrap_or(Date::MAX);
    if from > to || to > most {
        return Err(BillingError::Invalid("to", "It must not be before `from`, nor 400 days after it."));
    }
    Ok(usage::days(tx, meter, from, to).await?)
}

/// What became of an event of usage, or why it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It is there and counted.
    Accepted,
    /// It was there already.
    Duplicate,
    /// It was refused.
    Rejected(Rejection),
}

/// Why an event of usage was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Another one of the same source and id is there, with other content.
    Differs,
    /// Its quota has no room for it.
    QuotaExceeded,
    /// Neither a price nor a limit nor a feature of the plan speaks of the meter.
    UnknownMeter,
    /// Tenantry meters it itself.
    OwnMeter,
    /// The quantity is not from 1 to a million million.
    InvalidQuantity,
    /// Source or id is empty or too long.
    InvalidId,
    /// It is older than 90 days.
    TooOld,
    /// It is of the future.
    InTheFuture,
}

/// Records usage that the tenant's own systems tell of, each event once. Returns what became of each, in their order.
///
/// # Errors
/// `Forbidden`, `Invalid` for too many at once.
pub async fn record_usage(caller: &Caller<'_>, events: &[usage::Event]) -> Result<Vec<RecordOutcome>, BillingError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    if !caller.is_at_least(Role::Admin) {
        return Err(BillingError::Forbidden);
    }
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(BillingError::Invalid("events", "There are 1 to 500 events at once."));
    }
    let tenant = tenants::current(tx).await?;
    // What was agreed in one that is over is billed no more: whoever tells of it hears so.
    let subscription = subscriptions::current(tx).await?.filter(Subscription::is_alive);
    let agreed = match &subscription {
        Some(subscription) => Some(subscriptions::agreed(tx, subscription.version).await?),
        None => None,
    };
    let knows = |meter: &str| {
        agreed.as_ref().is_some_and(|it| it.terms.knows_meter(meter)) || tenant.limits.of(meter).is_some()
    };
    let refused = |it: &usage::Event| {
        let fits = |text: &str, most: usize| !text.is_empty() && text.chars().count() <= most && !text.contains('\0');
        if !fits(&it.source, 100) || !fits(&it.event_id, 200) {
            Some(Rejection::InvalidId)
        } else if usage::is_own(it) {
            Some(Rejection::OwnMeter)
        } else if !(1..=1_000_000_000_000).contains(&it.quantity) {
            Some(Rejection::InvalidQuantity)
        } else if it.occurred_at > now + MAX_AHEAD {
            Some(Rejection::InTheFuture)
        } else if it.occurred_at < now - MAX_AGE {
            Some(Rejection::TooOld)
        } else if !knows(&it.meter) {
            Some(Rejection::UnknownMeter)
        } else {
            None
        }
    };
    let refusals: Vec<Option<Rejection>> = events.iter().map(refused).collect();
    let good: Vec<usage::Event> =
        events.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none()).map(|(it, _)| it.clone()).collect();
    let recorded = if good.is_empty() { vec![] } else { usage::record(tx, &good, &tenant, now).await? };
    // One line for a batch: the events themselves are kept.
    let accepted = recorded.iter().filter(|it| **it == Recorded::Accepted).count();
    if accepted > 0 {
        let changes = Changes::default().field("accepted", serde_json::Value::Null, accepted);
        audit::record(caller, "usage.record", "usage", None, changes).await?;
    }
    let mut recorded = recorded.into_iter();
    Ok(refusals
        .into_iter()
        .map(|refusal| match (refusal, refusal.is_none().then(|| recorded.next()).flatten()) {
            (Some(refusal), _) => RecordOutcome::Rejected(refusal),
            (None, Some(Recorded::Duplicate)) => RecordOutcome::Duplicate,
            (None, Some(Recorded::Differs)) => RecordOutcome::Rejected(Rejection::Differs),
            (None, Some(Recorded::QuotaExceeded)) => RecordOutcome::Rejected(Rejection::QuotaExceeded),
            (None, Some(Recorded::Accepted) | None) => RecordOutcome::Accepted,
        })
        .collect())
}
