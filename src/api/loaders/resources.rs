//! Resources by id, one statement per level.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;

use crate::{
    base::ids::ResourceId,
    db::{DbError, ScopedTx},
    features::resources::Resource,
};

/// Loads resources in the scope of one transaction.
pub struct ResourceLoader(pub Arc<ScopedTx>);

impl Loader<ResourceId> for ResourceLoader {
    type Value = Resource;
    type Error = DbError;

    async fn load(&self, ids: &[ResourceId]) -> Result<HashMap<ResourceId, Resource>, DbError> {
        crate::features::resources::by_ids(&self.0, ids).await
    }
}
