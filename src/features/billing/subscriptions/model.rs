//! A subscription, its periods, and what was agreed.

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

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// For nothing, until its trial ends.
    Trialing,
    /// All is paid that should be.
    Active,
    /// Something is owed that should have been paid.
    PastDue,
    /// Nothing is charged, and nothing can be changed in the tenant.
    Paused,
    /// Over.
    Cancelled,
}

impl Status {
    const ALL: [Self; 5] = [Self::Trialing, Self::Active, Self::PastDue, Self::Paused, Self::Cancelled];

    /// As the database and the API spell it.
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
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is no status of a subscription")))
    }
}

/// What is charged in a period.
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
    /// As the database spells it.
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
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is no mode of a period")))
    }
}

/// A version of a plan that the tenant has taken, as its own store has it.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// Which version.
    pub version_id: PlanVersionId,
    /// Of which plan.
    pub plan: PlanId,
    /// Its name for programs.
    pub plan_key: String,
    /// Its name for people.
    pub plan_name: String,
    /// From 1.
    pub version: i32,
    /// What it says.
    pub terms: Terms,
}

impl Agreed {
    /// From the directory's version.
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

/// What a tenant has of a plan.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// In the tenant.
    pub id: SubscriptionId,
    /// Which version.
    pub version: PlanVersionId,
    /// By the month or by the year.
    pub interval: Interval,
    /// Where it stands.
    pub status: Status,
    /// Where cycles are counted from.
    pub anchor: Timestamp,
    /// In which zone.
    pub zone: TimeZone,
    /// When its trial ends, or has ended.
    pub trial_ends_at: Option<Timestamp>,
    /// What it changes to at the end of its cycle.
    pub next: Option<(PlanVersionId, Interval)>,
    /// When it ends.
    pub cancel_at: Option<Timestamp>,
    /// Since when something is owed that should have been paid.
    pub past_due_since: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A part of a subscription's time, `[starts_at, ends_at)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingPeriod {
    /// In the tenant.
    pub id: Uuid,
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// By which version it is charged.
    pub version: PlanVersionId,
    /// By which of its prices.
    pub interval: Interval,
    /// What is charged.
    pub mode: Mode,
    /// The first instant of it.
    pub starts_at: Timestamp,
    /// The first instant after it.
    pub ends_at: Timestamp,
    /// The first instant of the whole cycle that it is a part of.
    pub cycle_start: Timestamp,
    /// The first instant after that.
    pub cycle_end: Timestamp,
    /// Up to where its flat fee was billed.
    pub flat_billed_until: Option<Timestamp>,
    /// When its usage was billed.
    pub usage_billed_at: Option<Timestamp>,
}

/// A subscription that has just changed. Whether its tenant is past due, and whether the tenant's people may write, has to
/// be looked at again: `billing/standing.rs` alone takes the subscription out, and does.
#[derive(Debug)]
#[must_use = "whether the tenant is past due and may write has to be reviewed: see billing/standing.rs"]
pub struct NeedsReview(pub(super) Subscription);

impl NeedsReview {
    /// The subscription, for who reviews its tenant's standing.
    pub(in crate::features::billing) fn into_subscription(self) -> Subscription {
        self.0
    }
}

/// A subscription that was brought to the present.
#[derive(Debug)]
#[must_use = "one that is over has to be reviewed: see billing/standing.rs"]
pub enum Advanced {
    /// It goes on.
    GoesOn(Subscription),
    /// It has ended just now.
    Over(NeedsReview),
}
