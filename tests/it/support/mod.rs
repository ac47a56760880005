//! Shared by all tests: a cluster, an app on its own database, tenants with people, and requests that read like a
//! story.

#![allow(dead_code, reason = "each part is used by some test files, not by all")]

pub(crate) mod cluster;
mod history;
pub(crate) mod pooler;
pub(crate) mod relay;
pub(crate) mod server;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tenantry::{
    api::{ApiSchema, Services},
    base::{
        clock::Clock,
        egress::WebhookClient,
        ids::{TenantId, UserId},
    },
    core::identity::{Origin, Role, Viewer},
    db::{Access, Gate, Isolation, Location, Placement, PoolSettings, Scope, StoreSettings, roles},
    features::{
        auth::{NewUser, PasswordCost, Passwords, SignIn, SignInLimits, TokenSettings, Tokens},
        billing::Engine,
        mail::{MailSettings, Mailer},
        platform::moving::Places,
        tenants::{self, NewTenant},
        usage::rate_limits::{RateSettings, Rates},
    },
    fleet::{Fleet, Logins},
    graphql::{self, Limits},
    http::{self, AppParts, Documents, Origins, Proxies, Readiness, SocketSettings, Sockets, router},
    worker::{Worker, WorkerParts},
};
use tower::ServiceExt;

use relay::Relay;

pub(crate) use cluster::TestDatabase;

/// The password of every user of a test.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// The cheapest Argon2 parameters.
pub(crate) const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1 };

/// How a test's app differs from the default one.
pub(crate) struct Options {
    /// The login role that it serves as.
    pub role: &'static str,
    /// Connections of the pool of the tenant store.
    pub connections: usize,
    /// How long it waits for a connection.
    pub wait: Duration,
    /// Limits of sign-in attempts.
    pub limits: SignInLimits,
    /// The request timeout.
    pub deadline: Duration,
    /// What hashing a password costs.
    pub cost: PasswordCost,
    /// The request limits.
    pub request: Limits,
    /// The budgets.
    pub rates: RateSettings,
    /// Seconds of `Strict-Transport-Security`.
    pub hsts: u32,
    /// Whether introspection is allowed.
    pub introspects: bool,
    /// The timeout of a pause in a body.
    pub body_patience: Duration,
    /// The socket limits.
    pub sockets: SocketSettings,
    /// How often watchers poll.
    pub look_every: Duration,
    /// Which documents may run.
    pub documents: Documents,
    /// Other sites whose pages may use the API.
    pub origins: &'static str,
    /// The trusted proxies.
    pub proxies: &'static str,
    /// The statement timeout.
    pub statement: Duration,
    /// Whether webhook endpoints may be on this machine.
    pub webhooks_may_be_private: bool,
    /// The payment provider.
    pub billing: Billing,
    /// How its tenants are isolated.
    pub isolation: Isolation,
    /// Connections to stores of tenants' own.
    pub stores: StoreSettings,
    /// Servers that may hold tenants' databases.
    pub places: Places,
    /// Whether a pooler in transaction mode is in front of the database.
    pub through_pooler: bool,
}

/// Creates the billing engine.
pub(crate) type Billing = Arc<dyn Fn(Gate) -> Engine + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Self {
            role: roles::APP,
            connections: 6,
            wait: Duration::from_secs(60),
            limits: SignInLimits::default(),
            deadline: Duration::from_secs(120),
            cost: CHEAP,
            request: Limits::default(),
            // A test of something else must not be slowed down.
            hsts: 0,
            rates: RateSettings { user: 1_000_000_000, address: 1_000_000_000, tenant: 1_000_000_000 },
            introspects: true,
            body_patience: http::BODY_PATIENCE,
            sockets: SocketSettings::default(),
            look_every: graphql::LOOK_EVERY,
            documents: Documents::any(),
            origins: "",
            proxies: "",
            // Tests do not depend on time, unless they say so.
            statement: Duration::from_secs(120),
            webhooks_may_be_private: true,
            billing: Arc::new(|gate| Engine::in_process(gate, "http://pay.test".into())),
            isolation: isolation_of_run(),
            stores: StoreSettings::default(),
            places: Places::default(),
            through_pooler: std::env::var_os("TENANTRY_TEST_POOLER").is_some(),
        }
    }
}

/// The whole server in this process, on a database of its own.
#[derive(Clone)]
pub(crate) struct TestApp {
    pub router: Router,
    pub gate: Gate,
    pub sign_in: Arc<SignIn>,
    pub tokens: Arc<Tokens>,
    pub passwords: Passwords,
    /// The clock for the rules: stands still until a test advances it.
    pub clock: Clock,
    pub database: Arc<TestDatabase>,
    /// Notifies open sockets that the server stops.
    pub stop: tokio::sync::watch::Sender<Option<String>>,
    pub sockets: Arc<Sockets>,
    pub readiness: Arc<Readiness>,
    pub billing: Engine,
    pub rates: Arc<Rates>,
    pub fleet: Fleet,
    pub isolation: Isolation,
    pub places: Arc<Places>,
    /// The folder of its mail.
    mail: Arc<tempfile::TempDir>,
}

/// A mail as its reader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub id: String,
    pub to: String,
    pub from: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The first attached iCalendar file.
    pub calendar: Option<String>,
    /// All of them.
    pub calendars: Vec<String>,
    /// As it was sent.
    pub raw: String,
}

impl Mail {
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let mail = mail_parser::MessageParser::default().parse(raw).unwrap();
        use mail_parser::MimeHeaders;
        let is_file =
            |it: &&mail_parser::MessagePart<'_>| it.content_type().is_some_and(|it| it.subtype() == Some("calendar"));
        let files = mail.attachments().filter(is_file).map(|it| it.text_contents().unwrap().to_owned());
        let calendars: Vec<String> = files.collect();
        Self {
            calendar: calendars.first().cloned(),
            calendars,
            raw: String::from_utf8_lossy(raw).into_owned(),
            id: mail.message_id().unwrap().to_owned(),
            to: mail.to().unwrap().first().unwrap().address().unwrap().to_owned(),
            from: mail.from().unwrap().first().unwrap().name().unwrap_or_default().to_owned(),
            subject: mail.subject().unwrap().to_owned(),
            text: mail.body_text(0).unwrap().into_owned(),
            html: mail.body_html(0).unwrap().into_owned(),
        }
    }

    /// The token of its link.
    pub(crate) fn token(&self) -> String {
        let token = regex::Regex::new("=(tnl_[A-Za-z0-9_-]+)").unwrap();
        let found = token.captures(&self.text).unwrap_or_else(|| panic!("no link: {}", self.text));
        found[1].to_owned()
    }
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let database = Arc::new(TestDatabase::create().await);
        Box::pin(Self::on(database, options)).await
    }

    /// One more app on the same database, as a second process would be.
    pub(crate) async fn on(database: Arc<TestDatabase>, options: Options) -> Self {
        let pool = PoolSettings {
            wait: options.wait,
            statement: options.statement,
            stores: options.stores,
            ..PoolSettings::of_size(options.connections)
        };
        let url = database.url(options.role).await;
        let gate = match options.through_pooler {
            true => Gate::try_pooled(&pooler::url(&url).await.expect("PgBouncer"), &url, pool).unwrap(),
            false => Gate::try_new(&url, pool).unwrap(),
        };
        let passwords = Passwords::with_gate(options.cost, 2, 1000).unwrap();
        let tokens = Arc::new(Tokens::try_new(SIGNING_KEY, &[], TokenSettings::default()).unwrap());
        let sign_in =
            Arc::new(SignIn::new(gate.clone(), passwords.clone(), tokens.clone(), options.limits, Clock::system()));
        let clock = Clock::standing_at(now_in_whole_hours());
        let services = Services {
            gate: gate.clone(),
            sign_in: sign_in.clone(),
            clock: clock.clone(),
            rates: Arc::new(Rates::new(options.rates, gate.clone())),
            refusals: Arc::default(),
            look_every: options.look_every,
            webhooks: WebhookClient::new(options.webhooks_may_be_private),
            billing: (options.billing)(gate.clone()),
            places: Arc::new(options.places.clone()),
        };
        let places = services.places.clone();
        let logins = Logins::try_new(&database.url(roles::OWNER).await, &database.url(roles::PLATFORM).await).unwrap();
        let fleet = Fleet::new(gate.clone(), logins, clock.clone());
        let (rates, billing) = (services.rates.clone(), services.billing.clone());
        let (stop, stopping) = tokio::sync::watch::channel(None);
        let sockets = Sockets::new(options.sockets, gate.clone());
        let readiness = Arc::new(Readiness::new(&url));
        let router = router(AppParts {
            schema: ApiSchema::new(options.request, options.introspects),
            services,
            tokens: tokens.clone(),
            deadline: options.deadline,
            limits: options.request,
            body_patience: options.body_patience,
            shows_metrics: true,
            documents: options.documents,
            reader: graphql::DocumentCache::new(options.request),
            sockets: sockets.clone(),
            origins: Origins::try_new(options.origins).unwrap(),
            proxies: Proxies::try_new(options.proxies).unwrap(),
            hsts: options.hsts,
            bodies: http::body_shares(&options.request),
            readiness: readiness.clone(),
            stopping,
        });
        let mail = Arc::new(tempfile::tempdir().unwrap());
        Self {
            router,
            gate,
            sign_in,
            tokens,
            passwords,
            clock,
            database,
            stop,
            sockets,
            readiness,
            billing,
            rates,
            fleet,
            isolation: options.isolation,
            places,
            mail,
        }
    }

    /// Carries out background work, by this app's clock.
    pub(crate) fn worker(&self) -> Worker {
        self.worker_with(&MailSettings::Folder(self.mail.path().into()))
    }

    pub(crate) fn worker_with(&self, settings: &MailSettings) -> Worker {
        let mailer = Mailer::try_new(settings, "no-reply@tenantry.test", "https://app.test/account").unwrap();
        let webhooks = WebhookClient::new(true);
        Worker::new(WorkerParts {
            gate: self.gate.clone(),
            sign_in: self.sign_in.clone(),
            mailer: Arc::new(mailer),
            webhooks,
            billing: self.billing.clone(),
            rates: self.rates.clone(),
            clock: self.clock.clone(),
        })
    }

    /// Carries out due effects, and returns the mails that they sent, oldest first.
    pub(crate) async fn mails(&self) -> Vec<Mail> {
        self.worker().run_until_idle().await;
        let mut files: Vec<_> = std::fs::read_dir(self.mail.path()).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        files
            .iter()
            .map(|file| {
                let mail = Mail::parse(&std::fs::read(file).unwrap());
                std::fs::remove_file(file).unwrap();
                mail
            })
            .collect()
    }

    /// The one mail to this address that due effects send.
    pub(crate) async fn mail_to(&self, to: &str) -> Mail {
        let mails = self.mails().await;
        let found: Vec<&Mail> = mails.iter().filter(|it| it.to == to).collect();
        assert_eq!(found.len(), 1, "{mails:#?}");
        found[0].clone()
    }

    /// A tenant with an administrator, a staff member, two customers, and one service.
    pub(crate) async fn tenant(&self, slug: &str) -> TestTenant {
        self.tenant_on_plan(slug, "business").await
    }

    pub(crate) async fn tenant_on_plan(&self, slug: &str, plan: &str) -> TestTenant {
        let id = Box::pin(self.bare_tenant(slug, plan)).await;
        let admin = self.person(id, "admin", slug, Role::Admin).await;
        let staff = self.person(id, "staff", slug, Role::Staff).await;
        let user = self.person(id, "user", slug, Role::User).await;
        let other = self.person(id, "other", slug, Role::User).await;
        let service = admin.create_service(json!({ "name": "Haircut" })).await;
        TestTenant { app: self.clone(), id, slug: slug.into(), admin, staff, user, other, service }
    }

    /// An empty tenant.
    pub(crate) async fn bare(&self, slug: &str) -> TenantId {
        Box::pin(self.bare_tenant(slug, "business")).await
    }

    async fn bare_tenant(&self, slug: &str, plan: &str) -> TenantId {
        let now = Timestamp::now();
        let public = self.gate.directory(Scope::directory_public(), Access::Read);
        let offer = tenants::offer(&public, plan).await.unwrap().unwrap();
        public.end_read();
        drop(public);
        let id = TenantId::generate(now);
        let new = NewTenant {
            id,
            placement: self.places.new_place(self.isolation, None, id).unwrap(),
            slug: slug.into(),
            name: slug.to_uppercase(),
            time_zone: "Europe/Amsterdam".into(),
            currency: "EUR".parse().unwrap(),
            offer,
        };
        let directory = self.gate.directory(Scope::platform(None), Access::Write);
        tenants::register(&directory, &new, now).await.unwrap();
        directory.commit().await.unwrap();
        drop(directory);
        if new.placement != Placement::Shared {
            self.database.prepare_template().await;
            self.fleet.make_store(&new.placement).await.unwrap();
            self.by_hand("update directory.tenants set store_ready_at = now() where url is not null").await;
        }
        let store = self.gate.tenant(Scope::platform(Some(new.id)), Access::Write);
        tenants::found(&store, &new, now).await.unwrap();
        store.commit().await.unwrap();
        new.id
    }

    /// Adds a user and signs them in.
    pub(crate) async fn person(&self, tenant: TenantId, local_part: &str, slug: &str, role: Role) -> Person {
        let email = format!("{local_part}@{slug}.test");
        let name = format!("{local_part} of {slug}");
        let new = NewUser { email: email.clone(), name, role, password: PASSWORD.into() };
        let id = self.sign_in.enrol(tenant, new).await.unwrap();
        let viewer = self.sign_in.trusted_session(tenant, &email).await.unwrap();
        let token = self.tokens.issue(&viewer, Timestamp::now()).unwrap().0;
        Person { app: self.clone(), id, email, viewer, token: Some(token) }
    }

    /// A platform administrator, signed in.
    pub(crate) async fn operator(&self) -> Person {
        let password = "an operators long secret";
        self.sign_in.add_operator("Root@Example.test", "Robin", password.into()).await.unwrap();
        let query = "mutation($p: String!) { platformLogin(input: { email: \"root@example.test\", password: $p }) {
            session { accessToken } } }";
        let answer = self.anonymous().run_with(query, json!({ "p": password })).await;
        self.bearer(answer["data"]["platformLogin"]["session"]["accessToken"].as_str())
    }

    /// A client without a token.
    pub(crate) fn anonymous(&self) -> Person {
        self.bearer(None)
    }

    /// A client with this token.
    pub(crate) fn bearer(&self, token: Option<&str>) -> Person {
        let nobody = uuid::Uuid::nil();
        let viewer = Viewer {
            tenant: TenantId(nobody),
            user: UserId(nobody),
            role: Role::User,
            session: tenantry::base::ids::SessionId(nobody),
            impersonated: false,
        };
        let (email, token) = (String::new(), token.map(str::to_owned));
        Person { app: self.clone(), id: UserId(nobody), email, viewer, token }
    }

    /// Sends a request unchanged.
    pub(crate) async fn send(&self, request: Request<Body>) -> (Response<()>, Vec<u8>) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        (Response::from_parts(parts, ()), body)
    }

    /// Queries the database as its superuser, bypassing every policy: the real state.
    ///
    /// A query on the schema `shared` runs in every store.
    pub(crate) async fn truth(&self, sql: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (client, sql) in self.everywhere(sql).await {
            found.extend(rows_of(&client, &sql).await);
        }
        found
    }

    /// Changes the database as its superuser; a statement on the schema `shared` runs in every store.
    pub(crate) async fn by_hand(&self, sql: &str) {
        for (client, sql) in self.everywhere(sql).await {
            client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    }

    /// A superuser's connection to each affected store, and the statement for it: when it names tenants by their id,
    /// only theirs.
    async fn everywhere(&self, sql: &str) -> Vec<(tokio_postgres::Client, String)> {
        if self.isolation == Isolation::Shared || !sql.contains("shared.") {
            return vec![(self.database.connect("postgres").await, sql.to_owned())];
        }
        if sql.contains("directory.") {
            let mut parts = Vec::new();
            for part in sql.split(';').filter(|it| !it.trim().is_empty()) {
                parts.extend(Box::pin(self.everywhere(part)).await);
            }
            return parts;
        }
        let main = self.database.connect("postgres").await;
        let all = "select id::text, url from directory.tenants where url is not null order by id";
        let mut rows = main.query(all, &[]).await.unwrap();
        if rows.iter().any(|row| sql.contains(row.get::<_, &str>(0))) {
            rows.retain(|row| sql.contains(row.get::<_, &str>(0)));
        }
        let mut stores = Vec::new();
        for row in rows {
            let location: Location = row.get::<_, &str>(1).parse().unwrap();
            let sql = sql.replace("shared.", &format!("{}.", location.schema));
            let database = location.database.as_deref().unwrap_or(&self.database.name);
            stores.push((TestDatabase::connect_to("postgres", database).await, sql));
        }
        stores
    }

    pub(crate) fn statements(&self) -> u64 {
        self.gate.stats().statements.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A tenant of a test.
#[derive(Clone)]
pub(crate) struct TestTenant {
    pub app: TestApp,
    pub id: TenantId,
    pub slug: String,
    pub admin: Person,
    pub staff: Person,
    pub user: Person,
    pub other: Person,
    /// The id of its first service, of 45 minutes.
    pub service: String,
}

impl TestTenant {
    /// Its people with new sessions, as after signing in again.
    pub(crate) async fn signed_in_again(&self) -> Self {
        let mut again = self.clone();
        for person in [&mut again.admin, &mut again.staff, &mut again.user, &mut again.other] {
            person.viewer = self.app.sign_in.trusted_session(self.id, &person.email).await.unwrap();
            person.token = Some(self.app.tokens.issue(&person.viewer, Timestamp::now()).unwrap().0);
        }
        again
    }

    /// A booking of its customer, `days` from now.
    pub(crate) async fn booking(&self, days: i64) -> String {
        let answer = self.user.book(&self.service, self.in_days(days)).await;
        answer["data"]["createBooking"]["booking"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// As [`TestApp::truth`], in its store only.
    pub(crate) async fn truth(&self, sql: &str) -> Vec<String> {
        rows_of(&self.store("postgres").await, &sql.replace("shared.", "")).await
    }

    /// A connection to its store as this role, which sees only its schema.
    pub(crate) async fn store(&self, role: &str) -> tokio_postgres::Client {
        self.app.gate.has_left(self.id, &Placement::Shared).await.unwrap(); // It may have moved without this app having noticed.
        let placement = self.app.gate.placement(self.id).await.unwrap();
        let (database, schema) = match placement.location() {
            None => (None, "shared"),
            Some(location) => (location.database.as_deref(), location.schema.as_str()),
        };
        let client = TestDatabase::connect_to(role, database.unwrap_or(&self.app.database.name)).await;
        client.batch_execute(&format!("set search_path = {schema}, pg_temp")).await.unwrap();
        client
    }

    /// A transaction of this customer in its store, for direct SQL.
    pub(crate) async fn entered(&self, customer: &Person) -> tokio_postgres::Client {
        let client = self.store(roles::APP).await;
        client.batch_execute("begin").await.unwrap();
        let enter = "select enter($1, $2, 'USER', $3, true)";
        client.query(enter, &[&self.id, &customer.id, &customer.viewer.session]).await.unwrap();
        client
    }

    /// From now on its own database is behind a relay, for processes that have not cached its placement.
    pub(crate) async fn put_behind_relay(&self) -> Relay {
        let relay = Relay::start(&self.app.database.url(roles::APP).await).await;
        let id = self.id.0;
        let url =
            relay.before(&self.app.truth(&format!("select url from directory.tenants where id = '{id}'")).await[0]);
        self.app.by_hand(&format!("update directory.tenants set url = '{url}' where id = '{id}'")).await;
        relay
    }

    pub(crate) fn in_days(&self, days: i64) -> Timestamp {
        let now = Timestamp::from_second(self.app.clock.now().as_second()).unwrap();
        now + SignedDuration::from_hours(24 * days)
    }
}

/// A client that sends requests.
#[derive(Clone)]
pub(crate) struct Person {
    pub app: TestApp,
    pub id: UserId,
    pub email: String,
    pub viewer: Viewer,
    pub token: Option<String>,
}

impl Person {
    /// The name of a person of `TestApp::tenant`.
    pub(crate) fn name(&self) -> String {
        let (local_part, domain) = self.email.split_once('@').unwrap();
        format!("{local_part} of {}", domain.trim_end_matches(".test"))
    }

    /// Runs a document and returns the whole response.
    pub(crate) async fn run(&self, query: &str) -> Value {
        self.run_with(query, json!({})).await
    }

    /// Runs a document with variables and returns the whole response.
    pub(crate) async fn run_with(&self, query: &str, variables: Value) -> Value {
        self.respond(query, variables).await.1
    }

    /// Runs a document and returns status and response.
    pub(crate) async fn respond(&self, query: &str, variables: Value) -> (StatusCode, Value) {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let mut request = Request::post("/graphql").header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (response, body) = self.app.send(request.body(Body::from(body)).unwrap()).await;
        let mut body: Value =
            serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)));
        // The costs are checked by separate tests.
        body.as_object_mut().unwrap().remove("extensions");
        (response.status(), body)
    }

    pub(crate) async fn create_service(&self, fields: Value) -> String {
        let mut input = json!({
            "name": "Service", "durationMinutes": 45, "price": { "amount": "45.00", "currency": "EUR" }
        });
        input.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let query = "mutation($input: CreateServiceInput!) {
            createService(input: $input) { service { id } userErrors { code field message } } }";
        let answer = self.run_with(query, json!({ "input": input })).await;
        answer["data"]["createService"]["service"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub(crate) async fn create_resource(&self, kind: &str, name: &str) -> String {
        self.app.clock.advance(SignedDuration::from_millis(1)); // So that its id is above all earlier ones.
        let query = "mutation($kind: ResourceKind!, $name: String!) {
            createResource(input: { kind: $kind, name: $name }) { resource { id } userErrors { code } } }";
        let answer = self.run_with(query, json!({ "kind": kind, "name": name })).await;
        answer["data"]["createResource"]["resource"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Links resources to a service: those of higher priority are taken first.
    pub(crate) async fn link(&self, service: &str, resources: &[(&str, i32)]) -> Value {
        let query = "mutation($input: SetServiceResourcesInput!) {
            setServiceResources(input: $input) { service { resources { name } } userErrors { code field } } }";
        let resources: Vec<Value> =
            resources.iter().map(|(id, priority)| json!({ "resourceId": id, "priority": priority })).collect();
        self.run_with(query, json!({ "input": { "serviceId": service, "resources": resources } })).await
    }

    pub(crate) async fn reschedule(&self, booking: &str, starts_at: Timestamp) -> Value {
        let query = "mutation($input: RescheduleBookingInput!) {
            rescheduleBooking(input: $input) { booking { id status startsAt endsAt version resources { name } } userErrors { code field message } } }";
        self.run_with(query, json!({ "input": { "id": booking, "startsAt": starts_at.to_string() } })).await
    }

    pub(crate) async fn book(&self, service: &str, starts_at: Timestamp) -> Value {
        self.book_with(json!({ "serviceId": service, "startsAt": starts_at.to_string() })).await
    }

    pub(crate) async fn book_with(&self, input: Value) -> Value {
        let query = "mutation($input: CreateBookingInput!) {
            createBooking(input: $input) { booking { id status version resources { name } } userErrors { code field message } } }";
        self.run_with(query, json!({ "input": input })).await
    }

    pub(crate) async fn set_status(&self, input: Value) -> Value {
        let query = "mutation($input: UpdateBookingStatusInput!) {
            updateBookingStatus(input: $input) { booking { id status version } userErrors { code field message } } }";
        self.run_with(query, json!({ "input": input })).await
    }
}

/// Everything of a tenant except its placement.
pub(crate) async fn everything(tenant: &TestTenant) -> Vec<String> {
    let client = tenant.store("postgres").await;
    let tables = client
        .query(
            "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
              where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' order by 1",
            &[],
        )
        .await
        .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let table: &str = table.get(0);
        let sql = format!(
            "select (to_jsonb(t) - 'isolation' - 'fence')::text from {table} t where tenant_id = '{}' order by 1",
            tenant.id.0
        );
        let rows = client.query(&sql, &[]).await.unwrap();
        found.extend(rows.iter().map(|row| format!("{table} {}", row.get::<_, &str>(0))));
    }
    found
}

/// More requests in a minute than a plan allows.
pub(crate) async fn unlimited(app: &TestApp) {
    app.by_hand(
        "alter table directory.plan_versions no force row level security;
         update directory.plan_versions set terms = terms #- '{limits,api_cost}';
         alter table directory.plan_versions force row level security",
    )
    .await;
}

/// The code of a response: of its first error, or of its first user error; `""` when there is none.
pub(crate) fn code(response: &Value) -> &str {
    if let Some(code) = response["errors"][0]["extensions"]["code"].as_str() {
        return code;
    }
    let fields = response["data"].as_object().into_iter().flatten();
    fields.filter_map(|(_, payload)| payload["userErrors"][0]["code"].as_str()).next().unwrap_or("")
}

/// A response without the parts that differ every time.
pub(crate) fn scrubbed(response: &Value) -> String {
    let text = serde_json::to_string_pretty(response).unwrap();
    let ids = regex::Regex::new(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap();
    ids.replace_all(&text, "[request]").into_owned()
}

async fn rows_of(client: &tokio_postgres::Client, sql: &str) -> Vec<String> {
    let rows = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let read = |it: &tokio_postgres::SimpleQueryMessage| match it {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("null")).collect::<Vec<_>>().join(" | "))
        }
        _ => None,
    };
    rows.iter().filter_map(read).collect()
}

/// Whether this run takes every case: long properties, and every suite in every mode. By default each takes a few.
pub(crate) fn runs_all() -> bool {
    std::env::var_os("TENANTRY_TEST_ALL").is_some()
}

/// How tenants are isolated in this run of the tests: `modes.rs` runs suites again with another value.
fn isolation_of_run() -> Isolation {
    let said = std::env::var_os("TENANTRY_TEST_ISOLATION");
    said.map_or(Isolation::Shared, |it| it.to_str().unwrap().parse().unwrap())
}

/// The next whole hour, a week from now: in the future for PostgreSQL as well, however far a test advances from here.
fn now_in_whole_hours() -> Timestamp {
    let now = Timestamp::now().as_second();
    Timestamp::from_second(now - now % 3600 + 3600).unwrap()
}

/// A key for tests only, made with `openssl genpkey -algorithm ed25519`.
pub(crate) const SIGNING_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ3V88EZwsnKkpg0+ZgA/hVjDnjHz29BZXKkk/BMG9Sw
-----END PRIVATE KEY-----
";
/// Another one, which the app does not know.
pub(crate) const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEILq8LAfY+Bpyzlf5pn0hjqdOBOQtRYLKzH3IM2zP0vCu
-----END PRIVATE KEY-----
";

/// An origin without an address.
pub(crate) fn origin() -> Origin {
    Origin::default()
}
