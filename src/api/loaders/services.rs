//! Services by id, and the resources of each: one statement per level.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;

use crate::{
    base::ids::ServiceId,
    db::{DbError, ScopedTx},
    features::services::{Link, Service},
};

/// Loads services in the scope of one transaction.
pub struct ServiceLoader(pub Arc<ScopedTx>);

impl Loader<ServiceId> for ServiceLoader {
    type Value = Service;
    type Error = DbError;

    async fn load(&self, ids: &[ServiceId]) -> Result<HashMap<ServiceId, Service>, DbError> {
        crate::features::services::by_ids(&self.0, ids).await
    }
}

/// The key for the resources that can serve a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinksOf(pub ServiceId);

impl Loader<LinksOf> for ServiceLoader {
    type Value = Vec<Link>;
    type Error = DbError;

    async fn load(&self, keys: &[LinksOf]) -> Result<HashMap<LinksOf, Vec<Link>>, DbError> {
        let ids: Vec<ServiceId> = keys.iter().map(|key| key.0).collect();
        let links = crate::features::services::links(&self.0, &ids).await?;
        Ok(links.into_iter().map(|(id, links)| (LinksOf(id), links)).collect())
    }
}
