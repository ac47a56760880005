//! What must be true of the database before the first request is served.

use std::str::FromStr;

use tokio_postgres::{Client, Config, NoTls};

use super::{migrations, schemas};

/// The newest minor of each major that fixes a row-level security bug, as `server_version_num`.
const SAFE_MINORS: [i32; 1] = [15_0020];

/// Why the server refuses to start on this database.
#[derive(Debug, thiserror::Error)]
pub enum UnsafeDatabase {
    /// The database could not be queried.
    #[error("cannot reach the database: {0}")]
    Unreachable(#[from] tokio_postgres::Error),
    /// Row-level security would not be enforced.
    #[error("refusing to serve, because row-level security would not protect the tenants:\n  - {}", .0.join("\n  - "))]
    Unprotected(Vec<String>),
    /// The server allows fewer connections than this process may need.
    #[error(
        "DATABASE_POOL_SIZE and DATABASE_STORE_CONNECTIONS allow this process {needed} connections, but the server allows \
         {allowed} (max_connections minus reserved ones): lower those settings or raise max_connections"
    )]
    TooFewConnections {
        /// How many this process may hold.
        needed: usize,
        /// How many the server allows.
        allowed: usize,
    },
    /// Migrations are missing.
    #[error("the database is not up to date ({0}): run `tenantry migrate`")]
    OutOfDate(String),
}

/// Every way in which the login role could bypass the policies, one line each.
const FINDINGS: &str = "-- db.findings
with tables as (
  select c.oid, c.oid::regclass::text as name, c.relowner, c.relrowsecurity and c.relforcerowsecurity as forced
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = any ($1) and c.relkind in ('r', 'p') and c.relname <> 'refinery_schema_history'
), me as (select * from pg_roles where rolname = current_user)
select 'the role ' || rolname || ' is a superuser' from me where rolsuper
union all
select 'the role ' || rolname || ' has BYPASSRLS' from me where rolbypassrls
union all
select 'the role ' || me.rolname || ' owns the table ' || t.name from me join tables t on t.relowner = me.oid
union all
select 'the role ' || me.rolname || ' is a member of ' || r.rolname || ', which ' ||
       case when r.rolsuper then 'is a superuser' when r.rolbypassrls then 'has BYPASSRLS' else 'owns tables' end
  from me join pg_roles r on r.oid <> me.oid and pg_has_role(me.oid, r.oid, 'MEMBER')
 where not me.rolsuper and (r.rolsuper or r.rolbypassrls or r.oid in (select relowner from tables))
union all
select 'the table ' || t.name || ' has no forced row-level security' from tables t where not forced";

/// Refuses a database on which row-level security would not be enforced, or that lacks migrations. Warns of an outdated
/// minor version.
///
/// # Errors
/// [`UnsafeDatabase`], with all findings at once.
pub async fn refuse_unsafe(database_url: &str) -> Result<(), UnsafeDatabase> {
    let version = find_unsafe(database_url).await?;
    if let Some(safe) = safer_minor(version) {
        tracing::warn!(
            "PostgreSQL {}.{} has known row-level security bugs that {}.{} fixes; update the server",
            version / 10_000,
            version % 10_000,
            safe / 10_000,
            safe % 10_000
        );
    }
    Ok(())
}

/// Refuses a server that allows fewer connections than one process may need.
///
/// # Errors
/// [`UnsafeDatabase::TooFewConnections`], or when the server cannot be queried.
pub async fn refuse_too_few_connections(database_url: &str, needed: usize) -> Result<(), UnsafeDatabase> {
    let (client, connection) = Config::from_str(database_url)?.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let allowed =
        "select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int";
    let allowed: i32 = client.query_one(allowed, &[]).await?.get(0);
    drop(client);
    let _ = connection.await;
    let allowed = usize::try_from(allowed).unwrap_or(0);
    if needed > allowed { Err(UnsafeDatabase::TooFewConnections { needed, allowed }) } else { Ok(()) }
}

/// As [`refuse_unsafe`], without the warning about minor versions. Returns the server's version number.
///
/// # Errors
/// As [`refuse_unsafe`].
pub async fn find_unsafe(database_url: &str) -> Result<i32, UnsafeDatabase> {
    let (client, connection) = Config::from_str(database_url)?.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let findings = findings(&client, &[schemas::DIRECTORY_SCHEMA, schemas::SHARED_SCHEMA]).await?;
    let version: i32 = client.query_one("select current_setting('server_version_num')::int", &[]).await?.get(0);
    let applied = client
        .query_one(
            "select (select max(version) from directory.refinery_schema_history),
                    (select max(version) from shared.refinery_schema_history)",
            &[],
        )
        .await;
    drop(client);
    let _ = connection.await;

    if !findings.is_empty() {
        return Err(UnsafeDatabase::Unprotected(findings));
    }
    let applied = applied.map_err(|_| UnsafeDatabase::OutOfDate("it has never been migrated".into()))?;
    for (column, (schema, newest)) in migrations::newest().into_iter().enumerate() {
        let version: Option<i32> = applied.get(column);
        if version != Some(newest) {
            let version = version.unwrap_or(0);
            return Err(UnsafeDatabase::OutOfDate(format!("{schema} is at {version}, this program needs {newest}")));
        }
    }
    Ok(version)
}

/// Every way in which the connected role could bypass the policies of these schemas.
pub(super) async fn findings(client: &Client, schemas: &[&str]) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client.query(FINDINGS, &[&schemas]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The newest migration of the tenant store in this schema; `None` when there is no store.
pub(super) async fn store_version(client: &Client, schema: &str) -> Result<Option<i32>, tokio_postgres::Error> {
    let history = "select to_regclass($1 || '.refinery_schema_history') is not null";
    if !client.query_one(history, &[&schema]).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    // A connection to a store has only its schema in the search path.
    Ok(client.query_one("select max(version) from refinery_schema_history", &[]).await?.get(0))
}

/// The minor version to update to; `None` when this one has no known row-level security bug.
fn safer_minor(version: i32) -> Option<i32> {
    SAFE_MINORS.into_iter().find(|safe| version / 10_000 == safe / 10_000 && version < *safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minors_with_known_bugs_are_told() {
        assert_eq!(safer_minor(15_0018), Some(15_0020));
        assert_eq!(safer_minor(15_0020), None);
        assert_eq!(safer_minor(17_0002), None);
    }
}
