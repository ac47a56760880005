//! The time of a booking, and the rules for it.

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};

use super::{
    Booking, BookingError, BookingStatus, MAX_AHEAD,
    grid::Grid,
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

/// Minimum distance between two offered times, in minutes.
const LEAST_STEP: i32 = 5;

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

    /// The time zone of bookings at an instant, which use these resources or (without any) whichever can serve: see
    /// [`Hours::zone_of_bookings`].
    pub(super) fn zone_at(&self, at: Timestamp, resources: &[ResourceId]) -> TimeZone {
        let day = at.to_zoned(self.tenant.time_zone.clone()).date();
        let all: Vec<ResourceId> = self.links.iter().filter(|it| it.active).map(|it| it.resource).collect();
        let resources = if resources.is_empty() { &all } else { resources };
        self.opening.zone_of_bookings(resources, self.service.id, day).clone()
    }

    /// The instant before which bookings of customers start: the end of the last day, on the clock of the service.
    pub(super) fn latest_start(&self, wanted: Option<ResourceId>, now: Timestamp) -> Timestamp {
        let zone = self.zone_at(now, wanted.as_slice());
        let days = i64::from(self.rules().max_ahead_days) + 1;
        let end = now.to_zoned(zone.clone()).date().checked_add(days.days()).ok();
        let end = end.and_then(|it| it.to_zoned(zone).ok()).map(|it| it.timestamp());
        end.unwrap_or(now + MAX_AHEAD) // Only at the end of the calendar.
    }

    /// The minutes between the starts that are offered: the service's step, or the time that one booking blocks, so that
    /// what is offered can be booked one after the other.
    pub(super) fn offered_step(&self) -> i32 {
        let rules = &self.service.rules;
        let blocked = self.service.duration_minutes + rules.buffer_before_minutes + rules.buffer_after_minutes;
        rules.slot_step_minutes.unwrap_or(blocked.max(LEAST_STEP))
    }

    /// The grids of starts around a time.
    pub(super) fn grid(&self, wanted: Option<ResourceId>, from: Timestamp, to: Timestamp) -> Grid {
        Grid::of(&self.opening, &self.links, self.service.id, wanted, (from, to))
    }

    /// A new booking of the service.
    pub(super) fn booking(
        &self,
        customer: UserId,
        wanted: Option<ResourceId>,
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
            time_zone: self.zone_at(slot.starts_at, wanted.as_slice()),
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
    pub(super) fn validate_slot(
        &self,
        is_staff: bool,
        slot: &Slot,
        wanted: Option<ResourceId>,
        now: Timestamp,
    ) -> Result<(), BookingError> {
        refuse_out_of_reach(slot.starts_at, now)?;
        if is_staff {
            return Ok(());
        }
        let rules = self.rules();
        if slot.starts_at < now + SignedDuration::from_mins(i64::from(rules.min_notice_minutes)) {
            return Err(BookingError::NoticeTooShort(rules.min_notice_minutes));
        }
        if slot.starts_at >= self.latest_start(wanted, now) {
            return Err(BookingError::PastWindow(rules.max_ahead_days));
        }
        if !hours::contain(&self.open(slot.starts_at, slot.ends_at), slot.starts_at, slot.ends_at) {
            return Err(BookingError::OutsideHours);
        }
        if let Some(step) = self.service.rules.slot_step_minutes
            && !self.grid(wanted, slot.starts_at, slot.starts_at).has(slot.starts_at, step)
        {
            let is_there = |it: ResourceId| self.is_on_duty(it, slot);
            return Err(if self.is_staffed(is_there) {
                BookingError::OffGrid(step)
            } else {
                BookingError::OutsideHours
            });
        }
        Ok(())
    }

    /// When both the tenant and the service are open around a time, merged.
    pub(super) fn open(&self, from: Timestamp, to: Timestamp) -> Open {
        let of = |owner| hours::merge(&self.opening.open(owner, from, to));
        hours::intersect(&of(Owner::Tenant), &of(Owner::Service(self.service.id)))
    }

    /// Which resources can serve a booking: those that are on duty for the whole time, and on whose grid it starts.
    /// Staff may extend anyone's hours.
    pub(super) fn serving(&self, is_staff: bool, slot: &Slot) -> impl Fn(ResourceId) -> bool + '_ {
        let step = self.service.rules.slot_step_minutes.filter(|_| !is_staff && !self.links.is_empty());
        let grid = step.map(|step| (self.grid(None, slot.starts_at, slot.starts_at), step));
        let slot = *slot;
        move |it| {
            let starts = || grid.as_ref().is_none_or(|(grid, step)| grid.has_with(it, slot.starts_at, *step));
            is_staff || (self.is_on_duty(it, &slot) && starts())
        }
    }

    /// Whether each kind has at least one active resource that serves, taken or not.
    pub(super) fn is_staffed(&self, serves: impl Fn(ResourceId) -> bool) -> bool {
        let is_there = |kind| self.links.iter().any(|it| it.kind == kind && it.active && serves(it.resource));
        self.links.iter().all(|it| is_there(it.kind))
    }

    fn is_on_duty(&self, resource: ResourceId, slot: &Slot) -> bool {
        let open = hours::merge(&self.opening.open(Owner::Resource(resource), slot.starts_at, slot.ends_at));
        hours::contain(&open, slot.starts_at, slot.ends_at)
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

/// Whether the caller belongs to the staff.
pub(super) fn is_staff(caller: &Caller<'_>) -> bool {
    caller.is_at_least(Role::Staff)
}
