//! The audit log: who did what, written in the transaction that did it.

mod queries;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    auth::{Caller, Origin},
    db::{DbError, ScopedTx},
    ids::UserId,
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
