//! How long `tenantry migrate` takes for many stores: 1,000 schemas and 200 databases that lack one migration, and
//! again when none lacks any. `just bench-fleet`; about twenty minutes, most of which create the schemas.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark must stop at an unexpected result")]

use std::time::{Duration, Instant};

use tenantry::db::schemas;
use tenantry::{
    base::{clock::Clock, ids::TenantId},
    db::{Gate, Isolation, PoolSettings, migrations, roles},
    embedded::{Cluster, Options},
    features::platform::moving::Places,
    fleet::{Fleet, Logins},
};
use tokio_postgres::{Client, Config, NoTls};

const SCHEMAS: usize = 1_000;
const DATABASES: usize = 200;
const AT_ONCE: usize = 4;

/// The number that follows this word on the command line.
fn number(word: &str, usual: usize) -> usize {
    std::env::args().skip_while(|it| it != word).nth(1).map_or(usual, |it| it.parse().unwrap())
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn main() {
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let (schemas, databases) = (number("schemas", SCHEMAS), number("databases", DATABASES));
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), mode).unwrap();
    let cluster = Cluster::start(&Options {
        data_dir: &folder.path().join("cluster"),
        bin_dir: None,
        settings: &[("max_locks_per_transaction", "256")],
        roles: &[roles::OWNER, roles::APP, roles::PLATFORM],
        progress: &|line| eprintln!("  {line}"),
    })
    .unwrap();
    let superuser = connect(&cluster.connection_url("postgres", "postgres")).await;
    superuser.batch_execute("create database tenantry").await.unwrap();
    superuser.batch_execute(roles::BOOTSTRAP_ROLES).await.unwrap();
    let inside = connect(&cluster.connection_url("postgres", "tenantry")).await;
    inside.batch_execute(roles::BOOTSTRAP_DATABASE).await.unwrap();
    let url = |role| cluster.connection_url(role, "tenantry");
    migrations::migrate(&url(roles::OWNER)).await.unwrap();
    let gate = Gate::try_new(&url(roles::APP), PoolSettings::default()).unwrap();
    let fleet = Fleet::new(gate, Logins::try_new(&url(roles::OWNER), &url(roles::PLATFORM)).unwrap(), Clock::system());
    let owner: Config = url(roles::OWNER).parse().unwrap();
    let before = migrations::newest_of_stores() - 1;

    // Databases are clones of one that lacks a migration, like the template of an earlier version.
    let old = "tenantry_old";
    superuser.batch_execute(&format!("create database {old} owner {}", roles::OWNER)).await.unwrap();
    let old_inside = connect(&cluster.connection_url("postgres", old)).await;
    old_inside.batch_execute(roles::BOOTSTRAP_DATABASE).await.unwrap();
    drop(old_inside);
    let mut old_owner = owner.clone();
    old_owner.dbname(old);
    migrations::migrate_store_to(&old_owner, schemas::OWN_SCHEMA, before).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut making = tokio::task::JoinSet::new();
    let (begin, mut made) = (Instant::now(), 0);
    for nth in 0..schemas + databases {
        let isolation = if nth < schemas { Isolation::Schema } else { Isolation::Database };
        let id = TenantId(uuid::Uuid::now_v7());
        let place = Places::default().new_place(isolation, None, id).unwrap();
        let location = place.location().unwrap().clone();
        let sql = "insert into directory.tenants (id, slug, name, created_at, isolation, url, store_ready_at)
             values ($1, $2, $2, now(), $3, $4, now())";
        let slug = format!("tenant-{nth}");
        inside.execute(sql, &[&id.0, &slug, &isolation.as_str(), &place.url()]).await.unwrap();
        if let Some(database) = &location.database {
            let clone = format!("create database {database} template {old} owner {}", roles::OWNER);
            superuser.batch_execute(&clone).await.unwrap();
        } else {
            let owner = owner.clone();
            making.spawn(async move { migrations::migrate_store_to(&owner, &location.schema, before).await.unwrap() });
            if making.len() >= AT_ONCE {
                making.join_next().await;
            }
        }
        made += 1;
        if made % 100 == 0 {
            eprintln!("  {made} made in {:.0} s", begin.elapsed().as_secs_f64());
        }
    }
    while making.join_next().await.is_some() {}
    println!("{schemas} schemas and {databases} databases made in {:.0} s", begin.elapsed().as_secs_f64());
    for what in ["one migration each", "nothing to do"] {
        let begin = Instant::now();
        let done = fleet.upgrade(fleet.stores().await.unwrap(), |_| ()).await;
        let failed: Vec<_> = done.iter().filter(|it| it.applied.is_err()).collect();
        assert!(failed.is_empty(), "{failed:?}");
        println!("{} stores, {what}: {:.1} s", done.len(), begin.elapsed().as_secs_f64());
    }
    let begin = Instant::now();
    let standing = fleet.standing().await.unwrap();
    assert!(standing.iter().all(|it| it.behind() == Some(0)));
    println!("{} stores, how they stand: {:.1} s", standing.len(), begin.elapsed().as_secs_f64());
    drop((superuser, inside));
    tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
}
