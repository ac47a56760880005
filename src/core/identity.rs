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

/// What a person of a tenant may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A customer: own profile and own bookings.
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
            other => Err(DbError::Corrupt(format!("{other:?} is no role"))),
        }
    }
}

/// A signed-in person, as a verified token names him. Whether it is still so is `enter`'s to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// His tenant.
    pub tenant: TenantId,
    /// Himself.
    pub user: UserId,
    /// His role when the token was issued.
    pub role: Role,
    /// The sign-in that the token belongs to.
    pub session: SessionId,
    /// Whether it is a platform administrator who acts as him: then nothing that proves who somebody is can be changed.
    pub impersonated: bool,
}

impl Viewer {
    /// The scope of his transactions.
    pub fn scope(&self) -> Scope {
        Scope::person(self.tenant, self.user, self.role.scope_role(), self.session)
    }
}

/// A signed-in platform administrator, as a verified token names him. Whether it is still so is the directory's `enter`
/// to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformViewer {
    /// Himself.
    pub administrator: AdministratorId,
    /// The sign-in that the token belongs to.
    pub session: SessionId,
    /// For the logs of tenants.
    pub email: Arc<str>,
}

impl PlatformViewer {
    /// The scope of his transactions, within a tenant or in the directory alone.
    pub fn scope(&self, tenant: Option<TenantId>) -> Scope {
        Scope::platform_administrator(tenant, self.administrator, self.session)
    }
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// No token.
    Anonymous,
    /// A token that is not, or not any more, ours. Only what anonymous callers may do works; the rest is refused.
    Unverified,
    /// A verified token of somebody of a tenant.
    Person(Viewer),
    /// A verified token of an operator of the deployment.
    Platform(PlatformViewer),
}

/// Where a request came from, for the audit log.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The id that the response carries too.
    pub request_id: Uuid,
    /// Network address of the client.
    pub address: Option<String>,
    /// What the client calls itself, cut to 300 characters.
    pub user_agent: Option<String>,
    /// E-mail of the platform administrator who acts as the person, if one does.
    pub impersonator: Option<String>,
}

/// What every rule of a signed-in person is given: whose transaction, who, when and from where.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The request's transaction.
    pub tx: &'a ScopedTx,
    /// Who asks.
    pub viewer: Viewer,
    /// What time it is.
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
