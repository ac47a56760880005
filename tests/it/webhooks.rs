//! A tenant's webhooks: signed, delivered at least once, and never to addresses that a tenant must not reach.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::support::{Options, Person, TestApp, TestTenant, code};

/// An endpoint that records its requests, and answers as configured.
#[derive(Clone)]
struct Receiver {
    url: String,
    state: Arc<Mutex<Received>>,
}

struct Received {
    answer: StatusCode,
    all: Vec<(HeaderMap, Vec<u8>)>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Received { answer: StatusCode::NO_CONTENT, all: Vec::new() }));
        let take = async |State(state): State<Arc<Mutex<Received>>>, headers: HeaderMap, body: Bytes| {
            let mut state = state.lock().unwrap();
            state.all.push((headers, body.to_vec()));
            (state.answer, [("location", "http://127.0.0.1:1/elsewhere")])
        };
        let router = Router::new().route("/hook", post(take)).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state }
    }

    fn answer(&self, status: u16) {
        self.state.lock().unwrap().answer = StatusCode::from_u16(status).unwrap();
    }

    /// The requests since the last call.
    fn take(&self) -> Vec<(HeaderMap, Vec<u8>)> {
        std::mem::take(&mut self.state.lock().unwrap().all)
    }
}

impl Person {
    async fn add_endpoint(&self, url: &str, events: Value) -> (String, String) {
        let answer = self.try_endpoint(json!({ "url": url, "events": events })).await;
        let payload = &answer["data"]["createWebhookEndpoint"];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        (text(&payload["endpoint"]["id"]), text(&payload["secret"]))
    }

    async fn try_endpoint(&self, input: Value) -> Value {
        let query = "mutation($input: CreateWebhookEndpointInput!) { createWebhookEndpoint(input: $input) { endpoint { id url events enabled } secret userErrors { code field message } } }";
        self.run_with(query, json!({ "input": input })).await
    }

    async fn endpoint(&self, id: &str) -> Value {
        let query = "{ webhookEndpoints { id enabled disabledReason failingSince deliveries { nodes { id event status attempts lastOutcome } } } }";
        let answer = self.run(query).await;
        let all = answer["data"]["webhookEndpoints"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        all.into_iter().find(|it| it["id"] == id).unwrap_or(Value::Null)
    }
}

/// Carries out due effects, and those due in the next minutes.
async fn work(app: &TestApp) {
    app.worker().run_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_and_messages_are_their_tenants_alone() {
    for app in crate::isolation::with_and_without_policies().await {
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        let receiver = Receiver::start().await;
        let (id, _) = acme.admin.add_endpoint(&receiver.url, json!([])).await;
        globex.booking(3).await;
        work(&app).await;
        assert!(receiver.take().is_empty(), "what happens elsewhere");
        acme.booking(3).await;
        work(&app).await;
        assert_eq!(receiver.take().len(), 1, "it was isolation");
        let delivery = acme.admin.endpoint(&id).await["deliveries"]["nodes"][0]["id"].clone();
        for (mutation, id) in [
            ("updateWebhookEndpoint(input: { id: $id, enabled: false })", json!(id)),
            ("rotateWebhookSecret(input: { id: $id })", json!(id)),
            ("deleteWebhookEndpoint(input: { id: $id })", json!(id)),
            ("retryWebhookDelivery(input: { id: $id })", delivery),
        ] {
            let query = format!("mutation($id: ID!) {{ {mutation} {{ userErrors {{ code }} }} }}");
            assert_eq!(code(&globex.admin.run_with(&query, json!({ "id": id })).await), "NOT_FOUND", "{mutation}");
            for person in [&acme.staff, &acme.user] {
                assert_eq!(code(&person.run_with(&query, json!({ "id": id })).await), "FORBIDDEN", "{mutation}");
            }
        }
        assert_eq!(globex.admin.endpoint(&id).await, Value::Null);
        assert_eq!(code(&acme.staff.run("{ webhookEndpoints { id } }").await), "FORBIDDEN");
        assert_eq!(code(&acme.staff.try_endpoint(json!({ "url": receiver.url })).await), "FORBIDDEN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_signed_as_standard_webhooks_says() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    acme.admin.link(&acme.service, &[(&anna, 0)]).await;
    let receiver = Receiver::start().await;
    let (id, secret) = acme.admin.add_endpoint(&receiver.url, json!([])).await;
    let (_, other_secret) = acme.admin.add_endpoint(&receiver.url, json!(["COMPLETED", "COMPLETED"])).await;
    let booking = acme.booking(3).await;
    work(&app).await;
    let messages = receiver.take();
    assert_eq!(messages.len(), 1, "the other one wants to hear of something else");
    let (headers, body) = &messages[0];
    // The test's clock is ahead of the library's: the signature uses the stated time.
    let signed = |secret: &str, headers: &HeaderMap, body: &[u8]| {
        let header = |name: &str| headers[name].to_str().unwrap();
        let seconds: i64 = header("webhook-timestamp").parse().unwrap();
        let expected = Webhook::new(secret).unwrap().sign(header("webhook-id"), seconds, body).unwrap();
        header("webhook-signature").split(' ').any(|it| it == expected)
    };
    assert!(signed(&secret, headers, body) && !signed(&other_secret, headers, body));
    assert!(!signed(&secret, headers, b"{}"));
    assert_eq!(headers["webhook-timestamp"], app.clock.now().as_second().to_string());
    assert_eq!(headers["content-type"], "application/json");
    let told: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        told,
        json!({
            "type": "booking.confirmed",
            "timestamp": app.clock.now().to_string(),
            "data": {
                "id": booking, "version": 1, "status": "CONFIRMED", "startsAt": acme.in_days(3).to_string(),
                "endsAt": (acme.in_days(3) + SignedDuration::from_mins(45)).to_string(), "timeZone": "Europe/Amsterdam",
                "serviceId": acme.service, "customerId": acme.user.id.to_string(), "resourceIds": [anna], "seriesId": null
            }
        })
    );
    // A new secret, and for a day the previous one.
    app.clock.advance(SignedDuration::from_secs(1));
    let rotate = "mutation($id: ID!) { rotateWebhookSecret(input: { id: $id }) { secret userErrors { code } } }";
    let rotated = acme.admin.run_with(rotate, json!({ "id": id })).await;
    let newer = rotated["data"]["rotateWebhookSecret"]["secret"].as_str().unwrap().to_owned();
    for (hours, old_one) in [(0, true), (23, true), (2, false)] {
        app.clock.advance(SignedDuration::from_hours(hours));
        let at = app.clock.now() + SignedDuration::from_hours(24 * 5);
        assert_eq!(code(&acme.user.book(&acme.service, at).await), "");
        work(&app).await;
        let (headers, body) = &receiver.take()[0];
        assert_eq!((signed(&newer, headers, body), signed(&secret, headers, body)), (true, old_one), "{hours}");
    }
    app.worker().purge().await;
    assert_eq!(app.truth("select count(*) from shared.webhook_secrets").await, ["2"], "what signs no more is gone");
    // The secret is shown once, and is in no log.
    let seen =
        app.truth("select string_agg(e::text, ' ') from shared.audit_events e where action like 'webhooks.%'").await;
    assert!(!seen[0].contains(&secret[6..]) && seen[0].contains("webhooks.rotate_secret"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_and_what_fails_for_days_is_disabled() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::start().await;
    let (id, _) = acme.admin.add_endpoint(&receiver.url, json!([])).await;
    receiver.answer(500);
    acme.booking(3).await;
    work(&app).await;
    let first = receiver.take();
    assert_eq!(first.len(), 1);
    assert_eq!(acme.admin.endpoint(&id).await["deliveries"]["nodes"][0]["lastOutcome"], "status 500");
    // A redirect is no success, and is not followed.
    receiver.answer(302);
    app.clock.advance(SignedDuration::from_secs(20));
    work(&app).await;
    assert_eq!(receiver.take().len(), 1);
    assert_eq!(acme.admin.endpoint(&id).await["deliveries"]["nodes"][0]["status"], "PENDING");
    receiver.answer(200);
    app.clock.advance(SignedDuration::from_mins(2));
    work(&app).await;
    let again = receiver.take();
    assert_eq!(
        (again.len(), &again[0].0["webhook-id"], &again[0].1),
        (1, &first[0].0["webhook-id"], &first[0].1),
        "the same message"
    );
    let seen = acme.admin.endpoint(&id).await;
    assert_eq!(seen["deliveries"]["nodes"][0]["status"], "DELIVERED");
    assert_eq!((&seen["deliveries"]["nodes"][0]["attempts"], &seen["failingSince"]), (&json!(3), &Value::Null));
    app.clock.advance(SignedDuration::from_hours(1));
    work(&app).await;
    assert!(receiver.take().is_empty(), "taken is taken");
    // Sent again on request.
    let retry =
        "mutation($id: ID!) { retryWebhookDelivery(input: { id: $id }) { delivery { status } userErrors { code } } }";
    let delivery = seen["deliveries"]["nodes"][0]["id"].clone();
    assert_eq!(code(&acme.admin.run_with(retry, json!({ "id": delivery })).await), "");
    assert_eq!(code(&acme.admin.run_with(retry, json!({ "id": delivery })).await), "INVALID_TRANSITION", "on its way");
    work(&app).await;
    assert_eq!(receiver.take().len(), 1);
    // An endpoint that has just failed is paused for a moment: a second message is not sent.
    receiver.answer(503);
    for days in [10, 11] {
        assert_eq!(
            code(&acme.user.book(&acme.service, app.clock.now() + SignedDuration::from_hours(24 * days)).await),
            ""
        );
    }
    work(&app).await;
    assert_eq!(receiver.take().len(), 1);
    // Five days of failures only: it is disabled, and the administrator is notified.
    app.mails().await;
    for _ in 0..11 {
        app.clock.advance(SignedDuration::from_hours(12));
        let at = app.clock.now() + SignedDuration::from_hours(24 * 20);
        assert_eq!(code(&acme.user.book(&acme.service, at).await), "");
        work(&app).await;
    }
    let seen = acme.admin.endpoint(&id).await;
    assert_eq!((&seen["enabled"], &seen["disabledReason"]), (&json!(false), &json!("FAILING")), "{seen}");
    let mails = app.mails().await;
    let told: Vec<_> = mails.iter().filter(|it| it.subject == "A webhook of ACME was disabled").collect();
    assert_eq!(told.len(), 1, "{mails:#?}");
    assert!(told[0].to == acme.admin.email && told[0].text.contains(&receiver.url));
    receiver.take();
    app.clock.advance(SignedDuration::from_hours(24 * 3));
    work(&app).await;
    assert!(receiver.take().is_empty(), "nothing is sent to it");
    let open = app.truth("select count(*) from shared.webhook_deliveries where status = 'PENDING'").await;
    assert_eq!(open, ["0"], "and nothing waits for it");
    assert_eq!(
        app.truth("select count(*) from shared.outbox where kind = 'webhooks.send'").await,
        ["0"],
        "nor is a fault of ours"
    );
    assert_eq!(
        app.truth("select count(*) from shared.audit_events where action = 'webhooks.disable' and actor_id is null")
            .await,
        ["1"]
    );
    assert_eq!(code(&acme.admin.run_with(retry, json!({ "id": delivery })).await), "INVALID_TRANSITION", "disabled");
    // When enabled again it receives events from then on.
    let enable = "mutation($id: ID!) { updateWebhookEndpoint(input: { id: $id, enabled: true, description: \"ours\" }) { endpoint { disabledReason failingSince } userErrors { code } } }";
    let enabled = acme.admin.run_with(enable, json!({ "id": id })).await;
    assert_eq!(
        enabled["data"]["updateWebhookEndpoint"]["endpoint"],
        json!({ "disabledReason": null, "failingSince": null })
    );
    receiver.answer(410);
    assert_eq!(code(&acme.user.book(&acme.service, app.clock.now() + SignedDuration::from_hours(30)).await), "");
    work(&app).await;
    assert_eq!(acme.admin.endpoint(&id).await["disabledReason"], "GONE");
    // Kept for thirty days.
    app.clock.advance(SignedDuration::from_hours(31 * 24));
    app.worker().purge().await;
    assert_eq!(app.truth("select count(*) from shared.webhook_deliveries").await, ["0"]);
    let delete = "mutation($id: ID!) { deleteWebhookEndpoint(input: { id: $id }) { deletedId userErrors { code } } }";
    assert_eq!(
        acme.admin.run_with(delete, json!({ "id": id })).await["data"]["deleteWebhookEndpoint"]["deletedId"],
        id
    );
    assert_eq!(app.truth("select count(*) from shared.webhook_secrets").await, ["0"]);
}

/// Whatever address a tenant names, the server sends nothing to its own network.
#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_is_private() {
    let app = TestApp::start_with(Options { webhooks_may_be_private: false, ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::start().await;
    for url in [
        receiver.url.as_str(),
        "https://127.0.0.1/",
        "https://[::1]:8443/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/",
        "https://2130706433/",
        "https://user:secret@hooks.example.com/",
        "hello",
    ] {
        let refused = acme.admin.try_endpoint(json!({ "url": url })).await;
        let error = &refused["data"]["createWebhookEndpoint"]["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("INVALID"), &json!(["url"])), "{url}");
    }
    // An address that is saved anyway, or resolves differently by now, is not contacted.
    let (id, _) = acme.admin.add_endpoint("https://hooks.example.com/", json!([])).await;
    for url in [receiver.url.clone(), receiver.url.replace("http://127.0.0.1", "https://localhost")] {
        app.by_hand(&format!("update shared.webhook_endpoints set url = '{url}', paused_until = null")).await;
        acme_books(&acme).await;
        strict_worker(&app).run_until_idle().await;
        // The first due one was tried, and the other waits for a moment.
        let seen = acme.admin.endpoint(&id).await["deliveries"]["nodes"].as_array().unwrap().last().unwrap().clone();
        let outcome = seen["lastOutcome"].as_str().unwrap();
        assert!(["the address is not allowed", "the endpoint cannot be reached"].contains(&outcome), "{seen}");
    }
    assert!(receiver.take().is_empty());
    for _ in 1..20 {
        assert_eq!(code(&acme.admin.try_endpoint(json!({ "url": "https://hooks.example.com/" })).await), "");
    }
    assert_eq!(code(&acme.admin.try_endpoint(json!({ "url": "https://hooks.example.com/" })).await), "QUOTA_EXCEEDED");
}

async fn acme_books(acme: &TestTenant) {
    acme.app.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(3)).await), "");
}

/// As in production.
fn strict_worker(app: &TestApp) -> tenantry::worker::Worker {
    let folder = crate::support::cluster::folder().join("mail");
    let settings = tenantry::features::mail::MailSettings::Folder(folder);
    let mailer =
        tenantry::features::mail::Mailer::try_new(&settings, "no-reply@tenantry.test", "https://app.test/account")
            .unwrap();
    let client = tenantry::base::egress::WebhookClient::new(false);
    tenantry::worker::Worker::new(tenantry::worker::WorkerParts {
        gate: app.gate.clone(),
        sign_in: app.sign_in.clone(),
        mailer: Arc::new(mailer),
        webhooks: client,
        billing: app.billing.clone(),
        rates: app.rates.clone(),
        clock: app.clock.clone(),
    })
}

/// Wall 2 alone: only the signing worker reads a secret.
#[tokio::test(flavor = "multi_thread")]
async fn not_even_administrators_read_secrets() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::start().await;
    acme.admin.add_endpoint(&receiver.url, json!([])).await;
    let client = app.database.connect("tenantry_app").await;
    client.batch_execute("begin; set local search_path = shared").await.unwrap();
    client
        .query("select enter($1, $2, 'ADMIN', $3, true)", &[&acme.id, &acme.admin.id, &acme.admin.viewer.session])
        .await
        .unwrap();
    assert_eq!(client.query("select from webhook_endpoints", &[]).await.unwrap().len(), 1);
    assert!(client.query("select from webhook_secrets", &[]).await.unwrap().is_empty());
}

/// Two failures with quiet days between them are not five days of failure.
#[tokio::test(flavor = "multi_thread")]
async fn quiet_days_are_no_days_of_failure() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let receiver = Receiver::start().await;
    let (id, _) = acme.admin.add_endpoint(&receiver.url, json!([])).await;
    receiver.answer(500);
    acme.booking(30).await;
    // It is given up after about two days.
    for _ in 0..27 {
        work(&app).await;
        app.clock.advance(SignedDuration::from_hours(4));
    }
    assert_eq!(acme.admin.endpoint(&id).await["deliveries"]["nodes"][0]["status"], "FAILED");
    app.clock.advance(SignedDuration::from_hours(24 * 4));
    acme.booking(20).await;
    work(&app).await;
    let seen = acme.admin.endpoint(&id).await;
    assert_eq!(
        (&seen["enabled"], &seen["failingSince"]),
        (&json!(true), &json!(app.clock.now().to_string())),
        "{seen}"
    );
}
