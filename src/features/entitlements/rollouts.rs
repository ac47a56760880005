//! Rollouts of features to a growing percentage of all tenants.

use super::{model::Rollout, queries};
use crate::{
    base::ids::TenantId,
    db::{DbError, ScopedTx},
};

impl Rollout {
    /// Whether the rollout includes this tenant. A higher percentage keeps all tenants of a lower one.
    pub fn reaches(&self, tenant: TenantId) -> bool {
        // A hash of both, so that different features start with different tenants.
        let digest = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            format!("{} {}", self.key, tenant.0.simple()).as_bytes(),
        );
        let bytes = digest.as_ref();
        let part = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % 100;
        i64::from(part) < i64::from(self.percentage)
    }
}

/// Directory: rolls a feature out to a percentage of tenants. Background work updates their stores.
pub async fn set_rollout(directory: &ScopedTx, key: &str, percentage: i32) -> Result<(), DbError> {
    queries::upsert_rollout(directory, key, percentage).await
}

/// Store: stores the features that are rolled out to the scope's tenant.
pub async fn take_rollouts(tx: &ScopedTx, rollouts: &[Rollout]) -> Result<(), DbError> {
    let keys: Vec<&str> = rollouts.iter().filter(|it| it.reaches(tx.tenant())).map(|it| it.key.as_str()).collect();
    queries::set_rollouts(tx, &serde_json::json!(keys)).await
}
