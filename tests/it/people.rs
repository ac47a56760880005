//! Viewers, users, the tenant, plans, and the audit log of what they do.

use serde_json::json;

use crate::support::{TestApp, code};

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_himself_and_his_tenant() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let query =
        "{ viewer { email name role status tenant { slug } } tenant { slug name status isolation timeZone currency } }";
    let answer = acme.user.run(query).await;
    assert_eq!(
        answer["data"],
        json!({
            "viewer": { "email": "user@acme.test", "name": "user of acme", "role": "USER", "status": "ACTIVE", "tenant": { "slug": "acme" } },
            "tenant": { "slug": "acme", "name": "ACME", "status": "ACTIVE", "isolation": app.isolation.as_str(), "timeZone": "Europe/Amsterdam", "currency": "EUR" },
        })
    );
    let anonymous = app.anonymous().run("{ viewer { id } }").await;
    assert_eq!(anonymous, json!({ "data": { "viewer": null } }));
    assert_eq!(code(&app.anonymous().run("{ tenant { id } }").await), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_list_and_search_people() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let list = async |filter| {
        let query = "query($filter: UserFilter) { users(filter: $filter) { nodes { email } } }";
        let answer = acme.staff.run_with(query, json!({ "filter": filter })).await;
        let nodes = answer["data"]["users"]["nodes"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        nodes.iter().map(|it| it["email"].as_str().unwrap().split('@').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(json!({})).await, ["admin", "other", "staff", "user"]);
    assert_eq!(list(json!({ "role": "USER" })).await, ["other", "user"]);
    assert_eq!(list(json!({ "search": "ADM" })).await, ["admin"]);
    let pages = acme.admin.run("{ a: users(first: 2) { pageInfo { endCursor hasNextPage } } }").await;
    let cursor = &pages["data"]["a"]["pageInfo"]["endCursor"];
    let rest = acme
        .admin
        .run_with(
            "query($c: String) { users(after: $c) { nodes { email } pageInfo { hasNextPage } } }",
            json!({ "c": cursor }),
        )
        .await;
    assert_eq!(rest["data"]["users"]["nodes"], json!([{ "email": "staff@acme.test" }, { "email": "user@acme.test" }]));
    let back = acme.admin.run("{ users(last: 1) { nodes { email } pageInfo { hasPreviousPage } } }").await;
    assert_eq!(
        back["data"]["users"],
        json!({ "nodes": [{ "email": "user@acme.test" }], "pageInfo": { "hasPreviousPage": true } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_keeps_his_own_profile_and_administrators_all() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let rename = "mutation($id: ID!, $name: String) { updateUser(input: { id: $id, name: $name }) { user { name role } userErrors { code } } }";
    let input = |name: &str| json!({ "id": acme.user.id.to_string(), "name": name });
    let own = acme.user.run_with(rename, input("Ursula")).await;
    assert_eq!(own["data"]["updateUser"]["user"], json!({ "name": "Ursula", "role": "USER" }));
    assert_eq!(code(&acme.admin.run_with(rename, input("Uma")).await), "");
    assert_eq!(code(&acme.staff.run_with(rename, input("No")).await), "NOT_FOUND");
    let unchanged = acme.user.run_with(rename, json!({ "id": acme.user.id.to_string() })).await;
    assert_eq!(unchanged["data"]["updateUser"]["user"]["name"], "Uma");
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_public() {
    let app = TestApp::start().await;
    let answer =
        app.anonymous().run("{ plans { key name price { amount currency } limits { meter limit } features } }").await;
    let plans = answer["data"]["plans"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(plans.iter().map(|it| it["key"].as_str().unwrap()).collect::<Vec<_>>(), ["free", "team", "business"]);
    assert_eq!(plans[1]["price"], json!({ "amount": "29.00", "currency": "EUR" }));
    assert!(plans[0]["limits"].as_array().unwrap().contains(&json!({ "meter": "bookings", "limit": 100 })));
}

/// Each mutation writes its event in the same transaction: who, what, and what changed.
#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_is_in_the_audit_log() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    let id = acme.user.id.to_string();
    let extra = acme.admin.create_service(json!({ "name": "Extra" })).await;
    acme.staff.set_status(json!({ "id": booking, "status": "CANCELLED", "reason": "rain" })).await;
    for (person, mutation) in [
        (&acme.user, format!("updateUser(input: {{ id: \"{id}\", name: \"Ursula\" }}) {{ userErrors {{ code }} }}")),
        (&acme.admin, format!("updateService(input: {{ id: \"{extra}\", capacity: 2 }}) {{ userErrors {{ code }} }}")),
        (&acme.admin, format!("deleteService(input: {{ id: \"{extra}\" }}) {{ userErrors {{ code }} }}")),
        (&acme.admin, format!("deleteService(input: {{ id: \"{}\" }}) {{ userErrors {{ code }} }}", acme.service)),
        (&acme.user, "logout { userErrors { code } }".to_owned()),
    ] {
        let answer = person.run(&format!("mutation {{ {mutation} }}")).await;
        assert_eq!(answer["errors"], json!(null), "{mutation}: {answer}");
    }
    let log = app
        .truth(
            "select e.action, e.actor_role, u.email, e.object_type, (select string_agg(key, ',' order by key) from jsonb_object_keys(e.changes) key),
                    e.request_id is not null
               from shared.audit_events e left join shared.users u on u.id = e.actor_id
              where e.action not in ('users.join', 'sessions.login') order by e.seq",
        )
        .await;
    assert_eq!(
        log,
        [
            "services.create | ADMIN | admin@acme.test | service | active,buffer_after_minutes,buffer_before_minutes,capacity,duration_minutes,name,price,requires_confirmation | t",
            "bookings.create | USER | user@acme.test | booking | customer,service,starts_at,status | t",
            "services.create | ADMIN | admin@acme.test | service | active,buffer_after_minutes,buffer_before_minutes,capacity,duration_minutes,name,price,requires_confirmation | t",
            "bookings.set_status | STAFF | staff@acme.test | booking | reason,status | t",
            "users.update | USER | user@acme.test | user | name | t",
            "services.update | ADMIN | admin@acme.test | service | capacity | t",
            "services.delete | ADMIN | admin@acme.test | service | null | t",
            "services.deactivate | ADMIN | admin@acme.test | service | active | t",
            "sessions.logout | USER | user@acme.test | session | null | t",
        ]
    );
    assert_eq!(app.truth("select count(*) from shared.audit_events where action = 'users.join'").await, ["4"]);
    assert_eq!(
        app.truth("select count(*) from shared.audit_events where changes::text ~ 'argon|password|token'").await,
        ["0"]
    );
}

/// No event, no change: if the log cannot be written, nothing is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_logged_is_not_made() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    app.by_hand("revoke insert (action) on shared.audit_events from tenantry_app").await;
    let answer = acme.user.book(&acme.service, acme.in_days(3)).await;
    assert_eq!(code(&answer), "FORBIDDEN", "{answer}");
    assert_eq!(app.truth("select count(*) from shared.bookings").await, ["0"]);
    assert_eq!(app.truth("select count(*) from shared.usage_counters").await, ["0"]);
}

/// An administrator's rights end at their tenant, also in the database.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_raises_himself() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let client = acme.entered(&acme.user).await;
    for raise in [
        "update users set role = 'ADMIN'",
        "update users set status = 'ACTIVE'",
        "update tenant_state set limits = '{}'",
        "select password_hash from credentials",
        "update bookings set price_minor = 0",
    ] {
        client.batch_execute("savepoint s").await.unwrap();
        let outcome = client.query(raise, &[]).await;
        assert!(outcome.as_ref().map_or(true, Vec::is_empty), "{raise}");
        client.batch_execute("rollback to savepoint s").await.unwrap();
    }
    assert_eq!(app.truth("select role from shared.users where email = 'user@acme.test'").await, ["USER"]);
}

const SET_ROLE: &str = "mutation($id: ID!, $role: Role!) { updateUserRole(input: { id: $id, role: $role }) { user { role } userErrors { code field } } }";
const LET_GO: &str =
    "mutation($id: ID!) { deactivateUser(input: { id: $id }) { user { status } userErrors { code field } } }";
const HAVE_BACK: &str =
    "mutation($id: ID!) { reactivateUser(input: { id: $id }) { user { status } userErrors { code } } }";

#[tokio::test(flavor = "multi_thread")]
async fn administrators_change_roles_and_it_bites_at_once() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let user = json!({ "id": acme.user.id.to_string(), "role": "STAFF" });
    for person in [&acme.staff, &acme.user, &acme.other] {
        assert_eq!(code(&person.run_with(SET_ROLE, user.clone()).await), "FORBIDDEN");
        assert_eq!(code(&person.run_with(LET_GO, json!({ "id": acme.other.id.to_string() })).await), "FORBIDDEN");
    }
    let raised = acme.admin.run_with(SET_ROLE, user).await;
    assert_eq!(raised["data"]["updateUserRole"]["user"]["role"], "STAFF", "{raised}");
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "UNAUTHENTICATED");
    let again = app.sign_in.trusted_session(acme.id, "user@acme.test").await.unwrap();
    let token = app.tokens.issue(&again, jiff::Timestamp::now()).unwrap().0;
    assert_eq!(code(&app.bearer(Some(&token)).run("{ users { nodes { id } } }").await), "");

    let other = json!({ "id": acme.other.id.to_string() });
    let gone = acme.admin.run_with(LET_GO, other.clone()).await;
    assert_eq!(gone["data"]["deactivateUser"]["user"]["status"], "DEACTIVATED", "{gone}");
    assert_eq!(code(&acme.other.run("{ viewer { id } }").await), "UNAUTHENTICATED");
    let back = acme.admin.run_with(HAVE_BACK, other).await;
    assert_eq!(back["data"]["reactivateUser"]["user"]["status"], "ACTIVE", "{back}");
    assert_eq!(code(&acme.other.run("{ viewer { id } }").await), "UNAUTHENTICATED", "who is back signs in anew");
    let log = app.truth("select action, changes::text from shared.audit_events where action in ('users.set_role', 'users.set_status') order by seq").await;
    assert_eq!(
        log,
        [
            "users.set_role | {\"role\": {\"to\": \"STAFF\", \"from\": \"USER\"}}",
            "users.set_status | {\"status\": {\"to\": \"DEACTIVATED\", \"from\": \"ACTIVE\"}}",
            "users.set_status | {\"status\": {\"to\": \"ACTIVE\", \"from\": \"DEACTIVATED\"}}",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_stays() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let own = json!({ "id": acme.admin.id.to_string(), "role": "USER" });
    let kept = acme.admin.run_with(SET_ROLE, own.clone()).await;
    assert_eq!(kept["data"]["updateUserRole"]["userErrors"], json!([{ "code": "LAST_ADMIN", "field": ["id"] }]));
    assert_eq!(code(&acme.admin.run_with(LET_GO, own.clone()).await), "LAST_ADMIN");
    // A second one who cannot sign in does not count.
    let second = app.person(acme.id, "second", "acme", tenantry::core::identity::Role::Admin).await;
    acme.admin.run_with(LET_GO, json!({ "id": second.id.to_string() })).await;
    assert_eq!(code(&acme.admin.run_with(SET_ROLE, own).await), "LAST_ADMIN");
}

/// Two administrators who demote or deactivate each other at once: one of them remains.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_administrators_who_dismiss_each_other_one_stays() {
    for (first, second) in [(SET_ROLE, SET_ROLE), (SET_ROLE, LET_GO), (LET_GO, LET_GO)] {
        let app = TestApp::start().await;
        let acme = app.tenant("acme").await;
        let rival = app.person(acme.id, "rival", "acme", tenantry::core::identity::Role::Admin).await;
        for _ in 0..5 {
            let (one, two) = futures_util::join!(
                acme.admin.run_with(first, json!({ "id": rival.id.to_string(), "role": "USER" })),
                rival.run_with(second, json!({ "id": acme.admin.id.to_string(), "role": "USER" }))
            );
            let left = app.truth("select count(*) from shared.users where role = 'ADMIN' and status = 'ACTIVE'").await;
            assert_eq!(left, ["1"], "{one} {two}");
            app.by_hand("update shared.users set role = 'ADMIN', status = 'ACTIVE' where email like 'admin@%' or email like 'rival@%'").await;
        }
    }
}

const LOG: &str = "query($first: Int, $after: String, $filter: AuditFilter) { auditEvents(first: $first, after: $after, filter: $filter) {
    nodes { at action actorRole actor { email } objectType objectId changes { field before after } requestId } pageInfo { hasNextPage endCursor } } }";

#[tokio::test(flavor = "multi_thread")]
async fn administrators_read_the_log() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for person in [&acme.staff, &acme.user] {
        assert_eq!(code(&person.run("{ auditEvents { nodes { action } } }").await), "FORBIDDEN");
    }
    let booking = acme.booking(3).await;
    app.clock.advance(jiff::SignedDuration::from_secs(1));
    acme.staff.set_status(json!({ "id": booking, "status": "CANCELLED", "reason": "rain" })).await;
    let read = async |filter| {
        acme.admin.run_with(LOG, json!({ "filter": filter })).await["data"]["auditEvents"]["nodes"].clone()
    };
    let about = read(json!({ "objectId": booking })).await;
    assert_eq!(about.as_array().map(Vec::len), Some(2), "{about}");
    assert_eq!(about[0]["action"], "bookings.set_status"); // newest first
    assert_eq!(about[0]["actor"]["email"], "staff@acme.test");
    assert_eq!(about[0]["objectId"], json!(booking));
    let status = json!({ "field": "status", "before": "\"CONFIRMED\"", "after": "\"CANCELLED\"" });
    assert!(about[0]["changes"].as_array().unwrap().contains(&status), "{about}");
    assert!(about[0]["requestId"].as_str().is_some_and(|it| it.len() == 36));
    for (filter, count) in [
        (json!({ "action": "bookings.create" }), 1),
        (json!({ "actorId": acme.user.id.to_string(), "objectType": "booking" }), 1),
        (json!({ "objectType": "booking", "from": app.clock.now().to_string() }), 1),
        (json!({ "objectType": "booking", "to": app.clock.now().to_string() }), 1),
        (json!({ "objectType": "nothing" }), 0),
    ] {
        assert_eq!(read(filter.clone()).await.as_array().map(Vec::len), Some(count), "{filter}");
    }
    // Pages tile it.
    let all = read(json!({})).await;
    let (mut paged, mut after) = (Vec::new(), json!(null));
    loop {
        let page = acme.admin.run_with(LOG, json!({ "first": 3, "after": after })).await["data"]["auditEvents"].clone();
        paged.extend(page["nodes"].as_array().unwrap().clone());
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(json!(paged), all);
    let reversed = json!({ "from": "2026-02-02T00:00:00Z", "to": "2026-01-01T00:00:00Z" });
    assert_eq!(code(&acme.admin.run_with(LOG, json!({ "filter": reversed })).await), "BAD_USER_INPUT");
}
