//! Migrations: as the owner, once, whichever process starts them; and the databases on which the server refuses to
//! serve.

use std::{fs, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use tenantry::{
    db::{MigrationError, UnsafeDatabase, migrations, refuse_too_few_connections, refuse_unsafe, roles},
    embedded::{Cluster, Options},
};

use crate::support::{TestApp, TestDatabase};

/// docs/decisions/0021: refinery has no lock of its own.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_migrate_at_once_migrate_once() {
    let alone = TestDatabase::create_empty().await;
    let all = migrations::migrate(&alone.url("tenantry_owner").await).await.unwrap().len();
    assert!(all >= 19, "{all}");
    for _ in 0..3 {
        let database = TestDatabase::create_empty().await;
        let owner = database.url("tenantry_owner").await;
        let runs = (0..4).map(|_| {
            let owner = owner.clone();
            tokio::spawn(async move { migrations::migrate(&owner).await })
        });
        let mut applied = Vec::new();
        for run in futures_util::future::join_all(runs).await {
            applied.push(run.unwrap().unwrap().len());
        }
        // The directory and the store have a lock each, so two processes may have done one of them each.
        assert!(applied.iter().filter(|it| **it > 0).count() <= 2, "{applied:?}");
        assert_eq!(applied.iter().sum::<usize>(), all, "{applied:?}");
        assert!(refuse_unsafe(&database.url("tenantry_app").await).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_role_cannot_migrate() {
    let database = TestDatabase::create_empty().await;
    assert!(migrations::migrate(&database.url("tenantry_app").await).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_would_not_protect_is_refused() {
    async fn findings(url: &str) -> Vec<String> {
        match refuse_unsafe(url).await {
            Err(UnsafeDatabase::Unprotected(findings)) => findings,
            other => panic!("{other:?}"),
        }
    }
    let database = TestDatabase::create().await;
    let app = database.url("tenantry_app").await;
    assert!(refuse_unsafe(&app).await.is_ok());
    for (role, reason) in
        [("postgres", "is a superuser"), ("tenantry_platform", "has BYPASSRLS"), ("tenantry_owner", "owns the table")]
    {
        let found = findings(&database.url(role).await).await;
        assert!(found.iter().any(|it| it.contains(reason)), "{role}: {found:?}");
    }
    let superuser = database.connect("postgres").await;
    superuser.batch_execute("alter table shared.bookings no force row level security").await.unwrap();
    assert_eq!(findings(&app).await, ["the table shared.bookings has no forced row-level security"]);
    superuser.batch_execute("alter table shared.bookings force row level security; alter table directory.logins disable row level security").await.unwrap();
    assert_eq!(findings(&app).await, ["the table directory.logins has no forced row-level security"]);
}

/// In a cluster of its own, because membership belongs to a cluster.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_the_owner_is_refused() {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let path = folder.path().to_owned();
    let cluster = tokio::task::spawn_blocking(move || {
        Cluster::start(&Options {
            data_dir: &path,
            bin_dir: None,
            settings: &[("fsync", "off")],
            roles: &[roles::OWNER, roles::APP, roles::PLATFORM],
            progress: &|_| {},
        })
        .unwrap()
    })
    .await
    .unwrap();
    let (superuser, connection) =
        tokio_postgres::connect(&cluster.connection_url("postgres", "postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    superuser.batch_execute(roles::BOOTSTRAP_ROLES).await.unwrap();
    superuser.batch_execute(roles::BOOTSTRAP_DATABASE).await.unwrap();
    migrations::migrate(&cluster.connection_url(roles::OWNER, "postgres")).await.unwrap();
    let app = cluster.connection_url(roles::APP, "postgres");
    assert!(refuse_unsafe(&app).await.is_ok());
    for (other, reason) in [
        (roles::OWNER, "which owns tables"),
        (roles::PLATFORM, "which has BYPASSRLS"),
        ("postgres", "which is a superuser"),
    ] {
        superuser.batch_execute(&format!("grant {other} to {}", roles::APP)).await.unwrap();
        let refused = refuse_unsafe(&app).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("is a member of {other}, {reason}")), "{refused}");
        superuser.batch_execute(&format!("revoke {other} from {}", roles::APP)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_up_to_date_is_refused() {
    let empty = TestDatabase::create_empty().await;
    assert!(matches!(refuse_unsafe(&empty.url("tenantry_app").await).await, Err(UnsafeDatabase::OutOfDate(_))));
    let database = TestDatabase::create().await;
    let superuser = database.connect("postgres").await;
    superuser.batch_execute("delete from shared.refinery_schema_history where version = (select max(version) from shared.refinery_schema_history)").await.unwrap();
    assert!(matches!(refuse_unsafe(&database.url("tenantry_app").await).await, Err(UnsafeDatabase::OutOfDate(_))));
}

/// Until v0.1.0 is tagged the baseline is edited in place, so nothing leads from one development version's schema to another's.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_an_earlier_development_version_is_refused() {
    let history = |schema: &str, change: &str| format!("set search_path = {schema}; {change}");
    for (schema, change) in [
        ("directory", "update refinery_schema_history set checksum = '1' where version = 2"),
        ("shared", "update refinery_schema_history set checksum = '1' where version = 1"),
        ("shared", "update refinery_schema_history set name = 'subscriptions' where version = 3"),
        ("shared", "delete from refinery_schema_history where version = 4"),
    ] {
        let database = TestDatabase::create().await;
        database.connect("postgres").await.batch_execute(&history(schema, change)).await.unwrap();
        let refused = migrations::migrate(&database.url("tenantry_owner").await).await.unwrap_err();
        assert!(
            matches!(&refused, MigrationError::EarlierDevelopment { schema: it } if it == schema),
            "{change}: {refused:?}"
        );
        let line = refused.to_string();
        assert!(!line.contains('\n') && line.contains("earlier development version"), "{line}");
        assert!(line.contains("delete the data folder") && line.contains("`tenantry tenant export`"), "{line}");
    }
    // One that is ahead belongs to a newer program, and must not be deleted.
    let database = TestDatabase::create().await;
    let ahead =
        "insert into refinery_schema_history select version + 1, 'later', applied_on, '1' from refinery_schema_history
         order by version desc limit 1";
    database.connect("postgres").await.batch_execute(&history("shared", ahead)).await.unwrap();
    let refused = migrations::migrate(&database.url("tenantry_owner").await).await.unwrap_err();
    assert!(matches!(refused, MigrationError::Migration { .. }), "{refused:?}");
}

/// After v0.1.0 an applied file never changes: `sql/frozen.txt` lists those files. The test uses the list, not git,
/// because a clone may have no tags, and a source archive no git.
#[test]
fn a_released_migration_never_changes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("sql/frozen.txt")).unwrap();
    let frozen: Vec<(&str, &str)> = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once("  ").unwrap_or_else(|| panic!("sql/frozen.txt: {line} is no line of sha256sum")))
        .collect();
    for (expected, path) in &frozen {
        let file =
            fs::read(root.join(path)).unwrap_or_else(|error| panic!("{path} was released, and must stay: {error}"));
        let found: String = digest(&SHA256, &file).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, *expected, "{path} was released, and must not change: write a new migration");
    }
    let changelog = fs::read_to_string(root.join("CHANGELOG.md")).unwrap_or_default();
    // Keep a Changelog gives a released version its date.
    let is_released = env!("CARGO_PKG_VERSION") != "0.1.0" || changelog.contains("\n## [0.1.0] - 2");
    assert!(!is_released || !frozen.is_empty(), "0.1.0 is released: list its migrations in sql/frozen.txt");
}

/// docs/decisions/0022: with forced row-level security the owner itself sees no rows of tenants.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_sees_no_rows() {
    let app = TestApp::start().await;
    app.tenant("acme").await;
    let owner = app.database.connect("tenantry_owner").await;
    let rows = owner.query_one("select count(*) from shared.users", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 0);
}

/// The connections that all pools of one process may hold must fit into the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_too_few_connections_is_refused() {
    let database = TestDatabase::create().await;
    let url = database.url(roles::APP).await;
    let usual = tenantry::db::PoolSettings::default();
    assert_eq!(usual.most_connections(), 8 + 2 + 4 + 16);
    assert!(refuse_too_few_connections(&url, usual.most_connections()).await.is_ok());
    // The tests' server allows 300, and reserves 3 for superusers.
    assert!(refuse_too_few_connections(&url, 297).await.is_ok());
    let refused = refuse_too_few_connections(&url, 298).await.unwrap_err();
    assert!(matches!(refused, UnsafeDatabase::TooFewConnections { needed: 298, allowed: 297 }), "{refused}");
    assert!(refused.to_string().contains("DATABASE_STORE_CONNECTIONS"));
}

/// With Citus, migrating distributes tables: here stand-ins for its functions record their arguments and refuse what
/// Citus refuses. (The real one is not available on the machines that run this.)
#[tokio::test(flavor = "multi_thread")]
async fn on_citus_tables_are_distributed_by_tenant() {
    let database = TestDatabase::create_empty().await;
    let superuser = database.connect("postgres").await;
    superuser
        .batch_execute(
            "set allow_system_table_mods = on;
             create table pg_catalog.pg_dist_partition (logicalrelid oid primary key, called text, placed_with text);
             grant select, insert on pg_catalog.pg_dist_partition to public;
             create function pg_catalog.create_reference_table(p_table regclass) returns void language sql
               as $$ insert into pg_catalog.pg_dist_partition values (p_table, 'reference', null) $$;
             create function pg_catalog.create_distributed_table(p_table regclass, p_column text, colocate_with text default 'default')
               returns void language plpgsql as $$
             begin
               if exists (select from pg_constraint k where k.contype = 'f' and k.confrelid = p_table
                   and not exists (select from pg_catalog.pg_dist_partition p where p.logicalrelid = k.conrelid)) then
                 raise exception 'a local table refers to %', p_table;
               end if;
               insert into pg_catalog.pg_dist_partition values (p_table, p_column, colocate_with);
             end $$",
        )
        .await
        .unwrap();
    let keys = "select count(*)::text || ' ' || md5(string_agg(conrelid::regclass || conname || pg_get_constraintdef(oid), ',' order by conrelid::regclass::text, conname)) from pg_constraint where contype = 'f'";
    let owner = database.url("tenantry_owner").await;
    migrations::migrate(&owner).await.unwrap();
    let elsewhere = TestDatabase::create_empty().await;
    migrations::migrate(&elsewhere.url("tenantry_owner").await).await.unwrap();
    let of = async |client: &tokio_postgres::Client| client.query_one(keys, &[]).await.unwrap().get::<_, String>(0);
    assert_eq!(of(&superuser).await, of(&elsewhere.connect("postgres").await).await, "every key is as it was");
    let placed = async || {
        let sql =
            "select c.relnamespace::regnamespace::text || ' ' || called || ' ' || coalesce(placed_with, '-'), count(*)
              from pg_catalog.pg_dist_partition p join pg_class c on c.oid = p.logicalrelid group by 1 order by 1";
        let rows = superuser.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect::<Vec<(String, i64)>>()
    };
    let tables = async |schema: &str| -> i64 {
        let sql = "select count(*) from pg_class where relnamespace = $1::text::regnamespace and relkind = 'r' and relname <> 'refinery_schema_history'";
        superuser.query_one(sql, &[&schema]).await.unwrap().get(0)
    };
    let expected = vec![
        ("directory reference -".to_owned(), tables("directory").await),
        ("shared tenant_id default".to_owned(), 1),
        ("shared tenant_id tenant_state".to_owned(), tables("shared").await - 1),
    ];
    assert_eq!(placed().await, expected);
    migrations::migrate(&owner).await.unwrap();
    assert_eq!(placed().await, expected, "once");
}
