//! The types of the audit log.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::changes::Changes;
use crate::{base::ids::UserId, db::DbError};

/// An event to be recorded.
#[derive(Debug)]
pub struct Event {
    pub(super) actor: Option<UserId>,
    /// Feature and verb, such as `bookings.cancel`.
    pub(super) action: &'static str,
    pub(super) object_type: &'static str,
    pub(super) object: Option<Uuid>,
    pub(super) changes: Changes,
}

impl Event {
    /// A sign-in event, about the user it concerns.
    pub fn of_sign_in(user: UserId, action: &'static str, object_type: &'static str, object: Option<Uuid>) -> Self {
        Self { actor: Some(user), action, object_type, object, changes: Changes::default() }
    }

    /// An event of a platform administrator, or of the platform itself, about this tenant.
    pub fn of_platform(administrator: Option<Uuid>, action: &'static str, object: Option<Uuid>) -> Self {
        let actor = administrator.map(UserId);
        Self { actor, action, object_type: "tenant", object, changes: Changes::default() }
    }

    /// An event of background work.
    pub fn of_work(action: &'static str, object_type: &'static str, object: Option<Uuid>) -> Self {
        Self { actor: None, action, object_type, object, changes: Changes::default() }
    }

    /// Adds what changed.
    pub fn with(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }
}

/// An entry of the log, as it was written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// The user who acted, or whom the sign-in was about; `None` for background work and the platform itself.
    pub actor: Option<UserId>,
    /// The role in which they acted.
    pub actor_role: String,
    /// Email of the platform administrator who acted as this person.
    pub impersonator: Option<String>,
    /// Its position in the chain.
    pub seq: i64,
    /// Feature and verb, such as `bookings.cancel`.
    pub action: String,
    /// The kind of object.
    pub object_type: String,
    /// The object.
    pub object: Option<Uuid>,
    /// What changed.
    pub changes: Map<String, Value>,
    /// The request.
    pub request: Option<Uuid>,
    /// The client's network address.
    pub address: Option<String>,
}

/// Sort key of the log: instant, then position in the chain.
pub type AuditKey = (Timestamp, i64);

/// Which events a list contains. An empty filter contains all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only events of this user.
    pub actor: Option<UserId>,
    /// Only this action.
    pub action: Option<String>,
    /// Only events about objects of this kind.
    pub object_type: Option<String>,
    /// Only events about this object.
    pub object: Option<Uuid>,
    /// Only at or after this instant.
    pub from: Option<Timestamp>,
    /// Only before this instant.
    pub to: Option<Timestamp>,
}

/// Why the log could not be read.
#[derive(Debug)]
pub enum AuditError {
    /// Only administrators may read it.
    Forbidden,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for AuditError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}
