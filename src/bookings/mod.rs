//! Bookings: made, moved through their states, never removed.

mod availability;
mod claims;
pub mod graphql;
pub mod loaders;
mod queries;
mod status;
pub mod subscriptions;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use uuid::Uuid;

pub use availability::{FreeSlot, Obstacle, availability, obstacle};
pub use status::BookingStatus;

use crate::{
    audit::{self, Changes},
    auth::{Caller, Role},
    db::{Change, DbError, ScopedTx},
    hours::{self, Hours, Open, Owner},
    ids::{BookingId, ResourceId, ServiceId, UserId},
    money::Money,
    paging::{Page, Slice},
    services::{self, Service},
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
    let (written, event) = futures_util::join!(
        queries::insert_transition(tx, &booking, &step),
        audit::record(caller, "bookings.confirm_hold", "booking", Some(id.0), changes)
    );
    written?;
    event?;
    tx.announce(booking.change());
    Ok(booking)
}

/// Lets go what was held for too long, and returns how many that were. For background work: whoever wants such a time
/// releases it himself.
///
/// # Errors
/// When the statement fails.
pub async fn expire_holds(tx: &ScopedTx, now: Timestamp) -> Result<usize, DbError> {
    let expired = queries::expire_holds(tx, None, now).await?.len();
    if expired > 0 {
        tx.announce(Change::Unknown);
    }
    Ok(expired)
}

/// Counts a booking of this month, as far as the plan allows.
async fn count(tx: &ScopedTx, tenant: &Tenant, now: Timestamp) -> Result<(), BookingError> {
    let month = Period::month_of(now, &tenant.time_zone);
    let limit = tenant.limits.of(Meter::Bookings.as_str());
    if usage::count_one(tx, Meter::Bookings, month, limit).await? { Ok(()) } else { Err(BookingError::QuotaExceeded) }
}

async fn make(caller: &Caller<'_>, new: NewBooking, held_until: Option<Timestamp>) -> Result<Booking, BookingError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    let customer = new.customer.unwrap_or(caller.viewer.user);
    if customer != caller.viewer.user && !caller.is_at_least(Role::Staff) {
        return Err(BookingError::Forbidden);
    }
    if new.notes.as_ref().is_some_and(|it| it.chars().count() > MAX_NOTES) {
        return Err(BookingError::TooLong("notes", MAX_NOTES));
    }
    refuse_out_of_reach(new.starts_at, now)?;
    let (service_ids, customer_ids) = ([new.service], [customer]);
    // The lock first, in the same flush: what is read after it cannot change before the commit.
    let (locked, service, known_customer, tenant, opening) = futures_util::join!(
        tenants::lock_calendar(tx),
        services::by_ids(tx, &service_ids),
        users::by_ids(tx, &customer_ids),
        tenants::current(tx),
        hours::of_service(tx, new.service, new.starts_at)
    );
    locked?;
    let (mut service, mut known_customer, tenant) = (service?, known_customer?, tenant?);
    let opening = Hours::new(opening?, tenant.time_zone.clone());
    let service = service.remove(&new.service).filter(|it| it.active).ok_or(BookingError::ServiceNotFound)?;
    known_customer
        .remove(&customer)
        .filter(|it| it.status == UserStatus::Active)
        .ok_or(BookingError::CustomerNotFound)?;
    let slot = Slot::of(&service, new.starts_at);
    validate_slot(caller, &service, &tenant, &opening, &slot, now)?;
    let serves = |resource: ResourceId| serves(caller, &opening, resource, &slot);

    // A hold counts when it is taken up.
    if held_until.is_none() {
        count(tx, &tenant, now).await?;
    }
    let booking = Booking {
        id: BookingId::generate(now),
        service: service.id,
        customer,
        starts_at: slot.starts_at,
        ends_at: slot.ends_at,
        time_zone: tenant.time_zone,
        status: match held_until {
            Some(_) => BookingStatus::Held,
            None if service.requires_confirmation => BookingStatus::Pending,
            None => BookingStatus::Confirmed,
        },
        price: service.price,
        notes: new.notes.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()),
        version: 1,
        created_at: now,
        held_until,
    };
    match queries::insert(tx, &booking).await {
        Ok(true) => {}
        Ok(false) => return Err(BookingError::ServiceNotFound), // Deleted or switched off since it was read.
        Err(error) if error.violates("bookings_tenant_id_service_id_fkey") => {
            return Err(BookingError::ServiceNotFound);
        }
        Err(error) => return Err(error.into()),
    }
    Box::pin(claims::take(tx, &booking, &service, &slot, new.resource, now, serves)).await?;
    let first_step = Transition::new(None, booking.status, caller, None, now);
    let facts = Changes::default()
        .field("status", serde_json::Value::Null, booking.status.as_str())
        .field("service", serde_json::Value::Null, booking.service.to_string())
        .field("customer", serde_json::Value::Null, booking.customer.to_string())
        .field("starts_at", serde_json::Value::Null, booking.starts_at.to_string());
    let (step, event) = futures_util::join!(
        queries::insert_transition(tx, &booking, &first_step),
        audit::record(
            caller,
            if held_until.is_some() { "bookings.hold" } else { "bookings.create" },
            "booking",
            Some(booking.id.0),
            facts
        )
    );
    step?;
    event?;
    tx.announce(booking.change());
    Ok(booking)
}

/// The time of a booking, and the time for which it holds its resources.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
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
    fn of(service: &Service, starts_at: Timestamp) -> Self {
        let minutes = |minutes: i32| SignedDuration::from_mins(i64::from(minutes));
        let ends_at = starts_at + minutes(service.duration_minutes);
        Self {
            starts_at,
            ends_at,
            blocked_from: starts_at - minutes(service.rules.buffer_before_minutes),
            blocked_to: ends_at + minutes(service.rules.buffer_after_minutes),
        }
    }
}

/// Whether the rules of the service and its tenant allow a booking at this time: what everything asks that makes or moves
/// one. What is taken is for the claims to say.
///
/// Staff may book whenever they like, as long as it is neither over nor out of reach.
fn validate_slot(
    caller: &Caller<'_>,
    service: &Service,
    tenant: &Tenant,
    opening: &Hours,
    slot: &Slot,
    now: Timestamp,
) -> Result<(), BookingError> {
    refuse_out_of_reach(slot.starts_at, now)?;
    if caller.is_at_least(Role::Staff) {
        return Ok(());
    }
    let notice = service.rules.min_notice_minutes.unwrap_or(tenant.booking_rules.min_notice_minutes);
    if slot.starts_at < now + SignedDuration::from_mins(i64::from(notice)) {
        return Err(BookingError::NoticeTooShort(notice));
    }
    let days = service.rules.max_ahead_days.unwrap_or(tenant.booking_rules.max_ahead_days);
    if slot.starts_at > now + SignedDuration::from_hours(24 * i64::from(days)) {
        return Err(BookingError::PastWindow(days));
    }
    let open = open_for(opening, service.id, slot.starts_at, slot.ends_at);
    if !hours::contain(&open.whole, slot.starts_at, slot.ends_at) {
        return Err(BookingError::OutsideHours);
    }
    if let Some(step) = service.rules.slot_step_minutes
        && !open.grid.iter().any(|it| {
            it.1 > slot.starts_at && is_on_grid(it.0, slot.starts_at, SignedDuration::from_mins(i64::from(step)))
        })
    {
        return Err(BookingError::OffGrid(step));
    }
    Ok(())
}

/// Whatever the service: nothing is computed of a time at the ends of the calendar.
fn refuse_out_of_reach(starts_at: Timestamp, now: Timestamp) -> Result<(), BookingError> {
    if starts_at <= now {
        return Err(BookingError::InThePast);
    }
    if starts_at > now + MAX_AHEAD {
        return Err(BookingError::TooFar);
    }
    Ok(())
}

/// When a service can be booked around a time.
struct OpenFor {
    /// The spans after whose beginnings its bookings begin: of its own hours, or of its tenant's where it has none.
    grid: Open,
    /// When all of it is open.
    whole: Open,
}

fn open_for(opening: &Hours, service: ServiceId, from: Timestamp, to: Timestamp) -> OpenFor {
    let own = Owner::Service(service);
    let (of_tenant, of_service) = (opening.open(Owner::Tenant, from, to), opening.open(own, from, to));
    let whole = hours::intersect(&hours::merge(&of_tenant), &hours::merge(&of_service));
    OpenFor { grid: if opening.has_schedule(own) { of_service } else { of_tenant }, whole }
}

/// Whether an instant is a number of steps after an opening.
fn is_on_grid(opens: Timestamp, at: Timestamp, step: SignedDuration) -> bool {
    let since = at.duration_since(opens);
    !since.is_negative() && step.as_secs() > 0 && since.subsec_nanos() == 0 && since.as_secs() % step.as_secs() == 0
}

/// Whether a resource is there for all of a booking. Staff may ask anybody to stay longer.
fn serves(caller: &Caller<'_>, opening: &Hours, resource: ResourceId, slot: &Slot) -> bool {
    let open = || hours::merge(&opening.open(Owner::Resource(resource), slot.starts_at, slot.ends_at));
    caller.is_at_least(Role::Staff) || hours::contain(&open(), slot.starts_at, slot.ends_at)
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
    let (service_ids, is_staff) = ([before.service], caller.is_at_least(Role::Staff));
    let (services, tenant, opening) = futures_util::join!(
        services::by_ids(tx, &service_ids),
        tenants::current(tx),
        hours::of_service(tx, before.service, starts_at)
    );
    let (mut services, tenant) = (services?, tenant?);
    let opening = Hours::new(opening?, tenant.time_zone.clone());
    let service = services.remove(&before.service).filter(|it| it.active).ok_or(BookingError::ServiceNotFound)?;
    if !is_staff {
        if before.starts_at <= now {
            return Err(BookingError::HasBegun);
        }
        let rules = &service.rules;
        let cancelling = rules.cancel_notice_minutes.unwrap_or(tenant.booking_rules.cancel_notice_minutes);
        let notice = rules.reschedule_notice_minutes.unwrap_or(cancelling);
        if before.starts_at < now + SignedDuration::from_mins(i64::from(notice)) {
            return Err(BookingError::TooLateToMove(notice));
        }
    }
    // As long as it was agreed, whatever the service takes by now.
    let agreed = before.ends_at.duration_since(before.starts_at);
    let mut slot = Slot::of(&service, starts_at);
    let longer = (starts_at + agreed).duration_since(slot.ends_at);
    slot.ends_at += longer;
    slot.blocked_to += longer;
    validate_slot(caller, &service, &tenant, &opening, &slot, now)?;
    let status = if service.requires_confirmation && !is_staff { BookingStatus::Pending } else { before.status };
    if !queries::update_time(tx, &before, &slot, &tenant.time_zone, status, now).await? {
        return Err(BookingError::Stale);
    }
    let booking = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    Box::pin(claims::move_to(tx, &booking, &service, &slot, now, |it| serves(caller, &opening, it, &slot))).await?;
    let step = Transition {
        moved: Some((before.starts_at, booking.starts_at)),
        ..Transition::new(Some(before.status), booking.status, caller, None, now)
    };
    let changes = Changes::default()
        .field("starts_at", before.starts_at.to_string(), booking.starts_at.to_string())
        .field("status", before.status.as_str(), booking.status.as_str());
    let (written, event) = futures_util::join!(
        queries::insert_transition(tx, &booking, &step),
        audit::record(caller, "bookings.reschedule", "booking", Some(id.0), changes)
    );
    written?;
    event?;
    tx.announce(booking.change());
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
    let (tx, now) = (caller.tx, caller.clock.now());
    if reason.as_ref().is_some_and(|it| it.chars().count() > MAX_REASON) {
        return Err(BookingError::TooLong("reason", MAX_REASON));
    }
    tenants::lock_calendar(tx).await?;
    let before = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    let is_staff = caller.is_at_least(Role::Staff);
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
        let own = services::by_ids(tx, &[before.service]).await?.remove(&before.service);
        let own = own.and_then(|it| it.rules.cancel_notice_minutes);
        let notice = match own {
            Some(notice) => notice,
            None => tenants::current(tx).await?.booking_rules.cancel_notice_minutes,
        };
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
    let (written, event) = futures_util::join!(
        queries::insert_transition(tx, &booking, &step),
        audit::record(caller, "bookings.set_status", "booking", Some(id.0), changes)
    );
    written?;
    event?;
    tx.announce(booking.change());
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
