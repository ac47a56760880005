//! Plans, entitlements, metering, subscriptions and invoices: what is charged, when, and why.

use std::{collections::BTreeMap, sync::Arc};

use axum::{body::Body, http::Request};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::support::{Options, Person, TestApp, TestTenant, code};

/// Runs a mutation with one input and returns its payload, or the whole answer when it failed.
pub(crate) async fn change(person: &Person, field: &str, selection: &str, input: Value) -> Value {
    let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
    let query = format!(
        "mutation($input: {kind}!) {{ {field}(input: $input) {{ {selection} userErrors {{ code field message }} }} }}"
    );
    person.run_with(&query, json!({ "input": input })).await
}

/// A published plan with prices and meters.
pub(crate) async fn sell(root: &Person, key: &str, terms: Value) -> Value {
    if code(&change(root, "createPlan", "plan", json!({ "key": key, "name": key.to_uppercase() })).await)
        == "NAME_TAKEN"
    {
        // The next version of it.
    }
    let drafted = change(root, "draftPlanVersion", "plan { version }", json!({ "plan": key, "terms": terms })).await;
    assert_eq!(code(&drafted), "", "{drafted}");
    let published = change(root, "publishPlanVersion", "plan { version versionId }", json!({ "plan": key })).await;
    assert_eq!(code(&published), "", "{published}");
    published["data"]["publishPlanVersion"]["plan"].clone()
}

pub(crate) fn terms(prices: Value) -> Value {
    json!({ "currency": "EUR", "prices": prices, "limits": [], "features": [] })
}

fn flat(amount: &str) -> Value {
    json!({ "name": "Fee", "interval": "MONTH", "model": "FLAT", "amount": amount })
}

async fn run(tenant: &TestTenant) {
    tenant.app.billing.run(tenant.id, tenant.app.clock.now()).await.unwrap();
}

async fn put_on(root: &Person, tenant: &TestTenant, plan: &str) {
    let put =
        change(root, "changeTenantPlan", "tenant { plan }", json!({ "id": tenant.id.to_string(), "plan": plan })).await;
    assert_eq!(code(&put), "", "{put}");
}

/// Every invoice, oldest first.
async fn invoices(admin: &Person) -> Vec<Value> {
    let listed = admin.run("{ billing { invoices(first: 100) { nodes { id } } } }").await;
    let nodes = listed["data"]["billing"]["invoices"]["nodes"].as_array().unwrap_or_else(|| panic!("{listed}")).clone();
    let query = "query($id: ID!) { billing { invoice(id: $id) {
        id number status total { amount } net { amount } tax { amount } owed { amount } fallsDueAt
        lines { kind name meter quantity from to net { amount } tax { amount } explain { agrees net { amount } quantity } }
        creditNotes { number amount { amount } } } } }";
    let mut found = Vec::new();
    for node in nodes.iter().rev() {
        let answer = admin.run_with(query, json!({ "id": node["id"] })).await;
        found.push(answer["data"]["billing"]["invoice"].clone());
    }
    found
}

fn amount(value: &Value) -> Decimal {
    value["amount"].as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

/// What must hold of every invoice: lines sum to the total, and every line can be rated again.
fn audit(invoices: &[Value]) {
    for (at, invoice) in invoices.iter().enumerate() {
        assert_eq!(invoice["number"], json!(format!("INV-{:06}", at + 1)), "numbers have no gap");
        let lines = invoice["lines"].as_array().unwrap();
        let sum: Decimal = lines.iter().map(|it| amount(&it["net"]) + amount(&it["tax"])).sum();
        assert_eq!(sum, amount(&invoice["total"]), "{invoice:#}");
        for line in lines.iter().filter(|it| it["kind"] != "BALANCE") {
            assert_eq!(line["explain"]["agrees"], json!(true), "{line:#}");
        }
    }
}

async fn record(admin: &Person, events: Value) -> Vec<String> {
    let answer = change(admin, "recordUsage", "results { eventId status reason }", json!({ "events": events })).await;
    let results = answer["data"]["recordUsage"]["results"].as_array().unwrap_or_else(|| panic!("{answer}"));
    results
        .iter()
        .map(|it| match it["reason"].as_str() {
            Some(reason) => format!("{} {reason}", it["status"].as_str().unwrap()),
            None => it["status"].as_str().unwrap().to_owned(),
        })
        .collect()
}

fn event(id: &str, meter: &str, quantity: i64, at: Timestamp) -> Value {
    json!({ "source": "till", "eventId": id, "meter": meter, "quantity": quantity, "at": at.to_string() })
}

/// The clock has milliseconds, and periods have microseconds: never before the instant.
pub(crate) fn go_to(app: &TestApp, at: Timestamp) {
    let micros = at.as_microsecond() - app.clock.now().as_microsecond();
    app.clock.advance(SignedDuration::from_millis(micros.div_euclid(1000) + i64::from(micros.rem_euclid(1000) != 0)));
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

/// Only administrators see or do anything, whatever the field, and nothing of another tenant.
#[tokio::test(flavor = "multi_thread")]
async fn billing_is_for_administrators_alone() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    run(&acme).await;
    let whole = "{ billing { plan { key } subscription { status } usage { used } upcomingInvoice { total { amount } }
        usageSeries(meter: \"bookings\", from: \"2026-01-01\", to: \"2026-02-01\") { quantity } credit { amount }
        invoices { nodes { id } } profile { email } hasPaymentMethod isRestricted } }";
    assert_eq!(code(&acme.admin.run(whole).await), "");
    for person in [&acme.staff, &acme.user] {
        assert_eq!(code(&person.run(whole).await), "FORBIDDEN");
        let checkout = json!({ "plan": "team", "successUrl": "https://a.test", "cancelUrl": "https://a.test" });
        let event = json!({ "events": [event("1", "sms", 1, app.clock.now())] });
        for (field, selection, input) in [
            ("changePlan", "preview { total { amount } }", json!({ "plan": "team" })),
            ("changePlan", "preview { total { amount } }", json!({ "plan": "team", "dryRun": true })),
            ("cancelSubscription", "subscription { status }", json!({})),
            ("createCheckoutSession", "checkoutSession { url }", checkout),
            ("createBillingPortalSession", "url", json!({ "returnUrl": "https://a.test" })),
            ("recordUsage", "results { status }", event),
            ("updateBillingProfile", "profile { email }", json!({ "email": "a@b.c" })),
        ] {
            assert_eq!(code(&change(person, field, selection, input).await), "FORBIDDEN", "{field}");
        }
        assert_eq!(code(&person.run("mutation { keepSubscription { userErrors { code } } }").await), "FORBIDDEN");
    }
    assert_eq!(code(&app.anonymous().run(whole).await), "UNAUTHENTICATED");
    // Another tenant's invoice does not exist, by the API and by SQL under the policies alone.
    let id = invoices(&acme.admin).await[0]["id"].clone();
    let one = "query($id: ID!) { billing { invoice(id: $id) { number } } }";
    assert_eq!(globex.admin.run_with(one, json!({ "id": id })).await["data"]["billing"]["invoice"], json!(null));
    assert_eq!(
        acme.admin.run_with(one, json!({ "id": id })).await["data"]["billing"]["invoice"]["number"],
        "INV-000001"
    );
    assert_eq!(acme.truth("select count(*) from shared.invoices").await, ["1"]);
    for field in
        ["createPlan(input: { key: \"x\", name: \"x\" })", "rollOutFeature(input: { key: \"x\", percentage: 5 })"]
    {
        let query = format!("mutation {{ {field} {{ userErrors {{ code }} }} }}");
        assert_eq!(code(&acme.admin.run(&query).await), "FORBIDDEN");
    }
}

/// A version never changes once it is published, and a tenant keeps its version until it is moved.
#[tokio::test(flavor = "multi_thread")]
async fn a_published_version_is_for_ever() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant("acme").await, app.operator().await);
    let before = sell(&root, "gold", terms(json!([flat("10.00")]))).await;
    put_on(&root, &acme, "gold").await;
    // The plan is on the list, and a draft is not.
    let listed = async || {
        let answer = app.anonymous().run("{ plans { key version price { amount } } }").await;
        let plans = answer["data"]["plans"].as_array().unwrap().clone();
        plans
            .into_iter()
            .find(|it| it["key"] == "gold")
            .map(|it| (it["version"].clone(), it["price"]["amount"].clone()))
    };
    assert_eq!(listed().await, Some((json!(1), json!("10.00"))));
    let dearer = json!({ "plan": "gold", "terms": terms(json!([flat("20.00")])) });
    assert_eq!(code(&change(&root, "draftPlanVersion", "plan { version }", dearer).await), "");
    assert_eq!(listed().await, Some((json!(1), json!("10.00"))));
    assert_eq!(code(&change(&root, "publishPlanVersion", "plan { version }", json!({ "plan": "gold" })).await), "");
    assert_eq!(listed().await, Some((json!(2), json!("20.00"))));
    assert_eq!(
        code(&change(&root, "publishPlanVersion", "plan { version }", json!({ "plan": "gold" })).await),
        "NOT_FOUND"
    );
    // Acme keeps the version that it took, and pays for it the next month too.
    app.clock.advance(hours(24 * 40));
    run(&acme).await;
    let seen = acme
        .admin
        .run("{ billing { plan { version versionId price { amount } } subscription { plan { version } } } }")
        .await;
    assert_eq!(seen["data"]["billing"]["plan"]["versionId"], before["versionId"]);
    assert_eq!(seen["data"]["billing"]["subscription"]["plan"]["version"], 1);
    let fees: Vec<Decimal> = invoices(&acme.admin).await.iter().skip(1).map(|it| amount(&it["net"])).collect();
    assert!(fees.contains(&Decimal::new(1000, 2)) && !fees.contains(&Decimal::new(2000, 2)), "{fees:?}");
    put_on(&root, &acme, "gold").await;
    let moved = acme.admin.run("{ billing { plan { version } } }").await;
    assert_eq!(moved["data"]["billing"]["plan"]["version"], 2);
    // Not even the platform can change a published version, with every grant.
    let client = app.database.connect("tenantry_app").await;
    client.batch_execute("begin; set local search_path = directory").await.unwrap();
    client.query("select enter(null, null, 'PLATFORM_ADMIN', null, true)", &[]).await.unwrap();
    for sql in [
        "update plan_versions set terms = terms where state = 'PUBLISHED'",
        "update plan_versions set state = 'DRAFT', published_at = null where true",
        "delete from plan_versions where state = 'PUBLISHED'",
    ] {
        assert_eq!(client.execute(sql, &[]).await.unwrap(), 0, "{sql}");
    }
    // An inactive plan stays with the tenants that have it.
    assert_eq!(code(&change(&root, "updatePlan", "plan", json!({ "plan": "gold", "active": false })).await), "");
    assert_eq!(listed().await, None);
    assert_eq!(acme.admin.run("{ billing { plan { key } } }").await["data"]["billing"]["plan"]["key"], "gold");
    let seen = root.run("{ platform { planVersions { key version publishedAt } } }").await;
    let gold = seen["data"]["platform"]["planVersions"].as_array().unwrap();
    assert_eq!(gold.iter().filter(|it| it["key"] == "gold").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_that_make_no_sense_are_refused_by_field() {
    let app = TestApp::start().await;
    let root = app.operator().await;
    assert_eq!(code(&change(&root, "createPlan", "plan", json!({ "key": "Bad key", "name": "x" })).await), "INVALID");
    assert_eq!(code(&change(&root, "createPlan", "plan", json!({ "key": "free", "name": "x" })).await), "NAME_TAKEN");
    assert_eq!(code(&change(&root, "createPlan", "plan", json!({ "key": "gold", "name": "Gold" })).await), "");
    for (bad, field) in [
        (terms(json!([{ "name": "x", "interval": "MONTH", "model": "FLAT" }])), "prices"),
        (terms(json!([flat("1.001")])), "prices"),
        (terms(json!([flat("1"), flat("2")])), "prices"),
        (
            terms(
                json!([{ "name": "x", "interval": "MONTH", "model": "GRADUATED", "meter": "sms", "tiers": [{ "upTo": 5, "unitAmount": "1" }] }]),
            ),
            "prices",
        ),
        (json!({ "currency": "EUR", "trialDays": 400, "prices": [], "limits": [], "features": [] }), "trialDays"),
        (
            json!({ "currency": "EUR", "prices": [], "limits": [{ "meter": "a b", "limit": 1 }], "features": [] }),
            "limits",
        ),
        (
            json!({ "currency": "EUR", "prices": [], "limits": [], "features": [{ "key": "x", "number": 1, "meter": "y" }] }),
            "features",
        ),
    ] {
        let refused = change(&root, "draftPlanVersion", "plan { key }", json!({ "plan": "gold", "terms": bad })).await;
        assert_eq!(code(&refused), "INVALID", "{refused}");
        assert_eq!(refused["data"]["draftPlanVersion"]["userErrors"][0]["field"], json!([field]), "{refused}");
    }
    let none = json!({ "plan": "nothing", "terms": terms(json!([])) });
    assert_eq!(code(&change(&root, "draftPlanVersion", "plan { key }", none).await), "NOT_FOUND");
}

/// One function decides: override, roll-out, plan; a switch, a number, or what is left of a meter.
#[tokio::test(flavor = "multi_thread")]
async fn features_come_from_plan_rollout_and_override() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant("acme").await, app.operator().await);
    let features =
        json!([{ "key": "branding" }, { "key": "locations", "number": 3 }, { "key": "texting", "meter": "sms" }]);
    let limits = json!([{ "meter": "sms", "limit": 10 }]);
    sell(&root, "gold", json!({ "currency": "EUR", "prices": [], "limits": limits, "features": features })).await;
    put_on(&root, &acme, "gold").await;
    let seen = async || {
        let query = "{ tenant { features { key enabled kind number source } texting: feature(key: \"texting\") } }";
        let answer = acme.user.run(query).await["data"]["tenant"].clone();
        let each = answer["features"].as_array().unwrap().iter();
        let told: BTreeMap<String, String> = each
            .map(|it| {
                (
                    it["key"].as_str().unwrap().to_owned(),
                    format!("{} {} {} {}", it["enabled"], it["kind"], it["number"], it["source"]).replace('"', ""),
                )
            })
            .collect();
        (told, answer["texting"].clone())
    };
    let (told, texting) = seen().await;
    assert_eq!(told["branding"], "true BOOLEAN null PLAN");
    assert_eq!(told["locations"], "true NUMBER 3 PLAN");
    assert_eq!((told["texting"].as_str(), texting), ("true METERED 10 PLAN", json!(true)));
    assert_eq!(record(&acme.admin, json!([event("a", "sms", 10, app.clock.now())])).await, ["ACCEPTED"]);
    let (told, texting) = seen().await;
    assert_eq!((told["texting"].as_str(), texting), ("false METERED 0 PLAN", json!(false)));
    // For this tenant, for a while.
    let until = app.clock.now() + hours(1);
    let set = json!({ "tenantId": acme.id.to_string(), "key": "locations", "enabled": true, "number": 9, "expiresAt": until.to_string() });
    assert_eq!(code(&change(&root, "setFeature", "features { key }", set).await), "");
    assert_eq!(seen().await.0["locations"], "true NUMBER 9 OVERRIDE");
    app.clock.advance(hours(2));
    assert_eq!(seen().await.0["locations"], "true NUMBER 3 PLAN");
    // Rolled out to all, and taken back; a tenant that is created later gets it too.
    let roll = async |percentage: i32| {
        let input = json!({ "key": "new_calendar", "percentage": percentage });
        code(&change(&root, "rollOutFeature", "rollouts { key percentage }", input).await).to_owned()
    };
    assert_eq!(roll(101).await, "INVALID");
    assert_eq!(roll(100).await, "");
    assert_eq!(seen().await.0["new_calendar"], "true BOOLEAN null ROLLOUT");
    let globex = app.tenant("globex").await;
    app.worker().tidy().await;
    let late = globex.user.run("{ tenant { on: feature(key: \"new_calendar\") } }").await;
    assert_eq!(late["data"]["tenant"]["on"], json!(true));
    assert_eq!(roll(0).await, "");
    assert!(!seen().await.0.contains_key("new_calendar"));
    let listed = root.run("{ platform { rollouts { key percentage } } }").await;
    assert_eq!(listed["data"]["platform"]["rollouts"], json!([{ "key": "new_calendar", "percentage": 0 }]));
}

/// Each event counts once, however often it is sent; a refusal says why, and leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn usage_is_recorded_once() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant("acme").await, app.operator().await);
    let prices =
        json!([{ "name": "Texts", "interval": "MONTH", "meter": "sms", "model": "PER_UNIT", "amount": "0.05" }]);
    let limits = json!([{ "meter": "sms", "limit": 100 }]);
    sell(&root, "gold", json!({ "currency": "EUR", "prices": prices, "limits": limits, "features": [] })).await;
    put_on(&root, &acme, "gold").await;
    let now = app.clock.now();
    let batch = json!([
        event("a", "sms", 60, now),
        event("a", "sms", 60, now),
        event("b", "sms", 41, now),
        event("c", "sms", 40, now - hours(24)),
        event("d", "pigeons", 1, now),
        event("e", "bookings", 1, now),
        event("f", "sms", 0, now),
        event("", "sms", 1, now),
        event("g", "sms", 1, now - hours(24 * 91)),
        event("h", "sms", 1, now + hours(1)),
    ]);
    let expected = [
        "ACCEPTED",
        "DUPLICATE",
        "REJECTED QUOTA_EXCEEDED",
        "ACCEPTED",
        "REJECTED UNKNOWN_METER",
        "REJECTED OWN_METER",
        "REJECTED INVALID_QUANTITY",
        "REJECTED INVALID_ID",
        "REJECTED TOO_OLD",
        "REJECTED IN_THE_FUTURE",
    ];
    // (Within a batch they are taken by meter and id, so which of two fits a quota is not said: here only one pair does.)
    let first = record(&acme.admin, batch.clone()).await;
    assert_eq!(first, expected);
    // The same id with other content is another event, which is refused.
    assert_eq!(record(&acme.admin, json!([event("a", "sms", 61, now)])).await, ["REJECTED DIFFERS"]);
    assert_eq!(
        record(&acme.admin, json!([event("a", "sms", 60, now), event("c", "sms", 40, now - hours(24))])).await,
        ["DUPLICATE", "DUPLICATE"]
    );
    // Event, day and quota are one.
    assert_eq!(
        app.truth("select event_id, quantity from shared.usage_events where meter = 'sms' order by 1").await,
        ["a | 60", "c | 40"]
    );
    assert_eq!(app.truth("select used from shared.usage_counters where meter = 'sms'").await, ["100"]);
    assert_eq!(
        app.truth("select sum(quantity), sum(events) from shared.usage_days where meter = 'sms'").await,
        ["100 | 2"]
    );
    let query = "query($from: Date!, $to: Date!) { billing { usageSeries(meter: \"sms\", from: $from, to: $to) { day quantity } } }";
    let day = |at: Timestamp| at.to_zoned(jiff::tz::TimeZone::get("Europe/Amsterdam").unwrap()).date().to_string();
    let days = json!({ "from": day(now - hours(24)), "to": day(now) });
    let series = acme.admin.run_with(query, days).await["data"]["billing"]["usageSeries"].clone();
    assert_eq!(series, json!([{ "day": day(now - hours(24)), "quantity": 40 }, { "day": day(now), "quantity": 60 }]));
    let wrong = acme.admin.run_with(query, json!({ "from": day(now), "to": day(now - hours(24)) })).await;
    assert_eq!(code(&wrong), "BAD_USER_INPUT");
    // Another tenant's event of the same name is separate.
    let globex = app.tenant("globex").await;
    put_on(&root, &globex, "gold").await;
    assert_eq!(record(&globex.admin, json!([event("a", "sms", 5, now)])).await, ["ACCEPTED"]);
    let many: Vec<Value> = (0..501).map(|at| event(&at.to_string(), "sms", 1, now)).collect();
    assert_eq!(
        code(&change(&acme.admin, "recordUsage", "results { status }", json!({ "events": many })).await),
        "INVALID"
    );
}

/// At once from two processes: one is accepted, the others are reported as duplicates.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_at_once_counts_once() {
    let app = TestApp::start().await;
    let second = TestApp::on(app.database.clone(), Options::default()).await;
    let (acme, root) = (app.tenant("acme").await, app.operator().await);
    let limits = json!([{ "meter": "sms", "limit": 1000 }, { "meter": "calls", "limit": 1000 }]);
    sell(&root, "gold", json!({ "currency": "EUR", "prices": [], "limits": limits, "features": [] })).await;
    put_on(&root, &acme, "gold").await;
    let now = app.clock.now();
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..16 {
        let admin = Person { app: if sender % 2 == 0 { app.clone() } else { second.clone() }, ..acme.admin.clone() };
        tasks.spawn(async move {
            // In different orders, so that waiting for each other's rows would deadlock.
            let mut events: Vec<Value> =
                (0..20).map(|at| event(&at.to_string(), if at % 2 == 0 { "sms" } else { "calls" }, 3, now)).collect();
            events.rotate_left(sender);
            record(&admin, json!(events)).await
        });
    }
    let all: Vec<String> = tasks.join_all().await.concat();
    assert_eq!(all.iter().filter(|it| *it == "ACCEPTED").count(), 20, "{all:?}");
    assert_eq!(all.iter().filter(|it| *it == "DUPLICATE").count(), 15 * 20);
    assert_eq!(
        app.truth("select meter, used from shared.usage_counters where meter in ('sms', 'calls') order by 1").await,
        ["calls | 30", "sms | 30"]
    );
}

/// Thirty-two clients exhaust a quota of a thousand: exactly that many succeed, and the count equals the rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_exact_under_a_crowd() {
    let app = TestApp::start_with(Options { connections: 12, ..Options::default() }).await;
    let (acme, root) = (app.tenant("acme").await, app.operator().await);
    let limits = json!([{ "meter": "sms", "limit": 1000 }]);
    sell(&root, "gold", json!({ "currency": "EUR", "prices": [], "limits": limits, "features": [] })).await;
    put_on(&root, &acme, "gold").await;
    let (now, acme) = (app.clock.now(), Arc::new(acme));
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..32 {
        let acme = acme.clone();
        tasks.spawn(async move {
            let mut told = BTreeMap::<String, usize>::new();
            for at in 0..9 {
                let batch: Vec<Value> =
                    (0..4).map(|nth| event(&format!("{client}-{at}-{nth}"), "sms", 1, now)).collect();
                for it in record(&acme.admin, json!(batch)).await {
                    *told.entry(it).or_default() += 1;
                }
            }
            told
        });
    }
    let mut told = BTreeMap::<String, usize>::new();
    for each in tasks.join_all().await {
        for (it, count) in each {
            *told.entry(it).or_default() += count;
        }
    }
    let expected =
        BTreeMap::from([("ACCEPTED".to_owned(), 1000), ("REJECTED QUOTA_EXCEEDED".to_owned(), 32 * 36 - 1000)]);
    assert_eq!(told, expected);
    assert_eq!(app.truth("select used from shared.usage_counters where meter = 'sms'").await, ["1000"]);
    assert_eq!(
        app.truth("select count(*), sum(quantity) from shared.usage_events where meter = 'sms'").await,
        ["1000 | 1000"]
    );
    assert_eq!(app.truth("select quantity, events from shared.usage_days where meter = 'sms'").await, ["1000 | 1000"]);
}

/// The same for bookings, which meter themselves: thirty-two clients, and room for a hundred in the plan.
#[tokio::test(flavor = "multi_thread")]
async fn bookings_meter_themselves_and_stop_at_the_quota() {
    let app = TestApp::start_with(Options { connections: 12, ..Options::default() }).await;
    app.by_hand(
        "alter table directory.plan_versions no force row level security;
         update directory.plan_versions set terms = terms #- '{limits,api_cost}';
         alter table directory.plan_versions force row level security",
    )
    .await;
    let acme = Arc::new(app.tenant_on_plan("acme", "free").await);
    let service = acme.admin.create_service(json!({ "name": "Hall", "capacity": 100 })).await;
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..32 {
        let (acme, service) = (acme.clone(), service.clone());
        tasks.spawn(async move {
            let mut codes = Vec::new();
            for at in 0..4 {
                let answer = acme.user.book(&service, acme.in_days(2 + (client + at) % 5)).await;
                codes.push(code(&answer).to_owned());
            }
            codes
        });
    }
    let codes = tasks.join_all().await.concat();
    assert_eq!(codes.iter().filter(|it| it.is_empty()).count(), 100, "{codes:?}");
    assert_eq!(codes.iter().filter(|it| *it == "QUOTA_EXCEEDED").count(), 28);
    assert_eq!(app.truth("select used from shared.usage_counters where meter = 'bookings'").await, ["100"]);
    let both = "select count(*), count(distinct b.metered_as) from shared.bookings b join shared.usage_events e
        on e.tenant_id = b.tenant_id and e.id = b.metered_as and e.meter = 'bookings'";
    assert_eq!(app.truth(both).await, ["100 | 100"]);
    assert_eq!(app.truth("select count(*) from shared.usage_events where meter = 'bookings'").await, ["100"]);
}

/// A booking can be neither unmetered nor metered twice: the database enforces it for every writer.
#[tokio::test(flavor = "multi_thread")]
async fn no_booking_is_unmetered_or_metered_twice() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.booking(3).await;
    acme.booking(4).await;
    let refused = async |sql: &str| {
        let error = acme.store("postgres").await.batch_execute(sql).await.unwrap_err();
        error.as_db_error().unwrap().constraint().unwrap_or_default().to_owned()
    };
    assert_eq!(refused("update bookings set metered_as = null").await, "bookings_metered");
    assert_eq!(refused("update bookings set metered_as = gen_random_uuid()").await, "bookings_metered_as_fkey");
    assert_eq!(
        refused("update bookings set metered_as = (select min(metered_as::text)::uuid from bookings)").await,
        "bookings_metered_once"
    );
    assert_eq!(refused("delete from usage_events where meter = 'bookings'").await, "bookings_metered_as_fkey");
    // A hold is metered when it is confirmed, and one that is not leaves nothing.
    let hold = "mutation($s: ID!, $at: DateTime!) { holdSlot(input: { serviceId: $s, startsAt: $at }) { booking { id } userErrors { code } } }";
    let held = acme.user.run_with(hold, json!({ "s": acme.service, "at": acme.in_days(8).to_string() })).await;
    let id = held["data"]["holdSlot"]["booking"]["id"].clone();
    let count = "select count(*) from shared.usage_events where meter = 'bookings'";
    assert_eq!(app.truth(count).await, ["2"]);
    let confirm = "mutation($id: ID!) { confirmHold(input: { id: $id }) { userErrors { code } } }";
    assert_eq!(code(&acme.user.run_with(confirm, json!({ "id": id })).await), "");
    assert_eq!(code(&acme.user.run_with(confirm, json!({ "id": id })).await), "INVALID_TRANSITION");
    assert_eq!(app.truth(count).await, ["3"]);
    // A document that fails later leaves neither.
    let both = "mutation($s: ID!, $at: DateTime!) { a: createBooking(input: { serviceId: $s, startsAt: $at }) { booking { id } }
        b: createBooking(input: { serviceId: $s, startsAt: $at }) { userErrors { code } } }";
    acme.user.run_with(both, json!({ "s": acme.service, "at": acme.in_days(9).to_string() })).await;
    assert_eq!(app.truth(count).await, ["4"]);
}

/// Users are a level, and what requests cost is recorded by each process.
#[tokio::test(flavor = "multi_thread")]
async fn users_and_requests_meter_themselves() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    assert_eq!(
        app.truth("select quantity from shared.usage_events where meter = 'users' order by quantity").await,
        ["1", "2", "3", "4"]
    );
    let deactivate = "mutation($id: ID!) { deactivateUser(input: { id: $id }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run_with(deactivate, json!({ "id": acme.other.id.to_string() })).await), "");
    assert_eq!(
        app.truth("select count(*) from shared.usage_events where meter = 'users' and quantity = 3").await,
        ["2"]
    );
    assert_eq!(app.truth("select max(quantity) from shared.usage_days where meter = 'users'").await, ["4"]);
    app.rates.costs.record(&app.gate, app.clock.now()).await;
    let spent = "select quantity > 0 from shared.usage_events where meter = 'api_cost'";
    assert_eq!(app.truth(spent).await, ["t"]);
    // Nothing new, nothing recorded.
    app.rates.costs.record(&app.gate, app.clock.now()).await;
    assert_eq!(app.truth(spent).await, ["t"]);
    acme.user.run("{ viewer { id } }").await;
    app.rates.costs.record(&app.gate, app.clock.now()).await;
    assert_eq!(app.truth(spent).await, ["t", "t"]);
}

/// Flat fees are due in advance, usage afterwards; billed usage is closed, and late events are on the next invoice.
#[tokio::test(flavor = "multi_thread")]
async fn invoices_say_what_was_agreed_and_used() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant_on_plan("acme", "free").await, app.operator().await);
    let prices = json!([
        flat("10.00"),
        { "name": "Texts", "interval": "MONTH", "meter": "sms", "model": "GRADUATED", "tiers": [
            { "upTo": 100, "unitAmount": "0" }, { "upTo": 1000, "unitAmount": "0.0155", "flatAmount": "1" }, { "unitAmount": "0.01" }] },
        { "name": "Calls", "interval": "MONTH", "meter": "calls", "model": "PACKAGE", "packageSize": 50, "amount": "2.50" },
        { "name": "Seats", "interval": "MONTH", "meter": "users", "model": "PER_UNIT", "amount": "1.00" },
    ]);
    sell(&root, "gold", terms(prices)).await;
    let tax = json!({ "tenantId": acme.id.to_string(), "rate": "21" });
    assert_eq!(code(&change(&root, "setTaxRate", "tenant { slug }", tax).await), "");
    put_on(&root, &acme, "gold").await;
    let begun = app.clock.now();
    let first = invoices(&acme.admin).await;
    assert_eq!(first.len(), 1, "the fee, in advance");
    assert_eq!(
        record(
            &acme.admin,
            json!([event("a", "sms", 1234, begun + SignedDuration::from_mins(1)), event("b", "calls", 51, begun)])
        )
        .await,
        ["ACCEPTED", "ACCEPTED"]
    );
    let next = acme.admin.run("{ billing { subscription { currentPeriodEnd } upcomingInvoice { fallsDueAt net { amount } lines { name net { amount } } } } }").await;
    let upcoming = &next["data"]["billing"]["upcomingInvoice"];
    assert_eq!(upcoming["fallsDueAt"], next["data"]["billing"]["subscription"]["currentPeriodEnd"]);
    let end: Timestamp = upcoming["fallsDueAt"].as_str().unwrap().parse().unwrap();
    go_to(&app, end - SignedDuration::from_secs(1));
    run(&acme).await;
    assert_eq!(invoices(&acme.admin).await.len(), 1, "not a second too early");
    go_to(&app, end);
    run(&acme).await;
    let all = invoices(&acme.admin).await;
    audit(&all);
    assert_eq!(all.len(), 2);
    let lines: BTreeMap<&str, &str> = all[1]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["net"]["amount"].as_str().unwrap()))
        .collect();
    // 900 * 0.0155 + 1 + 234 * 0.01 = 17.29; two packages; four people.
    let expected = BTreeMap::from([("Fee", "10.00"), ("Texts", "17.29"), ("Calls", "5.00"), ("Seats", "4.00")]);
    assert_eq!(lines, expected);
    assert_eq!(all[1]["net"]["amount"], upcoming["net"]["amount"], "as it was announced");
    assert_eq!((all[1]["net"]["amount"].as_str(), all[1]["tax"]["amount"].as_str()), (Some("36.29"), Some("7.62")));
    // Late events are on the next one, and the issued one is unchanged.
    assert_eq!(
        record(&acme.admin, json!([event("late", "sms", 500, begun + SignedDuration::from_mins(2))])).await,
        ["ACCEPTED"]
    );
    assert_eq!(invoices(&acme.admin).await, all);
    app.clock.advance(hours(24 * 32));
    run(&acme).await;
    let all = invoices(&acme.admin).await;
    audit(&all);
    let texts = all[2]["lines"].as_array().unwrap().iter().find(|it| it["name"] == "Texts").unwrap().clone();
    assert_eq!((texts["quantity"].clone(), texts["net"]["amount"].clone()), (json!(500), json!("7.20")));
    // An issued invoice cannot be changed, even with every grant.
    let client = acme.store("tenantry_app").await;
    client.batch_execute("begin").await.unwrap();
    client.query("select enter($1, null, 'WORKER', null, true)", &[&acme.id]).await.unwrap();
    for sql in [
        "update invoices set total_minor = 0 where true",
        "update invoice_lines set net_minor = 0 where true",
        "delete from invoice_lines where true",
        "delete from invoices where true",
        "update usage_events set quantity = 0 where true",
        "delete from usage_events where true",
        "update plan_terms set terms = '{}' where true",
    ] {
        client.batch_execute("savepoint s").await.unwrap();
        let error = client.execute(sql, &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE), "{sql}");
        client.batch_execute("rollback to savepoint s").await.unwrap();
    }
}

/// An immediate change credits the unused part and charges the rest; at the end of the period it waits; both state
/// their cost beforehand.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_plan_is_prorated_or_waits() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant_on_plan("acme", "free").await, app.operator().await);
    sell(&root, "small", terms(json!([flat("30.00")]))).await;
    sell(
        &root,
        "large",
        terms(json!([flat("90.00"), { "name": "Fee", "interval": "YEAR", "model": "FLAT", "amount": "900.00" }])),
    )
    .await;
    put_on(&root, &acme, "small").await;
    let ask = async |input: Value| {
        change(
            &acme.admin,
            "changePlan",
            "subscription { plan { key } nextPlan { key } interval } preview { total { amount } fallsDueAt }",
            input,
        )
        .await
    };
    // Nothing can be charged yet.
    assert_eq!(code(&ask(json!({ "plan": "large" })).await), "CHECKOUT_REQUIRED");
    assert_eq!(code(&ask(json!({ "plan": "small" })).await), "IN_USE");
    assert_eq!(code(&ask(json!({ "plan": "nothing" })).await), "NOT_FOUND");
    assert_eq!(code(&ask(json!({ "plan": "small", "interval": "YEAR" })).await), "INVALID");
    leave_card(&app, &acme, "good").await;
    let seen = acme.admin.run("{ billing { subscription { currentPeriodStart currentPeriodEnd } } }").await;
    let at =
        |name: &str| -> Timestamp { seen["data"]["billing"]["subscription"][name].as_str().unwrap().parse().unwrap() };
    let (start, end) = (at("currentPeriodStart"), at("currentPeriodEnd"));
    let half = start + SignedDuration::from_secs((end.as_second() - start.as_second()) / 2);
    go_to(&app, half);
    let dry = ask(json!({ "plan": "large", "dryRun": true })).await;
    assert_eq!(code(&dry), "", "{dry}");
    assert_eq!(dry["data"]["changePlan"]["subscription"], json!(null));
    let query = "{ billing { planChange(plan: \"large\") { total { amount } } } }";
    assert_eq!(
        acme.admin.run(query).await["data"]["billing"]["planChange"]["total"],
        dry["data"]["changePlan"]["preview"]["total"]
    );
    let done = ask(json!({ "plan": "large" })).await;
    assert_eq!(done["data"]["changePlan"]["subscription"]["plan"]["key"], "large", "{done}");
    assert_eq!(done["data"]["changePlan"]["preview"]["total"], dry["data"]["changePlan"]["preview"]["total"]);
    let all = invoices(&acme.admin).await;
    audit(&all);
    let last = all.last().unwrap();
    // Half of 90 less half of 30 (the free plan before took a moment of the first fee).
    assert_eq!(amount(&last["total"]).round_dp(0), Decimal::from(30), "{last:#}");
    assert_eq!(last["total"], dry["data"]["changePlan"]["preview"]["total"]);
    let kinds: Vec<&str> = last["lines"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["CREDIT", "FLAT"]);
    // Smaller, at once: nothing is due, and the rest is carried.
    app.clock.advance(SignedDuration::from_secs(1));
    let done = ask(json!({ "plan": "small" })).await;
    assert_eq!(done["data"]["changePlan"]["preview"]["total"]["amount"], "0.00", "{done}");
    let credit = acme.admin.run("{ billing { credit { amount } } }").await;
    assert_eq!(amount(&credit["data"]["billing"]["credit"]).round_dp(0), Decimal::from(30), "{credit}");
    audit(&invoices(&acme.admin).await);
    // At the end of the period, by the year; and taken back; and asked for again.
    let later = json!({ "plan": "large", "interval": "YEAR", "when": "PERIOD_END" });
    let done = ask(later.clone()).await;
    assert_eq!(done["data"]["changePlan"]["subscription"]["plan"]["key"], "small", "{done}");
    assert_eq!(done["data"]["changePlan"]["subscription"]["nextPlan"]["key"], "large");
    assert_eq!(
        done["data"]["changePlan"]["preview"]["fallsDueAt"].as_str().unwrap().parse::<Timestamp>().unwrap(),
        end
    );
    let keep = "mutation { keepSubscription { subscription { nextPlan { key } } userErrors { code } } }";
    assert_eq!(acme.admin.run(keep).await["data"]["keepSubscription"]["subscription"]["nextPlan"], json!(null));
    assert_eq!(code(&acme.admin.run(keep).await), "INVALID_TRANSITION");
    assert_eq!(code(&ask(later).await), "");
    go_to(&app, end + hours(1));
    run(&acme).await;
    let seen = acme
        .admin
        .run("{ billing { plan { key } subscription { interval currentPeriodStart currentPeriodEnd } } }")
        .await;
    let of = &seen["data"]["billing"];
    assert_eq!((&of["plan"]["key"], &of["subscription"]["interval"]), (&json!("large"), &json!("YEAR")));
    assert_eq!(of["subscription"]["currentPeriodStart"].as_str().unwrap().parse::<Timestamp>().unwrap(), end);
    let all = invoices(&acme.admin).await;
    audit(&all);
    let last = all.last().unwrap();
    assert_eq!(amount(&last["net"]), Decimal::from(900));
    assert_eq!(amount(&last["total"]).round_dp(0), Decimal::from(870), "less what was carried: {last:#}");
}

/// Saves a card at the in-process provider, as if somebody had visited its page.
pub(crate) async fn leave_card(app: &TestApp, tenant: &TestTenant, card: &str) {
    use tenantry::features::billing::payments::in_process::{Card, InProcess};
    let directory = format!(
        "insert into directory.payment_customers values ('in_process', 'inp_{0}', '{1}') on conflict do nothing",
        tenant.id, tenant.id.0
    );
    let store = format!(
        "insert into shared.billing_accounts (tenant_id, updated_at) values ('{1}', now()) on conflict do nothing;
         update shared.billing_accounts set provider = 'in_process', customer_ref = 'inp_{0}' where tenant_id = '{1}'",
        tenant.id, tenant.id.0
    );
    app.by_hand(&format!("{directory}; {store}")).await;
    let event = InProcess::card_changed(tenant.id, Card::parse(card).unwrap(), app.clock.now());
    app.billing.receive(&event, app.clock.now()).await.unwrap();
}

/// A trial is free and available once; then cycles are counted from its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_is_for_nothing_and_once() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant_on_plan("acme", "free").await, app.operator().await);
    let with_trial = |amount: &str| json!({ "currency": "EUR", "trialDays": 14, "prices": [flat(amount)], "limits": [], "features": [] });
    sell(&root, "gold", with_trial("10.00")).await;
    sell(&root, "silver", with_trial("5.00")).await;
    leave_card(&app, &acme, "good").await;
    let began = app.clock.now();
    let ask = async |plan: &str| {
        code(&change(&acme.admin, "changePlan", "subscription { status }", json!({ "plan": plan })).await).to_owned()
    };
    assert_eq!(ask("gold").await, "");
    let standing = async || {
        let query = "{ billing { subscription { status trialEndsAt currentPeriodStart } } }";
        acme.admin.run(query).await["data"]["billing"]["subscription"].clone()
    };
    assert_eq!(standing().await["status"], "TRIALING");
    run(&acme).await;
    assert_eq!(invoices(&acme.admin).await, Vec::<Value>::new());
    go_to(&app, began + hours(24 * 14));
    run(&acme).await;
    let now = standing().await;
    assert_eq!(now["status"], "ACTIVE");
    assert_eq!(now["currentPeriodStart"], now["trialEndsAt"]);
    let fees: Vec<Decimal> = invoices(&acme.admin).await.iter().map(|it| amount(&it["total"])).collect();
    assert_eq!(fees, [Decimal::from(10)]);
    // Not again, with another plan or after an end.
    assert_eq!(ask("silver").await, "");
    assert_eq!(standing().await["status"], "ACTIVE");
    audit(&invoices(&acme.admin).await);
}

/// Cancelled at the end of the period, or at once; the tenant then has the free plan, and can subscribe again.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_subscription_falls_back_to_the_free_plan() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant_on_plan("acme", "free").await, app.operator().await);
    let terms =
        json!({ "currency": "EUR", "prices": [flat("30.00")], "limits": [], "features": [{ "key": "branding" }] });
    sell(&root, "gold", terms).await;
    leave_card(&app, &acme, "good").await;
    let cancel = async |input: Value| {
        change(&acme.admin, "cancelSubscription", "subscription { status cancelAt currentPeriodEnd }", input).await
    };
    assert_eq!(code(&cancel(json!({})).await), "INVALID_TRANSITION", "the free plan has no end");
    let take = async || {
        code(&change(&acme.admin, "changePlan", "subscription { status }", json!({ "plan": "gold" })).await).to_owned()
    };
    assert_eq!(take().await, "");
    let branded =
        async || acme.user.run("{ tenant { on: feature(key: \"branding\") } }").await["data"]["tenant"]["on"].clone();
    assert_eq!(branded().await, json!(true));
    let cancelled = cancel(json!({})).await["data"]["cancelSubscription"]["subscription"].clone();
    assert_eq!((&cancelled["status"], &cancelled["cancelAt"]), (&json!("ACTIVE"), &cancelled["currentPeriodEnd"]));
    let end: Timestamp = cancelled["cancelAt"].as_str().unwrap().parse().unwrap();
    go_to(&app, end - SignedDuration::from_secs(1));
    run(&acme).await;
    assert_eq!(branded().await, json!(true));
    go_to(&app, end + hours(24 * 100));
    run(&acme).await;
    assert_eq!(branded().await, json!(false));
    let seen = acme
        .admin
        .run("{ billing { plan { key } subscription { status plan { key } } upcomingInvoice { net { amount } } } }")
        .await;
    let billing = json!({ "plan": { "key": "free" }, "subscription": { "status": "CANCELLED", "plan": { "key": "gold" } }, "upcomingInvoice": null });
    assert_eq!(seen["data"]["billing"], billing);
    let before = invoices(&acme.admin).await;
    assert_eq!(code(&cancel(json!({})).await), "INVALID_TRANSITION");
    // Again, from now on; and ended at once, with the rest as credit.
    assert_eq!(take().await, "");
    assert_eq!(invoices(&acme.admin).await.len(), before.len() + 1);
    app.clock.advance(SignedDuration::from_secs(1));
    let over = cancel(json!({ "when": "NOW" })).await;
    assert_eq!(over["data"]["cancelSubscription"]["subscription"]["status"], "CANCELLED", "{over}");
    let credit = acme.admin.run("{ billing { credit { amount } } }").await;
    assert_eq!(amount(&credit["data"]["billing"]["credit"]).round_dp(1), Decimal::from(30), "{credit}");
    audit(&invoices(&acme.admin).await);
}

/// While paused, nothing is charged and nothing can be changed; reading and leaving still work.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_tenant_reads_and_does_not_write() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant("acme").await, app.operator().await);
    let booking = acme.booking(3).await;
    let pause = async |paused: bool| {
        code(
            &change(
                &root,
                "pauseSubscription",
                "tenant { slug }",
                json!({ "tenantId": acme.id.to_string(), "paused": paused }),
            )
            .await,
        )
        .to_owned()
    };
    assert_eq!(pause(false).await, "INVALID_TRANSITION");
    assert_eq!(pause(true).await, "");
    assert_eq!(pause(true).await, "INVALID_TRANSITION");
    for person in [&acme.user, &acme.staff, &acme.admin] {
        assert_eq!(code(&person.book(&acme.service, acme.in_days(4)).await), "FORBIDDEN");
        assert_eq!(code(&person.run("{ bookings { nodes { id } } }").await), "");
    }
    assert_eq!(app.truth("select count(*) from shared.bookings").await, ["1"], "nothing of it was kept");
    assert_eq!(
        code(&acme.user.run_with("query($id: ID!) { booking(id: $id) { status } }", json!({ "id": booking })).await),
        ""
    );
    let seen = acme.admin.run("{ billing { isRestricted subscription { status } } }").await;
    assert_eq!(seen["data"]["billing"], json!({ "isRestricted": true, "subscription": { "status": "PAUSED" } }));
    // A user's own actions still work: changing the billing profile, and leaving.
    assert_eq!(
        code(
            &change(&acme.admin, "updateBillingProfile", "profile { email }", json!({ "email": "bills@acme.test" }))
                .await
        ),
        ""
    );
    assert_eq!(code(&acme.other.run("mutation { logout { ok: userErrors { code } } }").await), "");
    let (count, day) = (invoices(&acme.admin).await.len(), hours(24));
    app.clock.advance(day * 70);
    run(&acme).await;
    assert_eq!(invoices(&acme.admin).await.len(), count, "two months of nothing");
    assert_eq!(pause(false).await, "");
    assert_eq!(code(&acme.user.book(&acme.service, acme.in_days(4)).await), "");
    let all = invoices(&acme.admin).await;
    assert_eq!(all.len(), count + 1, "what is left of the month");
    audit(&all);
}

/// After a gap of months, many runs at once from two processes: each period has its invoice, once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn issuing_is_safe_after_a_standstill_twice_and_at_once() {
    let app = TestApp::start().await;
    let second = TestApp::on(app.database.clone(), Options::default()).await;
    let acme = app.tenant("acme").await;
    app.clock.advance(hours(24 * 100));
    let now = app.clock.now();
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..8 {
        let (billing, id) = (if at % 2 == 0 { &app } else { &second }.billing.clone(), acme.id);
        tasks.spawn(async move { billing.run(id, now).await });
    }
    for done in tasks.join_all().await {
        // Two runs that both found no subscription: one created it, and the other must retry.
        assert!(done.is_ok() || format!("{done:?}").contains("Contention"), "{done:?}");
    }
    run(&acme).await;
    let all = invoices(&acme.admin).await;
    audit(&all);
    assert_eq!(all.len(), 4, "{all:#?}");
    assert!(all.iter().all(|it| amount(&it["total"]) == Decimal::from(99)));
    let due: Vec<&str> = all.iter().map(|it| it["fallsDueAt"].as_str().unwrap()).collect();
    assert!(due.is_sorted());
    run(&acme).await;
    assert_eq!(invoices(&acme.admin).await, all);
}

/// Refunds, write-offs, credits and external payments by the platform.
#[tokio::test(flavor = "multi_thread")]
async fn invoices_are_settled_by_the_platform() {
    let app = TestApp::start().await;
    let (acme, globex, root) = (app.tenant("acme").await, app.tenant("globex").await, app.operator().await);
    app.clock.advance(hours(24 * 100));
    run(&acme).await;
    run(&globex).await;
    let all = invoices(&acme.admin).await;
    let named = |at: usize| json!({ "tenantId": acme.id.to_string(), "invoiceId": all[at]["id"] });
    let with = |at: usize, more: Value| {
        let mut input = named(at);
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let eur = |amount: &str| json!({ "amount": { "amount": amount, "currency": "EUR" } });
    // The other tenant has no such invoice.
    let crossed = json!({ "tenantId": globex.id.to_string(), "invoiceId": all[0]["id"] });
    assert_eq!(code(&change(&root, "voidInvoice", "invoice { status }", crossed).await), "NOT_FOUND");
    assert_eq!(code(&change(&root, "voidInvoice", "invoice { status }", named(0)).await), "");
    assert_eq!(code(&change(&root, "voidInvoice", "invoice { status }", named(0)).await), "INVALID_TRANSITION");
    assert_eq!(
        code(&change(&root, "voidInvoice", "invoice { status }", with(1, json!({ "asUncollectible": true }))).await),
        ""
    );
    // Paid outside, twice by the same reference: once.
    let mut paid = with(2, eur("99.00"));
    paid["reference"] = json!("transfer 7");
    for _ in 0..2 {
        let answer = change(&root, "recordInvoicePayment", "invoice { status owed { amount } }", paid.clone()).await;
        assert_eq!(answer["data"]["recordInvoicePayment"]["invoice"]["status"], "PAID", "{answer}");
    }
    assert_eq!(acme.truth("select count(*), sum(amount_minor) from shared.payments").await, ["1 | 9900"]);
    // Credited: deducted from the debt of an open one, and for a paid one from the next.
    let credit = async |at: usize, amount: &str| {
        let mut input = with(at, eur(amount));
        input["reason"] = json!("It was down for a day");
        change(&root, "creditInvoice", "creditNote { number amount { amount } tax { amount } }", input).await
    };
    assert_eq!(code(&credit(3, "99.01").await), "INVALID");
    assert_eq!(code(&credit(3, "0.00").await), "INVALID");
    assert_eq!(code(&credit(0, "1.00").await), "INVALID_TRANSITION");
    assert_eq!(credit(3, "9.00").await["data"]["creditInvoice"]["creditNote"]["number"], "CRN-000001");
    assert_eq!(credit(2, "5.00").await["data"]["creditInvoice"]["creditNote"]["number"], "CRN-000002");
    let seen = invoices(&acme.admin).await;
    let standing: Vec<(&str, &str)> =
        seen.iter().map(|it| (it["status"].as_str().unwrap(), it["owed"]["amount"].as_str().unwrap())).collect();
    assert_eq!(standing, [("VOID", "0.00"), ("UNCOLLECTIBLE", "99.00"), ("PAID", "0.00"), ("OPEN", "90.00")]);
    assert_eq!(
        acme.admin.run("{ billing { credit { amount } } }").await["data"]["billing"]["credit"]["amount"],
        "5.00"
    );
    app.clock.advance(hours(24 * 31));
    run(&acme).await;
    let next = invoices(&acme.admin).await.pop().unwrap();
    assert_eq!((next["net"]["amount"].as_str(), next["total"]["amount"].as_str()), (Some("99.00"), Some("94.00")));
    assert_eq!(
        acme.admin.run("{ billing { credit { amount } } }").await["data"]["billing"]["credit"]["amount"],
        "0.00"
    );
    let wrong = json!({ "tenantId": acme.id.to_string(), "invoiceId": all[3]["id"], "amount": { "amount": "1", "currency": "USD" }, "reason": "x" });
    assert_eq!(code(&change(&root, "creditInvoice", "creditNote { number }", wrong).await), "BAD_USER_INPUT");
    audit(&invoices(&acme.admin).await);
}

/// The file of an invoice, by an address that is valid for a while and needs no other proof.
#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_a_file_for_whoever_has_its_address() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let profile = json!({ "legalName": "Łódź & Σίσυφος B.V.", "address": "Herengracht 1\n1015 BA Amsterdam", "taxId": "NL001234567B01" });
    assert_eq!(code(&change(&acme.admin, "updateBillingProfile", "profile { legalName }", profile).await), "");
    assert_eq!(
        code(&change(&acme.admin, "updateBillingProfile", "profile { email }", json!({ "email": "nonsense" })).await),
        "INVALID"
    );
    let brand = "mutation { updateTenant(input: { branding: { primaryColor: \"#aa3300\" } }) { userErrors { code } } }";
    assert_eq!(code(&acme.admin.run(brand).await), "");
    run(&acme).await;
    let answer = acme.admin.run("{ billing { invoices { nodes { pdfPath } } } }").await;
    let path = answer["data"]["billing"]["invoices"]["nodes"][0]["pdfPath"].as_str().unwrap().to_owned();
    let get = async |path: &str| app.send(Request::get(path).body(Body::empty()).unwrap()).await;
    let (response, file) = get(&path).await;
    assert_eq!(
        (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()),
        (200, "application/pdf")
    );
    assert!(file.starts_with(b"%PDF-"), "{:?}", &file[..20]);
    let text = lopdf::Document::load_mem(&file).unwrap().extract_text(&[1]).unwrap().replace('\n', " ");
    for part in ["INV-000001", "Łódź", "Σίσυφος", "Herengracht 1", "NL001234567B01", "99.00", "Total EUR", "Tenantry"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // Not for long, not for a guessed address, and not from another deployment.
    for bad in [
        path.replace(".pdf", ""),
        path.replace("/invoices/", "/invoices/x"),
        path.replace(".pdf", "x.pdf"),
        "/invoices/a.b.pdf".into(),
    ] {
        assert_eq!(get(&bad).await.0.status(), 404, "{bad}");
    }
    let old = format!("invoice {} {} 1000", acme.id, tenantry::base::ids::InvoiceId(uuid::Uuid::now_v7()));
    assert_eq!(get(&format!("/invoices/{}.pdf", app.tokens.seal(&old))).await.0.status(), 404);
    // Signed for one invoice of one tenant: the other tenant has none with that id.
    let globex = app.tenant("globex").await;
    let id = app.truth("select id from shared.invoices").await[0].parse().unwrap();
    let crossed = format!("invoice {} {} 99999999999", globex.id, tenantry::base::ids::InvoiceId(id));
    assert_eq!(get(&format!("/invoices/{}.pdf", app.tokens.seal(&crossed))).await.0.status(), 404);
}

/// Tenants that existed before billing are billed from then on, and not for their past.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_billed_for_the_time_before() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let came = app.clock.now() - hours(24);
    app.by_hand(&format!(
        "update shared.tenant_state set created_at = now() - interval '3 years'; insert into shared.usage_closings select tenant_id, '{came}' from shared.tenant_state"
    ))
    .await;
    run(&acme).await;
    let all = invoices(&acme.admin).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["fallsDueAt"].as_str().unwrap().parse::<Timestamp>().unwrap(), came);
}

/// A plan's limit of resources is the plan's, and exact.
#[tokio::test(flavor = "multi_thread")]
async fn resources_have_a_limit_too() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant("acme").await, app.operator().await);
    sell(
        &root,
        "tiny",
        json!({ "currency": "EUR", "prices": [], "limits": [{ "meter": "resources", "limit": 2 }], "features": [] }),
    )
    .await;
    put_on(&root, &acme, "tiny").await;
    let create = "mutation($n: String!) { createResource(input: { kind: ROOM, name: $n }) { resource { id } userErrors { code } } }";
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..6 {
        let admin = acme.admin.clone();
        tasks.spawn(async move { code(&admin.run_with(create, json!({ "n": format!("R{at}") })).await).to_owned() });
    }
    let codes = tasks.join_all().await;
    assert_eq!(codes.iter().filter(|it| it.is_empty()).count(), 2, "{codes:?}");
    assert_eq!(codes.iter().filter(|it| *it == "QUOTA_EXCEEDED").count(), 4);
}

/// Every change of what a tenant pays is in its own log, with the person who made it.
#[tokio::test(flavor = "multi_thread")]
async fn billing_leaves_events() {
    let app = TestApp::start().await;
    let (acme, root) = (app.tenant_on_plan("acme", "free").await, app.operator().await);
    let gold = json!({ "currency": "EUR", "prices": [flat("30.00")], "limits": [{ "meter": "sms", "limit": 9 }], "features": [] });
    sell(&root, "gold", gold).await;
    leave_card(&app, &acme, "good").await;
    let pages = json!({ "plan": "team", "successUrl": "https://a.test", "cancelUrl": "https://a.test" });
    let of = |more: Value| {
        let mut input = json!({ "tenantId": acme.id.to_string() });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let done = async |person: &Person, field: &str, selection: &str, input: Value| {
        app.clock.advance(SignedDuration::from_secs(1));
        let answer = change(person, field, selection, input).await;
        assert_eq!(code(&answer), "", "{field}: {answer}");
    };
    done(&acme.admin, "createCheckoutSession", "checkoutSession { id }", pages).await;
    done(&acme.admin, "createBillingPortalSession", "url", json!({ "returnUrl": "https://a.test" })).await;
    done(&acme.admin, "changePlan", "preview { total { amount } }", json!({ "plan": "gold" })).await;
    done(&acme.admin, "cancelSubscription", "subscription { status }", json!({})).await;
    assert_eq!(code(&acme.admin.run("mutation { keepSubscription { userErrors { code } } }").await), "");
    done(&acme.admin, "updateBillingProfile", "profile { email }", json!({ "email": "a@b.test" })).await;
    done(
        &acme.admin,
        "recordUsage",
        "results { status }",
        json!({ "events": [event("a", "sms", 1, app.clock.now())] }),
    )
    .await;
    let invoice = invoices(&acme.admin).await[0]["id"].clone();
    done(&root, "setTaxRate", "tenant { slug }", of(json!({ "rate": "8.875", "name": "Sales tax" }))).await;
    let one = json!({ "amount": "1.00", "currency": "EUR" });
    done(
        &root,
        "creditInvoice",
        "creditNote { number }",
        of(json!({ "invoiceId": invoice, "amount": one, "reason": "sorry" })),
    )
    .await;
    done(
        &root,
        "recordInvoicePayment",
        "invoice { status }",
        of(json!({ "invoiceId": invoice, "amount": one, "reference": "bank" })),
    )
    .await;
    done(&root, "voidInvoice", "invoice { status }", of(json!({ "invoiceId": invoice, "asUncollectible": true })))
        .await;
    done(&root, "pauseSubscription", "tenant { slug }", of(json!({ "paused": true }))).await;
    done(&root, "pauseSubscription", "tenant { slug }", of(json!({ "paused": false }))).await;
    let told = app
        .truth("select action, actor_id from shared.audit_events where action ~ '^(billing|usage)' order by seq")
        .await;
    let actions: Vec<&str> = told.iter().map(|it| it.split(" | ").next().unwrap()).collect();
    let expected = [
        "billing.checkout",
        "billing.portal",
        "billing.change_plan",
        "billing.cancel",
        "billing.keep_plan",
        "billing.update_profile",
        "usage.record",
        "billing.set_tax",
        "billing.credit_invoice",
        "billing.record_payment",
        "billing.settle_invoice",
        "billing.pause",
        "billing.resume",
    ];
    assert_eq!(actions, expected);
    assert!(told[..7].iter().all(|it| it.ends_with(&acme.admin.id.0.to_string())), "{told:?}");
    // The platform's own log has what concerns no tenant.
    done(&root, "rollOutFeature", "rollouts { key }", json!({ "key": "x", "percentage": 1 })).await;
    done(&root, "updatePlan", "plan", json!({ "plan": "gold", "name": "Pure gold" })).await;
    let told = app
        .truth("select distinct action from directory.platform_events where action ~ '^(plans|features)' order by 1")
        .await;
    assert_eq!(told, ["features.roll_out", "plans.create", "plans.draft", "plans.publish", "plans.update"]);
    let verified = acme.admin.run("{ verifyAuditChain { intact } }").await;
    assert_eq!(verified["data"]["verifyAuditChain"]["intact"], true, "{verified}");
}
