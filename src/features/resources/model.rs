//! Staff, rooms and equipment.

use std::str::FromStr;

use uuid::Uuid;

use crate::{
    base::ids::{ResourceId, UserId},
    db::{DbError, Row},
};

/// The kind of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKind {
    /// A staff member.
    Staff,
    /// A room.
    Room,
    /// A piece of equipment.
    Equipment,
}

impl ResourceKind {
    /// The value in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staff => "STAFF",
            Self::Room => "ROOM",
            Self::Equipment => "EQUIPMENT",
        }
    }
}

impl FromStr for ResourceKind {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        match text {
            "STAFF" => Ok(Self::Staff),
            "ROOM" => Ok(Self::Room),
            "EQUIPMENT" => Ok(Self::Equipment),
            other => Err(DbError::Corrupt(format!("{other:?} is not a resource kind"))),
        }
    }
}

/// A resource that can serve one booking or class at a time.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The id, unique within the tenant.
    pub id: ResourceId,
    /// The kind.
    pub kind: ResourceKind,
    /// The name, unique within the tenant.
    pub name: String,
    /// The user that it represents.
    pub user: Option<UserId>,
    /// Whether it can be booked.
    pub active: bool,
}

impl Resource {
    pub(super) fn read(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get(0),
            kind: row.get::<_, &str>(1).parse()?,
            name: row.get(2),
            user: row.get(3),
            active: row.get(4),
        })
    }
}

/// The values of a new or changed resource.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The kind.
    pub kind: ResourceKind,
    /// The name, unique within the tenant.
    pub name: String,
    /// The user that it represents.
    pub user: Option<UserId>,
    /// Whether it can be booked.
    pub active: bool,
}

/// A change of a resource. A `None` field stays.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// See [`Draft`].
    pub name: Option<String>,
    /// `Some(None)` removes the user.
    pub user: Option<Option<UserId>>,
    /// See [`Draft`].
    pub active: Option<bool>,
}

/// Sort key of the list of resources: name, then id.
pub type ResourceKey = (String, Uuid);

/// Which resources a list contains.
#[derive(Clone, Debug, Default)]
pub struct ResourceFilter {
    /// Only resources of this kind.
    pub kind: Option<ResourceKind>,
    /// Only active resources, or only inactive ones. Customers always get active ones.
    pub active: Option<bool>,
}

/// Why an operation on a resource failed.
#[derive(Debug)]
pub enum ResourceError {
    /// The caller's role does not allow it.
    Forbidden,
    /// There is no such resource.
    NotFound,
    /// Another resource has the name.
    NameTaken,
    /// The name is empty or too long.
    InvalidName,
    /// There is no such user to represent.
    UserNotFound,
    /// Only staff can represent a user.
    NoUserOfKind,
    /// The plan's limit on active resources is reached.
    QuotaExceeded,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for ResourceError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// The result of deleting a resource.
pub enum Deleted {
    /// It was deleted.
    Gone(ResourceId),
    /// Bookings or services refer to it, so it was deactivated and can no longer be booked.
    Deactivated(Resource),
}
