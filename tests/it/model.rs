//! Stateful property tests: random operations of several clients against a simple model in memory.
//!
//! With one client after the other, every answer is as the model predicts. With all at once, through two processes, and
//! with backends killed meanwhile, all acknowledged data exists, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};

use tenantry::base::clock::Clock;

use crate::{
    bookings::OVERLAPS,
    support::{Options, Person, TestApp, TestTenant, code},
};

/// Times of a day at which bookings are attempted, a quarter of an hour apart: so that they overlap.
const TIMES: usize = 10;

/// An action of a client. Bookings and series are named by their position among those that it has created.
#[derive(Clone, Debug)]
enum Op {
    Book {
        service: usize,
        time: usize,
    },
    Hold {
        service: usize,
        time: usize,
    },
    Confirm {
        which: usize,
    },
    Cancel {
        which: usize,
    },
    Move {
        which: usize,
        time: usize,
    },
    Series {
        service: usize,
        time: usize,
        count: usize,
        skips: bool,
    },
    CancelSeries {
        which: usize,
        from: usize,
    },
    /// Minutes pass: holds last ten.
    Wait {
        minutes: i64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (service, time, which) = (0..SERVICES.len(), 0..TIMES, 0..8_usize);
    prop_oneof![
        5 => (service.clone(), time.clone()).prop_map(|(service, time)| Op::Book { service, time }),
        3 => (service.clone(), time.clone()).prop_map(|(service, time)| Op::Hold { service, time }),
        3 => which.clone().prop_map(|which| Op::Confirm { which }),
        3 => which.clone().prop_map(|which| Op::Cancel { which }),
        3 => (which.clone(), time.clone()).prop_map(|(which, time)| Op::Move { which, time }),
        1 => (service, time, 1..4_usize, any::<bool>())
            .prop_map(|(service, time, count, skips)| Op::Series { service, time, count, skips }),
        1 => (which, 0..3_usize).prop_map(|(which, from)| Op::CancelSeries { which, from }),
        1 => (1..7_i64).prop_map(|minutes| Op::Wait { minutes }),
    ]
}

/// The services: name, length, buffer after it, seats, and the kinds of resources it needs.
struct Kind {
    name: &'static str,
    minutes: i64,
    after: i64,
    seats: usize,
    takes: &'static [&'static [&'static str]],
}

const SERVICES: [Kind; 4] = [
    Kind { name: "Seats", minutes: 45, after: 0, seats: 2, takes: &[] },
    Kind { name: "Chair", minutes: 30, after: 15, seats: 1, takes: &[&["Anna", "Ben"]] },
    Kind { name: "Class", minutes: 60, after: 0, seats: 2, takes: &[&["Ben"], &["Hall"]] },
    Kind { name: "Both", minutes: 30, after: 0, seats: 1, takes: &[&["Anna", "Ben"], &["Hall"]] },
];

/// A tenant with all of these services.
struct World {
    acme: TestTenant,
    services: Vec<String>,
    /// The first of the times.
    base: Timestamp,
}

impl World {
    async fn new(app: &TestApp) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let acme = app.tenant(&format!("model-{}", NUMBER.fetch_add(1, Ordering::Relaxed))).await;
        let mut ids = BTreeMap::new();
        for (kind, name) in [("STAFF", "Anna"), ("STAFF", "Ben"), ("ROOM", "Hall")] {
            ids.insert(name, acme.admin.create_resource(kind, name).await);
        }
        let mut services = Vec::new();
        for kind in &SERVICES {
            let fields = json!({
                "name": kind.name, "durationMinutes": kind.minutes, "bufferAfterMinutes": kind.after, "capacity": kind.seats
            });
            let service = acme.admin.create_service(fields).await;
            let links: Vec<(&str, i32)> =
                kind.takes.iter().copied().flatten().map(|it| (ids[it].as_str(), 0)).collect();
            assert_eq!(code(&acme.admin.link(&service, &links).await), "");
            services.push(service);
        }
        // At ten in the morning of a day, in winter and in summer time alike, as series follow the wall clock.
        let day =
            (app.clock.now() + SignedDuration::from_hours(24 * 4)).to_zoned(TimeZone::get("Europe/Amsterdam").unwrap());
        let base = day.date().at(10, 0, 0, 0).in_tz("Europe/Amsterdam").unwrap().timestamp();
        Self { acme, services, base }
    }

    fn at(&self, time: usize) -> Timestamp {
        self.base + SignedDuration::from_mins(15 * i64::try_from(time).unwrap())
    }

    async fn book(&self, who: &Person, service: usize, time: usize, note: &str) -> Value {
        let query = "mutation($input: CreateBookingInput!) { it: createBooking(input: $input) { booking { id status resources { name } } userErrors { code } } }";
        let input =
            json!({ "serviceId": self.services[service], "startsAt": self.at(time).to_string(), "notes": note });
        who.run_with(query, json!({ "input": input })).await
    }

    async fn hold(&self, who: &Person, service: usize, time: usize) -> Value {
        let query = "mutation($input: HoldSlotInput!) { it: holdSlot(input: $input) { booking { id status resources { name } } userErrors { code } } }";
        let input = json!({ "serviceId": self.services[service], "startsAt": self.at(time).to_string() });
        who.run_with(query, json!({ "input": input })).await
    }

    async fn confirm(&self, who: &Person, id: &str) -> Value {
        let query = "mutation($id: ID!) { it: confirmHold(input: { id: $id }) { booking { id status resources { name } } userErrors { code } } }";
        who.run_with(query, json!({ "id": id })).await
    }

    async fn cancel(&self, who: &Person, id: &str) -> Value {
        let query = "mutation($id: ID!) { it: cancelBooking(input: { id: $id }) { booking { id status resources { name } } userErrors { code } } }";
        who.run_with(query, json!({ "id": id })).await
    }

    async fn reschedule(&self, who: &Person, id: &str, time: usize) -> Value {
        let query = "mutation($input: RescheduleBookingInput!) { it: rescheduleBooking(input: $input) { booking { id status resources { name } } userErrors { code } } }";
        who.run_with(query, json!({ "input": { "id": id, "startsAt": self.at(time).to_string() } })).await
    }

    async fn series(&self, who: &Person, service: usize, time: usize, count: usize, skips: bool, note: &str) -> Value {
        let query = "mutation($input: CreateBookingSeriesInput!) { it: createBookingSeries(input: $input) { series { id } occurrences { startsAt booking { id status resources { name } } error { code } } userErrors { code } } }";
        let start = self.at(time).to_zoned(TimeZone::get("Europe/Amsterdam").unwrap());
        let input = json!({
            "serviceId": self.services[service], "frequency": "WEEKLY", "firstDay": start.date().to_string(),
            "time": start.strftime("%H:%M").to_string(), "count": count, "onConflict": if skips { "SKIP" } else { "FAIL" },
            "notes": note
        });
        who.run_with(query, json!({ "input": input })).await
    }

    async fn cancel_series(&self, who: &Person, id: &str, from: &str) -> Value {
        let query = "mutation($input: CancelBookingSeriesInput!) { it: cancelBookingSeries(input: $input) { cancellations { booking { id status } error { code } } userErrors { code } } }";
        let input = json!({ "id": id, "scope": "FOLLOWING", "bookingId": from });
        who.run_with(query, json!({ "input": input })).await
    }

    /// Violations in the store, whatever was done: overlaps, seats above the capacity, counters and claims that do not
    /// match the active bookings.
    async fn faults(&self) -> Vec<String> {
        let app = &self.acme.app;
        let mut faults = Vec::new();
        for (what, sql) in [
            ("overlaps", OVERLAPS),
            (
                "classes that are not as their bookings are",
                "select count(*) from shared.occurrences o
                  where o.seats_taken > o.capacity or o.active <> (o.seats_taken > 0)
                     or o.seats_taken <> (select count(*) from shared.bookings b
                          where b.tenant_id = o.tenant_id and b.occurrence_id = o.id and b.holds_seat
                            and b.service_id = o.service_id and b.starts_at = o.starts_at and b.ends_at = o.ends_at)
                     or exists (select from shared.booking_claims c where c.occurrence_id = o.id and c.active <> o.active)",
            ),
            (
                "bookings that stand and hold nothing, or ended and hold something",
                "select count(*) from shared.bookings b
                  where (b.status in ('HELD', 'PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW'))
                     <> (b.holds_seat or exists (
                       select from shared.booking_claims c where c.tenant_id = b.tenant_id and c.booking_id = b.id and c.active))",
            ),
            (
                "claims that are not around their booking",
                "select count(*) from shared.booking_claims c join shared.bookings b on b.tenant_id = c.tenant_id and b.id = c.booking_id
                  where c.active and not (c.blocked_from <= b.starts_at and c.blocked_to >= b.ends_at)",
            ),
            (
                "histories that do not end where their booking stands",
                "select count(*) from shared.bookings b where b.status is distinct from (
                   select t.to_status from shared.booking_transitions t where t.tenant_id = b.tenant_id and t.booking_id = b.id
                    order by t.booking_version desc limit 1) and b.status <> 'EXPIRED'",
            ),
        ] {
            let found = app.truth(sql).await;
            if found != ["0"] {
                faults.push(format!("{what}: {found:?}"));
            }
        }
        faults
    }

    /// Every booking of the tenant as stored: id, status, start, note; expired ones count as expired.
    async fn truth(&self) -> BTreeMap<String, (String, String, String)> {
        let now = self.acme.app.clock.now();
        let sql = format!(
            "select id, case when status = 'HELD' and held_until <= '{now}' then 'EXPIRED' else status end,
                    to_char(starts_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), coalesce(notes, '')
               from shared.bookings where tenant_id = '{}'",
            self.acme.id.0
        );
        let rows = self.acme.app.truth(&sql).await;
        let read = |row: String| {
            let mut parts = row.split(" | ").map(str::to_owned);
            let mut next = || parts.next().unwrap_or_default();
            let id = tenantry::base::ids::BookingId(next().parse().unwrap()).to_string();
            (id, (next(), next(), next()))
        };
        rows.into_iter().map(read).collect()
    }
}

/// A booking as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    owner: usize,
    service: usize,
    from: Timestamp,
    status: &'static str,
    held_until: Option<Timestamp>,
    /// Its customer and resources, as the answer said.
    resources: Vec<String>,
    /// Its seat, for a service without resources.
    lane: usize,
}

impl Known {
    /// The first instant after it and the buffer behind it.
    fn until(&self) -> Timestamp {
        let kind = &SERVICES[self.service];
        self.from + SignedDuration::from_mins(kind.minutes + kind.after)
    }
}

/// The complete state when clients act one after the other.
#[derive(Default)]
struct Model {
    bookings: Vec<Known>,
    /// Series by owner, with their bookings' ids.
    series: Vec<(usize, String, Vec<String>)>,
    now: Timestamp,
}

/// What was requested, as far as the model needs it.
#[derive(Clone, Copy)]
struct Wish {
    owner: usize,
    service: usize,
    from: Timestamp,
}

impl Model {
    fn stands(&self, it: &Known) -> bool {
        it.status == "CONFIRMED" || it.status == "HELD" && it.held_until.is_some_and(|until| until > self.now)
    }

    /// Active bookings that block a booking of this service, except the one that it replaces.
    fn in_the_way<'a>(&'a self, wish: Wish, but: Option<&'a str>) -> impl Iterator<Item = &'a Known> {
        let kind = &SERVICES[wish.service];
        let until = wish.from + SignedDuration::from_mins(kind.minutes + kind.after);
        let others = self.bookings.iter().filter(move |it| self.stands(it) && Some(it.id.as_str()) != but);
        others.filter(move |it| it.from < until && it.until() > wish.from)
    }

    /// The lowest free lane.
    fn free_lane(&self, wish: Wish, but: Option<&str>) -> Option<usize> {
        let taken: BTreeSet<usize> =
            self.in_the_way(wish, but).filter(|it| it.service == wish.service).map(|it| it.lane).collect();
        (0..SERVICES[wish.service].seats).find(|lane| !taken.contains(lane))
    }

    fn has_room(&self, wish: Wish, but: Option<&str>) -> bool {
        let kind = &SERVICES[wish.service];
        if kind.takes.is_empty() {
            return self.free_lane(wish, but).is_some();
        }
        let together = self.in_the_way(wish, but).filter(|it| it.service == wish.service && it.from == wish.from);
        match (kind.seats, together.count()) {
            (2.., members @ 1..) => members < kind.seats,
            _ => {
                let is_free =
                    |one: &str| !self.in_the_way(wish, but).any(|it| it.resources.iter().any(|held| held == one));
                kind.takes.iter().all(|some| some.iter().any(|one| is_free(one)))
            }
        }
    }

    /// Records a booking that an answer reports.
    fn add(&mut self, wish: Wish, booking: &Value, status: &'static str) -> Result<(), String> {
        let id = booking["id"].as_str().ok_or("no id")?.to_owned();
        let lane = self.free_lane(wish, None).unwrap_or(0);
        let known = Known {
            id,
            owner: wish.owner,
            service: wish.service,
            from: wish.from,
            status,
            held_until: (status == "HELD").then(|| self.now + SignedDuration::from_mins(10)),
            resources: self.chosen(wish, booking, None)?,
            lane,
        };
        self.bookings.push(known);
        Ok(())
    }

    /// The resources that an answer reports for a booking: one of each needed kind, and none that another booking
    /// occupies at the time.
    fn chosen(&self, wish: Wish, booking: &Value, but: Option<&str>) -> Result<Vec<String>, String> {
        let names: Vec<String> = booking["resources"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it["name"].as_str())
            .map(str::to_owned)
            .collect();
        let kind = &SERVICES[wish.service];
        let fits = names.len() == kind.takes.len()
            && kind.takes.iter().all(|some| names.iter().filter(|name| some.contains(&name.as_str())).count() == 1);
        let shares = |it: &Known| kind.seats > 1 && it.service == wish.service && it.from == wish.from;
        let stolen =
            self.in_the_way(wish, but).any(|it| !shares(it) && it.resources.iter().any(|held| names.contains(held)));
        if fits && !stolen { Ok(names) } else { Err(format!("{} took {names:?}", kind.name)) }
    }

    fn own(&self, owner: usize, which: usize) -> Option<usize> {
        let own: Vec<usize> = (0..self.bookings.len()).filter(|at| self.bookings[*at].owner == owner).collect();
        if own.is_empty() { None } else { Some(own[which % own.len()]) }
    }

    /// Executes it, and compares the answer with the model's prediction.
    async fn step(&mut self, world: &World, owner: usize, op: &Op) -> Result<(), String> {
        let who = [&world.acme.user, &world.acme.other, &world.acme.staff][owner];
        let same = |expected: &str, answer: &Value| {
            let told = code(answer);
            if told == expected {
                Ok(())
            } else {
                Err(format!("{op:?} by {owner}: {told:?} and not {expected:?}: {answer}"))
            }
        };
        match *op {
            Op::Book { service, time } | Op::Hold { service, time } => {
                let wish = Wish { owner, service, from: world.at(time) };
                let is_hold = matches!(op, Op::Hold { .. });
                let holds =
                    self.bookings.iter().filter(|it| it.owner == owner && it.status == "HELD" && self.stands(it));
                let expected = if is_hold && owner < 2 && holds.count() >= 3 {
                    "QUOTA_EXCEEDED"
                } else if self.has_room(wish, None) {
                    ""
                } else {
                    "SLOT_TAKEN"
                };
                let answer = if is_hold {
                    world.hold(who, service, time).await
                } else {
                    world.book(who, service, time, "").await
                };
                same(expected, &answer)?;
                if expected.is_empty() {
                    self.add(wish, &answer["data"]["it"]["booking"], if is_hold { "HELD" } else { "CONFIRMED" })?;
                }
            }
            Op::Confirm { which } => {
                let Some(at) = self.own(owner, which) else { return Ok(()) };
                let is_good = self.bookings[at].status == "HELD" && self.stands(&self.bookings[at]);
                same(
                    if is_good { "" } else { "INVALID_TRANSITION" },
                    &world.confirm(who, &self.bookings[at].id).await,
                )?;
                if is_good {
                    self.bookings[at].status = "CONFIRMED";
                }
            }
            Op::Cancel { which } => {
                let Some(at) = self.own(owner, which) else { return Ok(()) };
                let answer = world.cancel(who, &self.bookings[at].id).await;
                // An expired hold may have been released by now, or cancelled as well.
                let is_over = self.bookings[at].status == "HELD" && !self.stands(&self.bookings[at]);
                if !is_over {
                    same(if self.stands(&self.bookings[at]) { "" } else { "INVALID_TRANSITION" }, &answer)?;
                }
                if code(&answer).is_empty() {
                    self.bookings[at].status = "CANCELLED";
                }
            }
            Op::Move { which, time } => {
                let Some(at) = self.own(owner, which) else { return Ok(()) };
                let before = self.bookings[at].clone();
                let wish = Wish { owner, service: before.service, from: world.at(time) };
                let expected = match before.status {
                    "CONFIRMED" if self.has_room(wish, Some(&before.id)) => "",
                    "CONFIRMED" => "SLOT_TAKEN",
                    _ => "INVALID_TRANSITION",
                };
                let answer = world.reschedule(who, &before.id, time).await;
                same(expected, &answer)?;
                if expected.is_empty() {
                    let resources = self.chosen(wish, &answer["data"]["it"]["booking"], Some(&before.id))?;
                    let lane = self.free_lane(wish, Some(&before.id)).unwrap_or(0);
                    self.bookings[at] = Known { from: wish.from, resources, lane, ..before };
                }
            }
            Op::Series { service, time, count, skips } => {
                let answer = world.series(who, service, time, count, skips, "").await;
                let occurrences = answer["data"]["it"]["occurrences"].as_array().cloned().unwrap_or_default();
                if occurrences.len() != count {
                    return Err(format!("{op:?}: {answer}"));
                }
                let mut wishes = Vec::new();
                for it in &occurrences {
                    let from: Timestamp = it["startsAt"].as_str().and_then(|it| it.parse().ok()).ok_or("no start")?;
                    let wish = Wish { owner, service, from };
                    let expected = if self.has_room(wish, None) { Value::Null } else { json!("SLOT_TAKEN") };
                    if it["error"]["code"] != expected {
                        return Err(format!("{op:?}: {from} is {expected}: {answer}"));
                    }
                    wishes.push((wish, expected.is_null()));
                }
                let had = wishes.iter().filter(|it| it.1).count();
                let is_made = had > 0 && (skips || had == count);
                if answer["data"]["it"]["series"].is_object() != is_made {
                    return Err(format!("{op:?}: {answer}"));
                }
                let mut ids = Vec::new();
                for (it, (wish, is_had)) in occurrences.iter().zip(wishes) {
                    if is_made && is_had {
                        self.add(wish, &it["booking"], "CONFIRMED")?;
                        ids.push(it["booking"]["id"].as_str().unwrap_or_default().to_owned());
                    } else if !it["booking"].is_null() {
                        return Err(format!("{op:?}: a booking of what was not made: {answer}"));
                    }
                }
                if is_made {
                    let id = answer["data"]["it"]["series"]["id"].as_str().unwrap_or_default().to_owned();
                    self.series.push((owner, id, ids));
                }
            }
            Op::CancelSeries { which, from } => {
                let own: Vec<_> = self.series.iter().filter(|it| it.0 == owner).cloned().collect();
                if own.is_empty() {
                    return Ok(());
                }
                let (_, id, ids) = &own[which % own.len()];
                let first = &ids[from % ids.len()];
                let answer = world.cancel_series(who, id, first).await;
                same("", &answer)?;
                let begins = self.bookings.iter().find(|it| it.id == *first).map(|it| it.from).ok_or("unknown")?;
                let ends: Vec<usize> = (0..self.bookings.len())
                    .filter(|at| ids.contains(&self.bookings[*at].id) && self.bookings[*at].from >= begins)
                    .filter(|at| self.bookings[*at].status == "CONFIRMED")
                    .collect();
                let told = answer["data"]["it"]["cancellations"].as_array().map_or(0, Vec::len);
                if told != ends.len() {
                    return Err(format!("{op:?}: {} and not {told}: {answer}", ends.len()));
                }
                for at in ends {
                    self.bookings[at].status = "CANCELLED";
                }
            }
            Op::Wait { minutes } => {
                world.acme.app.clock.advance(SignedDuration::from_mins(minutes));
                self.now = world.acme.app.clock.now();
            }
        }
        Ok(())
    }

    /// The expected bookings: status and start.
    fn expected(&self) -> BTreeMap<String, (String, String)> {
        let status = |it: &Known| if it.status == "HELD" && !self.stands(it) { "EXPIRED" } else { it.status };
        self.bookings.iter().map(|it| (it.id.clone(), (status(it).to_owned(), it.from.to_string()))).collect()
    }
}

fn cases(usual: u32) -> Config {
    // By default as many as proptest's default, which PROPTEST_CASES sets: too many for every run.
    let said = Config::default().cases;
    let usual = if crate::support::runs_all() { usual } else { usual / 3 };
    let cases = if said == 256 { usual } else { said };
    Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() }
}

/// Runs an async property for the values of a strategy, and panics with the smallest failing case.
fn check<S: Strategy, F: Future<Output = Result<(), String>>>(
    config: Config,
    strategy: &S,
    property: impl Fn(S::Value) -> F,
) {
    let found = tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Handle::current();
        TestRunner::new(config).run(strategy, |value| runtime.block_on(property(value)).map_err(TestCaseError::fail))
    });
    if let Err(error) = found {
        panic!("{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_after_the_other_every_answer_is_the_models() {
    let app = TestApp::start().await;
    let steps = proptest::collection::vec((0..3_usize, op()), 1..40);
    check(cases(16), &steps, |steps| {
        let app = app.clone();
        async move {
            let world = World::new(&app).await;
            let mut model = Model { now: app.clock.now(), ..Model::default() };
            for (owner, op) in &steps {
                model.step(&world, *owner, op).await?;
            }
            let truth = world.truth().await.into_iter().map(|(id, (status, from, _))| (id, (status, from)));
            let (truth, expected) = (truth.collect::<BTreeMap<_, _>>(), model.expected());
            if truth != expected {
                return Err(format!("the store has {truth:#?} and not {expected:#?}"));
            }
            let faults = world.faults().await;
            if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
        }
    });
}

/// What one client knows of its own actions.
#[derive(Default)]
struct Account {
    /// Its bookings, with the possible statuses and starts of each.
    bookings: Vec<(String, BTreeSet<(String, Timestamp)>)>,
    series: Vec<(String, Vec<String>)>,
    /// Notes of bookings that may exist although no answer confirmed them.
    maybe: BTreeSet<String>,
    maybe_holds: usize,
    /// Answers that must not occur.
    faults: Vec<String>,
}

impl Account {
    async fn act(&mut self, world: &World, clocks: &[Clock], who: &Person, name: &str, op: &Op) {
        let note = format!("{name} {}", uuid::Uuid::now_v7());
        let own = |which: usize, all: usize| if all == 0 { None } else { Some(which % all) };
        let mut settle = |answer: &Value| -> Option<bool> {
            match code(answer) {
                "" => Some(true),
                "SLOT_TAKEN" | "INVALID_TRANSITION" | "QUOTA_EXCEEDED" | "STALE" => Some(false),
                "UNAVAILABLE" | "TIMEOUT" => None,
                other => {
                    self.faults.push(format!("{op:?}: {other}: {answer}"));
                    None
                }
            }
        };
        match *op {
            Op::Book { service, time } | Op::Hold { service, time } => {
                let is_hold = matches!(op, Op::Hold { .. });
                let answer = if is_hold {
                    world.hold(who, service, time).await
                } else {
                    world.book(who, service, time, &note).await
                };
                match settle(&answer) {
                    Some(true) => {
                        let id = answer["data"]["it"]["booking"]["id"].as_str().unwrap().to_owned();
                        // A hold may have expired by the time it is checked.
                        let statuses: &[&str] = if is_hold { &["HELD", "EXPIRED"] } else { &["CONFIRMED"] };
                        let may_be = statuses.iter().map(|it| ((*it).to_owned(), world.at(time)));
                        self.bookings.push((id, may_be.collect()));
                    }
                    Some(false) => {}
                    None if is_hold => self.maybe_holds += 1,
                    None => drop(self.maybe.insert(note)),
                }
            }
            Op::Confirm { which } | Op::Cancel { which } | Op::Move { which, .. } => {
                let Some(at) = own(which, self.bookings.len()) else { return };
                let id = self.bookings[at].0.clone();
                let answer = match *op {
                    Op::Confirm { .. } => world.confirm(who, &id).await,
                    Op::Move { time, .. } => world.reschedule(who, &id, time).await,
                    _ => world.cancel(who, &id).await,
                };
                let done = settle(&answer);
                let after = |(status, from): &(String, Timestamp)| match *op {
                    Op::Confirm { .. } => ("CONFIRMED".to_owned(), *from),
                    Op::Move { time, .. } => (status.clone(), world.at(time)),
                    _ => ("CANCELLED".to_owned(), *from),
                };
                let may_be = &mut self.bookings[at].1;
                let changed: BTreeSet<_> = may_be.iter().map(after).collect();
                match done {
                    Some(true) => *may_be = changed,
                    Some(false) => {}
                    None => may_be.extend(changed),
                }
            }
            Op::Series { service, time, count, skips } => {
                let answer = world.series(who, service, time, count, skips, &note).await;
                let made = answer["data"]["it"]["series"]["id"].as_str();
                if settle(&answer).is_none() {
                    self.maybe.insert(note);
                } else if let Some(id) = made {
                    let mut ids = Vec::new();
                    for it in answer["data"]["it"]["occurrences"].as_array().into_iter().flatten() {
                        let from = it["startsAt"].as_str().unwrap().parse().unwrap();
                        if let Some(id) = it["booking"]["id"].as_str() {
                            ids.push(id.to_owned());
                            self.bookings.push((id.to_owned(), BTreeSet::from([("CONFIRMED".to_owned(), from)])));
                        }
                    }
                    self.series.push((id.to_owned(), ids));
                }
            }
            Op::CancelSeries { which, from } => {
                let Some(at) = own(which, self.series.len()) else { return };
                let (id, ids) = self.series[at].clone();
                let answer = world.cancel_series(who, &id, &ids[from % ids.len()]).await;
                let done = settle(&answer);
                let told: BTreeSet<&str> = answer["data"]["it"]["cancellations"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|it| it["error"].is_null())
                    .filter_map(|it| it["booking"]["id"].as_str())
                    .collect();
                for (id, may_be) in self.bookings.iter_mut().filter(|it| ids.contains(&it.0)) {
                    let cancelled: BTreeSet<_> = may_be.iter().map(|it| ("CANCELLED".to_owned(), it.1)).collect();
                    match done {
                        Some(_) if told.contains(id.as_str()) => *may_be = cancelled,
                        None => may_be.extend(cancelled),
                        _ => {}
                    }
                }
            }
            Op::Wait { minutes } => {
                for clock in clocks {
                    clock.advance(SignedDuration::from_mins(minutes));
                }
            }
        }
    }
}

/// Several clients at once, through two processes on one database; with `kills` backends are killed meanwhile.
async fn at_once(first: &TestApp, second: &TestApp, plans: Vec<Vec<Op>>, kills: bool) -> Result<(), String> {
    let world = Arc::new(World::new(first).await);
    let people = [&world.acme.user, &world.acme.other, &world.acme.staff, &world.acme.admin];
    let running = Arc::new(AtomicBool::new(true));
    let killer = tokio::spawn({
        let (running, database) = (running.clone(), first.database.clone());
        async move {
            let superuser = database.connect("postgres").await;
            while kills && running.load(Ordering::Relaxed) {
                let sql = "select pg_terminate_backend(pid) from pg_stat_activity
                            where datname = current_database() and usename = 'tenantry_app' order by random() limit 1";
                superuser.simple_query(sql).await.unwrap();
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    });
    let accounts = Arc::new(Mutex::new(Vec::new()));
    let clients = plans.into_iter().enumerate().map(|(number, plan)| {
        let app = if number % 2 == 0 { first } else { second };
        let who = Person { app: app.clone(), ..people[number % people.len()].clone() };
        let (world, accounts) = (world.clone(), accounts.clone());
        let clocks = [first.clock.clone(), second.clock.clone()];
        tokio::spawn(async move {
            let mut account = Account::default();
            for op in &plan {
                account.act(&world, &clocks, &who, &format!("client {number}"), op).await;
            }
            accounts.lock().unwrap().push(account);
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    running.store(false, Ordering::Relaxed);
    killer.await.unwrap();
    let accounts = std::mem::take(&mut *accounts.lock().unwrap());
    let mut faults = world.faults().await;
    let mut truth = world.truth().await;
    let (mut maybe, mut maybe_holds) = (BTreeSet::new(), 0);
    for account in accounts {
        faults.extend(account.faults);
        for (id, may_be) in account.bookings {
            let found = truth.remove(&id);
            let fits = found.as_ref().is_some_and(|(status, from, _)| {
                from.parse().is_ok_and(|from| may_be.contains(&(status.clone(), from)))
            });
            if !fits {
                faults.push(format!("{id} was acknowledged as one of {may_be:?} and is {found:?}"));
            }
        }
        maybe.extend(account.maybe);
        maybe_holds += account.maybe_holds;
    }
    // Any remaining booking was requested by a client that got no answer.
    let unheard = truth.values().filter(|(_, _, note)| note.is_empty()).count();
    if unheard > maybe_holds {
        faults.push(format!("{unheard} holds that nobody made: {truth:?}"));
    }
    for (id, (_, _, note)) in truth.iter().filter(|it| !it.1.2.is_empty()) {
        if !maybe.contains(note) {
            faults.push(format!("{id} was not asked for: {note}"));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn plans() -> impl Strategy<Value = Vec<Vec<Op>>> {
    proptest::collection::vec(proptest::collection::vec(op(), 5..15), 6)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_what_was_acknowledged_is_there_and_nothing_else() {
    let first = TestApp::start().await;
    let second = TestApp::on(first.database.clone(), Options::default()).await;
    check(cases(6), &plans(), |plans| at_once(&first, &second, plans, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_die_take_nothing_with_them() {
    let first = TestApp::start().await;
    let second = TestApp::on(first.database.clone(), Options::default()).await;
    check(cases(6), &plans(), |plans| at_once(&first, &second, plans, true));
}
