//! Signing up, registering, inviting, resetting passwords: who may, what is revealed, and what a crash leaves.

use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tenantry::core::identity::Role;

use crate::support::{PASSWORD, Person, TestApp, TestTenant, code};

const SESSION: &str =
    "session { accessToken refreshToken } user { id email name role emailVerified tenant { slug name } }
    userErrors { code field message }";

async fn call(person: &Person, field: &str, input: Value) -> Value {
    let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
    let selection = match field {
        "signUp" | "registerUser" | "confirmRegistration" | "acceptInvitation" => SESSION,
        "inviteUser" | "resendInvitation" | "revokeInvitation" => {
            "invitation { id email role status expiresAt } userErrors { code field message }"
        }
        _ => "userErrors { code field message }",
    };
    let query = format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ {selection} }} }}");
    person.run_with(&query, json!({ "input": input })).await
}

async fn login_to(app: &TestApp, tenant: &str, email: &str, password: &str) -> Value {
    let query = format!("mutation($input: LoginInput!) {{ login(input: $input) {{ {SESSION} }} }}");
    let input = json!({ "email": email, "password": password, "tenant": tenant });
    app.anonymous().run_with(&query, json!({ "input": input })).await
}

async fn login(app: &TestApp, email: &str, password: &str) -> Value {
    let query = format!("mutation($input: LoginInput!) {{ login(input: $input) {{ {SESSION} }} }}");
    app.anonymous().run_with(&query, json!({ "input": { "email": email, "password": password } })).await
}

fn sign_up(slug: &str) -> Value {
    json!({ "tenantName": "Initech", "slug": slug, "name": "Bill", "email": "Bill@Initech.test", "password": "seven printers and a bat",
        "timeZone": "America/Chicago", "currency": "USD" })
}

async fn open(tenant: &TestTenant) {
    let answer = call(&tenant.admin, "updateTenant", json!({ "openRegistration": true })).await;
    assert_eq!(code(&answer), "", "{answer}");
}

fn registration(email: &str) -> Value {
    json!({ "tenant": "acme", "email": email, "name": "Nina", "password": "nine quiet lamps" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_business_signs_up_and_confirms_its_mailbox() {
    let app = TestApp::start().await;
    let answer = call(&app.anonymous(), "signUp", sign_up("  Initech ")).await;
    let user = &answer["data"]["signUp"]["user"];
    assert_eq!(user["email"], "bill@initech.test", "{answer}");
    assert_eq!(user["role"], "ADMIN");
    assert_eq!(user["tenant"], json!({ "slug": "initech", "name": "Initech" }));
    assert_eq!(user["emailVerified"], false);
    let admin = app.bearer(answer["data"]["signUp"]["session"]["accessToken"].as_str());
    let tenant =
        admin.run("{ tenant { slug status timeZone currency features { key } } billing { plan { key } } }").await;
    assert_eq!(tenant["data"]["tenant"]["timeZone"], "America/Chicago");
    assert_eq!(tenant["data"]["tenant"]["status"], "ACTIVE");
    assert_eq!(tenant["data"]["billing"]["plan"]["key"], "free");

    // Until the mailbox is verified, the email counts only in this tenant, and it cannot cause mail to others.
    assert_eq!(code(&login(&app, "bill@initech.test", "seven printers and a bat").await), "WRONG_CREDENTIALS");
    assert_eq!(code(&login_to(&app, "initech", "bill@initech.test", "seven printers and a bat").await), "");
    assert_eq!(code(&call(&admin, "inviteUser", json!({ "email": "a@b.co", "role": "USER" })).await), "INVALID");

    let mail = app.mail_to("bill@initech.test").await;
    assert_eq!(mail.from, "Initech");
    for (token, expected) in
        [("nonsense".to_owned(), "TOKEN_INVALID"), (mail.token(), ""), (mail.token(), "TOKEN_INVALID")]
    {
        assert_eq!(code(&call(&app.anonymous(), "verifyEmail", json!({ "token": token })).await), expected);
    }
    assert_eq!(admin.run("{ viewer { emailVerified } }").await["data"]["viewer"]["emailVerified"], true);
    let again = admin.run("mutation { requestEmailVerification { requested } }").await;
    assert_eq!(again["data"]["requestEmailVerification"]["requested"], false);
    assert_eq!(code(&login(&app, "bill@initech.test", "seven printers and a bat").await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_leaves_nothing_behind() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let before = app.truth("select count(*) from directory.tenants").await;
    for (field, value, expected, at) in [
        ("slug", "acme", "SLUG_TAKEN", "slug"),
        ("slug", "ＡＣＭＥ", "SLUG_TAKEN", "slug"),
        ("slug", "www", "INVALID", "slug"),
        ("slug", "a b", "INVALID", "slug"),
        ("email", "nobody", "INVALID", "email"),
        ("email", "a@b\r\nBcc: c@d.e", "INVALID", "email"),
        ("name", " ", "INVALID", "name"),
        ("tenantName", "", "INVALID", "tenantName"),
        ("password", "password1", "WEAK_PASSWORD", "password"),
        ("password", "short", "WEAK_PASSWORD", "password"),
    ] {
        let mut input = sign_up("initech");
        input[field] = value.into();
        let answer = call(&app.anonymous(), "signUp", input).await;
        assert_eq!(code(&answer), expected, "{field} {value}: {answer}");
        assert_eq!(answer["data"]["signUp"]["userErrors"][0]["field"], json!([at]), "{answer}");
    }
    assert_eq!(app.truth("select count(*) from directory.tenants").await, before);
    assert_eq!(app.truth("select count(*) from directory.logins where email like '%initech%'").await, ["0"]);
}

/// Of ten at once for one slug one gets it, and the others leave nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_somebodys_once() {
    let app = TestApp::start().await;
    let attempts = (0..10).map(|at| {
        let app = app.clone();
        async move {
            let mut input = sign_up("initech");
            input["email"] = format!("bill{at}@initech.test").into();
            code(&call(&app.anonymous(), "signUp", input).await).to_owned()
        }
    });
    let codes = join_all(attempts).await;
    assert_eq!(codes.iter().filter(|it| it.is_empty()).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|it| *it == "SLUG_TAKEN").count(), 9, "{codes:?}");
    assert_eq!(app.truth("select count(*), min(state) from directory.tenants").await, ["1 | ACTIVE"]);
    assert_eq!(app.truth("select count(*) from directory.logins").await, ["1"]);
}

/// A tenant whose creation stopped between two steps is completed when it has its administrator, and removed otherwise.
/// A caller who returns to a tenant that was abandoned meanwhile is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_finished_or_abandoned() {
    let app = TestApp::start().await;
    call(&app.anonymous(), "signUp", sign_up("whole")).await;
    app.by_hand("update directory.tenants set state = 'CREATING'").await; // as if the last step had not run
    assert_eq!(
        code(&login_to(&app, "whole", "bill@initech.test", "seven printers and a bat").await),
        "WRONG_CREDENTIALS"
    );
    assert_eq!(app.sign_in.finish_or_abandon().await.unwrap(), 0, "it has a minute");
    app.by_hand("update directory.tenants set created_at = created_at - interval '2 minutes'").await;
    assert_eq!(app.sign_in.finish_or_abandon().await.unwrap(), 1);
    assert_eq!(code(&login_to(&app, "whole", "bill@initech.test", "seven printers and a bat").await), "");

    // One that is only in the directory, and one that is in the store without an administrator.
    app.by_hand(
        "insert into directory.tenants (id, slug, name, state, created_at)
         values ('01900000-0000-7000-8000-00000000000a', 'alone', 'Alone', 'CREATING', now() - interval '2 minutes'),
                ('01900000-0000-7000-8000-00000000000b', 'begun', 'Begun', 'CREATING', now() - interval '2 minutes');
         insert into directory.logins values ('a@b.c', '01900000-0000-7000-8000-00000000000a', gen_random_uuid());
         insert into shared.tenant_state (tenant_id, slug, name, state, time_zone, currency, plan_id, plan_version_id, created_at, updated_at)
         values ('01900000-0000-7000-8000-00000000000b', 'begun', 'Begun', 'CREATING', 'UTC', 'EUR', gen_random_uuid(), gen_random_uuid(), now(), now())",
    )
    .await;
    assert_eq!(app.sign_in.finish_or_abandon().await.unwrap(), 2);
    assert_eq!(app.sign_in.finish_or_abandon().await.unwrap(), 0);
    assert_eq!(
        app.truth("select state, slug like 'deleted-%' from directory.tenants where slug <> 'whole'").await,
        ["DELETED | t", "DELETED | t"]
    );
    assert_eq!(app.truth("select count(*) from directory.logins where email = 'a@b.c'").await, ["0"]);
    assert_eq!(app.truth("select state from shared.tenant_state where slug <> 'whole'").await, ["DELETED", "DELETED"]);
    for slug in ["alone", "begun"] {
        let mut input = sign_up(slug);
        input["email"] = "a@b.co".into();
        assert_eq!(code(&call(&app.anonymous(), "signUp", input).await), "", "the slug is free again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_registers_where_that_is_open() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let anonymous = app.anonymous();
    let closed = call(&anonymous, "registerUser", registration("nina@example.test")).await;
    assert_eq!(
        (code(&closed), &closed["data"]["registerUser"]["userErrors"][0]["field"]),
        ("INVALID", &json!(["tenant"]))
    );
    assert_eq!(code(&call(&acme.user, "updateTenant", json!({ "openRegistration": true })).await), "FORBIDDEN");
    open(&acme).await;
    let unknown = call(
        &anonymous,
        "registerUser",
        json!({ "tenant": "nope", "email": "a@b.co", "name": "A", "password": "nine quiet lamps" }),
    )
    .await;
    assert_eq!(code(&unknown), "NOT_FOUND");

    // The same answer, whether the email is known or not.
    let new = call(&anonymous, "registerUser", registration("Nina@Example.test")).await;
    let known = call(&anonymous, "registerUser", registration("user@acme.test")).await;
    assert_eq!(new, json!({ "data": { "registerUser": { "session": null, "user": null, "userErrors": [] } } }));
    assert_eq!(new, known);
    let mails = app.mails().await;
    let to = |email: &str| mails.iter().find(|it| it.to == email).unwrap();
    assert!(to("user@acme.test").subject.contains("already") && !to("user@acme.test").text.contains("tnl_"));
    assert_eq!(code(&login(&app, "nina@example.test", "nine quiet lamps").await), "WRONG_CREDENTIALS"); // not confirmed

    let token = to("nina@example.test").token();
    let confirm = async |password: &str| {
        call(&anonymous, "confirmRegistration", json!({ "token": token, "password": password })).await
    };
    // The owner of the mailbox confirms nothing without the registration's password.
    assert_eq!(code(&confirm("something else").await), "WRONG_CREDENTIALS");
    let confirmed = confirm("nine quiet lamps").await;
    let user = &confirmed["data"]["confirmRegistration"]["user"];
    assert_eq!(
        (&user["role"], &user["emailVerified"], &user["name"]),
        (&json!("USER"), &json!(true), &json!("Nina")),
        "{confirmed}"
    );
    assert_eq!(code(&confirm("nine quiet lamps").await), "TOKEN_INVALID");
    assert_eq!(code(&login(&app, "nina@example.test", "nine quiet lamps").await), "");
    assert_eq!(app.truth("select email from shared.registrations").await, ["user@acme.test"]);
}

/// Of two registrations with one email each has its own link and password; the first that is confirmed counts.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_registers_somebody_else_with_his_own_password() {
    let app = TestApp::start().await;
    open(&app.tenant("acme").await).await;
    let anonymous = app.anonymous();
    let mut attacker = registration("nina@example.test");
    attacker["password"] = "an attackers choice".into();
    call(&anonymous, "registerUser", attacker).await;
    let first = app.mail_to("nina@example.test").await.token();
    call(&anonymous, "registerUser", registration("nina@example.test")).await;
    let second = app.mail_to("nina@example.test").await.token();
    // She opens the wrong link, and enters her own password.
    let confirm = |token: &str| json!({ "token": token, "password": "nine quiet lamps" });
    assert_eq!(code(&call(&anonymous, "confirmRegistration", confirm(&first)).await), "WRONG_CREDENTIALS");
    assert_eq!(code(&call(&anonymous, "confirmRegistration", confirm(&second)).await), "");
    assert_eq!(
        code(
            &call(&anonymous, "confirmRegistration", json!({ "token": first, "password": "an attackers choice" }))
                .await
        ),
        "TOKEN_INVALID"
    );
    assert_eq!(code(&login(&app, "nina@example.test", "an attackers choice").await), "WRONG_CREDENTIALS");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_invite_and_take_back() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let invite = json!({ "email": " New@Example.Test", "role": "STAFF" });
    for person in [&acme.staff, &acme.user] {
        assert_eq!(code(&call(person, "inviteUser", invite.clone()).await), "FORBIDDEN");
        assert_eq!(code(&person.run("{ invitations { nodes { id } } }").await), "FORBIDDEN");
    }
    assert_eq!(code(&call(&acme.admin, "inviteUser", json!({ "email": "x", "role": "USER" })).await), "INVALID");
    let taken = call(&acme.admin, "inviteUser", json!({ "email": "staff@acme.test", "role": "STAFF" })).await;
    assert_eq!(code(&taken), "EMAIL_TAKEN");
    let first = call(&acme.admin, "inviteUser", invite.clone()).await;
    assert_eq!(first["data"]["inviteUser"]["invitation"]["email"], "new@example.test", "{first}");
    let first_token = app.mail_to("new@example.test").await.token();

    // Invited again: one is pending, and the older link is invalid. Resent: the same.
    app.clock.advance(jiff::SignedDuration::from_secs(1));
    let second = call(&acme.admin, "inviteUser", invite).await;
    let id = second["data"]["inviteUser"]["invitation"]["id"].clone();
    let second_token = app.mail_to("new@example.test").await.token();
    app.clock.advance(jiff::SignedDuration::from_secs(1));
    assert_eq!(code(&call(&acme.admin, "resendInvitation", json!({ "id": id })).await), "");
    let third_token = app.mail_to("new@example.test").await.token();
    let accept = |token: &str| json!({ "token": token, "name": "Neo", "password": "nine quiet lamps" });
    for token in [&first_token, &second_token] {
        assert_eq!(code(&call(&app.anonymous(), "acceptInvitation", accept(token)).await), "TOKEN_INVALID");
    }
    let list = acme.admin.run("{ invitations { nodes { email status invitedBy { email } } } }").await;
    let nodes = &list["data"]["invitations"]["nodes"];
    assert_eq!(
        nodes[0],
        json!({ "email": "new@example.test", "status": "PENDING", "invitedBy": { "email": "admin@acme.test" } })
    );
    assert_eq!(nodes[1]["status"], "REVOKED");
    // A weak password does not use up the link.
    let mut weak = accept(&third_token);
    weak["password"] = "password".into();
    assert_eq!(code(&call(&app.anonymous(), "acceptInvitation", weak).await), "WEAK_PASSWORD");
    assert_eq!(code(&call(&acme.admin, "revokeInvitation", json!({ "id": id })).await), "");
    assert_eq!(code(&call(&app.anonymous(), "acceptInvitation", accept(&third_token)).await), "TOKEN_INVALID");
    assert_eq!(code(&call(&acme.admin, "revokeInvitation", json!({ "id": id })).await), "NOT_FOUND");
    assert_eq!(code(&call(&acme.admin, "resendInvitation", json!({ "id": id })).await), "NOT_FOUND");
}

async fn invited(app: &TestApp, admin: &Person, email: &str, role: &str) -> String {
    let answer = call(admin, "inviteUser", json!({ "email": email, "role": role })).await;
    assert_eq!(code(&answer), "", "{answer}");
    app.mail_to(email).await.token()
}

/// Two at once with one invitation: one joins. It is bound to the invited email, and expires.
#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_good_once() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = invited(&app, &acme.admin, "new@example.test", "STAFF").await;
    let (one, two) = tokio::join!(call_accept(&app, &token, "One"), call_accept(&app, &token, "Two"));
    let mut codes = [code(&one), code(&two)];
    codes.sort_unstable();
    assert_eq!(codes, ["", "TOKEN_INVALID"], "{one} {two}");
    assert_eq!(
        app.truth(
            "select email, role, status, email_verified_at is not null from shared.users where email like 'new@%'"
        )
        .await,
        ["new@example.test | STAFF | ACTIVE | t"]
    );
    assert_eq!(app.truth("select status from shared.invitations").await, ["ACCEPTED"]);

    let late = invited(&app, &acme.admin, "late@example.test", "USER").await;
    app.by_hand("update shared.invitations set expires_at = now() - interval '1 second' where status = 'PENDING'")
        .await;
    assert_eq!(code(&call_accept(&app, &late, "Late").await), "TOKEN_INVALID");
}

async fn call_accept(app: &TestApp, token: &str, name: &str) -> Value {
    call(&app.anonymous(), "acceptInvitation", json!({ "token": token, "name": name, "password": "nine quiet lamps" }))
        .await
}

/// An existing user keeps account, name and password, and gets the role if it allows more; a deactivated user is
/// reactivated. The answer has the same shape.
#[tokio::test(flavor = "multi_thread")]
async fn an_existing_user_keeps_his_account() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = invited(&app, &acme.admin, "user@acme.test", "STAFF").await;
    let answer = call_accept(&app, &token, "Somebody else").await;
    let user = &answer["data"]["acceptInvitation"]["user"];
    assert_eq!(user["id"], json!(acme.user.id.to_string()), "{answer}");
    assert_eq!((&user["role"], &user["name"]), (&json!("STAFF"), &json!("user of acme")));
    assert!(answer["data"]["acceptInvitation"]["session"]["accessToken"].is_string());
    assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "", "the password is unchanged");
    assert_eq!(code(&login(&app, "user@acme.test", "nine quiet lamps").await), "WRONG_CREDENTIALS");
    app.by_hand("update shared.users set status = 'DEACTIVATED' where email = 'other@acme.test'").await;
    let token = invited(&app, &acme.admin, "other@acme.test", "USER").await;
    assert_eq!(code(&call_accept(&app, &token, "Back").await), "");
    assert_eq!(code(&login(&app, "other@acme.test", PASSWORD).await), "");
}

/// The plan's limit of users also holds when several join at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_plan_limits_users_exactly() {
    let app = TestApp::start().await;
    let acme = app.tenant_on_plan("acme", "free").await; // three users; four were enrolled past the rule
    app.by_hand("update shared.users set status = 'DEACTIVATED' where email in ('other@acme.test', 'staff@acme.test')")
        .await;
    let mut tokens = Vec::new();
    for at in 0..4 {
        tokens.push(invited(&app, &acme.admin, &format!("new{at}@example.test"), "USER").await);
    }
    let answers = join_all(tokens.iter().map(|token| call_accept(&app, token, "New"))).await;
    let mut codes: Vec<&str> = answers.iter().map(code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["", "QUOTA_EXCEEDED", "QUOTA_EXCEEDED", "QUOTA_EXCEEDED"]);
    assert_eq!(app.truth("select count(*) from shared.users where status = 'ACTIVE'").await, ["3"]);
    let id = app.truth("select id from shared.users where email = 'staff@acme.test'").await[0].parse().unwrap();
    let id = tenantry::base::ids::UserId(id).to_string();
    assert_eq!(code(&call(&acme.admin, "reactivateUser", json!({ "id": id })).await), "QUOTA_EXCEEDED");
    // A refusal does not use up the link: with room, the next one joins by the same link.
    app.by_hand("update shared.tenant_state set limits = '{}'").await;
    let refused = answers.iter().position(|it| code(it) == "QUOTA_EXCEEDED").unwrap();
    assert_eq!(code(&call_accept(&app, &tokens[refused], "New").await), "");
    assert_eq!(code(&call(&acme.admin, "reactivateUser", json!({ "id": id })).await), "");
}

const RESET: &str = "mutation($token: String!, $new: String!) {
    resetPassword(input: { token: $token, newPassword: $new }) { reset userErrors { code field } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_chosen_anew() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let ask = async |email: &str| call(&app.anonymous(), "requestPasswordReset", json!({ "email": email })).await;
    // The same bytes, and nothing else, for everyone.
    let known = ask(" User@Acme.test").await;
    for email in ["nobody@acme.test", "", "not an e-mail", &"x".repeat(400)] {
        assert_eq!(ask(email).await, known, "{email:?}");
    }
    let mails = app.mails().await;
    assert_eq!(mails.iter().map(|it| it.to.as_str()).collect::<Vec<_>>(), ["user@acme.test"]);
    let token = mails[0].token();
    assert!(mails[0].text.contains("https://app.test/account#reset-password="), "{}", mails[0].text);
    assert_eq!(app.truth("select count(*) from directory.account_requests").await, ["0"]);
    // Only its hash is stored.
    let dump =
        app.truth("select to_jsonb(l), to_jsonb(t) from shared.one_time_links l, shared.one_time_link_tokens t").await;
    assert!(!dump.join("").contains(&token[10..]), "{dump:?}");

    let reset =
        async |token: &str, new: &str| app.anonymous().run_with(RESET, json!({ "token": token, "new": new })).await;
    let weak = reset(&token, "user@acme.test").await;
    assert_eq!(
        (code(&weak), &weak["data"]["resetPassword"]["userErrors"][0]["field"]),
        ("WEAK_PASSWORD", &json!(["newPassword"]))
    );
    let (one, two) = tokio::join!(reset(&token, "nine quiet lamps"), reset(&token, "ten quiet lamps"));
    let mut codes = [code(&one), code(&two)];
    codes.sort_unstable();
    assert_eq!(codes, ["", "TOKEN_INVALID"]);
    let new = if code(&one).is_empty() { "nine quiet lamps" } else { "ten quiet lamps" };
    assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "WRONG_CREDENTIALS");
    assert_eq!(code(&login(&app, "user@acme.test", new).await), "");
    assert_eq!(code(&acme.user.run("{ viewer { id } }").await), "UNAUTHENTICATED", "every session has ended");
    assert!(app.mail_to("user@acme.test").await.subject.contains("was changed"));
    assert_eq!(code(&acme.admin.run("{ viewer { id } }").await), "");
}

/// A newer link invalidates the older one, a change of password invalidates all, and after half an hour it expires.
#[tokio::test(flavor = "multi_thread")]
async fn old_links_are_out_of_force() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let ask = async || {
        call(&app.anonymous(), "requestPasswordReset", json!({ "email": "user@acme.test" })).await;
        app.mail_to("user@acme.test").await.token()
    };
    let reset = async |token: &str| {
        let answer = app.anonymous().run_with(RESET, json!({ "token": token, "new": "nine quiet lamps" })).await;
        code(&answer).to_owned()
    };
    let (first, second) = (ask().await, ask().await);
    assert_eq!(reset(&first).await, "TOKEN_INVALID");
    let change = "mutation($old: String!) { changePassword(input: { currentPassword: $old, newPassword: \"eleven quiet lamps\" }) { userErrors { code } } }";
    assert_eq!(code(&acme.user.run_with(change, json!({ "old": PASSWORD })).await), "");
    assert_eq!(reset(&second).await, "TOKEN_INVALID");
    app.mails().await;
    let third = ask().await;
    app.by_hand("update shared.one_time_links set expires_at = now() - interval '1 second'").await;
    assert_eq!(reset(&third).await, "TOKEN_INVALID");
    let fourth = ask().await;
    let life = app.truth("select extract(epoch from expires_at - created_at)::int from shared.one_time_links where used_at is null and voided_at is null and expires_at > now()").await;
    assert_eq!(life, ["1800"]);
    app.by_hand("update shared.users set status = 'DEACTIVATED' where email = 'user@acme.test'").await;
    assert_eq!(reset(&fourth).await, "TOKEN_INVALID");
    // A token of another kind is invalid here, and so is another tenant's.
    for nonsense in ["", "tnl_", "tnr_AAAA", "tnl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(reset(nonsense).await, "TOKEN_INVALID", "{nonsense}");
    }
}

/// One mail for each tenant of the email, or for the one that was named.
#[tokio::test(flavor = "multi_thread")]
async fn an_email_of_two_tenants_gets_a_link_for_each() {
    let app = TestApp::start().await;
    for slug in ["acme", "globex"] {
        let tenant = app.tenant(slug).await;
        let new = tenantry::features::auth::NewUser {
            email: "both@example.test".into(),
            name: "Both".into(),
            role: Role::User,
            password: PASSWORD.into(),
        };
        app.sign_in.enrol(tenant.id, new).await.unwrap();
    }
    call(&app.anonymous(), "requestPasswordReset", json!({ "email": "both@example.test" })).await;
    let mails = app.mails().await;
    let mut from: Vec<&str> = mails.iter().map(|it| it.from.as_str()).collect();
    from.sort_unstable();
    assert_eq!(from, ["ACME", "GLOBEX"]);
    assert_ne!(mails[0].id, mails[1].id);
    call(&app.anonymous(), "requestPasswordReset", json!({ "email": "both@example.test", "tenant": "globex" })).await;
    assert_eq!(app.mail_to("both@example.test").await.from, "GLOBEX");
}

/// A mailbox is not flooded, and nobody learns whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn requests_for_mail_are_throttled_alike() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    open(&acme).await;
    for email in ["user@acme.test", "nobody@acme.test"] {
        let mut codes = Vec::new();
        for _ in 0..12 {
            codes.push(
                code(&call(&app.anonymous(), "requestPasswordReset", json!({ "email": email })).await).to_owned(),
            );
        }
        assert_eq!(codes.iter().filter(|it| *it == "RATE_LIMITED").count(), 7, "{codes:?}");
        let mut codes = Vec::new();
        for _ in 0..7 {
            codes.push(code(&call(&app.anonymous(), "registerUser", registration(email)).await).to_owned());
        }
        assert_eq!(codes.iter().filter(|it| *it == "RATE_LIMITED").count(), 2, "{codes:?}");
    }
}

/// The work is the same too: counted, not timed.
#[tokio::test(flavor = "multi_thread")]
async fn known_and_unknown_emails_cost_the_same() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    open(&acme).await;
    let mut costs = Vec::new();
    for email in ["user@acme.test", "nobody@acme.test", "user@acme.test", "nobody2@acme.test"] {
        let before = (app.statements(), app.passwords.done());
        call(&app.anonymous(), "requestPasswordReset", json!({ "email": email })).await;
        let reset = (app.statements() - before.0, app.passwords.done() - before.1);
        call(&app.anonymous(), "registerUser", registration(email)).await;
        let registered = (app.statements() - before.0, app.passwords.done() - before.1);
        login(&app, email, "wrong").await;
        costs.push((reset, registered, app.statements() - before.0, app.passwords.done() - before.1));
    }
    assert_eq!((costs[0].0.1, costs[0].1.1, costs[0].3), (0, 1, 2));
    assert!(costs.iter().all(|it| *it == costs[0]), "{costs:?}");
    app.mails().await;
    // Accepting an invitation hashes once, for every email.
    for email in ["user@acme.test", "new@example.test"] {
        let token = invited(&app, &acme.admin, email, "STAFF").await;
        let before = app.passwords.done();
        assert_eq!(code(&call_accept(&app, &token, "X").await), "");
        assert_eq!(app.passwords.done() - before, 1, "{email}");
    }
}

/// An Argon2 hash at another cost is replaced when the password is entered.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_hash_is_renewed_at_login() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let old = tenantry::features::auth::Passwords::with_gate(
        tenantry::features::auth::PasswordCost { memory_kib: 16, passes: 2 },
        1,
        10,
    )
    .unwrap();
    let hash = old.hash(PASSWORD.into()).await.unwrap();
    app.by_hand(&format!(
        "update shared.credentials set password_hash = '{hash}' where user_id = '{}'",
        acme.user.id.0
    ))
    .await;
    let sql = format!(
        "select password_hash like '%m=8,t=1,p=1%' from shared.credentials where user_id = '{}'",
        acme.user.id.0
    );
    assert_eq!(app.truth(&sql).await, ["f"]);
    assert_eq!(code(&login(&app, "user@acme.test", "wrong").await), "WRONG_CREDENTIALS");
    assert_eq!(app.truth(&sql).await, ["f"]);
    assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "");
    assert_eq!(app.truth(&sql).await, ["t"]);
    assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "");
}

/// A person is erased: nothing of them is left in the database except their bookings, under a pseudonym.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_leaves_only_a_pseudonym() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = invited(&app, &acme.admin, "vera@example.test", "USER").await;
    let joined = call(
        &app.anonymous(),
        "acceptInvitation",
        json!({ "token": token, "name": "Vera Veritas", "password": "nine quiet lamps" }),
    )
    .await;
    let vera = app.bearer(joined["data"]["acceptInvitation"]["session"]["accessToken"].as_str());
    let id = joined["data"]["acceptInvitation"]["user"]["id"].as_str().unwrap().to_owned();
    let booked = vera.book_with(json!({ "serviceId": acme.service, "startsAt": acme.in_days(3).to_string(), "notes": "Vera is allergic to nuts" })).await;
    let booking =
        booked["data"]["createBooking"]["booking"]["id"].as_str().unwrap_or_else(|| panic!("{booked}")).to_owned();
    vera.run_with(
        "mutation($id: ID!) { updateUser(input: { id: $id, name: \"Vera V\" }) { userErrors { code } } }",
        json!({ "id": id }),
    )
    .await;
    call(&app.anonymous(), "requestPasswordReset", json!({ "email": "vera@example.test" })).await;
    open(&acme).await;
    call(&app.anonymous(), "registerUser", registration("vera@example.test")).await;
    app.mails().await;
    acme.staff.set_status(json!({ "id": booking, "status": "CANCELLED", "reason": "Vera is ill" })).await;

    for person in [&acme.staff, &vera] {
        assert_eq!(code(&call(person, "deleteUser", json!({ "id": id })).await), "FORBIDDEN");
    }
    let erase =
        "mutation($id: ID!) { deleteUser(input: { id: $id }) { user { name email status } userErrors { code } } }";
    let erased = acme.admin.run_with(erase, json!({ "id": id })).await;
    assert_eq!(erased["data"]["deleteUser"]["user"]["status"], "ERASED", "{erased}");
    assert_eq!(code(&vera.run("{ viewer { id } }").await), "UNAUTHENTICATED", "at once");
    app.mails().await; // removes what only the sign-in path can remove
    let tables = app
        .truth(
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('shared', 'directory')",
        )
        .await;
    assert!(tables.len() > 20);
    for table in tables {
        let found =
            app.truth(&format!("select to_jsonb(t)::text from {table} t where to_jsonb(t)::text ~* 'vera'")).await;
        assert_eq!(found, Vec::<String>::new(), "{table}");
    }
    let left = acme
        .admin
        .run_with("query($id: ID!) { booking(id: $id) { customer { name status } notes } }", json!({ "id": booking }))
        .await;
    assert_eq!(
        left["data"]["booking"],
        json!({ "customer": { "name": "Erased person", "status": "ERASED" }, "notes": null })
    );
    let log = acme
        .admin
        .run("{ verifyAuditChain { intact } auditEvents(first: 50) { nodes { action changes { field after } } } }")
        .await;
    assert_eq!(log["data"]["verifyAuditChain"]["intact"], true, "{log}");
    assert!(log.to_string().contains("[erased]"));
    for again in [
        erase,
        "mutation($id: ID!) { reactivateUser(input: { id: $id }) { userErrors { code } } }",
        "mutation($id: ID!) { updateUser(input: { id: $id, name: \"X\" }) { userErrors { code } } }",
        "mutation($id: ID!) { updateUserRole(input: { id: $id, role: ADMIN }) { userErrors { code } } }",
    ] {
        assert_eq!(code(&acme.admin.run_with(again, json!({ "id": id })).await), "NOT_FOUND", "{again}");
    }
    // The email is available again, for a new account.
    let token = invited(&app, &acme.admin, "vera@example.test", "USER").await;
    let back = call_accept(&app, &token, "Vera").await;
    assert_ne!(back["data"]["acceptInvitation"]["user"]["id"], json!(id), "{back}");
    // Never the last administrator, not even by themselves.
    let last = call(&acme.admin, "deleteUser", json!({ "id": acme.admin.id.to_string() })).await;
    assert_eq!(code(&last), "LAST_ADMIN");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_keeps_the_tenants_settings() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let update = "mutation($input: UpdateTenantInput!) { updateTenant(input: $input) {
        tenant { name timeZone currency locale branding { logoUrl primaryColor accentColor } openRegistration bookingRules { minNoticeMinutes maxAheadDays cancelNoticeMinutes } }
        userErrors { code field } } }";
    let all = json!({ "name": " Acme & Sons ", "timeZone": "Asia/Kathmandu", "currency": "JPY", "locale": "NL",
        "branding": { "logoUrl": "https://acme.test/logo.png", "primaryColor": "#A1B2C3", "accentColor": null }, "openRegistration": true,
        "bookingRules": { "minNoticeMinutes": 120, "maxAheadDays": 30, "cancelNoticeMinutes": 60 } });
    for person in [&acme.staff, &acme.user] {
        assert_eq!(code(&person.run_with(update, json!({ "input": all })).await), "FORBIDDEN");
    }
    let answer = acme.admin.run_with(update, json!({ "input": all })).await;
    assert_eq!(
        answer["data"]["updateTenant"]["tenant"],
        json!({ "name": "Acme & Sons", "timeZone": "Asia/Kathmandu", "currency": "JPY", "locale": "NL",
            "branding": { "logoUrl": "https://acme.test/logo.png", "primaryColor": "#a1b2c3", "accentColor": null }, "openRegistration": true,
            "bookingRules": { "minNoticeMinutes": 120, "maxAheadDays": 30, "cancelNoticeMinutes": 60 } }),
        "{answer}"
    );
    // An omitted field stays; null removes.
    let some = acme.admin.run_with(update, json!({ "input": { "branding": { "logoUrl": null } } })).await;
    let tenant = &some["data"]["updateTenant"]["tenant"];
    assert_eq!(
        tenant["branding"],
        json!({ "logoUrl": null, "primaryColor": "#a1b2c3", "accentColor": null }),
        "{some}"
    );
    assert_eq!(tenant["name"], "Acme & Sons");
    for (input, field) in [
        (json!({ "name": " " }), json!(["name"])),
        (json!({ "branding": { "logoUrl": "javascript:alert(1)" } }), json!(["branding", "logoUrl"])),
        (json!({ "branding": { "primaryColor": "red" } }), json!(["branding", "primaryColor"])),
        (json!({ "bookingRules": { "maxAheadDays": 0 } }), json!(["bookingRules", "maxAheadDays"])),
        (json!({ "bookingRules": { "minNoticeMinutes": -1 } }), json!(["bookingRules", "minNoticeMinutes"])),
    ] {
        let refused = acme.admin.run_with(update, json!({ "input": input })).await;
        assert_eq!(
            (code(&refused), &refused["data"]["updateTenant"]["userErrors"][0]["field"]),
            ("INVALID", &field),
            "{refused}"
        );
    }
    // The directory has the new name, for the platform; mail has name, colours and language.
    call(&app.anonymous(), "requestPasswordReset", json!({ "email": "user@acme.test" })).await;
    let mail = app.mail_to("user@acme.test").await;
    assert_eq!((mail.from.as_str(), mail.subject.contains("wachtwoord")), ("Acme & Sons", true), "{mail:?}");
    assert!(
        mail.html.contains("#a1b2c3") && mail.html.contains("Acme &amp; Sons") || mail.html.contains("Acme &#38; Sons"),
        "{}",
        mail.html
    );
    assert_eq!(app.truth("select name from directory.tenants").await, ["Acme & Sons"]);

    // The rules apply to customers only.
    let soon = app.clock.now() + SignedDuration::from_mins(90);
    assert_eq!(code(&acme.user.book(&acme.service, soon).await), "TOO_SOON");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(31)).await), "TOO_FAR");
    let booked = acme.user.book(&acme.service, app.clock.now() + SignedDuration::from_mins(121)).await;
    assert_eq!(code(&booked), "", "{booked}");
    app.clock.advance(SignedDuration::from_mins(62));
    let id = &booked["data"]["createBooking"]["booking"]["id"];
    let cancel = "mutation($id: ID!) { cancelBooking(input: { id: $id }) { userErrors { code } } }";
    assert_eq!(code(&acme.user.run_with(cancel, json!({ "id": id })).await), "TOO_SOON");
    assert_eq!(code(&acme.staff.run_with(cancel, json!({ "id": id })).await), "");
    assert_eq!(code(&acme.staff.book(&acme.service, app.clock.now() + SignedDuration::from_mins(1)).await), "");
}

/// Branding is a feature of the plan.
#[tokio::test(flavor = "multi_thread")]
async fn features_come_with_the_plan() {
    let app = TestApp::start().await;
    let free = app.tenant_on_plan("acme", "free").await;
    let query = "{ tenant { branding: feature(key: \"branding\") nonsense: feature(key: \"x\") features { key enabled overridden } } }";
    assert_eq!(
        free.user.run(query).await["data"]["tenant"],
        json!({ "branding": false, "nonsense": false, "features": [] })
    );
    let looks = json!({ "branding": { "primaryColor": "#000000" } });
    assert_eq!(code(&call(&free.admin, "updateTenant", looks).await), "QUOTA_EXCEEDED");
    let team = app.tenant_on_plan("globex", "team").await;
    let features = json!([{ "key": "branding", "enabled": true, "overridden": false }, { "key": "reminders", "enabled": true, "overridden": false }]);
    assert_eq!(
        team.user.run(query).await["data"]["tenant"],
        json!({ "branding": true, "nonsense": false, "features": features })
    );
}

/// Signing up with somebody else's email reveals nothing about them, and changes nothing for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_sign_up_touches_nobody() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let mut outcomes = Vec::new();
    for (slug, email) in [("evil-one", "user@acme.test"), ("evil-two", "nobody@acme.test")] {
        let mut input = sign_up(slug);
        input["email"] = email.into();
        assert_eq!(code(&call(&app.anonymous(), "signUp", input).await), "");
        let without = login(&app, email, "seven printers and a bat").await;
        let with = login_to(&app, slug, email, "seven printers and a bat").await;
        outcomes.push((code(&without).to_owned(), code(&with).to_owned()));
    }
    assert_eq!(outcomes[0], outcomes[1], "known and unknown alike");
    assert_eq!(code(&login(&app, "user@acme.test", PASSWORD).await), "", "the owner signs in as ever");
    // The stranger's log reveals nothing about the owner either.
    login(&app, "user@acme.test", "mistyped").await;
    call(&app.anonymous(), "requestPasswordReset", json!({ "email": "user@acme.test" })).await;
    let mails = app.mails().await;
    assert!(mails.iter().all(|it| it.from != "Initech" || it.subject.starts_with("Confirm")), "{mails:#?}");
    let told = app.truth("select t.slug, e.action from shared.audit_events e join shared.tenant_state t using (tenant_id) where e.action in ('sessions.login_failed', 'users.request_password_reset') and t.slug like 'evil%'").await;
    assert_eq!(told, Vec::<String>::new());
}

/// A deactivated or demoted user does not return by an older invitation; a user who is invited again gets the invited
/// role.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_invitation_raises_nobody_again() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = invited(&app, &acme.admin, "user@acme.test", "STAFF").await;
    assert_eq!(code(&call(&acme.admin, "deactivateUser", json!({ "id": acme.user.id.to_string() })).await), "");
    assert_eq!(code(&call_accept(&app, &token, "X").await), "TOKEN_INVALID");
    let token = invited(&app, &acme.admin, "staff@acme.test", "ADMIN").await;
    assert_eq!(
        code(&call(&acme.admin, "updateUserRole", json!({ "id": acme.staff.id.to_string(), "role": "USER" })).await),
        ""
    );
    assert_eq!(code(&call_accept(&app, &token, "X").await), "TOKEN_INVALID");
    app.by_hand("update shared.users set role = 'ADMIN', status = 'DEACTIVATED' where email = 'other@acme.test'").await;
    let token = invited(&app, &acme.admin, "other@acme.test", "USER").await;
    let back = call_accept(&app, &token, "X").await;
    assert_eq!(back["data"]["acceptInvitation"]["user"]["role"], "USER", "{back}");
    let log = acme
        .admin
        .run("{ auditEvents(filter: { action: \"invitations.accept\" }) { nodes { changes { field before after } } } }")
        .await;
    assert_eq!(
        log["data"]["auditEvents"]["nodes"][0]["changes"],
        json!([{ "field": "role", "before": "\"ADMIN\"", "after": "\"USER\"" }, { "field": "status", "before": "\"DEACTIVATED\"", "after": "\"ACTIVE\"" }]),
        "{log}"
    );
}

/// A person whom a full tenant refused can still sign in elsewhere without naming the tenant.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_joining_leaves_no_trace_in_the_directory() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant_on_plan("acme", "free").await, app.tenant("globex").await);
    let token = invited(&app, &acme.admin, "user@globex.test", "USER").await;
    assert_eq!(code(&call_accept(&app, &token, "X").await), "QUOTA_EXCEEDED");
    assert_eq!(app.truth("select count(*) from directory.logins where email = 'user@globex.test'").await, ["1"]);
    // Even when a crash left one.
    app.by_hand(&format!(
        "insert into directory.logins values ('other@globex.test', '{}', gen_random_uuid())",
        acme.id.0
    ))
    .await;
    for email in ["user@globex.test", "other@globex.test"] {
        let answer = login(&app, email, PASSWORD).await;
        assert!(["", "INVALID"].contains(&code(&answer)), "{answer}");
    }
    assert_eq!(code(&login(&app, "user@globex.test", PASSWORD).await), "");
    let _ = globex;
}

/// An unconfirmed registration is removed in time; a confirmation that has not reached the directory is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn effects_without_mail_are_carried_out() {
    let app = TestApp::start().await;
    open(&app.tenant("acme").await).await;
    call(&app.anonymous(), "registerUser", registration("ghost@example.test")).await;
    app.mails().await;
    assert_eq!(app.truth("select count(*) from shared.registrations").await, ["1"]);
    app.clock.advance(SignedDuration::from_hours(25));
    app.mails().await;
    assert_eq!(app.truth("select count(*) from shared.registrations").await, ["0"]);

    call(&app.anonymous(), "signUp", sign_up("initech")).await;
    let token = app.mail_to("bill@initech.test").await.token();
    assert_eq!(code(&call(&app.anonymous(), "verifyEmail", json!({ "token": token })).await), "");
    app.by_hand("update directory.logins set verified = false where email = 'bill@initech.test'").await; // as if it had crashed
    app.mails().await;
    assert_eq!(code(&login(&app, "bill@initech.test", "seven printers and a bat").await), "");
}

/// However often a stranger uses somebody's email, from however many addresses, the owner gets their own mail.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_kept_from_his_new_password() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let from =
        |address: String| tenantry::core::identity::Origin { address: Some(address), ..crate::support::origin() };
    for at in 0..60 {
        let _ =
            app.sign_in.request_password_reset("user@acme.test", None, &from(format!("198.51.100.{}", at % 12))).await;
    }
    app.mails().await;
    app.sign_in.request_password_reset("user@acme.test", None, &from("192.0.2.7".into())).await.unwrap();
    let mails = app.mails().await;
    let reset = app
        .anonymous()
        .run_with(RESET, json!({ "token": mails.last().unwrap().token(), "new": "nine quiet lamps" }))
        .await;
    assert_eq!(code(&reset), "", "{reset}");
}
