//! A user of a tenant.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    base::ids::UserId,
    core::identity::Role,
    db::{DbError, Row},
};

/// A user, as his tenant knows him.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// When he showed that the mailbox is his.
    pub email_verified_at: Option<Timestamp>,
}

/// Whether a user can sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// Yes.
    Active,
    /// Not any more; his bookings stay.
    Deactivated,
    /// Never again; name and e-mail are a pseudonym.
    Erased,
}

impl UserStatus {
    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Deactivated => "DEACTIVATED",
            Self::Erased => "ERASED",
        }
    }
}

impl User {
    /// Reads a row that begins with id, e-mail, name, role, status, creation and confirmation of the e-mail.
    ///
    /// # Errors
    /// When the row holds what the table's checks forbid.
    pub fn read(row: &Row) -> Result<Self, DbError> {
        Self::read_at(row, 0)
    }

    /// The same, from this column on: for statements that join users.
    ///
    /// # Errors
    /// When a column does not hold what it should.
    pub fn read_at(row: &Row, first: usize) -> Result<Self, DbError> {
        let status = match row.get(first + 4) {
            "ACTIVE" => UserStatus::Active,
            "DEACTIVATED" => UserStatus::Deactivated,
            "ERASED" => UserStatus::Erased,
            other => return Err(DbError::Corrupt(format!("{other:?} is no user status"))),
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
    /// The plan allows no more users.
    QuotaExceeded,
    /// Whoever acts as somebody else cannot change who may do what.
    Impersonated,
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
