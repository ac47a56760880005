//! Plans and their versions.

use jiff::Timestamp;

use crate::{
    base::ids::{PlanId, PlanVersionId},
    db::DbError,
    features::billing::terms::Terms,
};

/// A plan that tenants can subscribe to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The id in the directory.
    pub id: PlanId,
    /// The key for programs.
    pub key: String,
    /// The display name.
    pub name: String,
    /// The position on the price list, lowest first.
    pub position: i32,
    /// Whether new tenants can subscribe to it.
    pub active: bool,
}

/// One version of a plan, with the plan.
#[derive(Clone, Debug)]
pub struct PlanVersion {
    /// The id in the directory.
    pub id: PlanVersionId,
    /// The plan.
    pub plan: Plan,
    /// The version number, from 1.
    pub version: i32,
    /// When it was published; `None` for a draft. A published version never changes.
    pub published_at: Option<Timestamp>,
    /// The terms.
    pub terms: Terms,
}

/// Why a plan could not be changed.
#[derive(Debug)]
pub enum PlanError {
    /// There is no such plan.
    NotFound,
    /// The plan has no draft to publish.
    NoDraft,
    /// Another plan has the key.
    KeyTaken,
    /// A value is out of range: the field and the message.
    Invalid(&'static str, String),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for PlanError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// A change of a plan itself. A `None` field stays.
#[derive(Clone, Debug, Default)]
pub struct PlanPatch {
    /// The display name.
    pub name: Option<String>,
    /// The position on the price list.
    pub position: Option<i32>,
    /// Whether new tenants can subscribe to it.
    pub active: Option<bool>,
}
