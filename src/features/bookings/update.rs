//! Changes a booking's time or status.

use jiff::{SignedDuration, Timestamp};

use super::{
    Booking, BookingError, BookingEvent, BookingStatus, MAX_REASON, Transition, claims, confirm_hold,
    history::{self, Telling},
    model::Slot,
    queries,
    slots::{self, BookingContext, is_staff, refuse_out_of_reach},
};
use crate::{
    base::ids::BookingId,
    core::{audit::Changes, identity::Caller},
    features::tenants,
};

/// Moves a booking to another time and returns the new state. If the new time is not available, the booking keeps the
/// old one.
///
/// The booking keeps those of its resources that are free at the new time and gets others otherwise. When a customer
/// moves a booking of a service that requires confirmation, the booking becomes pending again.
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
    let ground = Box::pin(BookingContext::read(tx, before.service, starts_at)).await?.bookable()?;
    let is_staff = is_staff(caller);
    if !is_staff {
        if before.starts_at <= now {
            return Err(BookingError::HasBegun);
        }
        let notice = ground.rules().reschedule_notice_minutes;
        if before.starts_at < now + SignedDuration::from_mins(i64::from(notice)) {
            return Err(BookingError::TooLateToMove(notice));
        }
        if let Some(most) = ground.tenant.booking_rules.max_moves {
            let history = queries::histories(tx, &[id]).await?.remove(&id).unwrap_or_default();
            let moves = history.iter().filter(|it| it.is_move_by(before.customer)).count();
            if i32::try_from(moves).unwrap_or(i32::MAX) >= most {
                return Err(BookingError::MovedTooOften(most));
            }
        }
    }
    claims::release_around(tx, &ground, now).await?;
    let class = ground.class_at(tx, starts_at, now).await?;
    let slot = match &class {
        Some(_) => ground.slot_at(starts_at, class.as_ref()),
        // The agreed duration, not the service's current one.
        None => Slot::lasting(&ground.service, starts_at, before.ends_at.duration_since(before.starts_at)),
    };
    ground.validate_slot(is_staff, &slot, None, now)?;
    let status = if ground.service.requires_confirmation && !is_staff { BookingStatus::Pending } else { before.status };
    let held = claims::resources_of(tx, &[id]).await?.remove(&id).unwrap_or_default();
    let zone = ground.zone_at(slot.starts_at, &held);
    if !queries::update_time(tx, &before, &slot, &zone, status, now).await? {
        return Err(BookingError::Stale);
    }
    let booking = queries::by_ids(tx, &[id]).await?.remove(&id).ok_or(BookingError::NotFound)?;
    let serves = ground.serving(is_staff, &slot);
    Box::pin(claims::move_to(tx, &booking, &ground, &slot, now, serves)).await?;
    let step = Transition {
        moved: Some((before.starts_at, booking.starts_at)),
        ..Transition::new(Some(before.status), booking.status, caller, None, now)
    };
    let changes = Changes::default()
        .field("starts_at", before.starts_at.to_string(), booking.starts_at.to_string())
        .field("status", before.status.as_str(), booking.status.as_str());
    let telling = Some(BookingEvent::Rescheduled).into();
    history::write(caller, &booking, &step, "bookings.reschedule", changes, telling).await?;
    if before.starts_at != booking.starts_at {
        claims::tell_freed(tx, &before, now).await?;
    }
    Ok(booking)
}

/// Changes a booking's status and returns the new state.
///
/// With `version` it fails as `Stale` when the booking has changed since that version. Customers can only cancel their
/// own bookings, before the start.
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

/// Cancels a booking without a mail to its customer: the caller sends one mail for several bookings.
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
        return Box::pin(confirm_hold(caller, id, None)).await; // The booking is counted, and its service decides the new status.
    }
    if !before.status.leads_to(to) {
        return Err(BookingError::InvalidTransition(before.status, to));
    }
    if !is_staff && before.starts_at <= now {
        return Err(BookingError::HasBegun);
    }
    // Cancelling a hold has no notice period.
    if !is_staff && !is_hold {
        let (service, tenant) = slots::service_and_tenant(tx, before.service).await?;
        let notice = service.rules.over(&tenant.booking_rules).cancel_notice_minutes;
        if before.starts_at < now + SignedDuration::from_mins(i64::from(notice)) {
            return Err(BookingError::TooLateToCancel(notice));
        }
        // Nor by moving it away first, when it was already too late to cancel.
        if notice > 0 {
            let history = queries::histories(tx, &[id]).await?.remove(&id).unwrap_or_default();
            let is_late = |from: Timestamp, at: Timestamp| from < at + SignedDuration::from_mins(i64::from(notice));
            let moved_late = |it: &Transition| it.moved.is_some_and(|(from, _)| is_late(from, it.at));
            if history.iter().any(|it| it.is_move_by(before.customer) && moved_late(it)) {
                return Err(BookingError::TooLateToCancel(notice));
            }
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
    history::write(caller, &booking, &step, "bookings.set_status", changes, Telling { event, by_mail }).await?;
    if !to.holds_time() {
        claims::tell_freed(tx, &before, now).await?;
    }
    Ok(booking)
}
