//! GraphQL over HTTP: what is accepted, what is refused, and how.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};

use crate::support::{TestApp, code};

const JSON: &str = "application/json";
const RESPONSE_JSON: &str = "application/graphql-response+json";

async fn send(app: &TestApp, request: Request<Body>) -> (StatusCode, axum::http::HeaderMap, Value) {
    let (response, body) = app.send(request).await;
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&body)));
    (response.status(), response.headers().clone(), body)
}

fn post(content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/graphql").header("content-type", content_type).body(body.into()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_form_can_send_is_run() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let document =
        format!("mutation {{ deleteService(input: {{ id: \"{}\" }}) {{ deletedServiceId }} }}", acme.service);
    let body = json!({ "query": document }).to_string();
    let token = format!("Bearer {}", acme.admin.token.as_ref().unwrap());
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/jsonp",
        "application/json; charset=utf-16",
    ] {
        let mut request = post(content_type, body.clone());
        request.headers_mut().insert("authorization", token.parse().unwrap());
        let (status, _, answer) = send(&app, request).await;
        assert_eq!((status, code(&answer)), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_USER_INPUT"), "{content_type}");
    }
    let query = document.replace(' ', "%20").replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
    let get =
        Request::get(format!("/graphql?query={query}")).header("authorization", token).body(Body::empty()).unwrap();
    let (status, headers, _) = send(&app, get).await;
    assert_eq!((status, headers[header::ALLOW].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    assert_eq!(app.truth("select count(*) from shared.services").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_by_get_and_by_post_with_variables() {
    let app = TestApp::start().await;
    let (status, headers, answer) = send(
        &app,
        Request::get(
            "/graphql?query=query(%24n:Boolean!)%7Bplans@include(if:%24n)%7Bkey%7D%7D&variables=%7B%22n%22:true%7D",
        )
        .body(Body::empty())
        .unwrap(),
    )
    .await;
    assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, JSON));
    assert_eq!(answer["data"]["plans"][0]["key"], "free", "{answer}");
    let mut request = post(
        "application/json;charset=UTF-8",
        json!({ "query": "query A { plans { key } } query B { plans { name } }", "operationName": "B" }).to_string(),
    );
    request.headers_mut().insert("accept", RESPONSE_JSON.parse().unwrap());
    let (status, headers, answer) = send(&app, request).await;
    assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, RESPONSE_JSON));
    assert_eq!(answer["data"]["plans"][0]["name"], "Free");
}

/// In the order of the document, whatever was there first: some of these ask the database, others do not.
#[tokio::test(flavor = "multi_thread")]
async fn fields_come_in_the_order_of_the_document() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.booking(3).await;
    let query = "query { z: services { nodes { name id } } viewer { ...F name } a: __typename plans { key } ... { bookings { nodes { service { name } id customer { email name } status } } } viewer { role } }
        fragment F on User { tenant { name slug } email bookings { nodes { id } } }";
    let body = json!({ "query": query }).to_string();
    let key = regex::Regex::new("\"(\\w+)\":").unwrap();
    for _ in 0..10 {
        let mut request = post(JSON, body.clone());
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {}", acme.user.token.as_ref().unwrap()).parse().unwrap());
        let (_, body) = app.send(request).await;
        let text = String::from_utf8(body).unwrap();
        let text = text.split(",\"extensions\":").next().unwrap().to_owned();
        let keys: Vec<&str> = key.captures_iter(&text).map(|it| it.get(1).unwrap().as_str()).collect();
        let expected = "data z nodes name id viewer tenant name slug email bookings nodes id name role a plans key key key bookings nodes service name id customer email name status";
        assert_eq!(keys.join(" "), expected, "{text}");
    }
}

/// No object lacks a field that clients were promised: a failure makes its parent null, up to the next nullable one.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_field_makes_its_parent_null() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    for (query, data) in [
        // viewer: User, bookings: BookingConnection!
        (
            "query($id: ID!) { node(id: $id) { id } viewer { id bookings(first: -1) { nodes { id } } } }",
            json!({ "node": { "id": booking }, "viewer": null }),
        ),
        // booking: Booking, customer: User!
        (
            "query($id: ID!) { booking(id: $id) { id customer { bookings(first: -1) { nodes { id } } } } node(id: $id) { id } }",
            json!({ "booking": null, "node": { "id": booking } }),
        ),
        // [Booking!]! in BookingConnection! at the root of a query: nothing is left
        (
            "query($id: ID!) { bookings { nodes { id customer { email bookings(first: -1) { nodes { id } } } } } node(id: $id) { id } }",
            json!(null),
        ),
        ("query($id: ID!) { billing { usage { used } } node(id: $id) { id } }", json!(null)),
        // nodes: [Node]!, each of which may be null
        (
            "query($id: ID!) { nodes(ids: [$id]) { id ... on Booking { customer { bookings(first: -1) { nodes { id } } } } } }",
            json!({ "nodes": [null] }),
        ),
        // left out on purpose is no failure
        (
            "query($id: ID!) { node(id: $id) { id ... on User { email } ... on Booking { version @skip(if: true) status } } }",
            json!({ "node": { "id": booking, "status": "CONFIRMED" } }),
        ),
        // a mutation reports the results of the others
        (
            "mutation($id: ID!) { a: updateBookingStatus(input: { id: $id, status: COMPLETED }) { booking { id } } b: cancelBooking(input: { id: $id }) { booking { status } } }",
            json!({ "b": { "booking": { "status": "CANCELLED" } } }),
        ),
    ] {
        let answer = acme.user.run_with(query, json!({ "id": booking })).await;
        assert_eq!(answer["data"], data, "{query}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_or_no_document_is_refused_clearly() {
    let app = TestApp::start().await;
    let cases = [
        ("", "BAD_USER_INPUT"),
        ("nonsense", "BAD_USER_INPUT"),
        ("[]", "BAD_USER_INPUT"),
        ("{}", "BAD_USER_INPUT"),
        ("{\"query\": 7}", "BAD_USER_INPUT"),
        ("{\"query\": \"{ plans { key } }\", \"variables\": 7}", "BAD_USER_INPUT"),
        ("{\"query\": \"{\"}", "GRAPHQL_PARSE_FAILED"),
        ("{\"query\": \"{ plan { key } }\"}", "GRAPHQL_VALIDATION_FAILED"),
        ("{\"query\": \"query A { plans { key } } query B { plans { key } }\"}", "GRAPHQL_VALIDATION_FAILED"),
        ("{\"query\": \"query($a: Int!) { bookings(first: $a) { nodes { id } } }\"}", "BAD_USER_INPUT"),
    ];
    for (body, expected) in cases {
        for (accept, is_new) in [(JSON, false), (RESPONSE_JSON, true)] {
            let mut request = post(JSON, body);
            request.headers_mut().insert("accept", accept.parse().unwrap());
            let (status, headers, answer) = send(&app, request).await;
            assert_eq!(code(&answer), expected, "{body}: {answer}");
            // The older media type answers 200 to everything that reached GraphQL.
            let reached = expected.starts_with("GRAPHQL_") || body.contains("$a");
            // Nothing was executed, so there is no data, not even null (section 7.1).
            assert!(answer.get("data").is_none(), "{answer}");
            assert_eq!(
                status,
                if reached && !is_new { StatusCode::OK } else { StatusCode::BAD_REQUEST },
                "{body} {accept}"
            );
            let id = answer["errors"][0]["extensions"]["requestId"].as_str().unwrap();
            assert_eq!(headers["x-request-id"], id);
            assert!(!answer.to_string().contains("Did you mean"), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_deep_and_wide_documents_are_refused_in_a_small_answer() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let too_large = post(JSON, format!("{{\"query\": \"{}\"}}", " ".repeat(1_100_000)));
    assert_eq!(send(&app, too_large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let documents = [
        ("deep", format!("{{{}{}", "a{".repeat(50_000), "}".repeat(50_001))),
        ("nested", "{ viewer { bookings { nodes { customer { bookings { nodes { customer { bookings { nodes { customer { bookings { nodes { customer { bookings { nodes { id } } } } } } } } } } } } } } } }".into()),
        (
            "bomb",
            format!(
                "{{ ...F0 }} {} fragment F30 on Query {{ __typename }}",
                (0..30).map(|n| format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1)).collect::<String>()
            ),
        ),
        ("endless", "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".into()),
        ("multiplied", "{ bookings(first: 100) { nodes { customer { bookings(first: 100) { nodes { customer { bookings(last: 100) { nodes { id } } } } } } } } }".into()),
        ("aliases", format!("{{ {} }}", (0..20_000).map(|n| format!("a{n}: __typename ")).collect::<String>())),
        ("many directives", format!("{{ plans {} {{ key }} }}", "@skip(if: false) ".repeat(20_000))),
        ("the same", format!("{{ {} }}", "__typename ".repeat(50_000))),
        ("deepest", "{a".repeat(100_000)),
        ("texts", "\"".repeat(100_000)),
        ("fat", format!("{{ {} }}", "💣".repeat(50_000))),
        ("wide", format!("{{ {} }}", (0..5_000).map(|n| format!("a{n}: plans {{ key }} ")).collect::<String>())),
        ("unknown", format!("{{ {} }}", (0..5_000).map(|n| format!("unknown{n} ")).collect::<String>())),
        ("directives", format!("{{ plans {} {{ key }} }}", "@skip(if: false) ".repeat(2_000))),
    ];
    for (name, document) in documents {
        let (response, body) = app.send(post(JSON, json!({ "query": document }).to_string())).await;
        assert!(body.len() < 4_096, "{name}: {} bytes", body.len());
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert!(
            code(&answer).starts_with("GRAPHQL_"),
            "{name}: {} {}",
            response.status(),
            String::from_utf8_lossy(&body)
        );
    }
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "");
}

/// A failing statement is a masked error with the request's id, and the next request is served.
#[tokio::test(flavor = "multi_thread")]
async fn faults_of_ours_are_masked() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.by_hand("alter table shared.users rename column name to label").await;
    let answer = acme.user.run("{ viewer { name } }").await;
    assert_eq!(code(&answer), "INTERNAL", "{answer}");
    let text = answer.to_string();
    for secret in ["does not exist", "select", "users", "label", "DbError", "postgres", "src/"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(answer["errors"][0]["extensions"]["requestId"].as_str().is_some_and(|it| it.len() == 36));
    app.by_hand("alter table shared.users rename column label to name").await;
    assert_eq!(code(&acme.user.run("{ viewer { name } }").await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_headers_that_protect_a_browser() {
    let app = TestApp::start().await;
    for path in ["/graphiql", "/healthz", "/.well-known/jwks.json", "/graphql?query=%7Bplans%7Bkey%7D%7D"] {
        let (response, body) = app.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY")]
        {
            assert_eq!(response.headers()[name], value, "{path}");
        }
        if path == "/graphiql" {
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
            let page = String::from_utf8(body).unwrap();
            assert!(page.contains("Token") && page.contains("Sign in"), "a place for the token");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_database_is_said_with_retry_after() {
    let app = TestApp::start_with(crate::support::Options {
        wait: std::time::Duration::from_millis(300),
        ..Default::default()
    })
    .await;
    let acme = app.tenant("acme").await;
    // No new connection is accepted, and the old ones are closed.
    app.database
        .connect("postgres")
        .await
        .batch_execute("alter role tenantry_app in database postgres reset all")
        .await
        .unwrap();
    let elsewhere = TestApp::start().await;
    let admin = elsewhere.database.connect("postgres").await;
    admin.batch_execute(&format!("alter database {} allow_connections false", app.database.name)).await.unwrap();
    admin
        .query(
            &format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'", app.database.name),
            &[],
        )
        .await
        .unwrap();
    let body = json!({ "query": "{ viewer { id } }" }).to_string();
    for _ in 0..10 {
        let mut request = post(JSON, body.clone());
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {}", acme.user.token.as_ref().unwrap()).parse().unwrap());
        let (_, headers, answer) = send(&app, request).await;
        assert_eq!(code(&answer), "UNAVAILABLE", "{answer}");
        assert!(headers.contains_key(header::RETRY_AFTER));
    }
    admin.batch_execute(&format!("alter database {} allow_connections true", app.database.name)).await.unwrap();
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "");
}
