//! Spans, schedules and exceptions.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use uuid::Uuid;

use crate::{
    base::ids::{ResourceId, ServiceId},
    db::DbError,
};

/// Minutes of a day on the wall clock.
pub const DAY: i16 = 1_440;

/// Whose hours they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Everything of the tenant.
    Tenant,
    /// One service, within the tenant's hours.
    Service(ServiceId),
    /// One resource.
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

/// A part of a day on the wall clock: minutes from midnight, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first minute.
    pub opens: i16,
    /// The first minute after it, at most 1,440.
    pub closes: i16,
}

/// The hours of a week, from a day on.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Within the tenant.
    pub id: Uuid,
    /// Whose.
    pub owner: Owner,
    /// The first day on which it counts.
    pub valid_from: Date,
    /// By whose clock.
    pub zone: TimeZone,
    /// ISO weekday (1 is Monday) and span; `None` is always open.
    pub hours: Option<Vec<(i8, Span)>>,
}

/// The hours of one day.
#[derive(Clone, Debug)]
pub struct Override {
    /// Within the tenant.
    pub id: Uuid,
    /// Whose.
    pub owner: Owner,
    /// Which day.
    pub day: Date,
    /// Empty is closed.
    pub hours: Vec<Span>,
    /// Such as that of a holiday.
    pub name: Option<String>,
    /// Whether it came from a calendar file, and not by hand.
    pub imported: bool,
}

/// Why hours could not be set.
#[derive(Debug)]
pub enum HoursError {
    /// The role does not allow it.
    Forbidden,
    /// There is no such service.
    ServiceNotFound,
    /// There is no such resource.
    ResourceNotFound,
    /// There is no such day to take back.
    NotFound,
    /// A field is out of its bounds: which, and what it may be.
    Invalid(&'static str, String),
    /// Others have their files read.
    Busy,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for HoursError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// Half-open intervals of instants, in order.
pub type Open = Vec<(Timestamp, Timestamp)>;
