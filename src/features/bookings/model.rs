//! Types of bookings.

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

/// The time of a booking, and the time for which it blocks its resources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The start of the booking.
    pub starts_at: Timestamp,
    /// The end of the booking (exclusive).
    pub ends_at: Timestamp,
    /// The start of the blocked time.
    pub blocked_from: Timestamp,
    /// The end of the blocked time (exclusive).
    pub blocked_to: Timestamp,
}

impl Slot {
    /// The slot of a service that starts at this instant.
    pub(super) fn of(service: &Service, starts_at: Timestamp) -> Self {
        Self::lasting(service, starts_at, SignedDuration::from_mins(i64::from(service.duration_minutes)))
    }

    /// The slot of a service that starts at this instant, with an agreed duration in place of the service's current
    /// one.
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

/// Maximum length of notes, in characters.
pub const MAX_NOTES: usize = 2_000;

/// Maximum length of the reason for a change, in characters.
pub const MAX_REASON: usize = 500;

/// How long a hold lasts: ten minutes.
pub const HOLD: SignedDuration = SignedDuration::from_mins(10);

/// How many holds a customer can have at once.
pub const MAX_HOLDS: i64 = 3;

/// How far ahead a booking can be: two years.
pub const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(2 * 366 * 24);

/// A booking of one seat of a service for one half-open interval.
#[derive(Clone, Debug)]
pub struct Booking {
    /// The id, unique within the tenant.
    pub id: BookingId,
    /// The booked service.
    pub service: ServiceId,
    /// The customer.
    pub customer: UserId,
    /// The start.
    pub starts_at: Timestamp,
    /// The end (exclusive).
    pub ends_at: Timestamp,
    /// The time zone of the booked resource, service or tenant when the booking was created or last moved.
    pub time_zone: TimeZone,
    /// The status.
    pub status: BookingStatus,
    /// The price agreed at creation.
    pub price: Money,
    /// Notes from the person who created it.
    pub notes: Option<String>,
    /// Increases with each change.
    pub version: i32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the hold expires, if it is one.
    pub held_until: Option<Timestamp>,
    /// The series that it belongs to, if any.
    pub series: Option<SeriesId>,
}

/// One change in a booking's history.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The previous status; `None` for the creation.
    pub from: Option<BookingStatus>,
    /// The new status.
    pub to: BookingStatus,
    /// The user who made the change; `None` for background work.
    pub actor: Option<UserId>,
    /// The reason, if one was given.
    pub reason: Option<String>,
    /// When the change was made.
    pub at: Timestamp,
    /// The old and new start, if the booking was moved.
    pub moved: Option<(Timestamp, Timestamp)>,
}

impl Transition {
    /// Whether this person moved the booking.
    pub(super) fn is_move_by(&self, person: UserId) -> bool {
        self.moved.is_some() && self.actor == Some(person)
    }
}

/// A recently changed booking.
#[derive(Clone, Copy, Debug)]
pub struct Changed {
    /// The booking.
    pub id: BookingId,
    /// Its service.
    pub service: ServiceId,
    /// Its customer.
    pub customer: UserId,
    /// Its current version.
    pub version: i32,
}

/// A booking to create.
#[derive(Clone, Debug)]
pub struct NewBooking {
    /// The service.
    pub service: ServiceId,
    /// The start. The booking ends after the service's duration.
    pub starts_at: Timestamp,
    /// The customer; `None` for the caller.
    pub customer: Option<UserId>,
    /// The wanted resource, among those that can serve the service; `None` selects any free one.
    pub resource: Option<ResourceId>,
    /// Notes for staff.
    pub notes: Option<String>,
}

/// Sort key of a list of bookings: an instant, then the id.
pub type BookingKey = TimeKey;

/// The order of a list of bookings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BookingOrder {
    /// By start, earliest first.
    #[default]
    StartsAtAsc,
    /// By start, latest first.
    StartsAtDesc,
    /// By creation, oldest first.
    CreatedAtAsc,
    /// By creation, newest first.
    CreatedAtDesc,
}

/// Which bookings a list contains. An empty filter selects all that the caller may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BookingFilter {
    /// Only bookings with these statuses.
    pub statuses: Option<Vec<BookingStatus>>,
    /// Only bookings of this service.
    pub service: Option<ServiceId>,
    /// Only bookings of this customer.
    pub customer: Option<UserId>,
    /// Only bookings that use this resource.
    pub resource: Option<ResourceId>,
    /// Only bookings that start at this instant or later.
    pub from: Option<Timestamp>,
    /// Only bookings that start before this instant.
    pub to: Option<Timestamp>,
}

/// Why an operation on a booking failed.
#[derive(Debug)]
pub enum BookingError {
    /// The caller's role does not allow it.
    Forbidden,
    /// There is no such booking, or none that the caller may see.
    NotFound,
    /// There is no such service, or it cannot be booked.
    ServiceNotFound,
    /// There is no such customer, or they are deactivated.
    CustomerNotFound,
    /// The start has passed.
    InThePast,
    /// The booking has not started: it cannot be completed or marked as a no-show yet.
    NotYet,
    /// The booking has started: its customer can no longer cancel it.
    HasBegun,
    /// The start is more than [`MAX_AHEAD`] away.
    TooFar,
    /// The tenant requires customers to book at least this many minutes ahead.
    NoticeTooShort(i32),
    /// The tenant allows customers to book at most this many days ahead.
    PastWindow(i32),
    /// The tenant requires customers to cancel at least this many minutes ahead.
    TooLateToCancel(i32),
    /// The tenant requires customers to move bookings at least this many minutes ahead.
    TooLateToMove(i32),
    /// The customer has moved the booking this many times, which is the maximum.
    MovedTooOften(i32),
    /// A booking in this status cannot be moved.
    NotMovable(BookingStatus),
    /// There is no such resource, or it cannot serve the service.
    ResourceNotFound,
    /// The tenant, or the service, is not open for the whole time.
    OutsideHours,
    /// Customers' bookings start this many minutes after opening, or a multiple of it.
    OffGrid(i32),
    /// Availability can be requested for at most this many days at once.
    TooManyDays(i64),
    /// There are more free times than one response contains: at most this many.
    TooManySlots(usize),
    /// The time is taken.
    SlotTaken,
    /// The notes or the reason are too long: the field and the maximum.
    TooLong(&'static str, usize),
    /// The plan's limit on bookings per month is reached.
    QuotaExceeded,
    /// The customer has the maximum number of holds.
    TooManyHolds,
    /// The hold has expired, or the booking is no longer a hold.
    HoldOver,
    /// The booking has changed since the caller read it.
    Stale,
    /// The booking cannot change from the first status to the second.
    InvalidTransition(BookingStatus, BookingStatus),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for BookingError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// The services and customers of the bookings in a list, as far as the caller may see them.
#[derive(Debug)]
pub struct PreloadedRefs<S, C> {
    /// The booked services.
    pub services: HashMap<ServiceId, S>,
    /// The customers.
    pub customers: HashMap<UserId, C>,
}

impl<S, C> Default for PreloadedRefs<S, C> {
    fn default() -> Self {
        Self { services: HashMap::new(), customers: HashMap::new() }
    }
}

/// How much of the related data the list's own statement loads. (For twenty bookings, PostgreSQL takes a quarter less
/// time for the names than for all columns.)
#[derive(Debug)]
pub enum Preloaded {
    /// Nothing.
    Nothing,
    /// The names.
    Names(PreloadedRefs<String, String>),
    /// All columns.
    Whole(PreloadedRefs<Service, User>),
}

impl Booking {
    /// The change that subscribers receive.
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

/// A class that exists at a time.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// The id of its occurrence.
    pub id: Uuid,
    /// The start.
    pub starts_at: Timestamp,
    /// The end (exclusive).
    pub ends_at: Timestamp,
    /// The number of free seats.
    pub seats_free: i32,
    /// The resources that it uses.
    pub resources: Vec<ResourceId>,
}

/// A claim on a resource or seat during a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldClaim {
    /// The id of a resource or a service.
    pub claimed: Uuid,
    /// The seat.
    pub lane: i16,
    /// The start.
    pub from: Timestamp,
    /// The end (exclusive).
    pub to: Timestamp,
}

/// What a booking claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A resource.
    Resource(ResourceId),
    /// A seat of the booking's service.
    Seat(i16),
}
