//! Bookings: made, moved through their states, never removed.

mod availability;
mod claims;
mod classes;
mod events;
pub mod graphql;
pub mod loaders;
mod queries;
mod slots;
mod status;
pub mod subscriptions;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use uuid::Uuid;

pub use availability::{FreeSlot, Obstacle, availability, obstacle};
use classes::Class;
pub use events::BookingEvent;
use slots::{Ground, Slot, is_staff, refuse_out_of_reach};
pub use status::BookingStatus;

use crate::{
    audit::{self, Changes},
    auth::{Caller, Role},
    db::{Change, DbError, ScopedTx},
    ids::{BookingId, ResourceId, SeriesId, ServiceId, UserId},
    money::Money,
    outbox::{self, Effect},
    paging::{Page, Slice},
    tenants::{self, Tenant},
    usage::{self, Meter, Period},
    users::{self, UserStatus},
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

impl Transition {
    fn new(
        from: Option<BookingStatus>,
        to: BookingStatus,
        caller: &Caller<'_>,
        reason: Option<String>,
        at: Timestamp,
    ) -> Self {
        Self { from, to, actor: Some(caller.viewer.user), reason, at, moved: None }
    }
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
pub type BookingKey = (Timestamp, Uuid);

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

/// Makes a booking.
///
/// Whether the slot is free is decided by its claims' exclusion constraint alone. The tenant's calendar is locked first,
/// by whatever changes it.
///
/// # Errors
/// See [`BookingError`]; nothing is written then.
pub async fn book(caller: &Caller<'_>, new: NewBooking) -> Result<Booking, BookingError> {
    Box::pin(make(caller, new, None)).await
}

/// Holds a time for some minutes, for a customer who is about to book it. What nobody takes up by then is free again; it
/// counts in no plan.
///
/// # Errors
/// See [`BookingError`]; nothing is written then.
pub async fn hold(caller: &Caller<'_>, new: NewBooking) -> Result<Booking, BookingError> {
    let now = caller.clock.now();
    let customer = new.customer.unwrap_or(caller.viewer.user);
    if !caller.is_at_least(Role::Staff) && queries::count_holds(caller.tx, customer, now).await? >= MAX_HOLDS {
        return Err(BookingError::TooManyHolds);
    }
    Box::pin(make(caller, new, Some(now + HOLD))).await
}

/// Takes up a hold that is still good: it becomes a booking, which waits for staff where its service says so.
///
/// # Errors
/// See [`BookingError`]: `HoldOver` when it was held for too long, or is no hold any more.
pub async fn confirm_hold(caller: &Caller<'_>, id: BookingId, notes: Option<String>) -> Result<Booking, BookingError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    if notes.as_ref().is_some_and(|it| it.chars().count() > MAX_NOTES) {
        return Err(BookingError::TooLong("notes", MAX_NOTES));
    }
    tenants::lock_calendar(tx).await?;
    let before = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    if before.held_until.is_none_or(|it| it <= now) {
        return Err(BookingError::HoldOver);
    }
    let tenant = tenants::current(tx).await?;
    count(tx, &tenant, now).await?;
    let notes = notes.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    if !queries::confirm_hold(tx, &before, notes.as_deref(), now).await? {
        return Err(BookingError::Stale);
    }
    let booking = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    let step = Transition::new(Some(before.status), booking.status, caller, None, now);
    let changes = Changes::default().field("status", before.status.as_str(), booking.status.as_str());
    write_step(caller, &booking, &step, "bookings.confirm_hold", changes, BookingEvent::of_new(booking.status).into())
        .await?;
    Ok(booking)
}

/// Lets go what was held for too long, and returns how many that were. For background work: whoever wants such a time
/// releases it himself.
///
/// # Errors
/// When the statement fails.
pub async fn expire_holds(tx: &ScopedTx, now: Timestamp) -> Result<usize, DbError> {
    claims::release_expired(tx, None, now).await
}

/// Counts a booking of this month, as far as the plan allows.
async fn count(tx: &ScopedTx, tenant: &Tenant, now: Timestamp) -> Result<(), BookingError> {
    let month = Period::month_of(now, &tenant.time_zone);
    let limit = tenant.limits.of(Meter::Bookings.as_str());
    if usage::count_one(tx, Meter::Bookings, month, limit).await? { Ok(()) } else { Err(BookingError::QuotaExceeded) }
}

async fn make(caller: &Caller<'_>, new: NewBooking, held_until: Option<Timestamp>) -> Result<Booking, BookingError> {
    let starts_at = new.starts_at;
    refuse_out_of_reach(starts_at, caller.clock.now())?;
    let order = Box::pin(Order::look(caller, new)).await?;
    Box::pin(order.place(caller, starts_at, held_until)).await
}

/// What is to be booked and for whom, looked at once: for one booking, or for all of a series.
#[derive(Debug)]
pub struct Order {
    ground: Ground,
    customer: UserId,
    resource: Option<ResourceId>,
    notes: Option<String>,
    series: Option<SeriesId>,
}

impl Order {
    /// Locks the tenant's calendar and looks at all that decides about bookings at the wanted time and later.
    ///
    /// # Errors
    /// See [`BookingError`].
    pub async fn look(caller: &Caller<'_>, new: NewBooking) -> Result<Self, BookingError> {
        let tx = caller.tx;
        let customer = new.customer.unwrap_or(caller.viewer.user);
        if customer != caller.viewer.user && !is_staff(caller) {
            return Err(BookingError::Forbidden);
        }
        if new.notes.as_ref().is_some_and(|it| it.chars().count() > MAX_NOTES) {
            return Err(BookingError::TooLong("notes", MAX_NOTES));
        }
        let customer_ids = [customer];
        // The lock first, in the same flush: what is read after it cannot change before the commit.
        let (locked, ground, known_customer) = futures_util::join!(
            tenants::lock_calendar(tx),
            Ground::read(tx, new.service, new.starts_at),
            users::by_ids(tx, &customer_ids)
        );
        locked?;
        let ground = ground?.bookable()?;
        if new.resource.is_some_and(|wanted| !ground.links.iter().any(|it| it.resource == wanted)) {
            return Err(BookingError::ResourceNotFound);
        }
        known_customer?
            .remove(&customer)
            .filter(|it| it.status == UserStatus::Active)
            .ok_or(BookingError::CustomerNotFound)?;
        let notes = new.notes.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        Ok(Self { ground, customer, resource: new.resource, notes, series: None })
    }

    /// The same, as a part of a series.
    pub fn in_series(self, series: SeriesId) -> Self {
        Self { series: Some(series), ..self }
    }

    /// Of what.
    pub fn service(&self) -> ServiceId {
        self.ground.service.id
    }

    /// By whose clock its service goes on a day.
    pub fn zone(&self, day: Date) -> TimeZone {
        self.ground.opening.zone_of(self.ground.service.id, day).clone()
    }

    /// For whom.
    pub fn customer(&self) -> UserId {
        self.customer
    }

    /// Makes one booking of it.
    ///
    /// # Errors
    /// See [`BookingError`]: some of it may be written then, for the caller to undo.
    pub async fn place(
        &self,
        caller: &Caller<'_>,
        starts_at: Timestamp,
        held_until: Option<Timestamp>,
    ) -> Result<Booking, BookingError> {
        let (tx, now, ground, is_staff) = (caller.tx, caller.clock.now(), &self.ground, is_staff(caller));
        refuse_out_of_reach(starts_at, now)?;
        let status = match held_until {
            Some(_) => BookingStatus::Held,
            None if ground.service.requires_confirmation => BookingStatus::Pending,
            None => BookingStatus::Confirmed,
        };
        let class = ground.class_at(tx, starts_at, now).await?;
        let slot = ground.slot_at(starts_at, class.as_ref());
        ground.validate_slot(is_staff, &slot, now)?;
        // A hold counts when it is taken up.
        if held_until.is_none() {
            count(tx, &ground.tenant, now).await?;
        }
        let booking = Booking {
            notes: self.notes.clone(),
            series: self.series,
            ..ground.booking(self.customer, &slot, status, held_until, now)
        };
        Box::pin(take(tx, ground, &booking, &slot, class, self.resource, is_staff)).await?;
        let first_step = Transition::new(None, booking.status, caller, None, now);
        let facts = Changes::default()
            .field("status", serde_json::Value::Null, booking.status.as_str())
            .field("service", serde_json::Value::Null, booking.service.to_string())
            .field("customer", serde_json::Value::Null, booking.customer.to_string())
            .field("starts_at", serde_json::Value::Null, booking.starts_at.to_string());
        let action = if held_until.is_some() { "bookings.hold" } else { "bookings.create" };
        // Of a series one mail tells, and not one for each of its bookings.
        let telling = Telling { event: BookingEvent::of_new(booking.status), by_mail: self.series.is_none() };
        write_step(caller, &booking, &first_step, action, facts, telling).await?;
        Ok(booking)
    }
}

/// Writes a new booking, and takes what it needs.
async fn take(
    tx: &ScopedTx,
    ground: &Ground,
    booking: &Booking,
    slot: &Slot,
    class: Option<Class>,
    wanted: Option<ResourceId>,
    is_staff: bool,
) -> Result<(), BookingError> {
    match queries::insert(tx, booking).await {
        Ok(true) => {}
        Ok(false) => return Err(BookingError::ServiceNotFound), // Deleted or switched off since it was read.
        Err(error) if error.violates("bookings_tenant_id_service_id_fkey") => {
            return Err(BookingError::ServiceNotFound);
        }
        Err(error) => return Err(error.into()),
    }
    let serves = |resource: ResourceId| ground.serves(is_staff, resource, slot);
    match class {
        Some(class) => classes::join(tx, booking, &class, wanted).await,
        None => Box::pin(claims::take(tx, booking, ground, slot, wanted, booking.created_at, serves)).await,
    }
}

/// Holds a time for a customer who waits for it, by the rules that bind customers. For background work.
///
/// # Errors
/// See [`BookingError`]: some of it may be written then, for the caller to undo.
pub async fn offer(tx: &ScopedTx, new: NewBooking, until: Timestamp, now: Timestamp) -> Result<Booking, BookingError> {
    refuse_out_of_reach(new.starts_at, now)?;
    let (locked, ground) =
        futures_util::join!(tenants::lock_calendar(tx), Ground::read(tx, new.service, new.starts_at));
    locked?;
    let ground = ground?.bookable()?;
    let customer = new.customer.ok_or(BookingError::CustomerNotFound)?;
    let known = users::by_ids(tx, &[customer]).await?.remove(&customer);
    known.filter(|it| it.status == UserStatus::Active).ok_or(BookingError::CustomerNotFound)?;
    let class = ground.class_at(tx, new.starts_at, now).await?;
    let slot = ground.slot_at(new.starts_at, class.as_ref());
    ground.validate_slot(false, &slot, now)?;
    let booking = ground.booking(customer, &slot, BookingStatus::Held, Some(until.min(slot.starts_at)), now);
    Box::pin(take(tx, &ground, &booking, &slot, class, new.resource, false)).await?;
    let step = Transition { from: None, to: booking.status, actor: None, reason: None, at: now, moved: None };
    queries::insert_transition(tx, &booking, &step).await?;
    tx.announce(booking.change());
    Ok(booking)
}

/// Who else is to hear of a step of a booking.
#[derive(Clone, Copy)]
struct Telling {
    /// `None` where it is nobody else's business.
    event: Option<BookingEvent>,
    /// Whether the customer is to have a mail.
    by_mail: bool,
}

impl From<Option<BookingEvent>> for Telling {
    fn from(event: Option<BookingEvent>) -> Self {
        Self { event, by_mail: true }
    }
}

/// Writes a step of a booking where others will look for it: its history, the audit log, and, where somebody else is to
/// hear of it, the outbox. And tells whoever watches.
async fn write_step(
    caller: &Caller<'_>,
    booking: &Booking,
    step: &Transition,
    action: &'static str,
    changes: Changes,
    telling: Telling,
) -> Result<(), DbError> {
    let tx = caller.tx;
    let (written, recorded, told) = futures_util::join!(
        queries::insert_transition(tx, booking, step),
        audit::record(caller, action, "booking", Some(booking.id.0), changes),
        tell(tx, booking, telling, step.at)
    );
    written?;
    recorded?;
    told?;
    tx.announce(booking.change());
    Ok(())
}

/// Has background work tell others what became of a booking.
async fn tell(tx: &ScopedTx, booking: &Booking, telling: Telling, now: Timestamp) -> Result<(), DbError> {
    let Some(event) = telling.event else { return Ok(()) };
    let effect = Effect::TellOfBooking {
        event: event.as_str().to_owned(),
        booking: booking.id.0,
        version: booking.version,
        status: booking.status.as_str().to_owned(),
        starts_at: booking.starts_at,
        ends_at: booking.ends_at,
        by_mail: telling.by_mail,
    };
    outbox::enqueue(tx, &effect, now).await.map(drop)
}

/// Moves a booking to another time, and returns it as it then is. Where the new time cannot be had, the old one stays.
///
/// It keeps its resources as long as they are free then, and takes others where they are not. A customer's booking of a
/// service that wants to be confirmed waits for that again.
///
/// # Errors
/// See [`BookingError`]; nothing is written then.
pub async fn reschedule(
    caller: &Caller<'_>,
    id: BookingId,
    starts_at: Timestamp,
    version: Option<i32>,
) -> Result<Booking, BookingError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    tenants::lock_calendar(tx).await?;
    let before = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    refuse_out_of_reach(starts_at, now)?;
    if version.is_some_and(|version| version != before.version) {
        return Err(BookingError::Stale);
    }
    if !matches!(before.status, BookingStatus::Pending | BookingStatus::Confirmed) {
        return Err(BookingError::NotMovable(before.status));
    }
    let ground = Box::pin(Ground::read(tx, before.service, starts_at)).await?.bookable()?;
    let is_staff = is_staff(caller);
    if !is_staff {
        if before.starts_at <= now {
            return Err(BookingError::HasBegun);
        }
        let notice = ground.rules().reschedule_notice_minutes;
        if before.starts_at < now + SignedDuration::from_mins(i64::from(notice)) {
            return Err(BookingError::TooLateToMove(notice));
        }
    }
    let agreed = before.ends_at.duration_since(before.starts_at);
    let slot = Slot::lasting(&ground.service, starts_at, agreed);
    ground.validate_slot(is_staff, &slot, now)?;
    let status = if ground.service.requires_confirmation && !is_staff { BookingStatus::Pending } else { before.status };
    let zone = &ground.tenant.time_zone;
    if !queries::update_time(tx, &before, &slot, zone, status, now).await? {
        return Err(BookingError::Stale);
    }
    let booking = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    let serves = |it| ground.serves(is_staff, it, &slot);
    Box::pin(claims::move_to(tx, &booking, &ground, &slot, now, serves)).await?;
    let step = Transition {
        moved: Some((before.starts_at, booking.starts_at)),
        ..Transition::new(Some(before.status), booking.status, caller, None, now)
    };
    let changes = Changes::default()
        .field("starts_at", before.starts_at.to_string(), booking.starts_at.to_string())
        .field("status", before.status.as_str(), booking.status.as_str());
    let telling = Some(BookingEvent::Rescheduled).into();
    write_step(caller, &booking, &step, "bookings.reschedule", changes, telling).await?;
    if before.starts_at != booking.starts_at {
        claims::tell_freed(tx, (before.starts_at, before.ends_at), now).await?;
    }
    Ok(booking)
}

/// Moves a booking to another status, and returns it as it then is.
///
/// With `version` it fails as `Stale` when the booking was changed since that version. Customers can only cancel their
/// own, before it starts.
///
/// # Errors
/// See [`BookingError`]; nothing is written then.
pub async fn set_status(
    caller: &Caller<'_>,
    id: BookingId,
    to: BookingStatus,
    version: Option<i32>,
    reason: Option<String>,
) -> Result<Booking, BookingError> {
    Box::pin(change_status(caller, id, to, version, reason, true)).await
}

/// Calls a booking off without a mail to its customer: one that tells of more follows.
///
/// # Errors
/// See [`BookingError`]; nothing is written then.
pub async fn cancel_quietly(
    caller: &Caller<'_>,
    id: BookingId,
    reason: Option<String>,
) -> Result<Booking, BookingError> {
    Box::pin(change_status(caller, id, BookingStatus::Cancelled, None, reason, false)).await
}

async fn change_status(
    caller: &Caller<'_>,
    id: BookingId,
    to: BookingStatus,
    version: Option<i32>,
    reason: Option<String>,
    by_mail: bool,
) -> Result<Booking, BookingError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    if reason.as_ref().is_some_and(|it| it.chars().count() > MAX_REASON) {
        return Err(BookingError::TooLong("reason", MAX_REASON));
    }
    tenants::lock_calendar(tx).await?;
    let before = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    let is_staff = is_staff(caller);
    if !is_staff && to != BookingStatus::Cancelled {
        return Err(BookingError::Forbidden);
    }
    if version.is_some_and(|version| version != before.version) {
        return Err(BookingError::Stale);
    }
    let is_hold = before.status == BookingStatus::Held;
    if is_hold && matches!(to, BookingStatus::Pending | BookingStatus::Confirmed) {
        return Box::pin(confirm_hold(caller, id, None)).await; // It counts, and its service says what it becomes.
    }
    if !before.status.leads_to(to) {
        return Err(BookingError::InvalidTransition(before.status, to));
    }
    if !is_staff && before.starts_at <= now {
        return Err(BookingError::HasBegun);
    }
    // A hold costs nobody anything.
    if !is_staff && !is_hold {
        let ground = Box::pin(Ground::read(tx, before.service, before.starts_at)).await?;
        let notice = ground.rules().cancel_notice_minutes;
        if before.starts_at < now + SignedDuration::from_mins(i64::from(notice)) {
            return Err(BookingError::TooLateToCancel(notice));
        }
    }
    if matches!(to, BookingStatus::Completed | BookingStatus::NoShow) && before.starts_at > now {
        return Err(BookingError::NotYet);
    }
    let booking = queries::update_status(tx, &before, to, now).await?.ok_or(BookingError::Stale)?;
    if !to.holds_time() {
        claims::let_go(tx, id).await?;
    }
    let step = Transition::new(Some(before.status), to, caller, reason, now);
    let changes = Changes::default().field("status", before.status.as_str(), to.as_str()).personal(
        booking.customer.0,
        "reason",
        None,
        step.reason.as_deref(),
    );
    let event = if is_hold { None } else { BookingEvent::of_status(to) };
    write_step(caller, &booking, &step, "bookings.set_status", changes, Telling { event, by_mail }).await?;
    if !to.holds_time() {
        claims::tell_freed(tx, (before.starts_at, before.ends_at), now).await?;
    }
    Ok(booking)
}

/// A page of the bookings that the caller may see.
///
/// # Errors
/// When the statement fails.
pub async fn list(
    tx: &ScopedTx,
    filter: &BookingFilter,
    order: BookingOrder,
    page: &Page<BookingKey>,
) -> Result<Slice<BookingKey, Booking>, DbError> {
    let bookings = queries::list(tx, filter, order, page).await?;
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

/// The bookings of a person that start within a time, earliest first: his own, and those that hold a resource which stands
/// for him. Not those that ended without taking place. At most 1,000.
///
/// # Errors
/// When the statement fails.
pub async fn of_person(tx: &ScopedTx, user: UserId, from: Timestamp, to: Timestamp) -> Result<Vec<Booking>, DbError> {
    queries::of_person(tx, user, from, to).await
}

/// The bookings of each of these series that the scope may see, earliest first.
///
/// # Errors
/// When the statement fails.
pub async fn of_series(tx: &ScopedTx, ids: &[SeriesId]) -> Result<HashMap<SeriesId, Vec<Booking>>, DbError> {
    queries::of_series(tx, ids).await
}

/// The resources that each of these bookings holds, or held to its end.
///
/// # Errors
/// When the statement fails.
pub async fn resources_of(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Vec<ResourceId>>, DbError> {
    queries::resources_of(tx, ids).await
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
