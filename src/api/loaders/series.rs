//! Series by id, one statement per level.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;

use crate::{
    base::ids::SeriesId,
    db::{DbError, ScopedTx},
    features::series::Series,
};

/// Loads series in the scope of one transaction.
pub struct SeriesLoader(pub Arc<ScopedTx>);

impl Loader<SeriesId> for SeriesLoader {
    type Value = Series;
    type Error = DbError;

    async fn load(&self, ids: &[SeriesId]) -> Result<HashMap<SeriesId, Series>, DbError> {
        crate::features::series::by_ids(&self.0, ids).await
    }
}
