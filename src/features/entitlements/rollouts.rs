//! Features that are given to a growing part of all tenants.

use super::{model::Rollout, queries};
use crate::{
    base::ids::TenantId,
    db::{DbError, ScopedTx},
};

impl Rollout {
    /// Whether it has come to this tenant. A rise keeps all whom it had come to.
    pub fn reaches(&self, tenant: TenantId) -> bool {
        // A hash of both, so that it is not always the same tenants who come first.
        let digest = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            format!("{} {}", self.key, tenant.0.simple()).as_bytes(),
        );
        let bytes = digest.as_ref();
        let part = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % 100;
        i64::from(part) < i64::from(self.percentage)
    }
}

/// Directory: rolls a feature out to so many of a hundred tenants; their stores hear of it by background work.
///
/// # Errors
/// When the statement fails.
pub async fn set_rollout(directory: &ScopedTx, key: &str, percentage: i32) -> Result<(), DbError> {
    queries::upsert_rollout(directory, key, percentage).await
}

/// Store: what is rolled out to the scope's tenant.
///
/// # Errors
/// When the statement fails.
pub async fn take_rollouts(tx: &ScopedTx, rollouts: &[Rollout]) -> Result<(), DbError> {
    let keys: Vec<&str> = rollouts.iter().filter(|it| it.reaches(tx.tenant())).map(|it| it.key.as_str()).collect();
    queries::set_rollouts(tx, &serde_json::json!(keys)).await
}
