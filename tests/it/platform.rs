//! Platform administrators: what they see and manage, what they cannot, and what tenants see of them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{PASSWORD, Person, TestApp, TestTenant, code};

async fn operator(app: &TestApp) -> Person {
    app.sign_in.add_operator("Root@Example.test", "Robin", "an operators long secret".into()).await.unwrap();
    sign_in(app, "an operators long secret").await.unwrap()
}

async fn sign_in(app: &TestApp, password: &str) -> Result<Person, String> {
    let query = "mutation($p: String!) { platformLogin(input: { email: \"root@example.test\", password: $p }) {
        session { accessToken administratorId name } userErrors { code } } }";
    let answer = app.anonymous().run_with(query, json!({ "p": password })).await;
    match answer["data"]["platformLogin"]["session"]["accessToken"].as_str() {
        Some(token) => Ok(app.bearer(Some(token))),
        None => Err(code(&answer).to_owned()),
    }
}

async fn change(operator: &Person, field: &str, input: Value) -> Value {
    let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
    let query = format!(
        "mutation($input: {kind}!) {{ {field}(input: $input) {{ tenant {{ id slug name status plan suspendedReason eraseAfter }} userErrors {{ code field }} }} }}"
    );
    operator.run_with(&query, json!({ "input": input })).await
}

fn id(tenant: &TestTenant) -> Value {
    json!({ "id": tenant.id.to_string() })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_platform_administrators_see_the_platform() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let query =
        "{ platform { tenants { nodes { slug } } statistics { newInThirtyDays } events { nodes { action } } } }";
    for person in [&acme.admin, &acme.staff, &acme.user] {
        let refused = person.run(query).await;
        assert_eq!((code(&refused), &refused["data"]), ("FORBIDDEN", &Value::Null));
        assert_eq!(
            code(&change(person, "suspendTenant", json!({ "id": acme.id.to_string(), "reason": "x" })).await),
            "FORBIDDEN"
        );
    }
    assert_eq!(code(&app.anonymous().run(query).await), "UNAUTHENTICATED");
    let root = operator(&app).await;
    assert_eq!(root.run(query).await["data"]["platform"]["tenants"]["nodes"], json!([{ "slug": "acme" }]));
    // A platform administrator is not a person of a tenant.
    for query in [
        "{ viewer { id } }",
        "{ tenant { id } }",
        "{ users { nodes { id } } }",
        "{ bookings { nodes { id } } }",
        "{ auditEvents { nodes { action } } }",
        "mutation { logout { sessionId } }",
    ] {
        assert_eq!(code(&root.run(query).await), "UNAUTHENTICATED", "{query}");
    }
    assert_eq!(code(&root.run("{ plans { key } }").await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_administrator_signs_in_by_himself() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let root = operator(&app).await;
    assert!(!app.sign_in.add_operator("root@example.test", "Robin", "an operators long secret".into()).await.unwrap());
    assert!(app.sign_in.add_operator("r2@example.test", "Robin", "password".into()).await.is_err());
    assert_eq!(sign_in(&app, "wrong").await.err().as_deref(), Some("WRONG_CREDENTIALS"));
    // They are no user of a tenant, and a user is no platform administrator.
    let login =
        "mutation($e: String!, $p: String!) { login(input: { email: $e, password: $p }) { userErrors { code } } }";
    let as_user =
        app.anonymous().run_with(login, json!({ "e": "root@example.test", "p": "an operators long secret" })).await;
    assert_eq!(code(&as_user), "WRONG_CREDENTIALS");
    let as_operator = "mutation($p: String!) { platformLogin(input: { email: \"admin@acme.test\", password: $p }) { userErrors { code } } }";
    assert_eq!(code(&app.anonymous().run_with(as_operator, json!({ "p": PASSWORD })).await), "WRONG_CREDENTIALS");
    let query = "{ platform { statistics { newInThirtyDays } } }";
    assert_eq!(code(&root.run(query).await), "");
    assert_eq!(code(&root.run("mutation { platformLogout { sessionId } }").await), "");
    assert_eq!(code(&root.run(query).await), "UNAUTHENTICATED", "at the next request");
    assert_eq!(
        code(&change(&root, "createTenant", json!({ "name": "X", "slug": "xyz", "adminEmail": "a@b.co" })).await),
        "UNAUTHENTICATED"
    );
    let log = sign_in(&app, "an operators long secret")
        .await
        .unwrap()
        .run("{ platform { events(first: 5) { nodes { action administratorId } } } }")
        .await;
    let log: Vec<&str> = log["data"]["platform"]["events"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        log,
        ["sessions.login", "sessions.logout", "sessions.login_failed", "sessions.login_failed", "sessions.login"]
    );
    // Guessing is throttled.
    let mut codes = Vec::new();
    for _ in 0..12 {
        codes.push(sign_in(&app, "wrong").await.err().unwrap());
    }
    assert!(codes.contains(&"RATE_LIMITED".to_owned()), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_listed_filtered_and_paged() {
    let app = TestApp::start().await;
    let root = operator(&app).await;
    for slug in ["acme", "globex", "initech"] {
        app.tenant_on_plan(slug, if slug == "acme" { "team" } else { "free" }).await;
    }
    let list = async |arguments: &str| {
        let answer = root
            .run(&format!(
                "{{ platform {{ tenants{arguments} {{ nodes {{ slug }} pageInfo {{ endCursor hasNextPage }} }} }} }}"
            ))
            .await;
        assert_eq!(code(&answer), "", "{answer}");
        let page = &answer["data"]["platform"]["tenants"];
        let slugs = page["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["slug"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>();
        (
            slugs,
            page["pageInfo"]["endCursor"].as_str().unwrap_or_default().to_owned(),
            page["pageInfo"]["hasNextPage"] == true,
        )
    };
    assert_eq!(list("").await.0, ["initech", "globex", "acme"]);
    assert_eq!(list("(orderBy: NAME_ASC)").await.0, ["acme", "globex", "initech"]);
    assert_eq!(list("(filter: { plan: \"free\", search: \"GLOB\" })").await.0, ["globex"]);
    assert_eq!(list("(filter: { status: [SUSPENDED] })").await.0, Vec::<String>::new());
    for order in ["CREATED_AT_ASC", "NAME_ASC"] {
        let (first, cursor, more) = list(&format!("(first: 2, orderBy: {order})")).await;
        assert_eq!((first.as_slice(), more), (["acme".to_owned(), "globex".to_owned()].as_slice(), true));
        assert_eq!(list(&format!("(first: 2, orderBy: {order}, after: \"{cursor}\")")).await.0, ["initech"]);
        assert_eq!(list(&format!("(last: 2, orderBy: {order})")).await.0, ["globex", "initech"]);
    }
    let statistics = root
        .run("{ platform { statistics { byStatus { status tenants } byPlan { plan tenants } newInThirtyDays } } }")
        .await;
    assert_eq!(
        statistics["data"]["platform"]["statistics"],
        json!({ "byStatus": [{ "status": "ACTIVE", "tenants": 3 }], "newInThirtyDays": 3,
            "byPlan": [{ "plan": "free", "tenants": 2 }, { "plan": "team", "tenants": 1 }, { "plan": "business", "tenants": 0 }] })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_made_with_an_invitation() {
    let app = TestApp::start().await;
    let root = operator(&app).await;
    let new = json!({ "name": "Initech", "slug": "initech", "adminEmail": "Bill@Initech.test", "plan": "team", "timeZone": "Europe/Berlin", "currency": "EUR" });
    let made = change(&root, "createTenant", new.clone()).await;
    let tenant = &made["data"]["createTenant"]["tenant"];
    assert_eq!(
        (&tenant["slug"], &tenant["status"], &tenant["plan"]),
        (&json!("initech"), &json!("ACTIVE"), &json!("team")),
        "{made}"
    );
    assert_eq!(code(&change(&root, "createTenant", new).await), "SLUG_TAKEN");
    let bad =
        change(&root, "createTenant", json!({ "name": "X", "slug": "other", "adminEmail": "a@b.co", "plan": "none" }))
            .await;
    assert_eq!(code(&bad), "INVALID");
    let token = app.mail_to("bill@initech.test").await.token();
    let accept = "mutation($t: String!) { acceptInvitation(input: { token: $t, name: \"Bill\", password: \"nine quiet lamps\" }) {
        session { accessToken } user { role tenant { slug } } userErrors { code } } }";
    let answer = app.anonymous().run_with(accept, json!({ "t": token })).await;
    assert_eq!(
        answer["data"]["acceptInvitation"]["user"],
        json!({ "role": "ADMIN", "tenant": { "slug": "initech" } }),
        "{answer}"
    );
    let admin = app.bearer(answer["data"]["acceptInvitation"]["session"]["accessToken"].as_str());
    assert_eq!(admin.run("{ verifyAuditChain { intact } }").await["data"]["verifyAuditChain"]["intact"], true);
}

/// A tenant whose first administrator never joined gets another invitation, and one that has an administrator none.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_without_an_administrator_is_invited_anew() {
    let app = TestApp::start().await;
    let root = operator(&app).await;
    let made = change(
        &root,
        "createTenant",
        json!({ "name": "Initech", "slug": "initech", "adminEmail": "typo@initech.test" }),
    )
    .await;
    let id = made["data"]["createTenant"]["tenant"]["id"].clone();
    let first = app.mail_to("typo@initech.test").await.token();
    assert_eq!(code(&change(&root, "inviteAdministrator", json!({ "id": id, "email": "x" })).await), "INVALID");
    assert_eq!(
        code(&change(&root, "inviteAdministrator", json!({ "id": id, "email": "bill@initech.test" })).await),
        ""
    );
    let second = app.mail_to("bill@initech.test").await.token();
    let accept = async |token: &str| {
        let query = "mutation($t: String!) { acceptInvitation(input: { token: $t, name: \"Bill\", password: \"nine quiet lamps\" }) { user { role } userErrors { code } } }";
        app.anonymous().run_with(query, json!({ "t": token })).await
    };
    assert_eq!(accept(&second).await["data"]["acceptInvitation"]["user"]["role"], "ADMIN");
    assert_eq!(
        code(&change(&root, "inviteAdministrator", json!({ "id": id, "email": "c@initech.test" })).await),
        "IN_USE"
    );
    let _ = first;
    // A refused action is not logged as done.
    let log = root.run("{ platform { events(first: 10) { nodes { action } } } }").await;
    assert_eq!(log.to_string().matches("tenants.invite_administrator").count(), 1, "{log}");
}

/// Suspended at the next request, with a reason; active again; deleted, restored, deleted and erased, to the last row.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_suspended_deleted_restored_and_erased() {
    let app = TestApp::start().await;
    let root = operator(&app).await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    acme.booking(3).await;
    globex.booking(3).await;
    // Some of everything that references bookings.
    let hall = acme.admin.create_resource("ROOM", "Hall").await;
    let yoga = acme.admin.create_service(json!({ "name": "Yoga", "capacity": 2 })).await;
    acme.admin.link(&yoga, &[(&hall, 0)]).await;
    assert_eq!(code(&acme.user.book(&yoga, acme.in_days(4)).await), "");
    let at = acme.in_days(3);
    let day = acme.in_days(30).to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    for (person, mutation) in [
        (
            &acme.user,
            format!(
                "createBookingSeries(input: {{ serviceId: \"{}\", frequency: WEEKLY, firstDay: \"{day}\", time: \"10:00\", count: 2 }})",
                acme.service
            ),
        ),
        (&acme.other, format!("joinWaitlist(input: {{ serviceId: \"{}\", startsAt: \"{at}\" }})", acme.service)),
        (&acme.other, "rotateCalendarFeed".into()),
        (&acme.admin, "createWebhookEndpoint(input: { url: \"http://127.0.0.1:9/\" })".into()),
        (&acme.admin, format!("setOpeningOverride(input: {{ day: \"{day}\", hours: [] }})")),
        (&acme.admin, "setOpeningHours(input: { validFrom: \"2026-01-01\" })".into()),
    ] {
        assert_eq!(code(&person.run(&format!("mutation {{ {mutation} {{ userErrors {{ code }} }} }}")).await), "");
    }
    let booked =
        acme.staff.run("{ bookings(first: 1) { nodes { id } } }").await["data"]["bookings"]["nodes"][0]["id"].clone();
    assert_eq!(code(&acme.staff.set_status(json!({ "id": booked, "status": "CANCELLED" })).await), "");
    app.worker().run_until_idle().await;
    for table in
        ["occurrences", "booking_series", "waitlist_entries", "calendar_feeds", "webhook_deliveries", "webhook_secrets"]
    {
        assert_ne!(app.truth(&format!("select count(*) from shared.{table}")).await, ["0"], "{table}");
    }
    let viewer = "{ viewer { id } }";
    let suspend = |reason: &str| json!({ "id": acme.id.to_string(), "reason": reason });
    assert_eq!(code(&change(&root, "suspendTenant", suspend(" ")).await), "INVALID");
    let suspended = change(&root, "suspendTenant", suspend("unpaid")).await;
    let tenant = &suspended["data"]["suspendTenant"]["tenant"];
    assert_eq!((&tenant["status"], &tenant["suspendedReason"]), (&json!("SUSPENDED"), &json!("unpaid")), "{suspended}");
    assert_eq!(code(&acme.user.run(viewer).await), "FORBIDDEN", "at the next request");
    assert_eq!(code(&globex.user.run(viewer).await), "");
    assert_eq!(code(&change(&root, "suspendTenant", suspend("again")).await), "INVALID_TRANSITION");
    assert_eq!(code(&change(&root, "activateTenant", id(&acme)).await), "");
    assert_eq!(code(&acme.user.run(viewer).await), "UNAUTHENTICATED", "sessions ended for good");
    let acme = acme.signed_in_again().await;
    assert_eq!(code(&acme.user.run(viewer).await), "");
    assert_eq!(code(&change(&root, "restoreTenant", id(&acme)).await), "INVALID_TRANSITION");

    let deleted = change(&root, "deleteTenant", id(&acme)).await;
    let erase_after: Timestamp = deleted["data"]["deleteTenant"]["tenant"]["eraseAfter"]
        .as_str()
        .unwrap_or_else(|| panic!("{deleted}"))
        .parse()
        .unwrap();
    assert_eq!(erase_after.duration_since(app.clock.now()), SignedDuration::from_hours(30 * 24));
    assert_eq!(code(&acme.user.run(viewer).await), "UNAUTHENTICATED");
    app.worker().tidy().await; // nothing is due
    assert_eq!(code(&change(&root, "restoreTenant", id(&acme)).await), "");
    assert_eq!(code(&acme.user.run(viewer).await), "UNAUTHENTICATED");
    let acme = acme.signed_in_again().await;
    assert_eq!(code(&acme.user.run(viewer).await), "");
    let log = acme.admin.run("{ verifyAuditChain { intact } auditEvents(first: 4) { nodes { action actorRole changes { field after } } } }").await;
    let actions: Vec<&str> = log["data"]["auditEvents"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["tenants.restore", "tenants.delete", "tenants.activate", "tenants.suspend"], "{log}");
    assert!(log.to_string().contains("root@example.test") && log.to_string().contains("unpaid"), "{log}");
    assert_eq!(log["data"]["verifyAuditChain"]["intact"], true);

    change(&root, "deleteTenant", id(&acme)).await;
    for schema in ["shared.tenant_state", "directory.tenants"] {
        app.by_hand(&format!("update {schema} set erase_after = now() - interval '1 second' where state = 'DELETED'"))
            .await;
    }
    let of = |tenant: &TestTenant| tenant.id.0.to_string();
    let tables = app.truth("select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('shared', 'directory') and tablename <> 'platform_events'").await;
    app.worker().tidy().await;
    app.worker().tidy().await; // a repeated run changes nothing
    for table in &tables {
        let left = app
            .truth(&format!("select to_jsonb(t)::text from {table} t where to_jsonb(t)::text like '%{}%'", of(&acme)))
            .await;
        assert_eq!(left, Vec::<String>::new(), "{table}");
    }
    assert_eq!(code(&change(&root, "restoreTenant", id(&acme)).await), "NOT_FOUND");
    assert_eq!(code(&globex.user.run(viewer).await), "");
    assert_eq!(
        globex.user.run("{ bookings { nodes { id } } }").await["data"]["bookings"]["nodes"].as_array().unwrap().len(),
        1
    );
    assert!(app.truth("select action from directory.platform_events").await.contains(&"tenants.erase".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_features_and_settings_are_changed_for_a_tenant() {
    let app = TestApp::start().await;
    let root = operator(&app).await;
    let acme = app.tenant_on_plan("acme", "free").await;
    let change_plan = |plan: &str| json!({ "id": acme.id.to_string(), "plan": plan });
    assert_eq!(code(&change(&root, "changeTenantPlan", change_plan("gold")).await), "NOT_FOUND");
    let changed = change(&root, "changeTenantPlan", change_plan("team")).await;
    assert_eq!(changed["data"]["changeTenantPlan"]["tenant"]["plan"], "team", "{changed}");
    let seen = acme.admin.run("{ billing { plan { key } usage { meter limit } } tenant { features { key } } }").await;
    assert_eq!(seen["data"]["billing"]["plan"]["key"], "team");
    assert_eq!(seen["data"]["billing"]["usage"][0]["limit"], 2000);
    assert_eq!(seen["data"]["tenant"]["features"], json!([{ "key": "branding" }, { "key": "reminders" }]));

    let set = "mutation($input: SetFeatureInput!) { setFeature(input: $input) { features { key enabled overridden expiresAt } userErrors { code field } } }";
    let feature = |key: &str, enabled: Value| json!({ "input": { "tenantId": acme.id.to_string(), "key": key, "enabled": enabled } });
    assert_eq!(code(&root.run_with(set, feature("Bad Key", json!(true))).await), "INVALID");
    assert_eq!(code(&acme.admin.run_with(set, feature("webhooks", json!(true))).await), "FORBIDDEN");
    let on = root.run_with(set, feature("webhooks", json!(true))).await;
    assert!(
        on["data"]["setFeature"]["features"]
            .as_array()
            .unwrap()
            .contains(&json!({ "key": "webhooks", "enabled": true, "overridden": true, "expiresAt": null })),
        "{on}"
    );
    root.run_with(set, feature("branding", json!(false))).await;
    let asked = "{ tenant { a: feature(key: \"webhooks\") b: feature(key: \"branding\") } }";
    assert_eq!(acme.user.run(asked).await["data"]["tenant"], json!({ "a": true, "b": false }));
    root.run_with(set, feature("branding", Value::Null)).await;
    let ends = app.clock.now() + SignedDuration::from_hours(1);
    let mut expiring = feature("webhooks", json!(true));
    expiring["input"]["expiresAt"] = ends.to_string().into();
    root.run_with(set, expiring).await;
    assert_eq!(acme.user.run(asked).await["data"]["tenant"], json!({ "a": true, "b": true }));
    app.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(acme.user.run(asked).await["data"]["tenant"], json!({ "a": false, "b": true }));
    let seen = root
        .run_with(
            "query($id: ID!) { platform { features(tenantId: $id) { key } tenant(id: $id) { slug } } }",
            id(&acme),
        )
        .await;
    assert_eq!(seen["data"]["platform"]["tenant"]["slug"], "acme", "{seen}");
    assert_eq!(seen["data"]["platform"]["features"], json!([{ "key": "branding" }, { "key": "reminders" }]));

    let updated =
        change(&root, "updateTenantAsPlatform", json!({ "id": acme.id.to_string(), "name": "Acme Ltd" })).await;
    assert_eq!(updated["data"]["updateTenantAsPlatform"]["tenant"]["name"], "Acme Ltd", "{updated}");
    assert_eq!(acme.user.run("{ tenant { name } }").await["data"]["tenant"]["name"], "Acme Ltd");
    let nobody = tenantry::base::ids::TenantId(uuid::Uuid::now_v7()).to_string();
    for (field, input) in [
        ("activateTenant", json!({ "id": nobody })),
        ("updateTenantAsPlatform", json!({ "id": nobody, "name": "X" })),
        ("changeTenantPlan", json!({ "id": nobody, "plan": "team" })),
    ] {
        assert_eq!(code(&change(&root, field, input).await), "NOT_FOUND", "{field}");
    }
}

/// Impersonating a user: for a quarter of an hour, with a reason, visible to the tenant, and never able to change who
/// may sign in or what they may do.
#[tokio::test(flavor = "multi_thread")]
async fn acting_as_a_user_is_short_logged_and_limited() {
    let app = TestApp::start().await;
    let root = operator(&app).await;
    let acme = app.tenant("acme").await;
    let act = "mutation($input: ImpersonateInput!) { impersonate(input: $input) { session { accessToken accessTokenExpiresAt userId role } userErrors { code field } } }";
    let input = |email: &str, reason: &str| json!({ "input": { "tenantId": acme.id.to_string(), "email": email, "reason": reason } });
    assert_eq!(code(&acme.admin.run_with(act, input("user@acme.test", "x")).await), "FORBIDDEN");
    assert_eq!(code(&root.run_with(act, input("admin@acme.test", "")).await), "INVALID");
    assert_eq!(code(&root.run_with(act, input("nobody@acme.test", "support")).await), "NOT_FOUND");
    let begun = root.run_with(act, input("admin@acme.test", "ticket 42")).await;
    let session = &begun["data"]["impersonate"]["session"];
    assert_eq!((&session["userId"], &session["role"]), (&json!(acme.admin.id.to_string()), &json!("ADMIN")), "{begun}");
    let expires: Timestamp = session["accessTokenExpiresAt"].as_str().unwrap().parse().unwrap();
    assert!(expires <= Timestamp::now() + SignedDuration::from_mins(15));
    let actor = app.bearer(session["accessToken"].as_str());
    assert_eq!(actor.run("{ viewer { email } }").await["data"]["viewer"]["email"], "admin@acme.test");
    let user = acme.user.id.to_string();
    for refused in [
        format!(
            "changePassword(input: {{ currentPassword: \"{PASSWORD}\", newPassword: \"nine quiet lamps\" }}) {{ userErrors {{ code }} }}"
        ),
        "inviteUser(input: { email: \"a@b.co\", role: ADMIN }) { userErrors { code } }".into(),
        format!("updateUserRole(input: {{ id: \"{user}\", role: ADMIN }}) {{ userErrors {{ code }} }}"),
        format!("deactivateUser(input: {{ id: \"{user}\" }}) {{ userErrors {{ code }} }}"),
        format!("deleteUser(input: {{ id: \"{user}\" }}) {{ userErrors {{ code }} }}"),
        "revokeOtherSessions { userErrors { code } }".into(),
    ] {
        assert_eq!(code(&actor.run(&format!("mutation {{ {refused} }}")).await), "FORBIDDEN", "{refused}");
    }
    actor.create_service(json!({ "name": "Made for them" })).await;
    let log = acme.admin.run("{ sessions { impersonated current } auditEvents(first: 30, filter: { from: \"2020-01-01T00:00:00Z\" }) { nodes { action impersonator actor { email } changes { field after } } } }").await;
    let nodes = log["data"]["auditEvents"]["nodes"].as_array().unwrap_or_else(|| panic!("{log}"));
    let of =
        |action: &str| nodes.iter().find(|it| it["action"] == action).unwrap_or_else(|| panic!("{action} in {log}"));
    for action in ["sessions.impersonate", "services.create", "access.refused"] {
        let named = nodes.iter().any(|it| it["action"] == action && it["impersonator"] == "root@example.test");
        assert!(named, "{action} {log}");
    }
    assert!(of("sessions.impersonate")["changes"].to_string().contains("ticket 42"));
    assert!(log["data"]["sessions"].as_array().unwrap().contains(&json!({ "impersonated": true, "current": false })));
    // The user ends it like any of their sessions.
    assert_eq!(code(&acme.admin.run("mutation { revokeOtherSessions { revoked } }").await), "");
    assert_eq!(code(&actor.run("{ viewer { id } }").await), "UNAUTHENTICATED");
}
