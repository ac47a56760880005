//! Who is calling, in which role, and from where.

use std::{str::FromStr, sync::Arc};

use uuid::Uuid;

use crate::{
    base::{
        clock::Clock,
        ids::{AdministratorId, SessionId, TenantId, UserId},
    },
    db::{DbError, Scope, ScopeRole, ScopedTx},
};

/// What a person may do in a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A customer: their own profile and bookings.
    User,
    /// The whole calendar, and customers' names.
    Staff,
    /// Everything of the tenant.
    Admin,
}

impl Role {
    /// As the database and the tokens spell it.
    pub fn as_str(self) -> &'static str {
        self.scope_role().as_str()
    }

    /// The scope of a person in this role.
    pub fn scope_role(self) -> ScopeRole {
        match self {
            Self::Admin => ScopeRole::Admin,
            Self::Staff => ScopeRole::Staff,
            Self::User => ScopeRole::User,
        }
    }
}

impl FromStr for Role {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        match text {
            "ADMIN" => Ok(Self::Admin),
            "STAFF" => Ok(Self::Staff),
            "USER" => Ok(Self::User),
            other => Err(DbError::Corrupt(format!("{other:?} is not a role"))),
        }
    }
}

/// A signed-in person, as a verified token names them. `enter` checks whether this still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The person's tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
    /// The person's role when the token was issued.
    pub role: Role,
    /// The sign-in that the token belongs to.
    pub session: SessionId,
    /// Whether a platform administrator is acting as this person. Then nothing that proves an identity can be changed.
    pub impersonated: bool,
}

impl Viewer {
    /// The scope of the person's transactions.
    pub fn scope(&self) -> Scope {
        Scope::person(self.tenant, self.user, self.role.scope_role(), self.session)
    }
}

/// A signed-in platform administrator, as a verified token names them. The directory's `enter` checks whether this
/// still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformViewer {
    /// The administrator.
    pub administrator: AdministratorId,
    /// The sign-in that the token belongs to.
    pub session: SessionId,
    /// The administrator's email, for the logs of tenants.
    pub email: Arc<str>,
}

impl PlatformViewer {
    /// The scope of the administrator's transactions, within a tenant or in the directory only.
    pub fn scope(&self, tenant: Option<TenantId>) -> Scope {
        Scope::platform_administrator(tenant, self.administrator, self.session)
    }
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// No token.
    Anonymous,
    /// A token that is not valid, or no longer. Only what anonymous callers may do works; the rest is refused.
    Unverified,
    /// A verified token of a person in a tenant.
    Person(Viewer),
    /// A verified token of an operator of the deployment.
    Platform(PlatformViewer),
}

/// Where a request came from, for the audit log.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The request's id, which the response also contains.
    pub request_id: Uuid,
    /// Network address of the client.
    pub address: Option<String>,
    /// The client's user agent, truncated to 300 characters.
    pub user_agent: Option<String>,
    /// Email of the platform administrator who acts as the person, if one does.
    pub impersonator: Option<String>,
}

/// What every rule gets from a signed-in person's request: the transaction, the person, the time and the origin.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The request's transaction.
    pub tx: &'a ScopedTx,
    /// The person.
    pub viewer: Viewer,
    /// The clock of the request.
    pub clock: &'a Clock,
    /// Where the request came from.
    pub origin: &'a Origin,
}

impl Caller<'_> {
    /// Whether the caller's role is at least this one.
    pub fn is_at_least(&self, role: Role) -> bool {
        self.viewer.role >= role
    }
}
