//! The time of a booking, and the rules for it.

use jiff::{SignedDuration, Timestamp};

use super::{
    Booking, BookingError, BookingStatus, MAX_AHEAD,
    model::{Class, Slot},
};
use crate::{
    base::ids::{BookingId, ResourceId, ServiceId, UserId},
    core::identity::{Caller, Role},
    db::ScopedTx,
    features::{
        hours::{self, Hours, Open, Owner},
        services::{self, EffectiveRules, Link, Service},
        tenants::{self, Tenant},
    },
};

/// Everything that decides about bookings of a service, except existing claims.
#[derive(Debug)]
pub(super) struct BookingContext {
    /// The service.
    pub service: Service,
    /// Its tenant.
    pub tenant: Tenant,
    /// The opening hours.
    pub opening: Hours,
    /// The resources that can serve the service.
    pub links: Vec<Link>,
}

impl BookingContext {
    /// Reads everything in one flush, for bookings at this instant and later. A caller that writes afterwards must lock
    /// the calendar first, or earlier in the same flush: the data is then stable until the commit.
    ///
    /// # Errors
    /// `ServiceNotFound` when there is no such service.
    pub(super) async fn read(tx: &ScopedTx, service: ServiceId, since: Timestamp) -> Result<Self, BookingError> {
        let ids = [service];
        let (services, links, tenant, opening) = futures_util::join!(
            services::by_ids(tx, &ids),
            services::links(tx, &ids),
            tenants::current(tx),
            hours::of_service(tx, service, since)
        );
        let (mut services, mut links, tenant) = (services?, links?, tenant?);
        let service = services.remove(&service).ok_or(BookingError::ServiceNotFound)?;
        let opening = Hours::new(opening?, tenant.time_zone.clone());
        Ok(Self { links: links.remove(&service.id).unwrap_or_default(), service, tenant, opening })
    }

    /// The same, if the service can be booked.
    ///
    /// # Errors
    /// `ServiceNotFound` when it cannot be booked.
    pub(super) fn bookable(self) -> Result<Self, BookingError> {
        if self.service.active { Ok(self) } else { Err(BookingError::ServiceNotFound) }
    }

    /// The service's rules, with the tenant's as defaults.
    pub(super) fn rules(&self) -> EffectiveRules {
        self.service.rules.over(&self.tenant.booking_rules)
    }

    /// Refuses a wanted resource that cannot serve the service at all.
    ///
    /// # Errors
    /// `ResourceNotFound`.
    pub(super) fn require(&self, wanted: Option<ResourceId>) -> Result<(), BookingError> {
        match wanted {
            Some(wanted) if !self.links.iter().any(|it| it.resource == wanted) => Err(BookingError::ResourceNotFound),
            _ => Ok(()),
        }
    }

    /// Whether bookings with the same start share resources.
    pub(super) fn is_class(&self) -> bool {
        self.service.capacity > 1 && !self.links.is_empty()
    }

    /// The slot of a booking with this start. A booking that joins a class has the class's duration.
    pub(super) fn slot_at(&self, starts_at: Timestamp, class: Option<&Class>) -> Slot {
        match class {
            Some(class) => Slot::lasting(&self.service, starts_at, class.ends_at.duration_since(starts_at)),
            None => Slot::of(&self.service, starts_at),
        }
    }

    /// A new booking of the service.
    pub(super) fn booking(
        &self,
        customer: UserId,
        slot: &Slot,
        status: BookingStatus,
        held_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Booking {
        Booking {
            id: BookingId::generate(now),
            service: self.service.id,
            customer,
            starts_at: slot.starts_at,
            ends_at: slot.ends_at,
            time_zone: self.tenant.time_zone.clone(),
            status,
            price: self.service.price,
            notes: None,
            version: 1,
            created_at: now,
            held_until,
            series: None,
        }
    }

    /// Checks whether the rules of the service and its tenant allow a booking at this time. Everything that creates or
    /// moves a booking calls it. Claims decide separately whether the time is free.
    ///
    /// Staff may book at any time that has not passed and is within reach.
    ///
    /// # Errors
    /// The rule that forbids the time.
    pub(super) fn validate_slot(&self, is_staff: bool, slot: &Slot, now: Timestamp) -> Result<(), BookingError> {
        refuse_out_of_reach(slot.starts_at, now)?;
        if is_staff {
            return Ok(());
        }
        let rules = self.rules();
        if slot.starts_at < now + SignedDuration::from_mins(i64::from(rules.min_notice_minutes)) {
            return Err(BookingError::NoticeTooShort(rules.min_notice_minutes));
        }
        if slot.starts_at > now + SignedDuration::from_hours(24 * i64::from(rules.max_ahead_days)) {
            return Err(BookingError::PastWindow(rules.max_ahead_days));
        }
        let open = self.open(slot.starts_at, slot.ends_at);
        if !hours::contain(&open.whole, slot.starts_at, slot.ends_at) {
            return Err(BookingError::OutsideHours);
        }
        if let Some(step) = self.service.rules.slot_step_minutes
            && !open.grid.iter().any(|it| {
                it.1 > slot.starts_at && is_on_grid(it.0, slot.starts_at, SignedDuration::from_mins(i64::from(step)))
            })
        {
            return Err(BookingError::OffGrid(step));
        }
        Ok(())
    }

    /// When the service can be booked around a time.
    pub(super) fn open(&self, from: Timestamp, to: Timestamp) -> OpenFor {
        let own = Owner::Service(self.service.id);
        let (of_tenant, of_service) = (self.opening.open(Owner::Tenant, from, to), self.opening.open(own, from, to));
        let whole = hours::intersect(&hours::merge(&of_tenant), &hours::merge(&of_service));
        OpenFor { grid: if self.opening.has_schedule(own) { of_service } else { of_tenant }, whole }
    }

    /// Whether a resource is on duty for a whole booking. Staff may extend anyone's hours.
    pub(super) fn serves(&self, is_staff: bool, resource: ResourceId, slot: &Slot) -> bool {
        let open = || hours::merge(&self.opening.open(Owner::Resource(resource), slot.starts_at, slot.ends_at));
        is_staff || hours::contain(&open(), slot.starts_at, slot.ends_at)
    }
}

/// The service and its tenant, for callers that need no hours or resources. One flush.
///
/// # Errors
/// `ServiceNotFound` when there is no such service.
pub(super) async fn service_and_tenant(tx: &ScopedTx, service: ServiceId) -> Result<(Service, Tenant), BookingError> {
    let ids = [service];
    let (services, tenant) = futures_util::join!(services::by_ids(tx, &ids), tenants::current(tx));
    Ok((services?.remove(&service).ok_or(BookingError::ServiceNotFound)?, tenant?))
}

/// When a service can be booked around a time.
pub(super) struct OpenFor {
    /// The spans that anchor the grid of starts: the service's own hours, or the tenant's if it has none.
    pub grid: Open,
    /// When both the tenant and the service are open.
    pub whole: Open,
}

/// Refuses times outside the bookable range for any service, before anything is computed with times at the ends of the
/// calendar.
pub(super) fn refuse_out_of_reach(starts_at: Timestamp, now: Timestamp) -> Result<(), BookingError> {
    if starts_at <= now {
        return Err(BookingError::InThePast);
    }
    if starts_at > now + MAX_AHEAD {
        return Err(BookingError::TooFar);
    }
    Ok(())
}

/// Whether an instant is a whole number of steps after an opening.
fn is_on_grid(opens: Timestamp, at: Timestamp, step: SignedDuration) -> bool {
    let since = at.duration_since(opens);
    !since.is_negative() && step.as_secs() > 0 && since.subsec_nanos() == 0 && since.as_secs() % step.as_secs() == 0
}

/// Whether the caller belongs to the staff.
pub(super) fn is_staff(caller: &Caller<'_>) -> bool {
    caller.is_at_least(Role::Staff)
}
