//! Signing in, refreshing, signing out; invalid tokens.

use std::time::Duration;

use aws_lc_rs::{hmac, signature::KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tenantry::{
    core::identity::{Actor, Role},
    features::auth::{NewUser, SignInLimits, TokenSettings, Tokens},
};

use crate::support::{OTHER_KEY, Options, PASSWORD, Person, SIGNING_KEY, TestApp, TestTenant, code};

const LOGIN: &str = "mutation($input: LoginInput!) { login(input: $input) {
    session { accessToken accessTokenExpiresAt refreshToken refreshTokenExpiresAt } user { email role tenant { slug } }
    userErrors { code message field } } }";
const REFRESH: &str = "mutation($token: String!) { refreshSession(input: { refreshToken: $token }) {
    session { accessToken refreshToken } user { email } userErrors { code } } }";

async fn login(app: &TestApp, email: &str, password: &str) -> Value {
    app.anonymous().run_with(LOGIN, json!({ "input": { "email": email, "password": password } })).await
}

async fn refresh(app: &TestApp, token: &str) -> Value {
    app.anonymous().run_with(REFRESH, json!({ "token": token })).await
}

fn tokens_of<'a>(answer: &'a Value, field: &str) -> (&'a str, &'a str) {
    let session = &answer["data"][field]["session"];
    let text = |name: &str| session[name].as_str().unwrap_or_else(|| panic!("{answer}"));
    (text("accessToken"), text("refreshToken"))
}

async fn start() -> (TestApp, TestTenant) {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    (app, acme)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_and_is_himself() {
    let (app, _) = start().await;
    let answer = login(&app, "  USER@Acme.Test ", PASSWORD).await;
    let (access, _) = tokens_of(&answer, "login");
    assert_eq!(
        answer["data"]["login"]["user"],
        json!({ "email": "user@acme.test", "role": "USER", "tenant": { "slug": "acme" } })
    );
    let viewer = app.bearer(Some(access)).run("{ viewer { email } }").await;
    assert_eq!(viewer["data"]["viewer"]["email"], "user@acme.test");
    let expires: Timestamp =
        answer["data"]["login"]["session"]["accessTokenExpiresAt"].as_str().unwrap().parse().unwrap();
    let life = expires.duration_since(Timestamp::now());
    assert!(life > SignedDuration::from_secs(14 * 60) && life <= SignedDuration::from_mins(15), "{life}");
}

/// All of a user's access ends with what ends it, and does not return with them.
#[tokio::test(flavor = "multi_thread")]
async fn access_that_ended_does_not_come_back() {
    let (app, acme) = start().await;
    let globex = app.tenant("globex").await;
    let root = app.operator().await;
    let id = acme.user.id.to_string();
    let change = async |person: &Person, field: &str, input: Value| {
        let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
        let query = format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ userErrors {{ code field }} }} }}");
        person.run_with(&query, json!({ "input": input })).await
    };
    let feed_status = async |path: &str| {
        app.send(axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap()).await.0.status().as_u16()
    };
    for ends in ["deactivateUser", "revokeUserSessions", "suspendTenant", "resetPassword"] {
        let acme = acme.signed_in_again().await;
        let user = &acme.user;
        let signed_in = login(&app, &user.email, PASSWORD).await;
        let (access, refresh_token) = tokens_of(&signed_in, "login");
        let made = user.run("mutation { rotateCalendarFeed { path } }").await;
        let feed = made["data"]["rotateCalendarFeed"]["path"].as_str().unwrap_or_else(|| panic!("{made}"));
        assert_eq!(feed_status(feed).await, 200);
        let asked = "mutation { requestPasswordReset(input: { email: \"user@acme.test\" }) { userErrors { code } } }";
        app.anonymous().run(asked).await;
        let link = app.mail_to("user@acme.test").await.token();
        let reset = json!({ "token": link, "newPassword": PASSWORD });
        match ends {
            "suspendTenant" => {
                assert_eq!(code(&change(&root, ends, json!({ "id": acme.id.to_string(), "reason": "x" })).await), "");
                assert_eq!(code(&change(&root, "activateTenant", json!({ "id": acme.id.to_string() })).await), "");
            }
            "resetPassword" => {
                assert_eq!(code(&change(&app.anonymous(), ends, reset.clone()).await), "");
                app.mails().await;
            }
            _ => {
                for (person, refused) in [(&acme.staff, "FORBIDDEN"), (user, "FORBIDDEN"), (&globex.admin, "NOT_FOUND")]
                {
                    assert_eq!(code(&change(person, ends, json!({ "id": id })).await), refused);
                }
                assert_eq!(code(&user.run("{ viewer { id } }").await), "");
                assert_eq!(code(&change(&acme.admin, ends, json!({ "id": id })).await), "");
            }
        }
        if ends == "deactivateUser" {
            assert_eq!(code(&change(&acme.admin, "reactivateUser", json!({ "id": id })).await), "");
        }
        for token in [access, user.token.as_deref().unwrap()] {
            assert_eq!(code(&app.bearer(Some(token)).run("{ viewer { id } }").await), "UNAUTHENTICATED", "{ends}");
        }
        assert_eq!(code(&refresh(&app, refresh_token).await), "TOKEN_INVALID", "{ends}");
        assert_eq!(feed_status(feed).await, 404, "{ends}");
        assert_eq!(code(&change(&app.anonymous(), "resetPassword", reset).await), "TOKEN_INVALID", "{ends}");
        // Other users' access ends only when the whole tenant was suspended; and the user signs in again.
        let others = code(&acme.other.run("{ viewer { id } }").await).to_owned();
        assert_eq!(others, if ends == "suspendTenant" { "UNAUTHENTICATED" } else { "" }, "{ends}");
        assert_eq!(code(&globex.user.run("{ viewer { id } }").await), "");
        assert_eq!(code(&login(&app, &user.email, PASSWORD).await), "", "{ends}");
    }
    // By direct SQL, which is what an injection would have.
    let acme = acme.signed_in_again().await;
    let client = acme.entered(&acme.user).await;
    let ended = client.query_one("select end_access($1, null, 'REVOKED', now())", &[&acme.id]).await.unwrap_err();
    assert_eq!(ended.code().map(tokio_postgres::error::SqlState::code), Some("42501"));
}

/// The answer to a login reads its user in that user's own scope; two users in one document each in their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_reads_as_the_user_it_signed_in() {
    let (app, acme) = start().await;
    let globex = app.tenant("globex").await;
    acme.booking(3).await;
    globex.booking(4).await;
    let query = "mutation($p: String!) {
        a: login(input: { email: \"user@acme.test\", password: $p }) { user { tenant { slug } bookings { nodes { customer { email } } } } }
        b: login(input: { email: \"user@globex.test\", password: $p }) { user { tenant { slug } bookings { nodes { customer { email } } } } } }";
    let expected = |slug: &str| json!({ "user": { "tenant": { "slug": slug }, "bookings": { "nodes": [{ "customer": { "email": format!("user@{slug}.test") } }] } } });
    // Also for a caller who is already signed in as somebody else.
    for person in [app.anonymous(), acme.admin.clone()] {
        let answer = person.run_with(query, json!({ "p": PASSWORD })).await;
        assert_eq!(answer["data"], json!({ "a": expected("acme"), "b": expected("globex") }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_who_exists() {
    let (app, acme) = start().await;
    app.person(acme.id, "gone", "acme", Role::User).await;
    app.by_hand("update shared.users set status = 'DEACTIVATED' where email = 'gone@acme.test'").await;
    let wrong = login(&app, "user@acme.test", "wrong").await;
    assert_eq!(code(&wrong), "WRONG_CREDENTIALS");
    for (email, password) in [
        ("nobody@acme.test", PASSWORD),
        ("gone@acme.test", PASSWORD),
        ("", PASSWORD),
        ("user@acme.test", ""),
        ("not an e-mail", "x"),
        (&"x".repeat(400), PASSWORD),
    ] {
        assert_eq!(login(&app, email, password).await, wrong, "{email:?}");
    }
    let elsewhere = app
        .anonymous()
        .run_with(LOGIN, json!({ "input": { "email": "user@acme.test", "password": PASSWORD, "tenant": "globex" } }))
        .await;
    assert_eq!(elsewhere, wrong);
}

/// docs/decisions/0019: an unknown email costs the same as a known one: the same statements, and one hash. Counted, not
/// timed.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_known_cost_the_same() {
    let (app, _) = start().await;
    let mut costs = Vec::new();
    for email in ["user@acme.test", "nobody@acme.test", "user@acme.test", "nobody@acme.test"] {
        let before = (app.statements(), app.passwords.done());
        assert_eq!(code(&login(&app, email, "wrong").await), "WRONG_CREDENTIALS");
        costs.push((app.statements() - before.0, app.passwords.done() - before.1));
    }
    assert_eq!(costs[0].1, 1);
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_of_several_tenants_needs_the_tenant() {
    let (app, acme) = start().await;
    let globex = app.tenant("globex").await;
    for (tenant, password) in [(acme.id, PASSWORD), (globex.id, PASSWORD)] {
        let new = NewUser {
            email: "both@example.test".into(),
            name: "Both".into(),
            role: Role::User,
            password: password.into(),
        };
        app.sign_in.enrol(tenant, new).await.unwrap();
    }
    let answer = login(&app, "both@example.test", PASSWORD).await;
    assert_eq!((code(&answer), &answer["data"]["login"]["userErrors"][0]["field"]), ("INVALID", &json!(["tenant"])));
    assert_eq!(code(&login(&app, "both@example.test", "wrong").await), "WRONG_CREDENTIALS");
    for slug in ["acme", "globex"] {
        let answer = app
            .anonymous()
            .run_with(LOGIN, json!({ "input": { "email": "both@example.test", "password": PASSWORD, "tenant": slug } }))
            .await;
        assert_eq!(answer["data"]["login"]["user"]["tenant"]["slug"], slug, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_knows_the_password_hears_of_a_suspension() {
    let (app, acme) = start().await;
    let signed_in = login(&app, "user@acme.test", PASSWORD).await;
    let (_, refresh_token) = tokens_of(&signed_in, "login");
    app.by_hand("update shared.tenant_state set state = 'SUSPENDED'").await;
    assert_eq!(code(&login(&app, "user@acme.test", "wrong").await), "WRONG_CREDENTIALS");
    assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "TENANT_SUSPENDED");
    // It applies to the very next request of a signed-in user, and nothing can be refreshed.
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "FORBIDDEN");
    assert_eq!(code(&refresh(&app, refresh_token).await), "TOKEN_INVALID");
    app.by_hand("update shared.tenant_state set state = 'ACTIVE'").await;
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "");
    // The attempts in between were no replay: the token is still valid, and nobody is signed out.
    app.by_hand("update shared.refresh_tokens set used_at = used_at - interval '11 seconds'").await;
    assert_eq!(code(&refresh(&app, refresh_token).await), "");
    assert_eq!(app.truth("select count(*) from shared.sessions where ended_at is not null").await, ["0"]);
}

/// A holder of a connection does not wait for a second one: that would keep the first from everyone else.
#[tokio::test(flavor = "multi_thread")]
async fn signing_in_does_not_wait_inside_a_transaction() {
    let app =
        TestApp::start_with(Options { connections: 1, wait: Duration::from_millis(500), ..Options::default() }).await;
    let acme = app.tenant("acme").await;
    let id = acme.user.id.to_string();
    let change =
        format!("updateUser(input: {{ id: \"{id}\", name: \"U\" }}) {{ user {{ name }} userErrors {{ code }} }}");
    let login = format!(
        "login(input: {{ email: \"user@acme.test\", password: \"{PASSWORD}\" }}) {{ user {{ tenant {{ slug }} }} }}"
    );
    let refresh = "refreshSession(input: { refreshToken: \"x\" }) { userErrors { code } }";
    for late in [&login, refresh] {
        let answer = acme.user.run(&format!("mutation {{ a: {change} b: {late} }}")).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{answer}");
        assert_eq!(answer["data"]["a"]["user"]["name"], "U", "{answer}");
    }
    let answer = acme.user.run(&format!("mutation {{ b: {login} a: {change} }}")).await;
    assert_eq!(answer["data"]["b"]["user"]["tenant"]["slug"], "acme", "{answer}");
    assert_eq!(answer["data"]["a"]["user"]["name"], "U", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_a_new_role_and_deactivation_bite_at_the_next_request() {
    let (app, acme) = start().await;
    let viewer = "{ viewer { id } }";
    let signed_in = login(&app, "user@acme.test", PASSWORD).await;
    let (access, refresh_token) = tokens_of(&signed_in, "login");
    let session = app.bearer(Some(access));
    assert_eq!(code(&session.run(viewer).await), "");
    assert_eq!(code(&session.run("mutation { logout { sessionId userErrors { code } } }").await), "");
    assert_eq!(code(&session.run(viewer).await), "UNAUTHENTICATED");
    assert_eq!(code(&session.run("mutation { logout { sessionId } }").await), "UNAUTHENTICATED");
    assert_eq!(code(&refresh(&app, refresh_token).await), "TOKEN_INVALID");
    assert_eq!(code(&acme.user.run(viewer).await), ""); // their other session stays active
    app.by_hand("update shared.users set role = 'STAFF' where email = 'user@acme.test'").await;
    assert_eq!(code(&acme.user.run(viewer).await), "UNAUTHENTICATED");
    app.by_hand("update shared.users set status = 'DEACTIVATED' where email = 'staff@acme.test'").await;
    assert_eq!(code(&acme.staff.run(viewer).await), "UNAUTHENTICATED");
    app.by_hand("update shared.sessions set expires_at = now() - interval '1 second'").await;
    assert_eq!(code(&acme.admin.run(viewer).await), "UNAUTHENTICATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_good_once_and_a_replay_ends_the_session() {
    let (app, _) = start().await;
    let signed_in = login(&app, "user@acme.test", PASSWORD).await;
    let (_, first) = tokens_of(&signed_in, "login");
    let refreshed = refresh(&app, first).await;
    let (access, second) = tokens_of(&refreshed, "refreshSession");
    assert_ne!(first, second);
    // Within the grace period the same successor is returned: the client may have lost the answer.
    assert_eq!(tokens_of(&refresh(&app, first).await, "refreshSession").1, second);
    let third = refresh(&app, second).await;
    let (_, third) = tokens_of(&third, "refreshSession");
    assert_eq!(code(&app.bearer(Some(access)).run("{ viewer { id } }").await), "");
    // After the grace period it is a replay, of whichever token of the family.
    app.by_hand("update shared.refresh_tokens set used_at = used_at - interval '11 seconds' where used_at is not null")
        .await;
    assert_eq!(code(&refresh(&app, first).await), "TOKEN_INVALID");
    assert_eq!(code(&app.bearer(Some(access)).run("{ viewer { id } }").await), "UNAUTHENTICATED");
    assert_eq!(code(&refresh(&app, third).await), "TOKEN_INVALID");
    let log = app.truth("select action, end_reason from shared.audit_events e join shared.sessions s on s.id = e.object_id where action like '%replay%'").await;
    assert_eq!(log, ["sessions.replay_detected | REFRESH_TOKEN_REPLAYED"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_refreshes_at_once_have_one_successor() {
    let (app, _) = start().await;
    let signed_in = login(&app, "user@acme.test", PASSWORD).await;
    let (_, token) = tokens_of(&signed_in, "login");
    let answers = join_all((0..20).map(|_| refresh(&app, token))).await;
    let successors: std::collections::HashSet<&str> =
        answers.iter().map(|it| tokens_of(it, "refreshSession").1).collect();
    assert_eq!(successors.len(), 1);
    // One from the login, one successor; the users' own sessions have one each.
    let family = "select count(*) from shared.refresh_tokens where session_id = (select session_id from shared.refresh_tokens where used_at is not null)";
    assert_eq!(app.truth(family).await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_stored_as_hashes_only() {
    let (app, _) = start().await;
    let signed_in = login(&app, "user@acme.test", PASSWORD).await;
    let (access, refresh_token) = tokens_of(&signed_in, "login");
    let secret = URL_SAFE_NO_PAD.decode(refresh_token.strip_prefix("tnr_").unwrap()).unwrap();
    let stored = app.truth("select encode(token_hash, 'hex') from shared.refresh_tokens").await.join("\n");
    let hex = |bytes: &[u8]| bytes.iter().map(|it| format!("{it:02x}")).collect::<String>();
    assert!(
        !stored.contains(&hex(&secret[16..]))
            && stored.contains(&hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &secret).as_ref()))
    );
    assert!(access.split('.').count() == 3);
    let hashes = app.truth("select password_hash from shared.credentials").await;
    assert!(hashes.iter().all(|it| it.starts_with("$argon2id$")));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_no_refresh_token() {
    let (app, acme) = start().await;
    let access = acme.user.token.clone().unwrap();
    let unknown = format!("tnr_{}", URL_SAFE_NO_PAD.encode([acme.id.0.as_bytes().as_slice(), &[7; 32]].concat()));
    let elsewhere = format!("tnr_{}", URL_SAFE_NO_PAD.encode([7; 48]));
    let unreadable = refresh(&app, "").await;
    assert_eq!(code(&unreadable), "TOKEN_INVALID");
    for token in ["tnr_", "tnr_!!!", "🙂", &access, &unknown, &elsewhere] {
        assert_eq!(refresh(&app, token).await, unreadable, "{token}");
    }
}

/// A refresh with an expired access token in the header works: that is when clients refresh.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_access_token_does_not_stand_in_the_way() {
    let (app, acme) = start().await;
    let signed_in = login(&app, "user@acme.test", PASSWORD).await;
    let (_, token) = tokens_of(&signed_in, "login");
    let expired = app.tokens.issue(&acme.user.viewer, Timestamp::now() - SignedDuration::from_hours(1)).unwrap().0;
    let answer = app.bearer(Some(&expired)).run_with(REFRESH, json!({ "token": token })).await;
    assert_eq!(code(&answer), "", "{answer}");
}

/// docs/decisions/0018: every token that is not exactly the server's own is refused.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_ours_are_unauthenticated() {
    let (app, acme) = start().await;
    let viewer = acme.user.viewer;
    let kid = app.tokens.jwks().keys[0].common.key_id.clone().unwrap();
    let now = Timestamp::now().as_second();
    let claims = json!({
        "iss": "tenantry", "aud": "tenantry-api", "sub": viewer.user.to_string(), "tid": viewer.tenant.to_string(),
        "role": "USER", "sid": viewer.session.to_string(), "iat": now, "nbf": now, "exp": now + 600
    });
    let key = EncodingKey::from_ed_pem(SIGNING_KEY.as_bytes()).unwrap();
    let header = |kid: &str| Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let signed = |changes: Value| {
        let mut claims = claims.clone();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        jsonwebtoken::encode(&header(&kid), &claims, &key).unwrap()
    };
    assert_eq!(code(&app.bearer(Some(&signed(json!({})))).run("{ viewer { id } }").await), "", "the base is good");

    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(&json!({ "alg": "none", "kid": kid })), part(&claims));
    let public_key =
        aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(key.as_bytes()).unwrap().public_key().as_ref().to_vec();
    let confused = {
        let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT", "kid": kid })), part(&claims));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public_key), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    };
    let good = signed(json!({}));
    let other_key = EncodingKey::from_ed_pem(OTHER_KEY.as_bytes()).unwrap();
    let other_issuer =
        Tokens::try_new(OTHER_KEY, &[], TokenSettings::default()).unwrap().issue(&viewer, Timestamp::now()).unwrap().0;
    let tampered = format!(
        "{}.{}.{}",
        good.split('.').next().unwrap(),
        part(&json!({ "role": "ADMIN" })),
        good.split('.').nth(2).unwrap()
    );
    let refresh_token = tokens_of(&login(&app, "user@acme.test", PASSWORD).await, "login").1.to_owned();
    let cases = [
        ("alg none", unsigned),
        ("HS256 with the public key", confused),
        ("unknown kid", jsonwebtoken::encode(&header("unknown"), &claims, &key).unwrap()),
        ("no kid", jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap()),
        ("another key under our kid", jsonwebtoken::encode(&header(&kid), &claims, &other_key).unwrap()),
        ("another deployment", other_issuer),
        ("tampered claims", tampered),
        ("no aud", signed(json!({ "aud": null }))),
        ("wrong aud", signed(json!({ "aud": "other" }))),
        ("no iss", signed(json!({ "iss": null }))),
        ("wrong iss", signed(json!({ "iss": "other" }))),
        ("no exp", signed(json!({ "exp": null }))),
        ("expired", signed(json!({ "exp": now - 60 }))),
        ("exp as text", signed(json!({ "exp": (now + 600).to_string() }))),
        ("no nbf", signed(json!({ "nbf": null }))),
        ("not yet", signed(json!({ "nbf": now + 120 }))),
        ("no sub", signed(json!({ "sub": null }))),
        ("a tenant's id as sub", signed(json!({ "sub": viewer.tenant.to_string() }))),
        ("no tenant", signed(json!({ "tid": null }))),
        ("no session", signed(json!({ "sid": null }))),
        ("an unknown role", signed(json!({ "role": "WORKER" }))),
        ("a higher role", signed(json!({ "role": "ADMIN" }))),
        ("another's session", signed(json!({ "sid": acme.other.viewer.session.to_string() }))),
        ("a refresh token", refresh_token),
        ("garbage", "garbage".into()),
        ("nothing", String::new()),
    ];
    for (name, token) in cases {
        let person = app.bearer(Some(&token));
        for query in ["{ viewer { id } }", "{ tenant { id } }", "mutation { logout { sessionId } }"] {
            assert_eq!(code(&person.run(query).await), "UNAUTHENTICATED", "{name}: {query}");
        }
    }
}

/// A token of one tenant with another tenant's id in it is invalid; with the right id, its user does not exist there.
#[tokio::test(flavor = "multi_thread")]
async fn a_valid_signature_over_foreign_ids_opens_nothing() {
    let (app, acme) = start().await;
    let globex = app.tenant("globex").await;
    let mixed = tenantry::core::identity::Viewer { tenant: globex.id, ..acme.admin.viewer };
    let token = app.tokens.issue(&mixed, Timestamp::now()).unwrap().0;
    assert_eq!(code(&app.bearer(Some(&token)).run("{ services { nodes { id } } }").await), "UNAUTHENTICATED");
}

/// Keys rotate: a retired public key still verifies, and the key set lists both.
#[tokio::test(flavor = "multi_thread")]
async fn a_retired_key_still_verifies() {
    let (_, acme) = start().await;
    let old = Tokens::try_new(SIGNING_KEY, &[], TokenSettings::default()).unwrap();
    let token = old.issue(&acme.user.viewer, Timestamp::now()).unwrap().0;
    let der = EncodingKey::from_ed_pem(SIGNING_KEY.as_bytes()).unwrap();
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(der.as_bytes()).unwrap();
    let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    spki.extend(pair.public_key().as_ref());
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(spki)
    );
    let new = Tokens::try_new(OTHER_KEY, &[pem], TokenSettings::default()).unwrap();
    assert_eq!(new.verify(&token).unwrap().actor, Actor::Person(acme.user.viewer));
    assert_eq!(new.jwks().keys.len(), 2);
    assert_eq!(Tokens::try_new(OTHER_KEY, &[], TokenSettings::default()).unwrap().verify(&token), None);
}

/// docs/decisions/0020: aliased logins in one document are as many attempts.
#[tokio::test(flavor = "multi_thread")]
async fn aliased_logins_count_one_by_one() {
    let (app, _) = start().await;
    let logins: String = (0..100).map(|n| format!("a{n}: login(input: {{ email: \"user@acme.test\", password: \"wrong{n}\" }}) {{ userErrors {{ code }} }} ")).collect();
    let answer = app.anonymous().run(&format!("mutation {{ {logins} }}")).await;
    let tried = answer["data"]
        .as_object()
        .map_or(0, |data| data.values().filter(|it| it["userErrors"][0]["code"] == "WRONG_CREDENTIALS").count());
    assert_eq!(tried, 10, "{answer}");
    assert_eq!(code(&answer), "RATE_LIMITED");
    assert!(answer["errors"][0]["extensions"]["retryAfter"].as_i64().is_some_and(|it| (1..=60).contains(&it)));
    // They stay counted, also for a second process and for the right password.
    let second = TestApp::on(app.database.clone(), Options::default()).await;
    assert_eq!(code(&login(&second, "user@acme.test", PASSWORD).await), "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_never_locked_for_good_and_others_not_at_all() {
    let mut limits = SignInLimits::default();
    limits.account_and_address.burst = 3;
    limits.account_and_address.interval = SignedDuration::from_secs(3);
    let app = TestApp::start_with(Options { limits, ..Options::default() }).await;
    app.tenant("acme").await;
    for _ in 0..3 {
        assert_eq!(code(&login(&app, "user@acme.test", "wrong").await), "WRONG_CREDENTIALS");
    }
    // Twice as many as the account's own bucket holds: an attempt that the narrow one refuses does not use up the wide
    // one.
    for _ in 0..2 * limits.account.burst {
        assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "RATE_LIMITED");
    }
    assert_eq!(code(&login(&app, "other@acme.test", PASSWORD).await), "");
    // The victim, at another address, is not in the attacker's bucket.
    let origin = tenantry::core::identity::Origin { address: Some("192.0.2.7".into()), ..crate::support::origin() };
    let attempt =
        tenantry::features::auth::Login { email: "user@acme.test".into(), password: PASSWORD.into(), tenant: None };
    assert!(app.sign_in.login(attempt, &origin).await.is_ok());
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_is_in_the_tenants_audit_log() {
    let (app, acme) = start().await;
    let before = app.truth("select count(*) from shared.audit_events where action = 'sessions.login'").await;
    login(&app, "user@acme.test", PASSWORD).await;
    let after = app.truth("select count(*) from shared.audit_events where action = 'sessions.login'").await;
    assert_eq!(after[0].parse::<u32>().unwrap(), before[0].parse::<u32>().unwrap() + 1);
    let last =
        app.truth("select tenant_id, actor_role from shared.audit_events where action = 'sessions.login' order by at desc, id desc limit 1").await;
    assert_eq!(last, [format!("{} | AUTHENTICATOR", acme.id.0)]);
}

/// No secret of a request is ever in an answer that refuses it.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_hold_no_secrets() {
    let (app, _) = start().await;
    let secret = "hunter2hunter2";
    let person: Person = app.anonymous();
    for query in [
        format!(
            "mutation {{ login(input: {{ email: \"user@acme.test\", password: \"{secret}\" }}) {{ userErrors {{ code message }} }} }}"
        ),
        format!("mutation {{ login(input: {{ email: 7, password: \"{secret}\" }}) {{ userErrors {{ code }} }} }}"),
        format!(
            "mutation {{ refreshSession(input: {{ refreshToken: \"{secret}\" }}) {{ userErrors {{ message }} }} }}"
        ),
    ] {
        assert!(!person.run(&query).await.to_string().contains(secret), "{query}");
    }
}

const CHANGE: &str =
    "mutation($old: String!, $new: String!) { changePassword(input: { currentPassword: $old, newPassword: $new }) {
    user { email } userErrors { code field } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_every_other_session() {
    let (app, acme) = start().await;
    let elsewhere = login(&app, "user@acme.test", PASSWORD).await;
    let (access, refresh_token) = tokens_of(&elsewhere, "login");
    let new = "an entirely new phrase";
    let changed = acme.user.run_with(CHANGE, json!({ "old": PASSWORD, "new": new })).await;
    assert_eq!(
        changed["data"]["changePassword"],
        json!({ "user": { "email": "user@acme.test" }, "userErrors": [] }),
        "{changed}"
    );
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), ""); // this one stays active
    assert_eq!(code(&app.bearer(Some(access)).run("{ viewer { id } }").await), "UNAUTHENTICATED");
    assert_eq!(code(&refresh(&app, refresh_token).await), "TOKEN_INVALID");
    assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "WRONG_CREDENTIALS");
    assert_eq!(code(&login(&app, "user@acme.test", new).await), "");
    let log = app.truth("select u.email from shared.audit_events e join shared.users u on u.id = e.object_id where action = 'users.change_password'").await;
    assert_eq!(log, ["user@acme.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_only_by_who_knows_it_and_only_for_a_good_one() {
    let (app, acme) = start().await;
    let change = async |old: &str, new: &str| {
        let answer = acme.user.run_with(CHANGE, json!({ "old": old, "new": new })).await;
        (code(&answer).to_owned(), answer["data"]["changePassword"]["userErrors"][0]["field"].clone())
    };
    assert_eq!(
        change("wrong", "an entirely new phrase").await,
        ("WRONG_CREDENTIALS".into(), json!(["currentPassword"]))
    );
    for weak in ["short", "password1", "user@acme.test", "aaaaaaaaaaaa", &"x7".repeat(200)] {
        assert_eq!(change(PASSWORD, weak).await, ("WEAK_PASSWORD".into(), json!(["newPassword"])), "{weak}");
    }
    assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "");
    // Guessing here counts like guessing at sign-in.
    for _ in 0..20 {
        change("wrong", "an entirely new phrase").await;
    }
    assert_eq!(change(PASSWORD, "an entirely new phrase").await.0, "RATE_LIMITED");
    assert_eq!(
        code(&app.anonymous().run_with(CHANGE, json!({ "old": PASSWORD, "new": "x" })).await),
        "UNAUTHENTICATED"
    );
}

/// The sign-in path does not enter as the caller, so it must check itself whether their session is active.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_changes_no_password() {
    let (app, acme) = start().await;
    let input = json!({ "old": PASSWORD, "new": "an entirely new phrase" });
    app.by_hand("update shared.sessions set ended_at = now(), end_reason = 'LOGOUT'").await;
    assert_eq!(code(&acme.user.run_with(CHANGE, input.clone()).await), "UNAUTHENTICATED");
    app.by_hand("update shared.sessions set ended_at = null, end_reason = null; update shared.users set role = 'STAFF' where role = 'USER'").await;
    assert_eq!(code(&acme.user.run_with(CHANGE, input.clone()).await), "UNAUTHENTICATED");
    let stranger = tenantry::core::identity::Viewer { user: acme.admin.id, ..acme.staff.viewer };
    let token = app.tokens.issue(&stranger, Timestamp::now()).unwrap().0;
    assert_eq!(code(&app.bearer(Some(&token)).run_with(CHANGE, input).await), "UNAUTHENTICATED");
}

/// Of two changes at once one is made; the other's password is the old one by then.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_password_changes_one_is_made() {
    let (app, acme) = start().await;
    let news = ["an entirely new phrase", "quite another new phrase"];
    let both = join_all(news.map(|new| acme.user.run_with(CHANGE, json!({ "old": PASSWORD, "new": new })))).await;
    let codes: Vec<&str> = both.iter().map(code).collect();
    assert!(codes.contains(&"") && codes.contains(&"WRONG_CREDENTIALS"), "{codes:?}");
    let good = join_all(news.map(|new| login(&app, "user@acme.test", new))).await;
    assert_eq!(good.iter().filter(|it| code(it).is_empty()).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_and_ends_his_own_sessions() {
    let (app, acme) = start().await;
    let list = "{ sessions { id current expiresAt } }";
    let phone = login(&app, "user@acme.test", PASSWORD).await;
    let (phone, _) = tokens_of(&phone, "login");
    let phone = app.bearer(Some(phone));
    login(&app, "user@acme.test", PASSWORD).await;
    let seen = phone.run(list).await["data"]["sessions"].as_array().unwrap().clone();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen.iter().filter(|it| it["current"] == true).count(), 1);
    assert_eq!(acme.other.run(list).await["data"]["sessions"].as_array().unwrap().len(), 1);

    let revoke = "mutation($id: ID!) { revokeSession(input: { id: $id }) { sessionId userErrors { code } } }";
    let own = json!({ "id": acme.user.viewer.session.to_string() });
    assert_eq!(code(&acme.other.run_with(revoke, own.clone()).await), "NOT_FOUND");
    assert_eq!(code(&acme.admin.run_with(revoke, own.clone()).await), "NOT_FOUND"); // not even an administrator's
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "");
    let revoked = phone.run_with(revoke, own.clone()).await;
    assert_eq!(revoked["data"]["revokeSession"]["sessionId"], own["id"], "{revoked}");
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "UNAUTHENTICATED");
    assert_eq!(code(&phone.run_with(revoke, own).await), "NOT_FOUND");

    let others = phone.run("mutation { revokeOtherSessions { revoked userErrors { code } } }").await;
    assert_eq!(others["data"]["revokeOtherSessions"]["revoked"], 1, "{others}");
    assert_eq!(phone.run(list).await["data"]["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(code(&acme.other.run("{ viewer { id } }").await), "");
}

/// Two hundred attackers' addresses keep an account's bucket exhausted; its owner can sign in from a known address, and the
/// count survives a restart.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_not_locked_out_of_where_he_was_before() {
    let (app, _) = start().await;
    let from =
        |address: String| tenantry::core::identity::Origin { address: Some(address), ..crate::support::origin() };
    let attempt = |password: &str| tenantry::features::auth::Login {
        email: "user@acme.test".into(),
        password: password.into(),
        tenant: None,
    };
    let home = from("192.0.2.7".into());
    app.sign_in.login(attempt(PASSWORD), &home).await.unwrap();
    let mut refused = false;
    for at in 0..200 {
        let outcome = app.sign_in.login(attempt("wrong"), &from(format!("198.51.100.{at}"))).await;
        refused |= matches!(outcome, Err(tenantry::features::auth::SignInError::TooManyAttempts(_)));
    }
    assert!(refused, "the account's bucket is empty");
    // Another process on the same database: a restart forgets nothing.
    let again = TestApp::on(app.database.clone(), Options::default()).await;
    for app in [&app, &again] {
        let stranger = app.sign_in.login(attempt(PASSWORD), &from("203.0.113.9".into())).await;
        assert!(matches!(stranger, Err(tenantry::features::auth::SignInError::TooManyAttempts(_))), "{stranger:?}");
        assert!(app.sign_in.login(attempt(PASSWORD), &home).await.is_ok());
    }
    // A known address is limited too.
    let mut codes = Vec::new();
    for _ in 0..12 {
        codes.push(
            app.sign_in
                .login(attempt("wrong"), &home)
                .await
                .is_err_and(|it| matches!(it, tenantry::features::auth::SignInError::TooManyAttempts(_))),
        );
    }
    assert!(codes.contains(&true));
}

/// A request in cookie mode, with these cookies.
async fn in_cookie_mode(app: &TestApp, query: &str, cookies: &str, says_so: bool) -> (Vec<String>, Value) {
    let mut request =
        axum::http::Request::post("/graphql").header("content-type", "application/json").header("cookie", cookies);
    if says_so {
        request = request.header("tenantry-session", "cookie");
        // As a page does that knows whose it is.
        if let Some(session) = cookies.split("__Host-tenantry_access=").nth(1).filter(|it| !it.is_empty()) {
            let token = session.split(';').next().unwrap_or_default();
            if let Some(Actor::Person(viewer)) = app.tokens.verify(token).map(|it| it.actor) {
                request = request.header("tenantry-tenant", viewer.tenant.to_string());
            }
        }
    }
    let (response, body) = app.send(request.body(json!({ "query": query }).to_string().into()).unwrap()).await;
    let set = response.headers().get_all("set-cookie").iter().map(|it| it.to_str().unwrap().to_owned()).collect();
    (set, serde_json::from_slice(&body).unwrap())
}

fn cookies(set: &[String]) -> String {
    set.iter().map(|it| it.split(';').next().unwrap()).collect::<Vec<_>>().join("; ")
}

/// Browsers keep the tokens in cookies that scripts cannot read; without the header a cookie is ignored, so no other
/// site can use it.
#[tokio::test(flavor = "multi_thread")]
async fn a_browsers_session_lives_in_cookies() {
    let (app, _) = start().await;
    let sign_in = format!(
        "mutation {{ login(input: {{ email: \"user@acme.test\", password: \"{PASSWORD}\" }}) {{ session {{ accessToken refreshToken accessTokenExpiresAt }} user {{ email }} userErrors {{ code }} }} }}"
    );
    let (set, answer) = in_cookie_mode(&app, &sign_in, "", true).await;
    let session = &answer["data"]["login"]["session"];
    assert_eq!((&session["accessToken"], &session["refreshToken"]), (&json!(""), &json!("")), "{answer}");
    assert_eq!(set.len(), 2);
    for line in &set {
        for part in ["__Host-tenantry_", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Max-Age="] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains("Domain"), "{line}");
    }
    let jar = cookies(&set);
    let viewer = "{ viewer { email } }";
    assert_eq!(in_cookie_mode(&app, viewer, &jar, true).await.1["data"]["viewer"]["email"], "user@acme.test");
    // What a form or an image of another site could send.
    assert_eq!(in_cookie_mode(&app, viewer, &jar, false).await.1["data"]["viewer"], json!(null));
    let logout = "mutation { logout { sessionId userErrors { code } } }";
    assert_eq!(code(&in_cookie_mode(&app, logout, &jar, false).await.1), "UNAUTHENTICATED");

    let refresh =
        "mutation { refreshSession(input: { refreshToken: \"\" }) { session { accessToken } userErrors { code } } }";
    assert_eq!(code(&in_cookie_mode(&app, refresh, &jar, false).await.1), "TOKEN_INVALID");
    let (set, answer) = in_cookie_mode(&app, refresh, &jar, true).await;
    assert_eq!((code(&answer), set.len()), ("", 2), "{answer}");
    let jar = cookies(&set);
    let (set, answer) = in_cookie_mode(&app, logout, &jar, true).await;
    assert_eq!((code(&answer), set.len()), ("", 2), "{answer}");
    assert!(set.iter().all(|it| it.contains("Max-Age=0")), "{set:?}");
    assert_eq!(code(&in_cookie_mode(&app, viewer, &jar, true).await.1), "UNAUTHENTICATED");
    // The bearer header overrides a cookie, and a failed sign-in sets none.
    let wrong = "mutation { login(input: { email: \"user@acme.test\", password: \"wrong\" }) { userErrors { code } } }";
    assert_eq!(in_cookie_mode(&app, wrong, "", true).await.0, Vec::<String>::new());
}
