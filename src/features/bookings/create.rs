//! Creates bookings: directly, as a hold, or as an offer from the waitlist.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use uuid::Uuid;

use super::{
    Booking, BookingError, BookingEvent, BookingStatus, HOLD, MAX_HOLDS, MAX_NOTES, NewBooking, Transition,
    claims::{self, classes},
    history::{self, Telling},
    model::{Class, Slot},
    queries,
    slots::{self, BookingContext, is_staff, refuse_out_of_reach},
};
use crate::{
    base::ids::{BookingId, ResourceId, SeriesId, ServiceId, UserId},
    core::{audit::Changes, identity::Caller},
    db::{DbError, ScopedTx},
    features::{
        tenants::{self, Tenant},
        usage::{self, Recorded},
        users,
    },
};

/// Creates a booking.
///
/// Only the exclusion constraint on its claims decides whether the slot is free. Every change to the tenant's calendar
/// locks it first.
///
/// # Errors
/// See [`BookingError`]; nothing is written then.
pub async fn book(caller: &Caller<'_>, new: NewBooking) -> Result<Booking, BookingError> {
    Box::pin(make(caller, new, false)).await
}

/// Reserves a slot for ten minutes while a customer completes their booking. An unconfirmed hold expires and the slot
/// becomes available. Holds do not count against the plan.
///
/// # Errors
/// See [`BookingError`]; nothing is written then.
pub async fn hold(caller: &Caller<'_>, new: NewBooking) -> Result<Booking, BookingError> {
    let now = caller.clock.now();
    let customer = new.customer.unwrap_or(caller.viewer.user);
    // Locked before the holds are counted, so that of two concurrent calls the second counts the first.
    tenants::lock_calendar(caller.tx).await?;
    if !is_staff(caller) && queries::count_holds(caller.tx, customer, now).await? >= MAX_HOLDS {
        return Err(BookingError::TooManyHolds);
    }
    Box::pin(make(caller, new, true)).await
}

/// Confirms a live hold. It becomes a booking, which is pending when its service requires confirmation.
///
/// # Errors
/// See [`BookingError`]: `HoldOver` when the hold has expired or the booking is no longer a hold.
pub async fn confirm_hold(caller: &Caller<'_>, id: BookingId, notes: Option<String>) -> Result<Booking, BookingError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    let notes = checked_notes(notes)?;
    tenants::lock_calendar(tx).await?;
    let before = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    if before.held_until.is_none_or(|it| it <= now) {
        return Err(BookingError::HoldOver);
    }
    refuse_out_of_reach(before.starts_at, now)?;
    let (service, tenant) = slots::service_and_tenant(tx, before.service).await?;
    if !service.active {
        return Err(BookingError::ServiceNotFound);
    }
    let metered_as = meter(tx, &tenant, id, now).await?;
    if !queries::confirm_hold(tx, &before, notes.as_deref(), metered_as, now).await? {
        return Err(BookingError::Stale);
    }
    let booking = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    let step = Transition::new(Some(before.status), booking.status, caller, None, now);
    let changes = Changes::default().field("status", before.status.as_str(), booking.status.as_str());
    history::write(
        caller,
        &booking,
        &step,
        "bookings.confirm_hold",
        changes,
        BookingEvent::of_new(booking.status).into(),
    )
    .await?;
    Ok(booking)
}

/// Releases expired holds and returns how many there were. For background work: a booking of such a time releases it
/// itself.
pub async fn expire_holds(tx: &ScopedTx, now: Timestamp) -> Result<usize, DbError> {
    claims::release_expired(tx, None, now).await
}

/// Counts a booking against this month's plan limit and returns the id of its usage event.
async fn meter(tx: &ScopedTx, tenant: &Tenant, id: BookingId, now: Timestamp) -> Result<Uuid, BookingError> {
    let event = usage::Event::own(usage::BOOKINGS, format!("booking:{}", id.0), 1, now);
    match usage::record_one(tx, &event, tenant, now).await? {
        Recorded::QuotaExceeded => Err(BookingError::QuotaExceeded),
        Recorded::Accepted | Recorded::Duplicate | Recorded::Differs => Ok(event.id()),
    }
}

async fn make(caller: &Caller<'_>, new: NewBooking, is_hold: bool) -> Result<Booking, BookingError> {
    let starts_at = new.starts_at;
    refuse_out_of_reach(starts_at, caller.clock.now())?;
    let order = Box::pin(BookingRequest::look(caller, new)).await?;
    Box::pin(order.place(caller, starts_at, is_hold)).await
}

/// A checked booking request, for one booking or for all bookings of a series.
#[derive(Debug)]
pub struct BookingRequest {
    ground: BookingContext,
    customer: UserId,
    resource: Option<ResourceId>,
    notes: Option<String>,
    series: Option<SeriesId>,
}

impl BookingRequest {
    /// Locks the tenant's calendar and reads everything that decides about bookings from the requested time on.
    ///
    /// # Errors
    /// See [`BookingError`].
    pub async fn look(caller: &Caller<'_>, new: NewBooking) -> Result<Self, BookingError> {
        let tx = caller.tx;
        let customer = new.customer.unwrap_or(caller.viewer.user);
        if customer != caller.viewer.user && !is_staff(caller) {
            return Err(BookingError::Forbidden);
        }
        let notes = checked_notes(new.notes)?;
        let ground = Box::pin(locked_ground(tx, new.service, new.starts_at, new.resource, customer)).await?;
        Ok(Self { ground, customer, resource: new.resource, notes, series: None })
    }

    /// The same request, as part of a series.
    pub fn in_series(self, series: SeriesId) -> Self {
        Self { series: Some(series), ..self }
    }

    /// The requested service.
    pub fn service(&self) -> ServiceId {
        self.ground.service.id
    }

    /// The time zone of the bookings around a day: that of the resource, of the service's hours, or of the tenant.
    pub fn zone(&self, day: Date) -> TimeZone {
        let noon = day.at(12, 0, 0, 0).to_zoned(self.ground.tenant.time_zone.clone());
        let noon = noon.map_or(Timestamp::MIN, |it| it.timestamp()); // Only at the ends of the calendar.
        self.ground.zone_at(noon, self.resource.as_slice())
    }

    /// The customer.
    pub fn customer(&self) -> UserId {
        self.customer
    }

    /// Creates one booking for this request.
    ///
    /// # Errors
    /// See [`BookingError`]. Part of it may already be written; the caller must roll back.
    pub async fn place(
        &self,
        caller: &Caller<'_>,
        starts_at: Timestamp,
        is_hold: bool,
    ) -> Result<Booking, BookingError> {
        let (tx, now, ground, is_staff) = (caller.tx, caller.clock.now(), &self.ground, is_staff(caller));
        refuse_out_of_reach(starts_at, now)?;
        let held_until = is_hold.then(|| (now + HOLD).min(starts_at));
        let status = match held_until {
            Some(_) => BookingStatus::Held,
            None if ground.service.requires_confirmation => BookingStatus::Pending,
            None => BookingStatus::Confirmed,
        };
        let id = BookingId::generate(now);
        // A hold is counted when it is confirmed. If a check below fails, the GraphQL field is rolled back together
        // with the count.
        let metering = async { if is_hold { Ok(None) } else { meter(tx, &ground.tenant, id, now).await.map(Some) } };
        let (released, class, metered_as) =
            futures_util::join!(claims::release_around(tx, ground, now), ground.class_at(tx, starts_at, now), metering);
        released?;
        let class = class?;
        let slot = ground.slot_at(starts_at, class.as_ref());
        ground.validate_slot(is_staff, &slot, self.resource, now)?;
        let metered_as = metered_as?;
        let booking = Booking {
            id,
            notes: self.notes.clone(),
            series: self.series,
            ..ground.booking(self.customer, self.resource, &slot, status, held_until, now)
        };
        let first_step = Transition::new(None, booking.status, caller, None, now);
        let facts = Changes::default()
            .field("status", serde_json::Value::Null, booking.status.as_str())
            .field("service", serde_json::Value::Null, booking.service.to_string())
            .field("customer", serde_json::Value::Null, booking.customer.to_string())
            .field("starts_at", serde_json::Value::Null, booking.starts_at.to_string());
        let action = if is_hold { "bookings.hold" } else { "bookings.create" };
        // One mail announces a whole series, instead of one for each booking.
        let telling = Telling { event: BookingEvent::of_new(booking.status), by_mail: self.series.is_none() };
        let (taken, written) = futures_util::join!(
            Box::pin(take(tx, ground, &booking, metered_as, &slot, class, self.resource, is_staff)),
            history::write(caller, &booking, &first_step, action, facts, telling)
        );
        taken?;
        written?;
        Ok(booking)
    }
}

/// Locks the tenant's calendar, and reads what decides about a booking of a bookable service for an active customer.
/// Both go in one flush, the lock first: what is read cannot change before the commit.
async fn locked_ground(
    tx: &ScopedTx,
    service: ServiceId,
    starts_at: Timestamp,
    wanted: Option<ResourceId>,
    customer: UserId,
) -> Result<BookingContext, BookingError> {
    let (locked, ground, known_customer) = futures_util::join!(
        tenants::lock_calendar(tx),
        BookingContext::read(tx, service, starts_at),
        users::active(tx, customer)
    );
    locked?;
    let ground = ground?.bookable()?;
    ground.require(wanted)?;
    known_customer?.ok_or(BookingError::CustomerNotFound)?;
    Ok(ground)
}

/// Writes a new booking and its claims.
#[allow(clippy::too_many_arguments, reason = "each is another thing that a booking needs")]
async fn take(
    tx: &ScopedTx,
    ground: &BookingContext,
    booking: &Booking,
    metered_as: Option<Uuid>,
    slot: &Slot,
    class: Option<Class>,
    wanted: Option<ResourceId>,
    is_staff: bool,
) -> Result<(), BookingError> {
    let serves = ground.serving(is_staff, slot);
    let now = booking.created_at;
    let claiming = async {
        match class {
            Some(class) => classes::join(tx, booking, &class, wanted).await,
            None => Box::pin(claims::take(tx, booking, ground, slot, wanted, now, serves)).await,
        }
    };
    // The insert of the booking is sent first, so the booking exists before its claims.
    let (inserted, claimed) = futures_util::join!(queries::insert(tx, booking, metered_as), claiming);
    match inserted {
        Ok(true) => {}
        Ok(false) => return Err(BookingError::ServiceNotFound), // Deleted or deactivated since it was read.
        Err(error) if error.violates("bookings_tenant_id_service_id_fkey") => {
            return Err(BookingError::ServiceNotFound);
        }
        Err(error) => return Err(error.into()),
    }
    claimed?;
    // If the hold is not confirmed, its time is offered to the waitlist.
    if let Some(until) = booking.held_until {
        claims::tell_freed_at(tx, booking, until, now).await?;
    }
    Ok(())
}

/// Trimmed notes; `None` when they are empty.
fn checked_notes(notes: Option<String>) -> Result<Option<String>, BookingError> {
    if notes.as_ref().is_some_and(|it| it.chars().count() > MAX_NOTES) {
        return Err(BookingError::TooLong("notes", MAX_NOTES));
    }
    Ok(notes.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()))
}

/// Holds a time for a customer on the waitlist, under the rules that bind customers. For background work.
///
/// # Errors
/// See [`BookingError`]. Part of it may already be written; the caller must roll back.
pub async fn hold_for_waitlist(
    tx: &ScopedTx,
    new: NewBooking,
    until: Timestamp,
    now: Timestamp,
) -> Result<Booking, BookingError> {
    refuse_out_of_reach(new.starts_at, now)?;
    let customer = new.customer.ok_or(BookingError::CustomerNotFound)?;
    let ground = Box::pin(locked_ground(tx, new.service, new.starts_at, new.resource, customer)).await?;
    claims::release_around(tx, &ground, now).await?;
    let class = ground.class_at(tx, new.starts_at, now).await?;
    let slot = ground.slot_at(new.starts_at, class.as_ref());
    ground.validate_slot(false, &slot, new.resource, now)?;
    let held_until = Some(until.min(slot.starts_at));
    let booking = ground.booking(customer, new.resource, &slot, BookingStatus::Held, held_until, now);
    Box::pin(take(tx, &ground, &booking, None, &slot, class, new.resource, false)).await?;
    let step = Transition { from: None, to: booking.status, actor: None, reason: None, at: now, moved: None };
    queries::insert_transition(tx, &booking, &step).await?;
    tx.announce(booking.change());
    Ok(booking)
}
