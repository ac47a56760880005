//! The audit log: complete, chained, and visible only to those who may read it.

use std::path::Path;

use axum::{body::Body, http::Request};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Person, TestApp, TestTenant, code};

const VERIFY: &str = "{ verifyAuditChain { intact events endDiffers broken { sequence action } } }";

async fn verify(tenant: &TestTenant) -> Value {
    let answer = tenant.admin.run(VERIFY).await;
    assert_eq!(code(&answer), "", "{answer}");
    answer["data"]["verifyAuditChain"].clone()
}

async fn actions(app: &TestApp, tenant: &TestTenant) -> Vec<String> {
    app.truth(&format!("select action from shared.audit_events where tenant_id = '{}' order by seq", tenant.id.0)).await
}

/// Sixteen writers at once in one tenant: every event has its position, and the chain is valid.
#[tokio::test(flavor = "multi_thread")]
async fn the_chain_holds_however_many_write() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let before = actions(&app, &acme).await.len();
    let rename =
        "mutation($id: ID!, $name: String) { a: updateUser(input: { id: $id, name: $name }) { userErrors { code } }
        b: updateUser(input: { id: $id, name: \"Both\" }) { userErrors { code } } }";
    let writers = (0..16).map(|at| {
        let (person, id) =
            if at % 2 == 0 { (acme.user.clone(), acme.user.id) } else { (acme.admin.clone(), acme.other.id) };
        async move { person.run_with(rename, json!({ "id": id.to_string(), "name": format!("Name {at}") })).await }
    });
    for answer in join_all(writers).await {
        assert_eq!(code(&answer), "", "{answer}");
    }
    let events = actions(&app, &acme).await.len();
    assert_eq!(events, before + 32);
    assert_eq!(verify(&acme).await, json!({ "intact": true, "events": events, "endDiffers": false, "broken": [] }));
    assert_eq!(verify(&globex).await["intact"], true);
    let places =
        app.truth(&format!("select seq from shared.audit_events where tenant_id = '{}' order by seq", acme.id.0)).await;
    assert_eq!(places, (1..=events).map(|it| it.to_string()).collect::<Vec<_>>());
    assert_eq!(code(&acme.staff.run(VERIFY).await), "FORBIDDEN");
}

/// One byte changed in any column of any event, one event removed, one inserted: the event is named.
#[tokio::test(flavor = "multi_thread")]
async fn any_change_of_any_event_is_named() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.booking(3).await;
    let rename = "mutation($id: ID!) { updateUser(input: { id: $id, name: \"Ursula\" }) { userErrors { code } } }";
    acme.user.run_with(rename, json!({ "id": acme.user.id.to_string() })).await;
    assert_eq!(verify(&acme).await["intact"], true);
    let events = actions(&app, &acme).await;
    let superuser = app.database.connect("postgres").await;
    let columns = app.truth("select attname from pg_attribute where attrelid = 'shared.audit_events'::regclass and attnum > 0 and attname not in ('tenant_id', 'seq')").await;
    assert!(columns.len() >= 12, "{columns:?}");
    for at in [1, 2, events.len() / 2, events.len()] {
        for column in &columns {
            let change = match column.as_str() {
                "id" => "gen_random_uuid()".into(),
                "actor_id" | "object_id" | "request_id" => {
                    format!("case when {column} is null then gen_random_uuid() end")
                }
                "at" => "at + interval '1 microsecond'".into(),
                "hash" => "set_byte(hash, 31, get_byte(hash, 31) # 1)".into(),
                "changes" => "changes || '{\"x\": 1}'".into(),
                "actor_role" => "case actor_role when 'ADMIN' then 'STAFF' else 'ADMIN' end".into(),
                "address" | "impersonator" => format!("coalesce({column}, 'a@b.co') || 'x'"),
                _ => format!("{column} || 'x'"),
            };
            let place = format!("where tenant_id = '{}' and seq = {at}", acme.id.0);
            superuser
                .batch_execute(&format!("create table keep as select * from shared.audit_events {place}"))
                .await
                .unwrap();
            superuser
                .batch_execute(&format!("update shared.audit_events set {column} = {change} {place}"))
                .await
                .unwrap();
            let found = verify(&acme).await;
            assert_eq!(found["intact"], false, "{column} of {at}");
            // A changed hash breaks the link to the next event too.
            let named: Vec<i64> =
                found["broken"].as_array().unwrap().iter().map(|it| it["sequence"].as_i64().unwrap()).collect();
            assert_eq!(named.first(), Some(&(at as i64)), "{column} of {at}: {found}");
            assert!(column == "hash" || named.len() == 1, "{column} of {at}: {found}");
            superuser
                .batch_execute(&format!("delete from shared.audit_events {place}; insert into shared.audit_events select * from keep; drop table keep"))
                .await
                .unwrap();
        }
    }
    assert_eq!(verify(&acme).await["intact"], true);
    for (change, names) in [
        ("delete from shared.audit_events where seq = 3", Some(4)),
        ("update shared.audit_heads set seq = seq + 1", None),
        ("delete from shared.audit_events where seq = (select max(seq) from shared.audit_events)", None),
        ("update shared.audit_personal_values set value = value || 'x'", Some(1)),
    ] {
        // In a database of its own, since none of this can be undone.
        let app = TestApp::start().await;
        let acme = app.tenant("acme").await;
        acme.booking(3).await;
        assert_eq!(verify(&acme).await["intact"], true);
        app.by_hand(change).await;
        let found = verify(&acme).await;
        assert_eq!(found["intact"], false, "{change}");
        match names {
            Some(place) => assert_eq!(found["broken"][0]["sequence"], place, "{change}: {found}"),
            None => assert_eq!(found["endDiffers"], true, "{change}: {found}"),
        }
    }
}

/// A field's event is logged only if its change is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_was_undone_is_not_in_the_log() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let before = actions(&app, &acme).await.len();
    let id = acme.user.id.to_string();
    let good = format!("updateUser(input: {{ id: \"{id}\", name: \"Good\" }}) {{ userErrors {{ code }} }}");
    let bad = format!("updateUser(input: {{ id: \"{id}\", name: \"\" }}) {{ userErrors {{ code }} }}");
    let taken = "createService(input: { name: \"Haircut\", durationMinutes: 5, price: { amount: \"1\", currency: \"EUR\" } }) { userErrors { code } }";
    acme.admin.run(&format!("mutation {{ a: {bad} b: {good} c: {taken} }}")).await;
    assert_eq!(actions(&app, &acme).await[before..], ["users.update"]);
}

/// Failed sign-ins and refusals by role are logged; those of unknown emails are not.
#[tokio::test(flavor = "multi_thread")]
async fn failures_and_refusals_are_logged() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let before = actions(&app, &acme).await.len();
    for email in ["user@acme.test", "nobody@acme.test"] {
        let login =
            "mutation($e: String!) { login(input: { email: $e, password: \"wrong\" }) { userErrors { code } } }";
        assert_eq!(code(&app.anonymous().run_with(login, json!({ "e": email })).await), "WRONG_CREDENTIALS");
    }
    app.mails().await; // background work
    assert_eq!(
        code(&acme.user.run("{ harmless: users { nodes { id } } viewer { id } x: users { nodes { id } } }").await),
        "FORBIDDEN"
    );
    let invite = "mutation { inviteUser(input: { email: \"a@b.co\", role: ADMIN }) { userErrors { code } } }";
    app.clock.advance(jiff::SignedDuration::from_secs(1));
    assert_eq!(code(&acme.staff.run(invite).await), "FORBIDDEN");
    app.clock.advance(jiff::SignedDuration::from_secs(1));
    assert_eq!(code(&acme.staff.run("{ platform { statistics { newInThirtyDays } } }").await), "FORBIDDEN");
    assert_eq!(
        actions(&app, &acme).await[before..],
        ["sessions.login_failed", "access.refused", "access.refused", "access.refused"]
    );
    let query = "{ refused: auditEvents(filter: { action: \"access.refused\" }) { nodes { actor { email } changes { field after } } }
        failed: auditEvents(filter: { action: \"sessions.login_failed\" }) { nodes { actor { email } } } }";
    let log = acme.admin.run(query).await;
    let nodes = &log["data"]["refused"]["nodes"];
    assert_eq!(
        nodes[1]["changes"],
        json!([{ "field": "field", "after": "\"inviteUser\"" }, { "field": "times", "after": "1" }]),
        "{log}"
    );
    assert_eq!(nodes[1]["actor"]["email"], "staff@acme.test");
    assert_eq!(log["data"]["failed"]["nodes"], json!([{ "actor": { "email": "user@acme.test" } }]));
    assert_eq!(verify(&acme).await["intact"], true);
}

/// Every mutation of the schema that a person of a tenant can run leaves an event.
#[tokio::test(flavor = "multi_thread")]
async fn no_mutation_is_without_an_event() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let answer = acme.admin.run("{ __schema { mutationType { fields { name } } } }").await;
    let names: Vec<&str> = answer["data"]["__schema"]["mutationType"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    // By its name in the sources: each field's rule records the event in the transaction of the change.
    let text = rules_below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/features")));
    let event_of = |name: &str| match name {
        "login" => "sessions.login",
        "logout" => "sessions.logout",
        "refreshSession" => "sessions.refresh",
        "revokeSession" => "sessions.revoke",
        "revokeOtherSessions" => "sessions.revoke_others",
        "signUp" => "tenants.create",
        "registerUser" => "users.register",
        "confirmRegistration" => "users.join",
        "acceptInvitation" => "invitations.accept",
        "requestPasswordReset" => "users.request_password_reset",
        "resetPassword" => "users.reset_password",
        "changePassword" => "users.change_password",
        "requestEmailVerification" => "users.request_email_verification",
        "verifyEmail" => "users.verify_email",
        "updateTenant" | "updateTenantAsPlatform" => "tenants.update",
        "updateUser" => "users.update",
        "updateMailPreferences" => "users.update_mail_preferences",
        "updateUserRole" => "users.set_role",
        "deactivateUser" | "reactivateUser" => "users.set_status",
        "revokeUserSessions" => "users.revoke_sessions",
        "deleteUser" => "users.erase",
        "inviteUser" => "invitations.create",
        "resendInvitation" => "invitations.resend",
        "revokeInvitation" => "invitations.revoke",
        "createService" => "services.create",
        "updateService" => "services.update",
        "deleteService" => "services.delete",
        "setServiceResources" => "services.set_resources",
        "setOpeningHours" => "hours.set",
        "setOpeningOverride" => "hours.override",
        "deleteOpeningOverride" => "hours.restore",
        "createResource" => "resources.create",
        "updateResource" => "resources.update",
        "deleteResource" => "resources.delete",
        "createBooking" => "bookings.create",
        "rescheduleBooking" => "bookings.reschedule",
        "holdSlot" => "bookings.hold",
        "confirmHold" => "bookings.confirm_hold",
        "updateBookingStatus" | "cancelBooking" | "cancelBookingSeries" => "bookings.set_status",
        "importHolidays" => "hours.import",
        "deleteHolidays" => "hours.delete_holidays",
        "createBookingSeries" => "series.create",
        "joinWaitlist" => "waitlist.join",
        "leaveWaitlist" => "waitlist.leave",
        "rotateCalendarFeed" => "calendars.rotate_feed",
        "deleteCalendarFeed" => "calendars.delete_feed",
        "createWebhookEndpoint" => "webhooks.create",
        "updateWebhookEndpoint" => "webhooks.update",
        "rotateWebhookSecret" => "webhooks.rotate_secret",
        "deleteWebhookEndpoint" => "webhooks.delete",
        "retryWebhookDelivery" => "webhooks.send_again",
        "platformLogin" => "sessions.login",
        "platformLogout" => "sessions.logout",
        "createTenant" => "tenants.create",
        "moveTenant" => "tenants.move",
        "abortTenantMove" => "tenants.abort_move",
        "suspendTenant" => "tenants.suspend",
        "inviteAdministrator" => "tenants.invite_administrator",
        "activateTenant" => "tenants.activate",
        "deleteTenant" => "tenants.delete",
        "restoreTenant" => "tenants.restore",
        "changeTenantPlan" => "tenants.change_plan",
        "setFeature" => "tenants.set_feature",
        "impersonate" => "sessions.impersonate",
        "createCheckoutSession" => "billing.checkout",
        "createBillingPortalSession" => "billing.portal",
        "changePlan" => "billing.change_plan",
        "cancelSubscription" => "billing.cancel",
        "payInvoice" => "billing.pay",
        "keepSubscription" => "billing.keep_plan",
        "updateBillingProfile" => "billing.update_profile",
        "recordUsage" => "usage.record",
        "createPlan" => "plans.create",
        "updatePlan" => "plans.update",
        "draftPlanVersion" => "plans.draft",
        "publishPlanVersion" => "plans.publish",
        "rollOutFeature" => "features.roll_out",
        "pauseSubscription" => "billing.pause",
        "setTaxRate" => "billing.set_tax",
        "voidInvoice" => "billing.settle_invoice",
        "recordInvoicePayment" => "billing.record_payment",
        "creditInvoice" => "billing.credit_invoice",
        "retryPaymentEvent" => "payments.retry",
        other => panic!("say here which event {other} leaves, and test it"),
    };
    for name in names {
        assert!(text.contains(&format!("\"{}\"", event_of(name))), "{name}");
    }
}

async fn export(person: &Person, path: &str) -> (u16, Option<String>, String) {
    let mut request = Request::get(path);
    if let Some(token) = &person.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let (response, body) = person.app.send(request.body(Body::empty()).unwrap()).await;
    let media_type = response.headers().get("content-type").map(|it| it.to_str().unwrap().to_owned());
    (response.status().as_u16(), media_type, String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_export_the_whole_log() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    globex.booking(3).await;
    let rename =
        "mutation($id: ID!) { updateUser(input: { id: $id, name: \"=1+1, \\\"Ursula\\\"\" }) { userErrors { code } } }";
    acme.user.run_with(rename, json!({ "id": acme.user.id.to_string() })).await;
    // More than one step of a verification contains.
    app.by_hand(&format!(
        "insert into shared.audit_events (tenant_id, id, at, actor_role, action, object_type, seq, hash)
         select '{}', gen_random_uuid(), now(), 'WORKER', 'test.event', 'test', 1000 + n, decode(repeat('00', 32), 'hex') from generate_series(1, 1200) n",
        acme.id.0
    ))
    .await;
    for (person, status) in
        [(&acme.staff, 403), (&acme.user, 403), (&app.anonymous(), 401), (&app.bearer(Some("x")), 401)]
    {
        assert_eq!(export(person, "/audit-events.csv").await.0, status);
    }
    let (status, media_type, csv) = export(&acme.admin, "/audit-events.csv").await;
    assert_eq!((status, media_type.as_deref()), (200, Some("text/csv; charset=utf-8; header=present")));
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap().get(5), Some("action"));
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let all = app.truth(&format!("select count(*) from shared.audit_events where tenant_id = '{}'", acme.id.0)).await;
    assert_eq!(rows.len().to_string(), all[0]);
    assert!(rows.iter().any(|row| row[8].contains("=1+1") && row[8].contains("Ursula")));
    assert!(!csv.contains("globex"));
    let (status, _, lines) = export(&acme.admin, "/audit-events.jsonl").await;
    assert_eq!(status, 200);
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), rows.len() + 1, "the first export is in it");
    assert_eq!(events[0]["sequence"], 1);
    assert!(
        events.iter().any(|it| it["action"] == "audit.export" && it["actor_id"] == acme.admin.id.to_string().as_str()),
        "{lines}"
    );
    // A plan without the feature does not have it.
    app.by_hand("update shared.tenant_state set features = '[]'").await;
    assert_eq!(export(&acme.admin, "/audit-events.csv").await.0, 403);
}

/// Events that others append meanwhile are no sign of tampering.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_grows_is_intact() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let rename =
        "mutation($id: ID!, $name: String) { updateUser(input: { id: $id, name: $name }) { userErrors { code } } }";
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (person, id) = (acme.user.clone(), acme.user.id.to_string());
            tokio::spawn(async move {
                for at in 0..40 {
                    person.run_with(rename, json!({ "id": id, "name": format!("Name {writer} {at}") })).await;
                }
            })
        })
        .collect();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(verify(&acme).await["intact"], true);
    }
}

/// The rules of all features, without their statements.
fn rules_below(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &rules_below(&path);
        } else if !path.ends_with("queries.rs") {
            text += &std::fs::read_to_string(path).unwrap();
        }
    }
    text
}
