//! Who and what bookings need: staff, rooms, equipment.

pub mod graphql;
pub mod loaders;
mod queries;

use std::{collections::HashMap, str::FromStr};

use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::{self, Changes},
    auth::{Caller, Role},
    db::{DbError, Row, ScopedTx},
    ids::{ResourceId, UserId},
    paging::{Page, Slice},
    tenants, users,
};

/// Longest name, in characters.
pub const MAX_NAME: usize = 200;

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
    fn read(row: &Row) -> Result<Self, DbError> {
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

/// A page of resources, by name.
///
/// # Errors
/// When the statement fails.
pub async fn list(
    caller: &Caller<'_>,
    filter: &ResourceFilter,
    page: &Page<ResourceKey>,
) -> Result<Slice<ResourceKey, Resource>, DbError> {
    let active = if caller.is_at_least(Role::Staff) { filter.active } else { Some(true) };
    let resources = queries::list(caller.tx, filter.kind, active, page).await?;
    Ok(page.slice(resources.into_iter().map(|it| ((it.name.clone(), it.id.0), it)).collect()))
}

/// Those of these resources that exist in the tenant, active or not.
///
/// # Errors
/// When the statement fails.
pub async fn by_ids(tx: &ScopedTx, ids: &[ResourceId]) -> Result<HashMap<ResourceId, Resource>, DbError> {
    queries::by_ids(tx, ids).await
}

/// How many resources are active.
///
/// # Errors
/// When the statement fails.
pub async fn count_active(tx: &ScopedTx) -> Result<i64, DbError> {
    queries::count_active(tx).await
}

/// Makes sure that the plan has room for one more active resource, and that nobody else takes the place before this
/// transaction ends.
async fn reserve_place(tx: &ScopedTx) -> Result<(), ResourceError> {
    let Some(limit) = tenants::current(tx).await?.limits.of("resources") else { return Ok(()) };
    queries::lock_count(tx).await?;
    if queries::count_active(tx).await? >= limit { Err(ResourceError::QuotaExceeded) } else { Ok(()) }
}

/// Makes a resource.
///
/// # Errors
/// See [`ResourceError`].
pub async fn create(caller: &Caller<'_>, draft: Draft) -> Result<Resource, ResourceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ResourceError::Forbidden);
    }
    let draft = draft.checked(caller.tx).await?;
    if draft.active {
        reserve_place(caller.tx).await?;
    }
    let (id, now) = (ResourceId::generate(caller.clock.now()), caller.clock.now());
    let resource = queries::insert(caller.tx, id, &draft, now).await?.ok_or(ResourceError::NameTaken)?;
    audit::record(caller, "resources.create", "resource", Some(id.0), changes(None, &resource)).await?;
    Ok(resource)
}

/// Changes a resource. What is booked stays.
///
/// # Errors
/// See [`ResourceError`].
pub async fn update(caller: &Caller<'_>, id: ResourceId, patch: Patch) -> Result<Resource, ResourceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ResourceError::Forbidden);
    }
    tenants::lock_calendar(caller.tx).await?;
    let before = queries::by_ids(caller.tx, &[id]).await?.remove(&id).ok_or(ResourceError::NotFound)?;
    let draft = Draft {
        kind: before.kind,
        name: patch.name.unwrap_or_else(|| before.name.clone()),
        user: patch.user.unwrap_or(before.user),
        active: patch.active.unwrap_or(before.active),
    }
    .checked(caller.tx)
    .await?;
    if draft.active && !before.active {
        reserve_place(caller.tx).await?;
    }
    change(caller, &before, &draft, "resources.update").await
}

async fn change(
    caller: &Caller<'_>,
    before: &Resource,
    draft: &Draft,
    action: &'static str,
) -> Result<Resource, ResourceError> {
    let resource = match queries::update(caller.tx, before.id, draft, caller.clock.now()).await {
        Ok(resource) => resource.ok_or(ResourceError::NotFound)?,
        Err(error) if error.violates("resources_tenant_id_name_key") => return Err(ResourceError::NameTaken),
        Err(error) => return Err(error.into()),
    };
    audit::record(caller, action, "resource", Some(before.id.0), changes(Some(before), &resource)).await?;
    Ok(resource)
}

/// Deletes a resource that was never booked and serves nothing. Another one is deactivated: its bookings keep naming it, and
/// a service that needs it must not be booked without.
///
/// # Errors
/// See [`ResourceError`].
pub async fn delete(caller: &Caller<'_>, id: ResourceId) -> Result<Deleted, ResourceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ResourceError::Forbidden);
    }
    tenants::lock_calendar(caller.tx).await?;
    // Locked, so that no booking can begin to hold it between the look and the deletion.
    let before = queries::lock(caller.tx, id).await?.ok_or(ResourceError::NotFound)?;
    if queries::delete_unclaimed(caller.tx, id).await? {
        audit::record(caller, "resources.delete", "resource", Some(id.0), Changes::default()).await?;
        return Ok(Deleted::Gone(id));
    }
    let draft = Draft { kind: before.kind, name: before.name.clone(), user: before.user, active: false };
    Ok(Deleted::Deactivated(change(caller, &before, &draft, "resources.deactivate").await?))
}

impl Draft {
    async fn checked(mut self, tx: &ScopedTx) -> Result<Self, ResourceError> {
        self.name = self.name.trim().to_owned();
        if self.name.is_empty() || self.name.chars().count() > MAX_NAME {
            return Err(ResourceError::InvalidName);
        }
        if let Some(user) = self.user {
            if self.kind != ResourceKind::Staff {
                return Err(ResourceError::NoUserOfKind);
            }
            users::by_ids(tx, &[user]).await?.remove(&user).ok_or(ResourceError::UserNotFound)?;
        }
        Ok(self)
    }
}

fn changes(before: Option<&Resource>, after: &Resource) -> Changes {
    Changes::between(before, after, |it: &Resource| {
        [
            ("kind", json!(it.kind.as_str())),
            ("name", json!(it.name)),
            ("user", json!(it.user.map(|it| it.to_string()))),
            ("active", json!(it.active)),
        ]
    })
}
