//! Subscriptions, their periods, and agreed terms.

use jiff::{Timestamp, tz::TimeZone};
use uuid::Uuid;

use crate::{
    base::ids::{PlanId, PlanVersionId, SubscriptionId},
    db::DbError,
    features::{
        billing::{cycles::Interval, plans::PlanVersion, terms::Terms},
        tenants::Offer,
    },
};

/// The status of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Free until its trial ends.
    Trialing,
    /// No payment is overdue.
    Active,
    /// A payment is overdue.
    PastDue,
    /// Nothing is charged, and the tenant is read-only.
    Paused,
    /// Ended.
    Cancelled,
}

impl Status {
    const ALL: [Self; 5] = [Self::Trialing, Self::Active, Self::PastDue, Self::Paused, Self::Cancelled];

    /// The value in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trialing => "TRIALING",
            Self::Active => "ACTIVE",
            Self::PastDue => "PAST_DUE",
            Self::Paused => "PAUSED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl std::str::FromStr for Status {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a subscription status")))
    }
}

/// What is charged for a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Billed,
    /// Nothing: a trial.
    Trial,
    /// Nothing: paused.
    Paused,
}

impl Mode {
    /// The value in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Billed => "BILLED",
            Self::Trial => "TRIAL",
            Self::Paused => "PAUSED",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = [Self::Billed, Self::Trial, Self::Paused].into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a period mode")))
    }
}

/// A plan version that the tenant agreed to, as copied into its own store.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// The id of the version.
    pub version_id: PlanVersionId,
    /// The plan.
    pub plan: PlanId,
    /// The plan's key.
    pub plan_key: String,
    /// The plan's display name.
    pub plan_name: String,
    /// The version number, from 1.
    pub version: i32,
    /// The terms.
    pub terms: Terms,
}

impl Agreed {
    /// Copies a version from the directory.
    pub fn of(version: &PlanVersion) -> Self {
        Self {
            version_id: version.id,
            plan: version.plan.id,
            plan_key: version.plan.key.clone(),
            plan_name: version.plan.name.clone(),
            version: version.version,
            terms: version.terms.clone(),
        }
    }

    pub(super) fn offer(&self) -> Offer {
        // Unwrap safety: terms are texts, numbers and lists.
        let terms = serde_json::to_value(&self.terms).expect("terms can be written");
        Offer { plan: self.plan, key: self.plan_key.clone(), version: self.version_id, terms }
    }
}

/// A tenant's subscription to a plan.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The id, unique within the tenant.
    pub id: SubscriptionId,
    /// The plan version.
    pub version: PlanVersionId,
    /// Monthly or yearly.
    pub interval: Interval,
    /// The status.
    pub status: Status,
    /// The instant that cycles are counted from.
    pub anchor: Timestamp,
    /// The time zone of the cycles.
    pub zone: TimeZone,
    /// When the trial ends or ended; `None` without a trial.
    pub trial_ends_at: Option<Timestamp>,
    /// The scheduled version and interval for the end of the cycle, if any.
    pub next: Option<(PlanVersionId, Interval)>,
    /// When the subscription will end, if it is cancelled.
    pub cancel_at: Option<Timestamp>,
    /// Since when a payment is overdue.
    pub past_due_since: Option<Timestamp>,
    /// When the subscription ended.
    pub ended_at: Option<Timestamp>,
}

/// A part of a subscription's time, `[starts_at, ends_at)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingPeriod {
    /// The id, unique within the tenant.
    pub id: Uuid,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The version that it is charged by.
    pub version: PlanVersionId,
    /// The interval whose prices apply.
    pub interval: Interval,
    /// What is charged.
    pub mode: Mode,
    /// The start.
    pub starts_at: Timestamp,
    /// The end (exclusive).
    pub ends_at: Timestamp,
    /// The start of the cycle that contains it.
    pub cycle_start: Timestamp,
    /// The end of that cycle (exclusive).
    pub cycle_end: Timestamp,
    /// The instant up to which its flat fee was billed.
    pub flat_billed_until: Option<Timestamp>,
    /// When its usage was billed.
    pub usage_billed_at: Option<Timestamp>,
}

/// A subscription that has just changed. The tenant's standing must be reviewed again: only `billing/standing.rs` can
/// take the subscription out, and it does the review.
#[derive(Debug)]
#[must_use = "the tenant's standing must be reviewed: see billing/standing.rs"]
pub struct NeedsReview(pub(super) Subscription);

impl NeedsReview {
    /// The subscription, for the code that reviews the tenant's standing.
    pub(in crate::features::billing) fn into_subscription(self) -> Subscription {
        self.0
    }
}

/// A subscription that is up to date.
#[derive(Debug)]
#[must_use = "an ended subscription must be reviewed: see billing/standing.rs"]
pub enum Advanced {
    /// It continues.
    GoesOn(Subscription),
    /// It has just ended.
    Over(NeedsReview),
}
