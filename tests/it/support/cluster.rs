//! The PostgreSQL of the tests: a private cluster for each test process, with a migrated template to clone.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use parking_lot::Mutex;
use tenantry::db::schemas;
use tenantry::{
    db::{migrations, roles},
    embedded::{self, Cluster, Options},
};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls, error::SqlState};

const TEMPLATE: &str = "template_tenantry";

const DATABASES_OF_TENANTS: &str = "select distinct substring(url from '^postgresql:///([a-z0-9_]+)')
       from (select url from directory.tenants union all select url from directory.store_leftovers) places
      where url ~ '^postgresql:///[a-z]'";

static CLUSTER: OnceCell<TestCluster> = OnceCell::const_new();
static OWN_TEMPLATE: OnceCell<&'static str> = OnceCell::const_new();
static NEXT_DATABASE: AtomicU32 = AtomicU32::new(1);
/// Databases whose tests have ended.
static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How many ended tests keep their databases, of 12 MB and more each. (Dropping one writes a checkpoint, which the next
/// drops find done.)
const MANY_ENDED: usize = 10;

/// The running cluster. It ends with this process: the kernel notifies PostgreSQL when its parent is gone.
pub(crate) struct TestCluster(Cluster);

/// A database of one test, a clone of the migrated template. After the test it is removed some tests later.
pub(crate) struct TestDatabase {
    pub name: String,
}

impl TestDatabase {
    /// Clones the migrated template, which takes about 50 ms.
    pub(crate) async fn create() -> Self {
        let cluster = cluster().await;
        let database = Self { name: new_name() };
        let admin = cluster.connect("postgres", "postgres").await;
        drop_ended(cluster, &admin).await;
        admin.batch_execute(&format!("create database {} template {TEMPLATE}", database.name)).await.unwrap();
        // The database's privileges are not cloned with it. And tests never depend on time limits: a machine that
        // stalls for a while must not make one fail.
        let patience = format!(
            "alter role tenantry_app in database {0} set statement_timeout = '120s';
             alter role tenantry_app in database {0} set lock_timeout = '120s';
             alter role tenantry_app in database {0} set idle_in_transaction_session_timeout = '120s'",
            database.name
        );
        let superuser = cluster.connect("postgres", &database.name).await;
        superuser.batch_execute(roles::BOOTSTRAP_DATABASE).await.unwrap();
        superuser.batch_execute(&patience).await.unwrap();
        database
    }

    /// A database with only the roles, for tests of migrations themselves.
    pub(crate) async fn create_empty() -> Self {
        let cluster = cluster().await;
        let database = Self { name: new_name() };
        let admin = cluster.connect("postgres", "postgres").await;
        admin.batch_execute(&format!("create database {}", database.name)).await.unwrap();
        cluster.connect("postgres", &database.name).await.batch_execute(roles::BOOTSTRAP_DATABASE).await.unwrap();
        database
    }

    /// The URL for a role of the cluster.
    pub(crate) async fn url(&self, role: &str) -> String {
        cluster().await.0.connection_url(role, &self.name)
    }

    /// Clones its tenants' databases from a template that all tests share.
    pub(crate) async fn prepare_template(&self) {
        let template = OWN_TEMPLATE.get_or_init(make_own_template).await;
        let admin = cluster().await.connect("postgres", "postgres").await;
        let clone = format!("create database {}_template template {template} owner tenantry_owner", self.name);
        if let Err(error) = admin.batch_execute(&clone).await {
            assert_eq!(error.code(), Some(&SqlState::DUPLICATE_DATABASE), "{error}");
        }
    }

    /// A connection as this role to any database of the cluster.
    pub(crate) async fn connect_to(role: &str, database: &str) -> Client {
        cluster().await.connect(role, database).await
    }

    /// A connection as this role.
    pub(crate) async fn connect(&self, role: &str) -> Client {
        cluster().await.connect(role, &self.name).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        ENDED.lock().push(std::mem::take(&mut self.name));
    }
}

impl TestCluster {
    async fn connect(&self, role: &str, database: &str) -> Client {
        let (client, connection) =
            tokio_postgres::connect(&self.0.connection_url(role, database), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// Drops the databases of ended tests, with those of their tenants.
async fn drop_ended(cluster: &TestCluster, admin: &Client) {
    let ended = {
        let mut ended = ENDED.lock();
        if ended.len() < MANY_ENDED { Vec::new() } else { std::mem::take(&mut *ended) }
    };
    for database in ended {
        let url = cluster.0.connection_url("postgres", &database);
        // One may be dropped already, or may never have had a directory.
        let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await else { continue };
        tokio::spawn(connection);
        let of_tenants = client.query(DATABASES_OF_TENANTS, &[]).await.unwrap_or_default();
        drop(client);
        let names = of_tenants.iter().map(|row| row.get(0)).chain([format!("{database}_template"), database.clone()]);
        for name in names.collect::<Vec<String>>() {
            // A database whose connections cannot be closed stays.
            if let Err(error) = admin.batch_execute(&format!("drop database if exists {name} with (force)")).await {
                eprintln!("{name} is left: {error}");
            }
        }
    }
}

fn new_name() -> String {
    format!("test_{}", NEXT_DATABASE.fetch_add(1, Ordering::Relaxed))
}

async fn cluster() -> &'static TestCluster {
    CLUSTER.get_or_init(start).await
}

async fn start() -> TestCluster {
    let cluster = tokio::task::spawn_blocking(|| {
        remove_leftovers(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let options = Options {
            data_dir: &folder(),
            bin_dir: None,
            // Test data does not have to survive a power failure.
            settings: &[
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
                ("max_connections", "300"),
                ("max_wal_size", "160MB"),
            ],
            roles: &[roles::OWNER, roles::APP, roles::PLATFORM],
            progress: &|_| {},
        };
        TestCluster(Cluster::start(&options).expect("a private PostgreSQL for the tests"))
    })
    .await
    .unwrap();
    let admin = cluster.connect("postgres", "postgres").await;
    admin.batch_execute(&format!("create database {TEMPLATE}")).await.unwrap();
    admin.batch_execute(roles::BOOTSTRAP_ROLES).await.unwrap();
    cluster.connect("postgres", TEMPLATE).await.batch_execute(roles::BOOTSTRAP_DATABASE).await.unwrap();
    migrations::migrate(&cluster.0.connection_url(roles::OWNER, TEMPLATE)).await.unwrap();
    cluster
}

async fn make_own_template() -> &'static str {
    const NAME: &str = "template_of_own_stores";
    let cluster = cluster().await;
    let admin = cluster.connect("postgres", "postgres").await;
    admin.batch_execute(&format!("create database {NAME}")).await.unwrap();
    cluster.connect("postgres", NAME).await.batch_execute(roles::BOOTSTRAP_DATABASE).await.unwrap();
    let owner = cluster.0.connection_url(roles::OWNER, NAME).parse().unwrap();
    migrations::migrate_store(&owner, schemas::OWN_SCHEMA).await.unwrap();
    NAME
}

/// The folder of this process and its cluster: removed once both are gone, by the next process that starts one.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{}", std::process::id()))
}

/// Folders of test processes that are gone.
fn remove_leftovers(folders: &Path) {
    let entries = fs::read_dir(folders).into_iter().flatten().flatten();
    let clusters = entries.map(|it| it.path()).filter(|it| is_cluster_folder(it));
    for folder in clusters.filter(|it| !embedded::in_use(it)) {
        let _ = fs::remove_dir_all(folder);
    }
}

fn is_cluster_folder(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cluster-"))
}
