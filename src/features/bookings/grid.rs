//! The times at which bookings of a service start, by the hours of everything that a booking takes.
//!
//! A booking takes one resource of each kind. Each combination of them has a grid of its own, which starts when the
//! resources, the service and the tenant are all open. Resources with the same hours count as one.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::{
    base::ids::{ResourceId, ServiceId},
    features::{
        hours::{Hours, Owner, StartSpan, Timetable},
        resources::ResourceKind,
        services::Link,
    },
};

const KINDS: [ResourceKind; 3] = [ResourceKind::Staff, ResourceKind::Room, ResourceKind::Equipment];

/// The grids around a time.
pub(super) struct Grid {
    combinations: Vec<Combination>,
    /// The number of the group of resources with the same hours.
    groups: HashMap<ResourceId, usize>,
}

/// What one booking takes.
struct Combination {
    groups: Vec<usize>,
    spans: Vec<StartSpan>,
}

/// A start, and the combinations on whose grids it is.
pub(super) type Start = (Timestamp, Vec<usize>);

impl Grid {
    /// The grids of a service; with a wanted resource, only those of what includes it.
    pub(super) fn of(
        hours: &Hours,
        links: &[Link],
        service: ServiceId,
        wanted: Option<ResourceId>,
        (from, to): (Timestamp, Timestamp),
    ) -> Self {
        let (mut groups, mut leaders): (HashMap<ResourceId, usize>, Vec<ResourceId>) = (HashMap::new(), Vec::new());
        let mut timetables: Vec<Timetable<'_>> = Vec::new();
        let mut combined: Vec<Vec<usize>> = vec![Vec::new()];
        for kind in KINDS {
            let of_kind = || links.iter().filter(move |it| it.kind == kind);
            let is_wanted = of_kind().any(|it| Some(it.resource) == wanted);
            // Where no resource of a kind is active, their hours still say when one would be there.
            let is_staffed = of_kind().any(|it| it.active);
            let first = leaders.len();
            for link in of_kind() {
                if (is_wanted && Some(link.resource) != wanted) || (!is_wanted && is_staffed && !link.active) {
                    continue;
                }
                let timetable = hours.timetable(Owner::Resource(link.resource));
                let found = timetables[first..].iter().position(|it| *it == timetable).map(|it| first + it);
                let group = found.unwrap_or(leaders.len());
                if group == leaders.len() {
                    leaders.push(link.resource);
                    timetables.push(timetable);
                }
                groups.insert(link.resource, group);
            }
            if leaders.len() > first {
                let with = |group: usize| combined.iter().map(move |it| it.iter().copied().chain([group]).collect());
                combined = (first..leaders.len()).flat_map(with).collect();
            }
        }
        let combination = |groups: Vec<usize>| {
            let resources = groups.iter().map(|it| Owner::Resource(leaders[*it]));
            let owners: Vec<Owner> = resources.chain([Owner::Service(service), Owner::Tenant]).collect();
            Combination { spans: hours.start_spans(&owners, from, to), groups }
        };
        Self { combinations: combined.into_iter().map(combination).collect(), groups }
    }

    /// The starts within an interval, in order.
    pub(super) fn starts(&self, step_minutes: i32, from: Timestamp, to: Timestamp) -> Vec<Start> {
        let mut all: Vec<(Timestamp, usize)> = Vec::new();
        for (number, combination) in self.combinations.iter().enumerate() {
            let starts = combination.spans.iter().flat_map(|it| it.starts(step_minutes));
            all.extend(starts.filter(|it| *it >= from && *it < to).map(|it| (it, number)));
        }
        all.sort_unstable();
        all.dedup();
        all.chunk_by(|one, other| one.0 == other.0).map(|it| (it[0].0, it.iter().map(|it| it.1).collect())).collect()
    }

    /// Whether a booking can start at an instant.
    pub(super) fn has(&self, at: Timestamp, step_minutes: i32) -> bool {
        self.combinations.iter().any(|it| it.has(at, step_minutes))
    }

    /// Whether a booking that uses a resource can start at an instant.
    pub(super) fn has_with(&self, resource: ResourceId, at: Timestamp, step_minutes: i32) -> bool {
        let with = self.combinations.iter().filter(|it| self.includes(it, resource));
        with.into_iter().any(|it| it.has(at, step_minutes))
    }

    /// Whether one of these combinations includes a resource.
    pub(super) fn one_includes(&self, combinations: &[usize], resource: ResourceId) -> bool {
        combinations.iter().any(|it| self.includes(&self.combinations[*it], resource))
    }

    fn includes(&self, combination: &Combination, resource: ResourceId) -> bool {
        self.groups.get(&resource).is_some_and(|group| combination.groups.contains(group))
    }
}

impl Combination {
    fn has(&self, at: Timestamp, step_minutes: i32) -> bool {
        self.spans.iter().any(|it| it.has(at, step_minutes))
    }
}
