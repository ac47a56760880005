//! Users by id, one statement per level.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;

use crate::{
    base::ids::UserId,
    db::{DbError, ScopedTx},
    features::users::{MailPreferences, User},
};

/// Loads users in the scope of one transaction.
pub struct UserLoader(pub Arc<ScopedTx>);

/// The key for a user's preferences of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MailPreferencesOf(pub UserId);

impl Loader<MailPreferencesOf> for UserLoader {
    type Value = MailPreferences;
    type Error = DbError;

    async fn load(&self, keys: &[MailPreferencesOf]) -> Result<HashMap<MailPreferencesOf, MailPreferences>, DbError> {
        let ids: Vec<UserId> = keys.iter().map(|key| key.0).collect();
        let found = crate::features::users::mail_preferences_of(&self.0, &ids).await?;
        Ok(found.into_iter().map(|(id, wanted)| (MailPreferencesOf(id), wanted)).collect())
    }
}

impl Loader<UserId> for UserLoader {
    type Value = User;
    type Error = DbError;

    async fn load(&self, ids: &[UserId]) -> Result<HashMap<UserId, User>, DbError> {
        crate::features::users::by_ids(&self.0, ids).await
    }
}
