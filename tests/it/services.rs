//! Services, as administrators manage them and customers see them.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{TestApp, code};

const UPDATE: &str = "mutation($input: UpdateServiceInput!) { updateService(input: $input) {
    service { name description durationMinutes price { amount } capacity active } userErrors { code field } } }";
const DELETE: &str = "mutation($id: ID!) { deleteService(input: { id: $id }) {
    deletedServiceId service { id active } userErrors { code } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_made_changed_and_deleted() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let id = acme.admin.create_service(json!({ "name": " Cut ", "description": "Short", "capacity": 2 })).await;
    let input = json!({ "id": id, "description": null, "price": { "amount": "50", "currency": "EUR" } });
    let updated = acme.admin.run_with(UPDATE, json!({ "input": input })).await;
    assert_eq!(
        updated["data"]["updateService"]["service"],
        json!({ "name": "Cut", "description": null, "durationMinutes": 45, "price": { "amount": "50.00" }, "capacity": 2, "active": true })
    );
    let deleted = acme.admin.run_with(DELETE, json!({ "id": id })).await;
    assert_eq!(deleted["data"]["deleteService"], json!({ "deletedServiceId": id, "service": null, "userErrors": [] }));
    let gone = acme.admin.run_with("query($id: ID!) { service(id: $id) { id } }", json!({ "id": id })).await;
    assert_eq!(gone["data"]["service"], json!(null));
    assert_eq!(code(&acme.admin.run_with(DELETE, json!({ "id": id })).await), "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booked_service_is_deactivated_instead() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    let kept = acme.admin.run_with(DELETE, json!({ "id": acme.service })).await;
    let expected = json!({ "deletedServiceId": null, "service": { "id": acme.service, "active": false }, "userErrors": [{ "code": "IN_USE" }] });
    assert_eq!(kept["data"]["deleteService"], expected);
    // It stays inactive, nobody finds it, and the booking still names it.
    assert_eq!(app.truth("select active from shared.services").await, ["f"]);
    let seen = acme.user.run_with("query($s: ID!, $b: ID!) { services { nodes { id } } service(id: $s) { id } node(id: $s) { id } booking(id: $b) { service { name active } } }",
        json!({ "s": acme.service, "b": booking })).await;
    assert_eq!(
        seen["data"],
        json!({ "services": { "nodes": [] }, "service": null, "node": null, "booking": { "service": { "name": "Haircut", "active": false } } })
    );
    let staff = acme
        .staff
        .run("{ services { nodes { active } } active: services(filter: { active: true }) { nodes { id } } }")
        .await;
    assert_eq!(staff["data"], json!({ "services": { "nodes": [{ "active": false }] }, "active": { "nodes": [] } }));
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(5)).await), "NOT_FOUND");
}

/// A deletion and a booking at once: either the booking is there and the service stays, or the service is gone.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_and_booking_at_once_leaves_no_orphan() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for round in 0..8 {
        let id = acme.admin.create_service(json!({ "name": format!("Round {round}") })).await;
        let (deleted, booked) = futures_util::join!(
            acme.admin.run_with(DELETE, json!({ "id": id })),
            acme.user.book(&id, acme.in_days(3 + round))
        );
        assert!(["", "IN_USE"].contains(&code(&deleted)), "{deleted}");
        let booked_code = code(&booked);
        assert!(["", "NOT_FOUND"].contains(&booked_code), "{booked}");
        assert_eq!(code(&deleted) == "IN_USE", booked_code.is_empty(), "{deleted} {booked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_is_taken_stays() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let class = acme.admin.create_service(json!({ "name": "Class", "capacity": 3 })).await;
    acme.user.book(&class, acme.in_days(3)).await;
    acme.other.book(&class, acme.in_days(3)).await;
    let shrink = async |capacity: i32| {
        let answer = acme.admin.run_with(UPDATE, json!({ "input": { "id": class, "capacity": capacity } })).await;
        code(&answer).to_owned()
    };
    assert_eq!(shrink(1).await, "IN_USE");
    assert_eq!(shrink(2).await, "");
    assert_eq!(code(&acme.staff.book(&class, acme.in_days(3)).await), "SLOT_TAKEN");
    app.clock.advance(jiff::SignedDuration::from_hours(24 * 4));
    assert_eq!(shrink(1).await, ""); // past bookings take no seat
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_keep_services() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let create = "mutation { createService(input: { name: \"X\", durationMinutes: 5, price: { amount: \"1\", currency: \"EUR\" } }) { service { id } } }";
    for person in [&acme.staff, &acme.user] {
        assert_eq!(code(&person.run(create).await), "FORBIDDEN");
        assert_eq!(
            code(&person.run_with(UPDATE, json!({ "input": { "id": acme.service, "name": "X" } })).await),
            "FORBIDDEN"
        );
        assert_eq!(code(&person.run_with(DELETE, json!({ "id": acme.service })).await), "FORBIDDEN");
    }
    assert_eq!(code(&app.anonymous().run(create).await), "UNAUTHENTICATED");
    assert_eq!(app.truth("select name from shared.services").await, ["Haircut"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_unique_within_the_tenant() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let create = "mutation { createService(input: { name: \"Haircut\", durationMinutes: 5, price: { amount: \"1\", currency: \"EUR\" } }) { service { id } userErrors { code field } } }";
    let taken = acme.admin.run(create).await;
    assert_eq!(taken["data"]["createService"]["userErrors"], json!([{ "code": "NAME_TAKEN", "field": ["name"] }]));
    let other = acme.admin.create_service(json!({ "name": "Other" })).await;
    let renamed = acme.admin.run_with(UPDATE, json!({ "input": { "id": other, "name": "Haircut" } })).await;
    assert_eq!(renamed["data"]["updateService"]["userErrors"], json!([{ "code": "NAME_TAKEN", "field": ["name"] }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plans_number_of_services_is_exact() {
    let app = TestApp::start().await;
    let acme = app.tenant_on_plan("acme", "free").await; // five services, one of which exists
    let many = (0..8).map(|n| {
        let admin = &acme.admin;
        async move {
            let query = "mutation($name: String!) { createService(input: { name: $name, durationMinutes: 5, price: { amount: \"1\", currency: \"EUR\" } }) { service { id } userErrors { code } } }";
            code(&admin.run_with(query, json!({ "name": format!("S{n}") })).await).to_owned()
        }
    });
    let codes = join_all(many).await;
    assert_eq!(codes.iter().filter(|it| it.is_empty()).count(), 4, "{codes:?}");
    assert_eq!(codes.iter().filter(|it| *it == "QUOTA_EXCEEDED").count(), 4, "{codes:?}");
    // Deactivating makes room, activating takes it.
    let off = acme.admin.run_with(UPDATE, json!({ "input": { "id": acme.service, "active": false } })).await;
    assert_eq!(code(&off), "");
    acme.admin.create_service(json!({ "name": "In its place" })).await;
    let on = acme.admin.run_with(UPDATE, json!({ "input": { "id": acme.service, "active": true } })).await;
    assert_eq!(code(&on), "QUOTA_EXCEEDED");
}
