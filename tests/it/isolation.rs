//! No tenant can read, change, reference or detect another's data.
//!
//! Each wall is proved with the other taken away: the policies in `policy_matrix.rs`, by SQL without filters; the filters
//! here, by the whole API on a role that bypasses row-level security. Then both together.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry::db::{StoreSettings, roles};

use crate::support::{Options, Person, TestApp, TestTenant, code, scrubbed};

/// Both walls, and wall 1 alone: a role that PostgreSQL's policies do not bind.
pub(crate) async fn with_and_without_policies() -> [TestApp; 2] {
    let stores = StoreSettings { checks_role: false, ..StoreSettings::default() };
    let bypassing = Options { role: roles::PLATFORM, stores, ..Options::default() };
    [TestApp::start().await, TestApp::start_with(bypassing).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_invisible_and_untouchable_from_another_tenant() {
    for app in with_and_without_policies().await {
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        let booking = acme.booking(3).await;
        let intruder = &globex.admin; // the strongest role over there
        let query = "query($id: ID!) { booking(id: $id) { id } node(id: $id) { id } nodes(ids: [$id]) { id } }";
        let seen = intruder.run_with(query, json!({ "id": booking })).await;
        assert_eq!(seen["data"], json!({ "booking": null, "node": null, "nodes": [null] }));
        let cancel = "mutation($id: ID!) { cancelBooking(input: { id: $id }) { booking { id } userErrors { code } } }";
        assert_eq!(code(&intruder.run_with(cancel, json!({ "id": booking })).await), "NOT_FOUND"); // existence is a secret
        assert_eq!(code(&intruder.book(&acme.service, acme.in_days(5)).await), "NOT_FOUND");
        let own = acme.user.run_with(query, json!({ "id": booking })).await;
        assert_eq!(own["data"]["booking"]["id"], json!(booking)); // it was isolation, not an empty table
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_hold_the_own_tenant_only() {
    let ids = regex::Regex::new("_[0-9a-z]{26}").unwrap();
    for app in with_and_without_policies().await {
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        acme.booking(3).await;
        globex.booking(3).await;
        for (tenant, other) in [(&acme, "globex"), (&globex, "acme")] {
            let all = "{ viewer { email tenant { slug } bookings { nodes { id } } } tenant { id slug }
                users(first: 100) { nodes { email bookings { nodes { customer { email } } } } }
                services(first: 100) { nodes { id name } }
                bookings(first: 100) { nodes { id customer { email } service { id } history { actor { email } } } }
                billing { usage { meter used } }
                invitations(first: 100) { nodes { email invitedBy { email } } }
                auditEvents(first: 100) { nodes { action objectId actor { email } changes { field before after } } } }";
            let answer = tenant.admin.run(all).await;
            assert_eq!(code(&answer), "", "{answer}");
            // Without ids, which may spell "acme" by chance.
            let text = ids.replace_all(&answer.to_string(), "_").into_owned();
            assert!(!text.contains(other) && text.contains("@"), "{answer}");
            assert_eq!(answer["data"]["users"]["nodes"].as_array().unwrap().len(), 4);
            assert_eq!(answer["data"]["services"]["nodes"].as_array().unwrap().len(), 1);
            assert_eq!(answer["data"]["bookings"]["nodes"].as_array().unwrap().len(), 1);
            assert_eq!(answer["data"]["billing"]["usage"][0], json!({ "meter": "bookings", "used": 1 }));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_slots_are_no_oracle_for_another() {
    for app in with_and_without_policies().await {
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        acme.booking(3).await;
        // The same time, the same email local parts, the same names: nothing collides.
        assert_eq!(code(&globex.user.book(&globex.service, globex.in_days(3)).await), "");
        globex.admin.create_service(json!({ "name": "Only once" })).await;
        acme.admin.create_service(json!({ "name": "Only once" })).await;
    }
}

/// A customer sees and changes only their own bookings within their tenant. A row that the policies hide from an update
/// is `NOT_FOUND` (docs/decisions/0014).
#[tokio::test(flavor = "multi_thread")]
async fn customers_are_kept_apart_too() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let booking = acme.booking(3).await;
    let query = "query($id: ID!) { booking(id: $id) { id } bookings { nodes { id } } }";
    let seen = acme.other.run_with(query, json!({ "id": booking })).await;
    assert_eq!(seen["data"], json!({ "booking": null, "bookings": { "nodes": [] } }));
    let cancel = "mutation($id: ID!) { cancelBooking(input: { id: $id }) { userErrors { code } } }";
    assert_eq!(code(&acme.other.run_with(cancel, json!({ "id": booking })).await), "NOT_FOUND");
    let user = json!({ "id": acme.user.id.to_string() });
    let node = acme.other.run_with("query($id: ID!) { node(id: $id) { id } }", user.clone()).await;
    assert_eq!(node["data"]["node"], Value::Null);
    let rename = "mutation($id: ID!) { updateUser(input: { id: $id, name: \"X\" }) { userErrors { code } } }";
    assert_eq!(code(&acme.other.run_with(rename, user).await), "NOT_FOUND");
    assert_eq!(code(&acme.other.run("{ users { nodes { id } } }").await), "FORBIDDEN");
    assert_eq!(code(&acme.staff.run("{ billing { usage { used } } }").await), "FORBIDDEN");
    assert_eq!(acme.staff.run_with(query, json!({ "id": booking })).await["data"]["booking"]["id"], json!(booking));
}

/// For every id argument of the schema, found by introspection: another tenant's id and a random id give the same bytes,
/// and the owner's rows are as they were.
#[tokio::test(flavor = "multi_thread")]
async fn every_id_argument_treats_a_foreign_id_as_a_random_one() {
    for app in with_and_without_policies().await {
        // Doing all of it in a minute costs more than a plan allows.
        app.by_hand(
            "alter table directory.plan_versions no force row level security;
             update directory.plan_versions set terms = terms #- '{limits,api_cost}';
             alter table directory.plan_versions force row level security",
        )
        .await;
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        acme.admin.book(&acme.service, acme.in_days(5)).await;
        let foreign = ids(&globex).await;
        let own = ids(&acme).await;
        // One that holds the resource.
        assert_eq!(code(&acme.admin.book(&own["svc"], acme.in_days(6)).await), "");
        let mut arguments = id_arguments(&acme.admin).await;
        let names: Vec<String> = arguments.iter().map(Argument::name).collect();
        // These take a socket: `sockets::events_are_for_those_who_may_read_them` has them all.
        arguments.retain(|it| it.parent != "Subscription");
        let watched = ["Subscription.bookingChanged(serviceId)", "Subscription.bookingChanged(customerId)"];
        assert_eq!(
            names.iter().filter(|it| it.starts_with("Subscription.")).collect::<Vec<_>>(),
            watched.iter().collect::<Vec<_>>()
        );
        for expected in [
            "Query.node(id)",
            "Query.bookings(filter.customerId)",
            "Mutation.createBooking(input.serviceId)",
            "User.bookings(filter.serviceId)",
        ] {
            assert!(names.iter().any(|it| it == expected), "{expected} is not among {names:#?}");
        }
        let before = app.truth(EVERYTHING_OF_GLOBEX.replace("$1", &globex.id.0.to_string()).as_str()).await;
        assert!(before.len() > 10);
        for argument in &arguments {
            for (prefix, foreign_id) in &foreign {
                let random_id = random(prefix);
                for person in [&acme.admin, &acme.user] {
                    let stranger = argument.run(person, foreign_id, &own).await;
                    let nobody = argument.run(person, &random_id, &own).await;
                    // A message may quote the id back.
                    let (stranger, nobody) = (
                        scrubbed(&stranger).replace(foreign_id.as_str(), "[id]"),
                        scrubbed(&nobody).replace(random_id.as_str(), "[id]"),
                    );
                    if argument.is_of_platform() {
                        assert!(stranger.contains("FORBIDDEN"), "{}: {stranger}", argument.name());
                    }
                    assert_eq!(stranger, nobody, "{} tells {prefix} of another tenant from none", argument.name());
                    assert!(
                        !stranger.contains("INTERNAL") && !stranger.contains("GRAPHQL_"),
                        "{}: {stranger}",
                        argument.name()
                    );
                }
            }
        }
        let after = app.truth(EVERYTHING_OF_GLOBEX.replace("$1", &globex.id.0.to_string()).as_str()).await;
        assert_eq!(before, after);
        // An own id makes a difference everywhere, so it was the id that was refused.
        let mut sorted: Vec<&Argument> = arguments.iter().filter(|it| !it.is_of_platform()).collect();
        // Mutations that remove things the others need come after them, and the one that erases the user last.
        let takes_away = |name: &str| {
            let some = ["deactivateUser", "reactivateUser", "deleteService", "deleteResource", "deleteWebhookEndpoint"];
            if name.contains("deleteUser") { 2 } else { i32::from(some.iter().any(|it| name.contains(it))) }
        };
        sorted.sort_by_key(|it| (takes_away(&it.name()), it.name()));
        // (No one else's booking counts as one's own.)
        for argument in sorted.into_iter().filter(|it| it.name() != "User.bookings(filter.customerId)") {
            let mut answers = std::collections::HashSet::new();
            for (prefix, own_id) in &own {
                let random_id = random(prefix);
                let known = scrubbed(&argument.run(&acme.admin, own_id, &own).await).replace(own_id.as_str(), "[id]");
                let nobody =
                    scrubbed(&argument.run(&acme.admin, &random_id, &own).await).replace(random_id.as_str(), "[id]");
                answers.insert(known != nobody);
            }
            assert!(answers.contains(&true), "{} does not care for its id", argument.name());
        }
    }
}

const EVERYTHING_OF_GLOBEX: &str = "
    select * from (
    select 'tenant' as kind, to_jsonb(t)::text as row from shared.tenant_state t where tenant_id = '$1' union all
    select 'user', to_jsonb(t)::text from shared.users t where tenant_id = '$1' union all
    select 'session', to_jsonb(t)::text from shared.sessions t where tenant_id = '$1' union all
    select 'service', to_jsonb(t)::text from shared.services t where tenant_id = '$1' union all
    select 'booking', to_jsonb(t)::text from shared.bookings t where tenant_id = '$1' union all
    select 'claim', to_jsonb(t)::text from shared.booking_claims t where tenant_id = '$1' union all
    select 'resource', to_jsonb(t)::text from shared.resources t where tenant_id = '$1' union all
    select 'link', to_jsonb(t)::text from shared.service_resources t where tenant_id = '$1' union all
    select 'schedule', to_jsonb(t)::text from shared.opening_schedules t where tenant_id = '$1' union all
    select 'override', to_jsonb(t)::text from shared.opening_overrides t where tenant_id = '$1' union all
    select 'holiday', to_jsonb(t)::text from shared.holidays t where tenant_id = '$1' union all
    select 'preference', to_jsonb(t)::text from shared.mail_preferences t where tenant_id = '$1' union all
    select 'notice', to_jsonb(t)::text from shared.booking_notices t where tenant_id = '$1' union all
    select 'endpoint', to_jsonb(t)::text from shared.webhook_endpoints t where tenant_id = '$1' union all
    select 'secret', to_jsonb(t)::text from shared.webhook_secrets t where tenant_id = '$1' union all
    select 'delivery', to_jsonb(t)::text from shared.webhook_deliveries t where tenant_id = '$1' union all
    select 'waitlist', to_jsonb(t)::text from shared.waitlist_entries t where tenant_id = '$1' union all
    select 'feed', to_jsonb(t)::text from shared.calendar_feeds t where tenant_id = '$1' union all
    select 'series', to_jsonb(t)::text from shared.booking_series t where tenant_id = '$1' union all
    select 'occurrence', to_jsonb(t)::text from shared.occurrences t where tenant_id = '$1' union all
    select 'transition', to_jsonb(t)::text from shared.booking_transitions t where tenant_id = '$1' union all
    select 'invitation', to_jsonb(t)::text from shared.invitations t where tenant_id = '$1' union all
    select 'settings', to_jsonb(t)::text from shared.tenant_settings t where tenant_id = '$1' union all
    select 'outbox', to_jsonb(t)::text from shared.outbox t where tenant_id = '$1' union all
    select 'subscription', to_jsonb(t)::text from shared.subscriptions t where tenant_id = '$1' union all
    select 'period', to_jsonb(t)::text from shared.subscription_periods t where tenant_id = '$1' union all
    select 'invoice', to_jsonb(t)::text from shared.invoices t where tenant_id = '$1' union all
    select 'line', to_jsonb(t)::text from shared.invoice_lines t where tenant_id = '$1' union all
    select 'account', to_jsonb(t)::text from shared.billing_accounts t where tenant_id = '$1' union all
    select 'profile', to_jsonb(t)::text from shared.billing_profiles t where tenant_id = '$1' union all
    select 'event', to_jsonb(t)::text from shared.usage_events t where tenant_id = '$1' union all
    select 'day', to_jsonb(t)::text from shared.usage_days t where tenant_id = '$1' union all
    select 'payment', to_jsonb(t)::text from shared.payments t where tenant_id = '$1' union all
    select 'checkout', to_jsonb(t)::text from shared.checkout_sessions t where tenant_id = '$1' union all
    select 'usage', to_jsonb(t)::text from shared.usage_counters t where tenant_id = '$1' union all
    select 'audit', to_jsonb(t)::text from shared.audit_events t where tenant_id = '$1') everything order by 1, 2";

type Ids = BTreeMap<&'static str, String>;

async fn ids(tenant: &TestTenant) -> Ids {
    // A second session of the strongest role, which sends the requests.
    let session = tenant.app.sign_in.trusted_session(tenant.id, &tenant.admin.email).await.unwrap().session.to_string();
    let somebody = tenant.admin.create_resource("STAFF", "Somebody").await;
    let service = tenant.admin.create_service(json!({ "name": "By somebody" })).await;
    assert_eq!(code(&tenant.admin.link(&service, &[(&somebody, 0)]).await), "");
    let series = tenant
        .user
        .run_with(
            "mutation($s: ID!, $day: Date!) {
                createBookingSeries(input: { serviceId: $s, frequency: WEEKLY, firstDay: $day, time: \"10:00\", count: 3 }) {
                    series { id bookings { id startsAt } } } }",
            json!({ "s": tenant.service, "day": tenant.in_days(20).to_zoned(jiff::tz::TimeZone::UTC).date().to_string() }),
        )
        .await;
    let series = &series["data"]["createBookingSeries"]["series"];
    let waits = tenant
        .staff
        .run_with(
            "mutation($s: ID!, $at: DateTime!) { joinWaitlist(input: { serviceId: $s, startsAt: $at }) { entry { id } } }",
            json!({ "s": tenant.service, "at": series["bookings"][1]["startsAt"] }),
        )
        .await;
    let waits = waits["data"]["joinWaitlist"]["entry"]["id"].as_str().unwrap_or_else(|| panic!("{waits}")).to_owned();
    let endpoint = tenant
        .admin
        .run("mutation { createWebhookEndpoint(input: { url: \"http://127.0.0.1:9/\" }) { endpoint { id } } }")
        .await;
    let endpoint = endpoint["data"]["createWebhookEndpoint"]["endpoint"]["id"].as_str().unwrap().to_owned();
    let delivery = tenantry::base::ids::WebhookDeliveryId(uuid::Uuid::now_v7());
    let of_endpoint = endpoint.parse::<tenantry::base::ids::WebhookEndpointId>().unwrap();
    tenant
        .app
        .by_hand(&format!(
            "insert into shared.webhook_deliveries (tenant_id, id, endpoint_id, event, body, created_at)
             values ('{}', '{}', '{}', 'booking.confirmed', '{{}}', now())",
            tenant.id.0, delivery.0, of_endpoint.0
        ))
        .await;
    tenant.app.billing.run(tenant.id, tenant.app.clock.now()).await.unwrap();
    let invoice = tenant.admin.run("{ billing { invoices { nodes { id } } } }").await;
    let invoice =
        invoice["data"]["billing"]["invoices"]["nodes"][0]["id"].as_str().unwrap_or_else(|| panic!("{invoice}"));
    BTreeMap::from([
        ("ivc", invoice.to_owned()),
        ("whe", endpoint),
        ("whd", delivery.to_string()),
        ("wle", waits),
        ("ser", series["id"].as_str().unwrap_or_else(|| panic!("{series}")).to_owned()),
        ("tnt", tenant.id.to_string()),
        ("usr", tenant.user.id.to_string()),
        ("svc", service),
        ("res", somebody),
        ("bkg", series["bookings"][0]["id"].as_str().unwrap().to_owned()),
        ("ses", session),
        ("inv", invite(&tenant.admin, "invited@example.test").await),
    ])
}

async fn invite(admin: &Person, email: &str) -> String {
    let query = "mutation($email: String!) { inviteUser(input: { email: $email, role: STAFF }) { invitation { id } } }";
    let answer = admin.run_with(query, json!({ "email": email })).await;
    answer["data"]["inviteUser"]["invitation"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn random(prefix: &str) -> String {
    let uuid = uuid::Uuid::now_v7();
    match prefix {
        "tnt" => tenantry::base::ids::TenantId(uuid).to_string(),
        "usr" => tenantry::base::ids::UserId(uuid).to_string(),
        "svc" => tenantry::base::ids::ServiceId(uuid).to_string(),
        "res" => tenantry::base::ids::ResourceId(uuid).to_string(),
        "ses" => tenantry::base::ids::SessionId(uuid).to_string(),
        "whe" => tenantry::base::ids::WebhookEndpointId(uuid).to_string(),
        "whd" => tenantry::base::ids::WebhookDeliveryId(uuid).to_string(),
        "wle" => tenantry::base::ids::WaitlistEntryId(uuid).to_string(),
        "ser" => tenantry::base::ids::SeriesId(uuid).to_string(),
        "inv" => tenantry::base::ids::InvitationId(uuid).to_string(),
        "ivc" => tenantry::base::ids::InvoiceId(uuid).to_string(),
        _ => tenantry::base::ids::BookingId(uuid).to_string(),
    }
}

/// One place in the schema that takes an id.
struct Argument {
    /// The field's parent: a root, or an object that the viewer has.
    parent: String,
    field: Value,
    /// The path to the id: an argument, and below it fields of an input object.
    path: Vec<String>,
    types: BTreeMap<String, Value>,
}

impl Argument {
    fn name(&self) -> String {
        format!("{}.{}({})", self.parent, self.field["name"].as_str().unwrap(), self.path.join("."))
    }

    /// Whether only platform administrators may call it: then every id gets the same refusal.
    fn is_of_platform(&self) -> bool {
        let field = self.field["name"].as_str().unwrap();
        self.parent == "Platform"
            || ["updateTenantAsPlatform", "suspendTenant", "activateTenant", "deleteTenant", "restoreTenant"]
                .contains(&field)
            || ["changeTenantPlan", "setFeature", "impersonate", "inviteAdministrator", "moveTenant", "abortTenantMove"]
                .contains(&field)
            || ["pauseSubscription", "setTaxRate", "voidInvoice", "recordInvoicePayment", "creditInvoice"]
                .contains(&field)
    }

    /// Runs the field with this id in the place, and valid values for everything else that is required.
    async fn run(&self, person: &Person, id: &str, own: &Ids) -> Value {
        let mut definitions = Vec::new();
        let mut passed = Vec::new();
        let mut variables = serde_json::Map::new();
        for argument in self.field["args"].as_array().unwrap() {
            let name = argument["name"].as_str().unwrap();
            let wanted = (self.path[0] == name).then(|| self.path[1..].to_vec());
            if let Some(value) = self.value(argument, wanted, id, own) {
                definitions.push(format!("${name}: {}", written(&argument["type"])));
                passed.push(format!("{name}: ${name}"));
                variables.insert(name.to_owned(), value);
            }
        }
        let field = format!(
            "{}({}) {}",
            self.field["name"].as_str().unwrap(),
            passed.join(", "),
            self.selection(&named(&self.field["type"]), 0)
        );
        let document = match self.parent.as_str() {
            "Query" => format!("query({}) {{ {field} }}", definitions.join(", ")),
            "Mutation" => format!("mutation({}) {{ {field} }}", definitions.join(", ")),
            "User" => format!("query({}) {{ viewer {{ {field} }} }}", definitions.join(", ")),
            "Billing" => format!("query({}) {{ billing {{ {field} }} }}", definitions.join(", ")),
            "Platform" => format!("query({}) {{ platform {{ {field} }} }}", definitions.join(", ")),
            other => panic!("say here how to reach {other}, so that its id arguments are tested"),
        };
        person.run_with(&document, Value::Object(variables)).await
    }

    fn value(&self, input: &Value, wanted: Option<Vec<String>>, id: &str, own: &Ids) -> Option<Value> {
        let required = input["type"]["kind"] == "NON_NULL" && input["defaultValue"].is_null();
        // Optional fields are filled where possible, so that the updating statement is reached.
        let changes = self.parent == "Mutation"
            && ["String", "Int", "Boolean"].contains(&named(&input["type"]).as_str())
            && input["name"] != "version";
        if wanted.is_none() && !required && !changes {
            return None;
        }
        let name = input["name"].as_str().unwrap();
        let is_list = written(&input["type"]).contains('[');
        let type_name = named(&input["type"]);
        let value = match type_name.as_str() {
            "ID" if wanted.is_some() => json!(id),
            "ID" => json!(
                own[match name {
                    "serviceId" => "svc",
                    "customerId" => "usr",
                    "resourceId" => "res",
                    "id" if self.field["name"].as_str().unwrap().contains("Series") => "ser",
                    "id" if self.field["name"].as_str().unwrap().contains("Waitlist") => "wle",
                    "id" if self.field["name"].as_str().unwrap().contains("WebhookDelivery") => "whd",
                    "id" if self.field["name"].as_str().unwrap().contains("Webhook") => "whe",
                    _ if self.field["name"].as_str().unwrap().contains("ooking") => "bkg",
                    _ if self.field["name"].as_str().unwrap().contains("esource") && name == "id" => "res",
                    _ if self.field["name"].as_str().unwrap().contains("ervice") => "svc",
                    _ if self.field["name"].as_str().unwrap().contains("nvitation") => "inv",
                    _ => "usr",
                }]
            ),
            "String" if name == "url" => json!("https://hooks.example.com/"),
            "String" if name == "utcOffset" => json!("Z"),
            "String" if name == "calendar" => json!("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
            "String" => json!("text"),
            "Int" => json!(1),
            "Boolean" => json!(true),
            "DateTime" if name == "to" => json!((person_time() + jiff::SignedDuration::from_hours(24)).to_string()),
            "DateTime" => json!((person_time()).to_string()),
            "Date" if name == "to" => json!("2030-01-03"),
            "Date" => json!("2030-01-02"),
            "LocalTime" => json!(if name == "opens" { "09:00" } else { "17:00" }),
            "Weekday" => json!("MONDAY"),
            "Decimal" => json!("1.00"),
            "CurrencyCode" => json!("EUR"),
            "BookingStatus" => json!("CANCELLED"),
            "WebhookEvent" => json!("CONFIRMED"),
            "SeriesFrequency" => json!("WEEKLY"),
            "SeriesConflict" => json!("SKIP"),
            "SeriesScope" => json!(if self.path.last().is_some_and(|it| it == "bookingId") { "THIS" } else { "ALL" }),
            "Isolation" => json!("SCHEMA"),
            "Role" => json!("STAFF"),
            "ResourceKind" => json!("STAFF"),
            "TimeZone" => json!("UTC"),
            "Locale" => json!("NL"),
            other => {
                let fields =
                    self.types[other]["inputFields"].as_array().unwrap_or_else(|| panic!("a value for {other}"));
                let mut object = serde_json::Map::new();
                for field in fields {
                    let below =
                        wanted.as_ref().filter(|path| path.first().is_some_and(|it| field["name"] == it.as_str()));
                    if let Some(value) = self.value(field, below.map(|path| path[1..].to_vec()), id, own) {
                        object.insert(field["name"].as_str().unwrap().to_owned(), value);
                    }
                }
                Value::Object(object)
            }
        };
        Some(if is_list { json!([value]) } else { value })
    }

    /// Every field without arguments, down to the first repetition.
    fn selection(&self, type_name: &str, depth: usize) -> String {
        let Some(fields) = self.types.get(type_name).and_then(|it| it["fields"].as_array()) else {
            return String::new();
        };
        let mut selected = vec!["__typename".to_owned()];
        for field in fields.iter().filter(|it| it["args"].as_array().is_some_and(Vec::is_empty)) {
            let inner = named(&field["type"]);
            let is_leaf = self.types.get(&inner).is_none_or(|it| it["fields"].is_null());
            let name = field["name"].as_str().unwrap();
            if is_leaf {
                selected.push(name.to_owned());
            } else if depth < 3 && inner != "Tenant" {
                selected.push(format!("{name} {}", self.selection(&inner, depth + 1)));
            }
        }
        format!("{{ {} }}", selected.join(" "))
    }
}

fn person_time() -> jiff::Timestamp {
    jiff::Timestamp::now() + jiff::SignedDuration::from_hours(240)
}

async fn id_arguments(person: &Person) -> Vec<Argument> {
    let introspection = "{ __schema { types { name kind
        fields { name args { name defaultValue type { ...T } } type { ...T } }
        inputFields { name defaultValue type { ...T } } } } }
        fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
    let answer = person.run(introspection).await;
    let types: BTreeMap<String, Value> = answer["data"]["__schema"]["types"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .iter()
        .map(|it| (it["name"].as_str().unwrap().to_owned(), it.clone()))
        .collect();
    let mut found = Vec::new();
    for (parent, definition) in types.iter().filter(|(name, it)| it["kind"] == "OBJECT" && !name.starts_with("__")) {
        for field in definition["fields"].as_array().unwrap() {
            for argument in field["args"].as_array().unwrap() {
                for path in id_paths(argument, &types) {
                    let (parent, field, types) = (parent.clone(), field.clone(), types.clone());
                    found.push(Argument { parent, field, path, types });
                }
            }
        }
    }
    found
}

fn id_paths(input: &Value, types: &BTreeMap<String, Value>) -> Vec<Vec<String>> {
    let name = input["name"].as_str().unwrap().to_owned();
    let type_name = named(&input["type"]);
    if type_name == "ID" {
        return vec![vec![name]];
    }
    let below = types.get(&type_name).and_then(|it| it["inputFields"].as_array()).into_iter().flatten();
    below
        .flat_map(|field| id_paths(field, types))
        .map(|path| std::iter::once(name.clone()).chain(path).collect())
        .collect()
}

fn named(type_ref: &Value) -> String {
    match type_ref["name"].as_str() {
        Some(name) => name.to_owned(),
        None => named(&type_ref["ofType"]),
    }
}

fn written(type_ref: &Value) -> String {
    match type_ref["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", written(&type_ref["ofType"])),
        Some("LIST") => format!("[{}]", written(&type_ref["ofType"])),
        _ => type_ref["name"].as_str().unwrap().to_owned(),
    }
}

/// Row-level security does not cover keys: another tenant's rows can be neither referenced nor collided with.
#[tokio::test(flavor = "multi_thread")]
async fn keys_cannot_cross_tenants() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let client = acme.store("tenantry_app").await;
    client.batch_execute("begin").await.unwrap();
    client
        .query("select enter($1, $2, 'ADMIN', $3, true)", &[&acme.id, &acme.admin.id, &acme.admin.viewer.session])
        .await
        .unwrap();
    let service: uuid::Uuid = globex.service.parse::<tenantry::base::ids::ServiceId>().unwrap().0;
    let error = client
        .execute(
            "insert into bookings (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor, currency, created_at, updated_at)
             values ($1, gen_random_uuid(), $2, $3, now(), now() + interval '1 hour', 'UTC', 'CANCELLED', 0, 'EUR', now(), now())",
            &[&acme.id, &service, &acme.user.id],
        )
        .await
        .unwrap_err();
    assert_eq!(error.as_db_error().unwrap().constraint(), Some("bookings_tenant_id_service_id_fkey"));
}
