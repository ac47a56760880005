//! Holds: a slot reserved for ten minutes, then confirmed or free again for the next caller.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{Person, TestApp, code};

const HOLD: &str = "mutation($input: HoldSlotInput!) { holdSlot(input: $input) { booking { id status heldUntil version resources { name } } userErrors { code } } }";
const CONFIRM: &str = "mutation($input: ConfirmHoldInput!) { confirmHold(input: $input) { booking { status heldUntil notes version } userErrors { code } } }";

impl Person {
    async fn hold(&self, service: &str, starts_at: jiff::Timestamp) -> Value {
        self.run_with(HOLD, json!({ "input": { "serviceId": service, "startsAt": starts_at.to_string() } })).await
    }

    async fn confirm(&self, hold: &Value) -> Value {
        self.run_with(
            CONFIRM,
            json!({ "input": { "id": hold["data"]["holdSlot"]["booking"]["id"], "notes": "please" } }),
        )
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_taken_up_by_its_customer_alone() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let used = async || app.truth("select coalesce(sum(used), 0) from shared.usage_counters").await[0].clone();
    let held = acme.user.hold(&acme.service, acme.in_days(3)).await;
    let booking = &held["data"]["holdSlot"]["booking"];
    let until = (app.clock.now() + SignedDuration::from_mins(10)).to_string();
    assert_eq!((&booking["status"], &booking["heldUntil"]), (&json!("HELD"), &json!(until)), "{held}");
    assert_eq!(used().await, "0", "a hold counts in no plan");
    assert_eq!(code(&acme.other.book(&acme.service, acme.in_days(3)).await), "SLOT_TAKEN");
    for intruder in [&acme.other, &globex.admin] {
        assert_eq!(code(&intruder.confirm(&held).await), "NOT_FOUND");
    }
    assert_eq!(code(&acme.user.set_status(json!({ "id": booking["id"], "status": "CONFIRMED" })).await), "FORBIDDEN");
    let confirmed = acme.user.confirm(&held).await;
    assert_eq!(
        confirmed["data"]["confirmHold"]["booking"],
        json!({ "status": "CONFIRMED", "heldUntil": null, "notes": "please", "version": 2 })
    );
    assert_eq!(used().await, "1");
    assert_eq!(code(&acme.user.confirm(&held).await), "INVALID_TRANSITION", "once");
    // Holds of services that staff confirm become PENDING for customers, and CONFIRMED at once for staff.
    let careful = acme.admin.create_service(json!({ "name": "Careful", "requiresConfirmation": true })).await;
    let waiting = acme.user.hold(&careful, acme.in_days(3)).await;
    assert_eq!(acme.user.confirm(&waiting).await["data"]["confirmHold"]["booking"]["status"], "PENDING");
    let by_staff = acme.user.hold(&careful, acme.in_days(4)).await;
    let id = &by_staff["data"]["holdSlot"]["booking"]["id"];
    let moved = acme.staff.set_status(json!({ "id": id, "status": "PENDING" })).await;
    assert_eq!(moved["data"]["updateBookingStatus"]["booking"]["status"], "CONFIRMED", "{moved}");
    // Three at once; when one is cancelled, one is free again.
    let mut holds = Vec::new();
    for days in 5..8 {
        holds.push(acme.user.hold(&acme.service, acme.in_days(days)).await);
    }
    assert_eq!(code(&acme.user.hold(&acme.service, acme.in_days(9)).await), "QUOTA_EXCEEDED");
    let first = &holds[0]["data"]["holdSlot"]["booking"]["id"];
    assert_eq!(code(&acme.user.set_status(json!({ "id": first, "status": "CANCELLED" })).await), "");
    assert_eq!(code(&acme.user.hold(&acme.service, acme.in_days(5)).await), "");
    // The plan's limit applies when it is confirmed.
    let small = app.tenant_on_plan("small", "free").await;
    app.by_hand(&format!(
        "update shared.tenant_state set limits = limits || '{{\"bookings\": 0}}' where tenant_id = '{}'",
        small.id.0
    ))
    .await;
    let held = small.user.hold(&small.service, small.in_days(3)).await;
    assert_eq!(code(&small.user.confirm(&held).await), "QUOTA_EXCEEDED");
}

/// An expired hold reserves nothing, whether it was released yet or not.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_up_is_free_again() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let held = acme.user.hold(&acme.service, acme.in_days(3)).await;
    let other = acme.user.hold(&acme.service, acme.in_days(5)).await;
    let held_at = acme.in_days(3);
    let why = async || {
        let query = "query($s: ID!, $at: DateTime!) { whyUnavailable(serviceId: $s, startsAt: $at) }";
        let answer = acme.other.run_with(query, json!({ "s": acme.service, "at": held_at.to_string() })).await;
        answer["data"]["whyUnavailable"].clone()
    };
    assert_eq!(why().await, "TAKEN");
    app.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(why().await, Value::Null, "nobody has released it yet");
    assert_eq!(app.truth("select count(*) from shared.bookings where status = 'HELD'").await, ["2"]);
    assert_eq!(code(&acme.user.confirm(&held).await), "INVALID_TRANSITION");
    // The next caller releases it and gets the slot.
    assert_eq!(code(&acme.other.book(&acme.service, held_at).await), "");
    let seen = acme
        .user
        .run_with(
            "query($id: ID!) { booking(id: $id) { status heldUntil history { fromStatus toStatus actor { id } } } }",
            json!({ "id": held["data"]["holdSlot"]["booking"]["id"] }),
        )
        .await;
    assert_eq!(seen["data"]["booking"]["status"], "EXPIRED");
    assert_eq!(
        seen["data"]["booking"]["history"][1],
        json!({ "fromStatus": "HELD", "toStatus": "EXPIRED", "actor": null })
    );
    // Background work releases expired holds that nobody needs.
    app.worker().purge().await;
    assert_eq!(
        app.truth("select status from shared.bookings order by created_at, starts_at").await[1],
        "EXPIRED",
        "{other}"
    );
    assert_eq!(app.truth(crate::bookings::OVERLAPS).await, ["0"]);
    assert_eq!(app.truth("select count(*) from shared.booking_claims where active").await, ["1"]);
}

/// Wall 2 alone: what a customer can do, by direct SQL, through the functions that act as background work.
#[tokio::test(flavor = "multi_thread")]
async fn a_customers_own_sql_gets_no_further() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let id = |answer: &Value| -> uuid::Uuid {
        let id = answer["data"]["holdSlot"]["booking"]["id"].as_str().unwrap_or_else(|| panic!("{answer}"));
        id.parse::<tenantry::base::ids::BookingId>().unwrap().0
    };
    let own = id(&acme.user.hold(&acme.service, acme.in_days(3)).await);
    let theirs = id(&acme.other.hold(&acme.service, acme.in_days(5)).await);
    let waiting = acme.booking(8).await.parse::<tenantry::base::ids::BookingId>().unwrap().0;
    app.by_hand(&format!("update shared.bookings set status = 'PENDING' where id = '{waiting}'")).await;
    let client = acme.entered(&acme.user).await;
    let now = app.clock.now();
    let role = async || client.query_one("select current_setting('app.role')", &[]).await.unwrap().get::<_, String>(0);
    let asked = async |sql: &str, id: &uuid::Uuid| -> bool {
        client.query_one(sql, &[&acme.id, id, &now]).await.unwrap().get(0)
    };
    // Its usage event, without which a booking cannot exist.
    let metered = uuid::Uuid::now_v7();
    app.by_hand(&format!(
        "insert into shared.usage_events values ('{}', '{metered}', 'test', 'one', 'bookings', 1, now(), now(), now())",
        acme.id.0
    ))
    .await;
    let confirm = &format!("select confirm_hold($1, $2, 1, null, '{metered}', $3)");
    assert!(!asked(confirm, &theirs).await, "somebody else's");
    let take =
        "select move_booking($1, $2, 1, 'CONFIRMED', $3::timestamptz, $3 + interval '1 hour', 'UTC', 'CONFIRMED', $3)";
    assert!(!asked(take, &theirs).await);
    let raise =
        "select move_booking($1, $2, 1, 'PENDING', $3::timestamptz, $3 + interval '1 hour', 'UTC', 'CONFIRMED', $3)";
    assert!(!asked(raise, &waiting).await, "customers cannot confirm their own");
    assert_eq!(role().await, "USER", "the caller's role is restored");
    assert!(asked(confirm, &own).await, "it was the rule, not the function");
    let seen = client
        .query(
            "select * from claimed_times($1, array(select id from services), '-infinity', 'infinity', $2)",
            &[&acme.id, &now],
        )
        .await
        .unwrap();
    assert_eq!((seen.len(), seen[0].len()), (3, 4), "times of all, and nobody's name");
    assert_eq!(role().await, "USER");
    client.query("select expire_holds($1, null, $2)", &[&acme.id, &now]).await.unwrap();
    assert_eq!(role().await, "USER");
    let others = client.query("select from bookings where customer_id <> $1", &[&acme.user.id]).await.unwrap();
    assert!(others.is_empty());
}

/// Of two at once the second counts the first.
#[tokio::test(flavor = "multi_thread")]
async fn twelve_holds_at_once_are_three() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let all = futures_util::future::join_all((3..15).map(|days| {
        let acme = acme.clone();
        async move { code(&acme.user.hold(&acme.service, acme.in_days(days)).await).to_owned() }
    }))
    .await;
    assert_eq!(all.iter().filter(|it| it.is_empty()).count(), 3, "{all:?}");
}

/// A slot that has begun, or is no longer offered, cannot be confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_taken_up_before_its_time_or_not_at_all() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let soon = app.clock.now() + SignedDuration::from_mins(2);
    let held = acme.user.hold(&acme.service, soon).await;
    assert_eq!(held["data"]["holdSlot"]["booking"]["heldUntil"], soon.to_string(), "not beyond its start");
    app.clock.advance(SignedDuration::from_mins(3));
    assert_eq!(code(&acme.user.confirm(&held).await), "INVALID_TRANSITION");
    let held = acme.user.hold(&acme.service, acme.in_days(3)).await;
    let off = "mutation($id: ID!) { updateService(input: { id: $id, active: false }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run_with(off, json!({ "id": acme.service })).await), "");
    assert_eq!(code(&acme.user.confirm(&held).await), "NOT_FOUND");
}

/// An expired hold blocks nobody, released or not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_keeps_no_service_in_use() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    let seats = acme.admin.create_service(json!({ "name": "Seats", "capacity": 2 })).await;
    let fewer = "mutation($id: ID!) { updateService(input: { id: $id, capacity: 1 }) { userErrors { code } } }";
    for service in [&acme.service, &seats, &seats] {
        assert_eq!(code(&acme.user.hold(service, acme.in_days(3)).await), "");
    }
    assert_eq!(code(&acme.admin.run_with(fewer, json!({ "id": seats })).await), "IN_USE");
    assert_eq!(code(&acme.admin.link(&acme.service, &[(&anna, 0)]).await), "IN_USE");
    app.clock.advance(SignedDuration::from_mins(11));
    assert_eq!(code(&acme.admin.run_with(fewer, json!({ "id": seats })).await), "");
    assert_eq!(code(&acme.admin.link(&acme.service, &[(&anna, 0)]).await), "");
}
