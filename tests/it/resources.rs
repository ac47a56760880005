//! Staff, rooms and equipment: managed by administrators, occupied by bookings, never twice at a time.

use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    bookings::OVERLAPS,
    support::{Options, Person, TestApp, TestTenant, code},
};

/// The names of the resources that a booking holds.
fn held(answer: &Value) -> Vec<&str> {
    let field = ["createBooking", "rescheduleBooking"].into_iter().find(|it| answer["data"][it].is_object());
    let booking = &answer["data"][field.unwrap_or_else(|| panic!("{answer}"))]["booking"];
    booking["resources"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect()
}

fn id(answer: &Value) -> String {
    answer["data"]["createBooking"]["booking"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Another tenant's resource does not exist, in every field that names one.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_resource_is_none() {
    for app in crate::isolation::with_and_without_policies().await {
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        let theirs = globex.admin.create_resource("ROOM", "Theirs").await;
        let own = acme.admin.create_resource("ROOM", "Own").await;
        let seen = acme
            .admin
            .run_with("query($id: ID!) { resource(id: $id) { id } node(id: $id) { id } }", json!({ "id": theirs }))
            .await;
        assert_eq!(seen["data"], json!({ "resource": null, "node": null }));
        let linked = acme.admin.link(&acme.service, &[(&own, 0), (&theirs, 0)]).await;
        assert_eq!(code(&linked), "NOT_FOUND");
        assert_eq!(
            linked["data"]["setServiceResources"]["userErrors"][0]["field"],
            json!(["resources", "1", "resourceId"])
        );
        assert_eq!(code(&acme.admin.link(&globex.service, &[(&own, 0)]).await), "NOT_FOUND");
        assert_eq!(code(&acme.admin.link(&acme.service, &[(&own, 0)]).await), "");
        let booked = acme
            .user
            .book_with(
                json!({ "serviceId": acme.service, "startsAt": acme.in_days(3).to_string(), "resourceId": theirs }),
            )
            .await;
        assert_eq!(code(&booked), "NOT_FOUND");
        let listed = acme.admin.run("{ resources { nodes { name } } }").await;
        assert_eq!(listed["data"]["resources"]["nodes"], json!([{ "name": "Own" }]));
        let there = globex.admin.run("{ resources { nodes { name active } } }").await;
        assert_eq!(
            there["data"]["resources"]["nodes"],
            json!([{ "name": "Theirs", "active": true }]),
            "it was isolation"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_keep_resources() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let create =
        "mutation { createResource(input: { kind: ROOM, name: \"R\" }) { resource { id } userErrors { code } } }";
    for person in [&acme.staff, &acme.user] {
        assert_eq!(code(&person.run(create).await), "FORBIDDEN");
        assert_eq!(code(&person.link(&acme.service, &[]).await), "FORBIDDEN");
    }
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    let room = acme.admin.create_resource("ROOM", "Room").await;
    for (input, expected) in [
        (json!({ "kind": "ROOM", "name": "Room" }), ("NAME_TAKEN", "name")),
        (json!({ "kind": "ROOM", "name": " " }), ("INVALID", "name")),
        (json!({ "kind": "ROOM", "name": "x".repeat(201) }), ("INVALID", "name")),
        (json!({ "kind": "ROOM", "name": "Y", "userId": acme.staff.id.to_string() }), ("INVALID", "userId")),
        (
            json!({ "kind": "STAFF", "name": "Y", "userId": tenantry::base::ids::UserId(uuid::Uuid::now_v7()).to_string() }),
            ("NOT_FOUND", "userId"),
        ),
    ] {
        let query = "mutation($input: CreateResourceInput!) { createResource(input: $input) { resource { id } userErrors { code field } } }";
        let answer = acme.admin.run_with(query, json!({ "input": input })).await;
        let error = &answer["data"]["createResource"]["userErrors"][0];
        assert_eq!(
            (error["code"].as_str(), error["field"][0].as_str()),
            (Some(expected.0), Some(expected.1)),
            "{answer}"
        );
    }
    let update = "mutation($input: UpdateResourceInput!) { updateResource(input: $input) { resource { name active user { name } } userErrors { code } } }";
    let changed = acme
        .admin
        .run_with(update, json!({ "input": { "id": anna, "name": "Ann", "userId": acme.staff.id.to_string() } }))
        .await;
    assert_eq!(
        changed["data"]["updateResource"]["resource"],
        json!({ "name": "Ann", "active": true, "user": { "name": "staff of acme" } })
    );
    let nobody = acme.admin.run_with(update, json!({ "input": { "id": anna, "userId": null } })).await;
    assert_eq!(nobody["data"]["updateResource"]["resource"]["user"], Value::Null);
    assert_eq!(
        code(&acme.admin.run_with(update, json!({ "input": { "id": anna, "name": "Room" } })).await),
        "NAME_TAKEN"
    );
    // Customers see what can be booked.
    acme.admin.run_with(update, json!({ "input": { "id": room, "active": false } })).await;
    let listed = acme.user.run("{ resources { nodes { name } } }").await;
    assert_eq!(listed["data"]["resources"]["nodes"], json!([{ "name": "Ann" }]));
    let of_kind = acme.staff.run("{ resources(filter: { kind: ROOM, active: false }) { nodes { name kind } } }").await;
    assert_eq!(of_kind["data"]["resources"]["nodes"], json!([{ "name": "Room", "kind": "ROOM" }]));
    // A booked resource stays, deactivated; an unused one is deleted.
    assert_eq!(code(&acme.admin.link(&acme.service, &[(&anna, 0)]).await), "");
    acme.booking(3).await;
    let delete = "mutation($id: ID!) { deleteResource(input: { id: $id }) { deletedResourceId resource { active } userErrors { code } } }";
    let kept = acme.admin.run_with(delete, json!({ "id": anna })).await;
    assert_eq!(
        (code(&kept), &kept["data"]["deleteResource"]["resource"]["active"]),
        ("IN_USE", &json!(false)),
        "{kept}"
    );
    let gone = acme.admin.run_with(delete, json!({ "id": room })).await;
    assert_eq!(gone["data"]["deleteResource"]["deletedResourceId"], json!(room));
    assert_eq!(code(&acme.admin.run_with(delete, json!({ "id": room })).await), "NOT_FOUND");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(9)).await), "SLOT_TAKEN", "nobody is left to serve it");
    let logged = app.truth("select action from shared.audit_events where action ~ 'resources' order by seq").await;
    let expected = [
        "resources.create",
        "resources.create",
        "resources.update",
        "resources.update",
        "resources.update",
        "services.set_resources",
        "resources.deactivate",
        "resources.delete",
    ];
    assert_eq!(logged, expected);
}

/// A booking takes one of each kind: the requested one, or the best free one by the documented rule.
#[tokio::test(flavor = "multi_thread")]
async fn any_is_the_highest_priority_then_the_least_loaded() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (anna, ben, cleo) = (
        acme.admin.create_resource("STAFF", "Anna").await,
        acme.admin.create_resource("STAFF", "Ben").await,
        acme.admin.create_resource("STAFF", "Cleo").await,
    );
    let chair = acme.admin.create_resource("EQUIPMENT", "Chair").await;
    let stool = acme.admin.create_resource("EQUIPMENT", "Stool").await;
    let linked = acme.admin.link(&acme.service, &[(&anna, 0), (&ben, 5), (&cleo, 5), (&chair, 1), (&stool, 0)]).await;
    assert_eq!(linked["data"]["setServiceResources"]["service"]["resources"][0]["name"], "Ben", "{linked}");
    // Priority first: of Ben and Cleo the lower id, then the one with fewer bookings that day.
    // From eight in the morning there, so that all of it is on one day.
    let zone = jiff::tz::TimeZone::get("Europe/Amsterdam").unwrap();
    let morning = acme.in_days(3).to_zoned(zone).with().hour(8).minute(0).second(0).build().unwrap().timestamp();
    let at = |hours: i64| morning + SignedDuration::from_hours(hours);
    assert_eq!(held(&acme.user.book(&acme.service, at(0)).await), ["Chair", "Ben"]);
    assert_eq!(held(&acme.user.book(&acme.service, at(1)).await), ["Chair", "Cleo"]);
    // At the same time: the other of high priority, then the one of low priority, and then nobody.
    assert_eq!(held(&acme.other.book(&acme.service, at(0)).await), ["Stool", "Cleo"]);
    assert_eq!(code(&acme.other.book(&acme.service, at(0)).await), "SLOT_TAKEN", "there is no third chair");
    // The requested one, or none.
    let wants = |who: &str, hours: i64| json!({ "serviceId": acme.service, "startsAt": at(hours).to_string(), "resourceId": who });
    assert_eq!(held(&acme.user.book_with(wants(&anna, 5)).await), ["Chair", "Anna"]);
    assert_eq!(code(&acme.user.book_with(wants(&anna, 5)).await), "SLOT_TAKEN");
    assert_eq!(held(&acme.user.book(&acme.service, at(5)).await)[1], "Ben", "any other who is free");
    let other_room = acme.admin.create_resource("ROOM", "Not linked").await;
    assert_eq!(code(&acme.user.book_with(wants(&other_room, 7)).await), "NOT_FOUND");
    // A list by resource, and the same resource in another service.
    let listed = acme
        .staff
        .run_with(
            "query($id: ID!) { bookings(filter: { resourceId: $id }) { nodes { startsAt } } }",
            json!({ "id": anna }),
        )
        .await;
    assert_eq!(listed["data"]["bookings"]["nodes"], json!([{ "startsAt": at(5).to_string() }]));
    let massage = acme.admin.create_service(json!({ "name": "Massage" })).await;
    acme.admin.link(&massage, &[(&anna, 0)]).await;
    assert_eq!(code(&acme.other.book(&massage, at(5)).await), "SLOT_TAKEN", "she is there once");
    assert_eq!(code(&acme.other.book(&massage, at(6)).await), "");
}

/// Buffers block resources around a booking, not the booking's own time.
#[tokio::test(flavor = "multi_thread")]
async fn buffers_are_kept_free() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    let service = acme
        .admin
        .create_service(
            json!({ "name": "Long", "durationMinutes": 60, "bufferBeforeMinutes": 10, "bufferAfterMinutes": 20 }),
        )
        .await;
    acme.admin.link(&service, &[(&anna, 0)]).await;
    let at = |minutes: i64| acme.in_days(3) + SignedDuration::from_mins(minutes);
    assert_eq!(code(&acme.user.book(&service, at(0)).await), "");
    for (minutes, expected) in [(60, "SLOT_TAKEN"), (89, "SLOT_TAKEN"), (90, ""), (-89, "SLOT_TAKEN"), (-90, "")] {
        assert_eq!(code(&acme.other.book(&service, at(minutes)).await), expected, "{minutes}");
    }
    for (field, bad) in [
        ("bufferBeforeMinutes", -1),
        ("bufferAfterMinutes", 1_441),
        ("minNoticeMinutes", -1),
        ("maxAheadDays", 0),
        ("cancelNoticeMinutes", 525_601),
        ("rescheduleNoticeMinutes", -5),
    ] {
        let update =
            "mutation($input: UpdateServiceInput!) { updateService(input: $input) { userErrors { code field } } }";
        let answer = acme.admin.run_with(update, json!({ "input": { "id": service, field: bad } })).await;
        assert_eq!(
            answer["data"]["updateService"]["userErrors"][0],
            json!({ "code": "INVALID", "field": [field] }),
            "{field}"
        );
    }
}

/// Moved completely or not at all: if the new time is not available, the old one stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_moved_or_stays() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (anna, ben) =
        (acme.admin.create_resource("STAFF", "Anna").await, acme.admin.create_resource("STAFF", "Ben").await);
    acme.admin.link(&acme.service, &[(&anna, 5), (&ben, 0)]).await;
    let at = |hours: i64| acme.in_days(3) + SignedDuration::from_hours(hours);
    let mine = id(&acme.user.book(&acme.service, at(0)).await);
    let theirs = id(&acme.other.book(&acme.service, at(4)).await);
    for intruder in [&acme.other] {
        assert_eq!(code(&intruder.reschedule(&mine, at(9)).await), "NOT_FOUND");
    }
    // Its own old time does not block it.
    let moved = acme.user.reschedule(&mine, at(0) + SignedDuration::from_mins(15)).await;
    assert_eq!(
        (held(&moved), moved["data"]["rescheduleBooking"]["booking"]["version"].as_i64()),
        (vec!["Anna"], Some(2)),
        "{moved}"
    );
    // Anna is booked there, so it is Ben; then both are, so it stays unchanged.
    assert_eq!(held(&acme.user.reschedule(&mine, at(4)).await), ["Ben"]);
    assert_eq!(held(&acme.user.reschedule(&mine, at(6)).await), ["Ben"], "its own is kept where it is free");
    let third = id(&acme.staff.book(&acme.service, at(4)).await);
    let refused = acme.user.reschedule(&mine, at(4)).await;
    assert_eq!(code(&refused), "SLOT_TAKEN");
    let seen = acme.user.run_with("query($id: ID!) { booking(id: $id) { startsAt version resources { name } history { fromStatus toStatus movedFrom movedTo } } }", json!({ "id": mine })).await;
    let booking = &seen["data"]["booking"];
    assert_eq!((&booking["startsAt"], &booking["resources"]), (&json!(at(6).to_string()), &json!([{ "name": "Ben" }])));
    assert_eq!(
        booking["history"][3],
        json!({ "fromStatus": "CONFIRMED", "toStatus": "CONFIRMED", "movedFrom": at(4).to_string(), "movedTo": at(6).to_string() })
    );
    assert_eq!(code(&acme.other.book(&acme.service, at(0)).await), "", "the time that it left is free");
    // By the rules: not into the past, not too late, not once it is over, not with an old version.
    assert_eq!(code(&acme.user.reschedule(&mine, acme.in_days(-1)).await), "TOO_SOON");
    assert_eq!(code(&acme.user.reschedule(&mine, acme.in_days(800)).await), "TOO_FAR");
    let stale =
        "mutation($input: RescheduleBookingInput!) { rescheduleBooking(input: $input) { userErrors { code } } }";
    assert_eq!(
        code(
            &acme
                .user
                .run_with(stale, json!({ "input": { "id": mine, "startsAt": at(20).to_string(), "version": 1 } }))
                .await
        ),
        "STALE"
    );
    let rule = "mutation($input: UpdateServiceInput!) { updateService(input: $input) { userErrors { code } } }";
    acme.admin
        .run_with(rule, json!({ "input": { "id": acme.service, "rescheduleNoticeMinutes": 60 * 24 * 10 } }))
        .await;
    assert_eq!(code(&acme.user.reschedule(&mine, at(30)).await), "TOO_SOON");
    assert_eq!(code(&acme.staff.reschedule(&mine, at(30)).await), "", "staff may");
    assert_eq!(code(&acme.staff.set_status(json!({ "id": third, "status": "CANCELLED" })).await), "");
    assert_eq!(code(&acme.staff.reschedule(&third, at(40)).await), "INVALID_TRANSITION");
    assert_eq!(code(&acme.staff.reschedule(&theirs, at(4) + SignedDuration::from_mins(10)).await), "");
    assert_eq!(app.truth(OVERLAPS).await, ["0"]);
    let logged = app.truth("select count(*) from shared.audit_events where action = 'bookings.reschedule'").await;
    assert_eq!(logged, ["5"], "of each that was moved, and of none that was not");
    // A service that requires confirmation requires it again, from customers.
    let careful = acme.admin.create_service(json!({ "name": "Careful", "requiresConfirmation": true })).await;
    let waiting = id(&acme.user.book(&careful, at(0)).await);
    assert_eq!(code(&acme.staff.set_status(json!({ "id": waiting, "status": "CONFIRMED" })).await), "");
    let again = acme.user.reschedule(&waiting, at(2)).await;
    assert_eq!(again["data"]["rescheduleBooking"]["booking"]["status"], "PENDING", "{again}");
}

/// A service's rules override its tenant's, and apply to customers only.
#[tokio::test(flavor = "multi_thread")]
async fn a_services_rules_go_before_its_tenants() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let rules = "mutation { updateTenant(input: { bookingRules: { minNoticeMinutes: 2880, maxAheadDays: 30, cancelNoticeMinutes: 1440 } }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run(rules).await), "");
    let own = acme
        .admin
        .create_service(
            json!({ "name": "Own rules", "minNoticeMinutes": 60, "maxAheadDays": 90, "cancelNoticeMinutes": 0 }),
        )
        .await;
    let cases = [
        (&acme.service, 1, "TOO_SOON"),
        (&own, 1, ""),
        (&acme.service, 60, "TOO_FAR"),
        (&own, 60, ""),
        (&own, 100, "TOO_FAR"),
    ];
    for (service, days, expected) in cases {
        assert_eq!(code(&acme.user.book(service, acme.in_days(days)).await), expected, "{service} {days}");
    }
    assert_eq!(code(&acme.staff.book(&acme.service, acme.in_days(60)).await), "");
    let soon = id(&acme.user.book(&own, acme.in_days(1) - SignedDuration::from_hours(4)).await);
    assert_eq!(code(&acme.user.set_status(json!({ "id": soon, "status": "CANCELLED" })).await), "");
}

/// 64 clients, 200 slots, 3 resources, two processes, with bookings that are moved and cancelled meanwhile: nothing
/// overlaps, and every caller gets a clear answer.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_overlaps_under_contention() {
    let app = TestApp::start_with(Options { connections: 12, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let second = TestApp::on(app.database.clone(), Options { connections: 12, ..Options::default() }).await;
    let mut resources = Vec::new();
    for name in ["Anna", "Ben", "Cleo"] {
        resources.push(acme.admin.create_resource("STAFF", name).await);
    }
    let room = acme.admin.create_resource("ROOM", "Room 1").await;
    let other_room = acme.admin.create_resource("ROOM", "Room 2").await;
    let both = acme
        .admin
        .create_service(json!({ "name": "With a room", "durationMinutes": 30, "bufferAfterMinutes": 5 }))
        .await;
    let links: Vec<(&str, i32)> = resources.iter().map(|it| (it.as_str(), 0)).collect();
    acme.admin.link(&acme.service, &links).await;
    acme.admin.link(&both, &[links.clone(), vec![(&room, 0), (&other_room, 0)]].concat()).await;
    let (acme, both) = (&acme, &both);
    let clients = (0..64_i64).map(|client| {
        let mut person: Person = [&acme.user, &acme.other, &acme.staff][client as usize % 3].clone();
        person.app = if client % 2 == 0 { app.clone() } else { second.clone() };
        async move { one_client(acme, both, person, client).await }
    });
    let codes: Vec<String> = join_all(clients).await.concat();
    let allowed = ["", "SLOT_TAKEN", "STALE", "INVALID_TRANSITION", "QUOTA_EXCEEDED"];
    assert!(codes.iter().all(|it| allowed.contains(&it.as_str())), "{codes:?}");
    assert!(codes.iter().any(|it| it == "SLOT_TAKEN") && codes.iter().any(String::is_empty));
    assert_eq!(app.truth(OVERLAPS).await, ["0"]);
    // Every active booking has its resources, and no inactive one has any.
    let wrong = "select count(*) from shared.bookings b
        left join lateral (select count(*) as held from shared.booking_claims c where c.booking_id = b.id and c.active) c on true
        left join shared.services s on s.id = b.service_id
        where c.held <> case when b.status in ('CANCELLED', 'REJECTED', 'EXPIRED') then 0 when s.name = 'With a room' then 2 else 1 end";
    assert_eq!(app.truth(wrong).await, ["0"]);
}

async fn one_client(acme: &TestTenant, both: &str, person: Person, client: i64) -> Vec<String> {
    let mut codes = Vec::new();
    for step in 0..6_i64 {
        // Some two hundred starts, ten minutes apart.
        let slot = |n: i64| acme.in_days(3) + SignedDuration::from_mins(10 * ((client * 37 + step * 53 + n) % 200));
        let service = if (client + step) % 2 == 0 { acme.service.as_str() } else { both };
        let booked = person.book(service, slot(0)).await;
        codes.push(code(&booked).to_owned());
        if code(&booked).is_empty() {
            let id = id(&booked);
            let then = if step % 3 == 0 {
                person.set_status(json!({ "id": id, "status": "CANCELLED" })).await
            } else {
                person.reschedule(&id, slot(7)).await
            };
            codes.push(code(&then).to_owned());
        }
    }
    codes
}

/// Findings of an independent reviewer: times at the ends of the calendar, and changed services under existing
/// bookings.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_ground_changes() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let far = "9999-12-30T22:00:00Z".parse().unwrap();
    assert_eq!(code(&acme.user.book(&acme.service, far).await), "TOO_FAR");
    let mine = id(&acme.user.book(&acme.service, acme.in_days(3)).await);
    assert_eq!(code(&acme.user.reschedule(&mine, far).await), "TOO_FAR");
    let query = "query($s: ID!) { availability(serviceId: $s, from: \"9999-12-29T10:00:00Z\", to: \"9999-12-30T10:00:00Z\") { startsAt } }";
    assert_eq!(acme.user.run_with(query, json!({ "s": acme.service })).await["data"]["availability"], json!([]));
    // A service uses seats or resources, and cannot switch while it has active bookings.
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    assert_eq!(code(&acme.admin.link(&acme.service, &[(&anna, 0)]).await), "IN_USE");
    assert_eq!(code(&acme.user.set_status(json!({ "id": mine, "status": "CANCELLED" })).await), "");
    assert_eq!(code(&acme.admin.link(&acme.service, &[(&anna, 0)]).await), "");
    // A resource that serves a service is not deleted, or the service could be booked without it.
    let delete = "mutation($id: ID!) { deleteResource(input: { id: $id }) { deletedResourceId userErrors { code } } }";
    assert_eq!(code(&acme.admin.run_with(delete, json!({ "id": anna })).await), "IN_USE");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(4)).await), "SLOT_TAKEN");
    let update = "mutation($id: ID!) { updateResource(input: { id: $id, active: true }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run_with(update, json!({ "id": anna })).await), "");
    // Once it is over, a booking shows its last resources.
    let ben = acme.admin.create_resource("STAFF", "Ben").await;
    assert_eq!(code(&acme.admin.link(&acme.service, &[(&anna, 5), (&ben, 0)]).await), "");
    let moved = id(&acme.user.book(&acme.service, acme.in_days(20)).await);
    assert_eq!(code(&acme.other.book(&acme.service, acme.in_days(5)).await), "");
    app.clock.advance(jiff::SignedDuration::from_secs(1)); // So that what it takes now is newer than what it had.
    assert_eq!(held(&acme.user.reschedule(&moved, acme.in_days(5)).await), ["Ben"]);
    assert_eq!(code(&acme.user.set_status(json!({ "id": moved, "status": "CANCELLED" })).await), "");
    let seen =
        acme.user.run_with("query($id: ID!) { booking(id: $id) { resources { name } } }", json!({ "id": moved })).await;
    assert_eq!(seen["data"]["booking"]["resources"], json!([{ "name": "Ben" }]));
    // One resource has one lane, for every writer.
    let twice = "insert into booking_claims (tenant_id, id, booking_id, customer_id, resource_id, lane, blocked_from, blocked_to)
        select tenant_id, gen_random_uuid(), booking_id, customer_id, resource_id, 7, blocked_from, blocked_to from booking_claims where resource_id is not null limit 1";
    assert!(acme.store("postgres").await.batch_execute(twice).await.is_err());
}

/// Documents that move two bookings, in either order, wait for each other and never deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn documents_in_either_order_do_not_ring() {
    let app = TestApp::start_with(Options { connections: 12, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let other = acme.admin.create_service(json!({ "name": "Other" })).await;
    let (one, two) =
        (id(&acme.user.book(&acme.service, acme.in_days(3)).await), id(&acme.user.book(&other, acme.in_days(3)).await));
    let clients = (0..24_i64).map(|client| {
        let (person, one, two) = (acme.staff.clone(), one.clone(), two.clone());
        let at = acme.in_days(10 + client).to_string();
        async move {
            let (first, second) = if client % 2 == 0 { (one, two) } else { (two, one) };
            let query = "mutation($a: ID!, $b: ID!, $at: DateTime!) {
                a: rescheduleBooking(input: { id: $a, startsAt: $at }) { userErrors { code } }
                b: rescheduleBooking(input: { id: $b, startsAt: $at }) { userErrors { code } } }";
            person.run_with(query, json!({ "a": first, "b": second, "at": at })).await
        }
    });
    for answer in join_all(clients).await {
        assert_eq!(answer["errors"], Value::Null, "{answer}");
    }
    assert_eq!(app.truth(OVERLAPS).await, ["0"]);
}

/// A customer cannot move a booking away and then cancel what it was too late to cancel; and moves can be limited.
#[tokio::test(flavor = "multi_thread")]
async fn moves_count_against_the_notice_and_can_be_limited() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let rules = async |rules: Value| {
        let query = "mutation($rules: BookingRulesInput!) { updateTenant(input: { bookingRules: $rules }) { tenant { bookingRules { maxMoves } } userErrors { code field } } }";
        acme.admin.run_with(query, json!({ "rules": rules })).await
    };
    let free =
        "mutation($id: ID!) { updateService(input: { id: $id, rescheduleNoticeMinutes: 0 }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run_with(free, json!({ "id": acme.service })).await), "");
    assert_eq!(code(&rules(json!({ "cancelNoticeMinutes": 60 * 24 * 2 })).await), "");
    let cancel = async |id: &str| {
        let query =
            "mutation($id: ID!) { cancelBooking(input: { id: $id }) { booking { status } userErrors { code } } }";
        acme.user.run_with(query, json!({ "id": id })).await
    };
    let late = acme.booking(1).await;
    assert_eq!(code(&cancel(&late).await), "TOO_SOON");
    assert_eq!(code(&acme.user.reschedule(&late, acme.in_days(20)).await), "");
    assert_eq!(code(&cancel(&late).await), "TOO_SOON", "nor by moving it away first");
    let early = acme.booking(9).await;
    assert_eq!(code(&acme.user.reschedule(&early, acme.in_days(21)).await), "");
    assert_eq!(code(&cancel(&early).await), "", "it could have been cancelled before it was moved");
    // When staff move it, the customer is free again.
    let by_staff = acme.booking(1).await;
    assert_eq!(code(&acme.staff.reschedule(&by_staff, acme.in_days(22)).await), "");
    assert_eq!(code(&cancel(&by_staff).await), "");
    // A limit.
    for bad in [-1, 101] {
        let refused = rules(json!({ "maxMoves": bad })).await;
        assert_eq!(refused["data"]["updateTenant"]["userErrors"][0]["field"], json!(["bookingRules", "maxMoves"]));
    }
    assert_eq!(rules(json!({ "maxMoves": 1 })).await["data"]["updateTenant"]["tenant"]["bookingRules"]["maxMoves"], 1);
    let often = acme.booking(10).await;
    assert_eq!(code(&acme.staff.reschedule(&often, acme.in_days(11)).await), "");
    assert_eq!(code(&acme.user.reschedule(&often, acme.in_days(12)).await), "");
    assert_eq!(code(&acme.user.reschedule(&often, acme.in_days(13)).await), "INVALID_TRANSITION");
    assert_eq!(code(&acme.staff.reschedule(&often, acme.in_days(14)).await), "");
    assert_eq!(
        rules(json!({ "maxMoves": null })).await["data"]["updateTenant"]["tenant"]["bookingRules"]["maxMoves"],
        Value::Null
    );
    assert_eq!(code(&acme.user.reschedule(&often, acme.in_days(15)).await), "");
}
