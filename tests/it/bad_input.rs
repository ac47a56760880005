//! Invalid input: a clear error that names the field, nothing written, and never `INTERNAL`.

use serde_json::{Value, json};

use crate::support::{TestApp, code};

/// The code and the field of a response's first error.
fn refusal(response: &Value) -> (&str, &str) {
    (code(response), response["errors"][0]["extensions"]["field"].as_str().unwrap_or(""))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_is_refused_wherever_text_goes() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let create =
        "mutation($input: CreateServiceInput!) { createService(input: $input) { service { id } userErrors { code } } }";
    let input = |name: &str, description: &str| json!({ "input": { "name": name, "description": description, "durationMinutes": 5, "price": { "amount": "1", "currency": "EUR" } } });
    for (query, variables, field) in [
        (create, input("a\0b", "x"), "$input.name"),
        (create, input("a", "x\0"), "$input.description"),
        ("query($s: String) { users(filter: { search: $s }) { nodes { id } } }", json!({ "s": "\0" }), "$s"),
        ("query { users(filter: { search: \"\\u0000\" }) { nodes { id } } }", json!({}), "filter.search"),
        ("query { bookings(after: \"x\\u0000\") { nodes { id } } }", json!({}), "after"),
        ("query { node(id: \"bkg_\\u0000\") { id } }", json!({}), "id"),
        ("query($s: String = \"\\u0000\") { users(filter: { search: $s }) { nodes { id } } }", json!({}), "$s"),
        (
            "query { ...F } fragment F on Query { services(filter: { search: \"\\u0000\" }) { nodes { id } } }",
            json!({}),
            "filter.search",
        ),
        ("query { ... { nodes(ids: [\"a\", \"\\u0000\"]) { id } } }", json!({}), "ids.1"),
        (
            "mutation { login(input: { email: \"a\\u0000@b.c\", password: \"x\" }) { userErrors { code } } }",
            json!({}),
            "input.email",
        ),
    ] {
        let answer = acme.admin.run_with(query, variables).await;
        assert_eq!(refusal(&answer), ("BAD_USER_INPUT", field), "{query}: {answer}");
    }
    assert_eq!(app.truth("select count(*) from shared.services").await, ["1"]);
}

/// A safety net for that rule: input that reaches PostgreSQL anyway is still not a server fault.
#[tokio::test(flavor = "multi_thread")]
async fn text_that_the_database_cannot_hold_is_bad_input() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let tx = app.gate.tenant(acme.admin.viewer.scope(), tenantry::db::Access::Read);
    let error = tx.query("-- test.nul\n select $1::text", &[&"\0"]).await.unwrap_err();
    assert!(matches!(error, tenantry::db::DbError::InvalidValue), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_the_wrong_type_or_shape_name_their_argument() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let user = acme.user.id.to_string();
    for wrong in [user.as_str(), "", "bkg", "bkg_", "svc_!", "bkg_zzzzzzzzzzzzzzzzzzzzzzzzzz", "0", "🙂"] {
        for (query, field) in [
            ("query($id: ID!) { booking(id: $id) { id } }", "id"),
            ("query($id: ID!) { service(id: $id) { id } }", "id"),
            ("query($id: ID!) { bookings(filter: { serviceId: $id }) { nodes { id } } }", "filter.serviceId"),
            ("mutation($id: ID!) { cancelBooking(input: { id: $id }) { booking { id } } }", "input.id"),
            (
                "mutation($id: ID!) { createBooking(input: { serviceId: $id, startsAt: \"2030-01-01T00:00:00Z\" }) { booking { id } } }",
                "input.serviceId",
            ),
            ("mutation($id: ID!) { deleteService(input: { id: $id }) { deletedServiceId } }", "input.id"),
        ] {
            let answer = acme.admin.run_with(query, json!({ "id": wrong })).await;
            assert_eq!(refusal(&answer), ("BAD_USER_INPUT", field), "{wrong:?} in {query}: {answer}");
        }
    }
    assert_eq!(
        refusal(&acme.user.run("{ node(id: \"pln_01h455vb4pex5vsknk084sn02q\") { id } }").await),
        ("BAD_USER_INPUT", "id")
    );
    let many = json!({ "ids": vec![user; 101] });
    assert_eq!(
        refusal(&acme.user.run_with("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", many).await),
        ("BAD_USER_INPUT", "ids")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_arguments_are_bounded_and_named() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for list in ["bookings", "users", "services"] {
        for (arguments, field) in [
            ("first: -1", "first"),
            ("first: 0", "first"),
            ("first: 10000", "first"),
            ("last: 101", "last"),
            ("last: -5", "last"),
            ("first: 1, last: 1", "last"),
            ("after: \"garbage\"", "after"),
            ("after: \"\"", "after"),
            ("before: \"eyJ4IjoxfQ\"", "before"),
            ("before: \"WyJib29raW5ncyIsMV0\"", "before"),
        ] {
            let answer = acme.admin.run(&format!("{{ {list}({arguments}) {{ nodes {{ id }} }} }}")).await;
            assert_eq!(refusal(&answer), ("BAD_USER_INPUT", field), "{list}({arguments}): {answer}");
        }
    }
    // A cursor of another order of the same list.
    acme.booking(3).await;
    let cursor =
        acme.user.run("{ bookings { edges { cursor } } }").await["data"]["bookings"]["edges"][0]["cursor"].clone();
    let query = "query($c: String) { bookings(after: $c, orderBy: CREATED_AT_ASC) { nodes { id } } }";
    assert_eq!(refusal(&acme.user.run_with(query, json!({ "c": cursor })).await), ("BAD_USER_INPUT", "after"));
    let beyond = "query { bookings(first: 99999999999) { nodes { id } } }";
    assert_eq!(refusal(&acme.user.run(beyond).await), ("BAD_USER_INPUT", "first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_their_type_name_their_argument() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    let set = "mutation($input: UpdateBookingStatusInput!) { updateBookingStatus(input: $input) { booking { id } } }";
    let unknown = acme.staff.run_with(set, json!({ "input": { "id": booking, "status": "LOST" } })).await;
    assert_eq!(refusal(&unknown), ("BAD_USER_INPUT", "input.status"), "{unknown}");
    let literal = acme.staff.run("{ bookings(orderBy: SIDEWAYS) { nodes { id } } }").await;
    assert_eq!(refusal(&literal), ("BAD_USER_INPUT", "orderBy"), "{literal}");

    let book = "mutation($input: CreateBookingInput!) { createBooking(input: $input) { booking { id } } }";
    for time in [
        "yesterday",
        "2030-01-01",
        "2030-01-01T10:00:00",
        "2030-02-30T10:00:00Z",
        "+010000-01-01T00:00:00Z",
        "-000001-01-01T00:00:00Z",
        "",
    ] {
        let answer =
            acme.user.run_with(book, json!({ "input": { "serviceId": acme.service, "startsAt": time } })).await;
        assert_eq!(refusal(&answer), ("BAD_USER_INPUT", "input.startsAt"), "{time:?}: {answer}");
    }
    let create = "mutation($input: CreateServiceInput!) { createService(input: $input) { service { id } userErrors { code field } } }";
    for (price, field) in [
        (json!({ "amount": "1,50", "currency": "EUR" }), "input.price.amount"),
        (json!({ "amount": 1.5, "currency": "EUR" }), "input.price.amount"),
        (json!({ "amount": "NaN", "currency": "EUR" }), "input.price.amount"),
        (json!({ "amount": "0.001", "currency": "EUR" }), "input.price.amount"),
        (json!({ "amount": "99999999999999999999999", "currency": "EUR" }), "input.price.amount"),
        (json!({ "amount": "1", "currency": "eur" }), "input.price.currency"),
        (json!({ "amount": "1", "currency": "XQQ" }), "input.price.currency"),
    ] {
        let answer = acme
            .admin
            .run_with(create, json!({ "input": { "name": "N", "durationMinutes": 5, "price": price } }))
            .await;
        assert_eq!(refusal(&answer), ("BAD_USER_INPUT", field), "{price}: {answer}");
    }
    assert_eq!(app.truth("select count(*) from shared.services").await, ["1"]);
    assert_eq!(app.truth("select count(*) from shared.bookings").await, ["1"]);
}

/// async-graphql does not validate arguments in which a nullable variable is left out, as clients often do.
#[tokio::test(flavor = "multi_thread")]
async fn an_omitted_variable_hides_no_other_mistake() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let login = "mutation($e: String!, $p: String!, $t: String) { login(input: { email: $e, password: $p, tenant: $t }) { session { accessToken } userErrors { code } } }";
    let create = "mutation($n: String!, $d: String, $m: Int!, $a: Decimal!, $c: Int) {
        createService(input: { name: $n, description: $d, durationMinutes: $m, price: { amount: $a, currency: \"EUR\" }, capacity: $c }) { service { description capacity } userErrors { code } } }";
    let set = "mutation($id: ID!, $s: BookingStatus!, $r: String) { updateBookingStatus(input: { id: $id, status: $s, reason: $r }) { userErrors { code } } }";
    let list = "query($f: Int, $s: [BookingStatus!], $from: DateTime) { bookings(first: $f, filter: { status: $s, from: $from }) { nodes { id } } }";
    let secret = json!({ "e": "a@b.test", "p": ["my-secret-password"] });
    for (query, variables, field) in [
        (login, json!({ "e": 7, "p": "x" }), "input.email"),
        (login, secret, "input.password"),
        (create, json!({ "n": "N", "m": "five", "a": "1" }), "input.durationMinutes"),
        (create, json!({ "n": 5, "m": 5, "a": "1" }), "input.name"),
        (create, json!({ "n": "N", "m": 5, "a": "1,5" }), "input.price.amount"),
        (set, json!({ "id": "bkg_01h455vb4pex5vsknk084sn02q", "s": 5 }), "input.status"),
        (set, json!({ "id": "bkg_01h455vb4pex5vsknk084sn02q", "s": "LOST" }), "input.status"),
        (list, json!({ "from": "2027-02-30T00:00:00Z" }), "filter.from"),
        (list, json!({ "f": 8_589_934_592_i64 }), "$f"),
    ] {
        let answer = acme.admin.run_with(query, variables.clone()).await;
        assert_eq!(refusal(&answer), ("BAD_USER_INPUT", field), "{variables}: {answer}");
        assert!(!answer.to_string().contains("my-secret"), "{answer}");
    }
    // A variable that is left out is like an absent field: defaults apply, and nothing is removed.
    let made = acme.admin.run_with(create, json!({ "n": "N", "m": 5, "a": "1" })).await;
    assert_eq!(made["data"]["createService"]["service"], json!({ "description": null, "capacity": 1 }), "{made}");
    let id = acme.admin.create_service(json!({ "name": "Kept", "description": "kept" })).await;
    let update = "mutation($id: ID!, $d: String) { updateService(input: { id: $id, description: $d }) { service { description } } }";
    let kept = acme.admin.run_with(update, json!({ "id": id })).await;
    assert_eq!(kept["data"]["updateService"]["service"]["description"], "kept", "{kept}");
    let removed = acme.admin.run_with(update, json!({ "id": id, "d": null })).await;
    assert_eq!(removed["data"]["updateService"]["service"]["description"], json!(null), "{removed}");
}

/// A cursor is only encoded, so anyone can construct one.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_cursor_is_bad_input() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for (kind, key) in [
        ("bookings.starts_at", json!(["-005000-01-01T00:00:00Z", "0197a1b2-0000-7000-8000-000000000000"])),
        ("bookings.starts_at", json!(["9999-12-31T23:59:59Z", "not a uuid"])),
        ("bookings.starts_at", json!(["2026-01-01T00:00:00Z"])),
    ] {
        let cursor = URL_SAFE_NO_PAD.encode(json!([kind, key]).to_string());
        let answer = acme
            .user
            .run_with("query($c: String) { bookings(after: $c) { nodes { id } } }", json!({ "c": cursor }))
            .await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{key}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reversed_interval_names_its_end() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let query = "query($filter: BookingFilter) { bookings(filter: $filter) { nodes { id } } }";
    for (from, to) in [(5, 3), (3, 3)] {
        let filter = json!({ "from": acme.in_days(from).to_string(), "to": acme.in_days(to).to_string() });
        let answer = acme.user.run_with(query, json!({ "filter": filter })).await;
        assert_eq!(refusal(&answer), ("BAD_USER_INPUT", "filter.to"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_out_of_bounds_are_user_errors_with_a_field() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let query = "mutation($input: CreateServiceInput!) { createService(input: $input) { service { id } userErrors { code field } } }";
    for (field, value, path) in [
        ("name", json!(""), json!(["name"])),
        ("name", json!("   "), json!(["name"])),
        ("name", json!("x".repeat(201)), json!(["name"])),
        ("description", json!("x".repeat(5001)), json!(["description"])),
        ("durationMinutes", json!(0), json!(["durationMinutes"])),
        ("durationMinutes", json!(-5), json!(["durationMinutes"])),
        ("durationMinutes", json!(1441), json!(["durationMinutes"])),
        ("capacity", json!(0), json!(["capacity"])),
        ("capacity", json!(101), json!(["capacity"])),
        ("price", json!({ "amount": "-1", "currency": "EUR" }), json!(["price", "amount"])),
        ("price", json!({ "amount": "1", "currency": "USD" }), json!(["price", "currency"])),
    ] {
        let mut input = json!({ "name": "N", "durationMinutes": 5, "price": { "amount": "1", "currency": "EUR" } });
        input[field] = value;
        let answer = acme.admin.run_with(query, json!({ "input": input })).await;
        let errors = json!([{ "code": "INVALID", "field": path }]);
        assert_eq!(answer["data"]["createService"]["userErrors"], errors, "{input}: {answer}");
    }
    let long = "x".repeat(2001);
    let notes = acme
        .user
        .book_with(json!({ "serviceId": acme.service, "startsAt": acme.in_days(3).to_string(), "notes": long }))
        .await;
    assert_eq!(notes["data"]["createBooking"]["userErrors"][0]["field"], json!(["notes"]));
    let rename = "mutation($id: ID!, $name: String) { updateUser(input: { id: $id, name: $name }) { userErrors { code field } } }";
    let renamed = acme.user.run_with(rename, json!({ "id": acme.user.id.to_string(), "name": " " })).await;
    assert_eq!(renamed["data"]["updateUser"]["userErrors"], json!([{ "code": "INVALID", "field": ["name"] }]));
    assert_eq!(app.truth("select count(*) from shared.services").await, ["1"]);
}

/// Search texts are texts, not patterns.
#[tokio::test(flavor = "multi_thread")]
async fn special_characters_mean_themselves() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.admin.create_service(json!({ "name": "100% ' \" \\ ; -- _ drop" })).await;
    let query = "query($s: String) { services(filter: { search: $s }) { nodes { name } } }";
    for (search, found) in
        [("100%", 1), ("%", 1), ("_", 1), ("' \"", 1), ("\\", 1), ("; -- ", 1), ("', true); --", 0), ("", 2)]
    {
        let answer = acme.admin.run_with(query, json!({ "s": search })).await;
        assert_eq!(answer["data"]["services"]["nodes"].as_array().map(Vec::len), Some(found), "{search:?}: {answer}");
    }
}
