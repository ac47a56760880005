//! Who a transaction is for. PostgreSQL's policies see exactly this and nothing else.

use crate::base::ids::{AdministratorId, SessionId, TenantId, UserId};

/// What a scope may do; the policies in `sql/` say what that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScopeRole {
    /// Everything of the tenant but credentials.
    Admin,
    /// The whole calendar, and customers' names.
    Staff,
    /// A customer: own profile, own bookings, what is on offer.
    User,
    /// The sign-in path, the only one that reads credentials.
    Authenticator,
    /// Background work for a tenant.
    Worker,
    /// The directory, and making a tenant.
    PlatformAdmin,
}

impl ScopeRole {
    /// Whether it is that of somebody of a tenant.
    pub fn is_person(self) -> bool {
        matches!(self, Self::Admin | Self::Staff | Self::User)
    }

    /// As `enter` and the policies spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "ADMIN",
            Self::Staff => "STAFF",
            Self::User => "USER",
            Self::Authenticator => "AUTHENTICATOR",
            Self::Worker => "WORKER",
            Self::PlatformAdmin => "PLATFORM_ADMIN",
        }
    }
}

/// The tenant, user, role and session that a transaction is entered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `None` only in the directory.
    pub(super) tenant: Option<TenantId>,
    pub(super) user: Option<UserId>,
    pub(super) role: ScopeRole,
    pub(super) session: Option<SessionId>,
}

impl Scope {
    /// A person of the tenant, as a verified token names him. `enter` checks that it is still so.
    pub fn person(tenant: TenantId, user: UserId, role: ScopeRole, session: SessionId) -> Self {
        Self { tenant: Some(tenant), user: Some(user), role, session: Some(session) }
    }

    /// Whose tenant it is in; `None` only in the directory.
    pub fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    /// What it may do.
    pub fn role(&self) -> ScopeRole {
        self.role
    }

    /// Anybody, signed in or not, reading what is public in the directory.
    pub fn directory_public() -> Self {
        Self { tenant: None, user: None, role: ScopeRole::User, session: None }
    }

    /// The sign-in path within one tenant.
    pub fn authenticator(tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), user: None, role: ScopeRole::Authenticator, session: None }
    }

    /// The sign-in path before it knows the tenant: the directory only.
    pub fn directory_authenticator() -> Self {
        Self { tenant: None, user: None, role: ScopeRole::Authenticator, session: None }
    }

    /// Background work for a tenant.
    pub fn worker(tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), user: None, role: ScopeRole::Worker, session: None }
    }

    /// A platform administrator, as a verified token names him. In the directory `enter` checks that his session lives.
    pub fn platform_administrator(
        tenant: Option<TenantId>,
        administrator: AdministratorId,
        session: SessionId,
    ) -> Self {
        let (user, session) = (Some(UserId(administrator.0)), Some(session));
        Self { tenant, user, role: ScopeRole::PlatformAdmin, session }
    }

    /// Making and keeping tenants, from the command line and in background work.
    pub fn platform(tenant: Option<TenantId>) -> Self {
        Self { tenant, user: None, role: ScopeRole::PlatformAdmin, session: None }
    }
}
