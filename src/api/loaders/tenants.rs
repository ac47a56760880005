//! The tenant of a transaction, loaded once however many of its users refer to it.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::Loader;

use crate::{
    base::ids::TenantId,
    db::{DbError, ScopedTx},
    features::tenants::Tenant,
};

/// Loads the tenant of one transaction's scope. Every other tenant is absent.
pub struct TenantLoader(pub Arc<ScopedTx>);

impl Loader<TenantId> for TenantLoader {
    type Value = Tenant;
    type Error = DbError;

    async fn load(&self, ids: &[TenantId]) -> Result<HashMap<TenantId, Tenant>, DbError> {
        if !ids.contains(&self.0.tenant()) {
            return Ok(HashMap::new());
        }
        let tenant = crate::features::tenants::current(&self.0).await?;
        Ok(HashMap::from([(tenant.id, tenant)]))
    }
}
