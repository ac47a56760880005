//! Series: bookings that are made together by a rule, and cancelled together.

use jiff::{SignedDuration, ToSpan, tz::TimeZone};
use serde_json::{Value, json};

use crate::{
    bookings::OVERLAPS,
    support::{Person, TestApp, TestTenant, code},
};

const CREATE: &str = "mutation($input: CreateBookingSeriesInput!) { createBookingSeries(input: $input) {
    series { id interval weekdays time timeZone count bookings { id startsAt status } customer { id } }
    occurrences { day startsAt outcome booking { id series { id } } error { code } }
    userErrors { code field message } } }";
const CANCEL: &str = "mutation($input: CancelBookingSeriesInput!) { cancelBookingSeries(input: $input) {
    series { id } cancellations { booking { startsAt status } error { code } } userErrors { code field } } }";

impl Person {
    async fn book_series(&self, input: Value) -> Value {
        self.run_with(CREATE, json!({ "input": input })).await["data"]["createBookingSeries"].clone()
    }

    async fn cancel_series(&self, input: Value) -> Value {
        let answer = self.run_with(CANCEL, json!({ "input": input })).await;
        if answer["errors"].is_array() { answer } else { answer["data"]["cancelBookingSeries"].clone() }
    }
}

fn outcomes(answer: &Value) -> Vec<&str> {
    let all = answer["occurrences"].as_array().unwrap_or_else(|| panic!("{answer}"));
    all.iter().map(|it| it["error"]["code"].as_str().or(it["outcome"].as_str()).unwrap()).collect()
}

/// A Monday in one or two weeks, in the tenant's zone.
fn monday(acme: &TestTenant) -> jiff::civil::Date {
    let today = acme.app.clock.now().to_zoned(TimeZone::get("Europe/Amsterdam").unwrap()).date();
    let since_monday = i64::from(today.weekday().to_monday_zero_offset());
    today.saturating_sub(since_monday.days()).saturating_add(14.days())
}

fn weekly(acme: &TestTenant, count: usize) -> Value {
    json!({
        "serviceId": acme.service, "frequency": "WEEKLY", "firstDay": monday(acme).to_string(), "time": "10:00", "count": count
    })
}

fn with(input: Value, fields: Value) -> Value {
    let mut input = input;
    input.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    input
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_its_owners_alone() {
    for app in crate::isolation::with_and_without_policies().await {
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        let made = acme.user.book_series(weekly(&acme, 3)).await;
        let id = made["series"]["id"].as_str().unwrap_or_else(|| panic!("{made}"));
        let booking = &made["occurrences"][0]["booking"]["id"];
        let seen = async |person: &Person| {
            let query = "query($id: ID!) { bookingSeries(id: $id) { id } node(id: $id) { id } }";
            person.run_with(query, json!({ "id": id })).await["data"].clone()
        };
        for input in
            [json!({ "id": id, "scope": "ALL" }), json!({ "id": id, "scope": "FOLLOWING", "bookingId": booking })]
        {
            let refused = globex.admin.cancel_series(input.clone()).await;
            assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND");
            let random = tenantry::base::ids::SeriesId::generate(app.clock.now()).to_string();
            let same = globex.admin.cancel_series(with(input, json!({ "id": random }))).await;
            assert_eq!(refused["userErrors"], same["userErrors"], "as a random one");
        }
        assert_eq!(seen(&globex.admin).await, json!({ "bookingSeries": null, "node": null }));
        assert_eq!(seen(&acme.staff).await["bookingSeries"]["id"], id, "it was isolation");
        // Another tenant's service, customer or resource does not exist.
        let theirs = globex.admin.create_resource("ROOM", "Theirs").await;
        for (fields, field) in [
            (json!({ "serviceId": globex.service }), "serviceId"),
            (json!({ "customerId": globex.user.id.to_string() }), "customerId"),
            (json!({ "resourceId": theirs }), "resourceId"),
        ] {
            let refused = acme.staff.book_series(with(weekly(&acme, 3), fields)).await;
            assert_eq!(
                refused["userErrors"][0],
                json!({ "code": "NOT_FOUND", "field": [field], "message": refused["userErrors"][0]["message"] })
            );
        }
    }
    // Within the tenant, another customer has no access to it.
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let made = acme.user.book_series(weekly(&acme, 2)).await;
    let refused = acme.other.cancel_series(json!({ "id": made["series"]["id"], "scope": "ALL" })).await;
    assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND");
    let for_another = with(weekly(&acme, 2), json!({ "customerId": acme.other.id.to_string() }));
    assert_eq!(code(&acme.user.run_with(CREATE, json!({ "input": for_another })).await), "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_or_what_is_free() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let used = async || app.truth("select coalesce(sum(used), 0) from shared.usage_counters").await[0].clone();
    // The second of four is taken.
    let second = monday(&acme).saturating_add(7.days()).at(10, 0, 0, 0).in_tz("Europe/Amsterdam").unwrap().timestamp();
    assert_eq!(code(&acme.other.book(&acme.service, second).await), "");
    let expected = ["FREE", "SLOT_TAKEN", "FREE", "FREE"];
    let asked = acme.user.book_series(with(weekly(&acme, 4), json!({ "dryRun": true }))).await;
    assert_eq!((outcomes(&asked), &asked["userErrors"], &asked["series"]), (expected.into(), &json!([]), &Value::Null));
    let refused = acme.user.book_series(weekly(&acme, 4)).await;
    assert_eq!((outcomes(&refused), &refused["series"]), (expected.into(), &Value::Null));
    assert_eq!(refused["userErrors"][0]["field"], json!(["occurrences", "1"]), "{refused}");
    assert_eq!(refused["userErrors"].as_array().map(Vec::len), Some(1));
    // Nothing of either exists: no booking, no claim, no count, no pending mail, no log entry.
    assert_eq!(used().await, "1");
    for (sql, there) in [
        ("select count(*) from shared.bookings", "1"),
        ("select count(*) from shared.booking_claims", "1"),
        ("select count(*) from shared.booking_series", "0"),
        ("select count(*) from shared.audit_events where action like 'series.%'", "0"),
        ("select count(*) from shared.audit_events where action = 'bookings.create'", "1"),
        ("select count(*) from shared.outbox", "1"),
    ] {
        assert_eq!(app.truth(sql).await, [there], "{sql}");
    }
    let made = acme.user.book_series(with(weekly(&acme, 4), json!({ "onConflict": "SKIP" }))).await;
    assert_eq!(outcomes(&made), ["BOOKED", "SLOT_TAKEN", "BOOKED", "BOOKED"]);
    assert_eq!(made["userErrors"], json!([]));
    assert_eq!(made["occurrences"][0]["booking"]["series"]["id"], made["series"]["id"]);
    assert_eq!((made["series"]["bookings"].as_array().map(Vec::len), used().await.as_str()), (Some(3), "4"));
    // When none is free, nothing is made.
    let again = acme.user.book_series(with(weekly(&acme, 4), json!({ "onConflict": "SKIP" }))).await;
    assert_eq!((outcomes(&again), &again["series"]), (vec!["SLOT_TAKEN"; 4], &Value::Null));
    assert_eq!(again["userErrors"].as_array().map(Vec::len), Some(4));
    // It ends where the plan does.
    app.by_hand("update shared.tenant_state set limits = limits || '{\"bookings\": 6}'").await;
    let later = with(weekly(&acme, 4), json!({ "time": "12:00", "onConflict": "SKIP" }));
    assert_eq!(outcomes(&acme.user.book_series(later).await), ["BOOKED", "BOOKED", "QUOTA_EXCEEDED", "QUOTA_EXCEEDED"]);
    assert_eq!(app.truth(OVERLAPS).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn occurrences_go_by_the_services_clock() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    // By the tenant's clock: ten o'clock is ten o'clock in winter and in summer.
    let first = "2027-03-24";
    let input = with(weekly(&acme, 2), json!({ "firstDay": first }));
    let made = acme.user.book_series(input).await;
    let starts: Vec<&Value> = made["occurrences"].as_array().unwrap().iter().map(|it| &it["startsAt"]).collect();
    assert_eq!(starts, ["2027-03-24T09:00:00Z", "2027-03-31T08:00:00Z"]);
    // Of the service's own.
    let set = "mutation($input: SetOpeningHoursInput!) { setOpeningHours(input: $input) { userErrors { code } } }";
    let hours = json!({ "serviceId": acme.service, "validFrom": "2026-01-01", "timeZone": "America/New_York" });
    assert_eq!(code(&acme.admin.run_with(set, json!({ "input": hours })).await), "");
    // 2027-03-14 02:30 does not exist there, 2027-11-07 01:30 comes twice.
    let skipped = with(weekly(&acme, 2), json!({ "firstDay": "2027-03-07", "time": "02:30" }));
    let refused = acme.user.book_series(skipped.clone()).await;
    assert_eq!(outcomes(&refused), ["FREE", "NONEXISTENT_TIME"]);
    assert_eq!(refused["occurrences"][1]["startsAt"], Value::Null);
    assert_eq!(refused["userErrors"][0]["code"], "NONEXISTENT_TIME");
    let some = acme.user.book_series(with(skipped, json!({ "onConflict": "SKIP" }))).await;
    assert_eq!(outcomes(&some), ["BOOKED", "NONEXISTENT_TIME"]);
    assert_eq!(some["series"]["timeZone"], "America/New_York");
    let twice = with(weekly(&acme, 2), json!({ "firstDay": "2027-10-31", "time": "01:30" }));
    assert_eq!(outcomes(&acme.user.book_series(twice.clone()).await), ["FREE", "AMBIGUOUS_TIME"]);
    let wrong = acme.user.book_series(with(twice.clone(), json!({ "utcOffset": "+01:00" }))).await;
    assert_eq!(outcomes(&wrong), ["FREE", "AMBIGUOUS_TIME"]);
    let said = acme.user.book_series(with(twice.clone(), json!({ "utcOffset": "-05:00" }))).await;
    assert_eq!(said["occurrences"][1]["startsAt"], "2027-11-07T06:30:00Z");
    let bad = acme.user.run_with(CREATE, json!({ "input": with(twice, json!({ "utcOffset": "5" })) })).await;
    assert_eq!((code(&bad), &bad["errors"][0]["extensions"]["field"]), ("BAD_USER_INPUT", &json!("input.utcOffset")));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_bind_each_occurrence_and_the_rule_itself_is_checked() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let set =
        "mutation($input: SetOpeningOverrideInput!) { setOpeningOverride(input: $input) { userErrors { code } } }";
    let closed = json!({ "day": monday(&acme).saturating_add(7.days()).to_string(), "hours": [] });
    assert_eq!(code(&acme.admin.run_with(set, json!({ "input": closed })).await), "");
    let made = acme.user.book_series(with(weekly(&acme, 3), json!({ "onConflict": "SKIP" }))).await;
    assert_eq!(outcomes(&made), ["BOOKED", "OUTSIDE_HOURS", "BOOKED"]);
    let far = with(weekly(&acme, 106), json!({ "dryRun": true, "time": "12:00", "interval": 1 }));
    assert_eq!(*outcomes(&acme.user.book_series(far).await).last().unwrap(), "TOO_FAR", "two years ahead");
    let past = with(
        weekly(&acme, 3),
        json!({ "firstDay": app.clock.now().to_zoned(TimeZone::UTC).date().saturating_sub(8.days()).to_string(), "time": "00:00", "dryRun": true }),
    );
    assert_eq!(outcomes(&acme.user.book_series(past).await)[..2], ["TOO_SOON", "TOO_SOON"]);
    for (fields, field) in [
        (json!({ "count": null }), "count"),
        (json!({ "count": 107 }), "count"),
        (json!({ "count": -1 }), "count"),
        (json!({ "interval": 0 }), "interval"),
        (json!({ "time": "24:00" }), "time"),
        (json!({ "count": null, "lastDay": "2000-01-01" }), "lastDay"),
        (json!({ "frequency": "MONTHLY", "weekdays": ["MONDAY"] }), "weekdays"),
        (json!({ "notes": "x".repeat(2001) }), "notes"),
    ] {
        let refused = acme.user.book_series(with(weekly(&acme, 3), fields)).await;
        let error = &refused["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("INVALID"), &json!([field])), "{refused}");
        assert_eq!(refused["occurrences"], json!([]));
    }
    // Twice a week, every second week.
    let twice = json!({ "time": "15:00", "weekdays": ["THURSDAY", "MONDAY"], "interval": 2 });
    let made = acme.user.book_series(with(weekly(&acme, 4), twice)).await;
    let days: Vec<String> =
        [0, 3, 14, 17].iter().map(|it| monday(&acme).saturating_add(it.days()).to_string()).collect();
    let told: Vec<&str> =
        made["occurrences"].as_array().unwrap().iter().map(|it| it["day"].as_str().unwrap()).collect();
    assert_eq!(told, days);
}

#[tokio::test(flavor = "multi_thread")]
async fn this_those_that_follow_or_all_are_called_off() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let made = acme.user.book_series(weekly(&acme, 5)).await;
    let (id, booking) = (&made["series"]["id"], |place: usize| &made["occurrences"][place]["booking"]["id"]);
    let statuses = async || {
        let query = "query($id: ID!) { bookingSeries(id: $id) { bookings { status } } }";
        let seen = acme.user.run_with(query, json!({ "id": id })).await;
        let all = seen["data"]["bookingSeries"]["bookings"].as_array().unwrap().clone();
        all.iter()
            .map(|it| it["status"].as_str().unwrap().chars().take(3).collect::<String>())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let no_booking = acme.user.cancel_series(json!({ "id": id, "scope": "THIS" })).await;
    assert_eq!(code(&no_booking), "BAD_USER_INPUT");
    let other = acme.booking(3).await;
    let stray = acme.user.cancel_series(json!({ "id": id, "scope": "THIS", "bookingId": other })).await;
    assert_eq!(stray["userErrors"][0], json!({ "code": "NOT_FOUND", "field": ["bookingId"] }));
    let this = acme.user.cancel_series(json!({ "id": id, "scope": "THIS", "bookingId": booking(1) })).await;
    assert_eq!(this["cancellations"][0]["booking"]["status"], "CANCELLED");
    assert_eq!(statuses().await, "CON CAN CON CON CON");
    let following = acme
        .user
        .cancel_series(json!({ "id": id, "scope": "FOLLOWING", "bookingId": booking(3), "reason": "Away" }))
        .await;
    assert_eq!(following["cancellations"].as_array().map(Vec::len), Some(2));
    assert_eq!(statuses().await, "CON CAN CON CAN CAN");
    // Past bookings stay, and the answer says so.
    let first = made["occurrences"][0]["startsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    app.clock.advance(first.duration_since(app.clock.now()) + SignedDuration::from_mins(5));
    let all = acme.user.cancel_series(json!({ "id": id, "scope": "ALL" })).await;
    let told: Vec<&Value> = all["cancellations"].as_array().unwrap().iter().map(|it| &it["error"]["code"]).collect();
    assert_eq!(told, [&json!("INVALID_TRANSITION"), &Value::Null], "{all}");
    assert_eq!(statuses().await, "CON CAN CAN CAN CAN");
    assert_eq!(app.truth("select count(*) from shared.booking_claims where active").await, ["2"], "with the other one");
    // An occurrence can be moved by itself, and remains in the series.
    let made = acme
        .user
        .book_series(with(weekly(&acme, 2), json!({ "firstDay": monday(&acme).saturating_add(70.days()).to_string() })))
        .await;
    let moving = made["occurrences"][0]["booking"]["id"].as_str().unwrap();
    let at = made["occurrences"][0]["startsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(code(&acme.user.reschedule(moving, at + SignedDuration::from_hours(1)).await), "");
    let all = acme.user.cancel_series(json!({ "id": made["series"]["id"], "scope": "ALL" })).await;
    assert_eq!(all["cancellations"].as_array().map(Vec::len), Some(2));
}

/// Past bookings stay, also when staff cancel a whole series, and nobody is notified that they were cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn what_took_place_is_not_called_off_with_the_rest() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let made = acme.user.book_series(weekly(&acme, 3)).await;
    let second = made["occurrences"][1]["startsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    app.mails().await;
    app.clock.advance(second.duration_since(app.clock.now()) + SignedDuration::from_hours(2));
    app.mails().await;
    let all = acme.staff.cancel_series(json!({ "id": made["series"]["id"], "scope": "ALL" })).await;
    let told: Vec<&Value> =
        all["cancellations"].as_array().unwrap().iter().map(|it| &it["booking"]["status"]).collect();
    assert_eq!(told, ["CONFIRMED", "CONFIRMED", "CANCELLED"]);
    let mail = app.mail_to(&acme.user.email).await;
    assert_eq!(mail.calendar.unwrap().matches("BEGIN:VEVENT").count(), 1);
    // One of them can still be cancelled by itself: the lesson that did not take place.
    let this =
        json!({ "id": made["series"]["id"], "scope": "THIS", "bookingId": made["occurrences"][1]["booking"]["id"] });
    assert_eq!(acme.staff.cancel_series(this).await["cancellations"][0]["booking"]["status"], "CANCELLED");
}
