//! Named documents: trusted documents of a manifest, persisted queries; and batches.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use tenantry::{
    graphql::Limits,
    http::{Documents, ManifestError},
};

use crate::support::{Options, Person, TestApp, code};

/// Sends a body unchanged, with the person's token; returns the status too.
async fn post(person: &Person, body: &Value) -> (u16, Value) {
    let mut request = Request::post("/graphql").header("content-type", "application/json");
    if let Some(token) = &person.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let (response, body) = person.app.send(request.body(Body::from(body.to_string())).unwrap()).await;
    (response.status().as_u16(), serde_json::from_slice(&body).unwrap())
}

fn hash(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|it| format!("{it:02x}")).collect()
}

fn persisted(text: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash(text) } })
}

/// With a manifest, only documents in it run, however they are sent.
#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_documents_are_run() {
    let (viewer, rename) = (
        "query Me { viewer { name } }",
        "mutation Rename($id: ID!, $name: String!) { updateUser(input: { id: $id, name: $name }) { user { name } } }",
    );
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("persisted-documents.json");
    // As graphql-codegen writes it, with whichever hash it was configured to use.
    std::fs::write(&manifest, json!({ hash(viewer): viewer, "rename-1": rename }).to_string()).unwrap();
    let documents = Documents::try_trusted(&manifest).unwrap();
    let app = TestApp::start_with(Options { documents, ..Options::default() }).await;
    let id = app.bare("acme").await;
    let user = app.person(id, "user", "acme", tenantry::core::identity::Role::User).await;
    for refused in [
        json!({ "query": "{ viewer { name } }" }),
        json!({ "query": viewer }),
        json!({ "query": "{ __schema { types { name } } }" }),
        json!({ "documentId": "unknown" }),
        json!({ "documentId": "unknown", "query": viewer }),
        json!({ "query": "{ plans { key } }", "extensions": persisted("{ plans { key } }") }),
        json!({ "extensions": persisted("{ plans { key } }") }),
    ] {
        let answer = post(&user, &refused).await.1;
        assert_eq!(code(&answer), "GRAPHQL_PERSISTED_QUERY_NOT_FOUND", "{refused}: {answer}");
        assert_eq!(answer.get("data"), None);
    }
    for trusted in [
        json!({ "documentId": hash(viewer) }),
        json!({ "documentId": format!("sha256:{}", hash(viewer)) }),
        json!({ "extensions": persisted(viewer) }),
        // A document sent beside the id is ignored.
        json!({ "documentId": hash(viewer), "query": "{ plans { key } }" }),
    ] {
        let answer = post(&user, &trusted).await.1;
        assert_eq!(answer["data"]["viewer"]["name"], "user of acme", "{trusted}: {answer}");
    }
    let variables = json!({ "id": user.id.to_string(), "name": "Renamed" });
    let answer = post(&user, &json!({ "documentId": "rename-1", "variables": variables })).await.1;
    assert_eq!(answer["data"]["updateUser"]["user"]["name"], "Renamed", "{answer}");
    // By GET too: queries only.
    let get = async |id: &str| {
        let uri = format!("/graphql?documentId={id}&variables=%7B%22id%22%3A%22x%22%2C%22name%22%3A%22y%22%7D");
        let (response, body) = app.send(Request::get(uri).body(Body::empty()).unwrap()).await;
        (response.status().as_u16(), String::from_utf8(body).unwrap())
    };
    assert_eq!(get(&hash(viewer)).await.0, 200);
    assert_eq!(get("rename-1").await.0, 405);
    assert!(get("unknown").await.1.contains("GRAPHQL_PERSISTED_QUERY_NOT_FOUND"));

    for (wrong, text) in [("no object", "[]"), ("no text", "{\"a\": 1}"), ("no document", "{\"a\": \"query {\"}")] {
        std::fs::write(&manifest, text).unwrap();
        assert!(Documents::try_trusted(&manifest).is_err(), "{wrong}");
    }
    assert!(matches!(Documents::try_trusted(&folder.path().join("none")), Err(ManifestError::File(..))));
}

/// A document that was sent with its hash is found by it, only by people of the same tenant.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_remembered_for_its_tenant() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let text = "{ viewer { name role } }";
    let by_hash = json!({ "extensions": persisted(text) });
    let unknown = post(&acme.user, &by_hash).await.1;
    assert_eq!(code(&unknown), "GRAPHQL_PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(unknown["errors"][0]["message"], "PersistedQueryNotFound", "what clients wait for");
    // A hash of something else is refused.
    let forged = post(&acme.user, &json!({ "query": "{ plans { key } }", "extensions": persisted(text) })).await.1;
    assert_eq!(
        (code(&forged), &forged["errors"][0]["extensions"]["field"]),
        ("BAD_USER_INPUT", &json!("extensions.persistedQuery.sha256Hash"))
    );
    assert_eq!(code(&post(&acme.user, &by_hash).await.1), "GRAPHQL_PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(code(&post(&acme.user, &json!({ "query": text, "extensions": persisted(text) })).await.1), "");
    for person in [&acme.user, &acme.admin] {
        assert_eq!(post(person, &by_hash).await.1["data"]["viewer"]["name"], person.name(), "known by now");
    }
    for stranger in [&globex.user, &app.anonymous()] {
        assert_eq!(
            code(&post(stranger, &by_hash).await.1),
            "GRAPHQL_PERSISTED_QUERY_NOT_FOUND",
            "nobody else can tell"
        );
    }
    for bad in [
        json!({ "persistedQuery": { "version": 2, "sha256Hash": hash(text) } }),
        json!({ "persistedQuery": { "version": 1, "sha256Hash": "zz" } }),
        json!({ "persistedQuery": { "version": 1 } }),
        json!({ "persistedQuery": "é".repeat(32) }),
    ] {
        assert_eq!(code(&post(&acme.user, &json!({ "extensions": bad })).await.1), "BAD_USER_INPUT", "{bad}");
    }
    assert_eq!(
        code(&post(&acme.user, &json!({ "documentId": "x", "query": text })).await.1),
        "GRAPHQL_PERSISTED_QUERY_NOT_FOUND"
    );
    // A document that does not parse is not cached.
    let broken = "{ viewer {";
    assert_eq!(
        code(&post(&acme.user, &json!({ "query": broken, "extensions": persisted(broken) })).await.1),
        "GRAPHQL_PARSE_FAILED"
    );
    assert_eq!(
        code(&post(&acme.user, &json!({ "extensions": persisted(broken) })).await.1),
        "GRAPHQL_PERSISTED_QUERY_NOT_FOUND"
    );
}

/// Off by default; when enabled, each request of a batch is independent.
#[tokio::test(flavor = "multi_thread")]
async fn batches_are_off_or_small() {
    let off = TestApp::start().await;
    let batch = json!([{ "query": "{ plans { key } }" }]);
    let (status, answer) = post(&off.anonymous(), &batch).await;
    assert_eq!((status, code(&answer)), (400, "BAD_USER_INPUT"), "{answer}");

    let app =
        TestApp::start_with(Options { request: Limits { batch: 3, ..Limits::default() }, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let rename = |name: &str| {
        let query =
            "mutation($id: ID!, $name: String!) { updateUser(input: { id: $id, name: $name }) { user { name } } }";
        json!({ "query": query, "variables": { "id": acme.user.id.to_string(), "name": name } })
    };
    let three = json!([rename("First"), { "query": "{ nonsense }" }, { "query": "{ viewer { name } }" }]);
    let (status, answer) = post(&acme.user, &three).await;
    assert_eq!(status, 200);
    assert_eq!(answer[0]["data"]["updateUser"]["user"]["name"], "First", "{answer}");
    assert_eq!(code(&answer[1]), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(answer[2]["data"]["viewer"]["name"], "First", "one after the other");
    let ids: std::collections::HashSet<_> = answer
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["errors"][0]["extensions"]["requestId"].as_str())
        .collect();
    assert_eq!(ids.len(), 1);
    for refused in [json!([]), json!([rename("1"), rename("2"), rename("3"), rename("4")]), json!([1])] {
        assert_eq!(post(&acme.user, &refused).await.0, 400, "{refused}");
    }
    assert_eq!(acme.user.run("{ viewer { name } }").await["data"]["viewer"]["name"], "First", "nothing of it was run");
}

/// Caching a document changes no answer: the same as of a server that sees each request for the first time.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_document_changes_no_answer() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let globex = app.tenant("globex").await;
    let query = "query Q($id: ID!, $first: Int, $search: String, $kind: ResourceKind, $more: Boolean = false) {
        service(id: $id) { id name }
        services(first: $first, filter: { search: $search }) { nodes { name price @include(if: $more) { amount } } }
        resources(filter: { kind: $kind }) { nodes { name } } }";
    let several = "query A($first: Int) { services(first: $first) { nodes { name } } } query B($id: ID!) { service(id: $id) { name } }";
    let mut asked = Vec::new();
    for variables in [
        json!({ "id": acme.service }),
        json!({ "id": globex.service }),
        json!({ "id": acme.service, "first": 1, "search": "hair" }),
        json!({ "id": acme.service, "first": 100, "search": "nothing" }),
        json!({ "id": acme.service, "first": 101 }),
        json!({ "id": acme.service, "first": "1" }),
        json!({ "id": acme.service, "first": 5_000_000_000_i64 }),
        json!({ "id": acme.service, "first": null, "search": null, "more": true }),
        json!({ "id": acme.service, "search": 5 }),
        json!({ "id": acme.service, "search": "\u{0}" }),
        json!({ "id": acme.service, "kind": "STAFF" }),
        json!({ "id": acme.service, "kind": "NONE" }),
        json!({ "id": acme.service, "more": "yes" }),
        json!({ "id": { "x": 1 } }),
        json!({ "id": ["a"] }),
        json!({ "id": 7 }),
        json!({ "id": "svc_nothing" }),
        json!({ "id": null }),
        json!({}),
    ] {
        asked.push(json!({ "query": query, "variables": variables }));
    }
    for operation in ["A", "B", "C"] {
        asked.push(
            json!({ "query": several, "operationName": operation, "variables": { "first": 1, "id": acme.service } }),
        );
        asked.push(json!({ "query": several, "operationName": operation, "variables": { "first": "x", "id": 5 } }));
    }
    let mut first = Vec::new();
    for body in &asked {
        let mut fresh = acme.admin.clone();
        fresh.app = TestApp::on(app.database.clone(), Options::default()).await;
        first.push(told(post(&fresh, body).await));
    }
    assert!(first.iter().filter(|it| it.1["errors"].is_null()).count() > 5);
    for round in 0..3 {
        for at in 0..asked.len() {
            // In a different order each time, so that each follows each other one.
            let at = (at * (2 * round + 1) + round) % asked.len();
            assert_eq!(told(post(&acme.admin, &asked[at]).await), first[at], "{}", asked[at]);
        }
    }
}

/// An answer without the parts that differ in each request.
fn told((status, mut answer): (u16, Value)) -> (u16, Value) {
    answer.as_object_mut().unwrap().remove("extensions");
    for error in answer.get_mut("errors").and_then(Value::as_array_mut).into_iter().flatten() {
        error["extensions"].as_object_mut().unwrap().remove("requestId");
    }
    (status, answer)
}

/// A variable that the request omits has its default wherever it is used: what a client asks to leave alone is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn directives_go_by_the_defaults_of_variables() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let id = json!(acme.user.id.to_string());
    let names = "select name from shared.users where email = 'user@acme.test'";
    let before = acme.truth(names).await;
    for directive in [
        "$b: Boolean = true) { updateUser(input: I) @skip(if: $b)",
        "$b: Boolean! = false) { updateUser(input: I) @include(if: $b)",
    ] {
        let query = format!("mutation($i: ID!, {directive} {{ user {{ name }} userErrors {{ code }} }} __typename }}");
        let query = query.replace("input: I", "input: { id: $i, name: \"X\" }");
        let skipped = acme.admin.run_with(&query, json!({ "i": id })).await;
        assert_eq!(skipped["data"], json!({ "__typename": "Mutation" }), "{query} {skipped}");
        assert_eq!(acme.truth(names).await, before, "{query}");
        // What the request says counts more.
        let runs = json!({ "i": id, "b": directive.contains("@include") });
        assert_eq!(acme.admin.run_with(&query, runs).await["data"]["updateUser"]["user"]["name"], "X", "{query}");
        let back = "mutation($i: ID!, $n: String!) { updateUser(input: { id: $i, name: $n }) { userErrors { code } } }";
        assert_eq!(code(&acme.admin.run_with(back, json!({ "i": id, "n": before[0] })).await), "");
    }
    let included = "query($b: Boolean = true) { viewer { id @include(if: $b) email @skip(if: $b) } }";
    let viewer = acme.user.run(included).await["data"]["viewer"].clone();
    assert_eq!(viewer, json!({ "id": id }));
    assert_eq!(
        acme.user.run_with(included, json!({ "b": false })).await["data"]["viewer"],
        json!({ "email": "user@acme.test" })
    );
}
