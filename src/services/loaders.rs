//! Services by id, in one statement a level.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;

use super::Service;
use crate::{
    db::{DbError, ScopedTx},
    ids::ServiceId,
};

/// Loads services of one transaction's scope.
pub struct ServiceLoader(pub Arc<ScopedTx>);

impl Loader<ServiceId> for ServiceLoader {
    type Value = Service;
    type Error = DbError;

    async fn load(&self, ids: &[ServiceId]) -> Result<HashMap<ServiceId, Service>, DbError> {
        super::by_ids(&self.0, ids).await
    }
}
