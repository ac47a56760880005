//! What customers receive about their bookings: mails with a calendar file, reminders, and a calendar feed.

use axum::{body::Body, http::Request};
use jiff::{SignedDuration, tz::TimeZone};
use serde_json::{Value, json};

use crate::support::{Person, TestApp, TestTenant, code};

/// A line of a calendar file, unfolded.
fn line<'a>(file: &'a str, name: &str) -> Vec<&'a str> {
    file.split("\r\n").filter_map(|it| it.strip_prefix(name)).collect()
}

async fn update(acme: &TestTenant, input: Value) {
    let query = "mutation($input: UpdateTenantInput!) { updateTenant(input: $input) { userErrors { code field } } }";
    assert_eq!(code(&acme.admin.run_with(query, json!({ "input": input })).await), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_told_of_by_mail_from_its_making_to_its_end() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    assert_eq!(code(&acme.admin.link(&acme.service, &[(&anna, 0)]).await), "");
    let booking = acme.booking(3).await;
    let mail = app.mail_to(&acme.user.email).await;
    assert_eq!(mail.subject, "Your booking is confirmed: Haircut at ACME");
    let day = acme.in_days(3).to_zoned(TimeZone::get("Europe/Amsterdam").unwrap());
    assert!(mail.text.contains(&day.strftime("%-d %B %Y, %H:%M").to_string()), "{}", mail.text);
    assert!(mail.text.contains("With: Anna") && mail.html.contains("Anna"), "{}", mail.text);
    let file = mail.calendar.unwrap();
    assert_eq!(line(&file, "UID:"), [format!("{booking}@tenantry")]);
    let starts = acme.in_days(3).in_tz("Europe/Amsterdam").unwrap().strftime("%Y%m%dT%H%M%S").to_string();
    assert_eq!(line(&file, "DTSTART;TZID=Europe/Amsterdam:"), [starts]);
    assert_eq!(
        (line(&file, "STATUS:"), line(&file, "SEQUENCE:"), line(&file, "METHOD:")),
        (vec!["CONFIRMED"], vec!["1"], vec!["PUBLISH"])
    );
    assert!(app.mails().await.is_empty(), "once");
    // Moved, in the tenant's language.
    update(&acme, json!({ "locale": "DE" })).await;
    assert_eq!(code(&acme.user.reschedule(&booking, acme.in_days(4)).await), "");
    let mail = app.mail_to(&acme.user.email).await;
    assert_eq!(mail.subject, "Ihre Buchung wurde verschoben: Haircut bei ACME");
    assert_eq!(line(mail.calendar.as_ref().unwrap(), "SEQUENCE:"), ["2"]);
    // Cancelled by staff, with their reason; the file removes it from the calendar.
    let cancel = json!({ "id": booking, "status": "CANCELLED", "reason": "Anna ist krank" });
    assert_eq!(code(&acme.staff.set_status(cancel).await), "");
    let mail = app.mail_to(&acme.user.email).await;
    assert!(mail.text.contains("Anna ist krank") && !mail.text.contains("Mit:"), "{}", mail.text);
    let file = mail.calendar.unwrap();
    assert_eq!((line(&file, "STATUS:"), line(&file, "SEQUENCE:")), (vec!["CANCELLED"], vec!["3"]));
    // A booking that waits for staff is announced as waiting, and then as rejected.
    update(&acme, json!({ "locale": "NL" })).await;
    let careful = acme.admin.create_service(json!({ "name": "Careful", "requiresConfirmation": true })).await;
    let waiting = acme.user.book(&careful, acme.in_days(5)).await;
    let mail = app.mail_to(&acme.user.email).await;
    assert_eq!(mail.subject, "We hebben uw boeking ontvangen: Careful bij ACME");
    assert_eq!(line(mail.calendar.as_ref().unwrap(), "STATUS:"), ["TENTATIVE"]);
    let id = &waiting["data"]["createBooking"]["booking"]["id"];
    assert_eq!(code(&acme.staff.set_status(json!({ "id": id, "status": "REJECTED" })).await), "");
    assert!(app.mail_to(&acme.user.email).await.subject.starts_with("Uw boeking kan niet"));
    // Superseded changes are not announced: only the latest one is mailed.
    let quick = acme.user.book(&acme.service, acme.in_days(6)).await;
    let id = quick["data"]["createBooking"]["booking"]["id"].clone();
    assert_eq!(code(&acme.user.set_status(json!({ "id": id, "status": "CANCELLED" })).await), "");
    assert!(app.mail_to(&acme.user.email).await.subject.starts_with("Uw boeking is geannuleerd"));
    // A hold is not announced, and erased users get no mail.
    let hold = "mutation($s: ID!, $at: DateTime!) { holdSlot(input: { serviceId: $s, startsAt: $at }) { userErrors { code } } }";
    assert_eq!(
        code(&acme.user.run_with(hold, json!({ "s": acme.service, "at": acme.in_days(7).to_string() })).await),
        ""
    );
    assert!(app.mails().await.is_empty());
    acme.booking(8).await;
    app.by_hand(&format!("update shared.users set status = 'DEACTIVATED' where id = '{}'", acme.user.id.0)).await;
    assert!(app.mails().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_reminded_of_what_still_stands() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let reminders = async || -> Vec<String> {
        let mails = app.mails().await;
        mails.into_iter().filter(|it| it.subject.starts_with("Reminder of your booking")).map(|it| it.to).collect()
    };
    let (stays, moves, ends) = (acme.booking(3).await, acme.booking(4).await, acme.booking(5).await);
    app.mails().await;
    // A day before, by default.
    app.clock.advance(SignedDuration::from_hours(2 * 24 - 1));
    assert!(reminders().await.is_empty(), "not yet");
    app.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(reminders().await, [acme.user.email.as_str()]);
    assert!(reminders().await.is_empty(), "{stays} once");
    // A moved booking's reminder comes before its new time only, a cancelled one has none.
    let in_days = |days: i64| app.clock.now() + SignedDuration::from_hours(24 * days);
    assert_eq!(code(&acme.user.reschedule(&moves, in_days(10)).await), "");
    assert_eq!(code(&acme.user.set_status(json!({ "id": ends, "status": "CANCELLED" })).await), "");
    app.mails().await;
    app.clock.advance(SignedDuration::from_hours(5 * 24));
    assert!(reminders().await.is_empty());
    app.clock.advance(SignedDuration::from_hours(4 * 24));
    assert_eq!(reminders().await, [acme.user.email.as_str()]);
    // As the tenant configures; a booking made later than that needs none.
    update(&acme, json!({ "bookingRules": { "reminderMinutes": 120 } })).await;
    assert_eq!(code(&acme.user.book(&acme.service, app.clock.now() + SignedDuration::from_hours(1)).await), "");
    assert_eq!(code(&acme.other.book(&acme.service, app.clock.now() + SignedDuration::from_hours(6)).await), "");
    app.mails().await;
    app.clock.advance(SignedDuration::from_hours(4));
    assert_eq!(reminders().await, [acme.other.email.as_str()]);
    update(&acme, json!({ "bookingRules": { "reminderMinutes": 0 } })).await;
    assert_eq!(code(&acme.user.book(&acme.service, in_days(3)).await), "");
    app.clock.advance(SignedDuration::from_hours(3 * 24));
    assert!(reminders().await.is_empty());
    let bad = acme.admin.run("mutation { updateTenant(input: { bookingRules: { reminderMinutes: 43201 } }) { userErrors { code field } } }").await;
    assert_eq!(bad["data"]["updateTenant"]["userErrors"][0]["field"], json!(["bookingRules", "reminderMinutes"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_told_of_by_one_mail() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.in_days(7).to_zoned(TimeZone::get("Europe/Amsterdam").unwrap()).date();
    let made = acme
        .user
        .run_with(
            "mutation($s: ID!, $day: Date!) { createBookingSeries(input: { serviceId: $s, frequency: WEEKLY, firstDay: $day, time: \"10:00\", count: 4 }) { series { id bookings { id } } userErrors { code } } }",
            json!({ "s": acme.service, "day": first.to_string() }),
        )
        .await;
    let series = &made["data"]["createBookingSeries"]["series"];
    let mail = app.mail_to(&acme.user.email).await;
    assert_eq!(mail.subject, "Your bookings are confirmed: Haircut at ACME");
    assert_eq!(line(mail.calendar.as_ref().unwrap(), "UID:").len(), 4);
    let cancel = "mutation($id: ID!, $b: ID!) { cancelBookingSeries(input: { id: $id, scope: FOLLOWING, bookingId: $b }) { userErrors { code } } }";
    let ids = json!({ "id": series["id"], "b": series["bookings"][2]["id"] });
    assert_eq!(code(&acme.user.run_with(cancel, ids).await), "");
    let mail = app.mail_to(&acme.user.email).await;
    assert_eq!(mail.subject, "Your bookings were cancelled: Haircut at ACME");
    assert_eq!(mail.calendars.len(), 2, "a message for each of them");
    assert!(mail.calendars.iter().all(|it| line(it, "STATUS:") == ["CANCELLED"] && line(it, "METHOD:") == ["CANCEL"]));
}

async fn rotate(person: &Person) -> String {
    let answer =
        person.run("mutation { rotateCalendarFeed { path calendarFeed { createdAt } userErrors { code } } }").await;
    answer["data"]["rotateCalendarFeed"]["path"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn read(app: &TestApp, path: &str) -> (u16, String) {
    let (response, body) = app.send(Request::get(path).body(Body::empty()).unwrap()).await;
    (response.status().as_u16(), String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_shows_its_users_bookings_and_nobody_elses() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let anna = acme.admin.create_resource("STAFF", "Anna").await;
    let stands_for =
        "mutation($id: ID!, $user: ID!) { updateResource(input: { id: $id, userId: $user }) { userErrors { code } } }";
    assert_eq!(
        code(&acme.admin.run_with(stands_for, json!({ "id": anna, "user": acme.staff.id.to_string() })).await),
        ""
    );
    let massage = acme.admin.create_service(json!({ "name": "Massage; \"deep\"" })).await;
    assert_eq!(code(&acme.admin.link(&massage, &[(&anna, 0)]).await), "");
    let own = acme.booking(3).await;
    let with_anna = acme.other.book(&massage, acme.in_days(4)).await["data"]["createBooking"]["booking"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    globex.booking(3).await;
    let uids = |file: &str| {
        line(file, "UID:").iter().map(|it| it.trim_end_matches("@tenantry").to_owned()).collect::<Vec<_>>()
    };
    let path = rotate(&acme.user).await;
    let (response, body) = app.send(Request::get(&path).body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/calendar; charset=utf-8");
    assert_eq!(response.headers()["cache-control"], "private, max-age=300");
    let file = String::from_utf8(body).unwrap();
    assert_eq!((uids(&file), line(&file, "SUMMARY:")), (vec![own.clone()], vec!["Haircut\\, ACME"]));
    // A booking's staff member has it in their feed, with the customer's name.
    let staffs = rotate(&acme.staff).await;
    let file = read(&app, &staffs).await.1;
    assert_eq!(uids(&file), std::slice::from_ref(&with_anna));
    assert_eq!(line(&file, "SUMMARY:"), ["Massage\\; \"deep\": other of acme"]);
    // Cancelled bookings leave the feed, and so do those long over.
    assert_eq!(code(&acme.user.set_status(json!({ "id": own, "status": "CANCELLED" })).await), "");
    assert!(uids(&read(&app, &path).await.1).is_empty());
    // A new address invalidates the previous one, and so do removal, deactivation and suspension.
    let newer = rotate(&acme.user).await;
    assert_eq!((read(&app, &path).await.0, read(&app, &newer).await.0), (404, 200));
    let seen = acme.user.run("{ calendarFeed { createdAt } }").await;
    assert_eq!(seen["data"]["calendarFeed"]["createdAt"], app.clock.now().to_string());
    let deleted = acme.user.run("mutation { deleteCalendarFeed { deleted } }").await;
    assert_eq!(deleted["data"]["deleteCalendarFeed"]["deleted"], true);
    assert_eq!(acme.user.run("{ calendarFeed { createdAt } }").await["data"]["calendarFeed"], Value::Null);
    app.by_hand(&format!("update shared.users set status = 'DEACTIVATED' where id = '{}'", acme.staff.id.0)).await;
    let others = rotate(&globex.user).await;
    app.by_hand(&format!("update shared.tenant_state set state = 'SUSPENDED' where tenant_id = '{}'", globex.id.0))
        .await;
    // Whatever is wrong, the answer is the same.
    let garbage = [
        "/calendars/x.ics".to_owned(),
        "/calendars/tnc_.ics".into(),
        newer.replace(".ics", ""),
        path.replace("tnc_", "tnl_"),
    ];
    let mut answers: Vec<(u16, String)> = Vec::new();
    for gone in [path, newer, staffs, others].iter().chain(&garbage) {
        answers.push(read(&app, gone).await);
    }
    answers.dedup();
    assert_eq!(answers, [(404, "There is no such calendar.\n".to_owned())]);
    assert_eq!(acme.truth("select count(*) from shared.calendar_feeds where token_hash is null").await, ["0"]);
}

/// Wall 2 alone: who may continue as whom, by direct SQL.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_as_somebody_else() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let path = rotate(&acme.admin).await;
    let token = path.trim_start_matches("/calendars/").trim_end_matches(".ics").to_owned();
    let hash: Vec<u8> = {
        let hex = app.truth("select encode(token_hash, 'hex') from shared.calendar_feeds").await[0].clone();
        (0..32).map(|it| u8::from_str_radix(&hex[2 * it..2 * it + 2], 16).unwrap()).collect()
    };
    assert!(
        !app.truth("select * from shared.calendar_feeds").await[0].contains(&token[5..20]),
        "only its hash is kept"
    );
    let client = acme.entered(&acme.user).await;
    let became = client.query_one("select enter_feed($1, $2)", &[&acme.id, &hash]).await.unwrap();
    assert_eq!(
        became.get::<_, Option<uuid::Uuid>>(0),
        None,
        "a customer who knows the hash of an administrator's feed"
    );
    let role = client.query_one("select current_setting('app.role')", &[]).await.unwrap();
    assert_eq!(role.get::<_, &str>(0), "USER");
}

/// However often it is confirmed or moved there, a start has one reminder.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_has_one_reminder() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let careful = acme.admin.create_service(json!({ "name": "Careful", "requiresConfirmation": true })).await;
    let waiting = acme.user.book(&careful, acme.in_days(5)).await;
    let id = waiting["data"]["createBooking"]["booking"]["id"].as_str().unwrap().to_owned();
    let confirm = async || {
        let confirmed = acme.staff.set_status(json!({ "id": id, "status": "CONFIRMED" })).await;
        assert_eq!(code(&confirmed), "");
        app.mails().await
    };
    confirm().await;
    assert_eq!(code(&acme.user.reschedule(&id, acme.in_days(6)).await), "");
    let told = app.mails().await;
    assert!(told[0].text.contains("We will confirm it soon"), "{}", told[0].text);
    confirm().await;
    let plain = acme.booking(4).await;
    for days in [7, 4] {
        app.mails().await;
        assert_eq!(code(&acme.user.reschedule(&plain, acme.in_days(days)).await), "");
    }
    app.mails().await;
    for days in [3, 2] {
        app.clock.advance(SignedDuration::from_hours(24 * days));
        let subjects: Vec<String> = app.mails().await.into_iter().map(|it| it.subject).collect();
        assert_eq!(subjects.len(), 1, "{subjects:?}");
        assert!(subjects[0].starts_with("Reminder of your booking"));
    }
}

/// A booking that waits for staff is not announced as booked, and a mail lists only what was cancelled at that time.
#[tokio::test(flavor = "multi_thread")]
async fn mails_of_series_say_what_is_so() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let careful = acme.admin.create_service(json!({ "name": "Careful", "requiresConfirmation": true })).await;
    let first = acme.in_days(7).to_zoned(TimeZone::get("Europe/Amsterdam").unwrap()).date();
    let made = acme
        .user
        .run_with(
            "mutation($s: ID!, $day: Date!) { createBookingSeries(input: { serviceId: $s, frequency: WEEKLY, firstDay: $day, time: \"10:00\", count: 3 }) { series { id bookings { id } } } }",
            json!({ "s": careful, "day": first.to_string() }),
        )
        .await;
    assert_eq!(app.mail_to(&acme.user.email).await.subject, "We have received your bookings: Careful at ACME");
    let series = &made["data"]["createBookingSeries"]["series"];
    for number in 0..2 {
        let cancel = "mutation($id: ID!, $b: ID!) { cancelBookingSeries(input: { id: $id, scope: THIS, bookingId: $b }) { userErrors { code } } }";
        let ids = json!({ "id": series["id"], "b": series["bookings"][number]["id"] });
        assert_eq!(code(&acme.user.run_with(cancel, ids).await), "");
        let file = app.mail_to(&acme.user.email).await.calendar.unwrap();
        let expected = format!("{}@tenantry", series["bookings"][number]["id"].as_str().unwrap());
        assert_eq!(line(&file, "UID:"), [expected]);
    }
}

/// A user with very many bookings gets the upcoming ones before the past ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_shows_what_comes_first() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let coming = acme.booking(3).await;
    let raw = coming.parse::<tenantry::base::ids::BookingId>().unwrap().0;
    app.by_hand(&format!(
        "alter table shared.bookings drop constraint bookings_metered; insert into shared.bookings (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor, currency, created_at, updated_at)
         select tenant_id, gen_random_uuid(), service_id, customer_id, at, at + interval '30 minutes', time_zone, 'CONFIRMED', price_minor, currency, created_at, updated_at
           from shared.bookings, lateral (select '{}'::timestamptz - n * interval '40 minutes' as at from generate_series(1, 1000) n) past
          where id = '{raw}'",
        app.clock.now()
    ))
    .await;
    let file = read(&app, &rotate(&acme.user).await).await.1;
    assert!(line(&file, "UID:").contains(&format!("{coming}@tenantry").as_str()));
    assert_eq!(line(&file, "UID:").len(), 1_000);
}

/// A secret that is shown once is stored nowhere, not even for a repeated request with a key.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_kept_answer() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for mutation in [
        "rotateCalendarFeed { path }",
        "createWebhookEndpoint(input: { url: \"http://127.0.0.1:9/\" }) { secret }",
        "rotateWebhookSecret(input: { id: \"x\" }) { secret }",
    ] {
        let body = json!({ "query": format!("mutation {{ {mutation} }}") }).to_string();
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("idempotency-key", "a-key")
            .header("authorization", format!("Bearer {}", acme.admin.token.as_ref().unwrap()));
        let (_, answer) = app.send(request.body(Body::from(body)).unwrap()).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{mutation}: {answer}");
    }
    assert_eq!(app.truth("select count(*) from shared.idempotency_keys").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_new_addresses_at_once_one_is_good() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let paths = futures_util::future::join_all((0..8).map(|_| rotate(&acme.user))).await;
    let mut good = 0;
    for path in &paths {
        good += u32::from(read(&app, path).await.0 == 200);
    }
    assert_eq!(good, 1);
}
