//! Brings the directory and the tenant store up to date, as their owner.

use std::str::FromStr;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

/// Where the directory's tables are.
pub const DIRECTORY_SCHEMA: &str = "directory";
/// Where the tables of tenants in shared tables are.
pub const SHARED_SCHEMA: &str = "shared";

/// Key of the advisory lock under which migrations run: "tenantry" read as a number.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"tenantry");

mod directory {
    refinery::embed_migrations!("sql/directory");
}
mod tenant {
    refinery::embed_migrations!("sql/tenant");
}

/// Why the database could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// No connection, or a statement of our own failed.
    #[error("cannot prepare the database for migrations: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// A migration failed, or one that was applied differs from the file of its name.
    #[error("migration of {schema} failed: {source}")]
    Migration {
        /// Which of the two.
        schema: &'static str,
        /// The cause.
        source: Box<refinery::Error>,
    },
}

/// Applies what is missing, in both schemas, and returns the names of what was applied.
///
/// Two processes at once are safe: the second waits for the first and then finds nothing to do. refinery has no lock of
/// its own, so an advisory lock is held on a connection that does nothing else.
///
/// # Errors
/// The first migration that fails is rolled back whole; those before it stay.
pub async fn migrate(owner_url: &str) -> Result<Vec<String>, MigrationError> {
    let (lock, lock_task) = connect(owner_url).await?;
    lock.execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
    let mut applied = Vec::new();
    for (schema, runner) in
        [(DIRECTORY_SCHEMA, directory::migrations::runner()), (SHARED_SCHEMA, tenant::migrations::runner())]
    {
        let (mut client, task) = connect(owner_url).await?;
        prepare_schema(&client, schema).await?;
        let report = runner
            .run_async(&mut client)
            .await
            .map_err(|source| MigrationError::Migration { schema, source: Box::new(source) })?;
        applied.extend(report.applied_migrations().iter().map(|it| format!("{schema}: {it}")));
        // So that a server can tell whether it fits.
        client.batch_execute("grant select (version) on refinery_schema_history to tenantry_app").await?;
        drop(client);
        let _ = task.await;
    }
    drop(lock); // Ends the session, and so the lock.
    let _ = lock_task.await;
    Ok(applied)
}

/// The newest migration of each schema that this program knows, as (schema, version).
pub fn newest() -> [(&'static str, i32); 2] {
    let last = |runner: refinery::Runner| runner.get_migrations().iter().map(|it| it.version()).max().unwrap_or(0);
    [(DIRECTORY_SCHEMA, last(directory::migrations::runner())), (SHARED_SCHEMA, last(tenant::migrations::runner()))]
}

async fn prepare_schema(client: &Client, schema: &'static str) -> Result<(), tokio_postgres::Error> {
    // Names of schemas are constants of this file, never input.
    client
        .batch_execute(&format!(
            "create schema if not exists {schema};
             grant usage on schema {schema} to tenantry_app, tenantry_platform;
             alter default privileges in schema {schema}
               grant select, insert, update, delete on tables to tenantry_platform;
             set search_path = {schema}, pg_temp;"
        ))
        .await
}

async fn connect(url: &str) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
    let mut config = Config::from_str(url)?;
    config.application_name("tenantry migrate");
    let (client, connection) = config.connect(NoTls).await?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a migration's connection ended");
        }
    });
    Ok((client, task))
}
