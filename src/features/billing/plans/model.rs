//! A plan and its versions.

use jiff::Timestamp;

use crate::{
    base::ids::{PlanId, PlanVersionId},
    db::DbError,
    features::billing::terms::Terms,
};

/// Something that tenants can subscribe to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the directory.
    pub id: PlanId,
    /// Its name for programs.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// Order on the price list, lowest first.
    pub position: i32,
    /// Whether new tenants can take it.
    pub active: bool,
}

/// One version of a plan, with the plan.
#[derive(Clone, Debug)]
pub struct PlanVersion {
    /// In the directory.
    pub id: PlanVersionId,
    /// Of which plan.
    pub plan: Plan,
    /// From 1.
    pub version: i32,
    /// When it was published; a draft was not. From then on it never changes.
    pub published_at: Option<Timestamp>,
    /// What it says.
    pub terms: Terms,
}

/// Why a plan could not be changed.
#[derive(Debug)]
pub enum PlanError {
    /// There is no such plan.
    NotFound,
    /// It has no draft to be published.
    NoDraft,
    /// Another plan has the key.
    KeyTaken,
    /// A value is out of its bounds: which field, and what it has to be.
    Invalid(&'static str, String),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for PlanError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// What can be changed of a plan itself. What is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct PlanPatch {
    /// Its name for people.
    pub name: Option<String>,
    /// Order on the price list.
    pub position: Option<i32>,
    /// Whether new tenants can take it.
    pub active: Option<bool>,
}
