//! People and things that services take.

use std::str::FromStr;

use uuid::Uuid;

use crate::{
    base::ids::{ResourceId, UserId},
    db::{DbError, Row},
};

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKind {
    /// Somebody of the staff.
    Staff,
    /// A room.
    Room,
    /// Something that is used.
    Equipment,
}

impl ResourceKind {
    /// As the database and the API spell it.
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
            other => Err(DbError::Corrupt(format!("{other:?} is no kind of resource"))),
        }
    }
}

/// Somebody or something that is there once at a time.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Within the tenant.
    pub id: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// Unique within the tenant.
    pub name: String,
    /// Whom it stands for.
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

/// What a resource is to be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it is.
    pub kind: ResourceKind,
    /// Unique within the tenant.
    pub name: String,
    /// Whom it stands for.
    pub user: Option<UserId>,
    /// Whether it can be booked.
    pub active: bool,
}

/// What to change of a resource. `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// See [`Draft`].
    pub name: Option<String>,
    /// `Some(None)` removes it.
    pub user: Option<Option<UserId>>,
    /// See [`Draft`].
    pub active: Option<bool>,
}

/// Sort key of the list of resources: name, then id.
pub type ResourceKey = (String, Uuid);

/// Which resources a list holds.
#[derive(Clone, Debug, Default)]
pub struct ResourceFilter {
    /// Only of this kind.
    pub kind: Option<ResourceKind>,
    /// Only active ones, or only inactive ones. Customers are shown active ones whatever they ask for.
    pub active: Option<bool>,
}

/// Why something could not be done with a resource.
#[derive(Debug)]
pub enum ResourceError {
    /// The role does not allow it.
    Forbidden,
    /// There is no such resource.
    NotFound,
    /// Another resource has the name.
    NameTaken,
    /// The name is empty or too long.
    InvalidName,
    /// There is no such user to stand for.
    UserNotFound,
    /// Only staff stands for a user.
    NoUserOfKind,
    /// The plan allows no more active resources.
    QuotaExceeded,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for ResourceError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// What became of a resource that was to be deleted.
pub enum Deleted {
    /// It is gone.
    Gone(ResourceId),
    /// Bookings or services name it, so it was deactivated: nobody can book it any more.
    Deactivated(Resource),
}
