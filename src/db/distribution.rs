//! Distribution on a [Citus](https://docs.citusdata.com) cluster: tenant tables are distributed by `tenant_id`,
//! directory tables are reference tables on every node. Without Citus there is nothing to do.
//!
//! Citus does not distribute a table that a local table references by a foreign key, and every tenant table is linked
//! to another. So the foreign keys are dropped, the tables are distributed and colocated, and the keys are added again.
//! Citus accepts them because all of them include the tenant.

use tokio_postgres::{Client, Error};

use super::schemas;

/// Tables of this schema that are still local to the coordinator.
const LOCAL: &str = "select c.oid::regclass::text from pg_class c
     where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'refinery_schema_history'
       and not exists (select from pg_dist_partition p where p.logicalrelid = c.oid)
     order by c.relname <> 'tenant_state', c.relname";
/// The foreign keys between them, with their definitions.
const KEYS: &str = "select k.conrelid::regclass::text, quote_ident(k.conname), pg_get_constraintdef(k.oid)
      from pg_constraint k join pg_class c on c.oid = k.conrelid
     where c.relnamespace = current_schema()::regnamespace and k.contype = 'f'
     order by 1, 2";

/// Distributes the tables that are still local in the connection's schema. Tables of later migrations are distributed
/// on the next run.
pub(super) async fn distribute(client: &mut Client, schema: &str) -> Result<(), Error> {
    let has_citus = "select to_regclass('pg_catalog.pg_dist_partition') is not null";
    if !client.query_one(has_citus, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    let tables: Vec<String> = client.query(LOCAL, &[]).await?.iter().map(|row| row.get(0)).collect();
    if tables.is_empty() {
        return Ok(());
    }
    let keys: Vec<(String, String, String)> =
        client.query(KEYS, &[]).await?.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    // Names come from the catalogue, quoted by PostgreSQL. Each statement makes one change, as Citus requires.
    let tx = client.transaction().await?;
    for (table, key, _) in &keys {
        tx.batch_execute(&format!("alter table {table} drop constraint {key}")).await?;
    }
    for table in &tables {
        let placed = match schema {
            schemas::DIRECTORY_SCHEMA => "select create_reference_table($1::text::regclass)",
            _ if table == "tenant_state" => "select create_distributed_table($1::text::regclass, 'tenant_id')",
            _ => "select create_distributed_table($1::text::regclass, 'tenant_id', colocate_with => 'tenant_state')",
        };
        tx.query(placed, &[table]).await?;
    }
    for (table, key, says) in &keys {
        tx.batch_execute(&format!("alter table {table} add constraint {key} {says}")).await?;
    }
    tx.commit().await
}
