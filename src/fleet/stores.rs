//! Creates and removes tenants' own stores.

use jiff::Timestamp;
use tokio_postgres::{Config, GenericClient, error::SqlState};
use uuid::Uuid;

use super::{Fleet, FleetError, copying, link::Link};
use crate::{
    base::{
        fault,
        ids::{TenantId, uuid_v7},
    },
    db::{Access, Isolation, Location, Placement, Server, migrations, roles, schemas},
    features::platform::{Leftover, moving as jobs},
};

/// How long to wait for another worker that creates, removes or fills the same store.
const LOCK_WAIT: &str = "set lock_timeout = '10min'";

impl Fleet {
    /// Creates the store of a tenant that is being created, and records it in the directory.
    pub(super) async fn make_store_of(&self, tenant: TenantId, placement: &Placement) -> Result<(), FleetError> {
        fault::point("fleet.wanted");
        self.make_store(placement).await?;
        fault::point("fleet.made");
        let directory = self.directory(Some(tenant), Access::Write);
        if !jobs::store_is_ready(&directory, placement, self.now()).await? {
            // The tenant was abandoned meanwhile, and its store may have been looked for before it existed.
            jobs::leave(&directory, uuid_v7(self.now()), tenant, placement, self.now()).await?;
        }
        Ok(directory.commit().await?)
    }

    /// Creates a store at this placement, or migrates an existing one.
    ///
    /// # Errors
    /// When its server refuses, or a migration fails. Repeating the call completes it.
    pub async fn make_store(&self, placement: &Placement) -> Result<(), FleetError> {
        let Some(location) = placement.location() else { return Ok(()) };
        let _alone = self.alone_at(placement).await?;
        if placement.isolation() == Isolation::Database {
            self.make_database(location).await?;
        }
        let (owner, schema) = self.at(&self.logins.owner, placement);
        migrations::migrate_store(&owner, schema).await?;
        Ok(())
    }

    /// While this is held, no other worker creates or removes the store.
    async fn alone_at(&self, placement: &Placement) -> Result<Link, FleetError> {
        self.alone(&format!("store at {}", placement.url().unwrap_or_default())).await
    }

    /// The same. In the shared store it covers only the rows of this tenant.
    pub(super) async fn alone_with(&self, tenant: TenantId, placement: &Placement) -> Result<Link, FleetError> {
        match placement {
            Placement::Shared => self.alone(&format!("rows of {}", tenant.0)).await,
            Placement::Own(..) => self.alone_at(placement).await,
        }
    }

    async fn alone(&self, what: &str) -> Result<Link, FleetError> {
        let link = Link::connect(&self.logins.platform, None).await?;
        link.batch_execute(LOCK_WAIT).await?;
        link.execute("select pg_advisory_lock(hashtextextended($1, 0))", &[&what]).await?;
        Ok(link)
    }

    /// Clones the template, which takes about 90 ms. (`create database … template` copies tables and their grants, but
    /// not the grants on the database.)
    async fn make_database(&self, location: &Location) -> Result<(), FleetError> {
        // `Location` has checked the name.
        let Some(name) = &location.database else { return Err(unnamed()) };
        let mut templates = self.templates.lock().await;
        if !templates.contains(&location.server) {
            self.make_template(location).await?;
            templates.insert(location.server.clone());
        }
        drop(templates);
        let owner = Link::connect(&self.beside(location), None).await?;
        let made = owner.batch_execute(&format!("create database {name} template {}", self.template)).await;
        if let Err(error) = made
            && error.code() != Some(&SqlState::DUPLICATE_DATABASE)
        {
            return Err(error.into());
        }
        fault::point("fleet.cloned");
        owner.batch_execute(&grants_on(name)).await?;
        owner.close().await;
        Ok(())
    }

    /// Creates the template on the server of this location, or migrates it.
    async fn make_template(&self, location: &Location) -> Result<(), FleetError> {
        let template = self.template_at(location.server.clone());
        let placement = Placement::Own(Isolation::Database, template.clone().into());
        let _alone = self.alone_at(&placement).await?;
        let owner = Link::connect(&self.beside(location), None).await?;
        let found = owner.query("select from pg_database where datname = $1", &[&self.template]).await?;
        if found.is_empty() {
            owner.batch_execute(&format!("create database {}", self.template)).await?;
            owner.batch_execute(&grants_on(&self.template)).await?;
        }
        owner.close().await;
        let config = template.config(&self.logins.owner);
        let inside = Link::connect(&config, None).await?;
        inside.batch_execute(&prepare_database()).await?;
        inside.close().await;
        migrations::migrate_store(&config, schemas::OWN_SCHEMA).await?;
        Ok(())
    }

    /// The template of tenants' databases on this server.
    pub(super) fn template_at(&self, server: Option<Server>) -> Location {
        Location { server, database: Some(self.template.clone()), schema: schemas::OWN_SCHEMA.into() }
    }

    /// A database of the same server that always exists, for creating others.
    pub(super) fn beside(&self, location: &Location) -> Config {
        match location.server {
            None => self.logins.owner.clone(),
            Some(_) => {
                let database = Some("postgres".to_owned());
                Location { database, ..location.clone() }.config(&self.logins.owner)
            }
        }
    }

    /// Removes stores and rows that are out of use and whose retention has ended.
    pub(super) async fn remove_leftovers(&self) -> Result<(), FleetError> {
        let directory = self.directory(None, Access::Read);
        let leftovers = jobs::leftovers(&directory, self.now()).await?;
        directory.end_read();
        drop(directory);
        for leftover in leftovers {
            let removed = self.remove(&leftover).await;
            let directory = self.directory(Some(leftover.tenant), Access::Write);
            match removed {
                Ok(()) => jobs::forget_leftover(&directory, leftover.id).await?,
                Err(error) => {
                    tracing::warn!(%error, tenant.id = %leftover.tenant, "cannot remove an unused store; retrying later");
                    jobs::note_leftover_error(&directory, leftover.id, &error.to_string()).await?;
                }
            }
            directory.commit().await?;
        }
        Ok(())
    }

    async fn remove(&self, leftover: &Leftover) -> Result<(), FleetError> {
        let _alone = self.alone_with(leftover.tenant, &leftover.placement).await?;
        let directory = self.directory(Some(leftover.tenant), Access::Read);
        let is_used = jobs::is_used(&directory, leftover.tenant, &leftover.placement).await?;
        let is_known = jobs::placement(&directory).await?.is_some();
        directory.end_read();
        drop(directory);
        if is_used {
            return Ok(()); // The tenant has moved back.
        }
        match &leftover.placement {
            Placement::Shared => {
                let (config, schema) = self.at(&self.logins.platform, &leftover.placement);
                let link = Link::connect(&config, Some(schema)).await?;
                if is_known {
                    copying::remove_rows(&link, leftover.tenant).await
                } else {
                    copying::clear(&*link, leftover.tenant.0).await
                }
            }
            Placement::Own(Isolation::Database, location) => {
                let Some(name) = &location.database else { return Err(unnamed()) };
                let owner = Link::connect(&self.beside(location), None).await?;
                if owner.query("select from pg_database where datname = $1", &[name]).await?.is_empty() {
                    return Ok(());
                }
                // No new connections are accepted. Open ones are waited for, until the next attempt.
                owner.batch_execute(&format!("alter database {name} with allow_connections false")).await?;
                Ok(owner.batch_execute(&format!("drop database {name}")).await?)
            }
            Placement::Own(_, location) => {
                let owner = Link::connect(&location.config(&self.logins.owner), None).await?;
                Ok(owner.batch_execute(&format!("drop schema if exists {} cascade", location.schema)).await?)
            }
        }
    }
}

/// With the operator's login: schedules the removal of what is at this placement.
pub(super) async fn leave(
    directory: &impl GenericClient,
    id: Uuid,
    tenant: TenantId,
    placement: &Placement,
    remove_after: Timestamp,
) -> Result<(), FleetError> {
    let sql = "insert into store_leftovers (id, tenant_id, isolation, url, remove_after) values ($1, $2, $3, $4, $5)";
    let (isolation, url) = (placement.isolation().as_str(), placement.url());
    directory.execute(sql, &[&id, &tenant.0, &isolation, &url, &remove_after]).await?;
    Ok(())
}

fn unnamed() -> FleetError {
    FleetError::Refused("a tenant's own database has no name".into())
}

/// The statements of `sql/bootstrap/20-database.sql` that the database's owner can run.
fn grants_on(database: &str) -> String {
    format!(
        "revoke all on database {database} from public;
         grant connect on database {database} to {}, {}",
        roles::APP,
        roles::PLATFORM
    )
}

fn prepare_database() -> String {
    format!(
        "revoke all on schema public from public;
         create extension if not exists btree_gist schema public;
         grant usage on schema public to {}, {}, {}",
        roles::OWNER,
        roles::APP,
        roles::PLATFORM
    )
}
