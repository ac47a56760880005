//! Bookings: created once for each slot, moved through their states, listed in pages.

use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{Options, TestApp, TestTenant, code};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_books_and_sees_it() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let made = acme
        .user
        .book_with(
            json!({ "serviceId": acme.service, "startsAt": acme.in_days(3).to_string(), "notes": " short, please " }),
        )
        .await;
    let booking = &made["data"]["createBooking"]["booking"];
    assert_eq!((booking["status"].as_str(), booking["version"].as_i64()), (Some("CONFIRMED"), Some(1)), "{made}");
    let query = "query($id: ID!) { booking(id: $id) { startsAt endsAt timeZone notes version price { amount currency }
        service { name durationMinutes } customer { email } history { fromStatus toStatus reason } } }";
    let seen = acme.user.run_with(query, json!({ "id": booking["id"] })).await;
    assert_eq!(
        seen["data"]["booking"],
        json!({
            "startsAt": acme.in_days(3).to_string(),
            "endsAt": (acme.in_days(3) + SignedDuration::from_mins(45)).to_string(),
            "timeZone": "Europe/Amsterdam", "notes": "short, please", "version": 1,
            "price": { "amount": "45.00", "currency": "EUR" },
            "service": { "name": "Haircut", "durationMinutes": 45 },
            "customer": { "email": "user@acme.test" },
            "history": [{ "fromStatus": null, "toStatus": "CONFIRMED", "reason": null }],
        })
    );
}

/// docs/decisions/0016: 50 clients, one slot: one booking, 49 `SLOT_TAKEN`, no other error.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_for_one_slot() {
    let app = TestApp::start_with(Options { ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let acme = &acme;
    let clients = (0..50).map(|client| {
        let person = if client % 2 == 0 { &acme.user } else { &acme.other };
        // Not the same start: every kind of overlap.
        let starts_at = acme.in_days(3) + SignedDuration::from_mins(client % 3);
        async move { code(&person.book(&acme.service, starts_at).await).to_owned() }
    });
    let mut codes = join_all(clients).await;
    codes.sort();
    assert_eq!(codes[0], "", "{codes:?}");
    assert!(codes[1..].iter().all(|it| it == "SLOT_TAKEN"), "{codes:?}");
    assert_eq!(app.truth("select count(*) from shared.bookings").await, ["1"]);
    assert_eq!(app.truth("select used from shared.usage_counters").await, ["1"]);
}

/// Active claims of the same resource or service, in one lane, whose times overlap.
pub(crate) const OVERLAPS: &str = "select count(*) from shared.booking_claims a join shared.booking_claims b
    on a.tenant_id = b.tenant_id and a.claimed_id = b.claimed_id and a.lane = b.lane and a.id < b.id
   and a.active and b.active and a.blocked_from < b.blocked_to and b.blocked_from < a.blocked_to";

/// The same through two processes, over several slots and services, without a deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_double_book() {
    let app = TestApp::start_with(Options { ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let second = TestApp::on(app.database.clone(), Options { ..Options::default() }).await;
    let other = acme.admin.create_service(json!({ "name": "Other" })).await;
    let clients = (0..64).map(|client| {
        let mut person = [&acme.user, &acme.other, &acme.staff][client % 3].clone();
        person.app = if client % 2 == 0 { app.clone() } else { second.clone() };
        let (a, b) = (acme.service.clone(), other.clone());
        let (a, b) = if client % 5 < 2 { (b, a) } else { (a, b) };
        let at = acme.in_days(3) + SignedDuration::from_mins(20 * (client as i64 % 7));
        async move {
            // Both services in one document, in either order: this deadlocks if locks are acquired out of order.
            let query = "mutation($a: ID!, $b: ID!, $at: DateTime!) {
                a: createBooking(input: { serviceId: $a, startsAt: $at }) { booking { id } userErrors { code } }
                b: createBooking(input: { serviceId: $b, startsAt: $at }) { booking { id } userErrors { code } } }";
            person.run_with(query, json!({ "a": a, "b": b, "at": at.to_string() })).await
        }
    });
    let mut booked = 0;
    for answer in join_all(clients).await {
        assert_eq!(answer["errors"], Value::Null, "{answer}");
        for field in ["a", "b"] {
            let codes = answer["data"][field]["userErrors"].as_array().unwrap();
            assert!(codes.is_empty() || codes[0]["code"] == "SLOT_TAKEN", "{answer}");
            booked += usize::from(codes.is_empty());
        }
    }
    assert_eq!(app.truth("select count(*) from shared.bookings").await, [booked.to_string()]);
    assert_eq!(app.truth(OVERLAPS).await, ["0"]);
}

/// docs/decisions/0016, contention: at the turn of a month processes may count in different months, so no counter
/// serializes them. Plain inserts would deadlock here; `on conflict do nothing` inserts speculatively.
#[tokio::test(flavor = "multi_thread")]
async fn contention_ends_in_a_clear_answer_not_in_a_deadlock() {
    let patient = || Options { connections: 20, ..Options::default() };
    let app = TestApp::start_with(patient()).await;
    let acme = app.tenant("acme").await;
    let mut processes = vec![app.clone()];
    for months in 1..4 {
        let other = TestApp::on(app.database.clone(), patient()).await;
        other.clock.advance(SignedDuration::from_hours(24 * 31 * months));
        processes.push(other);
    }
    for round in 0..6 {
        let clients = (0..64_i64).map(|client| {
            let mut person = [&acme.user, &acme.other][client as usize % 2].clone();
            person.app = processes[client as usize % processes.len()].clone();
            // Chains of overlaps, each with its neighbours on both sides.
            let starts_at = acme.in_days(200 + round) + SignedDuration::from_mins(client * 7 % 64);
            let service = &acme.service;
            async move { code(&person.book(service, starts_at).await).to_owned() }
        });
        let codes = join_all(clients).await;
        assert!(codes.iter().any(String::is_empty), "{codes:?}");
        assert!(codes.iter().all(|it| it.is_empty() || it == "SLOT_TAKEN"), "{codes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_seats_as_the_service_has() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let class = acme.admin.create_service(json!({ "name": "Class", "capacity": 3 })).await;
    let (acme, class) = (&acme, &class);
    let clients = (0..8).map(|client| {
        // A customer cannot see the seats of others, and still gets the next free one.
        let person = [&acme.user, &acme.other][client % 2];
        async move { code(&person.book(class, acme.in_days(3)).await).to_owned() }
    });
    let mut codes = join_all(clients).await;
    codes.sort();
    assert_eq!(codes, ["", "", "", "SLOT_TAKEN", "SLOT_TAKEN", "SLOT_TAKEN", "SLOT_TAKEN", "SLOT_TAKEN"]);
    assert_eq!(app.truth("select lane from shared.booking_claims order by 1").await, ["0", "1", "2"]);
}

/// docs/decisions/0016: half-open, so neighbours do not collide; bounded and not empty, by the table's own checks.
#[tokio::test(flavor = "multi_thread")]
async fn neighbours_do_not_collide_and_a_cancelled_time_is_free() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    let after = acme.in_days(3) + SignedDuration::from_mins(45);
    let before = acme.in_days(3) - SignedDuration::from_mins(45);
    assert_eq!(code(&acme.other.book(&acme.service, after).await), "");
    assert_eq!(code(&acme.other.book(&acme.service, before).await), "");
    assert_eq!(code(&acme.other.book(&acme.service, acme.in_days(3)).await), "SLOT_TAKEN");
    let cancel = "mutation($id: ID!) { cancelBooking(input: { id: $id, reason: \"ill\" }) { booking { status } userErrors { code } } }";
    let cancelled = acme.user.run_with(cancel, json!({ "id": booking })).await;
    assert_eq!(cancelled["data"]["cancelBooking"]["booking"]["status"], "CANCELLED", "{cancelled}");
    assert_eq!(code(&acme.other.book(&acme.service, acme.in_days(3)).await), "");
    for times in ["now(), now()", "now() + interval '1 hour', now()", "'-infinity', now()", "now(), 'infinity'"] {
        let insert = format!(
            "insert into bookings (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor, currency, created_at, updated_at)
             select tenant_id, gen_random_uuid(), service_id, customer_id, {times}, 'UTC', 'CANCELLED', 0, 'EUR', now(), now() from bookings limit 1"
        );
        assert!(acme.store("postgres").await.batch_execute(&insert).await.is_err(), "{times}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_status_leads_where_it_should() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let careful =
        acme.admin.create_service(json!({ "name": "Careful", "requiresConfirmation": true, "capacity": 9 })).await;
    let pending =
        async || acme.user.book(&careful, acme.in_days(3)).await["data"]["createBooking"]["booking"]["id"].clone();
    let id = pending().await;
    let to = async |id: &Value, status: &str| {
        code(&acme.staff.set_status(json!({ "id": id, "status": status })).await).to_owned()
    };
    assert_eq!(to(&id, "COMPLETED").await, "INVALID_TRANSITION");
    assert_eq!(to(&id, "CONFIRMED").await, "");
    assert_eq!(to(&id, "REJECTED").await, "INVALID_TRANSITION");
    assert_eq!(to(&id, "COMPLETED").await, "TOO_SOON"); // it has not begun
    app.clock.advance(SignedDuration::from_hours(24 * 3));
    assert_eq!(to(&id, "COMPLETED").await, "");
    assert_eq!(to(&id, "CANCELLED").await, "INVALID_TRANSITION"); // an end
    let rejected = acme.user.book(&careful, acme.in_days(3)).await["data"]["createBooking"]["booking"]["id"].clone();
    assert_eq!(to(&rejected, "REJECTED").await, "");
    assert_eq!(to(&rejected, "CONFIRMED").await, "INVALID_TRANSITION");
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_can_only_cancel_and_only_in_time() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    for status in ["COMPLETED", "NO_SHOW", "CONFIRMED", "REJECTED"] {
        let answer = acme.user.set_status(json!({ "id": booking, "status": status })).await;
        assert_eq!(code(&answer), "FORBIDDEN", "{status}");
    }
    app.clock.advance(SignedDuration::from_hours(24 * 3));
    assert_eq!(
        code(&acme.user.set_status(json!({ "id": booking, "status": "CANCELLED" })).await),
        "INVALID_TRANSITION"
    );
    assert_eq!(code(&acme.staff.set_status(json!({ "id": booking, "status": "CANCELLED" })).await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_version_changes_nothing_and_of_two_at_once_one_wins() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let careful = acme.admin.create_service(json!({ "name": "Careful", "requiresConfirmation": true })).await;
    let id = acme.user.book(&careful, acme.in_days(3)).await["data"]["createBooking"]["booking"]["id"].clone();
    let stale = acme.staff.set_status(json!({ "id": id, "status": "CONFIRMED", "version": 2 })).await;
    assert_eq!(code(&stale), "STALE");
    let both = join_all(
        ["CONFIRMED", "REJECTED"]
            .map(|status| acme.staff.set_status(json!({ "id": id, "status": status, "version": 1 }))),
    )
    .await;
    let codes: Vec<&str> = both.iter().map(code).collect();
    assert_eq!(codes.iter().filter(|it| it.is_empty()).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|it| ["", "STALE"].contains(it)), "{codes:?}");
    assert_eq!(app.truth("select version from shared.bookings").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_book_for_others_and_customers_do_not() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let input = |customer: &str, days| json!({ "serviceId": acme.service, "startsAt": acme.in_days(days).to_string(), "customerId": customer });
    let user = acme.user.id.to_string();
    assert_eq!(code(&acme.staff.book_with(input(&user, 3)).await), "");
    assert_eq!(code(&acme.user.book_with(input(&user, 4)).await), ""); // for themselves, by id
    assert_eq!(code(&acme.other.book_with(input(&user, 5)).await), "FORBIDDEN");
    app.by_hand("update shared.users set status = 'DEACTIVATED' where email = 'user@acme.test'").await;
    assert_eq!(code(&acme.staff.book_with(input(&user, 6)).await), "NOT_FOUND");
    assert_eq!(app.truth("select count(*) from shared.bookings").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_must_come_and_not_too_late() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    assert_eq!(code(&acme.user.book(&acme.service, app.clock.now()).await), "TOO_SOON");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(-1)).await), "TOO_SOON");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(800)).await), "TOO_FAR");
    let inactive = "mutation($id: ID!) { updateService(input: { id: $id, active: false }) { service { active } } }";
    acme.admin.run_with(inactive, json!({ "id": acme.service })).await;
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(3)).await), "NOT_FOUND");
    assert_eq!(app.truth("select count(*) from shared.bookings").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plans_quota_is_exact() {
    let app = TestApp::start().await;
    let acme = app.tenant_on_plan("acme", "free").await;
    app.by_hand("update shared.tenant_state set limits = '{\"bookings\": 3}'").await;
    let class = acme.admin.create_service(json!({ "name": "Class", "capacity": 50 })).await;
    let (acme, class) = (&acme, &class);
    let clients = (0..8).map(|client| {
        let person = [&acme.user, &acme.other, &acme.staff][client % 3];
        async move { code(&person.book(class, acme.in_days(3)).await).to_owned() }
    });
    let codes = join_all(clients).await;
    assert_eq!(codes.iter().filter(|it| it.is_empty()).count(), 3, "{codes:?}");
    assert_eq!(codes.iter().filter(|it| *it == "QUOTA_EXCEEDED").count(), 5, "{codes:?}");
    let usage = acme.admin.run("{ billing { plan { key } usage { meter used limit periodStart periodEnd } } }").await;
    let line = &usage["data"]["billing"]["usage"][0];
    assert_eq!(
        (line["meter"].as_str(), line["used"].as_i64(), line["limit"].as_i64()),
        (Some("bookings"), Some(3), Some(3)),
        "{usage}"
    );
    assert_eq!(usage["data"]["billing"]["plan"]["key"], "free");
    // A new month, a new count.
    app.clock.advance(SignedDuration::from_hours(24 * 32));
    assert_eq!(code(&acme.user.book(class, acme.in_days(3)).await), "");
}

/// Every order, from both ends, with ties: pages tile the list without gap or overlap.
#[tokio::test(flavor = "multi_thread")]
async fn pages_tile_the_list_in_every_order_and_direction() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let class = acme.admin.create_service(json!({ "name": "Class", "capacity": 50 })).await;
    for n in 0..11_i64 {
        // Three at each start; the clock moves, so that the order of creation differs.
        assert_eq!(code(&acme.user.book(&class, acme.in_days(10 - n / 3)).await), "");
        app.clock.advance(SignedDuration::from_secs(n % 2));
    }
    for order in ["STARTS_AT_ASC", "STARTS_AT_DESC", "CREATED_AT_ASC", "CREATED_AT_DESC"] {
        let whole = page(&acme, order, json!({ "first": 100 })).await;
        assert_eq!(whole.ids.len(), 11);
        for size in [1, 3, 5, 11] {
            let (mut forward, mut backward) = (Vec::new(), Vec::new());
            let mut cursor = Value::Null;
            loop {
                let next = page(&acme, order, json!({ "first": size, "after": cursor })).await;
                forward.extend(next.ids);
                assert_eq!(next.has_previous, cursor != Value::Null);
                if !next.has_next {
                    break;
                }
                cursor = next.end;
            }
            let mut cursor = Value::Null;
            loop {
                let previous = page(&acme, order, json!({ "last": size, "before": cursor })).await;
                backward.splice(0..0, previous.ids);
                assert_eq!(previous.has_next, cursor != Value::Null);
                if !previous.has_previous {
                    break;
                }
                cursor = previous.start;
            }
            assert_eq!(forward, whole.ids, "{order} by {size}");
            assert_eq!(backward, whole.ids, "{order} by {size}, from the back");
        }
    }
    let ascending = page(&acme, "STARTS_AT_ASC", json!({ "first": 100 })).await.ids;
    let mut descending = page(&acme, "STARTS_AT_DESC", json!({ "first": 100 })).await.ids;
    descending.reverse();
    assert_eq!(ascending, descending);
}

struct PageOfIds {
    ids: Vec<String>,
    has_next: bool,
    has_previous: bool,
    start: Value,
    end: Value,
}

async fn page(acme: &TestTenant, order: &str, mut variables: Value) -> PageOfIds {
    variables["order"] = json!(order);
    let query = "query($first: Int, $after: String, $last: Int, $before: String, $order: BookingOrder) {
        bookings(first: $first, after: $after, last: $last, before: $before, orderBy: $order) {
          nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let answer = acme.admin.run_with(query, variables).await;
    let bookings = &answer["data"]["bookings"];
    let info = &bookings["pageInfo"];
    PageOfIds {
        ids: bookings["nodes"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"))
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect(),
        has_next: info["hasNextPage"].as_bool().unwrap(),
        has_previous: info["hasPreviousPage"].as_bool().unwrap(),
        start: info["startCursor"].clone(),
        end: info["endCursor"].clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_the_list() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let other = acme.admin.create_service(json!({ "name": "Other" })).await;
    let first = acme.booking(3).await;
    let second = acme.other.book(&other, acme.in_days(5)).await["data"]["createBooking"]["booking"]["id"].clone();
    acme.admin.set_status(json!({ "id": second, "status": "CANCELLED" })).await;
    let (first, second) = (json!([{ "id": first }]), json!([{ "id": second }]));
    let list = async |filter: Value| {
        let query = "query($filter: BookingFilter) { bookings(filter: $filter) { nodes { id } } }";
        acme.staff.run_with(query, json!({ "filter": filter })).await["data"]["bookings"]["nodes"].clone()
    };
    assert_eq!(list(json!({ "status": ["CONFIRMED"] })).await, first);
    assert_eq!(list(json!({ "status": ["CANCELLED", "NO_SHOW"] })).await, second);
    assert_eq!(list(json!({ "status": [] })).await, json!([]));
    assert_eq!(list(json!({ "serviceId": other })).await, second);
    assert_eq!(list(json!({ "customerId": acme.user.id.to_string() })).await, first);
    assert_eq!(list(json!({ "from": acme.in_days(4).to_string() })).await, second);
    assert_eq!(list(json!({ "from": acme.in_days(3).to_string(), "to": acme.in_days(5).to_string() })).await, first); // half-open
    assert_eq!(list(json!({ "serviceId": other, "customerId": acme.user.id.to_string() })).await, json!([]));
}

/// docs/decisions/0011: row-level security leaves the index of a time range usable, as the app's role sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_time_is_read_by_index_under_row_level_security() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.by_hand(&format!(
        "alter table shared.bookings drop constraint bookings_metered; insert into shared.bookings (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor, currency, created_at, updated_at)
         select tenant_id, gen_random_uuid(), id, '{}', now() + n * interval '2 hours', now() + n * interval '2 hours' + interval '1 hour', 'UTC', 'CONFIRMED', 0, 'EUR', now(), now()
           from shared.services, generate_series(1, 20000) n; analyze shared.bookings",
        acme.user.id.0
    ))
    .await;
    let client = acme.store("tenantry_app").await;
    client.batch_execute("begin").await.unwrap();
    client
        .query("select enter($1, $2, 'ADMIN', $3, false)", &[&acme.id, &acme.admin.id, &acme.admin.viewer.session])
        .await
        .unwrap();
    let plan = client
        .query("explain select id from bookings where tenant_id = $1 and starts_at >= now() and starts_at < now() + interval '2 days' order by starts_at, id limit 21", &[&acme.id])
        .await
        .unwrap();
    let plan: String = plan.iter().map(|row| row.get::<_, String>(0) + "\n").collect();
    let condition = plan.lines().find(|line| line.contains("Index Cond")).unwrap_or_else(|| panic!("{plan}"));
    assert!(plan.contains("bookings_starts_at") && condition.contains("starts_at <"), "{plan}");
}

/// A caller that waits for the calendar decides by its state afterwards, even on a connection without prepared
/// statements.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_by_what_was_read_before_the_lock() {
    for is_warm in [true, false] {
        let app = TestApp::start_with(Options { connections: 1, ..Options::default() }).await;
        let acme = app.tenant("acme").await;
        let at = acme.in_days(3);
        // This prepares the statements that read a service, but not the lock.
        let free = "query($s: ID!, $from: DateTime!, $to: DateTime!) { availability(serviceId: $s, from: $from, to: $to) { startsAt } }";
        let to = at + jiff::SignedDuration::from_hours(1);
        let asked = json!({ "s": acme.service, "from": at.to_string(), "to": to.to_string() });
        acme.user.run_with(free, asked).await;
        acme.user.run("{ viewer { id } }").await;
        if is_warm {
            acme.booking(9).await;
        }
        let lock = acme.store("postgres").await;
        let take = format!("begin; select pg_advisory_xact_lock(hashtextextended('calendar of {}', 0))", acme.id.0);
        lock.batch_execute(&take).await.unwrap();
        let (service, user) = (acme.service.clone(), acme.user.clone());
        let booking = tokio::spawn(async move { user.book(&service, at).await });
        let waiting =
            "select count(*) from pg_stat_activity where wait_event = 'advisory' and query like '%lock_calendar%'";
        while app.truth(waiting).await != ["1"] {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let day = at.to_zoned(jiff::tz::TimeZone::get("Europe/Amsterdam").unwrap()).date();
        let close = format!(
            "insert into opening_overrides (tenant_id, id, day, hours, created_at)
             values ('{}', gen_random_uuid(), '{day}', '[]', now()); commit",
            acme.id.0
        );
        lock.batch_execute(&close).await.unwrap();
        assert_eq!(code(&booking.await.unwrap()), "OUTSIDE_HOURS", "warm: {is_warm}");
    }
}

/// Whatever the code above forgets, the store never holds a slot twice, and reveals nothing of another tenant's.
#[tokio::test(flavor = "multi_thread")]
async fn the_constraint_has_the_last_word() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    acme.admin.link(&acme.service, &[(&anna, 0)]).await;
    let first = acme.booking(3).await;
    let second = acme.booking(5).await;
    let raw = |id: &str| id.parse::<tenantry::base::ids::BookingId>().unwrap().0;
    let anna = anna.parse::<tenantry::base::ids::ResourceId>().unwrap().0;
    let client = acme.store("tenantry_app").await;
    client.batch_execute("begin").await.unwrap();
    client
        .query("select enter($1, $2, 'STAFF', $3, true)", &[&acme.id, &acme.staff.id, &acme.staff.viewer.session])
        .await
        .unwrap();
    let claim = async |from: i64, to: i64| -> String {
        let at = |minutes: i64| acme.in_days(3) + jiff::SignedDuration::from_mins(minutes);
        client.batch_execute("savepoint one").await.unwrap();
        let outcome = client
            .execute(
                "insert into booking_claims (tenant_id, id, booking_id, customer_id, resource_id, lane, blocked_from, blocked_to)
                 values ($1, gen_random_uuid(), $2, $3, $4, 0, $5, $6)",
                &[&acme.id, &raw(&second), &acme.user.id, &anna, &at(from), &at(to)],
            )
            .await;
        client.batch_execute("rollback to savepoint one").await.unwrap();
        outcome.map_or_else(|error| error.code().unwrap().code().to_owned(), |_| String::new())
    };
    for (from, to, expected) in [
        (0, 45, "23P01"),
        (44, 60, "23P01"),
        (-30, 1, "23P01"),
        (10, 20, "23P01"),
        (45, 60, ""),
        (-30, 0, ""),
        (5, 5, "23514"),
    ] {
        assert_eq!(claim(from, to).await, expected, "{from} to {to}");
    }
    // A released slot is free.
    client.execute("update booking_claims set active = false where booking_id = $1", &[&raw(&first)]).await.unwrap();
    assert_eq!(claim(0, 45).await, "");
    // The same resource id in another tenant's claim is no collision, but it is not that tenant's resource.
    let client = globex.store("tenantry_app").await;
    client.batch_execute("begin").await.unwrap();
    client
        .query("select enter($1, $2, 'STAFF', $3, true)", &[&globex.id, &globex.staff.id, &globex.staff.viewer.session])
        .await
        .unwrap();
    let theirs = globex.booking(3).await;
    let foreign = client
        .execute(
            "insert into booking_claims (tenant_id, id, booking_id, customer_id, resource_id, lane, blocked_from, blocked_to)
             values ($1, gen_random_uuid(), $2, $3, $4, 0, $5, $6)",
            &[&globex.id, &raw(&theirs), &globex.user.id, &anna, &acme.in_days(3), &acme.in_days(4)],
        )
        .await
        .unwrap_err();
    assert_eq!(foreign.code().unwrap().code(), "23503");
}
