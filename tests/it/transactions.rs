//! The transaction of a request: its guarantees, whatever goes wrong.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use serde_json::json;
use tenantry::{
    core::identity::Viewer,
    db::{Access, DbError, Scope, ScopedTx},
};
use tower::ServiceExt;

use crate::support::{Options, TestApp, code};

const COUNT_SERVICES: &str = "-- test.count_services
    select count(*) from services where tenant_id = $1";
const SLEEP: &str = "-- test.sleep
    select pg_sleep(0.5)";
const RENAME: &str = "-- test.rename
    update services set name = 'Abandoned' where tenant_id = $1 returning true";
const BROKEN: &str = "-- test.broken
    select 1 / 0";
const BACKEND: &str = "-- test.backend
    select pg_backend_pid()";

async fn count(tx: &ScopedTx) -> i64 {
    tx.query_one(COUNT_SERVICES, &[&tx.tenant()]).await.unwrap().get(0)
}

fn one_connection() -> Options {
    Options { connections: 1, wait: Duration::from_millis(800), ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_touches_no_data_takes_no_connection() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let before = app.gate.stats().transactions.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(acme.user.run("{ __typename }").await["data"]["__typename"], "Query");
    assert_eq!(app.gate.stats().transactions.load(std::sync::atomic::Ordering::Relaxed), before);
}

/// docs/decisions/0007: an abandoned transaction must not be committed by the next user of its connection.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_write_is_gone_before_its_connection_comes_back() {
    let app = TestApp::start_with(one_connection()).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    for _ in 0..20 {
        let tx = app.gate.tenant(acme.admin.viewer.scope(), Access::Write);
        tx.query(RENAME, &[&tx.tenant()]).await.unwrap();
        drop(tx);
        // The same and only connection, in another tenant's scope, committed.
        let next = app.gate.tenant(globex.admin.viewer.scope(), Access::Write);
        assert_eq!(count(&next).await, 1);
        next.commit().await.unwrap();
    }
    assert_eq!(app.truth("select count(*) from shared.services where name = 'Abandoned'").await, ["0"]);
}

/// docs/decisions/0007, in the middle of a statement: the connection is drained or closed, never handed on busy.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_dropped_in_flight_harms_nobody() {
    let app = TestApp::start_with(one_connection()).await;
    let acme = app.tenant("acme").await;
    for _ in 0..3 {
        let tx = app.gate.tenant(acme.admin.viewer.scope(), Access::Write);
        tx.query(RENAME, &[&tx.tenant()]).await.unwrap();
        let cut_off = tokio::time::timeout(Duration::from_millis(50), tx.query(SLEEP, &[])).await;
        assert!(cut_off.is_err());
        drop(tx);
        let next = app.gate.tenant(acme.user.viewer.scope(), Access::Read);
        assert_eq!(count(&next).await, 1);
        next.end_read();
    }
    assert_eq!(app.truth("select count(*) from shared.services where name = 'Abandoned'").await, ["0"]);
}

/// docs/decisions/0007 through HTTP: a client that hangs up in the middle of a mutation, with a pool of one connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_leaves_a_whole_mutation_and_a_clean_connection() {
    let app = TestApp::start_with(one_connection()).await;
    let acme = app.tenant("acme").await;
    for round in 0..10 {
        let query = "mutation($id: ID!, $name: String!) {
            updateService(input: { id: $id, name: $name }) { service { name } userErrors { code } } }";
        let body = json!({ "query": query, "variables": { "id": acme.service, "name": format!("Round {round}") } });
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", acme.admin.token.as_ref().unwrap()))
            .body(Body::from(body.to_string()))
            .unwrap();
        // Dropped after a moment: a different one in each round.
        let response = app.router.clone().oneshot(request);
        let _ = tokio::time::timeout(Duration::from_micros(300 * round), response).await;
        let services = acme.user.run("{ services { nodes { name } } }").await;
        assert_eq!(services["data"]["services"]["nodes"].as_array().map(Vec::len), Some(1), "{services}");
    }
    // Every transaction was completed, with its audit event, or never begun: the events are a chain of names without a
    // gap, from the first name to the current one.
    let log = "select changes -> 'name' ->> 'from', changes -> 'name' ->> 'to' from shared.audit_events where action = 'services.update' order by seq";
    let mut name = "Haircut".to_owned();
    for step in app.truth(log).await {
        let (from, to) = step.split_once(" | ").unwrap();
        assert_eq!(from, name);
        name = to.to_owned();
    }
    assert_eq!(app.truth("select name from shared.services").await, [name.clone()]);
    assert_ne!(name, "Haircut", "no round was long enough to do anything");
}

/// A read-only transaction leaves its commit to the next caller waiting for its connection, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_from_hand_to_hand_and_nothing_with_it() {
    const WHO: &str = "-- test.who
        select current_setting('app.tenant_id') || current_setting('app.user_id') || current_setting('app.role'),
               current_setting('transaction_read_only') = 'on', (select count(*) from services)";
    let app = TestApp::start_with(Options { wait: Duration::from_secs(60), ..one_connection() }).await;
    let app = Arc::new(app);
    let tenants = [app.tenant("acme").await, app.tenant("globex").await];
    let people: Vec<_> = tenants.iter().flat_map(|it| [it.admin.viewer, it.user.viewer]).collect();
    let tasks: Vec<_> = (0..120)
        .map(|number| {
            let (app, viewer) = (app.clone(), people[number % people.len()]);
            // Every fifth writes, every seventh fails, and some of the others are dropped before they have their
            // answer.
            let access = if number % 5 == 0 { Access::Write } else { Access::Read };
            tokio::spawn(async move {
                let tx = app.gate.tenant(viewer.scope(), access);
                if number % 2 == 0 {
                    // For every seventh this is not true.
                    tx.expect_one_statement();
                }
                if number % 11 == 0 {
                    let _ = tokio::time::timeout(Duration::from_micros(700 * number as u64), count(&tx)).await;
                    return;
                }
                let row = tx.query_one(WHO, &[]).await.unwrap();
                let expected = format!("{}{}{}", viewer.tenant.0, viewer.user.0, viewer.role.as_str());
                assert_eq!(row.get::<_, String>(0), expected);
                assert_eq!((row.get::<_, bool>(1), row.get::<_, i64>(2)), (access == Access::Read, 1));
                if number % 7 == 0 {
                    assert!(tx.query(BROKEN, &[]).await.is_err());
                }
                match access {
                    Access::Write if number % 7 != 0 => {
                        tx.query(RENAME, &[&tx.tenant()]).await.unwrap();
                        // The policy gives customers no row that could be renamed.
                        tx.commit().await.unwrap();
                    }
                    Access::Write => assert!(tx.commit().await.is_err()),
                    Access::Read => tx.end_read(),
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let handed_on = app.gate.stats().handed_on.load(std::sync::atomic::Ordering::Relaxed);
    assert!(handed_on > 20, "{handed_on}");
    assert_eq!(app.truth("select count(*) from shared.services where name = 'Abandoned'").await, ["2"]);
    assert!(nobody_is_left_in_a_transaction(&app).await);
}

/// The scope that a statement runs in.
const SCOPE: &str = "-- test.scope
    select current_setting('app.tenant_id') || current_setting('app.role')";

async fn is_in_its_own_scope(tx: &ScopedTx) -> bool {
    let scope: String = tx.query_one(SCOPE, &[]).await.unwrap().get(0);
    scope == format!("{}{}", tx.tenant().0, tx.scope().role().as_str())
}

/// Waits until this many callers wait for a connection.
async fn until_so_many_wait(app: &TestApp, many: usize) {
    while app.gate.pools()[1].1.waiting < many {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A transaction, and its first statement.
type Asked = (Arc<ScopedTx>, tokio::task::JoinHandle<Result<(), DbError>>);

/// One connection, held by a first tenant, and for each other tenant a transaction with a statement that waits for it,
/// in this order.
struct Chain {
    app: Arc<TestApp>,
    holder: ScopedTx,
    waiting: Vec<Asked>,
}

impl Chain {
    async fn of(waiting: &[(Access, &'static str)]) -> Self {
        let app = Arc::new(TestApp::start_with(Options { wait: Duration::from_secs(60), ..one_connection() }).await);
        // Each from its own tenant, or else it would wait for its tenant's share.
        let mut tenants = Vec::new();
        for number in 0..waiting.len() {
            tenants.push(app.tenant(&format!("tenant-{number}")).await);
        }
        let scope = app.tenant("acme").await.admin.viewer.scope();
        for (_, statement) in waiting {
            // Once prepared on the connection, it is sent without another round trip.
            let tx = app.gate.tenant(scope, Access::Read);
            let _ = tx.execute(statement, &[]).await;
            tx.end_read();
        }
        let holder = app.gate.tenant(scope, Access::Read);
        count(&holder).await;
        let mut chain = Self { app, holder, waiting: Vec::new() };
        for (number, (access, statement)) in waiting.iter().enumerate() {
            let tx = Arc::new(chain.app.gate.tenant(tenants[number].admin.viewer.scope(), *access));
            tx.expect_one_statement();
            let (asked, statement) = (tx.clone(), *statement);
            let task = tokio::spawn(async move { asked.execute(statement, &[]).await });
            until_so_many_wait(&chain.app, number + 1).await;
            chain.waiting.push((tx, task));
        }
        chain
    }

    fn chained(&self) -> u64 {
        self.app.gate.stats().chained.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A single read is sent together with the next ones, each in its own transaction; a failure affects only its own.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_once_is_not_waited_for() {
    let read = |statement| (Access::Read, statement);
    let mut chain = Chain::of(&[read(SLEEP), read(BROKEN), read(SCOPE), read(SCOPE), read(SCOPE), read(SCOPE)]).await;
    chain.holder.end_read();
    // Four are queued on the connection at once; the fifth waits for the fourth one's answer.
    let (mut now, mut most) = (chain.chained(), 0);
    while !chain.waiting[0].1.is_finished() {
        most = now;
        now = chain.chained();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(most, 3);
    let asked = std::mem::take(&mut chain.waiting).into_iter().enumerate().map(|(number, (tx, task))| async move {
        assert_eq!(task.await.unwrap().is_err(), number == 1);
        // An unexpected second statement runs in its own transaction, in the same scope.
        assert!(is_in_its_own_scope(&tx).await);
        tx.end_read();
        assert_eq!(tx.statements(), 2);
    });
    futures_util::future::join_all(asked).await;
    assert!(nobody_is_left_in_a_transaction(&chain.app).await);
}

/// Nothing more is sent on a connection that was handed on: neither another statement nor the end of a dropped
/// transaction.
#[tokio::test(flavor = "multi_thread")]
async fn who_handed_a_connection_on_leaves_it_alone() {
    for is_dropped in [true, false] {
        let mut chain = Chain::of(&[(Access::Read, SLEEP), (Access::Write, SCOPE)]).await;
        chain.holder.end_read();
        let [(first, first_task), (second, second_task)] = std::mem::take(&mut chain.waiting).try_into().ok().unwrap();
        while chain.chained() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let again = if is_dropped {
            first_task.abort();
            assert!(first_task.await.unwrap_err().is_cancelled());
            drop(first);
            None
        } else {
            first_task.await.unwrap().unwrap();
            // Waits for a connection, which is the second one's.
            Some(tokio::spawn(async move { is_in_its_own_scope(&first).await }))
        };
        second_task.await.unwrap().unwrap();
        second.query(RENAME, &[&second.tenant()]).await.unwrap();
        assert!(again.as_ref().is_none_or(|it| !it.is_finished()));
        second.commit().await.unwrap();
        drop(second);
        assert_eq!(chain.app.truth("select count(*) from shared.services where name = 'Abandoned'").await, ["1"]);
        if let Some(again) = again {
            assert!(again.await.unwrap());
        }
        assert!(nobody_is_left_in_a_transaction(&chain.app).await);
    }
}

/// Statements that were requested together with the one that hands the connection on are sent elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_together_is_not_sent_on_anothers_connection() {
    // None was prepared before, so each is prepared before it is sent, while those after it wait.
    const OTHERS: [&str; 2] = [
        "-- test.second
            select current_setting('app.tenant_id') || current_setting('app.role')",
        "-- test.third
            select current_setting('app.tenant_id') || current_setting('app.role')",
    ];
    let app = Arc::new(TestApp::start_with(Options { wait: Duration::from_secs(60), ..one_connection() }).await);
    let (acme, globex, initech) = (app.tenant("acme").await, app.tenant("globex").await, app.tenant("initech").await);
    let holder = app.gate.tenant(acme.admin.viewer.scope(), Access::Read);
    count(&holder).await;
    let waits = |viewer: Viewer, access, others: &'static [&'static str]| {
        let app = app.clone();
        tokio::spawn(async move {
            let tx = app.gate.tenant(viewer.scope(), access);
            tx.expect_one_statement();
            let own = format!("{}{}", viewer.tenant.0, viewer.role.as_str());
            let others = others.iter().map(|sql| tx.query_one(sql, &[]));
            let (first, others) = futures_util::join!(is_in_its_own_scope(&tx), futures_util::future::join_all(others));
            assert!(first && others.into_iter().all(|it| it.unwrap().get::<_, String>(0) == own));
            if access == Access::Write {
                tx.commit().await.unwrap();
            }
            tx.end_read();
        })
    };
    let first = waits(globex.admin.viewer, Access::Read, &OTHERS);
    until_so_many_wait(&app, 1).await;
    let second = waits(initech.admin.viewer, Access::Write, &[]);
    until_so_many_wait(&app, 2).await;
    holder.end_read();
    first.await.unwrap();
    second.await.unwrap();
    assert!(app.gate.stats().chained.load(std::sync::atomic::Ordering::Relaxed) > 0);
}

/// A queued transaction that is dropped is cancelled at the server once the one before has its answer, and not earlier.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_hits_nobody_who_stands_before() {
    const SLEEP_TO_WRITE: &str = "-- test.sleep_to_write
        select pg_sleep(case current_setting('transaction_read_only') when 'off' then 60 else 0 end)";
    let mut chain = Chain::of(&[(Access::Read, SLEEP), (Access::Write, SLEEP_TO_WRITE)]).await;
    chain.holder.end_read();
    let [(_first, first_task), (second, second_task)] = std::mem::take(&mut chain.waiting).try_into().ok().unwrap();
    while chain.chained() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    second_task.abort();
    assert!(second_task.await.unwrap_err().is_cancelled());
    drop(second);
    first_task.await.unwrap().unwrap();
    let sleeping = "select count(*) from pg_stat_activity where query like '%test.sleep_to_write%' and state = 'active' and pid <> pg_backend_pid()";
    for expected in ["1", "0"] {
        let mut looks = 0;
        while chain.app.truth(sleeping).await != [expected] {
            // Soon: long before the server ends it by itself.
            looks += 1;
            assert!(looks < 200, "{expected}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let after = chain.app.gate.tenant(*chain.holder.scope(), Access::Read);
    assert!(is_in_its_own_scope(&after).await);
    after.end_read();
}

/// Through HTTP: a document that took one statement to look one object up by its id is expected to do so again.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_hands_its_connection_on_at_once() {
    const BY_ID: &str = "query($id: ID!) { service(id: $id) { id name } }";
    let options = Options { connections: 2, wait: Duration::from_secs(60), ..Options::default() };
    let app = Arc::new(TestApp::start_with(options).await);
    let tenants = [app.tenant("acme").await, app.tenant("globex").await, app.tenant("initech").await];
    for _ in 0..2 {
        let asked: Vec<_> = (0..60)
            .map(|number| {
                let (asks, other) = (&tenants[number % 3], &tenants[(number + 1) % 3]);
                // Every fourth asks for another tenant's.
                let id = if number % 4 == 0 { &other.service } else { &asks.service };
                let (id, person, is_own) = (id.clone(), asks.user.clone(), number % 4 != 0);
                tokio::spawn(async move {
                    let answer = person.run_with(BY_ID, json!({ "id": id })).await;
                    let found = &answer["data"]["service"]["id"];
                    assert_eq!(found, &if is_own { json!(id) } else { json!(null) }, "{answer}");
                })
            })
            .collect();
        for task in asked {
            task.await.unwrap();
        }
    }
    assert!(app.gate.stats().chained.load(std::sync::atomic::Ordering::Relaxed) > 0);
    assert!(nobody_is_left_in_a_transaction(&app).await);
}

/// A caller that is about to get a connection may be dropped at any moment.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_to_nobody_is_committed() {
    let app = TestApp::start_with(Options { wait: Duration::from_secs(60), ..one_connection() }).await;
    // From another tenant, or else it would wait for its tenant's share.
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    for has_gone_before in [true, false] {
        let holder = app.gate.tenant(acme.admin.viewer.scope(), Access::Read);
        assert_eq!(count(&holder).await, 1);
        let next = app.gate.tenant(globex.user.viewer.scope(), Access::Read);
        let mut waiting = Box::pin(count(&next));
        // It takes some turns until it waits for the connection itself.
        while app.gate.pools()[1].1.waiting == 0 {
            assert!(tokio::time::timeout(Duration::from_millis(20), &mut waiting).await.is_err());
        }
        if has_gone_before {
            drop(waiting);
            holder.end_read();
        } else {
            holder.end_read(); // Handed on, to a caller that is no longer there.
            drop(waiting);
        }
        assert!(nobody_is_left_in_a_transaction(&app).await);
        let after = app.gate.tenant(acme.user.viewer.scope(), Access::Read);
        assert_eq!(count(&after).await, 1);
        after.end_read();
    }
}

async fn nobody_is_left_in_a_transaction(app: &TestApp) -> bool {
    for _ in 0..500 {
        let left = "select count(*) from pg_stat_activity
                     where datname = current_database() and usename = 'tenantry_app' and xact_start is not null";
        if app.truth(left).await == ["0"] {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// docs/decisions/0006: PostgreSQL answers the commit of an aborted transaction with success.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_a_failed_transaction_is_reported_as_failed() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let tx = app.gate.tenant(acme.admin.viewer.scope(), Access::Write);
    tx.query(RENAME, &[&tx.tenant()]).await.unwrap();
    assert!(matches!(tx.query(BROKEN, &[]).await, Err(DbError::Other(_))));
    assert!(matches!(tx.commit().await, Err(DbError::Other(_)))); // with the cause
    assert_eq!(app.truth("select name from shared.services").await, ["Haircut"]);

    // Also when nobody waited for the failure.
    let tx = app.gate.tenant(acme.admin.viewer.scope(), Access::Write);
    tx.query(RENAME, &[&tx.tenant()]).await.unwrap();
    let _ = tokio::time::timeout(Duration::from_millis(20), tx.query(SLEEP, &[])).await;
    assert!(matches!(tx.commit().await, Err(DbError::NotCommitted)));
    assert_eq!(app.truth("select name from shared.services").await, ["Haircut"]);
}

/// Of concurrent statements, all report the cause, and not that "the transaction is aborted".
#[tokio::test(flavor = "multi_thread")]
async fn the_cause_is_told_by_whoever_is_asked() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for _ in 0..20 {
        let tx = app.gate.tenant(acme.admin.viewer.scope(), Access::Write);
        let params: [tenantry::db::Param<'_>; 1] = [&tx.tenant()];
        let nul: [tenantry::db::Param<'_>; 1] = [&"\0"];
        let text = "-- test.text
            select $1::text";
        tx.query(text, &[&"prepared"]).await.unwrap();
        let (after, failing) = futures_util::join!(
            async {
                tokio::task::yield_now().await;
                tx.query(COUNT_SERVICES, &params).await
            },
            tx.query(text, &nul)
        );
        assert!(matches!(failing, Err(DbError::InvalidValue)), "{failing:?}");
        assert!(matches!(after, Ok(_) | Err(DbError::InvalidValue)), "{after:?}");
    }
}

/// A savepoint for each root field: a failing field leaves the others intact.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_field_leaves_the_others_whole() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    // The second takes the first's name; the update's violation is raised by PostgreSQL and aborts without a savepoint.
    let answer = acme
        .admin
        .run_with(
            "mutation($id: ID!) {
               first: createService(input: { name: \"A\", durationMinutes: 5, price: { amount: \"1\", currency: EUR } }) { service { name } userErrors { code } }
               second: updateService(input: { id: $id, name: \"A\" }) { service { name } userErrors { code } }
               third: createService(input: { name: \"B\", durationMinutes: 5, price: { amount: \"1\", currency: EUR } }) { service { name } userErrors { code } }
             }"
            .replace("currency: EUR", "currency: \"EUR\"")
            .as_str(),
            json!({ "id": acme.service }),
        )
        .await;
    assert_eq!(answer["data"]["first"]["service"]["name"], "A", "{answer}");
    assert_eq!(answer["data"]["second"]["userErrors"][0]["code"], "NAME_TAKEN", "{answer}");
    assert_eq!(answer["data"]["third"]["service"]["name"], "B", "{answer}");
    assert_eq!(app.truth("select name from shared.services order by name").await, ["A", "B", "Haircut"]);
}

/// Anything a rule has written before it refused is undone.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_field_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.booking(3).await;
    let refused = acme.other.book(&acme.service, acme.in_days(3)).await;
    assert_eq!(code(&refused), "SLOT_TAKEN");
    // The counter was raised before the slot was found taken.
    assert_eq!(app.truth("select used from shared.usage_counters").await, ["1"]);
    assert_eq!(app.truth("select count(*) from shared.audit_events where action = 'bookings.create'").await, ["1"]);
}

/// docs/decisions/0008: an exhausted pool answers in bounded time, with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_is_unavailable_soon_and_for_nobody_for_long() {
    let app = TestApp::start_with(one_connection()).await;
    let acme = app.tenant("acme").await;
    let hog = app.gate.tenant(acme.admin.viewer.scope(), Access::Read);
    count(&hog).await;
    let answer = acme.user.run("{ viewer { name } tenant { name } services { nodes { id } } }").await;
    assert_eq!(code(&answer), "UNAVAILABLE", "{answer}");
    assert!(answer["errors"][0]["extensions"]["retryAfter"].as_i64().is_some());
    hog.end_read();
    drop(hog);
    assert_eq!(code(&acme.user.run("{ viewer { name } }").await), "");
}

/// docs/decisions/0008: a statement does not outlive its request for long.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_statement_is_cancelled_at_the_server() {
    let app = TestApp::start_with(one_connection()).await;
    let acme = app.tenant("acme").await;
    let tx = app.gate.tenant(acme.admin.viewer.scope(), Access::Read);
    let backend: i32 = tx.query_one(BACKEND, &[]).await.unwrap().get(0);
    let long = "-- test.long
        select pg_sleep(60)";
    let _ = tokio::time::timeout(Duration::from_millis(50), tx.query(long, &[])).await;
    drop(tx);
    let still_there = format!(
        "select count(*) from pg_stat_activity where pid = {backend} and query like '%pg_sleep(60)%' and state = 'active'"
    );
    for _ in 0..100 {
        if app.truth(&still_there).await == ["0"] {
            let next = app.gate.tenant(acme.admin.viewer.scope(), Access::Read);
            // Closed, not reused: a late cancel would hit the next statement on it.
            assert_ne!(next.query_one(BACKEND, &[]).await.unwrap().get::<_, i32>(0), backend);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the statement still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_role_has_time_limits_of_its_own() {
    // As the bootstrap sets it; other tests' databases have longer limits.
    let database = crate::support::TestDatabase::create_empty().await;
    let settings = database.connect("tenantry_app").await;
    for (name, value) in
        [("statement_timeout", "10s"), ("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "30s")]
    {
        let row = settings.query_one("select current_setting($1)", &[&name]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), value, "{name}");
    }
}

/// A request that runs past its deadline is answered and leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_past_its_deadline_is_a_timeout_and_undone() {
    let app = TestApp::start_with(Options { deadline: Duration::from_millis(300), ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let locked = app.database.connect("postgres").await;
    locked.batch_execute("begin; select * from shared.services for update").await.unwrap();
    let answer = acme
        .admin
        .run_with(
            "mutation($id: ID!) { updateService(input: { id: $id, name: \"Late\" }) { service { name } } }",
            json!({ "id": acme.service }),
        )
        .await;
    assert_eq!(code(&answer), "TIMEOUT", "{answer}");
    locked.batch_execute("rollback").await.unwrap();
    assert_eq!(app.truth("select name from shared.services").await, ["Haircut"]);
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "");
}

/// docs/decisions/0009: after a transaction its settings read '' instead of null, and that must mean no rows, not an
/// error.
#[tokio::test(flavor = "multi_thread")]
async fn no_scope_means_no_rows() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let client = app.database.connect("tenantry_app").await;
    let tables = ["tenant_state", "users", "credentials", "sessions", "services", "bookings", "audit_events", "outbox"];
    for table in tables {
        let rows = client.query(&format!("select 1 from shared.{table}"), &[]).await.unwrap();
        assert!(rows.is_empty(), "{table} before any scope");
    }
    client.batch_execute("begin; set search_path = shared").await.unwrap();
    client
        .query("select enter($1, $2, 'ADMIN', $3, false)", &[&acme.id, &acme.admin.id, &acme.admin.viewer.session])
        .await
        .unwrap();
    assert_eq!(client.query("select 1 from shared.services", &[]).await.unwrap().len(), 1);
    client.batch_execute("commit").await.unwrap();
    for table in tables {
        let rows = client.query(&format!("select 1 from shared.{table}"), &[]).await.unwrap();
        assert!(rows.is_empty(), "{table} after a scope");
    }
}

/// docs/decisions/0009: a generic plan, cached under one tenant, must not show its rows to the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_generic_plan_belongs_to_no_tenant() {
    let app = TestApp::start_with(one_connection()).await;
    app.by_hand(&format!(
        "alter role tenantry_app in database {} set plan_cache_mode = force_generic_plan",
        app.database.name
    ))
    .await;
    let fresh = TestApp::on(app.database.clone(), one_connection()).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    // Without a filter of its own, so that the policy alone decides.
    const BARE: &str = "-- test.bare
        select tenant_id from services";
    let mut backends = std::collections::HashSet::new();
    for tenant in [&acme, &globex, &acme, &globex] {
        let tx = fresh.gate.tenant(tenant.admin.viewer.scope(), Access::Read);
        let rows = tx.query(BARE, &[]).await.unwrap();
        backends.insert(tx.query_one(BACKEND, &[]).await.unwrap().get::<_, i32>(0));
        let found: Vec<uuid::Uuid> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, [tenant.id.0]);
        tx.end_read();
    }
    assert_eq!(backends.len(), 1, "one connection, so one cached plan");
}

/// Queries run in a read-only transaction, whatever a resolver tries.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_cannot_write() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let tx = app.gate.tenant(acme.admin.viewer.scope(), Access::Read);
    assert!(tx.query(RENAME, &[&tx.tenant()]).await.is_err());
}

/// A refusal by `enter` is reported as such, and not as the "aborted transaction" that follows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_door_says_why() {
    let app = TestApp::start_with(Options { wait: Duration::from_millis(200), ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let open = || app.gate.tenant(acme.user.viewer.scope(), Access::Read);
    let fails = async |tx: ScopedTx| {
        let params: [tenantry::db::Param<'_>; 1] = [&tx.tenant()];
        let (one, two) = futures_util::join!(tx.query(COUNT_SERVICES, &params), tx.query(COUNT_SERVICES, &params));
        (one.unwrap_err().to_string(), two.unwrap_err().to_string())
    };
    app.by_hand("update shared.tenant_state set state = 'SUSPENDED'").await;
    assert_eq!(fails(open()).await, ("the tenant is suspended".into(), "the tenant is suspended".into()));
    app.by_hand("update shared.tenant_state set state = 'DELETED', erase_after = now() + interval '1 day'").await;
    assert_eq!(fails(open()).await.1, "the tenant is not in this store");
    app.by_hand("update shared.tenant_state set state = 'CREATING', erase_after = null").await;
    assert_eq!(fails(open()).await.1, "the tenant is not in this store");
    app.by_hand("update shared.tenant_state set state = 'ACTIVE', fence = 'MOVED'").await;
    assert_eq!(fails(open()).await.1, "the tenant is not in this store");
    app.by_hand("update shared.tenant_state set fence = 'MOVING'").await;
    let write = app.gate.tenant(acme.user.viewer.scope(), Access::Write);
    assert_eq!(fails(write).await.0, "the tenant is being moved");
    assert_eq!(count(&open()).await, 1); // reads still work
    app.by_hand("update shared.tenant_state set fence = null").await;
    app.by_hand("update shared.users set role = 'STAFF' where role = 'USER'").await;
    assert_eq!(fails(open()).await.0, "the role has changed");
    app.by_hand("update shared.users set role = 'USER', status = 'DEACTIVATED' where email like 'user@%'").await;
    assert_eq!(fails(open()).await.0, "the session has ended");
    let unknown = tenantry::base::ids::TenantId(uuid::Uuid::now_v7());
    assert_eq!(fails(app.gate.tenant(Scope::worker(unknown), Access::Read)).await.0, "the tenant is not in this store");
}

/// docs/decisions/0006: all of a request's resolvers share one transaction, and statements requested together do not
/// run one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_a_request() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let stats = |app: &TestApp| app.gate.stats().transactions.load(std::sync::atomic::Ordering::Relaxed);
    let before = stats(&app);
    let answer = acme.admin.run("{ viewer { name bookings { nodes { id } } } tenant { name } users { nodes { name } } services { nodes { name } } }").await;
    assert_eq!(code(&answer), "", "{answer}");
    assert_eq!(stats(&app) - before, 1);
}

/// A connection that dies during a mutation is no server fault: the client may retry. One that dies in the commit
/// itself leaves the result unknown, so the answer does not say that nothing was changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_under_a_mutation_is_unavailable() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let locked = app.database.connect("postgres").await;
    locked.batch_execute("begin; select * from shared.services for update").await.unwrap();
    let query = "mutation($id: ID!) { updateService(input: { id: $id, name: \"Lost\" }) { service { name } } }";
    let variables = json!({ "id": acme.service });
    let change = acme.admin.run_with(query, variables);
    let terminate = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        app.truth(&format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}' and usename = 'tenantry_app' and wait_event_type = 'Lock'", app.database.name)).await
    };
    let (answer, terminated) = futures_util::join!(change, terminate);
    assert_eq!(terminated, ["t"]);
    assert_eq!(code(&answer), "UNAVAILABLE", "{answer}");
    locked.batch_execute("rollback").await.unwrap();
    assert_eq!(app.truth("select name from shared.services").await, ["Haircut"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_not_called_undone() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    // Commits wait for a standby that does not exist.
    app.by_hand(&format!(
        "alter role tenantry_app in database {} set synchronous_commit = 'remote_apply'",
        app.database.name
    ))
    .await;
    let fresh = TestApp::on(app.database.clone(), Options::default()).await;
    let waiting = format!(
        "select pid from pg_stat_activity where datname = '{}' and query = 'commit' and wait_event = 'SyncRep'",
        app.database.name
    );
    let superuser = app.database.connect("postgres").await;
    superuser.batch_execute("alter system set synchronous_standby_names = 'nobody'").await.unwrap();
    superuser.batch_execute("select pg_reload_conf()").await.unwrap();
    let mut person = acme.user.clone();
    person.app = fresh.clone();
    let query = format!(
        "mutation {{ updateUser(input: {{ id: \"{}\", name: \"Kept\" }}) {{ user {{ name }} }} }}",
        acme.user.id
    );
    let change = tokio::spawn(async move { person.run(&query).await });
    let mut terminated = Vec::new();
    for _ in 0..100 {
        terminated = app.truth(&format!("select pg_terminate_backend(pid) from ({waiting}) w")).await;
        if !terminated.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    superuser.batch_execute("alter system reset synchronous_standby_names").await.unwrap();
    superuser.batch_execute("select pg_reload_conf()").await.unwrap();
    assert_eq!(terminated, ["t"]);
    let answer = change.await.unwrap();
    assert_eq!(code(&answer), "UNAVAILABLE", "{answer}");
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("may or may not have been made"), "{answer}");
    assert_eq!(answer["errors"][0]["extensions"]["retryAfter"], json!(null), "not to be repeated blindly");
    assert_eq!(app.truth("select name from shared.users where email = 'user@acme.test'").await, ["Kept"]);
}

/// Every backend is killed under a running server: the next requests work again.
#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_are_replaced() {
    let app = TestApp::start().await;
    let acme = Arc::new(app.tenant("acme").await);
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "");
    app.truth(&format!("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{}' and usename = 'tenantry_app'", app.database.name)).await;
    // At most one request may still get a connection that is not known to be dead.
    for _ in 0..50 {
        if code(&acme.user.run("{ viewer { id } }").await).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the pool does not recover");
}

/// On Citus `enter` sets the scope by statements that reach the workers. Settings and refusals are the same. (Citus
/// itself is not installed here: one of its settings replaces it.)
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_is_the_same_however_it_is_set() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let globex = app.tenant("globex").await;
    app.by_hand("update shared.tenant_state set restriction = 'PAUSED' where tenant_id = (select tenant_id from shared.users where email = 'user@globex.test')").await;
    let nobody = uuid::Uuid::now_v7();
    let mut told = Vec::new();
    for preparation in ["select 1", "set citus.shard_count = '32'"] {
        let client = app.database.connect("tenantry_app").await;
        client.batch_execute(&format!("set search_path = shared, pg_temp; {preparation}")).await.unwrap();
        let mut outcomes = Vec::new();
        for (tenant, user, role, session) in [
            (acme.id.0, acme.user.id.0, "USER", acme.user.viewer.session.0),
            (globex.id.0, globex.user.id.0, "USER", globex.user.viewer.session.0),
            (acme.id.0, globex.user.id.0, "USER", globex.user.viewer.session.0),
            (acme.id.0, acme.user.id.0, "ADMIN", acme.user.viewer.session.0),
            (acme.id.0, acme.user.id.0, "USER", acme.admin.viewer.session.0),
            (acme.id.0, acme.user.id.0, "USER' ; reset role; --", acme.user.viewer.session.0),
            (nobody, acme.user.id.0, "USER", acme.user.viewer.session.0),
            (acme.id.0, nobody, "WORKER", nobody),
            (nobody, nobody, "PLATFORM_ADMIN", nobody),
        ] {
            client.batch_execute("begin").await.unwrap();
            let entered = client.query("select enter($1, $2, $3, $4, true)", &[&tenant, &user, &role, &session]).await;
            let outcome = match entered {
                Err(error) => error.code().unwrap().code().to_owned(),
                Ok(_) => {
                    let seen = "select concat_ws(' ', current_setting('app.tenant_id'), current_setting('app.user_id'), current_setting('app.role'),
                        current_setting('app.restriction'), (select string_agg(email, ',' order by email) from users))";
                    client.query_one(seen, &[]).await.unwrap().get(0)
                }
            };
            client.batch_execute("commit").await.unwrap();
            let after = "select concat(current_setting('app.tenant_id', true), current_setting('app.user_id', true), current_setting('app.role', true),
                current_setting('app.restriction', true))";
            assert_eq!(
                client.query_one(after, &[]).await.unwrap().get::<_, &str>(0),
                "",
                "the scope outlives its transaction"
            );
            outcomes.push(outcome);
        }
        told.push(outcomes);
    }
    assert_eq!(told[0], told[1]);
    let codes: Vec<&str> = told[0].iter().filter(|it| it.starts_with("TN")).map(String::as_str).collect();
    assert_eq!(codes, ["TN004", "TN005", "TN004", "TN001", "TN001"]);
    assert!(
        told[0][0].ends_with("USER  user@acme.test") && told[0][1].contains("USER PAUSED user@globex.test"),
        "{told:?}"
    );
}

/// Statements that are awaited together are sent in order, although the first has to be prepared and the second has
/// been.
#[tokio::test(flavor = "multi_thread")]
async fn statements_of_one_flush_keep_their_order() {
    let app = TestApp::start_with(Options { connections: 1, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let (write, read) = (
        "-- test.write
        select set_config('app.noted', 'yes', true)",
        "-- test.read
        select coalesce(current_setting('app.noted', true), '')",
    );
    let warming = app.gate.tenant(Scope::worker(acme.id), Access::Read);
    assert_eq!(warming.query_one(read, &[]).await.unwrap().get::<_, &str>(0), "");
    warming.end_read();
    drop(warming);
    let tx = app.gate.tenant(Scope::worker(acme.id), Access::Read);
    let (written, seen) = futures_util::join!(tx.query_one(write, &[]), tx.query_one(read, &[]));
    assert_eq!(written.unwrap().get::<_, &str>(0), "yes");
    assert_eq!(seen.unwrap().get::<_, &str>(0), "yes");
    tx.end_read();
}
