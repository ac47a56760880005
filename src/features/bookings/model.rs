//! Bookings, and what is asked of them.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use uuid::Uuid;

use super::status::BookingStatus;
use crate::{
    base::{
        ids::{BookingId, ResourceId, SeriesId, ServiceId, UserId},
        money::Money,
        paging::TimeKey,
    },
    db::{Change, DbError},
    features::{services::Service, users::User},
};

/// The time of a booking, and the time for which it holds its resources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The first instant of it.
    pub starts_at: Timestamp,
    /// The first instant after it.
    pub ends_at: Timestamp,
    /// The first instant for which resources are held.
    pub blocked_from: Timestamp,
    /// The first instant after that.
    pub blocked_to: Timestamp,
}

impl Slot {
    /// Of a service, from this instant on.
    pub(super) fn of(service: &Service, starts_at: Timestamp) -> Self {
        Self::lasting(service, starts_at, SignedDuration::from_mins(i64::from(service.duration_minutes)))
    }

    /// Of a service, from this instant on, for as long as was agreed: whatever the service takes by now.
    pub(super) fn lasting(service: &Service, starts_at: Timestamp, duration: SignedDuration) -> Self {
        let minutes = |minutes: i32| SignedDuration::from_mins(i64::from(minutes));
        let ends_at = starts_at + duration;
        Self {
            starts_at,
            ends_at,
            blocked_from: starts_at - minutes(service.rules.buffer_before_minutes),
            blocked_to: ends_at + minutes(service.rules.buffer_after_minutes),
        }
    }
}

/// Longest notes, in characters.
pub const MAX_NOTES: usize = 2_000;

/// Longest reason of a change, in characters.
pub const MAX_REASON: usize = 500;

/// How long a time is held: ten minutes.
pub const HOLD: SignedDuration = SignedDuration::from_mins(10);

/// How many times a customer can hold at once.
pub const MAX_HOLDS: i64 = 3;

/// How far ahead one can book: two years.
pub const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(2 * 366 * 24);

/// A booking of one seat of a service for one half-open interval.
#[derive(Clone, Debug)]
pub struct Booking {
    /// Within the tenant.
    pub id: BookingId,
    /// What is booked.
    pub service: ServiceId,
    /// For whom.
    pub customer: UserId,
    /// The first instant of it.
    pub starts_at: Timestamp,
    /// The first instant after it.
    pub ends_at: Timestamp,
    /// The zone in which it was made.
    pub time_zone: TimeZone,
    /// Where it stands.
    pub status: BookingStatus,
    /// As agreed when it was made.
    pub price: Money,
    /// Of whoever made it.
    pub notes: Option<String>,
    /// Counts its changes.
    pub version: i32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a hold lets its time go.
    pub held_until: Option<Timestamp>,
    /// Of which series it is a part.
    pub series: Option<SeriesId>,
}

/// One step in a booking's history.
#[derive(Clone, Debug)]
pub struct Transition {
    /// `None` for the first step.
    pub from: Option<BookingStatus>,
    /// Where it stood afterwards.
    pub to: BookingStatus,
    /// Who did it; `None` for background work.
    pub actor: Option<UserId>,
    /// Why, if it was said.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// From when to when it was moved, if it was.
    pub moved: Option<(Timestamp, Timestamp)>,
}

/// A booking that was changed lately.
#[derive(Clone, Copy, Debug)]
pub struct Changed {
    /// Which.
    pub id: BookingId,
    /// Of which service.
    pub service: ServiceId,
    /// For whom.
    pub customer: UserId,
    /// As it is now.
    pub version: i32,
}

/// A booking to be made.
#[derive(Clone, Debug)]
pub struct NewBooking {
    /// What.
    pub service: ServiceId,
    /// When. It ends after the service's duration.
    pub starts_at: Timestamp,
    /// For whom; `None` for the caller.
    pub customer: Option<UserId>,
    /// Which resource, among those that can serve it; `None` takes whichever is free.
    pub resource: Option<ResourceId>,
    /// For staff.
    pub notes: Option<String>,
}

/// Sort key of a list of bookings: an instant, then the id.
pub type BookingKey = TimeKey;

/// What a list of bookings is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BookingOrder {
    /// Earliest first.
    #[default]
    StartsAtAsc,
    /// Latest first.
    StartsAtDesc,
    /// Oldest first.
    CreatedAtAsc,
    /// Newest first.
    CreatedAtDesc,
}

/// Which bookings a list holds. An empty filter holds all that the caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BookingFilter {
    /// Only these statuses.
    pub statuses: Option<Vec<BookingStatus>>,
    /// Only of this service.
    pub service: Option<ServiceId>,
    /// Only of this customer.
    pub customer: Option<UserId>,
    /// Only those that hold this resource.
    pub resource: Option<ResourceId>,
    /// Only those that start at this instant or later.
    pub from: Option<Timestamp>,
    /// Only those that start before this instant.
    pub to: Option<Timestamp>,
}

/// Why something could not be done with a booking.
#[derive(Debug)]
pub enum BookingError {
    /// The role does not allow it.
    Forbidden,
    /// There is no such booking, or none that the caller may see.
    NotFound,
    /// There is no such service, or it cannot be booked.
    ServiceNotFound,
    /// There is no such customer, or he was deactivated.
    CustomerNotFound,
    /// The time has passed: nobody can book it.
    InThePast,
    /// The booking has not begun: it cannot be completed or missed yet.
    NotYet,
    /// The booking has begun: its customer cannot cancel it any more.
    HasBegun,
    /// More than [`MAX_AHEAD`].
    TooFar,
    /// The tenant wants customers to book so many minutes ahead.
    NoticeTooShort(i32),
    /// The tenant lets customers book so many days ahead.
    PastWindow(i32),
    /// The tenant wants customers to cancel so many minutes ahead.
    TooLateToCancel(i32),
    /// The tenant wants customers to move bookings so many minutes ahead.
    TooLateToMove(i32),
    /// A booking in this status cannot be moved.
    NotMovable(BookingStatus),
    /// There is no such resource, or none that can serve this.
    ResourceNotFound,
    /// The tenant, or the service, is not open for all of that time.
    OutsideHours,
    /// Customers book so many minutes after opening, or a multiple.
    OffGrid(i32),
    /// So many days of availability cannot be asked for at once.
    TooManyDays(i64),
    /// More free times than one answer has.
    TooManySlots(usize),
    /// Every seat is taken at that time.
    SlotTaken,
    /// The notes or the reason are too long: which.
    TooLong(&'static str, usize),
    /// The plan allows no more bookings this month.
    QuotaExceeded,
    /// The customer holds as many times as he may.
    TooManyHolds,
    /// It was held for too long, or is no hold any more.
    HoldOver,
    /// The booking changed since the caller read it.
    Stale,
    /// This status does not lead to that one.
    InvalidTransition(BookingStatus, BookingStatus),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for BookingError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// What the bookings of a list point at: what is booked and for whom, as far as the caller may see it.
#[derive(Debug)]
pub struct PreloadedRefs<S, C> {
    /// What is booked.
    pub services: HashMap<ServiceId, S>,
    /// For whom.
    pub customers: HashMap<UserId, C>,
}

impl<S, C> Default for PreloadedRefs<S, C> {
    fn default() -> Self {
        Self { services: HashMap::new(), customers: HashMap::new() }
    }
}

/// How much of that comes in the list's own statement. (PostgreSQL takes a quarter less for the names of twenty bookings than for
/// all columns.)
#[derive(Debug)]
pub enum Preloaded {
    /// Nothing.
    Nothing,
    /// Names.
    Names(PreloadedRefs<String, String>),
    /// All.
    Whole(PreloadedRefs<Service, User>),
}

impl Booking {
    /// What whoever watches is told.
    pub(super) fn change(&self) -> Change {
        Change::Booking { id: self.id.0, service: self.service.0, customer: self.customer.0 }
    }
}

impl BookingOrder {
    pub(super) fn key(self, booking: &Booking) -> BookingKey {
        match self {
            Self::StartsAtAsc | Self::StartsAtDesc => (booking.starts_at, booking.id.0),
            Self::CreatedAtAsc | Self::CreatedAtDesc => (booking.created_at, booking.id.0),
        }
    }
}

/// A class that stands at a time.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// Its occurrence.
    pub id: Uuid,
    /// The first instant of it.
    pub starts_at: Timestamp,
    /// The first instant after it.
    pub ends_at: Timestamp,
    /// How many more can come.
    pub seats_free: i32,
    /// Who and what it has.
    pub resources: Vec<ResourceId>,
}

/// What is held of something in a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldClaim {
    /// A resource, or a service.
    pub claimed: Uuid,
    /// Which seat.
    pub lane: i16,
    /// The first instant of it.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

/// What is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A resource.
    Resource(ResourceId),
    /// A seat of the booking's service.
    Seat(i16),
}
