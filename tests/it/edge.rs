//! The layer between the internet and the schema: limits from both sides, budgets, each tenant's share.

use std::time::Duration;

use axum::{body::Body, http::Request};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tenantry::{
    features::usage::rate_limits::RateSettings,
    graphql::Limits,
    http::{self, Patience, Proxies},
};

use crate::support::{Options, Person, TestApp, code};

/// Each limit accepts its number and refuses one more.
#[tokio::test(flavor = "multi_thread")]
async fn every_limit_holds_from_both_sides() {
    let aliases =
        |count: usize| format!("{{ plans {{ {} }} }}", (0..count).map(|n| format!("a{n}: key ")).collect::<String>());
    let roots = |count: usize| format!("{{ {} }}", (0..count).map(|_| "__typename ").collect::<String>());
    let deep = |levels: usize| {
        format!(
            "{{ {} {} }}",
            "viewer { bookings(first: 1) { nodes { customer { bookings(first: 1) { nodes { id } } } } } }"
                .split_at(0)
                .1,
            "__typename ".repeat(levels)
        )
    };
    let directives = |text: &str| format!("{{ plans {text} {{ key }} }}");
    let tokens = |count: usize| format!("{{ __typename {} }}", "__typename ".repeat(count - 3));
    let cases: Vec<(Limits, String, String)> = vec![
        (Limits { aliases: 3, ..Limits::default() }, aliases(3), aliases(4)),
        (Limits { root_fields: 3, ..Limits::default() }, roots(3), roots(4)),
        (
            Limits { directives: 1, ..Limits::default() },
            directives("@skip(if: false)"),
            directives("@skip(if: false) @include(if: true)"),
        ),
        (Limits { tokens: 8, ..Limits::default() }, tokens(8), tokens(9)),
        (Limits { selections: 8, ..Limits::default() }, deep(1), deep(2)),
        (Limits { depth: 2, ..Limits::default() }, "{ plans { key } }".into(), "{ plans { price { amount } } }".into()),
    ];
    for (limits, fits, too_large) in cases {
        let app = TestApp::start_with(Options { request: limits, ..Options::default() }).await;
        let fits_answer = app.anonymous().run(&fits).await;
        assert!(!code(&fits_answer).starts_with("GRAPHQL_"), "{fits}: {fits_answer}");
        assert_eq!(code(&app.anonymous().run(&too_large).await), "GRAPHQL_VALIDATION_FAILED", "{too_large}");
    }
    let app = TestApp::start().await;
    let cost_of = async |app: &TestApp| {
        respond(&app.anonymous(), "{ plans { key name } }").await.1["extensions"]["cost"]["requested"].as_u64()
    };
    let cost = usize::try_from(cost_of(&app).await.unwrap()).unwrap();
    for (most, fits) in [(cost, true), (cost - 1, false)] {
        let app =
            TestApp::start_with(Options { request: Limits { cost: most, ..Limits::default() }, ..Options::default() })
                .await;
        assert_eq!(cost_of(&app).await.is_some(), fits, "{most}");
    }
    let app = TestApp::start_with(Options {
        request: Limits { body_bytes: 200, errors: 2, ..Limits::default() },
        ..Options::default()
    })
    .await;
    let errors = app.anonymous().run("{ a: viewer { x } b: nope c: nope d: nope }").await;
    assert_eq!(errors["errors"].as_array().unwrap().len(), 2, "{errors}");
    let large = app
        .send(
            Request::post("/graphql")
                .header("content-type", "application/json")
                .body(Body::from(" ".repeat(201)))
                .unwrap(),
        )
        .await;
    assert_eq!(large.0.status(), 413);
    // A body without a length is counted as it comes.
    let chunks = futures_util::stream::iter((0..50).map(|_| Ok::<_, std::io::Error>("          ")));
    let chunked =
        Request::post("/graphql").header("content-type", "application/json").body(Body::from_stream(chunks)).unwrap();
    assert_eq!(app.send(chunked).await.0.status(), 413);
}

async fn respond(person: &Person, query: &str) -> (Option<u64>, Value) {
    let mut request = Request::post("/graphql").header("content-type", "application/json");
    if let Some(token) = &person.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let (response, body) = person.app.send(request.body(json!({ "query": query }).to_string().into()).unwrap()).await;
    let wait = response.headers().get("retry-after").map(|it| it.to_str().unwrap().parse().unwrap());
    (wait, serde_json::from_slice(&body).unwrap())
}

/// A user's budget is their own, and the tenant's is the plan's: using one up does not affect the others.
#[tokio::test(flavor = "multi_thread")]
async fn budgets_are_spent_by_cost() {
    let rates = RateSettings { user: 2_000, address: 300, tenant: 1_000_000 };
    let app = TestApp::start_with(Options { rates, ..Options::default() }).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let query = "{ bookings(first: 100) { nodes { id status } } }";
    let (_, first) = respond(&acme.user, query).await;
    let cost = &first["extensions"]["cost"];
    let (requested, remaining) = (cost["requested"].as_u64().unwrap(), cost["remaining"].as_u64().unwrap());
    assert_eq!((cost["budget"].as_u64(), requested + remaining), (Some(2_000), 2_000), "{first}");
    let mut refused = None;
    for _ in 0..20 {
        let (wait, answer) = respond(&acme.user, query).await;
        if code(&answer) == "RATE_LIMITED" {
            refused = Some((wait, answer));
            break;
        }
    }
    let (wait, answer) = refused.expect("a refusal");
    assert!(wait.is_some_and(|it| it >= 1), "{answer}");
    assert_eq!(answer.get("data"), None, "nothing was executed");
    assert_eq!(code(&acme.other.run(query).await), "", "another user has a separate budget");
    assert_eq!(code(&globex.user.run(query).await), "");
    // Without a token: the address's budget.
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(code(&app.anonymous().run("{ plans { key name features } }").await).to_owned());
    }
    assert!(codes.contains(&"RATE_LIMITED".to_owned()) && codes[0].is_empty(), "{codes:?}");
    assert_eq!(code(&acme.other.run("{ viewer { id } }").await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_budget_is_its_plans() {
    let app = TestApp::start_with(Options {
        rates: RateSettings { user: 1_000_000, address: 1_000_000, tenant: 1_000_000 },
        ..Options::default()
    })
    .await;
    app.by_hand("alter table directory.plan_versions no force row level security; update directory.plan_versions v set terms = jsonb_set(terms, '{limits,api_cost}', '8000') from directory.plans p where p.id = v.plan_id and p.key = 'free'; alter table directory.plan_versions force row level security").await;
    let (acme, globex) = (app.tenant_on_plan("acme", "free").await, app.tenant("globex").await);
    // Two customers together exhaust it, each with a quarter at most; the tenant's staff continue.
    let query = "{ bookings(first: 100) { nodes { id status notes } } }";
    let mut codes = std::collections::BTreeMap::<String, usize>::new();
    for at in 0..20 {
        let person = [&acme.user, &acme.other][at % 2];
        *codes.entry(code(&person.run(query).await).to_owned()).or_default() += 1;
    }
    assert!(codes["RATE_LIMITED"] > 0 && codes[""] >= 2, "{codes:?}");
    assert_eq!(code(&acme.admin.run(query).await), "");
    assert_eq!(code(&globex.user.run(query).await), "");
}

/// One tenant's requests wait for a lock and use its whole share; the other tenant's requests are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_tenant_leaves_connections_for_the_others() {
    let app =
        TestApp::start_with(Options { connections: 4, wait: Duration::from_millis(500), ..Options::default() }).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let lock = app.database.connect("postgres").await;
    lock.batch_execute(&format!(
        "begin; select * from shared.users where tenant_id = '{}' for no key update",
        acme.id.0
    ))
    .await
    .unwrap();
    let rename = "mutation($id: ID!) { updateUser(input: { id: $id, name: \"X\" }) { userErrors { code } } }";
    let flood: Vec<_> = (0..20)
        .map(|_| {
            let (person, id) = (acme.user.clone(), acme.user.id.to_string());
            tokio::spawn(async move { code(&person.run_with(rename, json!({ "id": id })).await).to_owned() })
        })
        .collect();
    while app
        .truth(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%users.update_name%'",
        )
        .await[0]
        .parse::<u32>()
        .unwrap()
        < 3
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..5 {
        let answers = join_all((0..4).map(|_| globex.user.run("{ viewer { id } services { nodes { id } } }"))).await;
        assert!(answers.iter().all(|it| code(it).is_empty()), "{answers:?}");
    }
    assert_eq!(code(&acme.other.run("{ viewer { id } }").await), "UNAVAILABLE", "its own share is exhausted");
    // It does not matter whose email it is, and the load neither blocks sign-in nor mail.
    for email in ["staff@acme.test", "staff@globex.test"] {
        let login = format!(
            "mutation {{ login(input: {{ email: \"{email}\", password: \"{}\" }}) {{ session {{ refreshToken }} userErrors {{ code }} }} }}",
            crate::support::PASSWORD
        );
        assert_eq!(code(&app.anonymous().run(&login).await), "", "{email}");
        let forgot =
            format!("mutation {{ requestPasswordReset(input: {{ email: \"{email}\" }}) {{ userErrors {{ code }} }} }}");
        assert_eq!(code(&app.anonymous().run(&forgot).await), "");
        assert_eq!(app.mail_to(email).await.to, email);
    }
    lock.batch_execute("rollback").await.unwrap();
    let mut codes = Vec::new();
    for it in flood {
        codes.push(it.await.unwrap());
    }
    assert_eq!(
        codes.iter().filter(|it| it.is_empty()).count() + codes.iter().filter(|it| *it == "UNAVAILABLE").count(),
        20,
        "{codes:?}"
    );
    assert_eq!(code(&acme.other.run("{ viewer { id } }").await), "");
}

/// Looking a key up costs too, so replays cannot bypass the budget.
#[tokio::test(flavor = "multi_thread")]
async fn replays_come_out_of_the_budget() {
    let rates = RateSettings { user: 5_000, address: 1_000_000, tenant: 1_000_000 };
    let app = TestApp::start_with(Options { rates, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let rename = format!(
        "mutation {{ updateUser(input: {{ id: \"{}\", name: \"N\" }}) {{ userErrors {{ code }} }} }}",
        acme.user.id
    );
    let mut codes = Vec::new();
    for _ in 0..100 {
        codes.push(code_of(&named(&acme.user, "k", &rename).await.2));
    }
    assert_eq!(codes[0], "");
    assert_eq!(codes.last().map(String::as_str), Some("RATE_LIMITED"), "{codes:?}");
}

/// In production nobody can introspect the schema, unless that is enabled.
#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_shown_only_where_that_is_on() {
    let app = TestApp::start_with(Options { introspects: false, ..Options::default() }).await;
    for query in ["{ __schema { types { name } } }", "{ __type(name: \"User\") { name } }"] {
        let answer = app.anonymous().run(query).await;
        assert!(!answer.to_string().contains("Connection") && !answer.to_string().contains("\"User\""), "{answer}");
    }
    assert_eq!(app.anonymous().run("{ __typename plans { key } }").await["data"]["__typename"], "Query");
}

/// Sends a mutation with a key, and returns status, whether the answer was a replay, and the raw body.
async fn named(person: &Person, key: &str, query: &str) -> (u16, bool, String) {
    let request = Request::post("/graphql")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", person.token.as_deref().unwrap_or_default()))
        .header("idempotency-key", key)
        .body(json!({ "query": query }).to_string().into())
        .unwrap();
    let (response, body) = person.app.send(request).await;
    let replayed = response.headers().contains_key("idempotency-replayed");
    (response.status().as_u16(), replayed, String::from_utf8(body).unwrap())
}

fn code_of(body: &str) -> String {
    code(&serde_json::from_str(body).unwrap()).to_owned()
}

/// A repeated mutation returns its first answer, byte for byte, and does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_named_mutation_is_done_once() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let create = |name: &str| {
        format!(
            "mutation {{ createService(input: {{ name: \"{name}\", durationMinutes: 30, price: {{ amount: \"1\", currency: \"EUR\" }} }}) {{ service {{ id name }} userErrors {{ code }} }} }}"
        )
    };
    let services = async || app.truth("select count(*) from shared.services where name like 'Once%'").await[0].clone();
    let first = named(&acme.admin, "k1", &create("Once")).await;
    assert_eq!((first.0, first.1, code_of(&first.2).as_str()), (200, false, ""), "{}", first.2);
    let again = named(&acme.admin, "k1", &create("Once")).await;
    assert_eq!((again.1, &again.2), (true, &first.2));
    assert_eq!(services().await, "1");
    assert_eq!(code_of(&named(&acme.admin, "k1", &create("Another")).await.2), "IDEMPOTENCY_CONFLICT");
    // A refusal that the caller can correct is an answer too, and is repeated.
    let taken = named(&acme.admin, "k2", &create("Once")).await;
    assert_eq!(code_of(&taken.2), "NAME_TAKEN");
    assert_eq!(named(&acme.admin, "k2", &create("Once")).await.2, taken.2);
    // The key is each user's own, in each tenant.
    assert_eq!(code_of(&named(&acme.staff, "k1", &create("Once")).await.2), "FORBIDDEN");
    assert!(!named(&globex.admin, "k1", &create("Once in another")).await.1);
    assert_eq!(services().await, "2");
    // Requests that were not executed are not kept: a refused document, and an ended session.
    let refused = named(&acme.admin, "k3", "mutation { nonsense }").await;
    assert_eq!(code_of(&refused.2), "GRAPHQL_VALIDATION_FAILED");
    assert!(!named(&acme.admin, "k3", &create("Once more")).await.1);
    for bad in ["a b", &"x".repeat(256)] {
        assert_eq!(named(&acme.admin, bad, &create("Once never")).await.0, 400, "{bad}");
    }
    // Sign-in accepts no key, and says so; nothing of it is kept.
    for _ in 0..2 {
        let change = "mutation { changePassword(input: { currentPassword: \"a\", newPassword: \"b\" }) { userErrors { code } } }";
        let (status, replayed, body) = named(&acme.admin, "k9", change).await;
        assert_eq!((status, replayed, body.contains("not accepted")), (400, false, true), "{body}");
    }
    // Another role is another request: an administrator's answer is not repeated after a change of role.
    let own = named(&acme.other, "k7", &format!("mutation {{ updateUser(input: {{ id: \"{}\", name: \"O\" }}) {{ user {{ email }} userErrors {{ code }} }} }}", acme.other.id)).await;
    assert_eq!(code_of(&own.2), "");
    app.by_hand("update shared.users set role = 'STAFF' where email = 'other@acme.test'").await;
    let raised = app.sign_in.trusted_session(acme.id, "other@acme.test").await.unwrap();
    let raised = app.bearer(Some(&app.tokens.issue(&raised, jiff::Timestamp::now()).unwrap().0));
    let again = named(&raised, "k7", &format!("mutation {{ updateUser(input: {{ id: \"{}\", name: \"O\" }}) {{ user {{ email }} userErrors {{ code }} }} }}", acme.other.id)).await;
    assert_eq!(code_of(&again.2), "IDEMPOTENCY_CONFLICT");
    // Queries need none.
    assert_eq!(code_of(&named(&acme.admin, "k1", "{ viewer { id } }").await.2), "");
    // After a day it is forgotten.
    app.clock.advance(jiff::SignedDuration::from_hours(25));
    app.worker().purge().await;
    assert_eq!(app.truth("select count(*) from shared.idempotency_keys").await, ["0"]);
    let late = named(&acme.admin, "k1", &create("Once again")).await;
    assert_eq!((late.1, code_of(&late.2).as_str()), (false, ""));
    assert_eq!(app.truth("select count(*) from shared.idempotency_keys where answer is null").await, ["0"]);
}

/// Eight at once with one key: one is executed, the others wait and get its answer.
#[tokio::test(flavor = "multi_thread")]
async fn named_mutations_at_once_are_done_once() {
    let app = TestApp::start_with(Options { connections: 12, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    for round in 0..5 {
        let book = format!(
            "mutation {{ createBooking(input: {{ serviceId: \"{}\", startsAt: \"{}\" }}) {{ booking {{ id }} userErrors {{ code }} }} }}",
            acme.service,
            acme.in_days(3 + round)
        );
        let key = format!("round-{round}");
        let answers = join_all((0..8).map(|_| named(&acme.user, &key, &book))).await;
        assert_eq!(answers.iter().filter(|it| !it.1).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|it| it.2 == answers[0].2), "{answers:?}");
        assert_eq!(code_of(&answers[0].2), "", "{answers:?}");
    }
    assert_eq!(app.truth("select count(*) from shared.bookings").await, ["5"]);
}

/// A server fault is not kept: the same request may succeed later.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_no_answer_to_keep() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let rename = format!(
        "mutation {{ updateUser(input: {{ id: \"{}\", name: \"New\" }}) {{ user {{ name }} userErrors {{ code }} }} }}",
        acme.user.id
    );
    app.by_hand("alter table shared.users rename column updated_at to touched_at").await;
    assert_eq!(code_of(&named(&acme.user, "k", &rename).await.2), "INTERNAL");
    app.by_hand("alter table shared.users rename column touched_at to updated_at").await;
    let then = named(&acme.user, "k", &rename).await;
    assert_eq!((then.1, code_of(&then.2).as_str()), (false, ""), "{}", then.2);
    assert!(named(&acme.user, "k", &rename).await.1);
}

/// The app behind its own socket.
async fn listening(
    app: &TestApp,
    patience: Patience,
) -> (std::net::SocketAddr, tokio::sync::watch::Sender<Option<String>>, tokio::task::JoinHandle<usize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = tokio::sync::watch::channel(None);
    (
        address,
        stop,
        tokio::spawn(http::serve(
            listener,
            app.router.clone(),
            patience,
            Proxies::default(),
            app.sockets.tasks.clone(),
            stopping,
        )),
    )
}

/// Sends this, and returns everything received until the other side closes.
async fn exchange(address: std::net::SocketAddr, text: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A reset counts as closed too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const WHOLE: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Half a header, half a body, an idle connection: each is closed, and others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_ended_and_others_served() {
    let app = TestApp::start_with(Options { body_patience: Duration::from_millis(300), ..Options::default() }).await;
    let patience = Patience { header: Duration::from_millis(300), ..Patience::default() };
    let (address, _stop, _serving) = listening(&app, patience).await;
    let half_open: Vec<_> = (0..1_000)
        .map(|_| tokio::spawn(async move { exchange(address, "GET /healthz HTTP/1.1\r\nHo").await }))
        .collect();
    for _ in 0..20 {
        assert!(exchange(address, WHOLE).await.starts_with("HTTP/1.1 200"));
    }
    for it in half_open {
        let answer = it.await.unwrap();
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let half_body =
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"query\"";
    let answer = exchange(address, half_body).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let kept = exchange(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(kept.starts_with("HTTP/1.1 200"), "{kept}");
}

/// A connection past the limit is closed at once, and served again when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn connections_have_a_number() {
    let app = TestApp::start().await;
    let (address, _stop, _serving) = listening(&app, Patience { connections: 2, ..Patience::default() }).await;
    let held = [
        tokio::net::TcpStream::connect(address).await.unwrap(),
        tokio::net::TcpStream::connect(address).await.unwrap(),
    ];
    // Both are accepted before the third, in the order in which they came.
    assert_eq!(exchange(address, WHOLE).await, "");
    drop(held);
    let begin = std::time::Instant::now();
    while !exchange(address, WHOLE).await.starts_with("HTTP/1.1 200") {
        assert!(begin.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// When stopped, it finishes open requests, closes idle connections, and accepts nothing new.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_finish() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (address, stop, serving) = listening(&app, Patience::default()).await;
    let idle = tokio::spawn(async move { exchange(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await });
    let lock = app.database.connect("postgres").await;
    lock.batch_execute("begin; select * from shared.users for update").await.unwrap();
    let body = json!({ "query": format!("mutation {{ updateUser(input: {{ id: \"{}\", name: \"Late\" }}) {{ user {{ name }} }} }}", acme.user.id) }).to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        acme.user.token.as_deref().unwrap(),
        body.len()
    );
    let under_way = tokio::spawn(async move { exchange(address, &request).await });
    while app
        .truth(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%users.update_name%'",
        )
        .await[0]
        == "0"
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send_replace(Some("the test says so".into()));
    assert!(idle.await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(!under_way.is_finished());
    lock.batch_execute("rollback").await.unwrap();
    let answer = under_way.await.unwrap();
    assert!(answer.contains("\"name\":\"Late\""), "{answer}");
    assert_eq!(serving.await.unwrap(), 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// A panicking resolver affects nothing else, and reveals only the request's id.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_masked_and_the_process_lives() {
    use crate::support::{TestDatabase, server};
    let database = std::sync::Arc::new(TestDatabase::create().await);
    let app = TestApp::on(database.clone(), Options::default()).await;
    let acme = app.tenant("acme").await;
    let (url, owner) = (database.url("tenantry_app").await, database.url("tenantry_owner").await);
    let folder = server::folder();
    let environment =
        [("DATABASE_URL", url.as_str()), ("DATABASE_OWNER_URL", &owner), ("TENANTRY_FAULT", "panic:resolver.viewer")];
    let server = server::Server::start_with(server::program(), folder.path(), &environment);
    let sign_in = format!(
        "mutation {{ login(input: {{ email: \"{}\", password: \"{}\" }}) {{ session {{ accessToken }} }} }}",
        acme.user.email,
        crate::support::PASSWORD
    );
    let answer = server.run(&sign_in, None);
    let token = answer["data"]["login"]["session"]["accessToken"].as_str().unwrap_or_else(|| panic!("{answer}"));
    for _ in 0..20 {
        let answer = server.run("{ services { nodes { id } } viewer { id } }", Some(token));
        assert_eq!(code(&answer), "INTERNAL", "{answer}");
        assert!(answer["errors"][0]["extensions"]["requestId"].is_string());
        assert!(!answer.to_string().contains("panic") && !answer.to_string().contains("TENANTRY"), "{answer}");
    }
    let answer = server.run("{ services { nodes { name } } }", Some(token));
    assert_eq!(answer["data"]["services"]["nodes"][0]["name"], "Haircut", "{answer}");
}

/// Requests by operation and code, latencies, pools, transactions: as Prometheus reads them.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_happened() {
    tenantry::core::telemetry::start_metrics();
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.user.run("{ viewer { id } }").await;
    acme.user.run("{ users { nodes { id } } }").await;
    acme.booking(3).await;
    acme.user.run("{").await;
    acme.user.run(&format!("{{ service(id: \"{}\") {{ name }} }}", acme.service)).await;
    let renamed =
        acme.admin.run("mutation { updateTenant(input: { name: \"Renamed\" }) { userErrors { code } } }").await;
    assert_eq!(code(&renamed), "");
    app.worker().run_until_idle().await;
    drop(app.sockets.enter(acme.user.viewer));
    let (response, body) = app.send(Request::get("/metrics").body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), 200);
    let text = String::from_utf8(body).unwrap();
    for expected in [
        "tenantry_requests_total{operation=\"query\",field=\"viewer\",code=\"OK\"}",
        "tenantry_requests_total{operation=\"query\",field=\"users\",code=\"FORBIDDEN\"}",
        "tenantry_requests_total{operation=\"mutation\",field=\"createBooking\",code=\"OK\"}",
        "tenantry_requests_total{operation=\"refused\",field=\"none\",code=\"GRAPHQL_PARSE_FAILED\"}",
        "tenantry_loader_batch_keys_bucket{loader=\"services\",le=\"1\"}",
        "tenantry_outbox_lag_seconds_bucket",
        "tenantry_sockets 0",
        "tenantry_request_seconds_bucket{operation=\"query\",le=\"0.05\"}",
        "tenantry_pool_connections{pool=\"store\",state=\"open\"}",
        "tenantry_pool_waiting{pool=\"directory\"}",
        "tenantry_transactions_total",
        "tenantry_statements_total",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(
        !text.to_lowercase().contains("acme") && !text.contains("Renamed") && !text.contains("usr_"),
        "nothing of anybody's"
    );
}

/// Pages of configured sites may call the API by the CORS protocol; others may not.
#[tokio::test(flavor = "multi_thread")]
async fn other_sites_ask_only_where_they_are_named() {
    let app = TestApp::start_with(Options { origins: "https://app.example.com", ..Options::default() }).await;
    let preflight = async |app: &TestApp, origin: &str| {
        let request = Request::options("/graphql")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,idempotency-key,tenantry-session");
        app.send(request.body(Body::empty()).unwrap()).await.0
    };
    let allowed = preflight(&app, "https://app.example.com").await;
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://app.example.com");
    assert_eq!(allowed.headers()["access-control-allow-credentials"], "true");
    let names = allowed.headers()["access-control-allow-headers"].to_str().unwrap().to_owned();
    assert!(
        ["authorization", "content-type", "idempotency-key", "tenantry-session"].iter().all(|it| names.contains(it))
    );
    for foreign in ["https://evil.example", "null", "http://app.example.com"] {
        let answer = preflight(&app, foreign).await;
        assert!(!answer.headers().contains_key("access-control-allow-origin"), "{foreign}");
    }
    let by_default = TestApp::start().await;
    assert!(
        !preflight(&by_default, "https://app.example.com").await.headers().contains_key("access-control-allow-origin")
    );
    let ask = Request::post("/graphql")
        .header("origin", "https://app.example.com")
        .header("content-type", "application/json")
        .body(json!({ "query": "{ plans { key } }" }).to_string().into())
        .unwrap();
    let (answer, _) = app.send(ask).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example.com");
    assert!(answer.headers()["access-control-expose-headers"].to_str().unwrap().contains("x-request-id"));
}

/// The client's claim about its address is ignored; a known proxy's is used, in budgets and in the audit log.
#[tokio::test(flavor = "multi_thread")]
async fn only_known_proxies_tell_of_addresses() {
    let rates = RateSettings { user: 1_000_000, address: 300, tenant: 1_000_000 };
    for (proxies, believed) in [("", false), ("127.0.0.0/8", true)] {
        let app = TestApp::start_with(Options { proxies, rates, ..Options::default() }).await;
        let acme = app.tenant("acme").await;
        let (address, _stop, _serving) = listening(&app, Patience::default()).await;
        let send = async |forwarded: &str, query: &str| {
            let body = json!({ "query": query }).to_string();
            exchange(address, &format!(
                "POST /graphql HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {forwarded}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )).await
        };
        let mut spent = String::new();
        for _ in 0..100 {
            spent = send("203.0.113.1", "{ plans { key name features } }").await;
            if spent.contains("RATE_LIMITED") {
                break;
            }
        }
        assert!(spent.contains("RATE_LIMITED"), "{spent}");
        let another = send("203.0.113.2", "{ plans { key } }").await;
        assert_eq!(!another.contains("RATE_LIMITED"), believed, "{another}");
        let invented = send("198.51.100.7, 203.0.113.1", "{ plans { key } }").await;
        assert!(invented.contains("RATE_LIMITED"), "an address that the client wrote is further left: {invented}");
        if believed {
            let login = format!(
                "mutation {{ login(input: {{ email: \"{}\", password: \"{}\" }}) {{ session {{ accessToken }} }} }}",
                acme.user.email,
                crate::support::PASSWORD
            );
            assert!(send("203.0.113.3", &login).await.contains("accessToken"));
            assert_eq!(
                app.truth("select distinct address from shared.sessions where address like '203%'").await,
                ["203.0.113.3"]
            );
        }
    }
}

/// A small request must not produce a huge answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_a_size() {
    let limits = Limits { answer_bytes: 20_000, ..Limits::default() };
    let app = TestApp::start_with(Options { request: limits, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let long = format!("{{ plans {{ {}: key }} }}", "a".repeat(129));
    assert_eq!(code(&app.anonymous().run(&long).await), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(code(&app.anonymous().run(&long.replacen('a', "", 2).replace("plns", "plans")).await), "");
    // Types of fields of types can be nested without end.
    let mut below = "name".to_owned();
    for _ in 0..3 {
        below = format!("fields {{ type {{ {below} }} }}");
    }
    let hidden = "{ ...A } fragment A on Query { __schema { types { ...B } } } fragment B on __Type";
    for deep in [format!("{{ __schema {{ types {{ {below} }} }} }}"), format!("{hidden} {{ {below} }}")] {
        assert_eq!(code(&app.anonymous().run(&deep).await), "GRAPHQL_VALIDATION_FAILED", "{deep}");
    }
    let many =
        format!("{{ __schema {{ types {{ {} }} }} }}", (0..190).map(|n| format!("a{n}: name ")).collect::<String>());
    let (_, answer) = respond(&app.anonymous(), &many).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT", "{answer}");
    assert!(answer.to_string().len() < 1_000);
    // A mutation whose result could not be sent is not executed.
    let name = "x".repeat(190);
    let fat = format!(
        "mutation {{ updateUser(input: {{ id: \"{}\", name: \"{name}\" }}) {{ user {{ {} }} }} }}",
        acme.user.id,
        (0..190).map(|n| format!("a{n}: name ")).collect::<String>()
    );
    assert_eq!(code(&acme.user.run(&fat).await), "BAD_USER_INPUT");
    assert_eq!(acme.user.run("{ viewer { name } }").await["data"]["viewer"]["name"], "user of acme");
    // Introspection has a cost, and the usual query does not cost too much.
    let (_, schema) = respond(&app.anonymous(), "{ __schema { queryType { name } } }").await;
    assert_eq!(schema["extensions"]["cost"]["requested"].as_u64(), Some(2 * 50 + 3), "{schema}");
}

/// However long the invalid input: the error is reported with its code and the request's id.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_always_says_why() {
    let app = TestApp::start().await;
    let long = "x".repeat(4_000);
    let bodies = [
        json!({ "query": "{ __typename }", "variables": { long.as_str(): "\u{0}" } }),
        json!({ "query": format!("query(${long}: String!) {{ __typename }}") }),
        json!({ "query": format!("query($a: String!) {{ __type(name: $a) {{ {long} }} }}"), "variables": { "a": "b" } }),
        json!({ "query": format!("{{ {} }}", "nope ".repeat(90)) }),
    ];
    for body in bodies {
        let request =
            Request::post("/graphql").header("content-type", "application/json").body(body.to_string().into()).unwrap();
        let (_, bytes) = app.send(request).await;
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(!code(&answer).is_empty() && bytes.len() < 4_096, "{answer}");
        assert!(answer["errors"][0]["extensions"]["requestId"].is_string(), "{answer}");
    }
    // A request that is refused as a whole has no location in the document.
    let limited = TestApp::start_with(Options {
        rates: RateSettings { address: 100, ..RateSettings::default() },
        ..Options::default()
    })
    .await;
    let mut refused = Value::Null;
    for _ in 0..10 {
        refused = limited.anonymous().run("{ plans { key name features } }").await;
    }
    assert_eq!(code(&refused), "RATE_LIMITED");
    assert_eq!(refused["errors"][0].get("locations").filter(|it| **it != json!([])), None, "{refused}");
}

/// The export of the audit log is charged to the same budgets, before it writes anything.
#[tokio::test(flavor = "multi_thread")]
async fn exports_come_out_of_the_budget() {
    let rates = RateSettings { user: 3_000, address: 1_000_000, tenant: 1_000_000 };
    let app = TestApp::start_with(Options { rates, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let events = async || app.truth("select count(*) from shared.audit_events").await[0].parse::<u32>().unwrap();
    let before = events().await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let request = Request::get("/audit-events.csv")
            .header("authorization", format!("Bearer {}", acme.user.token.as_deref().unwrap()));
        let (response, _) = app.send(request.body(Body::empty()).unwrap()).await;
        statuses.push((response.status().as_u16(), response.headers().contains_key("retry-after")));
    }
    assert_eq!((statuses[0], statuses[19]), ((403, false), (429, true)), "{statuses:?}");
    let written = events().await - before;
    assert!((1..=4).contains(&written), "{written}");
}

/// A key that would not be kept is refused, not ignored.
#[tokio::test(flavor = "multi_thread")]
async fn operators_mutations_take_no_key() {
    let app = TestApp::start().await;
    let viewer = tenantry::core::identity::PlatformViewer {
        administrator: tenantry::base::ids::AdministratorId(uuid::Uuid::now_v7()),
        session: tenantry::base::ids::SessionId(uuid::Uuid::now_v7()),
        email: "root@tenantry.test".into(),
    };
    let now = jiff::Timestamp::now();
    let token = app.tokens.issue_for_platform(&viewer, now + jiff::SignedDuration::from_mins(5), now).unwrap();
    let operator = app.bearer(Some(&token));
    let (status, replayed, body) = named(&operator, "k", "mutation { setFeature(input: { tenantId: \"tnt_01h455vb4pex5vsknk084sn02q\", key: \"x\", enabled: true }) { userErrors { code } } }").await;
    assert_eq!((status, replayed), (400, false), "{body}");
    assert!(body.contains("Idempotency-Key"), "{body}");
}

/// A client that does not read its answers is dropped, as is one whose body never ends.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_take_or_give_nothing_are_dropped() {
    use tokio::io::AsyncWriteExt;
    let app = TestApp::start_with(Options { deadline: Duration::from_secs(2), ..Options::default() }).await;
    let patience = Patience { write: Duration::from_millis(500), ..Patience::default() };
    let (address, stop, serving) = listening(&app, patience).await;
    // Unread pages, more than the buffers in between can hold.
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (reading, mut writing) = stream.into_split();
    let asked = tokio::spawn(async move {
        for _ in 0..2_000 {
            if writing.write_all(b"GET /graphiql HTTP/1.1\r\nHost: x\r\n\r\n").await.is_err() {
                return;
            }
        }
    });
    // A byte now and then, forever.
    let mut dripping = tokio::net::TcpStream::connect(address).await.unwrap();
    dripping
        .write_all(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
        )
        .await
        .unwrap();
    let (mut reader, mut writer) = dripping.into_split();
    tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let mut answer = vec![0; 200];
    let count = tokio::io::AsyncReadExt::read(&mut reader, &mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    drop(reader);
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("it is dropped").unwrap();
    stop.send_replace(Some("the test ends".into()));
    assert_eq!(serving.await.unwrap(), 0, "nobody is left");
    drop(reading);
}

/// Erasing a person frees nobody else's key: what was carried out with it is not carried out again, and the answer, which may
/// name the person, is gone.
#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_person_lets_no_request_run_twice() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let book = |person: &Person, days: i64| {
        format!(
            "mutation {{ createBooking(input: {{ serviceId: \"{}\", startsAt: \"{}\", notes: \"of {}\" }}) {{ booking {{ id customer {{ email }} }} userErrors {{ code }} }} }}",
            acme.service,
            acme.in_days(days),
            person.email
        )
    };
    let (of_user, of_other) = (book(&acme.user, 3), book(&acme.other, 4));
    assert_eq!(code_of(&named(&acme.user, "k", &of_user).await.2), "");
    assert_eq!(code_of(&named(&acme.other, "k", &of_other).await.2), "");
    assert!(named(&acme.user, "k", &of_user).await.1, "a replay, until somebody is erased");
    let erase =
        format!("mutation {{ deleteUser(input: {{ id: \"{}\" }}) {{ userErrors {{ code }} }} }}", acme.other.id);
    assert_eq!(code(&acme.admin.run(&erase).await), "");
    app.mails().await; // background work
    let (_, is_replay, body) = named(&acme.user, "k", &of_user).await;
    assert_eq!((is_replay, code_of(&body).as_str()), (false, "IDEMPOTENCY_CONFLICT"), "{body}");
    let left = "select (select count(*) from shared.bookings) || ' ' || (select string_agg(answer, '') from shared.idempotency_keys)
        || (select count(*) from shared.idempotency_keys)";
    assert_eq!(app.truth(left).await, ["2 1"], "both bookings, and the key of who stays, without its answer");
    assert_eq!(code_of(&named(&acme.user, "another", &book(&acme.user, 5)).await.2), "", "other keys are free");
}
