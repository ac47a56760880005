//! Calendar files as other programs read them: Python's icalendar, and the npm packages ical.js and node-ical.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use axum::{body::Body, http::Request};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{Mail, Person, TestApp, TestTenant, code};

async fn update(acme: &TestTenant, input: Value) {
    let query =
        "mutation($input: UpdateTenantInput!) { updateTenant(input: $input) { userErrors { code field message } } }";
    let answer = acme.admin.run_with(query, json!({ "input": input })).await;
    assert_eq!(code(&answer), "", "{answer}");
}

fn asked(mut program: Command, files: &[String]) -> Value {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(json!(files).to_string().as_bytes()).unwrap();
    let answer = child.wait_with_output().unwrap();
    assert!(answer.status.success(), "{files:#?}");
    serde_json::from_slice(&answer.stdout).unwrap()
}

/// What other programs read in these files: all the same. Outside CI a program may be missing.
fn read_by_others(files: &[String]) -> Vec<Value> {
    let mut answers = Vec::new();
    let has_it = |python: &&str| {
        let found = Command::new(python).args(["-c", "import icalendar"]).stderr(Stdio::null()).status();
        found.is_ok_and(|it| it.success())
    };
    match ["python3", "/usr/bin/python3"].iter().find(|it| has_it(it)) {
        Some(python) => {
            let mut program = Command::new(python);
            program.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/calendars.py"));
            answers.push(asked(program, files));
        }
        None => {
            assert!(std::env::var_os("CI").is_none(), "CI has to have icalendar: apt-get install python3-icalendar");
            eprintln!("SKIPPED: no icalendar here (apt-get install python3-icalendar, or pip install icalendar)");
        }
    }
    match std::env::var_os("CALENDAR_READERS") {
        Some(script) => {
            let mut program = Command::new("node");
            program.arg(script);
            answers.push(asked(program, files));
        }
        None => {
            assert!(std::env::var_os("CI").is_none(), "CI has to say by CALENDAR_READERS where calendars.mjs is");
            eprintln!("SKIPPED: no CALENDAR_READERS here (npm ci in web/conformance, and …/calendars.mjs)");
        }
    }
    answers
}

/// The lines of a file that matter, without another program.
fn line<'a>(file: &'a str, name: &str) -> Vec<&'a str> {
    file.split("\r\n").filter_map(|it| it.strip_prefix(name)).collect()
}

/// A booking is requested, moved and cancelled under one UID with rising numbers, and in programs that are told by whom and
/// to whom.
#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_requested_moved_and_cancelled() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let contact =
        json!({ "email": "hello@acme.test", "phone": "+31 20 123 45 67", "address": "Street 1\n1012 AB Town" });
    update(&acme, json!({ "contact": contact, "locale": "EN" })).await;
    let booking = acme.booking(200).await; // Beyond a clock change, in either direction.
    let mut files = Vec::new();
    let mut told = async || {
        let mail = app.mail_to(&acme.user.email).await;
        assert_eq!(mail.calendars.len(), 1, "{mail:?}");
        files.extend(mail.calendars.clone());
        mail
    };
    let first = told().await;
    assert!(first.raw.contains("method=REQUEST") && first.raw.contains("application/ics"), "{}", first.raw);
    assert_eq!(code(&acme.user.reschedule(&booking, acme.in_days(20)).await), "");
    told().await;
    assert_eq!(code(&acme.user.set_status(json!({ "id": booking, "status": "CANCELLED" })).await), "");
    let last = told().await;
    assert!(last.raw.contains("method=CANCEL"), "{}", last.raw);
    let expected = |method: &str, sequence: i32, status: &str, start: Timestamp| {
        let end = start + SignedDuration::from_mins(45);
        json!({ "method": method, "events": [{
            "uid": format!("{booking}@tenantry"), "sequence": sequence, "status": status,
            "start": start.as_second(), "end": end.as_second(),
            "organizer": "mailto:hello@acme.test", "attendee": format!("mailto:{}", acme.user.email),
        }] })
    };
    let expected = json!([
        expected("REQUEST", 1, "CONFIRMED", acme.in_days(200)),
        expected("REQUEST", 2, "CONFIRMED", acme.in_days(20)),
        expected("CANCEL", 3, "CANCELLED", acme.in_days(20)),
    ]);
    for answer in read_by_others(&files) {
        assert_eq!(answer, expected);
    }
    for file in &files {
        assert_eq!(line(file, "BEGIN:VTIMEZONE").len(), 1, "{file}");
        assert_eq!(line(file, "LOCATION:"), ["Street 1\\, 1012 AB Town"]);
    }
    // The log of what was sent: for the customer and the staff, nobody else.
    let log = "query($id: ID!) { booking(id: $id) { notices { kind calendarMethod } } }";
    let seen = async |person: &Person| person.run_with(log, json!({ "id": booking })).await["data"]["booking"].clone();
    let sent = json!({ "notices": [
        { "kind": "CONFIRMED", "calendarMethod": "REQUEST" }, { "kind": "MOVED", "calendarMethod": "REQUEST" },
        { "kind": "CANCELLED", "calendarMethod": "CANCEL" },
    ] });
    let of_kinds = |it: Value| -> Vec<String> {
        let mut kinds: Vec<String> = it["notices"].as_array().unwrap().iter().map(Value::to_string).collect();
        kinds.sort();
        kinds
    };
    for person in [&acme.user, &acme.staff, &acme.admin] {
        assert_eq!(of_kinds(seen(person).await), of_kinds(sent.clone()));
    }
    let globex = app.tenant("globex").await;
    for person in [&acme.other, &globex.admin] {
        assert_eq!(seen(person).await, Value::Null);
    }
}

/// Without an address of the tenant a booking is published; what ends is removed only from calendars that it was sent to.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_is_not_cancelled() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(5).await;
    let published = app.mail_to(&acme.user.email).await.calendars;
    assert_eq!((line(&published[0], "METHOD:"), line(&published[0], "ATTENDEE").len()), (vec!["PUBLISH"], 0));
    assert_eq!(code(&acme.user.set_status(json!({ "id": booking, "status": "CANCELLED" })).await), "");
    let ended = app.mail_to(&acme.user.email).await.calendars;
    assert_eq!((line(&ended[0], "METHOD:"), line(&ended[0], "STATUS:")), (vec!["CANCEL"], vec!["CANCELLED"]));
    read_by_others(&[published[0].clone(), ended[0].clone()]);
    // Cancelled before its first mail was sent.
    let quick = acme.booking(6).await;
    assert_eq!(code(&acme.user.set_status(json!({ "id": quick, "status": "CANCELLED" })).await), "");
    assert!(app.mail_to(&acme.user.email).await.calendars.is_empty());
    // Rejected by staff after it was received.
    let careful = acme.admin.create_service(json!({ "name": "Careful", "requiresConfirmation": true })).await;
    let waiting = acme.user.book(&careful, acme.in_days(5)).await;
    app.mail_to(&acme.user.email).await;
    let id = &waiting["data"]["createBooking"]["booking"]["id"];
    assert_eq!(code(&acme.staff.set_status(json!({ "id": id, "status": "REJECTED" })).await), "");
    let rejected = app.mail_to(&acme.user.email).await.calendars;
    assert_eq!((line(&rejected[0], "METHOD:"), line(&rejected[0], "STATUS:")), (vec!["CANCEL"], vec!["CANCELLED"]));
}

/// Each booking of a series is a message of its own, because each can be moved or cancelled alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_a_message_for_each_booking() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    update(&acme, json!({ "contact": { "email": "hello@acme.test" } })).await;
    let day = acme.in_days(7).in_tz("Europe/Amsterdam").unwrap().date().to_string();
    let create = "mutation($s: ID!, $day: Date!) { createBookingSeries(input: { serviceId: $s, frequency: WEEKLY, firstDay: $day, time: \"10:00\", count: 3 }) { series { id } } }";
    let made = acme.user.run_with(create, json!({ "s": acme.service, "day": day })).await;
    let booked = app.mail_to(&acme.user.email).await.calendars;
    let cancel = "mutation($id: ID!) { cancelBookingSeries(input: { id: $id, scope: ALL }) { userErrors { code } } }";
    let id = &made["data"]["createBookingSeries"]["series"]["id"];
    assert_eq!(code(&acme.user.run_with(cancel, json!({ "id": id })).await), "");
    let ended = app.mail_to(&acme.user.email).await.calendars;
    let uids = |files: &[String]| -> Vec<String> {
        let mut uids: Vec<String> = files.iter().flat_map(|it| line(it, "UID:")).map(str::to_owned).collect();
        uids.sort();
        uids
    };
    assert_eq!((booked.len(), ended.len()), (3, 3));
    assert_eq!(uids(&booked), uids(&ended));
    for (files, method) in [(&booked, "REQUEST"), (&ended, "CANCEL")] {
        assert!(files.iter().all(|it| line(it, "METHOD:") == [method] && line(it, "UID:").len() == 1), "{files:?}");
        for answer in read_by_others(files) {
            assert!(answer.as_array().unwrap().iter().all(|it| it["method"] == method), "{answer}");
        }
    }
}

/// A feed that has not changed is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_feed_is_not_sent_again() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    let made = acme.user.run("mutation { rotateCalendarFeed { path } }").await;
    let path = made["data"]["rotateCalendarFeed"]["path"].as_str().unwrap().to_owned();
    let get = async |known: Option<&str>| {
        let mut request = Request::get(&path);
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        let (response, body) = app.send(request.body(Body::empty()).unwrap()).await;
        let header = |name: &str| response.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        (
            response.status().as_u16(),
            header("etag").unwrap(),
            header("last-modified").unwrap(),
            String::from_utf8(body).unwrap(),
        )
    };
    let (status, tag, modified, body) = get(None).await;
    assert_eq!((status, modified), (200, app.clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()));
    read_by_others(&[body]);
    app.clock.advance(SignedDuration::from_hours(5));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
        let (status, again, _, body) = get(Some(&known)).await;
        assert_eq!((status, again.as_str(), body.as_str()), (304, tag.as_str(), ""), "{known}");
    }
    assert_eq!(get(Some("\"other\"")).await.0, 200);
    assert_eq!(code(&acme.user.reschedule(&booking, acme.in_days(4)).await), "");
    let (status, moved, modified, _) = get(Some(&tag)).await;
    assert_eq!((status, modified), (200, app.clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()));
    assert_ne!(moved, tag);
    // A booking that leaves the feed changes it too.
    assert_eq!(code(&acme.user.set_status(json!({ "id": booking, "status": "CANCELLED" })).await), "");
    assert_eq!(get(Some(&moved)).await.0, 200);
}

fn header<'a>(mail: &'a Mail, name: &str) -> Option<&'a str> {
    let headers = mail.raw.split("\r\n\r\n").next().unwrap();
    headers.split("\r\n").find_map(|it| it.strip_prefix(name))
}

/// A mail says when it is sent, where to answer, who the sender is, and in a reminder how to stop them and where to change
/// the booking.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_says_what_its_reader_needs() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for (contact, field) in [
        (json!({ "email": "no address" }), "email"),
        (json!({ "phone": "call me" }), "phone"),
        (json!({ "address": "See https://evil.test" }), "address"),
        (json!({ "address": "1\n2\n3\n4\n5\n6\n7" }), "address"),
    ] {
        let query =
            "mutation($c: TenantContactInput!) { updateTenant(input: { contact: $c }) { userErrors { code field } } }";
        let refused = acme.admin.run_with(query, json!({ "c": contact })).await;
        assert_eq!(refused["data"]["updateTenant"]["userErrors"][0]["field"], json!(["contact", field]), "{refused}");
    }
    let contact =
        json!({ "email": "hello@acme.test", "phone": "+31 20 123 45 67", "address": "Street 1\n1012 AB Town" });
    update(&acme, json!({ "contact": contact })).await;
    let booking = acme.booking(30).await;
    let confirmed = app.mail_to(&acme.user.email).await;
    assert_eq!(header(&confirmed, "List-Unsubscribe"), None);
    app.clock.advance(SignedDuration::from_hours(29 * 24));
    let reminder = app.mail_to(&acme.user.email).await;
    assert!(reminder.subject.starts_with("Reminder"), "{reminder:?}");
    let date = header(&reminder, "Date: ").unwrap();
    let date = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
    assert_eq!(date.as_second(), app.clock.now().as_second(), "when it is sent, not when it was queued");
    for mail in [&confirmed, &reminder] {
        assert_eq!(header(mail, "Auto-Submitted: "), Some("auto-generated"));
        assert!(header(mail, "Reply-To: ").unwrap().ends_with("<hello@acme.test>"), "{}", mail.raw);
        for part in ["Street 1", "1012 AB Town", "+31 20 123 45 67", "hello@acme.test"] {
            assert!(mail.text.contains(part) && mail.html.contains(part), "{part}: {mail:?}");
        }
        let manage = format!("https://app.test/account#booking={booking}");
        assert!(mail.text.contains(&manage) && mail.html.contains(&manage), "{mail:?}");
    }
    // One click stops them, for this customer alone.
    let token = regex::Regex::new("https://app.test(/unsubscribe/tnu_[A-Za-z0-9_-]+)").unwrap();
    let path = token.captures(&reminder.text).unwrap_or_else(|| panic!("{}", reminder.text))[1].to_owned();
    assert!(reminder.raw.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{}", reminder.raw);
    assert!(reminder.raw.replace("\r\n ", "").contains(&format!("<https://app.test{path}>")), "{}", reminder.raw);
    let wants = async || {
        let seen = acme.user.run("{ viewer { mailPreferences { reminders } } }").await;
        seen["data"]["viewer"]["mailPreferences"]["reminders"].as_bool().unwrap_or_else(|| panic!("{seen}"))
    };
    let send = async |request: Request<Body>| app.send(request).await.0.status().as_u16();
    assert_eq!(send(Request::get(&path).body(Body::empty()).unwrap()).await, 200);
    assert!(wants().await, "a program that opens links stops nothing");
    for bad in ["/unsubscribe/x".to_owned(), path.replace("tnu_", "tnc_"), format!("{}AAAA", &path[..path.len() - 4])] {
        assert_eq!(send(Request::post(&bad).body(Body::empty()).unwrap()).await, 404, "{bad}");
    }
    assert_eq!(send(Request::post(&path).body(Body::from("List-Unsubscribe=One-Click")).unwrap()).await, 200);
    assert!(!wants().await);
    assert_eq!(send(Request::post(&path).body(Body::empty()).unwrap()).await, 200, "again");
    let in_days = |days: i64| app.clock.now() + SignedDuration::from_hours(24 * days);
    for person in [&acme.user, &acme.other] {
        assert_eq!(code(&person.book(&acme.service, in_days(if person.id == acme.user.id { 5 } else { 6 })).await), "");
    }
    app.mails().await;
    app.clock.advance(SignedDuration::from_hours(5 * 24));
    let reminded: Vec<String> = app.mails().await.into_iter().map(|it| it.to).collect();
    assert_eq!(reminded, [acme.other.email.as_str()]);
    // The link of another tenant's tables does not exist here, and the log names the change.
    assert_eq!(
        acme.truth("select count(*) from shared.audit_events where action = 'users.update_mail_preferences'").await,
        ["1"]
    );
}

/// A mail is in the customer's language, with dates as their locale writes them; only they and administrators say which.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_in_its_readers_language() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let set = async |person: &Person, user: Option<&Person>, locale: Value| {
        let query = "mutation($input: UpdateMailPreferencesInput!) { updateMailPreferences(input: $input) { mailPreferences { locale reminders } userErrors { code field } } }";
        let user = user.map(|it| it.id.to_string());
        person.run_with(query, json!({ "input": { "userId": user, "locale": locale } })).await
    };
    for (person, user) in [(&acme.other, &acme.user), (&acme.staff, &acme.user), (&globex.admin, &acme.user)] {
        assert_eq!(code(&set(person, Some(user), json!("de")).await), "NOT_FOUND");
    }
    for bad in ["fr", "", "english", "de_at!"] {
        assert_eq!(code(&set(&acme.user, None, json!(bad)).await), "INVALID", "{bad}");
    }
    assert_eq!(acme.truth("select count(*) from shared.mail_preferences").await, ["0"]);
    let mail = async |days: i64| {
        acme.booking(days).await;
        app.mail_to(&acme.user.email).await
    };
    let day = |days: i64| acme.in_days(days).in_tz("Europe/Amsterdam").unwrap();
    assert!(mail(3).await.text.contains(&day(3).strftime("%A, %-d %B %Y, %H:%M").to_string()));
    let answer = set(&acme.user, None, json!("en-us")).await;
    assert_eq!(
        answer["data"]["updateMailPreferences"]["mailPreferences"],
        json!({ "locale": "en-US", "reminders": true })
    );
    let american = mail(4).await;
    assert!(american.text.contains(&day(4).strftime("%A, %B %-d, %Y, %-I:%M").to_string()), "{}", american.text);
    assert_eq!(code(&set(&acme.admin, Some(&acme.user), json!("de-AT")).await), "");
    let german = mail(5).await;
    assert!(
        german.subject.starts_with("Ihre Buchung ist bestätigt") && german.text.contains(" Uhr (Europe/Amsterdam)")
    );
    assert!(german.html.contains("lang=\"de\""));
    let forgotten =
        "mutation($email: String!) { requestPasswordReset(input: { email: $email }) { userErrors { code } } }";
    app.anonymous().run_with(forgotten, json!({ "email": acme.user.email })).await;
    assert!(app.mail_to(&acme.user.email).await.html.contains("lang=\"de\""), "mail of the account too");
    assert_eq!(code(&set(&acme.user, None, Value::Null).await), "");
    assert!(mail(6).await.subject.starts_with("Your booking is confirmed"));
}
