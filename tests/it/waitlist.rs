//! The waitlist: a freed time is held for the first in line, and then for the next.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    bookings::OVERLAPS,
    support::{Person, TestApp, code},
};

impl Person {
    async fn wait_for(&self, service: &str, starts_at: jiff::Timestamp) -> Value {
        self.wait_with(json!({ "serviceId": service, "startsAt": starts_at.to_string() })).await
    }

    async fn wait_with(&self, input: Value) -> Value {
        let query = "mutation($input: JoinWaitlistInput!) { joinWaitlist(input: $input) { entry { id status } userErrors { code field } } }";
        self.run_with(query, json!({ "input": input })).await
    }

    async fn places(&self) -> Vec<(String, String)> {
        let answer = self.run("{ waitlist { nodes { status customer { name } } } }").await;
        let nodes = answer["data"]["waitlist"]["nodes"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        nodes
            .iter()
            .map(|it| (it["customer"]["name"].as_str().unwrap().into(), it["status"].as_str().unwrap().into()))
            .collect()
    }

    async fn cancel(&self, booking: &str) -> Value {
        self.set_status(json!({ "id": booking, "status": "CANCELLED" })).await
    }
}

fn place(answer: &Value) -> String {
    answer["data"]["joinWaitlist"]["entry"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_its_customers_and_of_no_other_tenant() {
    for app in crate::isolation::with_and_without_policies().await {
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        acme.booking(3).await;
        let entry = place(&acme.other.wait_for(&acme.service, acme.in_days(3)).await);
        let leave = "mutation($id: ID!) { leaveWaitlist(input: { id: $id }) { userErrors { code } } }";
        assert_eq!(code(&globex.admin.run_with(leave, json!({ "id": entry })).await), "NOT_FOUND");
        assert!(globex.admin.places().await.is_empty());
        let node = "query($id: ID!) { node(id: $id) { id } }";
        assert_eq!(globex.admin.run_with(node, json!({ "id": entry })).await["data"]["node"], Value::Null);
        assert_eq!(code(&globex.admin.wait_for(&acme.service, acme.in_days(3)).await), "NOT_FOUND");
        assert_eq!(acme.staff.places().await.len(), 1, "it was isolation");
        assert_eq!(acme.staff.run_with(node, json!({ "id": entry })).await["data"]["node"]["id"], entry);
    }
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.booking(3).await;
    let entry = place(&acme.other.wait_for(&acme.service, acme.in_days(3)).await);
    assert!(acme.user.places().await.is_empty());
    let leave = "mutation($id: ID!) { leaveWaitlist(input: { id: $id }) { entry { status } userErrors { code } } }";
    assert_eq!(code(&acme.user.run_with(leave, json!({ "id": entry })).await), "NOT_FOUND");
    let for_another = json!({ "serviceId": acme.service, "startsAt": acme.in_days(3).to_string(), "customerId": acme.other.id.to_string() });
    assert_eq!(code(&acme.user.wait_with(for_another).await), "FORBIDDEN");
    let left = acme.other.run_with(leave, json!({ "id": entry })).await;
    assert_eq!(left["data"]["leaveWaitlist"]["entry"]["status"], "LEFT");
    assert_eq!(code(&acme.other.run_with(leave, json!({ "id": entry })).await), "INVALID_TRANSITION");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freed_time_is_offered_down_the_line() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (first, second, third) = (&acme.other, &acme.staff, &acme.admin);
    let booked = acme.booking(3).await;
    app.mails().await;
    let at = acme.in_days(3);
    for person in [first, second, third] {
        assert_eq!(code(&person.wait_for(&acme.service, at).await), "");
        app.clock.advance(SignedDuration::from_secs(1));
    }
    let again = first.wait_for(&acme.service, at).await;
    assert_eq!(place(&again), place(&first.wait_for(&acme.service, at).await), "the place is kept");
    assert_eq!(app.truth("select count(*) from shared.waitlist_entries").await, ["3"]);
    // Another one that overlaps: customers waiting for that are not in this line.
    let overlapping = at + SignedDuration::from_mins(30);
    assert_eq!(code(&acme.user.wait_for(&acme.service, overlapping).await), "");
    assert_eq!(code(&acme.user.cancel(&booked).await), "");
    let mails = app.mails().await;
    let told: Vec<(&str, bool)> =
        mails.iter().map(|it| (it.to.as_str(), it.subject.starts_with("A time is available"))).collect();
    assert!(told.contains(&(first.email.as_str(), true)) && told.iter().filter(|it| it.1).count() == 1, "{told:?}");
    let status_of = async |person: &Person| {
        let name = person.name();
        let all = acme.staff.places().await;
        all.iter().find(|it| it.0 == name).unwrap().1.clone()
    };
    assert_eq!(status_of(first).await, "OFFERED");
    assert_eq!(code(&acme.user.book(&acme.service, at).await), "SLOT_TAKEN", "it is held");
    // The first one does not confirm: it is offered to the next.
    app.clock.advance(SignedDuration::from_hours(2));
    app.mails().await;
    assert_eq!((status_of(first).await, status_of(second).await), ("LAPSED".into(), "OFFERED".into()));
    // The next one releases it, and the one after confirms it.
    let own = "{ waitlist { nodes { customer { name } booking { id status heldUntil } } } }";
    let offer_of = async |person: &Person| {
        let answer = person.run(own).await;
        let nodes = answer["data"]["waitlist"]["nodes"].as_array().unwrap().clone();
        nodes.iter().find(|it| it["customer"]["name"] == person.name().as_str()).unwrap()["booking"].clone()
    };
    let offered = offer_of(second).await;
    assert_eq!(offered["heldUntil"], (app.clock.now() + SignedDuration::from_hours(2)).to_string());
    assert_eq!(code(&second.cancel(offered["id"].as_str().unwrap()).await), "");
    app.mails().await;
    let offered = offer_of(third).await;
    let confirm = "mutation($id: ID!) { confirmHold(input: { id: $id }) { booking { status } userErrors { code } } }";
    let confirmed = third.run_with(confirm, json!({ "id": offered["id"] })).await;
    assert_eq!(confirmed["data"]["confirmHold"]["booking"]["status"], "CONFIRMED");
    assert_eq!(status_of(third).await, "BOOKED");
    // The customer waiting for the other one still does; with nobody left ahead, it is theirs.
    assert_eq!(status_of(&acme.user).await, "WAITING");
    assert_eq!(code(&third.cancel(offered["id"].as_str().unwrap()).await), "");
    app.mails().await;
    assert_eq!(status_of(&acme.user).await, "OFFERED");
    assert_eq!(app.truth(OVERLAPS).await, ["0"]);
    // Nobody did that manually: the history says so.
    let history = app
        .truth("select count(*) from shared.booking_transitions where to_status = 'HELD' and actor_id is not null")
        .await;
    assert_eq!(history, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_waits_for_what_is_taken_alone() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let at = acme.in_days(3);
    let free = acme.other.wait_for(&acme.service, at).await;
    assert_eq!(
        (code(&free), &free["data"]["joinWaitlist"]["userErrors"][0]["field"]),
        ("INVALID", &json!(["startsAt"]))
    );
    let set =
        "mutation($input: SetOpeningOverrideInput!) { setOpeningOverride(input: $input) { userErrors { code } } }";
    let day = acme.in_days(5).to_zoned(jiff::tz::TimeZone::get("Europe/Amsterdam").unwrap()).date();
    acme.admin.run_with(set, json!({ "input": { "day": day.to_string(), "hours": [] } })).await;
    assert_eq!(code(&acme.other.wait_for(&acme.service, acme.in_days(5)).await), "INVALID", "closed");
    assert_eq!(code(&acme.other.wait_for(&acme.service, app.clock.now()).await), "INVALID", "over");
    // Only with Anna, although Bob is free.
    let (anna, bob) =
        (acme.admin.create_resource("STAFF", "Anna").await, acme.admin.create_resource("STAFF", "Bob").await);
    let massage = acme.admin.create_service(json!({ "name": "Massage" })).await;
    acme.admin.link(&massage, &[(&anna, 9), (&bob, 0)]).await;
    let with_anna = acme.user.book(&massage, at).await;
    assert_eq!(code(&acme.other.wait_for(&massage, at).await), "INVALID", "Bob is free");
    let input = json!({ "serviceId": massage, "startsAt": at.to_string(), "resourceId": anna });
    assert_eq!(code(&acme.other.wait_with(input).await), "");
    let id = with_anna["data"]["createBooking"]["booking"]["id"].as_str().unwrap();
    assert_eq!(code(&acme.user.cancel(id).await), "");
    app.mails().await;
    let query = "{ waitlist { nodes { status resource { name } booking { resources { name } } } } }";
    let seen = acme.other.run(query).await;
    assert_eq!(
        seen["data"]["waitlist"]["nodes"][0],
        json!({ "status": "OFFERED", "resource": { "name": "Anna" }, "booking": { "resources": [{ "name": "Anna" }] } })
    );
    // A class has several seats, and each freed one is offered.
    let hall = acme.admin.create_resource("ROOM", "Hall").await;
    let yoga = acme.admin.create_service(json!({ "name": "Yoga", "capacity": 2 })).await;
    acme.admin.link(&yoga, &[(&hall, 0)]).await;
    let at = acme.in_days(8);
    let mut seats = Vec::new();
    for person in [&acme.staff, &acme.admin] {
        seats.push(person.book(&yoga, at).await["data"]["createBooking"]["booking"]["id"].as_str().unwrap().to_owned());
    }
    for person in [&acme.user, &acme.other] {
        assert_eq!(code(&person.wait_for(&yoga, at).await), "");
        app.clock.advance(SignedDuration::from_secs(1));
    }
    for seat in &seats {
        assert_eq!(code(&acme.staff.cancel(seat).await), "");
    }
    app.mails().await;
    let held = app.truth("select count(*) from shared.bookings where status = 'HELD' and holds_seat").await;
    assert_eq!(held, ["2"]);
    // More room than an ended booking can free: the sweep finds it.
    let other_day = acme.in_days(9);
    acme.staff.book(&acme.service, other_day).await;
    assert_eq!(code(&acme.user.wait_for(&acme.service, other_day).await), "");
    let more = "mutation($id: ID!) { updateService(input: { id: $id, capacity: 2 }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run_with(more, json!({ "id": acme.service })).await), "");
    app.worker().purge().await;
    assert_eq!(acme.user.places().await.last().unwrap().1, "OFFERED");
    // A customer who has left delays nobody.
    acme.staff.book(&acme.service, acme.in_days(10)).await;
    let gone = acme.staff.book(&acme.service, acme.in_days(10)).await;
    for person in [&acme.other, &acme.user] {
        assert_eq!(code(&person.wait_for(&acme.service, acme.in_days(10)).await), "");
        app.clock.advance(SignedDuration::from_secs(1));
    }
    app.by_hand(&format!("update shared.users set status = 'DEACTIVATED' where id = '{}'", acme.other.id.0)).await;
    assert_eq!(code(&acme.staff.cancel(gone["data"]["createBooking"]["booking"]["id"].as_str().unwrap()).await), "");
    app.mails().await;
    assert_eq!(acme.user.places().await.last().unwrap().1, "OFFERED");
    assert_eq!(app.truth(OVERLAPS).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_waits_for_so_many_times_at_once() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for days in 3..24 {
        acme.booking(days).await;
        let expected = if days < 23 { "" } else { "QUOTA_EXCEEDED" };
        assert_eq!(code(&acme.other.wait_for(&acme.service, acme.in_days(days)).await), expected, "{days}");
    }
}

/// Wall 2 alone: nobody can offer themselves a time.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_offers_himself_a_time_by_sql() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await.parse::<tenantry::base::ids::BookingId>().unwrap().0;
    assert_eq!(code(&acme.other.wait_for(&acme.service, acme.in_days(3)).await), "");
    let client = acme.entered(&acme.other).await;
    let refused = client.execute("update waitlist_entries set booking_id = $1", &[&booking]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501");
}

/// A hold that was not confirmed is offered on, too, as soon as it expires.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_over_is_the_next_ones() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let at = acme.in_days(3);
    let hold = "mutation($s: ID!, $at: DateTime!) { holdSlot(input: { serviceId: $s, startsAt: $at }) { userErrors { code } } }";
    assert_eq!(code(&acme.user.run_with(hold, json!({ "s": acme.service, "at": at.to_string() })).await), "");
    assert_eq!(code(&acme.other.wait_for(&acme.service, at).await), "");
    app.clock.advance(SignedDuration::from_mins(10));
    app.mails().await;
    assert_eq!(acme.other.places().await[0].1, "OFFERED");
    assert_eq!(code(&acme.staff.book(&acme.service, at).await), "SLOT_TAKEN");
    // Offered holds do not count towards a customer's limit of holds.
    for days in 5..8 {
        let at = acme.in_days(days).to_string();
        assert_eq!(code(&acme.other.run_with(hold, json!({ "s": acme.service, "at": at })).await), "");
    }
}

/// Each wish has its own line: a customer waiting for Anna and for Bob is in two, and the first to come is served
/// first.
#[tokio::test(flavor = "multi_thread")]
async fn who_came_first_goes_first_whatever_he_wished() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut staff = Vec::new();
    for name in ["Anna", "Bob"] {
        staff.push(acme.admin.create_resource("STAFF", name).await);
    }
    let links: Vec<(&str, i32)> = staff.iter().map(|it| (it.as_str(), 0)).collect();
    assert_eq!(code(&acme.admin.link(&acme.service, &links).await), "");
    let at = acme.in_days(3);
    let mut booked = Vec::new();
    for _ in 0..2 {
        let answer = acme.staff.book(&acme.service, at).await;
        booked.push(answer["data"]["createBooking"]["booking"]["id"].as_str().unwrap().to_owned());
    }
    let wish = |who: Option<&str>| {
        let mut input = json!({ "serviceId": acme.service, "startsAt": at.to_string() });
        if let Some(who) = who {
            input["resourceId"] = json!(who);
        }
        input
    };
    // Two for any staff member, and then one for each.
    for (person, wished) in [
        (&acme.user, None),
        (&acme.other, None),
        (&acme.admin, Some(staff[0].as_str())),
        (&acme.admin, Some(staff[1].as_str())),
    ] {
        assert_eq!(code(&person.wait_with(wish(wished)).await), "");
        app.clock.advance(SignedDuration::from_secs(1));
    }
    assert_eq!(app.truth("select count(*) from shared.waitlist_entries").await, ["4"]);
    for booking in &booked {
        assert_eq!(code(&acme.staff.cancel(booking).await), "");
    }
    app.mails().await;
    let places: Vec<String> = acme.staff.places().await.into_iter().map(|it| it.1).collect();
    assert_eq!(places, ["OFFERED", "OFFERED", "WAITING", "WAITING"]);
}

/// However many wait, a pass tries a limited number, in small transactions: nobody waits long for the calendar.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_over_the_waitlist_is_bounded() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booked = acme.booking(3).await.parse::<tenantry::base::ids::BookingId>().unwrap().0;
    // Each its own line, and none of them can be served.
    app.by_hand(&format!(
        "insert into shared.waitlist_entries (tenant_id, id, service_id, customer_id, starts_at, created_at)
         select tenant_id, gen_random_uuid(), service_id, customer_id, starts_at + n * interval '1 second', created_at
           from shared.bookings, generate_series(1, 2000) n where id = '{booked}'"
    ))
    .await;
    let before = (app.statements(), app.gate.stats().transactions.load(std::sync::atomic::Ordering::Relaxed));
    app.worker().purge().await;
    let statements = app.statements() - before.0;
    let transactions = app.gate.stats().transactions.load(std::sync::atomic::Ordering::Relaxed) - before.1;
    assert!(statements < 3_500 && transactions > 5, "{statements} statements in {transactions} transactions");
    // Times that are freed elsewhere do not concern them.
    let far = acme.booking(40).await;
    app.worker().run_until_idle().await;
    assert_eq!(code(&acme.user.cancel(&far).await), "");
    let before = app.statements();
    app.worker().run_until_idle().await;
    assert!(app.statements() - before < 60, "{}", app.statements() - before);
}

/// A customer waiting for Anna is offered Anna, or nobody; and lines that cannot be served hide none that can.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_offered_somebody_else() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut staff = Vec::new();
    for name in ["Anna", "Bob"] {
        staff.push(acme.admin.create_resource("STAFF", name).await);
    }
    let links: Vec<(&str, i32)> = staff.iter().map(|it| (it.as_str(), 0)).collect();
    assert_eq!(code(&acme.admin.link(&acme.service, &links).await), "");
    let at = acme.in_days(3);
    let mut booked = Vec::new();
    for who in &staff {
        let input = json!({ "serviceId": acme.service, "startsAt": at.to_string(), "resourceId": who });
        let answer = acme.staff.book_with(input).await;
        booked.push(answer["data"]["createBooking"]["booking"]["id"].as_str().unwrap().to_owned());
    }
    let for_anna = json!({ "serviceId": acme.service, "startsAt": at.to_string(), "resourceId": staff[0] });
    let place = place(&acme.user.wait_with(for_anna.clone()).await);
    app.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(code(&acme.other.wait_for(&acme.service, at).await), "");
    // Sixty more from before, none of which can be served.
    app.by_hand(&format!(
        "insert into shared.waitlist_entries (tenant_id, id, service_id, customer_id, resource_id, starts_at, created_at)
         select tenant_id, gen_random_uuid(), service_id, customer_id, resource_id, starts_at + n * interval '1 second', created_at - interval '1 day'
           from shared.waitlist_entries, generate_series(1, 60) n where id = '{}'",
        place.parse::<tenantry::base::ids::WaitlistEntryId>().unwrap().0
    ))
    .await;
    assert_eq!(code(&acme.admin.link(&acme.service, &[(&staff[1], 0)]).await), "");
    assert_eq!(code(&acme.staff.cancel(&booked[1]).await), "");
    app.mails().await;
    let offered = app.truth("select customer_id from shared.waitlist_entries where booking_id is not null").await;
    assert_eq!(offered, [acme.other.id.0.to_string()], "Bob, to the customer who takes anyone");
}

/// A customer with the maximum number of entries still sees their places.
#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_one_keeps_ones_places() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for days in 3..23 {
        acme.booking(days).await;
        assert_eq!(code(&acme.other.wait_for(&acme.service, acme.in_days(days)).await), "");
    }
    let again = acme.other.wait_for(&acme.service, acme.in_days(3)).await;
    assert_eq!(again["data"]["joinWaitlist"]["entry"]["status"], "WAITING", "{again}");
}
