//! Opening hours and free times: by the wall clock, the same for everyone, and without revealing whose booking it is.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use crate::support::{Person, TestApp, code};

const SET: &str = "mutation($input: SetOpeningHoursInput!) { setOpeningHours(input: $input) { schedules { validFrom timeZone hours { weekday opens closes } } userErrors { code field } } }";
const OVERRIDE: &str = "mutation($input: SetOpeningOverrideInput!) { setOpeningOverride(input: $input) { openingOverride { day hours { opens closes } name } userErrors { code field } } }";
const RESTORE: &str = "mutation($input: DeleteOpeningOverrideInput!) { deleteOpeningOverride(input: $input) { day userErrors { code field } } }";
const WEEK: [&str; 7] = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];

/// Open at these hours on each of these days.
fn daily(days: &[&str], opens: &str, closes: &str) -> Value {
    json!(days.iter().map(|it| json!({ "weekday": it, "opens": opens, "closes": closes })).collect::<Vec<_>>())
}

impl Person {
    async fn set_hours(&self, input: Value) -> Value {
        self.run_with(SET, json!({ "input": input })).await
    }

    async fn free(&self, service: &str, from: Timestamp, to: Timestamp, resource: Option<&str>) -> Vec<Value> {
        let query = "query($service: ID!, $from: DateTime!, $to: DateTime!, $resource: ID) {
            availability(serviceId: $service, from: $from, to: $to, resourceId: $resource) { startsAt endsAt places resources { name } } }";
        let variables =
            json!({ "service": service, "from": from.to_string(), "to": to.to_string(), "resource": resource });
        let answer = self.run_with(query, variables).await;
        answer["data"]["availability"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
    }

    async fn why(&self, service: &str, at: Timestamp) -> Value {
        let query = "query($service: ID!, $at: DateTime!) { whyUnavailable(serviceId: $service, startsAt: $at) }";
        let answer = self.run_with(query, json!({ "service": service, "at": at.to_string() })).await;
        assert_eq!(answer["errors"], Value::Null, "{answer}");
        answer["data"]["whyUnavailable"].clone()
    }
}

fn starts(free: &[Value]) -> Vec<Timestamp> {
    free.iter().map(|it| it["startsAt"].as_str().unwrap().parse().unwrap()).collect()
}

/// The next Monday, at least a week from now, in Amsterdam.
fn monday(app: &TestApp) -> Date {
    let mut day = app
        .clock
        .now()
        .to_zoned(TimeZone::get("Europe/Amsterdam").unwrap())
        .date()
        .saturating_add(jiff::Span::new().days(7));
    while day.weekday() != jiff::civil::Weekday::Monday {
        day = day.tomorrow().unwrap();
    }
    day
}

fn at(day: Date, hour: i8, minute: i8) -> Timestamp {
    day.at(hour, minute, 0, 0).to_zoned(TimeZone::get("Europe/Amsterdam").unwrap()).unwrap().timestamp()
}

/// Another tenant's service or resource has no visible hours, and cannot be given any.
#[tokio::test(flavor = "multi_thread")]
async fn hours_of_others_are_none() {
    for app in crate::isolation::with_and_without_policies().await {
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        let room = globex.admin.create_resource("ROOM", "Theirs").await;
        assert_eq!(code(&globex.admin.set_hours(json!({ "validFrom": "2026-01-01", "hours": [] })).await), "");
        for (input, field) in
            [(json!({ "serviceId": globex.service }), "serviceId"), (json!({ "resourceId": room }), "resourceId")]
        {
            let mut set = input.clone();
            set["validFrom"] = json!("2026-01-01");
            let answer = acme.admin.set_hours(set).await;
            assert_eq!(
                answer["data"]["setOpeningHours"]["userErrors"][0],
                json!({ "code": "NOT_FOUND", "field": [field] })
            );
            let mut day = input.clone();
            day["day"] = json!("2030-01-01");
            day["hours"] = json!([]);
            assert_eq!(code(&acme.admin.run_with(OVERRIDE, json!({ "input": day })).await), "NOT_FOUND");
        }
        let seen = acme.admin.run("{ openingHours { validFrom } }").await;
        assert_eq!(seen["data"]["openingHours"], json!([]));
        // Another tenant's closure has no effect here.
        assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(3)).await), "");
        assert_eq!(
            code(&globex.user.book(&globex.service, globex.in_days(3)).await),
            "OUTSIDE_HOURS",
            "it was isolation"
        );
        for person in [&acme.staff, &acme.user] {
            assert_eq!(code(&person.set_hours(json!({ "validFrom": "2026-01-01" })).await), "FORBIDDEN");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_book_within_hours_alone() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await; // Europe/Amsterdam, and its service takes 45 minutes
    let day = monday(&app);
    let set = acme.admin.set_hours(json!({ "validFrom": "2026-01-01", "hours": [
        { "weekday": "MONDAY", "opens": "09:00", "closes": "12:00" }, { "weekday": "MONDAY", "opens": "13:00", "closes": "17:00" },
        { "weekday": "TUESDAY", "opens": "20:00", "closes": "24:00" }, { "weekday": "WEDNESDAY", "opens": "00:00", "closes": "02:00" } ] })).await;
    assert_eq!(set["data"]["setOpeningHours"]["schedules"][0]["timeZone"], "Europe/Amsterdam", "{set}");
    let (tuesday, wednesday) = (day.tomorrow().unwrap(), day.tomorrow().unwrap().tomorrow().unwrap());
    for (starts_at, expected) in [
        (at(day, 8, 59), "OUTSIDE_HOURS"),
        (at(day, 9, 0), ""),
        (at(day, 11, 16), "OUTSIDE_HOURS"),
        (at(day, 11, 15), ""),
        (at(day, 12, 0), "OUTSIDE_HOURS"),
        (at(day, 16, 15), ""),
        (at(tuesday, 9, 0), "OUTSIDE_HOURS"),
        (at(tuesday, 23, 30), ""), // over midnight, where one day goes on into the next
        (at(wednesday, 1, 16), "OUTSIDE_HOURS"),
    ] {
        assert_eq!(code(&acme.user.book(&acme.service, starts_at).await), expected, "{starts_at}");
    }
    assert_eq!(code(&acme.staff.book(&acme.service, at(day, 18, 0)).await), "", "staff stay as long as they like");
    let mine = acme.user.book(&acme.service, at(day, 13, 0)).await["data"]["createBooking"]["booking"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(code(&acme.user.reschedule(&mine, at(day, 19, 0)).await), "OUTSIDE_HOURS", "nor by moving");
    // A day of its own; existing bookings stay.
    let closed = json!({ "day": day.to_string(), "hours": [], "name": "Holiday" });
    assert_eq!(code(&acme.admin.run_with(OVERRIDE, json!({ "input": closed })).await), "");
    assert_eq!(code(&acme.user.book(&acme.service, at(day, 14, 0)).await), "OUTSIDE_HOURS");
    let listed = acme
        .user
        .run_with(
            "query($a: Date!, $b: Date!) { openingOverrides(from: $a, to: $b) { day name hours { opens } } }",
            json!({ "a": day.to_string(), "b": tuesday.to_string() }),
        )
        .await;
    assert_eq!(listed["data"]["openingOverrides"], json!([{ "day": day.to_string(), "name": "Holiday", "hours": [] }]));
    assert_eq!(acme.user.why(&acme.service, at(day, 14, 0)).await, "OVERRIDE");
    assert_eq!(code(&acme.admin.run_with(RESTORE, json!({ "input": { "day": day.to_string() } })).await), "");
    assert_eq!(code(&acme.admin.run_with(RESTORE, json!({ "input": { "day": day.to_string() } })).await), "NOT_FOUND");
    assert_eq!(code(&acme.user.book(&acme.service, at(day, 14, 0)).await), "");
    assert_eq!(app.truth("select count(*) from shared.bookings where status = 'CONFIRMED'").await, ["7"]);
    // Other hours from a day on.
    let later = day.saturating_add(jiff::Span::new().days(7));
    acme.admin.set_hours(json!({ "validFrom": later.to_string(), "hours": daily(&WEEK, "22:00", "24:00") })).await;
    assert_eq!(code(&acme.user.book(&acme.service, at(later, 9, 0)).await), "OUTSIDE_HOURS");
    assert_eq!(code(&acme.user.book(&acme.service, at(later, 22, 0)).await), "");
    assert_eq!(code(&acme.user.book(&acme.service, at(day, 15, 0)).await), "", "before, as it was");
    // Invalid hours are reported.
    for bad in [
        daily(&["MONDAY"], "10:00", "10:00"),
        daily(&["MONDAY"], "12:00", "09:00"),
        json!([
        { "weekday": "MONDAY", "opens": "09:00", "closes": "12:00" }, { "weekday": "MONDAY", "opens": "11:00", "closes": "13:00" } ]),
    ] {
        assert_eq!(code(&acme.admin.set_hours(json!({ "validFrom": "2026-01-01", "hours": bad })).await), "INVALID");
    }
    for bad in ["24:01", "9:00", "09:60", "0900", "-1:00", ""] {
        let answer =
            acme.admin.set_hours(json!({ "validFrom": "2026-01-01", "hours": daily(&["MONDAY"], bad, "24:00") })).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{bad}");
    }
    for bad in ["2026-02-30", "2026-1-1", "yesterday", "2026-01-01T00:00"] {
        assert_eq!(code(&acme.admin.set_hours(json!({ "validFrom": bad })).await), "BAD_USER_INPUT", "{bad}");
    }
}

/// Every free time can be booked, and an unavailable time is refused with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_free_can_be_booked_and_the_rest_says_why() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let day = monday(&app);
    acme.admin.set_hours(json!({ "validFrom": "2026-01-01", "hours": daily(&WEEK, "09:00", "17:00") })).await;
    let service = acme
        .admin
        .create_service(
            json!({ "name": "Cut", "durationMinutes": 30, "slotStepMinutes": 20, "bufferAfterMinutes": 10 }),
        )
        .await;
    let (anna, ben) =
        (acme.admin.create_resource("STAFF", "Anna").await, acme.admin.create_resource("STAFF", "Ben").await);
    acme.admin.link(&service, &[(&anna, 5), (&ben, 0)]).await;
    // Ben works only in the afternoon.
    acme.admin
        .set_hours(json!({ "resourceId": ben, "validFrom": "2026-01-01", "hours": daily(&WEEK, "13:00", "17:00") }))
        .await;
    let free = acme.user.free(&service, at(day, 0, 0), at(day, 23, 59), None).await;
    let expected: Vec<Timestamp> = (0..23).map(|n| at(day, 9, 0) + SignedDuration::from_mins(20 * n)).collect();
    assert_eq!(starts(&free), expected, "every twenty minutes, the last one that ends by five");
    assert_eq!((&free[0]["places"], &free[0]["resources"]), (&json!(1), &json!([{ "name": "Anna" }])));
    assert_eq!(
        (&free[22]["places"], &free[22]["resources"]),
        (&json!(2), &json!([{ "name": "Anna" }, { "name": "Ben" }]))
    );
    assert_eq!(
        starts(&acme.user.free(&service, at(day, 0, 0), at(day, 23, 59), Some(&ben)).await).first(),
        Some(&at(day, 13, 0))
    );
    assert_eq!(
        starts(&acme.user.free(&service, at(day, 9, 1), at(day, 9, 41), None).await),
        [at(day, 9, 20), at(day, 9, 40)],
        "half-open"
    );
    // Taken, including the buffer after it.
    assert_eq!(code(&acme.other.book(&service, at(day, 10, 0)).await), "");
    let after = starts(&acme.user.free(&service, at(day, 9, 0), at(day, 12, 0), None).await);
    assert!(
        !after.contains(&at(day, 9, 40)) && !after.contains(&at(day, 10, 20)) && after.contains(&at(day, 10, 40)),
        "{after:?}"
    );
    for (starts_at, why) in [
        (at(day, 10, 0), json!("TAKEN")),
        (at(day, 10, 40), Value::Null),
        (at(day, 9, 20), Value::Null),
        (at(day, 9, 10), json!("STEP")),
        (at(day, 8, 40), json!("HOURS")),
        (at(day, 16, 40), json!("HOURS")),
        (app.clock.now() - SignedDuration::from_hours(1), json!("PAST")),
        ("2000-01-01T00:00:00Z".parse().unwrap(), json!("PAST")),
        (acme.in_days(740), json!("WINDOW")),
        ("2999-01-01T00:00:00Z".parse().unwrap(), json!("WINDOW")),
    ] {
        assert_eq!(acme.user.why(&service, starts_at).await, why, "{starts_at}");
    }
    // The same for every caller as for customers, without revealing the customer.
    assert_eq!(acme.staff.why(&service, at(day, 10, 0)).await, "TAKEN");
    // Only the buffer of the previous booking is in the way.
    let plain =
        acme.admin.create_service(json!({ "name": "Quick", "durationMinutes": 10, "slotStepMinutes": 5 })).await;
    acme.admin.link(&plain, &[(&anna, 0)]).await;
    assert_eq!(acme.user.why(&plain, at(day, 10, 30)).await, "TAKEN");
    let buffered = acme
        .admin
        .create_service(
            json!({ "name": "Prepared", "durationMinutes": 10, "slotStepMinutes": 5, "bufferBeforeMinutes": 30 }),
        )
        .await;
    acme.admin.link(&buffered, &[(&anna, 0)]).await;
    assert_eq!(acme.user.why(&buffered, at(day, 10, 45)).await, "BUFFER");
    let class = acme.admin.create_service(json!({ "name": "Class", "capacity": 2 })).await;
    for person in [&acme.user, &acme.other] {
        assert_eq!(code(&person.book(&class, at(day, 9, 0)).await), "");
    }
    assert_eq!(acme.user.why(&class, at(day, 9, 0)).await, "SEATS");
    // Everything that is offered can be booked, and nothing twice.
    let offered = acme.user.free(&service, at(day, 9, 0), at(day, 17, 0), None).await;
    assert_eq!(code(&acme.user.book(&service, starts(&offered)[0]).await), "");
    let asked = |from, to| (from, to);
    let (from, to) = asked(at(day, 0, 0), at(day, 0, 0) + SignedDuration::from_hours(24 * 63));
    let query = "query($s: ID!, $from: DateTime!, $to: DateTime!) { availability(serviceId: $s, from: $from, to: $to) { startsAt } }";
    assert_eq!(
        code(&acme.user.run_with(query, json!({ "s": service, "from": from.to_string(), "to": to.to_string() })).await),
        "BAD_USER_INPUT"
    );
}

/// A month of a service with five resources takes a few statements in one flush, however many bookings there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_takes_the_same_statements_whatever_is_booked() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut links = Vec::new();
    for name in ["A", "B", "C", "D", "E"] {
        links.push(acme.admin.create_resource("STAFF", name).await);
    }
    acme.admin.link(&acme.service, &links.iter().map(|it| (it.as_str(), 0)).collect::<Vec<_>>()).await;
    let month = async || {
        let before = app.statements();
        let query = "query($s: ID!, $from: DateTime!, $to: DateTime!) { availability(serviceId: $s, from: $from, to: $to) { startsAt places } }";
        let answer = acme
            .user
            .run_with(
                query,
                json!({ "s": acme.service, "from": acme.in_days(1).to_string(), "to": acme.in_days(32).to_string() }),
            )
            .await;
        (app.statements() - before, answer["data"]["availability"].as_array().unwrap().len())
    };
    month().await; // The plan's limit is looked up once a minute.
    let (statements, free) = month().await;
    for days in 2..12 {
        for person in [&acme.user, &acme.other, &acme.staff] {
            assert_eq!(code(&person.book(&acme.service, acme.in_days(days)).await), "");
        }
    }
    assert_eq!(month().await.0, statements);
    assert!(statements <= 7 && free > 900, "{statements} {free}");
}

/// A year in zones that change their clock by an hour, by half an hour, and never: against every quarter of an hour of it,
/// looked at on the wall clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_year_is_open_by_the_wall_clock() {
    let app = TestApp::start().await;
    for (number, name) in
        ["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"].into_iter().enumerate()
    {
        let zone = TimeZone::get(name).unwrap();
        let tenant = app.tenant(&format!("zone-{number}")).await;
        // Over the hours in which clocks change, and by day on weekdays.
        let week = [daily(&WEEK, "01:00", "05:00"), daily(&WEEK[..5], "09:00", "17:30")];
        let hours: Vec<Value> = week.iter().flat_map(|it| it.as_array().unwrap().clone()).collect();
        let set = tenant.admin.set_hours(json!({ "validFrom": "2026-01-01", "timeZone": name, "hours": hours })).await;
        assert_eq!(code(&set), "", "{set}");
        let service = tenant.admin.create_service(json!({ "name": "Half an hour", "durationMinutes": 30 })).await;
        let begin = tenant.in_days(2);
        let end = begin + SignedDuration::from_hours(24 * 366);
        let mut offered = Vec::new();
        let mut from = begin;
        while from < end {
            let to = (from + SignedDuration::from_hours(24 * 60)).min(end);
            offered.extend(starts(&tenant.user.free(&service, from, to, None).await));
            from = to;
        }
        // Calculated independently: from instants to the wall clock, not the reverse.
        let is_open = |instant: Timestamp| {
            let local = instant.to_zoned(zone.clone());
            let last = (instant + SignedDuration::from_mins(29)).to_zoned(zone.clone());
            let minute = |it: &jiff::Zoned| i32::from(it.hour()) * 60 + i32::from(it.minute());
            let within = |opens: i32, closes: i32| {
                minute(&local) >= opens && minute(&local) < closes && minute(&last) >= opens && minute(&last) < closes
            };
            let is_weekday = local.weekday().to_monday_one_offset() <= 5;
            // Of a time that the clock shows twice, the first instant is offered.
            let is_first = zone.to_ambiguous_timestamp(local.datetime()).earlier().unwrap() == instant;
            is_first && local.date() == last.date() && (within(60, 300) || is_weekday && within(540, 1050))
        };
        let quarters = (0..).map(|n| begin + SignedDuration::from_mins(15 * n)).take_while(|it| *it < end);
        let expected: Vec<Timestamp> =
            quarters.filter(|it| is_open(*it) && i32::from(it.to_zoned(zone.clone()).minute()) % 30 == 0).collect();
        let (missing, surplus): (Vec<_>, Vec<_>) = (
            expected.iter().filter(|it| !offered.contains(it)).take(5).collect(),
            offered.iter().filter(|it| !expected.contains(it)).take(5).collect(),
        );
        assert!(missing.is_empty() && surplus.is_empty(), "{name}: missing {missing:?}, surplus {surplus:?}");
        assert!(offered.len() > 6_000, "{name}: {}", offered.len());
    }
}

/// The next file replaces the previous one; days set by hand stay, and so do bookings.
#[tokio::test(flavor = "multi_thread")]
async fn holidays_come_from_a_calendar_file() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let day = |days: i64| acme.in_days(days).to_zoned(TimeZone::get("Europe/Amsterdam").unwrap()).date();
    let file = |days: &[i64]| {
        let event = |it: &i64| {
            format!(
                "BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:{}\r\nSUMMARY:Day {it}\r\nEND:VEVENT\r\n",
                day(*it).strftime("%Y%m%d")
            )
        };
        format!("BEGIN:VCALENDAR\r\n{}END:VCALENDAR\r\n", days.iter().map(event).collect::<String>())
    };
    let import = async |person: &Person, input: Value| {
        let query = "mutation($input: ImportHolidaysInput!) { importHolidays(input: $input) { openingOverrides { day name hours { opens } imported } userErrors { code field message } } }";
        person.run_with(query, json!({ "input": input })).await
    };
    for person in [&acme.staff, &acme.user] {
        assert_eq!(code(&import(person, json!({ "calendar": file(&[3]) })).await), "FORBIDDEN");
    }
    let by_hand = "mutation($day: Date!) { setOpeningOverride(input: { day: $day, hours: [{ opens: \"10:00\", closes: \"11:00\" }], name: \"By hand\" }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run_with(by_hand, json!({ "day": day(5).to_string() })).await), "");
    let booked = acme.booking(3).await;
    let imported = import(&acme.admin, json!({ "calendar": file(&[3, 4, 5, 900]) })).await;
    let told = |answer: &Value| -> Vec<(String, bool)> {
        let days =
            answer["data"]["importHolidays"]["openingOverrides"].as_array().unwrap_or_else(|| panic!("{answer}"));
        days.iter().map(|it| (it["name"].as_str().unwrap().into(), it["imported"].as_bool().unwrap())).collect()
    };
    let expected = [("Day 3".into(), true), ("Day 4".into(), true), ("By hand".into(), false)];
    assert_eq!(told(&imported), expected, "as far as 750 days");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(4)).await), "OUTSIDE_HOURS");
    let seen = acme.user.run_with("query($id: ID!) { booking(id: $id) { status } }", json!({ "id": booked })).await;
    assert_eq!(seen["data"]["booking"]["status"], "CONFIRMED");
    let again = import(&acme.admin, json!({ "calendar": file(&[3]) })).await;
    assert_eq!(told(&again), [("Day 3".into(), true), ("By hand".into(), false)]);
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(4)).await), "");
    // Of a service alone; and only within the days that were named.
    let own = json!({ "serviceId": acme.service, "calendar": file(&[6, 8]), "from": day(7).to_string(), "to": day(9).to_string() });
    assert_eq!(told(&import(&acme.admin, own).await), [("Day 8".into(), true)]);
    for (input, field) in [
        (json!({ "calendar": "hello" }), "calendar"),
        (json!({ "calendar": file(&[3]), "from": day(3).to_string(), "to": day(3).to_string() }), "to"),
    ] {
        let refused = import(&acme.admin, input).await;
        assert_eq!(refused["data"]["importHolidays"]["userErrors"][0]["field"], json!([field]), "{refused}");
    }
    let told = app.truth("select count(*) from shared.audit_events where action = 'hours.import'").await;
    assert_eq!(told, ["3"]);
}

/// Hours that start later are kept or replaced as asked, and never silently.
#[tokio::test(flavor = "multi_thread")]
async fn later_hours_are_not_lost() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let valid_from = |answer: &Value| -> Vec<String> {
        let all = answer["data"]["setOpeningHours"]["schedules"].as_array().unwrap_or_else(|| panic!("{answer}"));
        all.iter().map(|it| it["validFrom"].as_str().unwrap().to_owned()).collect()
    };
    let set = async |day: &str, opens: &str, later: Option<&str>| {
        let input = json!({ "validFrom": day, "hours": daily(&WEEK, opens, "17:00"), "laterSchedules": later });
        let query = SET.replace("code field", "code field message");
        acme.admin.run_with(&query, json!({ "input": input })).await
    };
    set("2027-01-01", "08:00", None).await;
    set("2027-06-01", "09:00", None).await;
    set("2027-09-01", "10:00", None).await;
    let refused = set("2027-01-01", "08:30", None).await;
    let error = &refused["data"]["setOpeningHours"]["userErrors"][0];
    assert_eq!((&error["code"], &error["field"]), (&json!("IN_USE"), &json!(["laterSchedules"])), "{refused}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("2027-06-01 (Europe/Amsterdam), 2027-09-01 (Europe/Amsterdam)"), "{message}");
    assert_eq!(acme.truth("select count(*) from shared.opening_schedules").await, ["3"]);
    // The last one can be corrected as it is.
    assert_eq!(valid_from(&set("2027-09-01", "10:30", None).await), ["2027-01-01", "2027-06-01", "2027-09-01"]);
    let kept = set("2027-01-01", "08:30", Some("KEEP")).await;
    assert_eq!(valid_from(&kept), ["2027-01-01", "2027-06-01", "2027-09-01"]);
    assert_eq!(kept["data"]["setOpeningHours"]["schedules"][0]["hours"][0]["opens"], "08:30");
    let replaced = set("2027-03-01", "07:00", Some("REPLACE")).await;
    assert_eq!(valid_from(&replaced), ["2027-01-01", "2027-03-01"]);
}

/// A tenant's new time zone leaves schedules in the old one, and says which; or it takes them along.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_time_zone_says_which_hours_stay() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    let nine = || daily(&WEEK, "09:00", "17:00");
    acme.admin.set_hours(json!({ "validFrom": "2026-01-01", "hours": nine() })).await;
    acme.admin.set_hours(json!({ "validFrom": "2026-01-01", "resourceId": anna, "hours": nine() })).await;
    acme.admin
        .set_hours(json!({ "validFrom": "2026-01-01", "serviceId": acme.service, "timeZone": "America/New_York", "hours": nine() }))
        .await;
    let update = async |input: Value| {
        let query = "mutation($input: UpdateTenantInput!) { updateTenant(input: $input) {
            tenant { timeZone } schedulesElsewhere { serviceId resourceId validFrom timeZone } userErrors { code field } } }";
        acme.admin.run_with(query, json!({ "input": input })).await
    };
    let elsewhere = |answer: &Value| -> Vec<Value> {
        let all = answer["data"]["updateTenant"]["schedulesElsewhere"].as_array().unwrap_or_else(|| panic!("{answer}"));
        all.iter().map(|it| json!([it["serviceId"], it["resourceId"], it["timeZone"]])).collect()
    };
    let of_service = json!([acme.service, null, "America/New_York"]);
    let moved = update(json!({ "timeZone": "Europe/London" })).await;
    let kept = elsewhere(&moved);
    assert_eq!(kept.len(), 3, "{moved}");
    for it in [json!([null, null, "Europe/Amsterdam"]), json!([null, anna, "Europe/Amsterdam"]), of_service.clone()] {
        assert!(kept.contains(&it), "{moved}");
    }
    let other = update(json!({ "name": "Acme" })).await;
    assert_eq!(other["data"]["updateTenant"]["schedulesElsewhere"], Value::Null);
    update(json!({ "timeZone": "Europe/Amsterdam" })).await;
    let taken = update(json!({ "timeZone": "Europe/London", "moveSchedules": true })).await;
    assert_eq!(elsewhere(&taken), [of_service]);
    let zones = acme.truth("select time_zone, count(*) from shared.opening_schedules group by 1 order by 1").await;
    assert_eq!(zones, ["America/New_York | 1", "Europe/London | 2"]);
    assert_eq!(acme.truth("select count(*) from shared.audit_events where action = 'hours.move_zone'").await, ["1"]);
    // Refused as a whole, nothing moves.
    let refused = update(json!({ "timeZone": "Asia/Tokyo", "moveSchedules": true, "name": "" })).await;
    assert_eq!(code(&refused), "INVALID");
    assert_eq!(acme.truth("select count(*) from shared.opening_schedules where time_zone = 'Asia/Tokyo'").await, ["0"]);
}
