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

/// What becomes of schedules that start after a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// They stay: the new one applies until the next one starts.
    Keep,
    /// They are removed.
    Replace,
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

/// Which events of a calendar file close their days. An empty filter selects all. Texts are compared in any case.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only events with one of these categories.
    pub categories: Vec<String>,
    /// Only events with none of these categories.
    pub without_categories: Vec<String>,
    /// Only events whose summary contains one of these texts.
    pub summaries: Vec<String>,
    /// Only events whose summary contains none of these texts.
    pub without_summaries: Vec<String>,
    /// Only events that occupy their time, as busy.
    pub without_transparent: bool,
}

impl EventFilter {
    pub(super) fn fits(&self, summary: &str, categories: &[String], is_transparent: bool) -> bool {
        let summary = summary.to_lowercase();
        let is_of = |one: &String| categories.iter().any(|it| it.to_lowercase() == one.to_lowercase());
        let is_in = |text: &String| summary.contains(&text.to_lowercase());
        (self.categories.is_empty() || self.categories.iter().any(is_of))
            && !self.without_categories.iter().any(is_of)
            && (self.summaries.is_empty() || self.summaries.iter().any(is_in))
            && !self.without_summaries.iter().any(is_in)
            && !(self.without_transparent && is_transparent)
    }
}

/// An event of a calendar file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The number of its first line in the file, from 1.
    pub line: usize,
    /// Its summary, as far as it can be read.
    pub summary: String,
    /// Why it could not be read.
    pub reason: String,
}

/// A calendar file to import.
#[derive(Clone, Debug)]
pub struct HolidayFile {
    /// What it closes.
    pub owner: Owner,
    /// The text.
    pub text: String,
    /// The name of the source that it replaces.
    pub source: String,
    /// The first day; `None` for today.
    pub from: Option<Date>,
    /// The end (exclusive); `None` for as far as one import reaches.
    pub to: Option<Date>,
    /// Which of its events count.
    pub filter: EventFilter,
    /// Whether only to say what it would close.
    pub is_dry: bool,
}

/// What a calendar file closes.
#[derive(Clone, Debug)]
pub struct Imported {
    /// All exceptions of that time, after the import.
    pub overrides: Vec<Override>,
    /// The days that the file closes, with their names.
    pub closes: Vec<(Date, Option<String>)>,
    /// The first events that could not be read.
    pub skipped: Vec<Skipped>,
    /// How many could not be read.
    pub skipped_count: usize,
    /// How many events close nothing.
    pub ignored_count: usize,
}

/// The days that came from one source.
#[derive(Clone, Debug)]
pub struct HolidaySource {
    /// Its name.
    pub name: String,
    /// How many days it closes.
    pub days: i64,
    /// The first of them.
    pub first: Date,
    /// The last of them.
    pub last: Date,
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
    /// There is no such source of holidays.
    SourceNotFound,
    /// These schedules start later, and the caller did not say what becomes of them.
    LaterSchedules(Vec<Schedule>),
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
