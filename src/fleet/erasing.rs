//! Erases a tenant immediately, with proof of what remains.

use std::path::Path;

use tokio_postgres::GenericClient;

use super::{
    Fleet, FleetError,
    copying::{self, STATE, Table},
    link::Link,
    stores::leave,
};
use crate::base::ids::uuid_v7;
use crate::{
    base::{fault, ids::TenantId},
    db::{Placement, schemas},
};

/// How many rows of a tenant a table had, and has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// The table.
    pub table: String,
    /// Rows before the erasure.
    pub before: i64,
    /// Rows after it.
    pub after: i64,
}

/// The result of an erasure.
#[derive(Clone, Debug)]
pub struct Erased {
    /// How many issued invoices were kept in a file.
    pub invoices_kept: i64,
    /// Every table that contained rows of the tenant.
    pub remains: Vec<Remains>,
    /// Whether the tenant's own store is gone; `None` when it had none. A store that is still in use is removed a
    /// moment later.
    pub store_is_gone: Option<bool>,
}

/// Tables of the directory that name a tenant, and the column that does. Rows in the logs of platform actions and of
/// payments stay: they contain no personal data and show that a tenant of this id existed.
const DIRECTORY: [(&str, &str); 7] = [
    ("tenants", "id"),
    ("logins", "tenant_id"),
    ("payment_customers", "tenant_id"),
    ("tenant_moves", "tenant_id"),
    ("store_leftovers", "tenant_id"),
    ("platform_events", "tenant_id"),
    ("payment_events", "tenant_id"),
];

impl Fleet {
    /// Erases a tenant permanently, without the period in which it could be restored. Issued invoices must be kept by
    /// law: the whole tenant is first exported to `archive`.
    ///
    /// # Errors
    /// `Refused` for a tenant that is being moved, or that has invoices and no file to keep them in; errors of a
    /// server. Repeating the call continues the erasure.
    pub async fn erase(&self, tenant: TenantId, archive: Option<&Path>) -> Result<Erased, FleetError> {
        let placement = self.gate.placement(tenant).await?;
        let (config, schema) = self.at(&self.logins.platform, &placement);
        let mut store = Link::connect(&config, Some(schema)).await?;
        let mut directory = Link::connect(&self.logins.platform, Some(schemas::DIRECTORY_SCHEMA)).await?;
        if directory.query_opt("select from tenants where id = $1", &[&tenant.0]).await?.is_none() {
            return Err(FleetError::Refused("there is no such tenant".into()));
        }
        let moving = "select from tenant_moves where tenant_id = $1 and ended_at is null";
        if directory.query_opt(moving, &[&tenant.0]).await?.is_some() {
            return Err(FleetError::Refused("the tenant is being moved: wait, or abort the move".into()));
        }
        let issued = "select count(*) from invoices where tenant_id = $1 and number is not null";
        let invoices: i64 = store.query_one(issued, &[&tenant.0]).await?.get(0);
        match archive {
            Some(file) => drop(self.export(tenant, file, |_| ()).await?),
            None if invoices > 0 => {
                return Err(FleetError::Refused(format!(
                    "the tenant has {invoices} invoices, which must be kept by law: name a file for them"
                )));
            }
            None => {}
        }
        fault::point("erase.kept");
        let tables = copying::tables(&*store).await?;
        let mut before = count_each(&*store, &tables, tenant).await?;
        before.extend(count_directory(&directory, tenant).await?);

        // From here on nobody enters the tenant, and nobody is still in it.
        let tx = store.transaction().await?;
        let lock = "select pg_advisory_xact_lock(hashtextextended('move of ' || $1::uuid, 0))";
        tx.execute(lock, &[&tenant.0]).await?;
        tx.execute(&format!("delete from {STATE} where tenant_id = $1"), &[&tenant.0]).await?;
        tx.commit().await?;
        fault::point("erase.emptied");
        self.strike_out(&mut directory, tenant, &placement).await?;
        fault::point("erase.struck_out");
        let mut after = count_each(&*store, &tables, tenant).await?;
        store.close().await;
        self.remove_leftovers().await?;
        let store_is_gone = match placement {
            Placement::Shared => None,
            Placement::Own(..) => {
                let left = "select from store_leftovers where url = $1";
                Some(directory.query_opt(left, &[&placement.url()]).await?.is_none())
            }
        };
        after.extend(count_directory(&directory, tenant).await?);
        directory.close().await;
        let remains =
            before.into_iter().zip(after).map(|((table, before), (_, after))| Remains { table, before, after });
        let remains = remains.filter(|it| it.before > 0 || it.after > 0).collect();
        Ok(Erased { invoices_kept: if archive.is_some() { invoices } else { 0 }, remains, store_is_gone })
    }

    async fn strike_out(&self, directory: &mut Link, tenant: TenantId, at: &Placement) -> Result<(), FleetError> {
        let now = self.now();
        let tx = directory.transaction().await?;
        tx.execute("delete from logins where tenant_id = $1", &[&tenant.0]).await?;
        tx.execute("delete from tenants where id = $1", &[&tenant.0]).await?;
        // Leftovers of earlier moves, here and elsewhere, are removed too, and the tenant's row in the shared store.
        tx.execute("update store_leftovers set remove_after = $2 where tenant_id = $1", &[&tenant.0, &now]).await?;
        if at.location().is_some() {
            leave(&tx, uuid_v7(now), tenant, at, now).await?;
            leave(&tx, uuid_v7(now), tenant, &Placement::Shared, now).await?;
        }
        let note = "insert into platform_events (id, at, action, tenant_id) values ($1, $2, 'tenants.erase', $3)";
        tx.execute(note, &[&uuid_v7(now), &now, &tenant.0]).await?;
        Ok(tx.commit().await?)
    }
}

async fn count_each(
    store: &impl GenericClient,
    tables: &[Table],
    tenant: TenantId,
) -> Result<Vec<(String, i64)>, FleetError> {
    let mut counts = Vec::new();
    for table in tables {
        counts.push((table.name.clone(), copying::count(store, std::slice::from_ref(table), tenant).await?));
    }
    Ok(counts)
}

async fn count_directory(directory: &Link, tenant: TenantId) -> Result<Vec<(String, i64)>, FleetError> {
    let mut counts = Vec::new();
    for (table, column) in DIRECTORY {
        let sql = format!("select count(*) from {table} where {column} = $1");
        counts.push((format!("directory.{table}"), directory.query_one(&sql, &[&tenant.0]).await?.get(0)));
    }
    Ok(counts)
}
