//! Copies one tenant's rows from one store to another or to a file: table by table, in foreign-key order, as text.
//!
//! Tables and columns are read from PostgreSQL's catalogue, so what a later migration adds is copied without a change
//! here.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, GenericClient};
use uuid::Uuid;

use super::FleetError;
use crate::base::ids::TenantId;

/// The tenant's own table, which all others reference.
pub(super) const STATE: &str = "tenant_state";
/// Its columns that describe the store, and so differ between two stores.
const OF_THE_STORE: [&str; 2] = ["isolation", "fence"];
/// How many rows one statement removes.
const REMOVED_AT_ONCE: i64 = 5_000;

/// A table of the tenant store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub name: String,
    /// The columns that are not generated, by name.
    pub columns: Vec<String>,
}

/// How many rows a tenant has in a table, and a checksum of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub rows: i64,
    pub checksum: String,
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows, sum {}", self.rows, self.checksum)
    }
}

const TABLES: &str = "select c.relname::text,
           (select array_agg(a.attname::text order by a.attname) from pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''),
           (select coalesce(array_agg(distinct f.confrelid::regclass::text), '{}') from pg_constraint f
             where f.conrelid = c.oid and f.contype = 'f' and f.confrelid <> c.oid)
      from pg_class c
     where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
       and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
     order by c.relname";

/// All tenant tables in the connection's schema, each after those that its foreign keys reference.
pub(super) async fn tables(client: &impl GenericClient) -> Result<Vec<Table>, FleetError> {
    let mut waiting: BTreeMap<String, (Vec<String>, BTreeSet<String>)> = client
        .query(TABLES, &[])
        .await?
        .iter()
        .map(|row| (row.get(0), (row.get(1), row.get::<_, Vec<String>>(2).into_iter().collect())))
        .collect();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let ready: Vec<String> = waiting
            .iter()
            .filter(|(_, (_, parents))| parents.iter().all(|it| !waiting.contains_key(it)))
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            return Err(FleetError::Refused("the foreign keys of tenant tables form a cycle".into()));
        }
        for name in ready {
            if let Some((columns, _)) = waiting.remove(&name) {
                ordered.push(Table { name, columns });
            }
        }
    }
    Ok(ordered)
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(", ")
}

impl Table {
    /// The columns to copy: all except those that describe the store.
    pub(super) fn movable(&self) -> Vec<String> {
        let says_where = |column: &String| self.name == STATE && OF_THE_STORE.contains(&column.as_str());
        self.columns.iter().filter(|it| !says_where(it)).cloned().collect()
    }

    /// The `copy … to stdout` statement for a tenant's rows.
    pub(super) fn copy_out(&self, tenant: TenantId) -> String {
        let columns = list(&self.movable());
        let (name, id) = (&self.name, tenant.0);
        format!("copy (select {columns} from \"{name}\" where tenant_id = '{id}') to stdout")
    }

    /// The `copy … from stdin` statement for the same rows.
    pub(super) fn copy_in(&self) -> String {
        format!("copy \"{}\" ({}) from stdin", self.name, list(&self.movable()))
    }

    /// How many rows the tenant has, and their checksum.
    pub(super) async fn sum(&self, client: &impl GenericClient, tenant: TenantId) -> Result<Sum, FleetError> {
        let sql = format!(
            "select count(*), coalesce(sum(('x' || substr(md5(row({})::text), 1, 15))::bit(60)::bigint), 0)::text
               from \"{}\" where tenant_id = $1",
            list(&self.movable()),
            self.name
        );
        let row = client.query_one(&sql, &[&tenant.0]).await?;
        Ok(Sum { rows: row.get(0), checksum: row.get(1) })
    }
}

/// How many rows a tenant has in all of these tables.
pub(super) async fn count(client: &impl GenericClient, tables: &[Table], tenant: TenantId) -> Result<i64, FleetError> {
    let mut total = 0;
    for table in tables {
        let sql = format!("select count(*) from \"{}\" where tenant_id = $1", table.name);
        total += client.query_one(&sql, &[&tenant.0]).await?.get::<_, i64>(0);
    }
    Ok(total)
}

/// Removes the rows of a tenant that has moved away, children first and in batches. Its row in `tenant_state` stays.
pub(super) async fn remove_rows(client: &Client, tenant: TenantId) -> Result<(), FleetError> {
    let fence = format!("select fence from {STATE} where tenant_id = $1");
    let Some(row) = client.query_opt(&fence, &[&tenant.0]).await? else { return Ok(()) };
    if row.get::<_, Option<&str>>(0) != Some("MOVED") {
        return Err(FleetError::Refused("this tenant has not moved away: its rows are not removed".into()));
    }
    let tables = tables(client).await?;
    for table in tables.iter().rev().filter(|it| it.name != STATE) {
        loop {
            let sql = format!(
                "delete from \"{0}\" where tenant_id = $1 and ctid = any (array(select ctid from \"{0}\" where tenant_id = $1 limit $2))",
                table.name
            );
            if client.execute(&sql, &[&tenant.0, &REMOVED_AT_ONCE]).await? == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// Removes everything of a tenant from a store that is not, or not yet, the tenant's: the other rows are deleted with
/// its own row.
pub(super) async fn clear(client: &impl GenericClient, tenant: Uuid) -> Result<(), FleetError> {
    let sql = format!("select fence from {STATE} where tenant_id = $1");
    let found = client.query_opt(&sql, &[&tenant]).await?;
    match found.map(|row| row.get::<_, Option<String>>(0)) {
        None => Ok(()),
        Some(Some(fence)) if fence == "MOVED" => {
            client.execute(&format!("delete from {STATE} where tenant_id = $1"), &[&tenant]).await?;
            Ok(())
        }
        Some(_) => Err(FleetError::Refused("the tenant's live data is not overwritten".into())),
    }
}
