//! The time of a booking, and what the rules say of it.

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

/// All that decides about bookings of a service, but for what is taken.
#[derive(Debug)]
pub(super) struct BookingContext {
    /// What is booked.
    pub service: Service,
    /// Of whom.
    pub tenant: Tenant,
    /// When it is open.
    pub opening: Hours,
    /// Who and what can serve it.
    pub links: Vec<Link>,
}

impl BookingContext {
    /// In one flush, for bookings at this instant and later. Whoever goes on to write has locked the calendar before, or in
    /// front of it in the same flush: then it stands still until the commit.
    ///
    /// # Errors
    /// `ServiceNotFound` where there is no such service.
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

    /// The same, where the service can be booked.
    ///
    /// # Errors
    /// `ServiceNotFound` where it cannot.
    pub(super) fn bookable(self) -> Result<Self, BookingError> {
        if self.service.active { Ok(self) } else { Err(BookingError::ServiceNotFound) }
    }

    /// The service's rules over its tenant's.
    pub(super) fn rules(&self) -> EffectiveRules {
        self.service.rules.over(&self.tenant.booking_rules)
    }

    /// Refuses a wanted resource that cannot serve it at all.
    ///
    /// # Errors
    /// `ResourceNotFound`.
    pub(super) fn require(&self, wanted: Option<ResourceId>) -> Result<(), BookingError> {
        match wanted {
            Some(wanted) if !self.links.iter().any(|it| it.resource == wanted) => Err(BookingError::ResourceNotFound),
            _ => Ok(()),
        }
    }

    /// Whether those who book the same start share who and what it takes.
    pub(super) fn is_class(&self) -> bool {
        self.service.capacity > 1 && !self.links.is_empty()
    }

    /// Of a booking that starts then: whoever joins a class comes for as long as those who are there.
    pub(super) fn slot_at(&self, starts_at: Timestamp, class: Option<&Class>) -> Slot {
        match class {
            Some(class) => Slot::lasting(&self.service, starts_at, class.ends_at.duration_since(starts_at)),
            None => Slot::of(&self.service, starts_at),
        }
    }

    /// A new booking of it.
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

    /// Whether the rules of the service and its tenant allow a booking at this time: what everything asks that makes or
    /// moves one. What is taken is for the claims to say.
    ///
    /// Staff may book whenever they like, as long as it is neither over nor out of reach.
    ///
    /// # Errors
    /// What stands in the way.
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

    /// Whether a resource is there for all of a booking. Staff may ask anybody to stay longer.
    pub(super) fn serves(&self, is_staff: bool, resource: ResourceId, slot: &Slot) -> bool {
        let open = || hours::merge(&self.opening.open(Owner::Resource(resource), slot.starts_at, slot.ends_at));
        is_staff || hours::contain(&open(), slot.starts_at, slot.ends_at)
    }
}

/// What it takes where hours and resources do not matter, in one flush.
///
/// # Errors
/// `ServiceNotFound` where there is no such service.
pub(super) async fn service_and_tenant(tx: &ScopedTx, service: ServiceId) -> Result<(Service, Tenant), BookingError> {
    let ids = [service];
    let (services, tenant) = futures_util::join!(services::by_ids(tx, &ids), tenants::current(tx));
    Ok((services?.remove(&service).ok_or(BookingError::ServiceNotFound)?, tenant?))
}

/// When a service can be booked around a time.
pub(super) struct OpenFor {
    /// The spans after whose beginnings its bookings begin: of its own hours, or of its tenant's where it has none.
    pub grid: Open,
    /// When all of it is open.
    pub whole: Open,
}

/// Whatever the service: nothing is computed of a time at the ends of the calendar.
pub(super) fn refuse_out_of_reach(starts_at: Timestamp, now: Timestamp) -> Result<(), BookingError> {
    if starts_at <= now {
        return Err(BookingError::InThePast);
    }
    if starts_at > now + MAX_AHEAD {
        return Err(BookingError::TooFar);
    }
    Ok(())
}

/// Whether an instant is a number of steps after an opening.
fn is_on_grid(opens: Timestamp, at: Timestamp, step: SignedDuration) -> bool {
    let since = at.duration_since(opens);
    !since.is_negative() && step.as_secs() > 0 && since.subsec_nanos() == 0 && since.as_secs() % step.as_secs() == 0
}

/// Whether whoever asks is of the staff.
pub(super) fn is_staff(caller: &Caller<'_>) -> bool {
    caller.is_at_least(Role::Staff)
}
