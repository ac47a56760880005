//! Classes: bookings with the same start share a teacher and a room, up to the number of seats.

use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    bookings::OVERLAPS,
    support::{Options, TestApp, TestTenant, code},
};

/// Occurrences whose counter differs from the number of taken seats, or whose claims differ from their state.
const MISCOUNTED: &str = "select count(*) from shared.occurrences o
     where o.seats_taken <> (select count(*) from shared.bookings b
                              where b.tenant_id = o.tenant_id and b.occurrence_id = o.id and b.holds_seat)
        or o.active <> (o.seats_taken > 0)
        or exists (select from shared.booking_claims c where c.occurrence_id = o.id and c.active <> o.active)";

/// Yoga for three, with a teacher of two and the one room.
async fn yoga(acme: &TestTenant) -> (String, Vec<String>) {
    let yoga = acme.admin.create_service(json!({ "name": "Yoga", "capacity": 3, "slotStepMinutes": 15 })).await;
    let mut resources = Vec::new();
    for (kind, name) in [("STAFF", "Anna"), ("STAFF", "Bob"), ("ROOM", "Hall")] {
        resources.push(acme.admin.create_resource(kind, name).await);
    }
    let links: Vec<(&str, i32)> = resources.iter().map(|it| (it.as_str(), 0)).collect();
    assert_eq!(code(&acme.admin.link(&yoga, &links).await), "");
    (yoga, resources)
}

fn id(answer: &Value) -> String {
    answer["data"]["createBooking"]["booking"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_has_one_teacher_and_as_many_seats() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (yoga, resources) = yoga(&acme).await;
    let at = acme.in_days(3);
    let free = async || {
        let query = "query($s: ID!, $from: DateTime!, $to: DateTime!) { availability(serviceId: $s, from: $from, to: $to) { startsAt places } }";
        let to = at + SignedDuration::from_mins(1);
        let answer =
            acme.other.run_with(query, json!({ "s": yoga, "from": at.to_string(), "to": to.to_string() })).await;
        answer["data"]["availability"][0]["places"].clone()
    };
    let why = async |at: jiff::Timestamp| {
        let query = "query($s: ID!, $at: DateTime!) { whyUnavailable(serviceId: $s, startsAt: $at) }";
        acme.other.run_with(query, json!({ "s": yoga, "at": at.to_string() })).await["data"]["whyUnavailable"].clone()
    };
    assert_eq!(free().await, 3);
    let first = acme.user.book(&yoga, at).await;
    let has = first["data"]["createBooking"]["booking"]["resources"].clone();
    assert_eq!(has.as_array().map(Vec::len), Some(2), "{first}");
    let second = acme.other.book(&yoga, at).await;
    assert_eq!(second["data"]["createBooking"]["booking"]["resources"], has, "the same teacher, the same room");
    assert_eq!(free().await, 1);
    // Another start needs the room that the class has.
    let later = at + SignedDuration::from_mins(15);
    assert_eq!(code(&acme.staff.book(&yoga, later).await), "SLOT_TAKEN");
    assert_eq!(why(later).await, "TAKEN");
    // A customer who asks for a teacher gets a seat with that teacher or none.
    let other_teacher = if has.to_string().contains("Anna") { &resources[1] } else { &resources[0] };
    let wished = json!({ "serviceId": yoga, "startsAt": at.to_string(), "resourceId": other_teacher });
    assert_eq!(code(&acme.staff.book_with(wished).await), "SLOT_TAKEN");
    let third = acme.staff.book(&yoga, at).await;
    assert_eq!(code(&third), "");
    assert_eq!(
        (code(&acme.admin.book(&yoga, at).await), free().await, why(at).await),
        ("SLOT_TAKEN", Value::Null, json!("SEATS"))
    );
    // The customer who opened it leaves, and the class continues.
    let cancel = |id: String| json!({ "id": id, "status": "CANCELLED" });
    assert_eq!(code(&acme.user.set_status(cancel(id(&first))).await), "");
    assert_eq!((free().await, why(at).await), (json!(1), Value::Null));
    assert_eq!(code(&acme.staff.book(&yoga, later).await), "SLOT_TAKEN", "the room is still the class's");
    // They come back by moving another booking there, and the last ones who leave free teacher and room.
    let moving = id(&acme.user.book(&yoga, acme.in_days(5)).await);
    let moved = acme.user.reschedule(&moving, at).await;
    assert_eq!((code(&moved), &moved["data"]["rescheduleBooking"]["booking"]["resources"]), ("", &has));
    assert_eq!(app.truth("select count(*) from shared.occurrences where active").await, ["1"]);
    assert_eq!(code(&acme.staff.reschedule(&id(&third), later).await), "SLOT_TAKEN", "a full hall");
    for booking in [id(&second), id(&third), moving] {
        assert_eq!(code(&acme.staff.set_status(cancel(booking)).await), "");
    }
    assert_eq!(app.truth("select count(*) from shared.booking_claims where active").await, ["0"]);
    assert_eq!(code(&acme.staff.book(&yoga, later).await), "");
    // A cancelled booking still shows its former resources.
    let seen = acme
        .user
        .run_with("query($id: ID!) { booking(id: $id) { resources { name } } }", json!({ "id": id(&first) }))
        .await;
    assert_eq!(seen["data"]["booking"]["resources"], has);
    // A customer sees the bookings of a teacher, of which class or not.
    let of_room = acme
        .staff
        .run_with(
            "query($r: ID!) { bookings(filter: { resourceId: $r }) { nodes { status } } }",
            json!({ "r": resources[2] }),
        )
        .await;
    assert_eq!(of_room["data"]["bookings"]["nodes"], json!([{ "status": "CONFIRMED" }]));
    assert_eq!(app.truth(MISCOUNTED).await, ["0"]);
    assert_eq!(app.truth(OVERLAPS).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_are_held_count_until_they_are_let_go() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (yoga, _) = yoga(&acme).await;
    let at = acme.in_days(3);
    let hold = async || {
        let query = "mutation($s: ID!, $at: DateTime!) { holdSlot(input: { serviceId: $s, startsAt: $at }) { booking { id } userErrors { code } } }";
        acme.user.run_with(query, json!({ "s": yoga, "at": at.to_string() })).await
    };
    for _ in 0..3 {
        assert_eq!(code(&hold().await), "");
    }
    assert_eq!(code(&acme.other.book(&yoga, at).await), "SLOT_TAKEN");
    app.clock.advance(SignedDuration::from_mins(10));
    // Nobody has released them: the class counts as ended, and its room is free.
    let later = at + SignedDuration::from_mins(15);
    let query = "query($s: ID!, $at: DateTime!) { whyUnavailable(serviceId: $s, startsAt: $at) }";
    for at in [at, later] {
        let why = acme.other.run_with(query, json!({ "s": yoga, "at": at.to_string() })).await;
        assert_eq!(why["data"]["whyUnavailable"], Value::Null);
    }
    assert_eq!(code(&acme.other.book(&yoga, later).await), "");
    assert_eq!(app.truth("select count(*) from shared.bookings where status = 'EXPIRED'").await, ["3"]);
    assert_eq!(app.truth(MISCOUNTED).await, ["0"]);
    assert_eq!(app.truth(OVERLAPS).await, ["0"]);
}

/// The number of seats follows the service, even when it changes.
#[tokio::test(flavor = "multi_thread")]
async fn the_seats_of_a_class_change_with_its_service() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (yoga, resources) = yoga(&acme).await;
    let at = acme.in_days(3);
    let update = async |input: Value| {
        let mut fields = json!({ "id": yoga });
        fields.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
        let query = "mutation($input: UpdateServiceInput!) { updateService(input: $input) { service { capacity } userErrors { code field } } }";
        acme.admin.run_with(query, json!({ "input": fields })).await
    };
    for _ in 0..3 {
        assert_eq!(code(&acme.staff.book(&yoga, at).await), "");
    }
    assert_eq!(code(&acme.staff.book(&yoga, at).await), "SLOT_TAKEN");
    assert_eq!(code(&update(json!({ "capacity": 2 })).await), "IN_USE");
    assert_eq!(code(&acme.admin.link(&yoga, &[]).await), "IN_USE");
    assert_eq!(code(&update(json!({ "capacity": 4, "durationMinutes": 60 })).await), "");
    let fourth = acme.staff.book(&yoga, at).await;
    assert_eq!(code(&fourth), "");
    let lengths =
        app.truth("select distinct extract(epoch from ends_at - starts_at)::int / 60 from shared.bookings").await;
    assert_eq!(lengths, ["45"], "a joining booking takes the class's length");
    assert_eq!(code(&acme.staff.book(&yoga, at).await), "SLOT_TAKEN");
    // A resource of it cannot be removed either.
    assert_eq!(code(&acme.admin.link(&yoga, &[(&resources[0], 0), (&resources[2], 0)]).await), "");
    assert_eq!(app.truth(MISCOUNTED).await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_clients_for_the_seats_of_two_classes() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (yoga, _) = yoga(&acme).await;
    let second = TestApp::on(app.database.clone(), Options::default()).await;
    let other_process = second.bearer(acme.staff.token.as_deref());
    let tries = (0..30).map(|turn| {
        let person = if turn % 2 == 0 { acme.staff.clone() } else { other_process.clone() };
        let at = acme.in_days(if turn % 3 == 0 { 3 } else { 4 });
        let yoga = yoga.clone();
        async move { code(&person.book(&yoga, at).await).to_owned() }
    });
    let outcomes = join_all(tries).await;
    let of = |wanted: &str| outcomes.iter().filter(|it| *it == wanted).count();
    assert_eq!((of(""), of("SLOT_TAKEN")), (6, 24), "{outcomes:?}");
    assert_eq!(app.truth("select seats_taken from shared.occurrences").await, ["3", "3"]);
    assert_eq!(app.truth(MISCOUNTED).await, ["0"]);
}

/// Wall 2 alone: no customer writes a counter, or takes a seat for somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_customers_own_sql_moves_no_seats() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let (yoga, _) = yoga(&acme).await;
    let uuid = |text: &str| text.parse::<tenantry::base::ids::BookingId>().unwrap().0;
    let theirs = uuid(&id(&acme.other.book(&yoga, acme.in_days(3)).await));
    let client = acme.entered(&acme.user).await;
    client.query("select leave_seat($1, $2)", &[&acme.id, &theirs]).await.unwrap();
    assert_eq!(client.execute("update occurrences set capacity = 100", &[]).await.unwrap(), 0);
    let occurrence: uuid::Uuid = acme.truth("select id from shared.occurrences").await[0].parse().unwrap();
    let taken = client.query_one("select take_seat($1, $2, $3)", &[&acme.id, &theirs, &occurrence]).await.unwrap();
    assert!(!taken.get::<_, bool>(0));
    assert!(client.query("select from occurrences", &[]).await.unwrap().is_empty());
    client.batch_execute("commit").await.unwrap();
    // Nobody of another tenant finds anything, whichever tenant they name.
    let client = globex.entered(&globex.user).await;
    for named in [&acme.id, &globex.id] {
        let seen = client
            .query(
                "select from classes_of($1, $2, 'epoch', '2100-01-01', now())",
                &[named, &yoga.parse::<tenantry::base::ids::ServiceId>().unwrap()],
            )
            .await
            .unwrap();
        assert!(seen.is_empty());
        client.query("select leave_seat($1, $2)", &[named, &theirs]).await.unwrap();
    }
    client.batch_execute("commit").await.unwrap();
    assert_eq!(acme.truth("select seats_taken from shared.occurrences").await, ["1"]);
    assert_eq!(acme.truth(MISCOUNTED).await, ["0"]);
}

/// A class without seats taken blocks nothing, even with a resource that its service no longer uses.
#[tokio::test(flavor = "multi_thread")]
async fn a_class_whose_seats_are_over_is_gone_whatever_it_held() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (yoga, resources) = yoga(&acme).await;
    let at = acme.in_days(3);
    let hold = "mutation($s: ID!, $at: DateTime!) { holdSlot(input: { serviceId: $s, startsAt: $at }) { userErrors { code } } }";
    assert_eq!(code(&acme.user.run_with(hold, json!({ "s": yoga, "at": at.to_string() })).await), "");
    let gym = acme.admin.create_resource("ROOM", "Gym").await;
    assert_eq!(code(&acme.admin.link(&yoga, &[(&resources[1], 0), (&gym, 0)]).await), "");
    app.clock.advance(SignedDuration::from_mins(11));
    assert_eq!(code(&acme.other.book(&yoga, at).await), "");
    assert_eq!(app.truth(MISCOUNTED).await, ["0"]);
}

/// A booking that moves into a class takes the class's length.
#[tokio::test(flavor = "multi_thread")]
async fn a_booking_moves_into_a_class_of_another_length() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (yoga, _) = yoga(&acme).await;
    let mine = id(&acme.user.book(&yoga, acme.in_days(3)).await);
    let longer =
        "mutation($id: ID!) { updateService(input: { id: $id, durationMinutes: 60 }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run_with(longer, json!({ "id": yoga })).await), "");
    assert_eq!(code(&acme.other.book(&yoga, acme.in_days(4)).await), "");
    let moved = acme.user.reschedule(&mine, acme.in_days(4)).await;
    let ends = (acme.in_days(4) + SignedDuration::from_mins(60)).to_string();
    assert_eq!(moved["data"]["rescheduleBooking"]["booking"]["endsAt"], ends, "{moved}");
    assert_eq!(app.truth(MISCOUNTED).await, ["0"]);
    // By direct SQL, no length is possible that no class has.
    let raw = mine.parse::<tenantry::base::ids::BookingId>().unwrap().0;
    let client = acme.entered(&acme.user).await;
    let longer = client
        .query_one(
            "select move_booking($1, $2, 2, 'CONFIRMED', starts_at, ends_at + interval '1 hour', 'UTC', 'CONFIRMED', now()) from bookings where id = $2",
            &[&acme.id, &raw],
        )
        .await
        .unwrap();
    assert!(!longer.get::<_, bool>(0));
}
