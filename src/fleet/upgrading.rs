//! Migrates every store, and reports which are outdated.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::{
    Fleet, FleetError,
    link::{Link, within},
};
use crate::{
    db::{Access, Isolation, Placement, Server, migrations},
    features::platform::moving as jobs,
};

/// How many stores are migrated at the same time.
const AT_ONCE: usize = 4;
/// How long a store may take to report its version.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// A store of the deployment.
#[derive(Clone, Debug)]
pub struct Store {
    /// The owner: a tenant's slug, or the store's purpose.
    pub name: String,
    /// Where it is.
    pub placement: Placement,
}

/// The version of a store.
#[derive(Clone, Debug)]
pub struct StoreState {
    /// The store.
    pub store: Store,
    /// Its newest migration, 0 before the first; or why it could not be queried.
    pub version: Result<i32, String>,
}

impl StoreState {
    /// How many migrations it lacks; `None` when it could not be queried.
    pub fn behind(&self) -> Option<i32> {
        self.version.as_ref().ok().map(|it| migrations::newest_of_stores() - it)
    }
}

/// The result of migrating a store.
#[derive(Clone, Debug)]
pub struct Upgraded {
    /// The store.
    pub store: Store,
    /// The names of the applied migrations; or why it stays unchanged, and is served as long as this program can.
    pub applied: Result<Vec<String>, String>,
}

impl Fleet {
    /// The template of tenants' databases on each server that has one, and every tenant's own store, by slug.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn stores(&self) -> Result<Vec<Store>, FleetError> {
        let directory = self.directory(None, Access::Read);
        let own = jobs::own_stores(&directory).await?;
        directory.end_read();
        drop(directory);
        let elsewhere = own.iter().filter_map(|(_, _, placement)| placement.location()?.server.clone());
        let servers: BTreeSet<Option<Server>> = elsewhere.map(Some).chain([None]).collect();
        let templates = join_all(servers.into_iter().map(|it| self.template_on(it))).await;
        let mut all: Vec<Store> = templates.into_iter().flatten().collect();
        all.extend(own.into_iter().map(|(_, slug, placement)| Store { name: slug, placement }));
        Ok(all)
    }

    /// The template on a server, if it exists. One that cannot be queried is reported when its version is read.
    async fn template_on(&self, server: Option<Server>) -> Option<Store> {
        let name = server.as_ref().map_or("(template)".into(), |(host, port)| format!("(template at {host}:{port})"));
        let template = self.template_at(server);
        let made = within(ASK_LIMIT, async {
            let owner = Link::connect(&self.beside(&template), None).await?;
            let made = owner.query("select from pg_database where datname = $1", &[&template.database]).await?;
            owner.close().await;
            Ok(!made.is_empty())
        });
        let is_made = made.await.unwrap_or(true);
        is_made.then(|| Store { name, placement: Placement::Own(Isolation::Database, template.into()) })
    }

    /// The versions of the shared store and all others.
    ///
    /// # Errors
    /// When the directory cannot be read. A store that cannot be reached contains its own error.
    pub async fn standing(&self) -> Result<Vec<StoreState>, FleetError> {
        let shared = Store { name: "(shared)".into(), placement: Placement::Shared };
        let mut all = vec![shared];
        all.extend(self.stores().await?);
        let mut found: Vec<(usize, StoreState)> = Vec::new();
        let mut looks = JoinSet::new();
        for (place, store) in all.into_iter().enumerate() {
            if looks.len() >= AT_ONCE
                && let Some(Ok(standing)) = looks.join_next().await
            {
                found.push(standing);
            }
            let fleet = self.clone();
            looks.spawn(async move {
                let version = fleet.version(&store.placement).await.map_err(|error| error.to_string());
                (place, StoreState { store, version })
            });
        }
        while let Some(Ok(standing)) = looks.join_next().await {
            found.push(standing);
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(found.into_iter().map(|(_, standing)| standing).collect())
    }

    async fn version(&self, placement: &Placement) -> Result<i32, FleetError> {
        within(ASK_LIMIT, self.ask_version(placement)).await
    }

    async fn ask_version(&self, placement: &Placement) -> Result<i32, FleetError> {
        let (owner, schema) = self.at(&self.logins.owner, placement);
        let link = Link::connect(&owner, Some(schema)).await?;
        let history = "select to_regclass('refinery_schema_history') is not null";
        let version = match link.query_one(history, &[]).await?.get(0) {
            true => link.query_one("select coalesce(max(version), 0) from refinery_schema_history", &[]).await?.get(0),
            false => 0,
        };
        link.close().await;
        Ok(version)
    }

    /// Migrates these stores, several at a time; `told` is called as each finishes. A store that fails does not delay
    /// the others, and continues where it failed the next time.
    pub async fn upgrade(&self, stores: Vec<Store>, mut told: impl FnMut(&Upgraded)) -> Vec<Upgraded> {
        let mut done = Vec::new();
        let mut upgrades = JoinSet::new();
        let mut note = |it: Result<Upgraded, tokio::task::JoinError>| {
            if let Ok(it) = it {
                told(&it);
                done.push(it);
            }
        };
        for store in stores {
            if upgrades.len() >= AT_ONCE
                && let Some(it) = upgrades.join_next().await
            {
                note(it);
            }
            let fleet = self.clone();
            upgrades.spawn(async move {
                let applied = fleet.upgrade_one(&store.placement).await.map_err(|error| error.to_string());
                Upgraded { store, applied }
            });
        }
        while let Some(it) = upgrades.join_next().await {
            note(it);
        }
        done
    }

    async fn upgrade_one(&self, placement: &Placement) -> Result<Vec<String>, FleetError> {
        // Most have nothing to do, and then one query is enough.
        if self.version(placement).await? == migrations::newest_of_stores() {
            return Ok(Vec::new());
        }
        let (owner, schema) = self.at(&self.logins.owner, placement);
        Ok(migrations::migrate_store(&owner, schema).await?)
    }
}
