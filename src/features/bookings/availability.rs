//! Computes free times, and explains why a time is not free.
//!
//! One flush reads everything needed: the service, what can serve it, the hours, and existing claims. A time is offered
//! when [`BookingContext::validate_slot`] allows it and the claims leave room; only the claims decide on booking.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    BookingError, MAX_AHEAD,
    claims::queries,
    model::{Class, HeldClaim, Slot},
    slots::{BookingContext, is_staff},
};
use crate::{
    base::ids::{ResourceId, ServiceId},
    core::identity::Caller,
    features::{
        hours::{self, Open, Owner},
        resources::ResourceKind,
        services::Link,
    },
};

/// Maximum number of free times in one response: 62 days in steps of five minutes have 17,856.
pub(super) const MAX_SLOTS: usize = 20_000;
/// Maximum number of days in one request.
pub(super) const MAX_DAYS: i64 = 62;
/// The longest buffer on either side, which bounds how far from a time claims matter.
const REACH: SignedDuration = SignedDuration::from_hours(48);

/// A time at which a service can be booked.
#[derive(Clone, Debug)]
pub struct FreeSlot {
    /// The start.
    pub starts_at: Timestamp,
    /// The end (exclusive).
    pub ends_at: Timestamp,
    /// The resources that could serve it, in the order in which they would be chosen.
    pub resources: Vec<ResourceId>,
    /// How many more bookings fit.
    pub places: i32,
}

/// Why a time cannot be booked. It never says who holds the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The service cannot be booked.
    Inactive,
    /// The time has passed.
    Past,
    /// The start is too soon.
    Notice,
    /// The start is too far ahead.
    Window,
    /// Closed at this time, by the weekly hours.
    Hours,
    /// Closed at this time, by an exception for this day.
    Override,
    /// Bookings cannot start at this time of the grid.
    Step,
    /// Every seat is taken.
    Seats,
    /// The resources that could serve it are taken.
    Taken,
    /// The time is free, but the buffer before or after is not.
    Buffer,
}

/// Everything that decides about a service around a time, including existing claims.
struct Picture {
    ground: BookingContext,
    /// Claimed times by resource or service and lane, sorted.
    held: HashMap<(Uuid, i16), Vec<(Timestamp, Timestamp)>>,
    /// Classes by their start.
    classes: HashMap<Timestamp, Class>,
}

impl Picture {
    /// Reads everything in one flush.
    async fn look(caller: &Caller<'_>, id: ServiceId, from: Timestamp, to: Timestamp) -> Result<Self, BookingError> {
        let (tx, now, around) = (caller.tx, caller.clock.now(), (from - REACH, to + REACH));
        let (ground, held, classes) = futures_util::join!(
            BookingContext::read(tx, id, from),
            queries::held_around_service(tx, id, around, now),
            queries::classes_of(tx, id, around, now)
        );
        let (ground, rows, classes) = (ground?, held?, classes?);
        if !ground.service.active && !is_staff(caller) {
            return Err(BookingError::ServiceNotFound);
        }
        let mut held: HashMap<(Uuid, i16), Vec<(Timestamp, Timestamp)>> = HashMap::new();
        for HeldClaim { claimed, lane, from, to } in rows {
            held.entry((claimed, lane)).or_default().push((from, to));
        }
        // Times in one lane never overlap, so both ends are in order.
        held.values_mut().for_each(|it| it.sort_unstable());
        let classes = classes.into_iter().map(|it| (it.starts_at, it)).collect();
        Ok(Self { ground, held, classes })
    }

    fn slot_at(&self, starts_at: Timestamp) -> Slot {
        self.ground.slot_at(starts_at, self.class_at(starts_at))
    }

    fn class_at(&self, starts_at: Timestamp) -> Option<&Class> {
        self.classes.get(&starts_at).filter(|_| self.ground.is_class())
    }

    fn is_free(&self, claimed: Uuid, lane: i16, from: Timestamp, to: Timestamp) -> bool {
        let Some(held) = self.held.get(&(claimed, lane)) else { return true };
        let next = held.partition_point(|it| it.1 <= from);
        held.get(next).is_none_or(|it| it.0 >= to)
    }

    /// What a booking with this start and blocked time could use: resources of each kind, or seats. Returns no
    /// resources and 0 when there is no room.
    fn room(
        &self,
        starts_at: Timestamp,
        (from, to): (Timestamp, Timestamp),
        wanted: Option<ResourceId>,
        serves: impl Fn(ResourceId) -> bool,
    ) -> (Vec<ResourceId>, i32) {
        if let Some(class) = self.class_at(starts_at) {
            let has = wanted.is_none_or(|it| class.resources.contains(&it));
            return if has { (class.resources.clone(), class.seats_free) } else { (Vec::new(), 0) };
        }
        if self.ground.links.is_empty() {
            let lanes = 0..i16::try_from(self.ground.service.capacity).unwrap_or(i16::MAX);
            let free = lanes.filter(|lane| self.is_free(self.ground.service.id.0, *lane, from, to)).count();
            return (Vec::new(), count(free));
        }
        let wanted_kind = self.ground.links.iter().find(|it| Some(it.resource) == wanted).map(|it| it.kind);
        let may_be = |it: &&Link| {
            it.active
                && (wanted_kind != Some(it.kind) || Some(it.resource) == wanted)
                && self.is_free(it.resource.0, 0, from, to)
                && serves(it.resource)
        };
        let free: Vec<&Link> = self.ground.links.iter().filter(may_be).collect();
        // At most one pass for each of the three kinds.
        let of_kind = |kind| free.iter().filter(|it| it.kind == kind).count();
        let needs = |kind: &ResourceKind| self.ground.links.iter().any(|it| it.kind == *kind);
        let kinds = [ResourceKind::Staff, ResourceKind::Room, ResourceKind::Equipment];
        let places = kinds.into_iter().filter(needs).map(of_kind).min().unwrap_or(0);
        if places == 0 {
            return (Vec::new(), 0);
        }
        let places = if self.ground.is_class() { self.ground.service.capacity } else { count(places) };
        (free.iter().map(|it| it.resource).collect(), places)
    }
}

/// Which free times are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Times that start at this instant or later.
    pub from: Timestamp,
    /// Times that start before this instant.
    pub to: Timestamp,
    /// Only with this resource.
    pub resource: Option<ResourceId>,
    /// Only so many, the earliest ones; `None` for all.
    pub first: Option<usize>,
}

/// The free times of a service that start within an interval, in order. Staff get the same result as customers.
///
/// # Errors
/// `ServiceNotFound`, `ResourceNotFound` when the resource cannot serve it, `TooManyDays`, `TooManySlots`.
pub async fn availability(caller: &Caller<'_>, service: ServiceId, wish: Wish) -> Result<Vec<FreeSlot>, BookingError> {
    let Wish { from, to, resource, first } = wish;
    if to.duration_since(from) > SignedDuration::from_hours(24 * MAX_DAYS) {
        return Err(BookingError::TooManyDays(MAX_DAYS));
    }
    if first.is_some_and(|it| !(1..=MAX_SLOTS).contains(&it)) {
        return Err(BookingError::TooManySlots(MAX_SLOTS));
    }
    let now = caller.clock.now();
    let (from, to) = (from.max(now), to.min(now + MAX_AHEAD));
    let (from, to) = if from < to { (from, to) } else { (now, now) };
    let picture = Box::pin(Picture::look(caller, service, from, to)).await?;
    let ground = &picture.ground;
    ground.require(resource)?;
    let service = &ground.service;
    if !service.active || from >= to {
        return Ok(Vec::new());
    }
    let duration = SignedDuration::from_mins(i64::from(service.duration_minutes));
    let earliest = from
        .max(now + SignedDuration::from_mins(i64::from(ground.rules().min_notice_minutes)))
        .max(now + SignedDuration::from_millis(1));
    let to = to.min(ground.latest_start(resource, now));
    if earliest >= to {
        return Ok(Vec::new());
    }
    let open = ground.open(from, to + duration);
    let of_resources: HashMap<ResourceId, Open> = ground
        .links
        .iter()
        .map(|it| (it.resource, hours::merge(&ground.opening.open(Owner::Resource(it.resource), from, to + duration))))
        .collect();
    let grid = ground.grid(resource, from, to);
    let has_step = service.rules.slot_step_minutes.is_some();
    let mut free = Vec::new();
    for (starts_at, combinations) in grid.starts(ground.offered_step(), earliest, to) {
        let slot = picture.slot_at(starts_at);
        if !hours::contain(&open, slot.starts_at, slot.ends_at) {
            continue;
        }
        let serves = |it: ResourceId| {
            // Without a step, a booking with any resource can start at any time.
            (!has_step || grid.one_includes(&combinations, it))
                && of_resources.get(&it).is_some_and(|open| hours::contain(open, slot.starts_at, slot.ends_at))
        };
        let blocked = (slot.blocked_from, slot.blocked_to);
        let (resources, places) = picture.room(starts_at, blocked, resource, serves);
        if places > 0 {
            free.push(FreeSlot { starts_at, ends_at: slot.ends_at, resources, places });
            if first.is_some_and(|it| free.len() >= it) {
                break;
            }
            if free.len() > MAX_SLOTS {
                return Err(BookingError::TooManySlots(MAX_SLOTS));
            }
        }
    }
    Ok(free)
}

/// Why a customer cannot book a time; `None` when they can.
///
/// # Errors
/// `ServiceNotFound`, `ResourceNotFound` when the resource cannot serve it, or a statement failed.
pub async fn obstacle(
    caller: &Caller<'_>,
    service: ServiceId,
    starts_at: Timestamp,
    resource: Option<ResourceId>,
) -> Result<Option<Obstacle>, BookingError> {
    let now = caller.clock.now();
    // Far outside the bookable range there are no hours or claims to read.
    let around = starts_at.clamp(now - REACH, now + MAX_AHEAD + REACH);
    let picture = Box::pin(Picture::look(caller, service, around, around)).await?;
    let ground = &picture.ground;
    ground.require(resource)?;
    if !ground.service.active {
        return Ok(Some(Obstacle::Inactive));
    }
    if starts_at != around {
        return Ok(Some(if starts_at < now { Obstacle::Past } else { Obstacle::Window }));
    }
    let slot = picture.slot_at(starts_at);
    let day = |owner| ground.opening.is_closed_by_override(owner, slot.starts_at, slot.ends_at);
    let of_resources = || ground.links.iter().any(|it| day(Owner::Resource(it.resource)));
    // With the rules for customers, also for staff.
    match ground.validate_slot(false, &slot, resource, now) {
        Ok(()) => {}
        Err(BookingError::InThePast) => return Ok(Some(Obstacle::Past)),
        Err(BookingError::NoticeTooShort(_)) => return Ok(Some(Obstacle::Notice)),
        Err(BookingError::TooFar | BookingError::PastWindow(_)) => return Ok(Some(Obstacle::Window)),
        Err(BookingError::OutsideHours) if day(Owner::Tenant) || day(Owner::Service(service)) || of_resources() => {
            return Ok(Some(Obstacle::Override));
        }
        Err(BookingError::OutsideHours) => return Ok(Some(Obstacle::Hours)),
        Err(BookingError::OffGrid(_)) => return Ok(Some(Obstacle::Step)),
        Err(other) => return Err(other),
    }
    let serves = ground.serving(false, &slot);
    let room = |blocked| picture.room(starts_at, blocked, resource, &serves).1;
    if room((slot.blocked_from, slot.blocked_to)) > 0 {
        return Ok(None);
    }
    let links = &ground.links;
    let has_active = |it: &Link| links.iter().any(|other| other.kind == it.kind && other.active);
    let has_seats = links.is_empty() && ground.service.capacity > 1;
    Ok(Some(if picture.class_at(starts_at).is_some_and(|it| it.seats_free == 0) {
        Obstacle::Seats
    } else if !links.iter().all(has_active) {
        Obstacle::Inactive
    } else if room((slot.starts_at, slot.ends_at)) > 0 {
        Obstacle::Buffer
    } else if has_seats {
        Obstacle::Seats
    } else if links.is_empty() || ground.is_staffed(&serves) {
        Obstacle::Taken
    } else if of_resources() {
        Obstacle::Override
    } else {
        Obstacle::Hours
    }))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
