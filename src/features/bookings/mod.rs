//! Bookings: made, moved through their states, never removed.

mod availability;
mod changing;
mod claims;
mod events;
pub mod graphql;
pub mod loaders;
mod making;
mod queries;
mod slots;
mod status;
mod steps;
pub mod subscriptions;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

pub use availability::{FreeSlot, Obstacle, availability, obstacle};
pub use changing::{cancel_quietly, reschedule, set_status};
pub use claims::resources_of;
pub use events::{BookingEvent, Happened};
pub use making::{Order, book, confirm_hold, expire_holds, hold, offer};
pub use status::BookingStatus;

use crate::{
    db::{Change, DbError, ScopedTx},
    ids::{BookingId, ResourceId, SeriesId, ServiceId, UserId},
    money::Money,
    paging::{Page, Slice, TimeKey},
    services::Service,
    users::User,
};

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
pub struct Pointed<S, C> {
    /// What is booked.
    pub services: HashMap<ServiceId, S>,
    /// For whom.
    pub customers: HashMap<UserId, C>,
}

impl<S, C> Default for Pointed<S, C> {
    fn default() -> Self {
        Self { services: HashMap::new(), customers: HashMap::new() }
    }
}

/// How much of that comes in the list's own statement. (PostgreSQL takes a quarter less for the names of twenty bookings than for
/// all columns.)
#[derive(Debug)]
pub enum Related {
    /// Nothing.
    Nothing,
    /// Names.
    Names(Pointed<String, String>),
    /// All.
    Whole(Pointed<Service, User>),
}

/// A page of the bookings that the caller may see. What they point at comes into `related`, in the same statement.
///
/// # Errors
/// When the statement fails.
pub async fn list(
    tx: &ScopedTx,
    filter: &BookingFilter,
    order: BookingOrder,
    page: &Page<BookingKey>,
    related: &mut Related,
) -> Result<Slice<BookingKey, Booking>, DbError> {
    let bookings = queries::list(tx, filter, order, page, related).await?;
    Ok(page.slice(bookings.into_iter().map(|it| (order.key(&it), it)).collect()))
}

/// The same page of each of these customers, earliest first, in one statement.
///
/// # Errors
/// When the statement fails.
pub async fn pages_of_customers(
    tx: &ScopedTx,
    customers: &[UserId],
    filter: &BookingFilter,
    page: &Page<BookingKey>,
) -> Result<HashMap<UserId, Slice<BookingKey, Booking>>, DbError> {
    let mut rows: HashMap<UserId, Vec<(BookingKey, Booking)>> = customers.iter().map(|it| (*it, Vec::new())).collect();
    for booking in queries::of_customers(tx, customers, filter, page).await? {
        rows.entry(booking.customer).or_default().push((BookingOrder::StartsAtAsc.key(&booking), booking));
    }
    Ok(rows.into_iter().map(|(customer, rows)| (customer, page.slice(rows))).collect())
}

/// Those of these bookings that the scope may see.
///
/// # Errors
/// When the statement fails.
pub async fn by_ids(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Booking>, DbError> {
    queries::by_ids(tx, ids).await
}

/// Bookings that the scope may see and that were changed at this instant or later, latest first: ids, for whom and of
/// which service, and versions. At most 1,000.
///
/// # Errors
/// When the statement fails.
pub async fn changed_since(tx: &ScopedTx, since: Timestamp) -> Result<Vec<Changed>, DbError> {
    queries::changed_since(tx, since).await
}

/// The bookings of a person that start within a time: his own, and those that hold a resource which stands for him. Not
/// those that ended without taking place. At most 1,000: those to come first, the next first, then those that are over, the
/// last first.
///
/// # Errors
/// When the statement fails.
pub async fn of_person(
    tx: &ScopedTx,
    user: UserId,
    within: (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<Booking>, DbError> {
    queries::of_person(tx, user, within, now).await
}

/// The bookings of each of these series that the scope may see, earliest first.
///
/// # Errors
/// When the statement fails.
pub async fn of_series(tx: &ScopedTx, ids: &[SeriesId]) -> Result<HashMap<SeriesId, Vec<Booking>>, DbError> {
    queries::of_series(tx, ids).await
}

/// The history of each of these bookings, first step first.
///
/// # Errors
/// When the statement fails.
pub async fn histories(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Vec<Transition>>, DbError> {
    queries::histories(tx, ids).await
}

impl Booking {
    /// What whoever watches is told.
    fn change(&self) -> Change {
        Change::Booking { id: self.id.0, service: self.service.0, customer: self.customer.0 }
    }
}

impl BookingOrder {
    fn key(self, booking: &Booking) -> BookingKey {
        match self {
            Self::StartsAtAsc | Self::StartsAtDesc => (booking.starts_at, booking.id.0),
            Self::CreatedAtAsc | Self::CreatedAtDesc => (booking.created_at, booking.id.0),
        }
    }
}
