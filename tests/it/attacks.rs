//! Findings from attacks on the release build, each asserted as the right behaviour. `tests/fuzz` attacks the parsers
//! too.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tenantry::{
    features::auth::{Bucket, PasswordCost, SignInLimits},
    http,
};

use crate::support::{Options, TestApp, TestTenant, code};

/// Documents that consist of nested brackets, of each kind where the grammar allows it.
fn nested(levels: usize) -> Vec<String> {
    let around =
        |open: &str, close: &str, inner: &str| format!("{}{inner}{}", open.repeat(levels), close.repeat(levels));
    let lists = around("[", "]", "1");
    let objects = around("{a:", "}", "1");
    let mixed = around("[{a:", "}]", "1");
    vec![
        format!("query($a: [Int] = {lists}) {{ plans {{ key }} }}"),
        format!("query($a: X = {objects}) {{ plans {{ key }} }}"),
        format!("query($a: X = {mixed}) {{ plans {{ key }} }}"),
        format!("query($a: {}) {{ plans {{ key }} }}", around("[", "]", "Int")),
        format!("{{ plans(a: {lists}) {{ key }} }}"),
        format!("{{ plans(a: {objects}) {{ key }} }}"),
        format!("{{ plans @include(if: {lists}) {{ key }} }}"),
        format!("{{ plans @include(if: {objects}) {{ key }} }}"),
        format!("query Q @x(y: {mixed}) {{ plans {{ key }} }}"),
        format!("fragment F on Query @x(y: {lists}) {{ plans {{ key }} }} {{ ...F }}"),
        format!("{{ ... on Query @x(y: {objects}) {{ plans {{ key }} }} }}"),
        around("{ a ", "}", "{ a }"),
        around("{ ... ", "}", "{ a }"),
        around("{ ... on Query ", "}", "{ a }"),
        "[".repeat(levels),
        "{a(b:[".repeat(levels),
        format!("{{ a(b: \"\"\"\n\"\"\" c: {lists}) }}"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn brackets_within_each_other_are_refused_before_they_are_parsed() {
    let app = TestApp::start().await;
    let asked = |document: &str| {
        let post = Request::post("/graphql").header("content-type", "application/json");
        let get = form_urlencoded::Serializer::new(String::new()).append_pair("query", document).finish();
        let body = Body::from(json!({ "query": document }).to_string());
        // Documents longer than a URL may be cannot be sent by GET.
        let get = Request::get(format!("/graphql?{get}")).body(Body::empty()).ok();
        [post.body(body).ok(), get].into_iter().flatten()
    };
    for levels in [65, 200, 1_500, 4_000] {
        for document in nested(levels) {
            for request in asked(&document) {
                let (response, body) = app.send(request).await;
                assert!(response.status().is_client_error() || response.status() == StatusCode::OK);
                let answer: Value = serde_json::from_slice(&body).unwrap();
                let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
                let refused = ["nested", "tokens"].iter().any(|it| message.contains(it));
                assert!(refused, "{document:.60}: {answer}");
            }
        }
    }
    // Ordinary documents are not affected: input objects in lists in arguments, twelve selections deep.
    let answer = app.anonymous().run("{ plans { key } }").await;
    assert!(answer["data"]["plans"].is_array(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_within_json_is_refused_before_it_is_read() {
    let app = TestApp::start().await;
    for levels in [200, 5_000, 200_000] {
        let (lists, objects) = ("[".repeat(levels), "{\"a\":".repeat(levels));
        for body in [
            lists.clone(),
            objects.clone(),
            format!("{{\"query\":\"{{ plans {{ key }} }}\",\"variables\":{{\"a\":{lists}"),
            format!("{{\"query\":\"{{ plans {{ key }} }}\",\"extensions\":{objects}"),
            format!("{{\"query\":\"{{ plans {{ key }} }}\",\"variables\":{{\"a\":{lists}{}}}}}", "]".repeat(levels)),
        ] {
            let request = Request::post("/graphql").header("content-type", "application/json");
            let (response, body) = app.send(request.body(Body::from(body)).unwrap()).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{}", String::from_utf8_lossy(&body));
        }
    }
}

/// The ids of a tenant's own rows are random distances apart, whatever another tenant does in between.
#[tokio::test(flavor = "multi_thread")]
async fn ids_do_not_count_what_other_tenants_do() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let mut ids = Vec::new();
    for round in 0..12 {
        for more in 0..round % 4 {
            globex.user.book(&globex.service, globex.in_days(1 + round * 4 + more)).await;
        }
        let service = acme.admin.create_service(json!({ "name": format!("S{round}") })).await;
        ids.push(service.parse::<tenantry::base::ids::ServiceId>().unwrap().0.as_u128());
    }
    // The 12 bits below the millisecond, where a counter would stand, and all that is below the version.
    for bits in [12, 62] {
        let at = if bits == 12 { 64 } else { 0 };
        let low: Vec<i128> = ids.iter().map(|it| (it >> at & ((1 << bits) - 1)) as i128).collect();
        let steps: Vec<i128> = low.windows(2).map(|it| it[1] - it[0]).collect();
        assert!(steps.iter().any(|it| *it < 0) && steps.iter().any(|it| *it > 0), "only one way: {steps:?}");
        assert!(steps.iter().all(|it| it.unsigned_abs() > 0 || bits == 12), "{steps:?}");
        let small = steps.iter().filter(|it| it.unsigned_abs() < 20).count();
        assert!(small <= 2, "as small as a count of what was done: {steps:?}");
        let different: HashSet<_> = steps.iter().collect();
        assert!(different.len() >= steps.len() - 1, "{steps:?}");
    }
}

async fn open_registration(tenant: &TestTenant) {
    let open = "mutation { updateTenant(input: { openRegistration: true }) { userErrors { code } } }";
    assert_eq!(code(&tenant.admin.run(open).await), "");
}

/// A password for which zxcvbn takes longer the longer it is.
fn hostile_password() -> String {
    "('4@8({[<36!1|0$5+7%2'*14)".chars().cycle().take(250).collect()
}

/// All arguments of a field as an attacker would fill them in, by the schema.
struct Attack<'a> {
    types: BTreeMap<&'a str, &'a Value>,
    text: &'a str,
}

impl Attack<'_> {
    fn value(&self, name: &str, of: &Value, depth: usize) -> Value {
        match (of["kind"].as_str().unwrap(), of["name"].as_str().unwrap_or_default()) {
            ("NON_NULL", _) => self.value(name, &of["ofType"], depth),
            ("LIST", _) => json!([self.value(name, &of["ofType"], depth)]),
            ("ENUM", kind) => self.types[kind]["enumValues"][0]["name"].clone(),
            ("INPUT_OBJECT", kind) => {
                let fields = self.types[kind]["inputFields"].as_array().unwrap();
                let wanted = fields.iter().filter(|it| depth < 4 || it["type"]["kind"] == "NON_NULL");
                wanted
                    .map(|it| {
                        let name = it["name"].as_str().unwrap();
                        (name.to_owned(), self.value(name, &it["type"], depth + 1))
                    })
                    .collect()
            }
            (_, "Int") => json!(1),
            (_, "Float" | "Decimal") => json!("1"),
            (_, "Boolean") => json!(true),
            (_, "DateTime") => json!("2027-01-01T00:00:00Z"),
            (_, "Date") => json!("2027-01-01"),
            // Far enough that it passes the checks that cost nothing.
            (_, "String") => match name {
                "email" | "adminEmail" => json!("mallory@example.test"),
                "tenant" => json!("acme"),
                "slug" => json!("a-new-one"),
                "currency" => json!("EUR"),
                "timeZone" => json!("Europe/Amsterdam"),
                "name" | "tenantName" => json!("Mallory"),
                _ => json!(self.text),
            },
            _ => json!(self.text),
        }
    }
}

/// The CPU time that this thread has used.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// On a single-threaded runtime nothing else runs while a field blocks it. The test measures the thread's CPU time
/// between two turns of a polling task, so a busy machine changes nothing, and the time of a hash is far above it.
#[tokio::test]
async fn no_public_field_keeps_an_async_thread() {
    // A hash at the real cost takes 60 ms in this build too, so it would be noticed.
    let app = TestApp::start_with(Options { cost: PasswordCost::default(), ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    open_registration(&acme).await;
    let schema = app
        .anonymous()
        .run(
            "{ __schema { queryType { name } mutationType { name } types { name kind enumValues { name }
                inputFields { name type { ...T } } fields { name args { name type { ...T } } type { ...T } } } } }
             fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } }",
        )
        .await;
    let types = schema["data"]["__schema"]["types"].as_array().unwrap();
    let types: BTreeMap<&str, &Value> = types.iter().map(|it| (it["name"].as_str().unwrap(), it)).collect();
    let text = hostile_password();
    let attack = Attack { types: types.clone(), text: &text };
    let longest = Arc::new(AtomicU64::new(0));
    let watching = tokio::spawn({
        let longest = longest.clone();
        async move {
            let mut before = processor_time();
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let now = processor_time();
                longest.fetch_max(u64::try_from((now - before).as_millis()).unwrap(), Ordering::Relaxed);
                before = now;
            }
        }
    });
    let mut looked_at = 0;
    for (root, operation) in [("Query", "query"), ("Mutation", "mutation")] {
        for field in types[root]["fields"].as_array().unwrap() {
            let name = field["name"].as_str().unwrap();
            let (mut declared, mut passed, mut variables) = (Vec::new(), Vec::new(), serde_json::Map::new());
            for argument in field["args"].as_array().unwrap() {
                let argument_name = argument["name"].as_str().unwrap();
                if matches!(argument_name, "before" | "last" | "after") {
                    continue;
                }
                declared.push(format!("${argument_name}: {}", spelled(&argument["type"])));
                passed.push(format!("{argument_name}: ${argument_name}"));
                variables.insert(argument_name.to_owned(), attack.value(argument_name, &argument["type"], 0));
            }
            let listed = |it: &[String]| if it.is_empty() { String::new() } else { format!("({})", it.join(", ")) };
            let selection = if is_leaf(&field["type"]) { "" } else { "{ __typename }" };
            let document = format!("{operation} {} {{ {name}{} {selection} }}", listed(&declared), listed(&passed));
            longest.store(0, Ordering::Relaxed);
            let answer = app.anonymous().run_with(&document, Value::Object(variables)).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            let took = longest.load(Ordering::Relaxed);
            assert!(took < 50, "{name} kept the thread for {took} ms of its own: {answer}");
            assert_ne!(code(&answer), "INTERNAL", "{name}: {answer}");
            looked_at += 1;
        }
    }
    watching.abort();
    assert!(looked_at > 80, "{looked_at} fields");
}

fn is_leaf(of: &Value) -> bool {
    match of["kind"].as_str().unwrap() {
        "NON_NULL" | "LIST" => is_leaf(&of["ofType"]),
        kind => matches!(kind, "SCALAR" | "ENUM"),
    }
}

fn spelled(of: &Value) -> String {
    match of["kind"].as_str().unwrap() {
        "NON_NULL" => format!("{}!", spelled(&of["ofType"])),
        "LIST" => format!("[{}]", spelled(&of["ofType"])),
        _ => of["name"].as_str().unwrap().to_owned(),
    }
}

/// The caller pays for a refused attempt before any work: the address's budget is exhausted before the check of a
/// password's strength that it would have paid for.
#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_attempt_costs_no_work() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    open_registration(&acme).await;
    let sign_up = "mutation($p: String!, $e: String!) { signUp(input: { email: $e, password: $p, name: \"M\", tenantName: \"M\", slug: \"mallory\", timeZone: \"UTC\", currency: \"EUR\" }) { userErrors { code field } } }";
    let register = "mutation($p: String!, $e: String!) { registerUser(input: { tenant: \"acme\", email: $e, password: $p, name: \"M\" }) { userErrors { code } } }";
    for (number, document) in [sign_up, register].into_iter().enumerate() {
        let variables = json!({ "p": "password", "e": format!("m{number}@example.test") });
        let mut codes = Vec::new();
        let mut last = Value::Null;
        let mut done = Vec::new();
        for _ in 0..8 {
            let before = app.passwords.done();
            let answer = app.anonymous().run_with(document, variables.clone()).await;
            codes.push(code(&answer).to_owned());
            last = answer;
            done.push(app.passwords.done() - before);
        }
        let tried = codes.iter().filter(|it| *it == "WEAK_PASSWORD").count();
        assert!((1..8).contains(&tried), "{codes:?} {last}");
        for (code, done) in codes.iter().zip(done) {
            assert_eq!(done, usize::from(code == "WEAK_PASSWORD"), "{codes:?}");
        }
    }
}

/// A user whose own mailbox is not verified cannot make the server mail others, by any mutation.
#[tokio::test(flavor = "multi_thread")]
async fn an_unproven_administrator_mails_nobody() {
    let app = TestApp::start().await;
    let sign_up = "mutation { signUp(input: { email: \"mallory@evil.test\", password: \"nine quiet lamps\", name: \"Mallory\",
        tenantName: \"Pay here\", slug: \"mallory\", timeZone: \"UTC\", currency: \"EUR\" }) { session { accessToken } userErrors { code } } }";
    let answer = app.anonymous().run(sign_up).await;
    let mallory = app.bearer(answer["data"]["signUp"]["session"]["accessToken"].as_str());
    app.mails().await;
    let open =
        "mutation { updateTenant(input: { openRegistration: true, name: \"Your bank\" }) { userErrors { code } } }";
    assert_eq!(code(&mallory.run(open).await), "");
    let register = "mutation { registerUser(input: { tenant: \"mallory\", email: \"victim@example.test\", password: \"nine quiet lamps\", name: \"V\" }) { userErrors { code } } }";
    assert_ne!(code(&app.anonymous().run(register).await), "");
    let invite =
        "mutation { inviteUser(input: { email: \"victim@example.test\", role: USER }) { userErrors { code } } }";
    assert_ne!(code(&mallory.run(invite).await), "");
    assert!(app.mails().await.is_empty());
    // Once it is verified, both are sent.
    app.by_hand("update shared.users set email_verified_at = now() where email = 'mallory@evil.test'").await;
    assert_eq!(code(&app.anonymous().run(register).await), "");
    assert_eq!(code(&mallory.run(invite).await), "");
    assert_eq!(app.mails().await.len(), 2);
}

/// One mailbox has one budget, whoever requests the mail and however; its owner's own requests have a reserve.
#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_has_a_budget() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let invite = "mutation($e: String!) { inviteUser(input: { email: $e, role: STAFF }) { invitation { id } userErrors { code } } }";
    let mut sent = 0;
    for round in 0..12 {
        for admin in [&acme.admin, &globex.admin] {
            let answer = admin.run_with(invite, json!({ "e": "user@acme.test" })).await;
            if let Some(id) = answer["data"]["inviteUser"]["invitation"]["id"].as_str() {
                let again = if round % 3 == 0 { "revokeInvitation" } else { "resendInvitation" };
                admin
                    .run(&format!("mutation {{ {again}(input: {{ id: \"{id}\" }}) {{ userErrors {{ code }} }} }}"))
                    .await;
            }
        }
        sent += app.mails().await.iter().filter(|it| it.to == "user@acme.test").count();
    }
    assert_eq!(sent, 10, "as many as the budget has");
    // Another mailbox has its own budget, and the owner still gets a new password after others have used the budget.
    globex.admin.run_with(invite, json!({ "e": "someone@else.test" })).await;
    app.anonymous()
        .run("mutation { requestPasswordReset(input: { email: \"user@acme.test\" }) { userErrors { code } } }")
        .await;
    let mails = app.mails().await;
    let to: HashSet<&str> = mails.iter().map(|it| it.to.as_str()).collect();
    assert_eq!(to, HashSet::from(["someone@else.test", "user@acme.test"]));
}

/// Names that would turn into links in mail to strangers are refused in every field.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_is_a_link_or_hides_anything() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for name in [
        "evil.com now",
        "//evil.com",
        "support@paypal.com",
        "evil\u{2024}com",
        "Ac\u{202e}me",
        "\u{3164}",
        "Ac\u{200b}me",
    ] {
        for (query, variables) in [
            (
                "mutation($n: String!) { updateTenant(input: { name: $n }) { userErrors { code field } } }",
                json!({ "n": name }),
            ),
            (
                "mutation($n: String!, $id: ID!) { updateUser(input: { id: $id, name: $n }) { userErrors { code field } } }",
                json!({ "n": name, "id": acme.user.id.to_string() }),
            ),
            (
                "mutation($n: String!) { createService(input: { name: $n, durationMinutes: 5, price: { amount: \"1\", currency: \"EUR\" } }) { userErrors { code field } } }",
                json!({ "n": name }),
            ),
            (
                "mutation($n: String!) { createResource(input: { kind: ROOM, name: $n }) { userErrors { code field } } }",
                json!({ "n": name }),
            ),
            (
                "mutation($n: String!) { setOpeningOverride(input: { day: \"2027-01-01\", hours: [], name: $n }) { userErrors { code field } } }",
                json!({ "n": name }),
            ),
        ] {
            let answer = acme.admin.run_with(query, variables).await;
            assert_eq!(code(&answer), "INVALID", "{name:?} {query}: {answer}");
        }
    }
    for email in ["\"a b\"@x.test", "a@[127.0.0.1]"] {
        let invite = "mutation($e: String!) { inviteUser(input: { email: $e, role: STAFF }) { userErrors { code } } }";
        assert_eq!(code(&acme.admin.run_with(invite, json!({ "e": email })).await), "INVALID");
    }
}

/// An operator who acts as a user changes nobody else, and no longer than the operator's own session goes on.
#[tokio::test(flavor = "multi_thread")]
async fn acting_as_a_user_ends_with_the_operators_session() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let root = app.operator().await;
    let act = async |tenant: &TestTenant| {
        let query =
            "mutation($t: ID!, $e: String!) { impersonate(input: { tenantId: $t, email: $e, reason: \"ticket 1\" }) {
            session { accessToken } userErrors { code } } }";
        let input = json!({ "t": tenant.id.to_string(), "e": tenant.admin.email });
        let begun = root.run_with(query, input).await;
        let token = begun["data"]["impersonate"]["session"]["accessToken"].as_str();
        app.bearer(Some(token.unwrap_or_else(|| panic!("{begun}"))))
    };
    let (one, other) = (act(&acme).await, act(&globex).await);
    let rename = "mutation($id: ID!) { updateUser(input: { id: $id, name: \"Mallory\" }) { userErrors { code } } }";
    let renamed = one.run_with(rename, json!({ "id": acme.user.id.to_string() })).await;
    assert_eq!(code(&renamed), "FORBIDDEN", "{renamed}");
    assert_eq!(acme.truth("select count(*) from shared.users where name = 'Mallory'").await, ["0"]);
    for acting in [&one, &other] {
        assert_eq!(code(&acting.run("{ viewer { id } }").await), "");
    }
    assert_eq!(code(&root.run("mutation { platformLogout { userErrors { code } } }").await), "");
    for acting in [&one, &other] {
        assert_eq!(code(&acting.run("{ viewer { id } }").await), "UNAUTHENTICATED");
    }
    assert_eq!(code(&acme.admin.run("{ viewer { id } }").await), "", "the user's own session goes on");
}

/// Of two cookies of one name one is somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_comes_twice_counts_for_nobody() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (own, foreign) = (acme.user.token.as_deref().unwrap(), acme.other.token.as_deref().unwrap());
    let viewer = async |cookies: &str| {
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("tenantry-session", "cookie")
            .header("cookie", cookies)
            .body(Body::from(json!({ "query": "{ viewer { email } }" }).to_string()));
        let answer: Value = serde_json::from_slice(&app.send(request.unwrap()).await.1).unwrap();
        answer["data"]["viewer"]["email"].as_str().map(str::to_owned)
    };
    let name = "__Host-tenantry_access";
    assert_eq!(viewer(&format!("{name}={own}")).await.as_deref(), Some("user@acme.test"));
    assert_eq!(viewer(&format!("{name}={own}; x=y; {name}={own}")).await.as_deref(), Some("user@acme.test"));
    for twice in [format!("{name}={own}; {name}={foreign}"), format!("{name}={foreign}; {name}={own}")] {
        assert_eq!(viewer(&twice).await, None);
    }
}

/// Many connections, and bodies that do not end, take their own address's share and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn one_address_takes_no_more_than_its_share() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let app = TestApp::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let patience = http::Patience { connections: 40, connections_of_address: 20, ..http::Patience::default() };
    tokio::spawn(http::serve(
        listener,
        app.router.clone(),
        patience,
        http::Proxies::default(),
        app.sockets.tasks.clone(),
        app.stop.subscribe(),
    ));
    let from = |last: u8| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("127.0.0.{last}:0").parse().unwrap()).unwrap();
        socket.connect(address)
    };
    let ask = async |mut stream: tokio::net::TcpStream, text: &str| {
        let mut answer = Vec::new();
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let healthy = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(from(7).await.unwrap());
    }
    // Accepted in their order, so by the time of the last of them its own are closed, and another's are not.
    assert_eq!(ask(from(7).await.unwrap(), healthy).await, "", "its share is full");
    assert!(ask(from(8).await.unwrap(), healthy).await.starts_with("HTTP/1.1 200"), "and nobody else's");
    drop(idle);

    // One more than an address may have under way, each the beginning of a body as large as they may be.
    let begun =
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n{";
    let begin = |last: u8| {
        let opening = from(last);
        async move {
            let mut stream = opening.await.unwrap();
            stream.write_all(begun.as_bytes()).await.unwrap();
            let mut first = [0; 12];
            let read = tokio::time::timeout(Duration::from_secs(2), stream.read_exact(&mut first)).await;
            (read.is_ok().then(|| String::from_utf8_lossy(&first).into_owned()), stream)
        }
    };
    let of_one = futures_util::future::join_all((0..17).map(|_| begin(9)));
    let (of_one, (of_another, _stream)) = futures_util::join!(of_one, begin(10));
    let answered: Vec<&String> = of_one.iter().filter_map(|(answer, _)| answer.as_ref()).collect();
    assert_eq!(answered, ["HTTP/1.1 503"], "its share of memory is taken, and no more is refused");
    assert_eq!(of_another, None, "another's body is waited for");
}

/// A request that does not say for which host it is, or says it twice, is refused (RFC 9112, section 3.2).
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let app = TestApp::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tasks, stop) = (app.sockets.tasks.clone(), app.stop.subscribe());
    tokio::spawn(http::serve(
        listener,
        app.router.clone(),
        http::Patience::default(),
        http::Proxies::default(),
        tasks,
        stop,
    ));
    for (hosts, status) in [("", "400"), ("Host: a\r\n", "200"), ("Host: a\r\nHost: a\r\n", "400")] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{hosts:?}");
    }
}

/// All tabs of a browser share their cookies: what one tab means for its tenant never reaches the tenant of another tab.
#[tokio::test(flavor = "multi_thread")]
async fn a_tab_acts_in_its_own_tenant() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let session = globex.admin.token.clone().unwrap(); // The browser's newest sign-in.
    let send = async |query: &str, tenant: Option<&str>, by_cookie: bool| {
        let mut request = Request::post("/graphql").header("content-type", "application/json");
        request = match by_cookie {
            true => request
                .header("tenantry-session", "cookie")
                .header("cookie", format!("__Host-tenantry_access={session}")),
            false => request.header("authorization", format!("Bearer {session}")),
        };
        if let Some(tenant) = tenant {
            request = request.header("tenantry-tenant", tenant);
        }
        let body = Body::from(json!({ "query": query }).to_string());
        serde_json::from_slice::<Value>(&app.send(request.body(body).unwrap()).await.1).unwrap()
    };
    let invite = "mutation { inviteUser(input: { email: \"new@acme.test\", role: ADMIN }) { userErrors { code } } }";
    let logout = "mutation { logout { sessionId } }";
    let viewer = "{ viewer { id } }";
    let (of_acme, of_globex) = (acme.id.to_string(), globex.id.to_string());
    for by_cookie in [true, false] {
        for query in [invite, logout, viewer] {
            for other in [of_acme.as_str(), "", "acme"] {
                assert_eq!(code(&send(query, Some(other), by_cookie).await), "TENANT_MISMATCH", "{query} {other}");
            }
        }
    }
    assert_eq!(code(&send(invite, None, true).await), "TENANT_MISMATCH", "a mutation with cookies names its tenant");
    assert_eq!(globex.truth("select count(*) from shared.invitations").await, ["0"]);
    // Reading is no harm, a bearer token is one tab's own, and signing in is for everybody.
    assert_eq!(code(&send(viewer, None, true).await), "");
    assert_eq!(code(&send(invite, None, false).await), "");
    let login = "mutation { login(input: { email: \"user@acme.test\", password: \"wrong\" }) { userErrors { code } } }";
    assert_eq!(code(&send(login, None, true).await), "WRONG_CREDENTIALS");
    assert_eq!(code(&send("mutation { logout { sessionId } }", Some(&of_globex), true).await), "");
}

/// A thousand refused requests are four entries of the log, whose counts say how many there were.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_does_not_fill_the_log() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for _ in 0..120 {
        assert_eq!(code(&acme.user.run("{ users { nodes { id } } }").await), "FORBIDDEN");
    }
    let counts = "select changes->'times'->>'to' from shared.audit_events where action = 'access.refused' order by seq";
    let recorded = acme.truth(counts).await;
    assert_eq!(recorded, ["1", "9", "90"]);
    // Another field, another person, and a later hour are recorded at once.
    assert_eq!(code(&acme.user.run("{ invitations { nodes { id } } }").await), "FORBIDDEN");
    assert_eq!(code(&acme.other.run("{ users { nodes { id } } }").await), "FORBIDDEN");
    app.clock.advance(jiff::SignedDuration::from_hours(2));
    assert_eq!(code(&acme.user.run("{ users { nodes { id } } }").await), "FORBIDDEN");
    assert_eq!(acme.truth(counts).await, ["1", "9", "90", "1", "1", "21"]);
}

/// Whether the sender has a budget is known before a byte of the body is read.
#[tokio::test(flavor = "multi_thread")]
async fn no_body_is_read_without_a_budget() {
    use std::sync::atomic::AtomicBool;

    let rates = tenantry::features::usage::rate_limits::RateSettings { user: 3_000, address: 3_000, tenant: 1_000_000 };
    let app = TestApp::start_with(Options { rates, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    for person in [acme.user, app.anonymous()] {
        let is_read = Arc::new(AtomicBool::new(false));
        let send = async || {
            let seen = is_read.clone();
            let body = futures_util::stream::once(async move {
                seen.store(true, Ordering::Relaxed);
                Ok::<_, std::io::Error>(json!({ "query": "{ plans { key } __typename }" }).to_string())
            });
            let mut request = Request::post("/graphql").header("content-type", "application/json");
            if let Some(token) = &person.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let (response, body) = app.send(request.body(Body::from_stream(body)).unwrap()).await;
            let answer: Value = serde_json::from_slice(&body).unwrap();
            (response, code(&answer).to_owned())
        };
        assert_eq!(send().await.1, "");
        let mut refusals = 0;
        for _ in 0..2_000 {
            is_read.store(false, Ordering::Relaxed);
            let (response, code) = send().await;
            if !is_read.load(Ordering::Relaxed) {
                assert_eq!(code, "RATE_LIMITED");
                assert!(response.headers().contains_key("retry-after"));
                refusals += 1;
                break;
            }
        }
        assert!(refusals == 1, "every body was read");
    }
}

/// Behind a trusted proxy, each client has its share of requests at once.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_each_client_has_its_share() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let app = TestApp::start_with(Options { proxies: "127.0.0.0/8", ..Options::default() }).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let patience = http::Patience { connections_of_address: 3, ..http::Patience::default() };
    tokio::spawn(http::serve(
        listener,
        app.router.clone(),
        patience,
        http::Proxies::try_new("127.0.0.0/8").unwrap(),
        app.sockets.tasks.clone(),
        app.stop.subscribe(),
    ));
    // Each the beginning of a body, which the server waits for.
    let begin = async |client: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /graphql HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        let read = tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut first)).await;
        (read.is_ok().then(|| String::from_utf8_lossy(&first).into_owned()), stream)
    };
    let mut open = Vec::new();
    for _ in 0..3 {
        let (answer, stream) = begin("192.0.2.1").await;
        assert_eq!(answer, None);
        open.push(stream);
    }
    assert_eq!(begin("192.0.2.1").await.0.as_deref(), Some("HTTP/1.1 429"), "its share is full");
    assert_eq!(begin("192.0.2.2").await.0, None, "and nobody else's");
    drop(open.pop());
    let begun = std::time::Instant::now();
    while begin("192.0.2.1").await.0.is_some() {
        assert!(begun.elapsed() < Duration::from_secs(30), "what it gave back cannot be had");
    }
}

/// A signed address of an invoice shows nothing of a tenant that is suspended.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenants_invoices_are_not_shown() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.billing.run(acme.id, app.clock.now()).await.unwrap();
    let answer = acme.admin.run("{ billing { invoices { nodes { pdfPath } } } }").await;
    let path = answer["data"]["billing"]["invoices"]["nodes"][0]["pdfPath"].as_str().unwrap().to_owned();
    let get = async || app.send(Request::get(path.as_str()).body(Body::empty()).unwrap()).await.0.status().as_u16();
    assert_eq!(get().await, 200);
    app.by_hand("update shared.tenant_state set state = 'SUSPENDED'").await;
    assert_eq!(get().await, 404);
}

/// `HSTS_MAX_AGE` is said in every answer, and nothing where it is not set.
#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_asked_to_come_by_https_alone() {
    for (hsts, header) in [(0, None), (31_536_000, Some("max-age=31536000"))] {
        let app = TestApp::start_with(Options { hsts, ..Options::default() }).await;
        for path in ["/healthz", "/account", "/nowhere"] {
            let (response, _) = app.send(Request::get(path).body(Body::empty()).unwrap()).await;
            let said = response.headers().get("strict-transport-security").map(|it| it.to_str().unwrap());
            assert_eq!(said, header, "{path}");
        }
    }
}

/// Who has a /48 of IPv6 has 65,536 networks, and still not as many attempts as they like.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_of_many_networks_has_one_wide_budget() {
    let limits = SignInLimits {
        address: Bucket { burst: 10, interval: jiff::SignedDuration::from_hours(1) },
        ..SignInLimits::default()
    };
    let app = TestApp::start_with(Options { limits, proxies: "127.0.0.0/8", ..Options::default() }).await;
    let _acme = app.tenant("acme").await;
    let attempt = async |network: u16, site: &str| {
        let login =
            "mutation($e: String!) { login(input: { email: $e, password: \"wrong\" }) { userErrors { code } } }";
        let body = json!({ "query": login, "variables": { "e": format!("nobody{network}@acme.test") } }).to_string();
        let mut request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("x-forwarded-for", format!("{site}:{network:x}::1"))
            .body(Body::from(body))
            .unwrap();
        let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 4_000));
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        let answer: Value = serde_json::from_slice(&app.send(request).await.1).unwrap();
        code(&answer).to_owned()
    };
    let mut attempts = 0;
    while attempt(attempts, "2001:db8:1").await != "RATE_LIMITED" {
        attempts += 1;
        assert!(attempts < 1_000, "a /48 is never throttled");
    }
    assert!(attempts > 20, "a /48 has a wider budget than a /64");
    assert_ne!(attempt(0, "2001:db8:2").await, "RATE_LIMITED", "another site");
}
