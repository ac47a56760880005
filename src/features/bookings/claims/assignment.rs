//! Chooses and claims the resources of a booking.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{classes, queries, release::let_go};
use crate::{
    base::ids::ResourceId,
    db::ScopedTx,
    features::{
        bookings::{
            Booking, BookingError,
            model::{Claim, HeldClaim, Slot},
            slots::BookingContext,
        },
        resources::ResourceKind,
        services::Link,
    },
};

/// Claims what a new booking needs.
///
/// # Errors
/// `SlotTaken` when it is not available.
pub(crate) async fn take(
    tx: &ScopedTx,
    booking: &Booking,
    ground: &BookingContext,
    slot: &Slot,
    wanted: Option<ResourceId>,
    now: Timestamp,
    serves: impl Fn(ResourceId) -> bool,
) -> Result<(), BookingError> {
    let links = usable_links(ground)?;
    let may_be = |_: &[&Link], link: &Link| serves(link.resource) && !must_give_way(links, link, wanted);
    let taken = take_among(tx, booking, ground, slot, now, may_be).await;
    taken.map_err(|error| told(error, links, &serves))
}

/// Moves a booking's claims to another time. It keeps the resources that are free then and replaces the others.
///
/// # Errors
/// `SlotTaken` when what it needs is not available. The old claims are already released in this transaction, which the
/// caller rolls back.
pub(crate) async fn move_to(
    tx: &ScopedTx,
    booking: &Booking,
    ground: &BookingContext,
    slot: &Slot,
    now: Timestamp,
    serves: impl Fn(ResourceId) -> bool,
) -> Result<(), BookingError> {
    let links = usable_links(ground)?;
    let before = queries::resources_of(tx, &[booking.id]).await?.remove(&booking.id).unwrap_or_default();
    let_go(tx, booking.id).await?;
    if let Some(class) = ground.class_at(tx, slot.starts_at, now).await? {
        return classes::join(tx, booking, &class, None).await;
    }
    take_among(tx, booking, ground, slot, now, |free, link| {
        // The booking's own resource takes precedence over any other free one of its kind.
        let is_own = |it: &&Link| it.kind == link.kind && before.contains(&it.resource) && serves(it.resource);
        serves(link.resource) && (before.contains(&link.resource) || !free.iter().any(is_own))
    })
    .await
    .map_err(|error| told(error, links, &serves))
}

/// When no resource of a kind is on duty, the error says that it is closed and not that it is taken.
fn told(error: BookingError, links: &[Link], serves: &impl Fn(ResourceId) -> bool) -> BookingError {
    let is_there = |kind: ResourceKind| links.iter().any(|it| it.kind == kind && it.active && serves(it.resource));
    match error {
        BookingError::SlotTaken if !links.iter().all(|it| is_there(it.kind)) => BookingError::OutsideHours,
        other => other,
    }
}

fn usable_links(ground: &BookingContext) -> Result<&[Link], BookingError> {
    let links = &ground.links;
    if !links.is_empty() && links.iter().all(|it| !it.active) {
        return Err(BookingError::SlotTaken); // No resource can serve it at present.
    }
    Ok(links)
}

/// Whether another resource of the same kind is wanted instead.
fn must_give_way(links: &[Link], link: &Link, wanted: Option<ResourceId>) -> bool {
    let is_wanted = |it: &Link| it.kind == link.kind && wanted == Some(it.resource);
    links.iter().any(is_wanted) && wanted != Some(link.resource)
}

/// Chooses among the free and allowed resources, and claims them.
async fn take_among(
    tx: &ScopedTx,
    booking: &Booking,
    ground: &BookingContext,
    slot: &Slot,
    now: Timestamp,
    may_be: impl Fn(&[&Link], &Link) -> bool,
) -> Result<(), BookingError> {
    let (service, links) = (&ground.service, &ground.links);
    let claimable: Vec<Uuid> =
        if links.is_empty() { vec![service.id.0] } else { links.iter().map(|it| it.resource.0).collect() };
    let day = day_around(booking);
    let (from, to) = (day.0.min(slot.blocked_from), day.1.max(slot.blocked_to));
    // The locks are acquired before the claims are read.
    let (locked, held) =
        futures_util::join!(queries::lock_claimable(tx, &claimable), queries::held(tx, &claimable, (from, to), now));
    locked?;
    let held = held?;
    let is_taken = |id: Uuid, lane: i16| {
        held.iter()
            .any(|it| it.claimed == id && it.lane == lane && it.from < slot.blocked_to && it.to > slot.blocked_from)
    };
    let claims = if links.is_empty() {
        let lanes = 0..i16::try_from(service.capacity).unwrap_or(i16::MAX);
        vec![Claim::Seat(lanes.into_iter().find(|lane| !is_taken(service.id.0, *lane)).ok_or(BookingError::SlotTaken)?)]
    } else {
        let free: Vec<&Link> = links.iter().filter(|it| it.active && !is_taken(it.resource.0, 0)).collect();
        let usable: Vec<&Link> = free.iter().copied().filter(|it| may_be(&free, it)).collect();
        let mut kinds: Vec<ResourceKind> = links.iter().map(|it| it.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let chosen = kinds.into_iter().map(|kind| {
            let load = |link: &Link| load_of(&held, link.resource.0, day);
            least_loaded(usable.iter().copied().filter(|it| it.kind == kind), load).map(Claim::Resource)
        });
        chosen.collect::<Option<Vec<_>>>().ok_or(BookingError::SlotTaken)?
    };
    if ground.is_class() {
        return classes::open(tx, booking, slot, &claims, now).await;
    }
    if queries::insert_claims(tx, booking, slot, &claims, now).await? { Ok(()) } else { Err(BookingError::SlotTaken) }
}

/// The rule for "any": the highest priority; then the least booked time on the day of the booking, in its zone; then
/// the lowest id, so that the choice is deterministic.
fn least_loaded<'a>(
    links: impl Iterator<Item = &'a Link>,
    load: impl Fn(&Link) -> SignedDuration,
) -> Option<ResourceId> {
    links.min_by_key(|it| (-i32::from(it.priority), load(it), it.resource)).map(|it| it.resource)
}

/// How long something is claimed within an interval.
fn load_of(held: &[HeldClaim], claimed: Uuid, (from, to): (Timestamp, Timestamp)) -> SignedDuration {
    let within =
        held.iter().filter(|it| it.claimed == claimed).map(|it| it.to.min(to).duration_since(it.from.max(from)));
    within.filter(|it| it.is_positive()).sum()
}

/// The day on which a booking starts, in its zone, as a half-open interval.
fn day_around(booking: &Booking) -> (Timestamp, Timestamp) {
    let start = booking.starts_at.to_zoned(booking.time_zone.clone()).start_of_day();
    let next = start.as_ref().ok().and_then(|it| it.tomorrow().ok()).and_then(|it| it.start_of_day().ok());
    // Such a day is missing only at the ends of the calendar.
    let start = start.map_or(booking.starts_at, |it| it.timestamp());
    (start, next.map_or(booking.ends_at, |it| it.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u128, priority: i16) -> Link {
        let resource = ResourceId(Uuid::from_u128(number));
        Link { resource, kind: ResourceKind::Staff, priority, active: true }
    }

    #[test]
    fn the_highest_priority_then_the_least_loaded_then_the_lowest_id() {
        let links = [link(1, 0), link(2, 5), link(3, 5), link(4, 5)];
        let minutes = |number: u128| {
            SignedDuration::from_mins(match number {
                2 => 90,
                3 | 4 => 30,
                _ => 0,
            })
        };
        let load = |it: &Link| minutes(it.resource.0.as_u128());
        assert_eq!(least_loaded(links.iter(), load), Some(link(3, 5).resource));
        assert_eq!(least_loaded(links[..2].iter(), load), Some(link(2, 5).resource), "priority before load");
        assert_eq!(least_loaded([].iter(), load), None);
    }

    #[test]
    fn a_load_is_what_is_held_within_the_day() {
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let id = Uuid::from_u128(1);
        let held = |claimed, from, to| HeldClaim { claimed, lane: 0, from: at(from), to: at(to) };
        let all = [held(id, -2, 1), held(id, 5, 6), held(Uuid::from_u128(2), 7, 9), held(id, 23, 30), held(id, 24, 25)];
        assert_eq!(load_of(&all, id, (at(0), at(24))), SignedDuration::from_hours(3));
    }
}
