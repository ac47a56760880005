//! Every edge goes through a loader: what a document costs does not depend on how much it finds.

use serde_json::json;

use crate::support::{TestApp, code};

const NESTED: &str = "query($first: Int!) { bookings(first: $first) { nodes {
    service { name } customer { name bookings(first: 5) { nodes { id service { name } } } } history { actor { name } } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn nested_lists_cost_a_constant_number_of_statements() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let second = acme.admin.create_service(json!({ "name": "Class", "capacity": 50 })).await;
    for day in 1..=30 {
        for (person, service) in
            [(&acme.user, &acme.service), (&acme.other, &second), (&acme.staff, &second), (&acme.admin, &second)]
        {
            assert_eq!(code(&person.book(service, acme.in_days(day)).await), "");
        }
    }
    let mut costs = Vec::new();
    for first in [1, 10, 100, 100] {
        let before = app.statements();
        let answer = acme.admin.run_with(NESTED, json!({ "first": first })).await;
        assert_eq!(answer["data"]["bookings"]["nodes"].as_array().map(Vec::len), Some(first), "{answer}");
        costs.push(app.statements() - before);
    }
    // The list with its services and customers, histories, pages of customers; their services and actors are loaded by
    // then.
    assert_eq!(costs, [3, 3, 3, 3]);
}

/// A booking's references are loaded in one statement, and contain what each viewer may see.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_brings_its_services_and_customers_along() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let second = acme.admin.create_service(json!({ "name": "Class", "capacity": 50 })).await;
    for day in 1..=40 {
        let (person, service) = if day % 3 == 0 { (&acme.other, &second) } else { (&acme.user, &acme.service) };
        assert_eq!(code(&person.book(service, acme.in_days(day)).await), "");
    }
    let selections = [
        "id startsAt service { id name price { amount } } customer { id name email }",
        // Only names, in every way to request them.
        "id service { __typename id name } customer { who: name } again: customer { ... on User { id } ... on Node { id } }",
        "id service { name } customer { __typename }",
        // One full object loads all of them in full.
        "id service { name } more: service { name active } customer { id }",
        // Fragments on other types, which are allowed on an interface, load nothing.
        "id ... on Node { id ... on Service { name: description } ... on Booking { status } ... on WaitlistEntry { service { name } } }
         customer { id ... on Node { ... on Service { name } } }",
        // Requested twice, here and in a fragment, with one answer.
        "__typename id id service { id } ... on Booking { at: startsAt service { name } }",
    ];
    let people = [&acme.admin, &acme.staff, &acme.user];
    for (related, person) in selections.iter().flat_map(|it| people.map(|person| (it, person))) {
        for (order, filter) in [
            ("STARTS_AT_ASC", json!(null)),
            ("STARTS_AT_DESC", json!(null)),
            ("CREATED_AT_ASC", json!(null)),
            ("CREATED_AT_DESC", json!({ "status": ["CONFIRMED"], "from": acme.in_days(5).to_string() })),
        ] {
            for page in ["first: 5", "first: 100", "last: 7"] {
                let variables = json!({ "filter": filter });
                let with = format!(
                    "query($filter: BookingFilter) {{ bookings({page}, orderBy: {order}, filter: $filter) {{ edges {{ cursor node {{ ...R }} }} }} }}
                     fragment R on Booking {{ {related} }}"
                );
                let before = app.statements();
                let listed = person.run_with(&with, variables.clone()).await;
                assert_eq!(app.statements() - before, 1, "{listed}");
                // Each on its own, through loaders.
                let edges = listed["data"]["bookings"]["edges"].as_array().unwrap_or_else(|| panic!("{listed}"));
                assert!(edges.len() >= 5, "{listed}");
                for edge in [&edges[0], &edges[edges.len() - 1]] {
                    let query = format!("query($id: ID!) {{ booking(id: $id) {{ {related} }} }}");
                    let alone = person.run_with(&query, json!({ "id": edge["node"]["id"] })).await;
                    assert_eq!(alone["data"]["booking"], edge["node"], "{alone}");
                }
                // The page after a cursor is the rest, in the same order.
                let all = format!(
                    "query($filter: BookingFilter, $after: String) {{ bookings(first: 100, after: $after, orderBy: {order}, filter: $filter) {{ nodes {{ id }} }} }}"
                );
                let whole = person.run_with(&all, variables).await;
                let whole = whole["data"]["bookings"]["nodes"].as_array().unwrap();
                let after = json!({ "filter": filter, "after": edges[2]["cursor"] });
                let rest = person.run_with(&all, after).await;
                let at = whole.iter().position(|it| it["id"] == edges[2]["node"]["id"]).unwrap();
                assert_eq!(rest["data"]["bookings"]["nodes"].as_array().unwrap(), &whole[at + 1..], "{order} {page}");
            }
        }
    }
}

/// To-one edges that lead to the same object load it once.
#[tokio::test(flavor = "multi_thread")]
async fn the_tenant_of_every_user_is_one_statement() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for n in 0..20 {
        app.person(acme.id, &format!("u{n}"), "acme", tenantry::core::identity::Role::User).await;
    }
    for first in [1, 24] {
        let before = app.statements();
        let answer = acme.admin.run(&format!("{{ users(first: {first}) {{ nodes {{ tenant {{ slug }} }} }} }}")).await;
        let users = answer["data"]["users"]["nodes"].as_array().unwrap_or_else(|| panic!("{answer}"));
        assert!(users.len() == first && users.iter().all(|it| it["tenant"]["slug"] == "acme"), "{answer}");
        assert_eq!(app.statements() - before, 2); // the list and the tenant
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_several_customers_are_each_their_own() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let class = acme.admin.create_service(json!({ "name": "Class", "capacity": 50 })).await;
    for day in 1..=4 {
        acme.user.book(&class, acme.in_days(day)).await;
        acme.other.book(&class, acme.in_days(day + 10)).await;
    }
    let query = "{ users { nodes { email
        early: bookings(first: 2) { nodes { startsAt } pageInfo { hasNextPage hasPreviousPage } }
        late: bookings(last: 3) { nodes { startsAt } pageInfo { hasNextPage hasPreviousPage } } } } }";
    let answer = acme.admin.run(query).await;
    let users = answer["data"]["users"]["nodes"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let starts = |days: &[i64]| {
        json!(days.iter().map(|day| json!({ "startsAt": acme.in_days(*day).to_string() })).collect::<Vec<_>>())
    };
    let of = |email: &str| users.iter().find(|user| user["email"] == email).unwrap();
    let user = of("user@acme.test");
    assert_eq!(user["early"]["nodes"], starts(&[1, 2]));
    assert_eq!(user["early"]["pageInfo"], json!({ "hasNextPage": true, "hasPreviousPage": false }));
    assert_eq!(user["late"]["nodes"], starts(&[2, 3, 4]));
    assert_eq!(user["late"]["pageInfo"], json!({ "hasNextPage": false, "hasPreviousPage": true }));
    assert_eq!(of("other@acme.test")["early"]["nodes"], starts(&[11, 12]));
    assert_eq!(of("staff@acme.test")["early"]["nodes"], json!([]));
}

/// A field reads what the previous field has written, although loaders cache.
#[tokio::test(flavor = "multi_thread")]
async fn caches_do_not_outlive_a_mutation_field() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    let answer = acme
        .admin
        .run_with(
            "mutation($service: ID!, $booking: ID!) {
               a: updateBookingStatus(input: { id: $booking, status: CANCELLED }) { booking { service { name } history { toStatus } } }
               b: updateService(input: { id: $service, name: \"Renamed\" }) { service { name } }
               c: createBooking(input: { serviceId: $service, startsAt: \"2031-01-01T00:00:00Z\" }) { userErrors { code } }
               d: cancelBooking(input: { id: $booking }) { userErrors { code } }
             }",
            json!({ "service": acme.service, "booking": booking }),
        )
        .await;
    assert_eq!(answer["data"]["a"]["booking"]["service"]["name"], "Haircut", "{answer}");
    assert_eq!(answer["data"]["a"]["booking"]["history"].as_array().unwrap().len(), 2);
    assert_eq!(answer["data"]["b"]["service"]["name"], "Renamed");
    assert_eq!(answer["data"]["c"]["userErrors"][0]["code"], "TOO_FAR");
    assert_eq!(answer["data"]["d"]["userErrors"][0]["code"], "INVALID_TRANSITION");
}
