//! The audit log: who did what, written in the transaction that did it.

pub mod graphql;
mod queries;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    auth::{Caller, Origin, Role},
    db::{DbError, ScopedTx},
    ids::UserId,
    paging::{Page, Slice},
};

/// What changed: `{"field": {"from": …, "to": …}}`. Never a secret.
#[derive(Debug, Default)]
pub struct Changes(Map<String, Value>);

impl Changes {
    /// Adds a field when its value differs. A new object's fields come from null.
    pub fn field(mut self, name: &str, from: impl Into<Value>, to: impl Into<Value>) -> Self {
        let (from, to) = (from.into(), to.into());
        if from != to {
            self.0.insert(name.to_owned(), json!({ "from": from, "to": to }));
        }
        self
    }
}

/// One line of the log.
#[derive(Debug)]
pub struct Event {
    actor: Option<UserId>,
    /// Feature and verb, such as `bookings.cancel`.
    action: &'static str,
    object_type: &'static str,
    object: Option<Uuid>,
    changes: Changes,
}

impl Event {
    /// An event of the sign-in path, about the user whom it concerns.
    pub fn of_sign_in(user: UserId, action: &'static str, object_type: &'static str, object: Option<Uuid>) -> Self {
        Self { actor: Some(user), action, object_type, object, changes: Changes::default() }
    }
}

/// Records what the caller did.
///
/// # Errors
/// When the statement fails; then the change that it tells of must not stand either, and does not.
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
    queries::insert(tx, &event, now, origin).await
}

/// One line of the log, as it was written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// In the order in which events of one instant were written.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who, or whom signing in was about.
    pub actor: Option<UserId>,
    /// In which role.
    pub actor_role: String,
    /// Feature and verb.
    pub action: String,
    /// What kind of object.
    pub object_type: String,
    /// Which one.
    pub object: Option<Uuid>,
    /// What changed.
    pub changes: Map<String, Value>,
    /// Which request.
    pub request: Option<Uuid>,
    /// From where.
    pub address: Option<String>,
}

/// Sort key of the log: instant, then id.
pub type AuditKey = (Timestamp, Uuid);

/// Which events a list holds. An empty filter holds all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only of this user.
    pub actor: Option<UserId>,
    /// Only this action.
    pub action: Option<String>,
    /// Only to objects of this kind.
    pub object_type: Option<String>,
    /// Only to this object.
    pub object: Option<Uuid>,
    /// Only at this instant or later.
    pub from: Option<Timestamp>,
    /// Only before this instant.
    pub to: Option<Timestamp>,
}

/// Why the log could not be shown.
#[derive(Debug)]
pub enum AuditError {
    /// Only administrators read it.
    Forbidden,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for AuditError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
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
    let entries = queries::list(caller.tx, filter, page).await?;
    Ok(page.slice(entries.into_iter().map(|entry| ((entry.at, entry.id), entry)).collect()))
}
