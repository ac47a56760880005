//! The tenant and its settings.

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

/// A tenant, as stored in its own store.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The id, globally unique.
    pub id: TenantId,
    /// The name in URLs.
    pub slug: String,
    /// The display name.
    pub name: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// How the tenant's data is isolated.
    pub isolation: Isolation,
    /// The time zone of the calendar.
    pub time_zone: TimeZone,
    /// The currency of the prices.
    pub currency: Currency,
    /// The plan.
    pub plan: PlanId,
    /// The limits of the plan.
    pub limits: Limits,
    /// The plan version that the limits and features come from.
    pub plan_version: PlanVersionId,
    /// The features of the plan, as `entitlements` reads them.
    pub plan_features: Vec<Value>,
    /// Keys of the features that are rolled out to the tenant.
    pub rollouts: Vec<String>,
    /// Why the tenant is read-only, if it is.
    pub restriction: Option<Restriction>,
    /// The language of its mail.
    pub locale: Locale,
    /// Logo and colours.
    pub branding: Branding,
    /// Where customers reach it.
    pub contact: Contact,
    /// Whether customers may register themselves.
    pub open_registration: bool,
    /// The rules for customers' bookings.
    pub booking_rules: BookingRules,
    /// Why the tenant is suspended, if it is.
    pub suspended_reason: Option<String>,
    /// When a deleted tenant is erased permanently.
    pub erase_after: Option<Timestamp>,
    /// When the tenant was created.
    pub created_at: Timestamp,
    /// When any of this last changed.
    pub updated_at: Timestamp,
}

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStatus {
    /// Not served yet: the first administrator is missing.
    Creating,
    /// Served.
    Active,
    /// Suspended: no user of the tenant may do anything.
    Suspended,
    /// Its data is being moved: reads continue, writes wait.
    Moving,
    /// Deleted.
    Deleted,
}

impl TenantStatus {
    /// The value in the database and the API.
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
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a tenant state")))
    }
}

/// A plan's maximum for each meter.
#[derive(Clone, Debug)]
pub struct Limits(pub(super) Value);

impl Limits {
    /// The maximum for this meter; `None` when there is no limit.
    pub fn of(&self, meter: &str) -> Option<i64> {
        self.0.get(meter)?.as_i64()
    }

    /// The meters that have a limit.
    pub fn meters(&self) -> impl Iterator<Item = &String> {
        self.0.as_object().into_iter().flat_map(|it| it.keys())
    }
}

/// A tenant to create.
pub struct NewTenant {
    /// Its id.
    pub id: TenantId,
    /// Where its store is.
    pub placement: Placement,
    /// The name in URLs.
    pub slug: String,
    /// The display name.
    pub name: String,
    /// The time zone of the calendar, an IANA name.
    pub time_zone: String,
    /// The currency of the prices.
    pub currency: Currency,
    /// The plan it subscribes to.
    pub offer: Offer,
}

/// The offered version of a plan, as a tenant's store copies it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The plan's id in the directory.
    pub plan: PlanId,
    /// The plan's key for programs.
    pub key: String,
    /// The id of the version.
    pub version: PlanVersionId,
    /// The terms of the version, which `billing` interprets.
    pub terms: Value,
}

impl Offer {
    /// The maximum for each meter.
    pub fn limits(&self) -> &Value {
        &self.terms["limits"]
    }

    /// The features that the plan includes.
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
    /// The language of a BCP 47 tag; `None` when mail is not written in it.
    pub fn of_tag(tag: &str) -> Option<Self> {
        tag.split('-').next().unwrap_or_default().parse().ok()
    }

    /// The BCP 47 tag by which dates are written where no other is chosen.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en-GB",
            Self::De => "de",
            Self::Nl => "nl",
        }
    }

    /// The ISO 639-1 code, as stored in the database.
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
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a locale")))
    }
}

/// A tenant's logo and colours, in its pages and mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branding {
    /// URL of an image, over HTTPS.
    pub logo_url: Option<String>,
    /// A colour as `#rrggbb`.
    pub primary_color: Option<String>,
    /// A colour as `#rrggbb`.
    pub accent_color: Option<String>,
}

/// Where customers reach a tenant. Its mail shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// An email address: replies to its mail go there.
    pub email: Option<String>,
    /// A phone number.
    pub phone: Option<String>,
    /// A postal address, in lines.
    pub address: Option<String>,
}

/// Rules for bookings by customers. They do not bind staff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookingRules {
    /// Minimum time between booking and start, in minutes.
    pub min_notice_minutes: i32,
    /// Maximum time between booking and start, in days.
    pub max_ahead_days: i32,
    /// Minimum time between cancellation and start, in minutes.
    pub cancel_notice_minutes: i32,
    /// How many minutes before the start the customer gets a reminder; 0 sends none.
    pub reminder_minutes: i32,
    /// How often a customer can move a booking; `None` for no limit.
    pub max_moves: Option<i32>,
}

impl Default for BookingRules {
    fn default() -> Self {
        Self {
            min_notice_minutes: 0,
            max_ahead_days: MAX_AHEAD_DAYS,
            cancel_notice_minutes: 0,
            reminder_minutes: 1_440,
            max_moves: None,
        }
    }
}

/// Upper bound of `max_ahead_days`: two years.
pub const MAX_AHEAD_DAYS: i32 = 732;
