//! Writing and reading the audit log.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{
    changes::Changes,
    erasure::put_personal_values_back,
    model::{AuditError, AuditFilter, AuditKey, Entry, Event},
    queries,
};
use crate::{
    base::{
        ids::uuid_v7,
        paging::{Page, Slice},
    },
    core::identity::{Caller, Origin, Role},
    db::{DbError, ScopedTx},
};

/// Records what the caller did.
///
/// # Errors
/// When the statement fails; the change that it records is then rolled back too.
pub async fn record(
    caller: &Caller<'_>,
    action: &'static str,
    object_type: &'static str,
    object: Option<Uuid>,
    changes: Changes,
) -> Result<(), DbError> {
    let event = Event { actor: Some(caller.viewer.user), action, object_type, object, changes };
    record_as(caller.tx, event, caller.clock.now(), caller.origin).await
}

/// Records an event in the role of the transaction's scope.
///
/// # Errors
/// When the statement fails.
pub async fn record_as(tx: &ScopedTx, event: Event, now: Timestamp, origin: &Origin) -> Result<(), DbError> {
    for value in &event.changes.personal {
        queries::insert_personal_value(tx, value).await?;
    }
    tx.log(json!({
        "id": uuid_v7(now),
        "at": now.to_string(),
        "actor_id": event.actor.map(|it| it.0),
        "impersonator": origin.impersonator,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object,
        "changes": event.changes.fields,
        "request_id": (!origin.request_id.is_nil()).then_some(origin.request_id),
        "address": origin.address,
    }));
    Ok(())
}

/// Erases the personal data of these subjects from the log. The events stay, and their chain stays valid.
///
/// # Errors
/// When the statement fails.
pub async fn forget(tx: &ScopedTx, subjects: &[Uuid]) -> Result<(), DbError> {
    queries::delete_personal_values(tx, subjects).await
}

/// A page of the tenant's log, newest first. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn list(
    caller: &Caller<'_>,
    filter: &AuditFilter,
    page: &Page<AuditKey>,
) -> Result<Slice<AuditKey, Entry>, AuditError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(AuditError::Forbidden);
    }
    let mut entries = queries::list(caller.tx, filter, page).await?;
    put_personal_values_back(caller.tx, &mut entries).await?;
    Ok(page.slice(entries.into_iter().map(|entry| ((entry.at, entry.seq), entry)).collect()))
}

/// Some events after this position of the chain, in order. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn part(caller: &Caller<'_>, past: i64, limit: i64) -> Result<Vec<Entry>, AuditError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(AuditError::Forbidden);
    }
    let mut entries = queries::part(caller.tx, past, limit).await?;
    put_personal_values_back(caller.tx, &mut entries).await?;
    Ok(entries)
}
