//! A tenant and what of it is known.

use std::str::FromStr;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use crate::{
    base::{
        ids::{PlanId, PlanVersionId, TenantId},
        money::Currency,
    },
    db::{DbError, Isolation, Placement, Restriction},
};

/// A tenant, as its own store knows it.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Everywhere.
    pub id: TenantId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// How its data is kept apart.
    pub isolation: Isolation,
    /// The zone of its calendar.
    pub time_zone: TimeZone,
    /// The currency of its prices.
    pub currency: Currency,
    /// What it has subscribed to.
    pub plan: PlanId,
    /// The plan's limits.
    pub limits: Limits,
    /// The version of the plan, whose limits and features these are.
    pub plan_version: PlanVersionId,
    /// What the plan switches on, as `entitlements` reads it.
    pub plan_features: Vec<Value>,
    /// Keys of the features that are rolled out to it.
    pub rollouts: Vec<String>,
    /// Why its people may read and not write.
    pub restriction: Option<Restriction>,
    /// The language of its mail.
    pub locale: Locale,
    /// How it looks.
    pub branding: Branding,
    /// Whether customers may register themselves.
    pub open_registration: bool,
    /// What binds its customers.
    pub booking_rules: BookingRules,
    /// Why it is suspended, if it is.
    pub suspended_reason: Option<String>,
    /// When it is erased for good, if it was deleted.
    pub erase_after: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When anything of this was changed last.
    pub updated_at: Timestamp,
}

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStatus {
    /// Not yet: its first administrator is missing.
    Creating,
    /// Yes.
    Active,
    /// Nobody of it may do anything.
    Suspended,
    /// Its data is being moved: reads go on, writes wait.
    Moving,
    /// Gone.
    Deleted,
}

impl TenantStatus {
    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Moving => "MOVING",
            Self::Deleted => "DELETED",
        }
    }
}

impl std::str::FromStr for TenantStatus {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        [Self::Creating, Self::Active, Self::Suspended, Self::Moving, Self::Deleted]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is no tenant state")))
    }
}

/// What a plan allows at most of each meter.
#[derive(Clone, Debug)]
pub struct Limits(pub(super) Value);

impl Limits {
    /// The most of this meter; `None` where there is no limit.
    pub fn of(&self, meter: &str) -> Option<i64> {
        self.0.get(meter)?.as_i64()
    }

    /// The meters that have one.
    pub fn meters(&self) -> impl Iterator<Item = &String> {
        self.0.as_object().into_iter().flat_map(|it| it.keys())
    }
}

/// A tenant to be made.
pub struct NewTenant {
    /// Its id.
    pub id: TenantId,
    /// Where its store is.
    pub placement: Placement,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The zone of its calendar, an IANA name.
    pub time_zone: String,
    /// The currency of its prices.
    pub currency: Currency,
    /// What it subscribes to.
    pub offer: Offer,
}

/// A plan in the version that is on offer, as a tenant's store copies it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// In the directory.
    pub plan: PlanId,
    /// Its name for programs.
    pub key: String,
    /// Which version.
    pub version: PlanVersionId,
    /// What the version says: `billing` reads it.
    pub terms: Value,
}

impl Offer {
    /// Most of each meter.
    pub fn limits(&self) -> &Value {
        &self.terms["limits"]
    }

    /// What it switches on.
    pub fn features(&self) -> &Value {
        &self.terms["features"]
    }
}

/// The language of a tenant's mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// German.
    De,
    /// Dutch.
    Nl,
}

impl Locale {
    /// ISO 639-1, as the database spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Nl => "nl",
        }
    }
}

impl FromStr for Locale {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        [Self::En, Self::De, Self::Nl]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is no locale")))
    }
}

/// How a tenant looks, in its pages and mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branding {
    /// An image, over https.
    pub logo_url: Option<String>,
    /// As `#rrggbb`.
    pub primary_color: Option<String>,
    /// As `#rrggbb`.
    pub accent_color: Option<String>,
}

/// Rules for bookings of customers. Staff are not bound by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookingRules {
    /// How long before its start one can book at the latest.
    pub min_notice_minutes: i32,
    /// How many days ahead one can book at most.
    pub max_ahead_days: i32,
    /// How long before its start one can cancel at the latest.
    pub cancel_notice_minutes: i32,
    /// How long before its start its customer is reminded of it; 0: not at all.
    pub reminder_minutes: i32,
}

impl Default for BookingRules {
    fn default() -> Self {
        Self {
            min_notice_minutes: 0,
            max_ahead_days: MAX_AHEAD_DAYS,
            cancel_notice_minutes: 0,
            reminder_minutes: 1_440,
        }
    }
}

/// Most days ahead: two years.
pub const MAX_AHEAD_DAYS: i32 = 732;
