//! What can be booked, and under which rules.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    base::{
        ids::{ResourceId, ServiceId},
        money::Money,
    },
    db::{DbError, Row},
    features::{resources::ResourceKind, tenants::BookingRules},
};

/// Something that can be booked.
#[derive(Clone, Debug)]
pub struct Service {
    /// Within the tenant.
    pub id: ServiceId,
    /// Unique within the tenant.
    pub name: String,
    /// For customers.
    pub description: Option<String>,
    /// How long a booking takes.
    pub duration_minutes: i32,
    /// Of one booking.
    pub price: Money,
    /// How many bookings may stand at the same time.
    pub capacity: i32,
    /// Whether a booking waits until staff confirm it.
    pub requires_confirmation: bool,
    /// Whether it can be booked.
    pub active: bool,
    /// What it asks for beside its duration.
    pub rules: Rules,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a service asks for beside its duration. `None` takes the tenant's rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Customers book at so many minutes after opening, or a multiple; `None`: at any time.
    pub slot_step_minutes: Option<i32>,
    /// Minutes before its start for which a booking holds its resources.
    pub buffer_before_minutes: i32,
    /// Minutes after its end for which a booking holds its resources.
    pub buffer_after_minutes: i32,
    /// Minutes before its start until which a customer can book.
    pub min_notice_minutes: Option<i32>,
    /// Days ahead that a customer can book.
    pub max_ahead_days: Option<i32>,
    /// Minutes before its start until which a customer can cancel.
    pub cancel_notice_minutes: Option<i32>,
    /// Minutes before its start until which a customer can move it; `None`: as for cancelling.
    pub reschedule_notice_minutes: Option<i32>,
}

/// The rules of a service over those of its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveRules {
    /// Minutes before its start until which a customer can book.
    pub min_notice_minutes: i32,
    /// Days ahead that a customer can book.
    pub max_ahead_days: i32,
    /// Minutes before its start until which a customer can cancel.
    pub cancel_notice_minutes: i32,
    /// Minutes before its start until which a customer can move it.
    pub reschedule_notice_minutes: i32,
}

impl Rules {
    /// With the tenant's where the service has none.
    pub fn over(&self, tenant: &BookingRules) -> EffectiveRules {
        let cancel_notice_minutes = self.cancel_notice_minutes.unwrap_or(tenant.cancel_notice_minutes);
        EffectiveRules {
            min_notice_minutes: self.min_notice_minutes.unwrap_or(tenant.min_notice_minutes),
            max_ahead_days: self.max_ahead_days.unwrap_or(tenant.max_ahead_days),
            cancel_notice_minutes,
            reschedule_notice_minutes: self.reschedule_notice_minutes.unwrap_or(cancel_notice_minutes),
        }
    }
}

/// A resource that can serve a service.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Which.
    pub resource: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// Taken first where it is higher.
    pub priority: i16,
    /// Whether it can be booked.
    pub active: bool,
}

/// What [`Service::read_at`] reads, of a statement on `services`.
macro_rules! service_columns {
    () => {
        "id, name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation, active, created_at,
            buffer_before_minutes, buffer_after_minutes, min_notice_minutes, max_ahead_days, cancel_notice_minutes,
            reschedule_notice_minutes, slot_step_minutes"
    };
}
pub(crate) use service_columns;

impl Service {
    /// From a row that holds `service_columns!` and nothing before them.
    pub(super) fn read(row: &Row) -> Result<Self, DbError> {
        Self::read_at(row, 0)
    }

    /// The same, from this column on: for statements that join services.
    ///
    /// # Errors
    /// When a column does not hold what it should.
    pub fn read_at(row: &Row, first: usize) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get(first),
            name: row.get(first + 1),
            description: row.get(first + 2),
            duration_minutes: row.get(first + 3),
            price: Money { minor: row.get(first + 4), currency: row.try_get(first + 5)? },
            capacity: row.get(first + 6),
            requires_confirmation: row.get(first + 7),
            active: row.get(first + 8),
            created_at: row.get(first + 9),
            rules: Rules {
                buffer_before_minutes: row.get(first + 10),
                buffer_after_minutes: row.get(first + 11),
                min_notice_minutes: row.get(first + 12),
                max_ahead_days: row.get(first + 13),
                cancel_notice_minutes: row.get(first + 14),
                reschedule_notice_minutes: row.get(first + 15),
                slot_step_minutes: row.get(first + 16),
            },
        })
    }
}

/// What a service is to be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Unique within the tenant.
    pub name: String,
    /// For customers.
    pub description: Option<String>,
    /// How long a booking takes.
    pub duration_minutes: i32,
    /// Of one booking.
    pub price: Money,
    /// How many bookings may stand at the same time.
    pub capacity: i32,
    /// Whether a booking waits until staff confirm it.
    pub requires_confirmation: bool,
    /// Whether it can be booked.
    pub active: bool,
    /// What it asks for beside its duration.
    pub rules: Rules,
}

/// What to change of a service. `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// See [`Draft`].
    pub name: Option<String>,
    /// `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// See [`Draft`]. Bookings that stand keep theirs.
    pub duration_minutes: Option<i32>,
    /// See [`Draft`]. Bookings that stand keep theirs.
    pub price: Option<Money>,
    /// See [`Draft`].
    pub capacity: Option<i32>,
    /// See [`Draft`].
    pub requires_confirmation: Option<bool>,
    /// See [`Draft`].
    pub active: Option<bool>,
    /// See [`Draft`].
    pub rules: RulesPatch,
}

/// What to change of a service's rules. `None` leaves it as it is, `Some(None)` takes the tenant's rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct RulesPatch {
    /// See [`Rules`].
    pub slot_step_minutes: Option<Option<i32>>,
    /// See [`Rules`].
    pub buffer_before_minutes: Option<i32>,
    /// See [`Rules`].
    pub buffer_after_minutes: Option<i32>,
    /// See [`Rules`].
    pub min_notice_minutes: Option<Option<i32>>,
    /// See [`Rules`].
    pub max_ahead_days: Option<Option<i32>>,
    /// See [`Rules`].
    pub cancel_notice_minutes: Option<Option<i32>>,
    /// See [`Rules`].
    pub reschedule_notice_minutes: Option<Option<i32>>,
}

impl RulesPatch {
    pub(super) fn of(self, before: Rules) -> Rules {
        Rules {
            slot_step_minutes: self.slot_step_minutes.unwrap_or(before.slot_step_minutes),
            buffer_before_minutes: self.buffer_before_minutes.unwrap_or(before.buffer_before_minutes),
            buffer_after_minutes: self.buffer_after_minutes.unwrap_or(before.buffer_after_minutes),
            min_notice_minutes: self.min_notice_minutes.unwrap_or(before.min_notice_minutes),
            max_ahead_days: self.max_ahead_days.unwrap_or(before.max_ahead_days),
            cancel_notice_minutes: self.cancel_notice_minutes.unwrap_or(before.cancel_notice_minutes),
            reschedule_notice_minutes: self.reschedule_notice_minutes.unwrap_or(before.reschedule_notice_minutes),
        }
    }
}

/// Sort key of the list of services: name, then id.
pub type ServiceKey = (String, Uuid);

/// Which services a list holds. An empty filter holds all that the caller may book or manage.
#[derive(Clone, Debug, Default)]
pub struct ServiceFilter {
    /// Only active ones, or only inactive ones. Customers are shown active ones whatever they ask for.
    pub active: Option<bool>,
    /// Only those whose name contains this, whatever the case.
    pub search: Option<String>,
}

/// Why something could not be done with a service.
#[derive(Debug)]
pub enum ServiceError {
    /// The role does not allow it.
    Forbidden,
    /// There is no such service.
    NotFound,
    /// Another service has the name.
    NameTaken,
    /// A field is out of its bounds: which, and what it may be.
    Invalid(&'static str, String),
    /// The plan allows no more.
    QuotaExceeded,
    /// Bookings to come hold seats that would not be there any more.
    SeatsInUse,
    /// There is no such resource: which of those given.
    ResourceNotFound(usize),
    /// Bookings to come hold seats, or resources, of a service that is to go by the other.
    ResourcesInUse,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for ServiceError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// What became of a service that was to be deleted.
pub enum Deleted {
    /// It is gone.
    Gone(ServiceId),
    /// Bookings stand, so it was deactivated: nobody can book it any more.
    Deactivated(Service),
}
