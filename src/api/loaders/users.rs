//! Users by id, one statement per level.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;

use crate::{
    base::ids::UserId,
    db::{DbError, ScopedTx},
    features::users::User,
};

/// Loads users in the scope of one transaction.
pub struct UserLoader(pub Arc<ScopedTx>);

impl Loader<UserId> for UserLoader {
    type Value = User;
    type Error = DbError;

    async fn load(&self, ids: &[UserId]) -> Result<HashMap<UserId, User>, DbError> {
        crate::features::users::by_ids(&self.0, ids).await
    }
}
