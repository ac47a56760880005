//! Rules for every table, checked against PostgreSQL's catalogue of the migrated database: the first part is what
//! row-level security needs, the second what a sharded database (Citus) needs. Every query returns its violations.

use tenantry::db::Isolation;

use crate::support::{Options, TestApp, TestDatabase};

/// The tables of tenants: those of the shared store. (The directory has rules of its own, below.)
const TENANT_TABLES: &str = "with t as (
    select c.oid, c.oid::regclass::text as name, c.relname, c.relowner, c.relrowsecurity, c.relforcerowsecurity, a.attnum as tenant, a.attnotnull
      from pg_class c
      left join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
     where c.relnamespace = 'shared'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'refinery_schema_history')";

const RULES: &[(&str, &str)] = &[
    ("the app role has no privilege of its own", "select rolname::text from pg_roles where rolname = 'tenantry_app' and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication)"),
    ("the app role can become nobody else", "select rolname::text from pg_roles where rolname <> 'tenantry_app' and pg_has_role('tenantry_app', oid, 'MEMBER')"),
    ("the owner is bound by the policies too", "select rolname::text from pg_roles where rolname = 'tenantry_owner' and (rolsuper or rolbypassrls)"),
    ("only the owner owns", "select name from t where relowner <> 'tenantry_owner'::regrole"),
    ("every tenant table has a tenant, never null", "select name from t where tenant is null or not attnotnull"),
    ("row-level security is enabled and forced", "select name from t where not relrowsecurity or not relforcerowsecurity"),
    ("whatever is granted has one policy", "select name || ' ' || privilege from t cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE'], array['r', 'a', 'w', 'd']) k (privilege, command)
        where has_any_column_privilege('tenantry_app', t.oid, case privilege when 'DELETE' then 'SELECT' else privilege end)
          and (privilege <> 'DELETE' or has_table_privilege('tenantry_app', t.oid, 'DELETE'))
          and 1 <> (select count(*) from pg_policy p where p.polrelid = t.oid and p.polcmd::text in (k.command, '*'))"),
    ("no two policies for one command", "select name from t join pg_policy p on p.polrelid = t.oid cross join unnest(array['r', 'a', 'w', 'd']) c (command) where p.polcmd::text in (c.command, '*') group by name, c.command having count(*) > 1"),
    ("no restrictive policy, which Citus makes permissive", "select name || '.' || polname from t join pg_policy p on p.polrelid = t.oid where not polpermissive"),
    ("no policy for everybody", "select name || '.' || polname from t join pg_policy p on p.polrelid = t.oid where polroles = '{0}'"),
    ("each policy says tenant and role", "select name || '.' || polname from t join pg_policy p on p.polrelid = t.oid cross join unnest(array[pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)]) e (x)
        where x is not null and (x not like '%tenant_id = %current_tenant_id()%' or x not like '%current_app_role()%')"),
    ("no sub-select in a policy", "select name || '.' || polname from t join pg_policy p on p.polrelid = t.oid where coalesce(polqual::text, '') || coalesce(polwithcheck::text, '') like '%{SUBLINK%'"),
    ("policy functions are stable SQL without tables", "select f.oid::regprocedure::text from pg_proc f join pg_language l on l.oid = f.prolang
        where f.pronamespace = 'shared'::regnamespace and f.proname like 'current%' and (l.lanname <> 'sql' or f.provolatile <> 's' or f.prosecdef or f.prosrc ~* '\\mfrom\\M')"),
    ("nothing runs as its definer", "select p.oid::regprocedure::text from pg_proc p where p.pronamespace in ('shared'::regnamespace, 'directory'::regnamespace) and (prosecdef or proleakproof)"),
    ("no table is granted whole", "select name || ' ' || privilege from t cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) k (privilege) where has_table_privilege('tenantry_app', t.oid, privilege)
        and (privilege not in ('SELECT', 'INSERT', 'UPDATE') or exists (select from pg_class c cross join aclexplode(c.relacl) a where c.oid = t.oid and a.grantee = 'tenantry_app'::regrole and a.privilege_type = privilege))"),
    ("the app role creates nothing", "select nspname::text from pg_namespace where nspname !~ '^pg_' and has_schema_privilege('tenantry_app', oid, 'CREATE') union all select 'temporary tables' where has_database_privilege('tenantry_app', current_database(), 'TEMP')"),
    ("no view, which would ignore the policies", "select c.oid::regclass::text from pg_class c where c.relnamespace in ('shared'::regnamespace, 'directory'::regnamespace) and c.relkind in ('v', 'm', 'f')"),
    ("keys and exclusions carry the tenant", "select i.indexrelid::regclass::text from t join pg_index i on i.indrelid = t.oid where (indisunique or indisexclusion) and i.indkey[0] <> t.tenant"),
    ("foreign keys carry the tenant, in the same place", "select name || '.' || conname from t join pg_constraint k on k.conrelid = t.oid and k.contype = 'f'
        where not exists (select from unnest(k.conkey, k.confkey) c (own, other) join pg_attribute a on a.attrelid = k.confrelid and a.attnum = c.other where c.own = t.tenant and a.attname = 'tenant_id')"),
    ("deletes restrict or cascade", "select name || '.' || conname from t join pg_constraint k on k.conrelid = t.oid and k.contype = 'f' where confdeltype not in ('r', 'c') or confupdtype <> 'a'"),
    ("what restricts goes with its tenant", "select distinct name from t join pg_constraint k on k.conrelid = t.oid and k.contype = 'f' and k.confdeltype = 'r'
        where not exists (select from pg_constraint c where c.conrelid = t.oid and c.contype = 'f' and c.confrelid = 'shared.tenant_state'::regclass and c.confdeltype = 'c')"),
    ("no foreign key from outside", "select conrelid::regclass || '.' || conname from t join pg_constraint k on k.confrelid = t.oid and k.contype = 'f' where k.conrelid not in (select oid from t)"),
    ("a primary key everywhere", "select name from t where not exists (select from pg_index i where i.indrelid = t.oid and i.indisprimary)"),
    ("no triggers", "select name || '.' || tgname from t join pg_trigger g on g.tgrelid = t.oid where not tgisinternal"),
    ("no sequences or identities", "select name || '.' || attname from t join pg_attribute a on a.attrelid = t.oid where attidentity <> '' or exists (select from pg_attrdef d where d.adrelid = t.oid and d.adnum = a.attnum and pg_get_expr(d.adbin, d.adrelid) like 'nextval(%')"),
    ("no enum types", "select typname::text from pg_type where typtype = 'e' and typnamespace in ('shared'::regnamespace, 'directory'::regnamespace)"),
    ("instants have a zone", "select name || '.' || attname from t join pg_attribute a on a.attrelid = t.oid where a.attnum > 0 and a.atttypid = 'timestamp'::regtype"),
    ("money is whole minor units", "select name || '.' || attname from t join pg_attribute a on a.attrelid = t.oid where a.attnum > 0 and (a.atttypid in ('numeric'::regtype, 'money'::regtype, 'float8'::regtype, 'float4'::regtype) or (attname like '%_minor' and a.atttypid <> 'bigint'::regtype))"),
    ("every table says what it is for", "select name from t where obj_description(oid, 'pg_class') is null"),
    ("nothing is published", "select name from t join pg_publication_rel r on r.prrelid = t.oid"),
];

const DIRECTORY_RULES: &[(&str, &str)] = &[
    ("row-level security is enabled and forced", "select name from d where not relrowsecurity or not relforcerowsecurity"),
    ("each policy says the role, and is for the app's alone", "select name || '.' || polname from d join pg_policy p on p.polrelid = d.oid cross join unnest(array[pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)]) e (x)
        where (x is not null and x not like '%current_app_role()%') or polroles = '{0}' or not polpermissive"),
    ("no two policies for one command", "select name from d join pg_policy p on p.polrelid = d.oid group by name, polcmd having count(*) > 1"),
    ("no password but the operators'", "select name || '.' || attname from d join pg_attribute a on a.attrelid = d.oid where attname ~ 'password|hash|secret' and relname <> 'platform_administrators'"),
    ("every table says what it is for", "select name from d where obj_description(oid, 'pg_class') is null"),
];
const DIRECTORY_TABLES: &str = "with d as (select c.oid, c.oid::regclass::text as name, c.relname, c.relrowsecurity, c.relforcerowsecurity from pg_class c
     where c.relnamespace = 'directory'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'refinery_schema_history')";

async fn violations(database: &TestDatabase) -> Vec<String> {
    let client = database.connect("postgres").await;
    let rules =
        RULES.iter().map(|it| (TENANT_TABLES, it)).chain(DIRECTORY_RULES.iter().map(|it| (DIRECTORY_TABLES, it)));
    broken(&client, rules.map(|(tables, (rule, sql))| (*rule, format!("{tables} {sql}")))).await
}

async fn broken(client: &tokio_postgres::Client, rules: impl Iterator<Item = (&'static str, String)>) -> Vec<String> {
    let mut found = Vec::new();
    for (rule, sql) in rules {
        let rows = client.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{rule}: {error:?}"));
        found.extend(rows.iter().map(|row| format!("{rule}: {}", row.get::<_, String>(0))));
    }
    found
}

/// The rules of tenant tables hold in every store on its own: in a schema, and in a cloned database.
#[tokio::test(flavor = "multi_thread")]
async fn every_store_keeps_every_rule() {
    for isolation in [Isolation::Schema, Isolation::Database] {
        let app = TestApp::start_with(Options { isolation, ..Options::default() }).await;
        let acme = app.tenant("acme").await;
        let placement = app.gate.placement(acme.id).await.unwrap();
        let schema = placement.location().unwrap().schema.clone();
        let here = |sql: &str| {
            let sql = sql.replace("'shared'", &format!("'{schema}'")).replace("'shared.", &format!("'{schema}."));
            // A database of its own has no directory.
            if isolation == Isolation::Database { sql.replace(", 'directory'::regnamespace", "") } else { sql }
        };
        let rules = || RULES.iter().map(|(rule, sql)| (*rule, here(&format!("{TENANT_TABLES} {sql}"))));
        let client = acme.store("postgres").await;
        assert_eq!(broken(&client, rules()).await, Vec::<String>::new(), "{isolation:?}");
        // This was the store that was checked.
        client.batch_execute("alter table bookings no force row level security").await.unwrap();
        let found = broken(&client, rules()).await;
        assert!(found.iter().any(|it| it.contains("enabled and forced")), "{found:?}");
        // A server that finds this refuses to serve it.
        let fresh = TestApp::on(app.database.clone(), Options { isolation, ..Options::default() }).await;
        let ours = crate::support::Person { app: fresh, ..acme.user.clone() };
        assert_eq!(crate::support::code(&ours.run("{ viewer { id } }").await), "UNAVAILABLE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_keeps_every_rule() {
    let app = TestApp::start().await;
    assert_eq!(violations(&app.database).await, Vec::<String>::new());
}

/// Each rule is broken on purpose, and the violation is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_rule_is_found() {
    let app = TestApp::start().await;
    let table = "create table shared.extras (tenant_id uuid not null, id uuid not null, at timestamptz, primary key (tenant_id, id)); alter table shared.extras owner to tenantry_owner; comment on table shared.extras is 'x'; alter table shared.extras enable row level security; alter table shared.extras force row level security";
    let select = "create policy s on shared.extras for select to tenantry_app using (tenant_id = shared.current_tenant_id() and shared.current_app_role() = 'ADMIN')";
    for (breakage, rule) in [
        ("alter table shared.services no force row level security", "enabled and forced"),
        ("alter table shared.services disable row level security", "enabled and forced"),
        ("alter table directory.logins no force row level security", "enabled and forced"),
        ("drop policy services_delete on shared.services", "has one policy"),
        ("grant delete on shared.bookings to tenantry_app", "has one policy"),
        ("grant select on shared.credentials to tenantry_app", "granted whole"),
        ("grant truncate on shared.bookings to tenantry_app", "granted whole"),
        (
            "create policy second on shared.services for select to tenantry_app using (tenant_id = shared.current_tenant_id() and shared.current_app_role() = 'USER')",
            "no two policies",
        ),
        (
            "create policy strict on shared.outbox as restrictive for select to tenantry_app using (true)",
            "no restrictive policy",
        ),
        (
            "alter policy services_select on shared.services using (shared.current_app_role() = 'ADMIN')",
            "says tenant and role",
        ),
        (
            "alter policy services_select on shared.services using (tenant_id = shared.current_tenant_id())",
            "says tenant and role",
        ),
        ("alter policy services_select on shared.services to public", "for everybody"),
        (
            "alter policy services_select on shared.services using (tenant_id = shared.current_tenant_id() and shared.current_app_role() in (select 'ADMIN'))",
            "no sub-select",
        ),
        ("alter function shared.current_tenant_id() immutable", "stable SQL"),
        ("alter function shared.enter(uuid, uuid, text, uuid, boolean) security definer", "as its definer"),
        ("alter table shared.occurrences drop constraint occurrences_tenant_id_fkey", "goes with its tenant"),
        ("create view shared.peek as select * from shared.users", "no view"),
        ("create unique index on shared.users (email)", "carry the tenant"),
        ("alter table shared.users add x uuid unique", "carry the tenant"),
        ("create sequence s; alter table shared.users add n bigint default nextval('s')", "no sequences"),
        ("alter table shared.services add price float8", "minor units"),
        ("alter table shared.services add at timestamp", "have a zone"),
        ("create type shared.mood as enum ('x')", "no enum"),
        (
            "create function shared.f() returns trigger language plpgsql as 'begin return new; end'; create trigger g before insert on shared.users for each row execute function shared.f()",
            "no triggers",
        ),
        ("create table shared.plain (id int)", "has a tenant"),
        (
            &format!("{table}; {select}; alter table shared.extras add b uuid references directory.tenants (id)"),
            "foreign keys carry",
        ),
        (
            "create table public.outside (a uuid, b uuid, foreign key (a, b) references shared.users (tenant_id, id))",
            "from outside",
        ),
        ("alter table shared.services owner to tenantry_app", "only the owner owns"),
        (
            "do $$ begin execute format('grant temp on database %I to tenantry_app', current_database()); end $$",
            "creates nothing",
        ),
        ("alter table directory.logins add password text", "no password"),
    ] {
        let database = TestDatabase::create().await;
        database
            .connect("postgres")
            .await
            .batch_execute(breakage)
            .await
            .unwrap_or_else(|error| panic!("{breakage}: {error:?}"));
        let found = violations(&database).await;
        assert!(found.iter().any(|it| it.contains(rule)), "{breakage} breaks {rule:?}, found: {found:#?}");
    }
    drop(app);
}
