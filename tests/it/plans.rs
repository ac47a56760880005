//! The rows that a statement reads do not grow with the history: checked in the database, as the app's role, with the
//! policies.

use serde_json::json;
use tenantry::{
    base::paging::Page,
    core::{
        audit::AuditFilter,
        identity::{Caller, Origin},
    },
    db::{Access, ScopedTx},
    features::bookings::{BookingFilter, BookingOrder, Preloaded, PreloadedRefs},
};

use crate::support::{Options, TestApp, TestTenant, code};

async fn staffed(app: &TestApp) -> (TestTenant, Vec<String>) {
    let acme = app.tenant("acme").await;
    let mut resources = Vec::new();
    for name in ["A", "B", "C", "D", "E"] {
        resources.push(acme.admin.create_resource("STAFF", name).await);
    }
    let links: Vec<(&str, i32)> = resources.iter().map(|it| (it.as_str(), 0)).collect();
    assert_eq!(code(&acme.admin.link(&acme.service, &links).await), "");
    (acme, resources)
}

/// Only the requested month is read, and no earlier row.
#[tokio::test(flavor = "multi_thread")]
async fn availability_reads_the_month_alone() {
    let app = TestApp::start().await;
    let (acme, resources) = staffed(&app).await;
    acme.add_history(&resources, 20_000).await;
    for days in 3..13 {
        for person in [&acme.user, &acme.other] {
            assert_eq!(code(&person.book(&acme.service, acme.in_days(days)).await), "");
        }
    }
    let client = acme.entered(&acme.user).await;
    let ids: Vec<uuid::Uuid> =
        resources.iter().map(|it| it.parse::<tenantry::base::ids::ResourceId>().unwrap().0).collect();
    let read = async || -> (i64, i64) {
        let sql = "select sum(seq_tup_read)::bigint, sum(idx_tup_fetch)::bigint from pg_stat_xact_user_tables
            where schemaname = 'shared' and relname in ('booking_claims', 'bookings')";
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    let (from, to) = (acme.in_days(1), acme.in_days(32));
    let before = read().await;
    // More than five times: then PostgreSQL may plan for any values at all.
    for _ in 0..8 {
        let held = client
            .query("select * from claimed_times($1, $2, $3, $4, $5)", &[&acme.id, &ids, &from, &to, &app.clock.now()])
            .await
            .unwrap();
        assert_eq!(held.len(), 20, "what is held in it");
    }
    let after = read().await;
    assert_eq!(after.0, before.0, "no table is read from end to end");
    let each = (after.1 - before.1) / 8;
    // A claim that began up to three days before could reach into it; and each claim has a booking.
    assert!(each < 3_000, "{each} rows for 20 that are held, beside a history of 20000");
    // The same statement, as its plan says: both ends are conditions of the index, and the policy is no filter over history.
    let plan = client
        .query(
            "explain (costs off)
             select c.claimed_id from booking_claims c
              where c.tenant_id = $1 and c.claimed_id = any ($2) and c.active
                and c.blocked_from < $4 and c.blocked_from > $3::timestamptz - interval '3 days 1 hour' and c.blocked_to > $3",
            &[&acme.id, &ids, &from, &to],
        )
        .await
        .unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let condition = plan.iter().find(|it| it.contains("Index Cond")).unwrap_or_else(|| panic!("{plan:#?}"));
    for part in ["tenant_id", "claimed_id", "blocked_from <", "blocked_from >"] {
        assert!(condition.contains(part), "{part}: {plan:#?}");
    }
    assert!(plan.iter().any(|it| it.contains("booking_claims_time")), "{plan:#?}");
}

/// How many rows of these tables a statement reads at most, once PostgreSQL may plan it for any values at all: it does so after
/// five times.
async fn most_read(app: &TestApp, acme: &TestTenant, tables: &[&str], ask: impl AsyncFn(&ScopedTx)) -> i64 {
    const READ: &str = "-- test.read
        select (sum(seq_tup_read) + sum(idx_tup_fetch))::bigint from pg_stat_xact_user_tables where relname = any ($1)";
    let mut most = 0;
    for round in 0..8 {
        let tx = app.gate.tenant(acme.admin.viewer.scope(), Access::Read);
        let before: i64 = tx.query_one(READ, &[&tables]).await.unwrap().get(0);
        ask(&tx).await;
        let after: i64 = tx.query_one(READ, &[&tables]).await.unwrap().get(0);
        tx.end_read();
        if round >= 6 {
            most = most.max(after - before);
        }
    }
    most
}

/// The references that a page of bookings may include: none, names, or all.
fn related(how_much: usize) -> Preloaded {
    match how_much {
        0 => Preloaded::Nothing,
        1 => Preloaded::Names(PreloadedRefs::default()),
        _ => Preloaded::Whole(PreloadedRefs::default()),
    }
}

/// Twenty after this key, and twenty before it.
fn pages<K: Copy>(at: K) -> [Page<K>; 2] {
    [
        Page { limit: 20, from_the_back: false, after: Some(at), before: None },
        Page { limit: 20, from_the_back: true, after: None, before: Some(at) },
    ]
}

/// A page in the middle of a long list reads its own rows: the place in the index is found by the bounds, whatever the policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_no_row_of_those_before_it() {
    let app = TestApp::start_with(Options { connections: 1, ..Options::default() }).await;
    let (acme, resources) = staffed(&app).await;
    acme.add_history(&resources, 20_000).await;
    let middle = app.clock.now() - jiff::SignedDuration::from_hours(24 * 40);
    let [all, from_then] = [None, Some(app.clock.now() - jiff::SignedDuration::from_hours(24 * 50))]
        .map(|from| BookingFilter { from, ..BookingFilter::default() });
    for filter in [&all, &from_then] {
        let orders = [
            BookingOrder::StartsAtAsc,
            BookingOrder::StartsAtDesc,
            BookingOrder::CreatedAtAsc,
            BookingOrder::CreatedAtDesc,
        ];
        let ways = orders.iter().flat_map(|order| (0..3).map(move |how_much| (*order, how_much)));
        for (number, (order, how_much)) in ways.enumerate() {
            let page = &pages((middle, uuid::Uuid::nil()))[number % 2];
            let most = most_read(&app, &acme, &["bookings"], async |tx| {
                let found =
                    tenantry::features::bookings::list(tx, filter, order, page, &mut related(how_much)).await.unwrap();
                assert_eq!(found.rows.len(), 20);
            })
            .await;
            assert!((20..50).contains(&most), "{most} rows for 20, by {order:?} of {filter:?}");
        }
    }
}

/// A page's references are looked up for its own rows, even when a tenant has so few bookings that the planner would
/// prefer to join them all first.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_looks_up_names_for_its_own_rows_alone() {
    let app = TestApp::start_with(Options { connections: 1, ..Options::default() }).await;
    let (acme, resources) = staffed(&app).await;
    acme.add_history(&resources, 150).await;
    let page = Page { limit: 20, from_the_back: false, after: None, before: None };
    for filter in [BookingFilter::default(), BookingFilter { customer: Some(acme.user.id), ..BookingFilter::default() }]
    {
        for how_much in [1, 2] {
            let most = most_read(&app, &acme, &["users", "services"], async |tx| {
                let (order, mut related) = (BookingOrder::StartsAtAsc, related(how_much));
                let found = tenantry::features::bookings::list(tx, &filter, order, &page, &mut related).await.unwrap();
                assert_eq!(found.rows.len(), 20);
            })
            .await;
            // A service and a customer for each row, and for the extra one that reveals a next page.
            assert!((2..=2 * 21).contains(&most), "{most} rows for 20, of {filter:?}");
        }
    }
}

/// A page of the audit log reads its own events, however long the log is.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_log_reads_no_event_before_it() {
    let app = TestApp::start_with(Options { connections: 1, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let now = app.clock.now();
    app.by_hand(&format!(
        "insert into shared.audit_events (tenant_id, id, at, actor_role, action, object_type, seq, hash)
         select '{}', gen_random_uuid(), '{now}'::timestamptz - n * interval '1 minute', 'WORKER', 'test.made', 'test', 100000 + n,
                sha256('') from generate_series(1, 20000) n;
         analyze shared.audit_events",
        acme.id.0
    ))
    .await;
    let origin = Origin { request_id: uuid::Uuid::nil(), address: None, user_agent: None, impersonator: None };
    let [middle, from] = [7, 10].map(|days| now - jiff::SignedDuration::from_hours(24 * days));
    for filter in [AuditFilter::default(), AuditFilter { from: Some(from), ..AuditFilter::default() }] {
        for page in pages((middle, 0_i64)) {
            let most = most_read(&app, &acme, &["audit_events"], async |tx| {
                let caller = Caller { tx, viewer: acme.admin.viewer, clock: &app.clock, origin: &origin };
                assert_eq!(tenantry::core::audit::list(&caller, &filter, &page).await.unwrap().rows.len(), 20);
            })
            .await;
            assert!((20..50).contains(&most), "{most} events for 20, of {filter:?} and {page:?}");
        }
    }
}

/// The API gives the same answer, with as many statements in as many round trips, whatever the history.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_changes_no_answer() {
    let app = TestApp::start().await;
    let (acme, resources) = staffed(&app).await;
    let month = async || {
        let before = app.statements();
        let query = "query($s: ID!, $from: DateTime!, $to: DateTime!) { availability(serviceId: $s, from: $from, to: $to) { startsAt places } }";
        let (from, to) = (acme.in_days(1).to_string(), acme.in_days(32).to_string());
        let answer = acme.user.run_with(query, json!({ "s": acme.service, "from": from, "to": to })).await;
        (answer["data"]["availability"].clone(), app.statements() - before)
    };
    month().await; // The plan's limit is looked up once a minute.
    let without = month().await;
    acme.add_history(&resources, 5_000).await;
    assert_eq!(month().await, without);
}

/// Booking releases expired holds: that reads holds only, however many bookings there are.
#[tokio::test(flavor = "multi_thread")]
async fn holds_are_found_without_looking_at_bookings() {
    let app = TestApp::start().await;
    let (acme, resources) = staffed(&app).await;
    acme.add_history(&resources, 20_000).await;
    let client = acme.entered(&acme.user).await;
    let ids: Vec<uuid::Uuid> =
        resources.iter().map(|it| it.parse::<tenantry::base::ids::ResourceId>().unwrap().0).collect();
    for _ in 0..8 {
        client.query("select expire_holds($1, $2, $3)", &[&acme.id, &ids, &app.clock.now()]).await.unwrap();
    }
    let sql = "select (seq_tup_read + idx_tup_fetch)::bigint from pg_stat_xact_user_tables where schemaname = 'shared' and relname = 'bookings'";
    let read: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    assert!(read < 100, "{read} rows");
}
