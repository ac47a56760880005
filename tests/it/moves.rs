//! Tenants that move while they are served: nothing is lost, no other tenant is affected, and a worker that is killed
//! half-way leaves a state that can be continued.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use tenantry::{
    db::{Access, Isolation, Placement, Scope, StoreSettings, roles},
    features::platform::moving::GRACE,
    fleet::{Fleet, Logins},
};

use crate::support::{Options, PASSWORD, Person, TestApp, TestTenant, code, everything, server, unlimited};

const MOVE: &str = "mutation($input: MoveTenantInput!) {
    moveTenant(input: $input) { tenantMove { id state } userErrors { code field message } } }";
const MOVES: &str = "{ platform { tenantMoves { nodes {
    id from to state rowsTotal rowsCopied attempts lastError writePauseMilliseconds } } } }";

/// Its tenants begin in shared tables.
async fn app() -> TestApp {
    let app = TestApp::start_with(Options { isolation: Isolation::Shared, ..Options::default() }).await;
    app.database.prepare_template().await;
    unlimited(&app).await;
    app
}

async fn ask(root: &Person, tenant: &TestTenant, isolation: Isolation) -> Value {
    root.app.clock.advance(jiff::SignedDuration::from_millis(1)); // So that each move is newer than the one before.
    let input = json!({ "id": tenant.id.to_string(), "isolation": isolation.as_str() });
    root.run_with(MOVE, json!({ "input": input })).await
}

/// The newest move.
async fn newest(root: &Person) -> Value {
    root.run(MOVES).await["data"]["platform"]["tenantMoves"]["nodes"][0].clone()
}

async fn move_to(root: &Person, tenant: &TestTenant, isolation: Isolation) -> Value {
    let asked = ask(root, tenant, isolation).await;
    assert_eq!(code(&asked), "", "{asked}");
    root.app.fleet.work().await;
    let done = newest(root).await;
    assert_eq!(done["state"], "DONE", "{done}");
    done
}

use Isolation::{Database, Schema, Shared};
/// Every direction between the three, starting and ending in shared tables.
const ROUND: [Isolation; 6] = [Schema, Database, Shared, Database, Schema, Shared];

/// Fails with only the differences.
fn assert_same(found: &[String], expected: &[String], when: &str) {
    let missing: Vec<_> = expected.iter().filter(|it| !found.contains(it)).collect();
    let new: Vec<_> = found.iter().filter(|it| !expected.contains(it)).collect();
    assert!(missing.is_empty() && new.is_empty(), "{when}: missing {missing:#?}, new {new:#?}");
    assert_eq!(found.len(), expected.len(), "{when}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_moves_in_every_direction_with_all_that_it_is() {
    let app = app().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let root = app.operator().await;
    let booking = acme.booking(3).await;
    globex.booking(3).await;
    let invite = "mutation { inviteUser(input: { email: \"new@acme.test\", role: USER }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run(invite).await), "");
    let login = "mutation($p: String!) { login(input: { email: \"user@acme.test\", password: $p }) {
        session { refreshToken } } }";
    let signed_in = app.anonymous().run_with(login, json!({ "p": PASSWORD })).await;
    let mut refresh = signed_in["data"]["login"]["session"]["refreshToken"].as_str().unwrap().to_owned();
    let named = async || {
        let at = acme.in_days(8).to_string();
        let query = "mutation($s: ID!, $at: DateTime!) { createBooking(input: { serviceId: $s, startsAt: $at }) { booking { id } } }";
        let body = json!({ "query": query, "variables": { "s": acme.service, "at": at } }).to_string();
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("idempotency-key", "one")
            .header("authorization", format!("Bearer {}", acme.user.token.as_deref().unwrap()));
        let (_, answer) = app.send(request.body(Body::from(body)).unwrap()).await;
        serde_json::from_slice::<Value>(&answer).unwrap()["data"].clone()
    };
    let first_answer = named().await;
    assert!(first_answer["createBooking"]["booking"]["id"].is_string());
    let others = everything(&globex).await;
    for (nth, isolation) in ROUND.into_iter().enumerate() {
        assert_eq!(code(&ask(&root, &acme, isolation).await), "");
        let before = everything(&acme).await;
        app.fleet.work().await;
        let done = newest(&root).await;
        assert_eq!(done["state"], "DONE", "{done}");
        assert_eq!((&done["rowsTotal"], &done["rowsCopied"]), (&json!(before.len()), &json!(before.len())), "{done}");
        assert!(done["writePauseMilliseconds"].is_i64(), "{done}");
        assert_same(&everything(&acme).await, &before, isolation.as_str());
        let seen = acme.admin.run("{ tenant { isolation status } verifyAuditChain { intact } }").await;
        let tenant = json!({ "isolation": isolation.as_str(), "status": "ACTIVE" });
        assert_eq!(code(&seen), "", "{seen}");
        assert_eq!(seen["data"], json!({ "tenant": tenant, "verifyAuditChain": { "intact": true } }));
        let query = "query($id: ID!) { booking(id: $id) { customer { email } } }";
        let found = acme.user.run_with(query, json!({ "id": booking })).await;
        assert_eq!(found["data"]["booking"]["customer"]["email"], "user@acme.test", "{found}");
        assert_eq!(globex.admin.run_with(query, json!({ "id": booking })).await["data"]["booking"], Value::Null);
        // Existing state stays valid: sessions, stored answers, and the directory of logins.
        assert_eq!(named().await, first_answer, "the same answer, and no second booking");
        let query =
            "mutation($t: String!) { refreshSession(input: { refreshToken: $t }) { session { refreshToken } } }";
        let refreshed = app.anonymous().run_with(query, json!({ "t": refresh })).await;
        refresh = refreshed["data"]["refreshSession"]["session"]["refreshToken"].as_str().unwrap().to_owned();
        assert_eq!(code(&app.anonymous().run_with(login, json!({ "p": PASSWORD })).await), "");
        // It can be written to.
        let days = 10 + i64::try_from(nth).unwrap();
        assert_eq!(code(&acme.other.book(&acme.service, acme.in_days(days)).await), "");
    }
    assert_same(&everything(&globex).await, &others, "nobody else was touched");
    let mails = app.mails().await;
    assert_eq!(mails.iter().filter(|it| it.to == "new@acme.test").count(), 1, "what waited to be done went along");
    let history = root.run("{ platform { events { nodes { action } } } }").await;
    assert_eq!(history.to_string().matches("tenants.move").count(), ROUND.len());
}

/// Who may move a tenant, and what is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_is_refused() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    for person in [&acme.admin, &acme.user] {
        assert_eq!(code(&ask(person, &acme, Schema).await), "FORBIDDEN");
        assert_eq!(code(&person.run(MOVES).await), "FORBIDDEN");
    }
    assert_eq!(code(&ask(&app.anonymous(), &acme, Schema).await), "UNAUTHENTICATED");
    let root = app.operator().await;
    let refused = async |input: Value| {
        let answer = root.run_with(MOVE, json!({ "input": input })).await;
        let error = &answer["data"]["moveTenant"]["userErrors"][0];
        (error["code"].as_str().unwrap_or_default().to_owned(), error["field"].to_string())
    };
    let id = acme.id.to_string();
    let nobody = tenantry::base::ids::TenantId(uuid::Uuid::now_v7()).to_string();
    assert_eq!(refused(json!({ "id": nobody, "isolation": "SCHEMA" })).await.0, "NOT_FOUND");
    assert_eq!(refused(json!({ "id": id, "isolation": "SHARED" })).await.0, "INVALID");
    // Connections only go to servers that the deployment's operator has configured.
    for (isolation, url) in [
        ("DATABASE", "postgresql://evil.example:5432"),
        ("DATABASE", "postgresql://user:secret@evil.example:5432"),
        ("DATABASE", "nonsense"),
        ("SCHEMA", "postgresql://evil.example:5432"),
    ] {
        let (code, field) = refused(json!({ "id": id, "isolation": isolation, "url": url })).await;
        assert_eq!((code.as_str(), field.contains("url")), ("INVALID", true), "{url}");
    }
    assert_eq!(code(&ask(&root, &acme, Schema).await), "");
    assert_eq!(code(&ask(&root, &acme, Database).await), "IN_USE", "one at a time");
    let suspended = app.tenant("gone").await;
    let delete = "mutation($id: ID!) { deleteTenant(input: { id: $id }) { userErrors { code } } }";
    root.run_with(delete, json!({ "id": suspended.id.to_string() })).await;
    assert_eq!(code(&ask(&root, &suspended, Schema).await), "INVALID_TRANSITION");
}

/// An abort before the flip leaves the tenant unchanged; afterwards it is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_can_be_aborted_until_it_flips() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    let root = app.operator().await;
    let abort = async |id: &Value| {
        let query =
            "mutation($id: ID!) { abortTenantMove(input: { id: $id }) { tenantMove { state } userErrors { code } } }";
        code(&root.run_with(query, json!({ "id": id })).await).to_owned()
    };
    ask(&root, &acme, Database).await;
    let before = everything(&acme).await;
    assert_eq!(abort(&newest(&root).await["id"]).await, "");
    app.fleet.work().await;
    assert_eq!(newest(&root).await["state"], "ABORTED");
    assert_same(&everything(&acme).await, &before, "as it was");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(5)).await), "");
    let left = "select count(*) from directory.store_leftovers";
    assert_eq!(app.truth(left).await, ["1"], "what may have been made");
    app.fleet.work().await;
    assert_eq!(app.truth(left).await, ["0"], "is removed");
    let done = move_to(&root, &acme, Schema).await;
    assert_eq!(abort(&done["id"]).await, "INVALID_TRANSITION");
    assert_eq!(abort(&json!("mov_01h455vb4pex5vsknk084sn02q")).await, "NOT_FOUND");
}

/// A failing move is retried, given up after some attempts, and never leaves the fence in place.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_leaves_the_tenant_where_it_was() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    let root = app.operator().await;
    ask(&root, &acme, Schema).await;
    // The target's checks refuse the source's rows.
    app.by_hand("update shared.users set name = '' where false; alter table shared.users add column extra text").await;
    for attempt in 1..=5 {
        app.fleet.work().await;
        let it = newest(&root).await;
        assert_eq!(
            (&it["attempts"], it["lastError"].as_str().unwrap().contains("different tables")),
            (&json!(attempt), true)
        );
        assert_eq!(it["state"], if attempt < 5 { "WAITING" } else { "FAILED" });
        acme.admin.create_service(json!({ "name": format!("S{attempt}") })).await; // Nobody waits.
    }
    assert_eq!(app.truth("select fence from shared.tenant_state").await, ["null"]);
    app.by_hand("alter table shared.users drop column extra").await;
    move_to(&root, &acme, Schema).await;
}

/// docs/decisions/0026, and every other way to write past the fence.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_past_the_fence() {
    let app =
        TestApp::start_with(Options { wait: Duration::from_millis(300), isolation: Shared, ..Options::default() })
            .await;
    let acme = app.tenant("acme").await;
    let root = app.operator().await;
    // Running writers are waited for: they hold the lock until their commit.
    let writer = app.gate.tenant(acme.admin.viewer.scope(), Access::Write);
    writer.execute("-- test.write\n update services set name = name where tenant_id = $1", &[&acme.id]).await.unwrap();
    let fence = acme.store("tenantry_platform").await;
    let lock = format!(
        "set lock_timeout = '100ms'; begin; select pg_advisory_xact_lock(hashtextextended('move of {}', 0))",
        acme.id.0
    );
    assert!(fence.batch_execute(&lock).await.is_err());
    fence.batch_execute("rollback").await.unwrap();
    writer.commit().await.unwrap();
    fence.batch_execute(&lock).await.unwrap();
    fence.batch_execute("update tenant_state set fence = 'MOVING'; commit").await.unwrap();
    // Every writer is refused, including the platform; readers are not.
    let suspend = "mutation($id: ID!) { suspendTenant(input: { id: $id, reason: \"x\" }) { userErrors { code } } }";
    assert_eq!(code(&root.run_with(suspend, json!({ "id": acme.id.to_string() })).await), "UNAVAILABLE");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(5)).await), "UNAVAILABLE");
    for scope in [Scope::worker(acme.id), Scope::authenticator(acme.id), Scope::platform(Some(acme.id))] {
        let refused = app.gate.tenant(scope, Access::Write).query("-- test.read\n select 1", &[]).await;
        assert_eq!(refused.unwrap_err().to_string(), "the tenant is being moved");
        app.gate.tenant(scope, Access::Read).query("-- test.read\n select 1", &[]).await.unwrap();
    }
    let status = acme.user.run("{ tenant { status } }").await;
    assert_eq!(status["data"]["tenant"]["status"], "MOVING", "{status}");
    // A snapshot from before could see the fence as it was.
    let client = acme.store("tenantry_app").await;
    client.batch_execute("begin isolation level repeatable read").await.unwrap();
    let enter = client.query("select enter($1, null, 'WORKER', null, true)", &[&acme.id]).await.unwrap_err();
    assert_eq!(enter.code().unwrap().code(), "25000");
    // Once it is elsewhere, nobody can enter here.
    app.by_hand("update shared.tenant_state set fence = 'MOVED'").await;
    for scope in [Scope::worker(acme.id), Scope::authenticator(acme.id), Scope::platform(Some(acme.id))] {
        let refused = app.gate.tenant(scope, Access::Read).query("-- test.read\n select 1", &[]).await;
        assert_eq!(refused.unwrap_err().to_string(), "the tenant is not in this store");
    }
}

/// Another process, which still believes that the tenant is here, learns it from the store itself.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_on_where_a_tenant_was() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    let root = app.operator().await;
    let elsewhere = TestApp::on(app.database.clone(), Options { isolation: Shared, ..Options::default() }).await;
    let there = |person: &Person| Person { app: elsewhere.clone(), ..person.clone() };
    let (admin, user) = (there(&acme.admin), there(&acme.user));
    for (nth, isolation) in ROUND.into_iter().enumerate() {
        let seen = user.run("{ viewer { email } }").await;
        assert_eq!(seen["data"]["viewer"]["email"], "user@acme.test", "{seen}");
        move_to(&root, &acme, isolation).await;
        // A write first, then reads, a list with loaders, and the platform's own.
        let days = 20 + i64::try_from(nth).unwrap();
        match nth % 3 {
            0 => assert_eq!(code(&user.book(&acme.service, acme.in_days(days)).await), ""),
            1 => {
                let list = admin
                    .run("{ a: bookings { nodes { service { name } customer { email } } } b: viewer { email } }")
                    .await;
                assert_eq!(list["data"]["b"]["email"], "admin@acme.test", "{list}");
            }
            _ => {
                let root = there(&root);
                let set = "mutation($id: ID!) { setFeature(input: { tenantId: $id, key: \"x\", enabled: true }) { userErrors { code } } }";
                assert_eq!(code(&root.run_with(set, json!({ "id": acme.id.to_string() })).await), "");
            }
        }
        let status = user.run("{ tenant { isolation } }").await;
        assert_eq!(status["data"]["tenant"]["isolation"], isolation.as_str());
    }
}

/// The source is kept for a day, closed to everyone, and then removed. Its mark stays for late callers.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_behind_goes_after_a_grace() {
    let app = app().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let root = app.operator().await;
    acme.booking(3).await;
    let shared = "select (select count(*) from shared.users), (select count(*) from shared.bookings), (select string_agg(coalesce(fence, '-'), ' ' order by slug) from shared.tenant_state)";
    move_to(&root, &acme, Database).await;
    assert_eq!(app.truth(shared).await, ["8 | 1 | MOVED -"]);
    app.fleet.work().await;
    assert_eq!(app.truth(shared).await, ["8 | 1 | MOVED -"], "not yet");
    let databases = format!("select count(*) from pg_database where datname like 'tenant_{}%'", acme.id.0.simple());
    assert_eq!(app.truth(&databases).await, ["1"]);
    app.clock.advance(GRACE);
    app.fleet.work().await;
    assert_eq!(app.truth(shared).await, ["4 | 0 | MOVED -"], "those of the other are still there");
    // Back again, and then elsewhere: a store in use is never removed, whatever was recorded about it before.
    move_to(&root, &acme, Shared).await;
    app.clock.advance(GRACE);
    // Connections to it stay idle for a while, then its store can be removed.
    let begin = std::time::Instant::now();
    while app.truth(&databases).await != ["0"] {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{:?}",
            app.truth("select last_error from directory.store_leftovers").await
        );
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname like";
        app.by_hand(&format!("{end} 'tenant_{}%'", acme.id.0.simple())).await;
        app.fleet.work().await;
    }
    assert_eq!(app.truth(shared).await, ["8 | 1 | - -"]);
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "");
    assert_eq!(code(&globex.user.run("{ viewer { id } }").await), "");
}

/// Removing a tenant's leftovers, and moving it back to the same place, may happen in two processes at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_under_a_tenant_that_comes_back() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    let root = app.operator().await;
    acme.booking(3).await;
    app.by_hand(&format!(
        "insert into shared.usage_events (tenant_id, id, source, event_id, meter, quantity, occurred_at, counted_at, recorded_at)
         select '{}', gen_random_uuid(), 'load', n::text, 'sms', 1, now(), now(), now() from generate_series(1, 3000) n",
        acme.id.0
    ))
    .await;
    let rows = "select (select count(*) from shared.users), (select count(*) from shared.bookings), (select count(*) from shared.usage_events where source = 'load')";
    let all = app.truth(rows).await;
    let logins =
        Logins::try_new(&app.database.url(roles::OWNER).await, &app.database.url(roles::PLATFORM).await).unwrap();
    let other = Fleet::new(app.gate.clone(), logins, app.clock.clone());
    move_to(&root, &acme, Schema).await;
    app.clock.advance(GRACE);
    // The remover has checked, begun, and is delayed half-way.
    let mut holding = app.database.connect("postgres").await;
    let held = holding.transaction().await.unwrap();
    held.execute("select from shared.usage_events where source = 'load' limit 1 for key share", &[]).await.unwrap();
    let removing = tokio::spawn(async move { other.work().await });
    let until = async |count: &str| {
        let begin = std::time::Instant::now();
        while app.truth(count).await == ["0"] {
            assert!(begin.elapsed() < Duration::from_secs(30), "nobody waits: {count}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until("select count(*) from pg_stat_activity where query like 'delete from \"usage_events\"%' and wait_event_type = 'Lock' and datname = current_database()").await;
    let asked = ask(&root, &acme, Shared).await;
    assert_eq!(code(&asked), "", "{asked}");
    let fleet = app.fleet.clone();
    let moving = tokio::spawn(async move { fleet.work().await });
    // Nobody copies to a place that is being removed: both the mover and the other remover wait.
    until("select greatest(count(*) - 1, 0) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())").await;
    held.commit().await.unwrap();
    removing.await.unwrap();
    moving.await.unwrap();
    app.fleet.work().await;
    assert_eq!(newest(&root).await["state"], "DONE");
    assert_eq!(app.truth(rows).await, all);
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "");
}

/// Eight clients write and eight read on the tenant that is moved, as many on another: in every direction every
/// acknowledged write exists afterwards, once, and no reader sees an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_under_load_loses_nothing() {
    let app = TestApp::start_with(Options {
        connections: 16,
        isolation: Shared,
        stores: StoreSettings { budget: 16, each: 12, ..StoreSettings::default() },
        ..Options::default()
    })
    .await;
    app.database.prepare_template().await;
    unlimited(&app).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let root = app.operator().await;
    // About 30,000 rows to copy.
    app.by_hand(&format!(
        "insert into shared.usage_events (tenant_id, id, source, event_id, meter, quantity, occurred_at, counted_at, recorded_at)
         select '{}', gen_random_uuid(), 'load', n::text, 'sms', 1, now(), now(), now() from generate_series(1, 30000) n",
        acme.id.0
    ))
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let (wrote, read, told_to_wait) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for (tenant, is_moved) in [(&acme, true), (&globex, false)] {
        for nth in 0..8 {
            let stopped = stop.clone();
            let (admin, stop, wrote, told) = (tenant.admin.clone(), stop.clone(), wrote.clone(), told_to_wait.clone());
            tasks.push(tokio::spawn(async move {
                let (mut acknowledged, mut count) = (Vec::new(), 0);
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    let name = format!("w{nth}-{count}");
                    let query = "mutation($name: String!) { createResource(input: { kind: ROOM, name: $name }) { resource { id } userErrors { code } } }";
                    let answer = admin.run_with(query, json!({ "name": name })).await;
                    match code(&answer) {
                        "" => {
                            wrote.fetch_add(1, Ordering::Relaxed);
                            acknowledged.push(name);
                        }
                        "UNAVAILABLE" if is_moved => drop(told.fetch_add(1, Ordering::Relaxed)),
                        _ => panic!("{answer}"),
                    }
                    tokio::time::sleep(Duration::from_millis(15)).await;
                }
                acknowledged
            }));
            let (user, slug, read) = (tenant.user.clone(), tenant.slug.clone(), read.clone());
            let stop = stopped.clone();
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = user.run("{ viewer { email } services { nodes { name } } }").await;
                    assert_eq!(answer["data"]["viewer"]["email"], format!("user@{slug}.test"), "{answer}");
                    read.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Vec::new()
            }));
        }
    }
    let mut pauses = Vec::new();
    for isolation in ROUND {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let begin = std::time::Instant::now();
        let done = move_to(&root, &acme, isolation).await;
        assert!(done["rowsTotal"].as_i64().unwrap() >= 30_000);
        // The app's clock stands still, so the whole move is timed: its pause is included.
        pauses.push(begin.elapsed().as_millis());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (nth, task) in tasks.into_iter().enumerate() {
        let acknowledged = task.await.unwrap();
        if nth < 16 { ours.extend(acknowledged) } else { theirs.extend(acknowledged) }
    }
    eprintln!(
        "writes {} reads {} told to wait {}; the moves took {pauses:?} ms",
        wrote.load(Ordering::Relaxed),
        read.load(Ordering::Relaxed),
        told_to_wait.load(Ordering::Relaxed)
    );
    for (tenant, mut acknowledged) in [(&acme, ours), (&globex, theirs)] {
        assert!(acknowledged.len() > 20, "{}", acknowledged.len());
        let client = tenant.store("postgres").await;
        let rows = client.query("select name from resources where tenant_id = $1", &[&tenant.id.0]).await.unwrap();
        let mut found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        acknowledged.sort();
        found.sort();
        // A write whose answer was lost may exist too; none exists twice, and no acknowledged one is missing.
        let mut once = found.clone();
        once.dedup();
        assert_eq!(once.len(), found.len(), "none twice");
        let missing: Vec<_> = acknowledged.iter().filter(|it| found.binary_search(it).is_err()).collect();
        assert_eq!(missing, Vec::<&String>::new(), "lost of {}", tenant.slug);
    }
}

/// A mover is cut off at many moments, as by a kill; the next one finishes, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_cut_off_anywhere_is_ended_by_the_next() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    let root = app.operator().await;
    let mut cut_off = 0;
    for (nth, isolation) in
        [Schema, Database, Shared, Database, Schema, Shared].into_iter().cycle().take(30).enumerate()
    {
        assert_eq!(code(&ask(&root, &acme, isolation).await), "");
        let before = everything(&acme).await;
        let moment = Duration::from_millis(7 * (nth as u64 % 30));
        let fleet = app.fleet.clone();
        if tokio::time::timeout(moment, async move { fleet.work().await }).await.is_err() {
            cut_off += 1;
        }
        let mut works = 0;
        while newest(&root).await["state"] != "DONE" {
            works += 1;
            assert!(works < 10, "{}", newest(&root).await);
            app.fleet.work().await;
        }
        assert_same(&everything(&acme).await, &before, "as it was");
        acme.admin.create_service(json!({ "name": format!("S{nth}") })).await;
    }
    assert!(cut_off >= 5, "{cut_off}");
    assert_eq!(app.truth("select count(*) from directory.tenants where moving_since is not null").await, ["0"]);
}

/// The program itself, killed at every step of a move and of creating a store: the next one finishes it.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step() {
    let app = app().await;
    let root = app.operator().await;
    let data_dir = server::folder();
    let urls = [
        ("DATABASE_URL", app.database.url(roles::APP).await),
        ("DATABASE_OWNER_URL", app.database.url(roles::OWNER).await),
        ("DATABASE_PLATFORM_URL", app.database.url(roles::PLATFORM).await),
    ];
    let serve = |fault: &'static str| {
        let mut environment: Vec<(&str, &str)> = urls.iter().map(|(name, url)| (*name, url.as_str())).collect();
        environment.push(("TENANTRY_FAULT", fault));
        server::Server::start_with(server::program(), data_dir.path(), &environment)
    };
    let acme = app.tenant("acme").await;
    acme.booking(3).await;
    app.mails().await; // So that the programs find nothing to do but what this is about.
    // Changes that the programs' own background work does not touch.
    let kept = async || {
        let tables = [
            "users ",
            "credentials ",
            "sessions ",
            "services ",
            "bookings ",
            "booking_claims ",
            "booking_transitions ",
        ];
        let mut all = everything(&acme).await;
        all.retain(|row| tables.iter().any(|it| row.starts_with(it)));
        all
    };
    let mut places = [Schema, Database, Shared].into_iter().cycle();
    for fault in [
        "move.preparing",
        "move.made",
        "move.fencing",
        "move.fenced",
        "move.table",
        "move.compared",
        "move.copied",
        "move.flipping",
        "move.closed",
        "move.opened",
        "move.done",
    ] {
        let before = kept().await;
        assert_eq!(code(&ask(&root, &acme, places.next().unwrap()).await), "");
        assert_eq!(serve(fault).exit_code(), None, "killed at {fault}");
        let _server = serve("");
        let begin = std::time::Instant::now();
        while newest(&root).await["state"] != "DONE" {
            assert!(begin.elapsed() < server::START_LIMIT, "{fault}: {}", newest(&root).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_same(&kept().await, &before, fault);
        assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "", "{fault}");
    }
    // A tenant that is being created: there is a complete one, or none and nothing left of its store.
    for (nth, fault) in
        ["fleet.wanted", "fleet.cloned", "fleet.made", "create.registered", "create.begun", "create.completed"]
            .into_iter()
            .enumerate()
    {
        let mut server = serve(fault);
        let signed_in = server.run("mutation { platformLogin(input: { email: \"root@example.test\", password: \"an operators long secret\" }) { session { accessToken } } }", None);
        let token = signed_in["data"]["platformLogin"]["session"]["accessToken"].as_str();
        let query = format!(
            "mutation {{ createTenant(input: {{ name: \"New\", slug: \"new-{nth}\", adminEmail: \"a@new.test\", isolation: DATABASE }}) {{ tenant {{ id }} userErrors {{ code }} }} }}"
        );
        let _ = server.try_run(&query, token);
        assert_eq!(server.exit_code(), None, "killed at {fault}");
        // As background work would, once the retention has ended.
        app.by_hand("alter table directory.tenants no force row level security; update directory.tenants set created_at = now() - interval '1 day' where state = 'CREATING'; alter table directory.tenants force row level security").await;
        app.fleet.work().await;
        app.sign_in.finish_or_abandon().await.unwrap();
        app.fleet.work().await;
        let is_whole = app.truth(&format!("select count(*) from directory.tenants where slug = 'new-{nth}' and state = 'ACTIVE' and url is not null")).await == ["1"];
        assert_eq!(is_whole, fault == "create.completed", "{fault}");
        app.gate.close_idle_stores(); // No connection to the created store remains.
        let begin = std::time::Instant::now();
        let left = "select count(*) from directory.store_leftovers where tenant_id in (select id from directory.tenants where state = 'DELETED')";
        while app.truth(left).await != ["0"] {
            assert!(
                begin.elapsed() < server::START_LIMIT,
                "{:?}",
                app.truth("select last_error from directory.store_leftovers").await
            );
            app.fleet.work().await;
        }
        let stores = app
            .truth("select count(*) from pg_database d join directory.tenants t on d.datname like 'tenant_' || replace(t.id::text, '-', '') || '%' where t.state = 'DELETED'")
            .await;
        assert_eq!(stores, ["0"], "{fault}: no store that nobody knows of");
        assert_eq!(
            app.truth("select count(*) from directory.tenants where state = 'CREATING'").await,
            ["0"],
            "{fault}"
        );
    }
}

/// A tenant created in its own store is available at once.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_made_in_stores_of_their_own() {
    let app = app().await;
    let root = app.operator().await;
    let fleet = app.fleet.clone().start(app.stop.subscribe());
    for isolation in ["SCHEMA", "DATABASE", "SHARED"] {
        let slug = isolation.to_lowercase();
        let query = "mutation($input: CreateTenantInput!) { createTenant(input: $input) { tenant { slug isolation status } userErrors { code field } } }";
        let email = format!("boss@{slug}.test");
        let input = json!({ "name": slug, "slug": slug, "adminEmail": email, "isolation": isolation });
        let made = root.run_with(query, json!({ "input": input })).await;
        let expected = json!({ "slug": slug, "isolation": isolation, "status": "ACTIVE" });
        assert_eq!(made["data"]["createTenant"]["tenant"], expected, "{made}");
        // Its first administrator joins by the mail, as in any other.
        let token = app.mail_to(&email).await.token();
        let accept = "mutation($input: AcceptInvitationInput!) { acceptInvitation(input: $input) {
            user { role tenant { slug isolation } } userErrors { code } } }";
        let input = json!({ "token": token, "name": "Boss", "password": PASSWORD });
        let joined = app.anonymous().run_with(accept, json!({ "input": input })).await;
        let tenant = json!({ "slug": slug, "isolation": isolation });
        assert_eq!(
            joined["data"]["acceptInvitation"]["user"],
            json!({ "role": "ADMIN", "tenant": tenant }),
            "{joined}"
        );
    }
    let bad = json!({ "name": "x", "slug": "bad", "adminEmail": "a@b.test", "isolation": "DATABASE", "url": "postgresql://evil.example:1" });
    let query = "mutation($input: CreateTenantInput!) { createTenant(input: $input) { userErrors { code field } } }";
    let refused = root.run_with(query, json!({ "input": bad })).await;
    assert_eq!(refused["data"]["createTenant"]["userErrors"], json!([{ "code": "INVALID", "field": ["url"] }]));
    app.stop.send_replace(Some("the test is over".into()));
    fleet.await.unwrap();
}

/// A store whose server is gone gives its tenant a quick error, and affects nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_costs_its_tenant_alone() {
    let app = app().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let root = app.operator().await;
    move_to(&root, &acme, Database).await;
    // A port without a listener, one that never answers, and a database that was dropped.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let place = app.truth("select url from directory.tenants where slug = 'acme'").await.remove(0);
    for url in [
        format!("postgresql://127.0.0.1:{closed}/x?schema=tenant"),
        format!("postgresql://127.0.0.1:{}/x?schema=tenant", silent.local_addr().unwrap().port()),
        "postgresql:///tenant_that_never_was?schema=tenant".into(),
        "postgresql:///?schema=schema_that_never_was".into(),
    ] {
        app.by_hand(&format!("update directory.tenants set url = '{url}' where slug = 'acme'")).await;
        // A process that has never seen the tenant.
        let options = Options { isolation: Shared, wait: Duration::from_secs(5), ..Options::default() };
        let fresh = TestApp::on(app.database.clone(), options).await;
        let there = |person: &Person| Person { app: fresh.clone(), ..person.clone() };
        let (ours, theirs) = (there(&acme.user), there(&globex.user));
        let flood: Vec<_> = (0..40)
            .map(|_| {
                let ours = ours.clone();
                tokio::spawn(async move { code(&ours.run("{ viewer { id } }").await).to_owned() })
            })
            .collect();
        for _ in 0..20 {
            assert_eq!(code(&theirs.run("{ viewer { id } }").await), "", "{url}");
        }
        for it in flood {
            assert_eq!(it.await.unwrap(), "UNAVAILABLE", "{url}");
        }
    }
    app.by_hand(&format!("update directory.tenants set url = '{place}' where slug = 'acme'")).await;
    let fresh = TestApp::on(app.database.clone(), Options { isolation: Shared, ..Options::default() }).await;
    let ours = Person { app: fresh, ..acme.user.clone() };
    assert_eq!(code(&ours.run("{ viewer { id } }").await), "");
}

/// A server that falls silent in the middle of a statement is waited for as long as a statement may take; then its
/// connection's place in the budget is free for others, although that server never closed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_holds_no_place() {
    let options = || Options {
        isolation: Shared,
        stores: StoreSettings { budget: 1, each: 1, ..StoreSettings::default() },
        statement: Duration::from_secs(3),
        wait: Duration::from_secs(30),
        ..Options::default()
    };
    let app = app().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let root = app.operator().await;
    move_to(&root, &acme, Database).await;
    move_to(&root, &globex, Schema).await;
    let relay = acme.put_behind_relay().await;
    let other = TestApp::on(app.database.clone(), options()).await;
    let sql = "-- test.slug\n select slug from tenant_state where tenant_id = $1";
    let ask = |tenant| other.gate.tenant(Scope::worker(tenant), Access::Read);
    let tx = ask(acme.id);
    tx.query(sql, &[&acme.id]).await.unwrap();
    relay.speak(false);
    let refused = tx.query(sql, &[&acme.id]).await.unwrap_err();
    assert!(matches!(refused, tenantry::db::DbError::Unavailable(_)), "{refused}");
    drop(tx);
    // The only place there is.
    assert_eq!(ask(globex.id).query(sql, &[&globex.id]).await.unwrap().len(), 1);
    relay.speak(true);
    let begin = std::time::Instant::now();
    while ask(acme.id).query(sql, &[&acme.id]).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(30), "its server speaks again, and is not asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// However many callers use a silent server, part of the budget stays available to tenants elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_does_not_take_the_whole_budget() {
    let app = app().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let root = app.operator().await;
    move_to(&root, &acme, Database).await;
    move_to(&root, &globex, Schema).await;
    let relay = acme.put_behind_relay().await;
    let options = Options {
        isolation: Shared,
        stores: StoreSettings { budget: 4, each: 4, ..StoreSettings::default() },
        // Callers waiting for its answer would wait longer than for a place.
        statement: Duration::from_secs(60),
        ..Options::default()
    };
    let other = TestApp::on(app.database.clone(), options).await;
    let sql = "-- test.slug\n select slug from tenant_state where tenant_id = $1";
    let ask = |tenant| other.gate.tenant(Scope::worker(tenant), Access::Read);
    let flood = |sql: &'static str| -> Vec<_> {
        let ask = |_| {
            let (tx, id) = (ask(acme.id), acme.id);
            tokio::spawn(async move { tx.query(sql, &[&id]).await.is_ok() })
        };
        (0..8).map(ask).collect()
    };
    // As many connections as it may have, which are idle then.
    for it in flood("-- test.sleep\n select pg_sleep(0.2) from tenant_state where tenant_id = $1") {
        assert!(it.await.unwrap());
    }
    while other.gate.pools()[2].1.idle < other.gate.pools()[2].1.open {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    relay.speak(false);
    let flood = flood(sql);
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..3 {
        let rows = ask(globex.id).query(sql, &[&globex.id]).await;
        assert_eq!(rows.unwrap().len(), 1);
    }
    for it in flood {
        it.abort();
    }
}

/// A connection that its server has closed frees no place: its place was free already, and a waiter gets another's.
#[tokio::test(flavor = "multi_thread")]
async fn the_dead_make_no_room() {
    let stores = StoreSettings { budget: 2, each: 1, ..StoreSettings::default() };
    let options = Options { isolation: Schema, stores, wait: Duration::from_secs(5), ..Options::default() };
    let app = TestApp::start_with(options).await;
    let mut tenants = Vec::new();
    for nth in 0..6 {
        tenants.push(app.bare(&format!("tenant-{nth}")).await);
    }
    let ask = async |tenant| {
        let tx = app.gate.tenant(Scope::worker(tenant), Access::Read);
        let sql = "-- test.pid\n select pg_backend_pid() from tenant_state where tenant_id = $1";
        let pid: i32 = tx.query(sql, &[&tenant]).await.unwrap()[0].get(0);
        tx.end_read();
        pid
    };
    for pair in tenants[..4].chunks(2) {
        for tenant in pair {
            let pid = ask(*tenant).await;
            app.by_hand(&format!("select pg_terminate_backend({pid})")).await;
        }
        while app.gate.pools()[2].1.open > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // Four that are dead, two places, and more callers than places.
    for _ in 0..3 {
        for tenant in &tenants[2..] {
            ask(*tenant).await;
        }
    }
}

/// Two hundred databases, 64 clients and 40 connections: nobody is refused, the budget holds, and nothing of it remains
/// in use once there are no requests.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_databases_within_a_budget() {
    const DATABASES: usize = 200;
    let idle = Duration::from_secs(1);
    let stores = StoreSettings { budget: 40, each: 4, idle, ..StoreSettings::default() };
    let app = TestApp::start_with(Options { isolation: Database, stores, ..Options::default() }).await;
    let mut tenants = Vec::new();
    for nth in 0..DATABASES {
        tenants.push(app.bare(&format!("tenant-{nth}")).await);
    }
    let tenants = Arc::new(tenants);
    let watched = app.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let count = "select count(*) from pg_stat_activity where datname like 'tenant_%' and usename = 'tenantry_app'";
    let watching = tokio::spawn(async move {
        let client = watched.database.connect("postgres").await;
        let (mut most, mut most_at_server) = (0, 0);
        while !stopped.load(Ordering::Relaxed) {
            most = most.max(watched.gate.pools()[2].1.open);
            most_at_server = most_at_server.max(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        (most, most_at_server)
    });
    let clients: Vec<_> = (0..64_usize)
        .map(|client| {
            let (app, tenants) = (app.clone(), tenants.clone());
            tokio::spawn(async move {
                for turn in 0..40_usize {
                    // Some are used often, most rarely.
                    let spread = (client * 7919 + turn * 104_729) % 10_007;
                    let tenant = tenants[(spread * spread / 10_007) * DATABASES / 10_007];
                    let tx = app.gate.tenant(Scope::worker(tenant), Access::Read);
                    let sql = "-- test.slug\n select slug, pg_backend_pid() from tenant_state where tenant_id = $1";
                    let found = tx.query(sql, &[&tenant]).await.unwrap();
                    assert_eq!(found.len(), 1);
                    tx.end_read();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let (most, most_at_server) = watching.await.unwrap();
    assert!(most > 10, "{most} connections");
    // The server counts a connection until its process has ended, which on a busy machine may be after the next one has
    // begun.
    assert!(most_at_server <= 44, "{most_at_server} at the server");
    let begin = std::time::Instant::now();
    while app.truth(count).await != ["0"] {
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?} are left", app.truth(count).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A connection in use is not closed for another caller, however many wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_is_never_closed() {
    let stores = StoreSettings { budget: 1, each: 1, ..StoreSettings::default() };
    let options = Options { isolation: Schema, stores, wait: Duration::from_millis(500), ..Options::default() };
    let app = TestApp::start_with(options).await;
    let (one, two) = (app.bare("one").await, app.bare("two").await);
    let ask = |tenant| app.gate.tenant(Scope::worker(tenant), Access::Read);
    let sql = "-- test.slug\n select slug from tenant_state where tenant_id = $1";
    let held = ask(one);
    held.query(sql, &[&one]).await.unwrap();
    let refused = ask(two).query(sql, &[&two]).await.unwrap_err();
    assert!(matches!(refused, tenantry::db::DbError::Unavailable(_)), "{refused}");
    assert_eq!(held.query(sql, &[&one]).await.unwrap().len(), 1, "it goes on");
    held.end_read();
    drop(held);
    // Its connection is idle now, and makes room at once.
    tokio::time::sleep(Duration::from_secs(1)).await; // The other store counts as unreachable for a second.
    assert_eq!(ask(two).query(sql, &[&two]).await.unwrap().len(), 1);
    assert_eq!(ask(one).query(sql, &[&one]).await.unwrap().len(), 1);
}

/// A process's placement cache equals the directory, and a second fleet finds nothing left to do.
#[tokio::test(flavor = "multi_thread")]
async fn placements_are_what_the_directory_says() {
    let app = app().await;
    let acme = app.tenant("acme").await;
    let root = app.operator().await;
    assert_eq!(app.gate.placement(acme.id).await.unwrap(), Placement::Shared);
    let done = move_to(&root, &acme, Schema).await;
    acme.user.run("{ viewer { id } }").await;
    let placement = app.gate.placement(acme.id).await.unwrap();
    assert_eq!(placement.isolation(), Schema);
    assert_eq!(placement.url(), Some(app.truth("select url from directory.tenants").await.remove(0)));
    let logins =
        Logins::try_new(&app.database.url(roles::OWNER).await, &app.database.url(roles::PLATFORM).await).unwrap();
    Fleet::new(app.gate.clone(), logins, app.clock.clone()).work().await;
    assert_eq!(newest(&root).await, done);
}
