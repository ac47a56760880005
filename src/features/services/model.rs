//! Services and their booking rules.

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

/// A service that can be booked.
#[derive(Clone, Debug)]
pub struct Service {
    /// The id, unique within the tenant.
    pub id: ServiceId,
    /// The name, unique within the tenant.
    pub name: String,
    /// A description for customers.
    pub description: Option<String>,
    /// The duration of a booking, in minutes.
    pub duration_minutes: i32,
    /// The price of one booking.
    pub price: Money,
    /// How many bookings can take place at the same time.
    pub capacity: i32,
    /// Whether bookings await confirmation by staff.
    pub requires_confirmation: bool,
    /// Whether it can be booked.
    pub active: bool,
    /// The booking rules besides the duration.
    pub rules: Rules,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The booking rules of a service besides its duration. `None` uses the tenant's rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Customers' bookings start this many minutes after opening, or a multiple of it; `None` allows any time.
    pub slot_step_minutes: Option<i32>,
    /// How many minutes before its start a booking blocks its resources.
    pub buffer_before_minutes: i32,
    /// How many minutes after its end a booking blocks its resources.
    pub buffer_after_minutes: i32,
    /// Minimum time between booking and start for customers, in minutes.
    pub min_notice_minutes: Option<i32>,
    /// Maximum time between booking and start for customers, in days.
    pub max_ahead_days: Option<i32>,
    /// Minimum time between cancellation and start for customers, in minutes.
    pub cancel_notice_minutes: Option<i32>,
    /// Minimum time between a move and the start for customers, in minutes; `None` uses that for cancelling.
    pub reschedule_notice_minutes: Option<i32>,
}

/// The rules of a service, with the tenant's as defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveRules {
    /// Minimum time between booking and start for customers, in minutes.
    pub min_notice_minutes: i32,
    /// Maximum time between booking and start for customers, in days.
    pub max_ahead_days: i32,
    /// Minimum time between cancellation and start for customers, in minutes.
    pub cancel_notice_minutes: i32,
    /// Minimum time between a move and the start for customers, in minutes.
    pub reschedule_notice_minutes: i32,
}

impl Rules {
    /// Fills in the tenant's rules where the service has none.
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
    /// The resource.
    pub resource: ResourceId,
    /// Its kind.
    pub kind: ResourceKind,
    /// The priority; higher ones are chosen first.
    pub priority: i16,
    /// Whether it can be booked.
    pub active: bool,
}

/// The columns that [`Service::read_at`] reads, for a statement on `services`.
macro_rules! service_columns {
    () => {
        "id, name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation, active, created_at,
            buffer_before_minutes, buffer_after_minutes, min_notice_minutes, max_ahead_days, cancel_notice_minutes,
            reschedule_notice_minutes, slot_step_minutes"
    };
}
pub(crate) use service_columns;

impl Service {
    /// Reads a row that starts with `service_columns!`.
    pub(super) fn read(row: &Row) -> Result<Self, DbError> {
        Self::read_at(row, 0)
    }

    /// Like `read`, starting at this column: for statements that join services.
    ///
    /// # Errors
    /// When a column does not hold the expected type or value.
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

/// The values of a new or changed service.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The name, unique within the tenant.
    pub name: String,
    /// A description for customers.
    pub description: Option<String>,
    /// The duration of a booking, in minutes.
    pub duration_minutes: i32,
    /// The price of one booking.
    pub price: Money,
    /// How many bookings can take place at the same time.
    pub capacity: i32,
    /// Whether bookings await confirmation by staff.
    pub requires_confirmation: bool,
    /// Whether it can be booked.
    pub active: bool,
    /// The booking rules besides the duration.
    pub rules: Rules,
}

/// A change of a service. A `None` field stays.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// See [`Draft`].
    pub name: Option<String>,
    /// `Some(None)` removes the description.
    pub description: Option<Option<String>>,
    /// See [`Draft`]. Existing bookings keep theirs.
    pub duration_minutes: Option<i32>,
    /// See [`Draft`]. Existing bookings keep theirs.
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

/// A change of a service's rules. A `None` field stays; `Some(None)` uses the tenant's rule.
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

/// Which services a list contains. An empty filter selects all that the caller may book or manage.
#[derive(Clone, Debug, Default)]
pub struct ServiceFilter {
    /// Only active services, or only inactive ones. Customers always get active ones.
    pub active: Option<bool>,
    /// Only services whose name contains this text, ignoring case.
    pub search: Option<String>,
}

/// Why an operation on a service failed.
#[derive(Debug)]
pub enum ServiceError {
    /// The caller's role does not allow it.
    Forbidden,
    /// There is no such service.
    NotFound,
    /// Another service has the name.
    NameTaken,
    /// A field is out of range: the field and the message.
    Invalid(&'static str, String),
    /// The plan's limit on services is reached.
    QuotaExceeded,
    /// Upcoming bookings use seats beyond the new capacity.
    SeatsInUse,
    /// There is no such resource: its position in the list.
    ResourceNotFound(usize),
    /// The service cannot switch between seats and resources while it has upcoming bookings.
    ResourcesInUse,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for ServiceError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// The result of deleting a service.
pub enum Deleted {
    /// It was deleted.
    Gone(ServiceId),
    /// It has bookings, so it was deactivated and can no longer be booked.
    Deactivated(Service),
}
