//! Spans, schedules and exceptions.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use uuid::Uuid;

use crate::{
    base::ids::{ResourceId, ServiceId},
    db::DbError,
};

/// The minutes in a day on the wall clock.
pub const DAY: i16 = 1_440;

/// The owner of hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The tenant: applies to everything.
    Tenant,
    /// A service, within the tenant's hours.
    Service(ServiceId),
    /// A resource.
    Resource(ResourceId),
}

impl Owner {
    pub(super) fn columns(self) -> (Option<ServiceId>, Option<ResourceId>) {
        match self {
            Self::Tenant => (None, None),
            Self::Service(id) => (Some(id), None),
            Self::Resource(id) => (None, Some(id)),
        }
    }
}

/// A part of a day on the wall clock, in minutes from midnight; half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The opening minute.
    pub opens: i16,
    /// The closing minute (exclusive), at most 1,440.
    pub closes: i16,
}

/// Weekly hours from a day on.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The id, unique within the tenant.
    pub id: Uuid,
    /// The owner.
    pub owner: Owner,
    /// The first day on which it applies.
    pub valid_from: Date,
    /// The time zone.
    pub zone: TimeZone,
    /// ISO weekdays (1 is Monday) and spans; `None` means always open.
    pub hours: Option<Vec<(i8, Span)>>,
}

/// The hours of one day, which override the weekly hours.
#[derive(Clone, Debug)]
pub struct Override {
    /// The id, unique within the tenant.
    pub id: Uuid,
    /// The owner.
    pub owner: Owner,
    /// The day.
    pub day: Date,
    /// The hours; empty means closed.
    pub hours: Vec<Span>,
    /// A name, such as that of a holiday.
    pub name: Option<String>,
    /// Whether it was imported from a calendar file.
    pub imported: bool,
}

/// Why an operation on hours failed.
#[derive(Debug)]
pub enum HoursError {
    /// The caller's role does not allow it.
    Forbidden,
    /// There is no such service.
    ServiceNotFound,
    /// There is no such resource.
    ResourceNotFound,
    /// The day has no exception to remove.
    NotFound,
    /// A field is out of range: the field and the message.
    Invalid(&'static str, String),
    /// Too many calendar files are being read.
    Busy,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for HoursError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Half-open intervals between instants, in order.
pub type Open = Vec<(Timestamp, Timestamp)>;
