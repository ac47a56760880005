//! The people of a tenant.

pub mod graphql;
pub mod loaders;
mod queries;

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

pub use crate::auth::Role;
use crate::{
    audit::{self, Changes},
    auth::Caller,
    db::{DbError, Row, ScopedTx},
    ids::UserId,
    paging::{Page, Slice},
};

/// Longest name of a person, in characters.
pub const MAX_NAME: usize = 200;

/// A user, as his tenant knows him.
#[derive(Clone, Debug)]
pub struct User {
    /// Within the tenant.
    pub id: UserId,
    /// Normalised.
    pub email: String,
    /// What he is called.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// Whether he can sign in.
    pub status: UserStatus,
    /// When he joined.
    pub created_at: Timestamp,
}

/// Whether a user can sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// Yes.
    Active,
    /// Not any more; his bookings stay.
    Deactivated,
}

impl UserStatus {
    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Deactivated => "DEACTIVATED",
        }
    }
}

impl User {
    /// Reads a row that begins with id, e-mail, name, role, status and creation.
    ///
    /// # Errors
    /// When the row holds what the table's checks forbid.
    pub fn read(row: &Row) -> Result<Self, DbError> {
        let status = match row.get(4) {
            "ACTIVE" => UserStatus::Active,
            "DEACTIVATED" => UserStatus::Deactivated,
            other => return Err(DbError::Corrupt(format!("{other:?} is no user status"))),
        };
        Ok(Self {
            id: row.get(0),
            email: row.get(1),
            name: row.get(2),
            role: row.get::<_, &str>(3).parse()?,
            status,
            created_at: row.get(5),
        })
    }
}

/// Sort key of the list of users: name, then id.
pub type UserKey = (String, Uuid);

/// Which users a list holds. An empty filter holds all.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Only this role.
    pub role: Option<Role>,
    /// Only those whose name or e-mail contains this, whatever the case.
    pub search: Option<String>,
}

/// Why something could not be done with users.
#[derive(Debug)]
pub enum UserError {
    /// The role does not allow it.
    Forbidden,
    /// There is no such user, or none that the caller may change.
    NotFound,
    /// The name is empty or too long.
    InvalidName,
    /// He is the last administrator who can sign in: nobody could keep the tenant any more.
    LastAdmin,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for UserError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// A page of the tenant's users, by name. Only staff may list them.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn list(
    caller: &Caller<'_>,
    filter: &UserFilter,
    page: &Page<UserKey>,
) -> Result<Slice<UserKey, User>, UserError> {
    if !caller.is_at_least(Role::Staff) {
        return Err(UserError::Forbidden);
    }
    let users = queries::list(caller.tx, filter, page).await?;
    Ok(page.slice(users.into_iter().map(|user| ((user.name.clone(), user.id.0), user)).collect()))
}

/// Those of these users whom the scope may see.
///
/// # Errors
/// When the statement fails.
pub async fn by_ids(tx: &ScopedTx, ids: &[UserId]) -> Result<HashMap<UserId, User>, DbError> {
    queries::by_ids(tx, ids).await
}

/// How many users can sign in.
///
/// # Errors
/// When the statement fails.
pub async fn count_active(tx: &ScopedTx) -> Result<i64, DbError> {
    queries::count_active(tx).await
}

/// Changes what a user is called: an administrator anybody's, everybody his own.
///
/// # Errors
/// `NotFound` for anybody whom the caller may not change, whether he exists or not.
pub async fn rename(caller: &Caller<'_>, id: UserId, name: Option<&str>) -> Result<User, UserError> {
    let before = queries::by_ids(caller.tx, &[id]).await?.remove(&id).ok_or(UserError::NotFound)?;
    let Some(name) = name.map(str::trim) else { return Ok(before) };
    if name.is_empty() || name.chars().count() > MAX_NAME {
        return Err(UserError::InvalidName);
    }
    let now = caller.clock.now();
    let user = queries::update_name(caller.tx, id, name, now).await?.ok_or(UserError::NotFound)?;
    let changes = Changes::default().field("name", before.name, user.name.clone());
    audit::record(caller, "users.update", "user", Some(id.0), changes).await?;
    Ok(user)
}

/// Gives a user another role. Administrators only. His sessions are refused from the next request on, because their tokens
/// name the old role.
///
/// # Errors
/// `LastAdmin` where nobody else keeps the tenant, also when two administrators demote each other at once.
pub async fn set_role(caller: &Caller<'_>, id: UserId, role: Role) -> Result<User, UserError> {
    let before = lock_as_administrator(caller, id).await?;
    if before.role == role {
        return Ok(before);
    }
    refuse_last_administrator(caller.tx, &before).await?;
    let user = queries::update_role(caller.tx, id, role, caller.clock.now()).await?.ok_or(UserError::NotFound)?;
    let changes = Changes::default().field("role", before.role.as_str(), role.as_str());
    audit::record(caller, "users.set_role", "user", Some(id.0), changes).await?;
    Ok(user)
}

/// Lets a user go, or has him back. Administrators only. A deactivated user cannot sign in, and his sessions are refused
/// from the next request on.
///
/// # Errors
/// `LastAdmin` as for [`set_role`].
pub async fn set_status(caller: &Caller<'_>, id: UserId, status: UserStatus) -> Result<User, UserError> {
    let before = lock_as_administrator(caller, id).await?;
    if before.status == status {
        return Ok(before);
    }
    refuse_last_administrator(caller.tx, &before).await?;
    let user = queries::update_status(caller.tx, id, status, caller.clock.now()).await?.ok_or(UserError::NotFound)?;
    let changes = Changes::default().field("status", before.status.as_str(), status.as_str());
    audit::record(caller, "users.set_status", "user", Some(id.0), changes).await?;
    Ok(user)
}

/// The user, while no other transaction changes who administers the tenant.
async fn lock_as_administrator(caller: &Caller<'_>, id: UserId) -> Result<User, UserError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(UserError::Forbidden);
    }
    queries::lock_administrators(caller.tx).await?;
    queries::by_ids(caller.tx, &[id]).await?.remove(&id).ok_or(UserError::NotFound)
}

async fn refuse_last_administrator(tx: &ScopedTx, user: &User) -> Result<(), UserError> {
    let keeps_the_tenant = user.role == Role::Admin && user.status == UserStatus::Active;
    if keeps_the_tenant && queries::count_administrators(tx).await? <= 1 {
        return Err(UserError::LastAdmin);
    }
    Ok(())
}
