//! Wall 2 alone: what PostgreSQL's policies let each role do to each table, without any filter in the statement.
//!
//! The result is a checked-in table, `policy_matrix.txt`; `UPDATE_POLICY_MATRIX=1 cargo test policy_matrix` writes it
//! anew. The last tests show that the table reveals a policy that is missing or too wide.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::Value;
use tokio_postgres::{Client, error::SqlState};

use crate::support::{TestApp, TestTenant};

const ROLES: [&str; 7] = ["ADMIN", "STAFF", "USER", "AUTHENTICATOR", "WORKER", "PLATFORM_ADMIN", "no scope"];
/// Without a `where`, PostgreSQL applies only the command's own policy; with one, the policy for `select` as well.
const BLIND: [&str; 3] = ["blind update", "blind delete", "blind step up"];
const COMMANDS: [&str; 4] = ["select", "insert", "update", "delete"];

/// Every table with the rows that both tenants have in it.
struct Fixture {
    app: TestApp,
    acme: TestTenant,
    tables: Vec<Table>,
}

struct Table {
    schema: &'static str,
    name: String,
    key: Vec<String>,
    insertable: Vec<String>,
    updatable: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    json: Value,
    is_own: bool,
}

/// How many rows of its own tenant, and how many of another, a role can reach.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Reach {
    own: usize,
    foreign: usize,
}

impl Fixture {
    async fn make() -> Self {
        let app = TestApp::start().await;
        let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
        for tenant in [&acme, &globex] {
            tenant.booking(3).await;
            tenant.other.book(&tenant.service, tenant.in_days(4)).await;
            tenant.staff.book(&tenant.service, tenant.in_days(5)).await;
            tenant.admin.book(&tenant.service, tenant.in_days(6)).await;
            app.by_hand(&format!(
                "insert into shared.outbox (tenant_id, id, kind, payload, created_at, available_at)
                 values ('{}', gen_random_uuid(), 'test.effect', '{{}}', now(), now())",
                tenant.id.0
            ))
            .await;
        }
        app.by_hand(
            "insert into shared.audit_events (tenant_id, id, at, actor_role, action, object_type, seq, hash)
             select tenant_id, gen_random_uuid(), now(), role, 'test.event', 'test', 1000 + place, decode(repeat('00', 32), 'hex')
               from shared.tenant_state, unnest(array['WORKER', 'PLATFORM_ADMIN']) with ordinality roles (role, place);
             insert into shared.tenant_settings (tenant_id, updated_at) select tenant_id, now() from shared.tenant_state;
             insert into shared.feature_overrides
             select tenant_id, key, true, null, now() from shared.tenant_state, unnest(array['one', 'two']) key;
             insert into shared.invitations (tenant_id, id, email, role, created_at, expires_at)
             select tenant_id, gen_random_uuid(), email, 'USER', now(), now() from shared.tenant_state, unnest(array['a@b.c', 'd@e.f']) email;
             insert into shared.registrations
             select tenant_id, gen_random_uuid(), 'a@b.c', called, '$argon2id$x', now(), now() from shared.tenant_state, unnest(array['A', 'B']) called;
             insert into shared.one_time_links (tenant_id, id, purpose, subject_id, created_at, expires_at)
             select tenant_id, gen_random_uuid(), 'INVITATION', gen_random_uuid(), now(), now() from shared.tenant_state, unnest(array['A', 'B']);
             insert into shared.one_time_link_tokens select tenant_id, sha256(id::text::bytea), id from shared.one_time_links;
             insert into shared.idempotency_keys (tenant_id, user_id, key, fingerprint, expires_at)
             select tenant_id, id, 'key', sha256('x'), now() from shared.users;
             insert into shared.resources (tenant_id, id, kind, name, created_at, updated_at)
             select tenant_id, gen_random_uuid(), 'ROOM', called, now(), now() from shared.tenant_state, unnest(array['A', 'B']) called;
             insert into shared.service_resources (tenant_id, service_id, resource_id)
             select s.tenant_id, s.id, r.id from shared.services s join shared.resources r on r.tenant_id = s.tenant_id;
             insert into shared.occurrences (tenant_id, id, service_id, starts_at, ends_at, capacity, seats_taken, created_at)
             select tenant_id, gen_random_uuid(), id, at, at + interval '1 hour', 1, 1, now()
               from shared.services, unnest(array[now(), now() + interval '1 day']) at;
             insert into shared.booking_series (tenant_id, id, service_id, customer_id, rule, time_zone, created_at)
             select s.tenant_id, gen_random_uuid(), s.id, u.id, '{}', 'UTC', now()
               from shared.services s join shared.users u on u.tenant_id = s.tenant_id;
             insert into shared.waitlist_entries (tenant_id, id, service_id, customer_id, starts_at, created_at, left_at)
             select s.tenant_id, gen_random_uuid(), s.id, u.id, now(), now(), now()
               from shared.services s join shared.users u on u.tenant_id = s.tenant_id;
             insert into shared.webhook_endpoints (tenant_id, id, url, events, created_at, updated_at)
             select tenant_id, gen_random_uuid(), 'https://hooks.example.com', '{}', now(), now()
               from shared.tenant_state, generate_series(1, 2);
             insert into shared.webhook_secrets (tenant_id, id, endpoint_id, secret, created_at)
             select tenant_id, gen_random_uuid(), id, sha256('x'), now() from shared.webhook_endpoints;
             insert into shared.webhook_deliveries (tenant_id, id, endpoint_id, event, body, created_at)
             select tenant_id, gen_random_uuid(), id, 'booking.confirmed', '{}', now() from shared.webhook_endpoints;
             insert into shared.calendar_feeds (tenant_id, user_id, token_hash, created_at)
             select tenant_id, id, sha256(id::text::bytea), now() from shared.users;
             insert into shared.mail_preferences (tenant_id, user_id, reminders, updated_at)
             select tenant_id, id, true, now() from shared.users;
             insert into shared.unsubscribe_links (tenant_id, token_hash, user_id, created_at)
             select tenant_id, sha256(('u' || id::text)::bytea), id, now() from shared.users;
             insert into shared.booking_notices (tenant_id, id, booking_id, customer_id, kind, sent_at)
             select tenant_id, gen_random_uuid(), id, customer_id, 'CONFIRMED', now() from shared.bookings;
             insert into shared.opening_schedules (tenant_id, id, valid_from, time_zone, created_at)
             select tenant_id, gen_random_uuid(), day, 'UTC', now() from shared.tenant_state, unnest(array['2026-01-01', '2027-01-01']::date[]) day;
             insert into shared.opening_overrides (tenant_id, id, day, hours, created_at)
             select tenant_id, gen_random_uuid(), day, '[]', now() from shared.tenant_state, unnest(array['2026-01-01', '2027-01-01']::date[]) day;
             insert into shared.holidays (tenant_id, id, source, day, created_at)
             select tenant_id, gen_random_uuid(), 'National', day, now() from shared.tenant_state, unnest(array['2026-01-01', '2027-01-01']::date[]) day;
             insert into shared.plan_terms (tenant_id, version_id, plan_id, plan_key, plan_name, version, terms, taken_at)
             select tenant_id, gen_random_uuid(), gen_random_uuid(), 'team', 'Team', 1, '{}', now() from shared.tenant_state, generate_series(1, 2);
             insert into shared.subscriptions (tenant_id, id, version_id, billing_interval, status, anchor, time_zone, ended_at, created_at, updated_at)
             select distinct on (t.tenant_id, s.status) t.tenant_id, gen_random_uuid(), t.version_id, 'MONTH', s.status, now(), 'UTC',
                    case when s.status = 'CANCELLED' then now() end, now(), now()
               from shared.plan_terms t, unnest(array['ACTIVE', 'CANCELLED']) s (status);
             insert into shared.subscription_periods (tenant_id, id, subscription_id, version_id, billing_interval, mode, starts_at, ends_at, cycle_start, cycle_end)
             select tenant_id, gen_random_uuid(), id, version_id, 'MONTH', 'BILLED', at, at + interval '1 day', at, at + interval '1 month'
               from (select s.*, now() + case when status = 'ACTIVE' then interval '1 year' else interval '0' end as at from shared.subscriptions s) s;
             insert into shared.billing_accounts (tenant_id, updated_at) select tenant_id, now() from shared.tenant_state;
             insert into shared.billing_profiles (tenant_id, updated_at) select tenant_id, now() from shared.tenant_state;
             insert into shared.usage_closings select tenant_id, now() from shared.tenant_state;
             insert into shared.invoices (tenant_id, id, subscription_id, falls_due, state, number, currency, net_minor, tax_minor, total_minor, tax_rate_ppm, tax_name, recipient, created_at, issued_at, due_at)
             select s.tenant_id, gen_random_uuid(), s.id, now() + n * interval '1 day', i.state, case when n > 1 then row_number() over (partition by s.tenant_id) end,
                    'EUR', 1, 0, 1, 0, 'VAT', '{}', now(), case when n > 1 then now() end, case when n > 1 then now() end
               from shared.subscriptions s, unnest(array['DRAFT', 'OPEN', 'PAID']) with ordinality i (state, n) where s.status = 'ACTIVE';
             insert into shared.invoice_lines (tenant_id, id, invoice_id, position, kind, name, net_minor, tax_minor)
             select tenant_id, gen_random_uuid(), id, 1, 'BALANCE', 'x', 1, 0 from shared.invoices;
             insert into shared.credit_notes (tenant_id, id, invoice_id, number, amount_minor, tax_minor, balance_minor, currency, reason, issued_at)
             select tenant_id, gen_random_uuid(), id, number, 1, 0, 0, 'EUR', 'x', now() from shared.invoices where number is not null;
             insert into shared.checkout_sessions (tenant_id, id, plan_id, version_id, billing_interval, state, priced_at, amount_minor, currency, success_url, cancel_url, provider, expires_at)
             select tenant_id, gen_random_uuid(), plan_id, version_id, 'MONTH', 'EXPIRED', now(), 1, 'EUR', 'x', 'x', 'x', now() from shared.plan_terms;
             insert into shared.payments (tenant_id, id, invoice_id, state, amount_minor, currency, provider, created_at)
             select i.tenant_id, gen_random_uuid(), i.id, p.state, 1, 'EUR', 'x', now() from shared.invoices i, unnest(array['FAILED', 'SUCCEEDED']) p (state);
             insert into shared.handled_payment_events select tenant_id, 'x', called, now() from shared.tenant_state, unnest(array['A', 'B']) called;
             insert into directory.plan_versions (id, plan_id, version, terms, created_at)
             select gen_random_uuid(), id, 2, '{\"prices\": [], \"limits\": {}, \"features\": []}', now() from directory.plans;
             insert into directory.feature_rollouts values ('one', 1, 1), ('two', 2, 2);
             insert into directory.tenant_moves (id, tenant_id, from_isolation, to_isolation, to_url, created_at)
             select gen_random_uuid(), id, 'SHARED', 'SCHEMA', 'postgresql:///?schema=x', now() from directory.tenants;
             insert into directory.store_leftovers select gen_random_uuid(), id, 'SHARED', null, now() from directory.tenants;
             insert into directory.payment_customers select 'x', id::text, id from directory.tenants;
             insert into directory.payment_events (provider, event_id, kind, received_at, available_at, state)
             values ('x', 'a', 'x', now(), now(), 'DONE'), ('x', 'b', 'x', now(), now(), 'WAITING');
             insert into directory.platform_events (id, at, administrator_id, action)
             select gen_random_uuid(), now(), null, 'test.event' from generate_series(1, 2);
             insert into directory.account_requests (id, kind, email, created_at, available_at)
             select gen_random_uuid(), 'PASSWORD_RESET', 'a@b.c', now(), now() from generate_series(1, 2)",
        )
        .await;
        app.by_hand(
            "insert into directory.platform_administrators (id, email, name, password_hash, created_at)
             values ('00000000-0000-7000-8000-000000000001', 'root@example.test', 'Root', '$argon2id$x', now()),
                    ('00000000-0000-7000-8000-000000000002', 'other@example.test', 'Other', '$argon2id$x', now());
             insert into directory.platform_sessions (id, administrator_id, created_at, expires_at)
             select gen_random_uuid(), id, now(), now() from directory.platform_administrators;
             insert into directory.tenants (id, slug, name, state, created_at, erase_after)
             values (gen_random_uuid(), 'begun', 'Begun', 'CREATING', now(), null),
                    (gen_random_uuid(), 'gone', 'Gone', 'DELETED', now(), now() - interval '1 day');
             insert into directory.sign_in_throttles values (decode(repeat('00', 32), 'hex'), now())",
        )
        .await;
        let tables = tables(&app, &acme).await;
        Self { app, acme, tables }
    }

    fn user_of(&self, role: &str) -> String {
        let person = match role {
            "ADMIN" => &self.acme.admin,
            "STAFF" => &self.acme.staff,
            "USER" => &self.acme.user,
            "PLATFORM_ADMIN" => return "00000000-0000-7000-8000-000000000001".into(),
            _ => return String::new(),
        };
        person.id.0.to_string()
    }

    /// What each role can do to one table, on this connection, which must act as the app's role inside a transaction.
    async fn probe(&self, client: &Client, table: &Table) -> BTreeMap<(&'static str, &'static str), Reach> {
        let mut reaches = BTreeMap::new();
        for role in ROLES {
            let (tenant, user, name) = match role {
                "no scope" => (String::new(), String::new(), ""),
                _ => (self.acme.id.0.to_string(), self.user_of(role), role),
            };
            for (setting, value) in [("tenant_id", tenant.as_str()), ("user_id", &user), ("role", name)] {
                client.execute("select set_config('app.' || $1, $2, true)", &[&setting, &value]).await.unwrap();
            }
            for command in COMMANDS {
                let mut reach = Reach::default();
                for row in &table.rows {
                    if table.allows(client, command, row).await {
                        *if row.is_own { &mut reach.own } else { &mut reach.foreign } += 1;
                    }
                }
                reaches.insert((command, role), reach);
            }
            for command in BLIND {
                reaches.insert((command, role), table.blindly(client, command).await);
            }
        }
        reaches
    }

    async fn matrix(&self) -> String {
        let client = self.app.database.connect("tenantry_app").await;
        client.batch_execute("begin").await.unwrap();
        let mut text = String::from(HEADING);
        let _ = writeln!(text, "{:<44}{}", "", ROLES.map(|it| format!("{it:<15}")).concat().trim_end());
        for table in &self.tables {
            let reaches = self.probe(&client, table).await;
            for command in COMMANDS {
                for blind in BLIND.iter().filter(|_| table.schema == "shared") {
                    let foreign = ROLES.map(|role| reaches[&(*blind, role)].foreign);
                    assert_eq!(foreign, [0; ROLES.len()], "{blind} on {} reaches another tenant's rows", table.name);
                }
                let cells = ROLES.map(|role| table.describe(command, reaches[&(command, role)]));
                let _ = writeln!(
                    text,
                    "{:<44}{}",
                    format!("{}.{} {command}", table.schema, table.name),
                    cells.map(|it| format!("{it:<15}")).concat().trim_end()
                );
            }
        }
        text
    }
}

const HEADING: &str = "\
# What row-level security lets each role do, without any filter in the statement. Written by tests/it/policy_matrix.rs.
# all: every row of its own tenant. some: a part of them, such as a person's own. - : none.
# No cell reaches a row of another tenant; tables of the directory belong to none. The update tried on bookings cancels,
# the one on claims releases.
";

impl Table {
    /// Whether the scope can do this to this row; the change is undone.
    async fn allows(&self, client: &Client, command: &str, row: &Row) -> bool {
        let table = format!("{}.{}", self.schema, self.name);
        let found = self.key.iter().map(|it| format!("t.{it} = r.{it}")).collect::<Vec<_>>().join(" and ");
        let record = format!("jsonb_populate_record(null::{table}, $1) r");
        let sql = match command {
            "select" => format!("select 1 from {table} t, {record} where {found}"),
            "insert" if self.insertable.is_empty() => return false,
            "insert" => {
                let columns = self.insertable.join(", ");
                format!("insert into {table} ({columns}) select {columns} from {record}")
            }
            "update" => {
                let Some(column) = self.updatable.last() else { return false };
                let change = match self.name.as_str() {
                    "bookings" => "status = 'CANCELLED'".into(),
                    "booking_claims" => "active = false".into(),
                    _ => format!("{column} = t.{column}"),
                };
                format!("update {table} t set {change} from {record} where {found}")
            }
            _ => format!("delete from {table} t using {record} where {found}"),
        };
        client.batch_execute("savepoint probe").await.unwrap();
        let mut json = row.json.clone();
        if command == "insert" && self.key.contains(&"id".to_owned()) {
            json["id"] = uuid::Uuid::now_v7().to_string().into();
        }
        let outcome = client.execute(&sql, &[&json]).await;
        client.batch_execute("rollback to savepoint probe").await.unwrap();
        match outcome {
            Ok(rows) => rows > 0,
            Err(error) => {
                // A row-level refusal comes before any constraint check: another error means that the policies allowed
                // it.
                let code = error.code().unwrap_or_else(|| panic!("{sql}: {error}"));
                let constraints = ["23505", "23503", "23P01", "23514"];
                assert!(
                    *code == SqlState::INSUFFICIENT_PRIVILEGE || constraints.contains(&code.code()),
                    "{sql}: {error:?}"
                );
                *code != SqlState::INSUFFICIENT_PRIVILEGE
            }
        }
    }

    /// How many rows the command reaches when it names none.
    async fn blindly(&self, client: &Client, command: &str) -> Reach {
        let table = format!("{}.{}", self.schema, self.name);
        let record = format!("jsonb_populate_record(null::{table}, $1)");
        let sql = match (command, self.updatable.last()) {
            // The rows that a role can produce are fewer than the rows it can change.
            ("blind step up", _) if self.name == "bookings" => {
                format!("update {table} set status = 'CONFIRMED' where $1::jsonb is not null")
            }
            ("blind step up", _) if self.name == "booking_claims" => {
                format!("update {table} set active = true where $1::jsonb is not null")
            }
            ("blind step up", _) if self.name == "waitlist_entries" => {
                format!("update {table} set left_at = null where $1::jsonb is not null")
            }
            ("blind step up", _) if self.name == "webhook_deliveries" => {
                format!("update {table} set status = 'DELIVERED' where $1::jsonb is not null")
            }
            ("blind step up", _) if self.name == "users" => {
                format!("update {table} set role = 'ADMIN' where $1::jsonb is not null")
            }
            ("blind step up", _) | ("blind update", None) => return Reach::default(),
            ("blind update", Some(_)) if self.name == "bookings" => {
                format!("update {table} set status = 'CANCELLED' where $1::jsonb is not null")
            }
            ("blind update", Some(_)) if self.name == "booking_claims" => {
                format!("update {table} set active = false where $1::jsonb is not null")
            }
            ("blind update", Some(column)) => format!("update {table} set {column} = ({record}).{column}"),
            _ => format!("delete from {table} where $1::jsonb is not null"),
        };
        client.batch_execute("savepoint probe").await.unwrap();
        let outcome = client.execute(&sql, &[&self.rows[0].json]).await;
        client.batch_execute("rollback to savepoint probe").await.unwrap();
        let own = self.rows.iter().filter(|row| row.is_own).count();
        match outcome {
            Ok(rows) => Reach { own: own.min(rows as usize), foreign: (rows as usize).saturating_sub(own) },
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Reach::default(),
            Err(error) => {
                let constraints =
                    [SqlState::FOREIGN_KEY_VIOLATION, SqlState::CHECK_VIOLATION, SqlState::UNIQUE_VIOLATION];
                assert!(error.code().is_some_and(|it| constraints.contains(it)), "{sql}: {error:?}");
                Reach { own: usize::MAX, foreign: 0 } // Allowed by the policies, stopped by a key.
            }
        }
    }

    fn describe(&self, command: &str, reach: Reach) -> &'static str {
        let own = self.rows.iter().filter(|row| row.is_own).count();
        if self.schema == "shared" {
            assert_eq!(reach.foreign, 0, "{command} on {} reaches another tenant's rows", self.name);
        }
        let (reached, all) = match self.schema {
            "shared" => (reach.own, own),
            _ => (reach.own + reach.foreign, self.rows.len()),
        };
        assert!(
            all > 1 || self.schema != "shared" || SINGLE_ROW.contains(&self.name.as_str()),
            "{} needs rows",
            self.name
        );
        match reached {
            0 => "-",
            it if it == all => "all",
            _ => "some",
        }
    }
}

/// Tables in which a tenant of this fixture has one row.
const SINGLE_ROW: [&str; 10] = [
    "tenant_state",
    "tenant_settings",
    "audit_heads",
    "services",
    "outbox",
    "usage_counters",
    "usage_closings",
    "usage_days",
    "billing_accounts",
    "billing_profiles",
];

async fn tables(app: &TestApp, acme: &TestTenant) -> Vec<Table> {
    let superuser = app.database.connect("postgres").await;
    let mut tables = Vec::new();
    for schema in ["directory", "shared"] {
        let names = superuser
            .query(
                "select relname::text from pg_class where relnamespace = $1::text::regnamespace and relkind = 'r'
                    and relname <> 'refinery_schema_history' order by 1",
                &[&schema],
            )
            .await
            .unwrap();
        for name in names {
            let name: String = name.get(0);
            let columns = async |privilege: &str| -> Vec<String> {
                let sql = "select attname::text from pg_attribute where attrelid = $1::text::regclass and attnum > 0
                    and has_column_privilege('tenantry_app', attrelid, attnum, $2) order by attnum";
                let rows = superuser.query(sql, &[&format!("{schema}.{name}"), &privilege]).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            };
            let key = superuser
                .query(
                    "select a.attname::text from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
                      where i.indrelid = $1::text::regclass and i.indisprimary",
                    &[&format!("{schema}.{name}")],
                )
                .await
                .unwrap();
            let rows = superuser.query(&format!("select to_jsonb(t) from {schema}.{name} t"), &[]).await.unwrap();
            let own = acme.id.0.to_string();
            let rows = rows.iter().map(|row| row.get::<_, Value>(0));
            tables.push(Table {
                schema,
                insertable: columns("INSERT").await,
                updatable: columns("UPDATE").await,
                key: key.iter().map(|row| row.get(0)).collect(),
                rows: rows.map(|json| Row { is_own: json["tenant_id"] == own.as_str(), json }).collect(),
                name,
            });
        }
    }
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_matrix() {
    let matrix = Box::pin(Fixture::make()).await.matrix().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/policy_matrix.txt");
    if std::env::var_os("UPDATE_POLICY_MATRIX").is_some() {
        std::fs::write(file, &matrix).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        matrix, expected,
        "policies differ from tests/it/policy_matrix.txt; read what changed, then see the test's top"
    );
}

/// Nobody can erase a tenant except a deleted one after its restore period: not even the platform.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_deleted_tenant_is_erased_and_only_in_time() {
    let app = TestApp::start().await;
    let (acme, globex) = (app.tenant("acme").await, app.tenant("globex").await);
    let superuser = app.database.connect("postgres").await;
    let attempt = async |state: &str, erase_after: &str, role: &str, of: &TestTenant| {
        superuser
            .batch_execute(&format!(
                "begin; set local search_path = shared;
                 update tenant_state set state = '{state}', erase_after = {erase_after} where tenant_id = '{0}';
                 set local role tenantry_app;
                 select set_config('app.tenant_id', '{1}', true), set_config('app.role', '{role}', true)",
                acme.id.0, of.id.0
            ))
            .await
            .unwrap();
        let rows = superuser.execute("delete from tenant_state where true", &[]).await.unwrap();
        superuser.batch_execute("rollback").await.unwrap();
        rows
    };
    assert_eq!(attempt("DELETED", "now() - interval '1 second'", "PLATFORM_ADMIN", &acme).await, 1);
    for role in ["ADMIN", "AUTHENTICATOR", "WORKER", ""] {
        assert_eq!(attempt("DELETED", "now() - interval '1 second'", role, &acme).await, 0, "{role}");
    }
    assert_eq!(attempt("DELETED", "now() - interval '1 second'", "PLATFORM_ADMIN", &globex).await, 0);
    assert_eq!(attempt("DELETED", "now() + interval '1 day'", "PLATFORM_ADMIN", &acme).await, 0);
    for state in ["ACTIVE", "SUSPENDED", "MOVING", "CREATING"] {
        assert_eq!(attempt(state, "null", "PLATFORM_ADMIN", &acme).await, 0, "{state}");
    }
}

/// Policies whose check matters only while a tenant is being created, which the fixture's are not: see the last test.
///
/// The condition of the others covers the whole check: an unreachable row needs no check.
const BY_ITSELF: [&str; 4] = ["tenants_update", "tenant_state_update", "plan_versions_update", "payments_update"];

/// A caller who signs up can turn only the tenant that they began into an active one, in the directory and in its
/// store, and cannot change any other tenant.
#[tokio::test(flavor = "multi_thread")]
async fn signing_up_only_finishes_what_it_began() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let superuser = app.database.connect("postgres").await;
    for (schema, key, table, policy) in [
        ("directory", "id", "tenants", "tenants_update"),
        ("shared", "tenant_id", "tenant_state", "tenant_state_update"),
    ] {
        let attempt = async |before: &str, after: &str, change: &str| {
            superuser
                .batch_execute(&format!(
                    "begin; set local search_path = {schema};
                     update {table} set state = '{before}' where {key} = '{0}'; {change}; set local role tenantry_app;
                     select enter('{0}', null, 'AUTHENTICATOR', null, true)",
                    acme.id.0
                ))
                .await
                .unwrap();
            let sql = format!("update {table} set state = '{after}' where {key} = '{}'", acme.id.0);
            let outcome = superuser.execute(&sql, &[]).await.map_err(|error| error.code().cloned());
            superuser.batch_execute("rollback").await.unwrap();
            outcome
        };
        let refused = Err(Some(SqlState::INSUFFICIENT_PRIVILEGE));
        assert_eq!(attempt("CREATING", "ACTIVE", "").await, Ok(1), "{table}");
        assert_eq!(attempt("CREATING", "SUSPENDED", "").await, refused, "{table}");
        assert_eq!(attempt("SUSPENDED", "ACTIVE", "").await, Ok(0), "{table}");
        // It is the check that refuses.
        let opened = format!("alter policy {policy} on {table} with check (true)");
        assert_eq!(attempt("CREATING", "SUSPENDED", &opened).await, Ok(1), "{table}");
    }
}

/// Each policy is dropped, and then opened wide, in its own transaction: both must change the matrix.
#[tokio::test(flavor = "multi_thread")]
async fn no_policy_can_go_or_open_unnoticed() {
    let fixture = Box::pin(Fixture::make()).await;
    let app_role = fixture.app.database.connect("tenantry_app").await;
    app_role.batch_execute("begin").await.unwrap();
    let superuser = fixture.app.database.connect("postgres").await;
    let mut checked = 0;
    for table in &fixture.tables {
        let intact = fixture.probe(&app_role, table).await;
        let policies = superuser
            .query("select policyname::text, qual is not null, with_check is not null, coalesce(qual <> with_check, false) from pg_policies where schemaname = $1 and tablename = $2", &[&table.schema, &table.name])
            .await
            .unwrap();
        assert!(!policies.is_empty(), "{} has no policy", table.name);
        for policy in policies {
            let (name, has_using, has_check): (String, bool, bool) = (policy.get(0), policy.get(1), policy.get(2));
            let differ: bool = policy.get(3);
            let on = format!("policy {name} on {}.{}", table.schema, table.name);
            let mut opened = format!("alter {on}");
            opened.push_str(if has_using { " using (true)" } else { "" });
            opened.push_str(if has_check { " with check (true)" } else { "" });
            let mut changes = vec![format!("drop {on}"), opened];
            if differ {
                // The check covers more than the condition, so it is opened alone too.
                if !BY_ITSELF.contains(&name.as_str()) {
                    changes.push(format!("alter {on} with check (true)"));
                }
            }
            for change in changes.into_iter().filter(|it| !it.starts_with("drop policy tenant_state_delete")) {
                superuser.batch_execute(&format!("begin; {change}; set local role tenantry_app")).await.unwrap();
                let broken = fixture.probe(&superuser, table).await;
                superuser.batch_execute("rollback").await.unwrap();
                assert_ne!(broken, intact, "nothing tells that somebody did: {change}");
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "{checked}");
}
