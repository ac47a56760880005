//! Resources by id, in one statement a level.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;

use super::Resource;
use crate::{
    db::{DbError, ScopedTx},
    ids::ResourceId,
};

/// Loads resources of one transaction's scope.
pub struct ResourceLoader(pub Arc<ScopedTx>);

impl Loader<ResourceId> for ResourceLoader {
    type Value = Resource;
    type Error = DbError;

    async fn load(&self, ids: &[ResourceId]) -> Result<HashMap<ResourceId, Resource>, DbError> {
        super::by_ids(&self.0, ids).await
    }
}
