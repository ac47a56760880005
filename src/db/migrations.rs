//! Migrates the directory and the tenant store to the newest version, as their owner.

use std::str::FromStr;

use refinery::error::Kind;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

use super::{
    distribution,
    schemas::{DIRECTORY_SCHEMA, SHARED_SCHEMA},
};

/// The oldest tenant-store migration with which this program can serve a tenant's own store. Raise it with every change
/// that makes the program need a newer one.
pub const OLDEST_STORE: i32 = 66;

/// First key of the advisory locks that migrations hold, "tena" read as a number; the second is the schema's hash.
const MIGRATION_LOCK: i32 = i32::from_be_bytes(*b"tena");

mod directory {
    refinery::embed_migrations!("sql/directory");
}

mod tenant {
    refinery::embed_migrations!("sql/tenant");
}

/// Why the database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The connection failed, or a preparing statement failed.
    #[error("cannot prepare the database for migrations: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// The schema's history contains migrations other than this program's, at or below the program's newest.
    #[error(
        "the schema {schema} was created by an earlier development version of Tenantry and cannot be migrated. To start over, \
         delete the data folder (.tenantry, or TENANTRY_DATA_DIR) or the database. To keep tenants, first export them with \
         the program version that created it (`tenantry tenant export`)"
    )]
    EarlierDevelopment {
        /// The schema.
        schema: String,
    },
    /// A migration failed, or a newer program has applied one that this program does not know.
    #[error("migration of {schema} failed: {source}")]
    Migration {
        /// The schema.
        schema: String,
        /// The cause.
        source: Box<refinery::Error>,
    },
}

/// Applies the missing migrations to the directory and the shared store, and returns the names of those applied.
///
/// Two concurrent processes are safe: the second waits for the first and then finds nothing to do.
///
/// # Errors
/// The first migration that fails is rolled back as a whole; those before it stay applied.
pub async fn migrate(owner_url: &str) -> Result<Vec<String>, MigrationError> {
    let config = Config::from_str(owner_url)?;
    let mut applied = apply(&config, DIRECTORY_SCHEMA, directory::migrations::runner()).await?;
    applied.extend(migrate_store(&config, SHARED_SCHEMA).await?);
    Ok(applied)
}

/// As [`migrate`], for the tenant store in this schema of the database that `owner` connects to as its owner. A new
/// store is created completely or not at all.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_store(owner: &Config, schema: &str) -> Result<Vec<String>, MigrationError> {
    apply(owner, schema, tenant::migrations::runner()).await
}

/// As [`migrate_store`], up to this migration only: the state that an older program would have left.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_store_to(owner: &Config, schema: &str, version: i32) -> Result<Vec<String>, MigrationError> {
    apply(owner, schema, tenant::migrations::runner().set_target(refinery::Target::Version(version))).await
}

/// refinery has no lock of its own, so an advisory lock is held on a connection that does nothing else. There is one
/// lock for each schema, so stores are migrated in parallel.
async fn apply(owner: &Config, schema: &str, runner: refinery::Runner) -> Result<Vec<String>, MigrationError> {
    let (lock, lock_task) = connect(owner).await?;
    lock.execute("select pg_advisory_lock($1, hashtext($2))", &[&MIGRATION_LOCK, &schema]).await?;
    let (mut client, task) = connect(owner).await?;
    let is_new = prepare_schema(&client, schema).await?;
    let newest = newest_in(&runner);
    // A new schema is migrated in one transaction. An existing one is migrated step by step, because each step may take
    // long.
    let report =
        runner.set_grouped(is_new).run_async(&mut client).await.map_err(|source| refused(source, schema, newest))?;
    distribution::distribute(&mut client, schema).await?;
    // Lets a server check whether the store fits its version.
    client
        .batch_execute("grant select (version) on refinery_schema_history to tenantry_app, tenantry_platform")
        .await?;
    drop(client);
    let _ = task.await;
    drop(lock); // Ends the session, and so the lock.
    let _ = lock_task.await;
    Ok(report.applied_migrations().iter().map(|it| format!("{schema}: {it}")).collect())
}

/// The newest migration of each schema that this program knows, as (schema, version).
pub fn newest() -> [(&'static str, i32); 2] {
    [
        (DIRECTORY_SCHEMA, newest_in(&directory::migrations::runner())),
        (SHARED_SCHEMA, newest_in(&tenant::migrations::runner())),
    ]
}

fn newest_in(runner: &refinery::Runner) -> i32 {
    runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0)
}

/// refinery compares the history with the folder before it applies anything, in version order, and stops at the first
/// difference. So a missing version beyond the newest means that all others agree: the schema is a newer program's.
fn refused(source: refinery::Error, schema: &str, newest: i32) -> MigrationError {
    let is_earlier = match source.kind() {
        Kind::DivergentVersion(..) => true,
        Kind::MissingVersion(it) => it.version() <= newest,
        _ => false,
    };
    let schema = schema.to_owned();
    match is_earlier {
        true => MigrationError::EarlierDevelopment { schema },
        false => MigrationError::Migration { schema, source: Box::new(source) },
    }
}

/// The newest migration of a tenant store that this program knows.
pub fn newest_of_stores() -> i32 {
    newest()[1].1
}

/// Creates the schema if necessary and makes it the connection's only search path. Returns whether nothing was migrated
/// there yet.
async fn prepare_schema(client: &Client, schema: &str) -> Result<bool, tokio_postgres::Error> {
    // Schema names are constants, or names that a `Location` has checked.
    client
        .batch_execute(&format!(
            "create schema if not exists {schema};
             grant usage on schema {schema} to tenantry_app, tenantry_platform;
             alter default privileges in schema {schema}
               grant select, insert, update, delete on tables to tenantry_platform;
             set search_path = {schema}, pg_temp;"
        ))
        .await?;
    let history = "select to_regclass('refinery_schema_history') is null";
    Ok(client.query_one(history, &[]).await?.get(0))
}

async fn connect(config: &Config) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
    let mut config = config.clone();
    config.application_name("tenantry migrate");
    let (client, connection) = config.connect(NoTls).await?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a migration's connection ended");
        }
    });
    Ok((client, task))
}
