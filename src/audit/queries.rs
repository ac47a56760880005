//! Every statement of the audit log: it is added to and read, never changed. `list` is paged.

use jiff::Timestamp;
use serde_json::Value;

use super::{AuditFilter, AuditKey, Entry, Event};
use crate::{
    auth::Origin,
    db::{DbError, ScopedTx},
    ids::uuid_v7,
    paging::Page,
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

macro_rules! list_sql {
    ($direction:literal) => {
        concat!(
            "-- audit.list
            select id, at, actor_id, actor_role, action, object_type, object_id, changes, request_id, address
              from audit_events
             where tenant_id = $1
               and ($2::uuid is null or actor_id = $2)
               and ($3::text is null or action = $3)
               and ($4::text is null or object_type = $4)
               and ($5::uuid is null or object_id = $5)
               and ($6::timestamptz is null or at >= $6)
               and ($7::timestamptz is null or at < $7)
               and ($8::timestamptz is null or (at, id) < ($8, $9::uuid))
               and ($10::timestamptz is null or (at, id) > ($10, $11::uuid))
             order by at ",
            $direction,
            ", id ",
            $direction,
            " limit $12"
        )
    };
}

/// One row more than the page, in the order of the scan. The list is newest first, so what comes after is smaller.
pub async fn list(tx: &ScopedTx, filter: &AuditFilter, page: &Page<AuditKey>) -> Result<Vec<Entry>, DbError> {
    let sql = if page.from_the_back { list_sql!("asc") } else { list_sql!("desc") };
    let ((after, after_id), (before, before_id)) = (page.after.unzip(), page.before.unzip());
    let rows = tx
        .query(
            sql,
            &[
                &tx.tenant(),
                &filter.actor,
                &filter.action,
                &filter.object_type,
                &filter.object,
                &filter.from,
                &filter.to,
                &after,
                &after_id,
                &before,
                &before_id,
                &page.fetch(),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Entry {
                id: row.get(0),
                at: row.get(1),
                actor: row.get(2),
                actor_role: row.get(3),
                action: row.get(4),
                object_type: row.get(5),
                object: row.get(6),
                changes: match row.get(7) {
                    Value::Object(changes) => changes,
                    other => return Err(DbError::Corrupt(format!("{other} are no changes"))),
                },
                request: row.get(8),
                address: row.get(9),
            })
        })
        .collect()
}
