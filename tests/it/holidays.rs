//! Holidays from calendar files as programs write them: each event is read by itself, and each source is replaced by itself.

use serde_json::{Value, json};

use crate::support::{Person, TestApp, code};

const IMPORT: &str = "mutation($input: ImportHolidaysInput!) { importHolidays(input: $input) {
    openingOverrides { day name imported } closes { day name } skipped { line summary reason } skippedCount ignoredCount
    userErrors { code field message } } }";

async fn import(person: &Person, input: Value) -> Value {
    person.run_with(IMPORT, json!({ "input": input })).await
}

/// Of a file that is read for 2027.
fn of_2027(calendar: &str, more: Value) -> Value {
    let mut input = json!({ "calendar": calendar, "from": "2027-01-01", "to": "2028-01-01" });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

fn calendar(days: &[(&str, &str)]) -> String {
    let event = |(day, name): &(&str, &str)| {
        format!("BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:2027{day}\r\nSUMMARY:{name}\r\nEND:VEVENT\r\n")
    };
    format!("BEGIN:VCALENDAR\r\n{}END:VCALENDAR\r\n", days.iter().map(event).collect::<String>())
}

fn days(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("{list}"));
    list.iter().map(|it| it["day"].as_str().unwrap().trim_start_matches("2027-").to_owned()).collect()
}

/// The corpus: files with the oddities of programs that write calendars, each with the days that it closes.
#[tokio::test(flavor = "multi_thread")]
async fn calendars_as_programs_write_them_close_their_days() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/holidays");
    let expected = std::fs::read_to_string(format!("{folder}/expected.txt")).unwrap();
    let mut seen = 0;
    for line in expected.lines().filter(|it| !it.starts_with('#')) {
        let (name, rest) = line.split_once(": ").unwrap();
        let (days_of_it, skipped) = rest.split_once(" | ").unwrap_or((rest, "0 skipped"));
        let skipped: usize = skipped.trim_end_matches(" skipped").parse().unwrap();
        let file = std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
        let answer = import(&acme.admin, of_2027(&file, json!({ "dryRun": true }))).await;
        let found = &answer["data"]["importHolidays"];
        assert_eq!(days(&found["closes"]).join(" "), days_of_it, "{name}: {answer}");
        assert_eq!(found["skippedCount"], skipped, "{name}: {answer}");
        let reported = found["skipped"].as_array().unwrap();
        assert_eq!(reported.len(), skipped, "{name}");
        for it in reported {
            assert!(it["line"].as_i64().unwrap() > 0 && it["reason"].as_str().unwrap().len() > 10, "{name}: {it}");
        }
        seen += 1;
    }
    let files = std::fs::read_dir(folder)
        .unwrap()
        .filter(|it| it.as_ref().unwrap().path().extension().is_some_and(|it| it == "ics"));
    assert_eq!((seen, files.count()), (42, 42));
    assert_eq!(acme.truth("select count(*) from shared.opening_overrides").await, ["0"], "a dry run writes nothing");
    assert_eq!(acme.truth("select count(*) from shared.audit_events where action like 'hours.%'").await, ["0"]);
}

/// An import that is refused, or closes nothing, leaves what was there; only administrators import or remove.
#[tokio::test(flavor = "multi_thread")]
async fn sources_stand_side_by_side() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let remove = async |person: &Person, source: &str| {
        let query =
            "mutation($s: String!) { deleteHolidays(input: { source: $s }) { days userErrors { code field } } }";
        person.run_with(query, json!({ "s": source })).await
    };
    let sources = "{ holidaySources { name days first last } }";
    for person in [&acme.staff, &acme.user] {
        assert_eq!(code(&remove(person, "National").await), "FORBIDDEN");
        assert_eq!(code(&person.run(sources).await), "FORBIDDEN");
        assert_eq!(
            code(&import(person, of_2027(&calendar(&[("0427", "King")]), json!({ "dryRun": true }))).await),
            "FORBIDDEN"
        );
    }
    let national = calendar(&[("0427", "King's Day"), ("1225", "Christmas")]);
    let school = calendar(&[("0427", "Spring break"), ("0428", "Spring break")]);
    let imported = import(&acme.admin, of_2027(&national, json!({ "source": "National" }))).await;
    assert_eq!(days(&imported["data"]["importHolidays"]["openingOverrides"]), ["04-27", "12-25"], "{imported}");
    let imported = import(&acme.admin, of_2027(&school, json!({ "source": "School" }))).await;
    let overrides = &imported["data"]["importHolidays"]["openingOverrides"];
    assert_eq!(days(overrides), ["04-27", "04-28", "12-25"]);
    assert_eq!(overrides[0]["name"], "King's Day, Spring break");
    assert_eq!(days(&imported["data"]["importHolidays"]["closes"]), ["04-27", "04-28"]);
    let listed = acme.admin.run(sources).await;
    assert_eq!(
        listed["data"]["holidaySources"],
        json!([{ "name": "National", "days": 2, "first": "2027-04-27", "last": "2027-12-25" },
               { "name": "School", "days": 2, "first": "2027-04-27", "last": "2027-04-28" }])
    );
    assert_eq!(globex.admin.run(sources).await["data"]["holidaySources"], json!([]));
    assert_eq!(code(&remove(&globex.admin, "National").await), "NOT_FOUND");
    // What closes nothing says so, with what was skipped, and changes nothing.
    let broken = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20270427\r\nRRULE:FREQ=OFTEN\r\nSUMMARY:Broken\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    for dry in [true, false] {
        let refused = import(&acme.admin, of_2027(broken, json!({ "source": "National", "dryRun": dry }))).await;
        let refused = &refused["data"]["importHolidays"];
        assert_eq!(refused["userErrors"][0]["field"], json!(["calendar"]), "{refused}");
        assert_eq!((&refused["skipped"][0]["line"], &refused["skipped"][0]["summary"]), (&json!(2), &json!("Broken")));
        assert_eq!((&refused["openingOverrides"], &refused["closes"]), (&Value::Null, &json!([])));
    }
    assert_eq!(acme.truth("select count(*) from shared.opening_overrides where imported").await, ["3"]);
    // A source is replaced by itself: King's Day stays closed for the school.
    let imported =
        import(&acme.admin, of_2027(&calendar(&[("1225", "Christmas")]), json!({ "source": "National" }))).await;
    let overrides = &imported["data"]["importHolidays"]["openingOverrides"];
    assert_eq!(days(overrides), ["04-27", "04-28", "12-25"]);
    assert_eq!(overrides[0]["name"], "Spring break");
    // A day that a person opens again stays open when another source is imported.
    let open = "mutation { deleteOpeningOverride(input: { day: \"2027-04-28\" }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run(open).await), "");
    import(&acme.admin, of_2027(&national, json!({ "source": "National" }))).await;
    let gone = remove(&acme.admin, "National").await;
    assert_eq!(gone["data"]["deleteHolidays"]["days"], 2, "{gone}");
    assert_eq!(acme.truth("select day from shared.opening_overrides order by day").await, ["2027-04-27"]);
    assert_eq!(code(&remove(&acme.admin, "National").await), "NOT_FOUND");
    // At most twenty.
    for number in 0..19 {
        let one = of_2027(&calendar(&[("0601", "A day")]), json!({ "source": format!("Source {number}") }));
        assert_eq!(code(&import(&acme.admin, one).await), "");
    }
    let more = import(&acme.admin, of_2027(&national, json!({ "source": "One more" }))).await;
    assert_eq!(more["data"]["importHolidays"]["userErrors"][0]["field"], json!(["source"]), "{more}");
    assert_eq!(code(&import(&acme.admin, of_2027(&national, json!({ "source": " " }))).await), "INVALID");
}

/// Observances are left out by category, by summary or by transparency.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_leaves_out_observances() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let file = include_str!("holidays/39-observances.ics");
    for (filter, expected) in [
        (json!({}), vec!["10-31", "12-25"]),
        (json!({ "withoutCategories": ["observance"] }), vec!["12-25"]),
        (json!({ "categories": ["Religion", "Sport"] }), vec!["12-25"]),
        (json!({ "summaries": ["HARVEST"] }), vec!["10-31"]),
        (json!({ "withoutSummaries": ["harv"] }), vec!["12-25"]),
        (json!({ "withoutTransparent": true }), vec!["12-25"]),
    ] {
        let answer = import(&acme.admin, of_2027(file, json!({ "dryRun": true, "filter": filter }))).await;
        let found = &answer["data"]["importHolidays"];
        assert_eq!(days(&found["closes"]), expected, "{filter}: {answer}");
        assert_eq!(found["ignoredCount"].as_u64().unwrap() as usize, 2 - expected.len());
    }
}
