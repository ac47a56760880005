//! The types of the audit log.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::changes::Changes;
use crate::{base::ids::UserId, db::DbError};

/// One line of the log.
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
    /// An event of the sign-in path, about the user whom it concerns.
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

    /// With what changed.
    pub fn with(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }
}

/// One line of the log, as it was written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who, or whom signing in was about.
    pub actor: Option<UserId>,
    /// In which role.
    pub actor_role: String,
    /// E-mail of the platform administrator who acted as this person.
    pub impersonator: Option<String>,
    /// Its place in the chain.
    pub seq: i64,
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

/// Sort key of the log: instant, then place in the chain.
pub type AuditKey = (Timestamp, i64);

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
