//! Every statement of the audit log: it is only added to.

use jiff::Timestamp;
use serde_json::Value;

use super::Event;
use crate::{
    auth::Origin,
    db::{DbError, ScopedTx},
    ids::uuid_v7,
};

/// Adds one event, in the scope's own role.
pub async fn insert(tx: &ScopedTx, event: &Event, now: Timestamp, origin: &Origin) -> Result<(), DbError> {
    let changes = Value::Object(event.changes.0.clone());
    let request = (!origin.request_id.is_nil()).then_some(origin.request_id);
    tx.execute(
        "-- audit.insert
        insert into audit_events
          (tenant_id, id, at, actor_id, actor_role, action, object_type, object_id, changes, request_id, address)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &[
            &tx.tenant(),
            &uuid_v7(now),
            &now,
            &event.actor,
            &tx.scope().role().as_str(),
            &event.action,
            &event.object_type,
            &event.object,
            &changes,
            &request,
            &origin.address,
        ],
    )
    .await
}
