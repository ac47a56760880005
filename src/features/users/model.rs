//! The users of a tenant.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    base::ids::UserId,
    core::identity::Role,
    db::{DbError, Row},
};

/// A user of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id, unique within the tenant.
    pub id: UserId,
    /// The normalised email.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Their role.
    pub role: Role,
    /// Whether they can sign in.
    pub status: UserStatus,
    /// When they joined.
    pub created_at: Timestamp,
    /// When they proved ownership of the mailbox.
    pub email_verified_at: Option<Timestamp>,
}

/// How a user wants the tenant's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailPreferences {
    /// The BCP 47 tag of their language; `None` for the tenant's.
    pub locale: Option<String>,
    /// Whether they want reminders of their bookings.
    pub reminders: bool,
}

impl Default for MailPreferences {
    fn default() -> Self {
        Self { locale: None, reminders: true }
    }
}

/// Whether a user can sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// They can sign in.
    Active,
    /// They can no longer sign in; their bookings stay.
    Deactivated,
    /// They can never sign in again; name and email are pseudonyms.
    Erased,
}

impl UserStatus {
    /// The value in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Deactivated => "DEACTIVATED",
            Self::Erased => "ERASED",
        }
    }
}

impl User {
    /// Reads a row that starts with id, email, name, role, status, creation time and time of email verification.
    ///
    /// # Errors
    /// When the row holds values that the table's checks forbid.
    pub fn read(row: &Row) -> Result<Self, DbError> {
        Self::read_at(row, 0)
    }

    /// Like [`Self::read`], starting at this column: for statements that join users.
    ///
    /// # Errors
    /// When a column does not hold the expected type or value.
    pub fn read_at(row: &Row, first: usize) -> Result<Self, DbError> {
        let status = match row.get(first + 4) {
            "ACTIVE" => UserStatus::Active,
            "DEACTIVATED" => UserStatus::Deactivated,
            "ERASED" => UserStatus::Erased,
            other => return Err(DbError::Corrupt(format!("{other:?} is not a user status"))),
        };
        Ok(Self {
            id: row.get(first),
            email: row.get(first + 1),
            name: row.get(first + 2),
            role: row.get::<_, &str>(first + 3).parse()?,
            status,
            created_at: row.get(first + 5),
            email_verified_at: row.get(first + 6),
        })
    }
}

/// Sort key of the list of users: name, then id.
pub type UserKey = (String, Uuid);

/// Which users a list contains. An empty filter selects all.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Only users with this role.
    pub role: Option<Role>,
    /// Only users whose name or email contains this text, ignoring case.
    pub search: Option<String>,
}

/// Why an operation on users failed.
#[derive(Debug)]
pub enum UserError {
    /// The caller's role does not allow it.
    Forbidden,
    /// There is no such user, or none that the caller may change.
    NotFound,
    /// The name is empty or too long.
    InvalidName,
    /// The locale is not a tag of a language that mail is written in.
    InvalidLocale,
    /// The plan's limit on users is reached.
    QuotaExceeded,
    /// An impersonated session cannot change roles or access.
    Impersonated,
    /// The user is the last administrator who can sign in. Nobody could administer the tenant afterwards.
    LastAdmin,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for UserError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}
