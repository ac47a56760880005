//! Free times stand on the wall clock, in zones that change it in every way: compared with what Python's zoneinfo says.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use crate::support::{Person, TestApp, TestTenant, code, runs_all};

/// By an hour, by half an hour, at midnight, never, backwards in a month that moves, by three quarters of an hour off, and
/// with rules that changed.
const ZONES: [&str; 12] = [
    "Europe/Amsterdam",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Havana",
    "Asia/Beirut",
    "Africa/Cairo",
    "America/Santiago",
    "Africa/Casablanca",
    "Pacific/Chatham",
    "America/Nuuk",
    "Asia/Gaza",
];
/// Minutes between starts.
const STEPS: [i32; 5] = [15, 20, 60, 90, 120];
const DURATION: i32 = 30;
const SHAPES: [&str; 6] = ["night", "split", "staff only", "shop only", "both", "overrides"];

fn every_day(spans: &[(i16, i16)]) -> Value {
    json!((1..=7).map(|day| (day.to_string(), json!(spans))).collect::<BTreeMap<_, _>>())
}

/// The hours of the shop and of its staff, as the oracle reads them. The exceptions are around a day.
fn owners(shape: &str, days: &[Date]) -> [Value; 2] {
    let (always, none) = (json!({ "week": null, "overrides": {} }), json!({}));
    let week = |spans: &[(i16, i16)]| json!({ "week": every_day(spans), "overrides": none });
    match shape {
        "night" => [week(&[(0, 270), (1_230, 1_440)]), always],
        "split" => [week(&[(30, 150), (545, 750), (795, 1_040)]), always],
        "staff only" => [always, week(&[(570, 750), (780, 1_000)])],
        "shop only" => [week(&[(0, 1_440)]), always],
        "both" => [week(&[(90, 1_080)]), week(&[(0, 200), (615, 1_200)])],
        "overrides" => {
            // Late on the day itself, closed on the day after.
            let single = days.iter().flat_map(|it| [(*it, json!([[620, 1_440]])), (it.tomorrow().unwrap(), json!([]))]);
            let single: BTreeMap<String, Value> = single.map(|(day, hours)| (day.to_string(), hours)).collect();
            [json!({ "week": every_day(&[(0, 1_440)]), "overrides": single }), always]
        }
        _ => unreachable!(),
    }
}

/// Asks the oracle.
fn ask(cases: &[Value]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/wall_clock.py");
    let mut oracle = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    oracle.stdin.take().unwrap().write_all(json!(cases).to_string().as_bytes()).unwrap();
    let answer = oracle.wait_with_output().unwrap();
    assert!(answer.status.success());
    serde_json::from_slice(&answer.stdout).unwrap()
}

fn clock_time(minute: &Value) -> String {
    let minute = minute.as_i64().unwrap();
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Sets the hours as the oracle reads them.
async fn set_hours(admin: &Person, resource: Option<&str>, zone: &str, hours: &Value) {
    let week = hours["week"].as_object().map(|week| {
        let days = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];
        let spans = days.iter().enumerate().flat_map(|(at, day)| {
            let of_day = week[&(at + 1).to_string()].as_array().unwrap();
            of_day
                .iter()
                .map(move |it| json!({ "weekday": day, "opens": clock_time(&it[0]), "closes": clock_time(&it[1]) }))
        });
        spans.collect::<Vec<_>>()
    });
    let input = json!({ "resourceId": resource, "validFrom": "2026-01-01", "timeZone": zone, "hours": week });
    let set =
        "mutation($input: SetOpeningHoursInput!) { setOpeningHours(input: $input) { userErrors { code message } } }";
    assert_eq!(code(&admin.run_with(set, json!({ "input": input })).await), "");
    for (day, spans) in hours["overrides"].as_object().unwrap() {
        let spans: Vec<Value> = spans
            .as_array()
            .unwrap()
            .iter()
            .map(|it| json!({ "opens": clock_time(&it[0]), "closes": clock_time(&it[1]) }))
            .collect();
        let set =
            "mutation($input: SetOpeningOverrideInput!) { setOpeningOverride(input: $input) { userErrors { code } } }";
        let answer =
            admin.run_with(set, json!({ "input": { "resourceId": resource, "day": day, "hours": spans } })).await;
        assert_eq!(code(&answer), "", "{answer}");
    }
}

async fn offered(person: &Person, service: &str, from: Timestamp, to: Timestamp) -> Vec<i64> {
    let query = "query($s: ID!, $from: DateTime!, $to: DateTime!) { availability(serviceId: $s, from: $from, to: $to) { startsAt } }";
    let answer = person.run_with(query, json!({ "s": service, "from": from.to_string(), "to": to.to_string() })).await;
    let all = answer["data"]["availability"].as_array().unwrap_or_else(|| panic!("{answer}"));
    all.iter().map(|it| it["startsAt"].as_str().unwrap().parse::<Timestamp>().unwrap().as_second()).collect()
}

async fn why(person: &Person, service: &str, at: i64) -> Value {
    let query = "query($s: ID!, $at: DateTime!) { whyUnavailable(serviceId: $s, startsAt: $at) }";
    let at = Timestamp::from_second(at).unwrap().to_string();
    let answer = person.run_with(query, json!({ "s": service, "at": at })).await;
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    answer["data"]["whyUnavailable"].clone()
}

/// A tenant whose services, one for each step, need one member of staff.
async fn shop(app: &TestApp, number: usize) -> (TestTenant, String, Vec<String>) {
    let tenant = app.tenant(&format!("clock-{number}")).await;
    let anna = tenant.admin.create_resource("STAFF", "Anna").await;
    let mut services = Vec::new();
    for step in STEPS {
        let fields = json!({ "name": format!("Every {step}"), "durationMinutes": DURATION, "slotStepMinutes": step });
        services.push(tenant.admin.create_service(fields).await);
        tenant.admin.link(services.last().unwrap(), &[(&anna, 0)]).await;
    }
    (tenant, anna, services)
}

/// Around the first clock changes of each zone, with one step for each shape of hours; with `TENANTRY_TEST_ALL`, all days of two years with every step.
#[tokio::test(flavor = "multi_thread")]
async fn free_times_are_those_of_an_independent_clock() {
    let app = TestApp::start().await;
    let (mut windows_seen, mut starts_seen) = (0, 0);
    for (number, zone) in ZONES.into_iter().enumerate() {
        let (tenant, anna, services) = shop(&app, number).await;
        let first = tenant.in_days(2).to_zoned(TimeZone::get(zone).unwrap()).date();
        let end = first.saturating_add(728.days());
        let changes =
            ask(&[json!({ "changes": { "zone": zone, "first": first.to_string(), "last": end.to_string() } })]);
        let mut changes: Vec<Date> =
            changes[0].as_array().unwrap().iter().map(|it| it.as_str().unwrap().parse().unwrap()).collect();
        if !runs_all() {
            changes.truncate(2);
        }
        changes.push(first.saturating_add(100.days()));
        for (at, shape) in SHAPES.into_iter().enumerate() {
            let owners = owners(shape, &changes);
            set_hours(&tenant.admin, None, zone, &owners[0]).await;
            set_hours(&tenant.admin, Some(&anna), zone, &owners[1]).await;
            let windows: Vec<(Date, Date)> = match runs_all() {
                true => (0..12).map(|it| (first + (60 * it).days(), first + (60 * it + 60).days())).collect(),
                false => changes.iter().map(|it| (it.yesterday().unwrap(), *it + 2.days())).collect(),
            };
            for (step, service) in STEPS
                .into_iter()
                .zip(&services)
                .skip(if runs_all() { 0 } else { (number + at) % STEPS.len() })
                .step_by(if runs_all() { 1 } else { STEPS.len() })
            {
                let case = |(from, to): &(Date, Date)| json!({ "zone": zone, "from": from.to_string(), "to": to.to_string(), "duration": DURATION, "step": step, "owners": owners, "every": if runs_all() { 997 } else { 41 } });
                let expected = ask(&windows.iter().map(case).collect::<Vec<_>>());
                for ((from, to), expected) in windows.iter().zip(expected) {
                    let instant = |day: &Date| day.to_zoned(TimeZone::get(zone).unwrap()).unwrap().timestamp();
                    let starts: BTreeSet<i64> = serde_json::from_value(expected["starts"].clone()).unwrap();
                    let free: BTreeSet<i64> =
                        offered(&tenant.user, service, instant(from), instant(to)).await.into_iter().collect();
                    let of = |all: &BTreeSet<i64>, others: &BTreeSet<i64>| -> Vec<Timestamp> {
                        all.difference(others).map(|it| Timestamp::from_second(*it).unwrap()).collect()
                    };
                    let (missing, surplus) = (of(&starts, &free), of(&free, &starts));
                    let case = format!("{zone}, {shape}, every {step}, {from} to {to}");
                    assert!(
                        missing.is_empty() && surplus.is_empty(),
                        "{case}: missing {missing:?}, surplus {surplus:?}"
                    );
                    (windows_seen, starts_seen) = (windows_seen + 1, starts_seen + starts.len());
                    // What is offered can be booked, and the rest says why.
                    let reasons: BTreeMap<i64, Value> = serde_json::from_value(expected["reasons"].clone()).unwrap();
                    for (at, reason) in &reasons {
                        assert_eq!(
                            why(&tenant.user, service, *at).await,
                            *reason,
                            "{case}: {}",
                            Timestamp::from_second(*at).unwrap()
                        );
                    }
                    let sample = starts.iter().skip(starts.len() / 2).step_by(starts.len() / 2 + 1);
                    for at in sample {
                        let booked = tenant.user.book(service, Timestamp::from_second(*at).unwrap()).await;
                        assert_eq!(code(&booked), "", "{case}: {at}: {booked}");
                        let id = &booked["data"]["createBooking"]["booking"]["id"];
                        let cancel = "mutation($id: ID!) { cancelBooking(input: { id: $id }) { booking { timeZone } userErrors { code } } }";
                        let answer = tenant.user.run_with(cancel, json!({ "id": id })).await;
                        assert_eq!(answer["data"]["cancelBooking"]["booking"]["timeZone"], zone, "{answer}");
                    }
                }
            }
            // The next shape has no exceptions.
            for day in owners[0]["overrides"].as_object().unwrap().keys() {
                let restore =
                    "mutation($day: Date!) { deleteOpeningOverride(input: { day: $day }) { userErrors { code } } }";
                assert_eq!(code(&tenant.admin.run_with(restore, json!({ "day": day })).await), "");
            }
        }
    }
    assert!(windows_seen >= 200 && starts_seen > 5_000, "{windows_seen} {starts_seen}");
}

const AMSTERDAM: &str = "Europe/Amsterdam";

fn at(day: &str, hour: i8, minute: i8) -> Timestamp {
    day.parse::<Date>().unwrap().at(hour, minute, 0, 0).in_tz(AMSTERDAM).unwrap().timestamp()
}

/// A day in the future of every run: as many days from now, by the clock of Amsterdam.
fn day_in(tenant: &TestTenant, days: i64) -> Date {
    tenant.in_days(days).to_zoned(TimeZone::get(AMSTERDAM).unwrap()).date()
}

/// Each member of staff has a grid of their own, and what is offered is the union. A room that is open longer moves none.
#[tokio::test(flavor = "multi_thread")]
async fn each_resource_has_a_grid_of_its_own() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (anna, ben) =
        (acme.admin.create_resource("STAFF", "Anna").await, acme.admin.create_resource("STAFF", "Ben").await);
    let room = acme.admin.create_resource("ROOM", "Blue").await;
    let spare = acme.admin.create_resource("ROOM", "Green").await;
    let service =
        acme.admin.create_service(json!({ "name": "Hour", "durationMinutes": 60, "slotStepMinutes": 60 })).await;
    acme.admin.link(&service, &[(&anna, 0), (&ben, 0), (&room, 0), (&spare, 0)]).await;
    let day = day_in(&acme, 9).to_string();
    let hours = |spans: &[(i16, i16)]| json!({ "week": every_day(spans), "overrides": {} });
    set_hours(&acme.admin, Some(&anna), AMSTERDAM, &hours(&[(570, 750)])).await; // 09:30 to 12:30
    set_hours(&acme.admin, Some(&ben), AMSTERDAM, &hours(&[(615, 735)])).await; // 10:15 to 12:15
    for it in [&room, &spare] {
        set_hours(&acme.admin, Some(it), AMSTERDAM, &hours(&[(480, 1_080)])).await;
    }
    let clock = async |resource: Option<&str>| -> Vec<String> {
        let query = "query($s: ID!, $from: DateTime!, $to: DateTime!, $r: ID) { availability(serviceId: $s, from: $from, to: $to, resourceId: $r) { startsAt places resources { name } } }";
        let (from, to) = (at(&day, 0, 0).to_string(), at(&day, 23, 59).to_string());
        let answer = acme.user.run_with(query, json!({ "s": service, "from": from, "to": to, "r": resource })).await;
        let all = answer["data"]["availability"].as_array().unwrap_or_else(|| panic!("{answer}"));
        let starts = all.iter().map(|it| it["startsAt"].as_str().unwrap().parse::<Timestamp>().unwrap());
        starts.map(|it| it.in_tz(AMSTERDAM).unwrap().strftime("%H:%M").to_string()).collect()
    };
    assert_eq!(clock(None).await, ["09:30", "10:15", "10:30", "11:15", "11:30"]);
    assert_eq!(clock(Some(&anna)).await, ["09:30", "10:30", "11:30"]);
    assert_eq!(clock(Some(&ben)).await, ["10:15", "11:15"]);
    assert_eq!(clock(Some(&room)).await, ["09:30", "10:15", "10:30", "11:15", "11:30"]);
    assert_eq!(why(&acme.user, &service, at(&day, 10, 0).as_second()).await, "STEP");
    assert_eq!(why(&acme.user, &service, at(&day, 13, 30).as_second()).await, "HOURS");
    assert_eq!(code(&acme.user.book(&service, at(&day, 10, 0)).await), "OUTSIDE_HOURS");
    // A quarter past ten is Ben's alone: while Ben is taken, Anna is not offered off her own grid.
    let booked = acme.user.book(&service, at(&day, 10, 15)).await;
    let with = &booked["data"]["createBooking"]["booking"]["resources"];
    assert!(with.as_array().unwrap().contains(&json!({ "name": "Ben" })), "{booked}");
    assert_eq!(code(&acme.other.book(&service, at(&day, 10, 15)).await), "SLOT_TAKEN");
    assert_eq!(why(&acme.user, &service, at(&day, 10, 15).as_second()).await, "TAKEN");
    assert_eq!(clock(None).await, ["09:30", "10:30", "11:15", "11:30"]);
}

/// What is offered can be booked one after the other, buffers included, and all of 62 days of a short service in one answer
/// or page by page. The window ends with the last day, and an exception is named wherever a booking runs into it.
#[tokio::test(flavor = "multi_thread")]
async fn buffers_windows_and_exceptions_are_those_of_the_clock() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let day = day_in(&acme, 9);
    let hours = json!({ "week": every_day(&[(600, 720)]), "overrides": {} });
    set_hours(&acme.admin, None, AMSTERDAM, &hours).await;
    let buffered =
        acme.admin.create_service(json!({ "name": "Buffered", "durationMinutes": 20, "bufferAfterMinutes": 5 })).await;
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    acme.admin.link(&buffered, &[(&anna, 0)]).await;
    let (from, to) = (at(&day.to_string(), 0, 0), at(&day.to_string(), 23, 0));
    let starts = offered(&acme.user, &buffered, from, to).await;
    let minutes: Vec<i64> = starts.iter().map(|it| (it - at(&day.to_string(), 10, 0).as_second()) / 60).collect();
    assert_eq!(minutes, [0, 25, 50, 75, 100]);
    for it in starts {
        assert_eq!(code(&acme.user.book(&buffered, Timestamp::from_second(it).unwrap()).await), "");
    }
    // A short service around the clock.
    set_hours(&acme.admin, None, AMSTERDAM, &json!({ "week": null, "overrides": {} })).await;
    let short = acme.admin.create_service(json!({ "name": "Short", "durationMinutes": 5, "capacity": 2 })).await;
    let (from, to) = (acme.in_days(2), acme.in_days(64));
    let all = offered(&acme.user, &short, from, to).await;
    assert_eq!(all.len(), 62 * 288);
    let query = "query($s: ID!, $from: DateTime!, $to: DateTime!, $first: Int) { availability(serviceId: $s, from: $from, to: $to, first: $first) { startsAt } }";
    let page = async |from: Timestamp, first: i32| {
        let variables = json!({ "s": short, "from": from.to_string(), "to": to.to_string(), "first": first });
        acme.user.run_with(query, variables).await
    };
    let first: Vec<Value> = page(from, 500).await["data"]["availability"].as_array().unwrap().clone();
    let last = Timestamp::from_second(all[499]).unwrap();
    assert_eq!((first.len(), &first[499]["startsAt"]), (500, &json!(last.to_string())));
    let next = page(last + jiff::SignedDuration::from_millis(1), 1).await;
    assert_eq!(next["data"]["availability"][0]["startsAt"], Timestamp::from_second(all[500]).unwrap().to_string());
    for bad in [0, -1, 20_001] {
        assert_eq!(code(&page(from, bad).await), "BAD_USER_INPUT", "{bad}");
    }
    // Until the end of the tenth day.
    let ten = acme
        .admin
        .create_service(json!({ "name": "Ten days", "durationMinutes": 5, "maxAheadDays": 10, "slotStepMinutes": 5 }))
        .await;
    let today = app.clock.now().to_zoned(TimeZone::get(AMSTERDAM).unwrap()).date();
    let last = today + 10.days();
    let offered_until = offered(&acme.user, &ten, acme.in_days(8), acme.in_days(13)).await.last().copied().unwrap();
    assert_eq!(offered_until, at(&last.to_string(), 23, 55).as_second());
    assert_eq!(why(&acme.user, &ten, offered_until).await, Value::Null);
    assert_eq!(why(&acme.user, &ten, offered_until + 300).await, "WINDOW");
    assert_eq!(code(&acme.user.book(&ten, at(&last.to_string(), 23, 55)).await), "");
    assert_eq!(code(&acme.user.book(&ten, at(&(last + 1.day()).to_string(), 0, 0)).await), "TOO_FAR");
    // Over midnight into a day that is closed.
    let closed =
        "mutation($day: Date!) { setOpeningOverride(input: { day: $day, hours: [] }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run_with(closed, json!({ "day": (day + 1.day()).to_string() })).await), "");
    let long = acme.admin.create_service(json!({ "name": "Long", "durationMinutes": 120 })).await;
    assert_eq!(why(&acme.user, &long, at(&day.to_string(), 23, 0).as_second()).await, "OVERRIDE");
    assert_eq!(why(&acme.user, &long, at(&day.to_string(), 22, 0).as_second()).await, Value::Null);
}
