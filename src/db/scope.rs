//! Who a transaction is for. PostgreSQL's policies see exactly this and nothing else.

use crate::base::ids::{AdministratorId, SessionId, TenantId, UserId};

/// What a scope may do; the policies in `sql/` say what that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScopeRole {
    /// Everything of the tenant except credentials.
    Admin,
    /// The whole calendar, and customers' names.
    Staff,
    /// A customer: their own profile and bookings, and what is on offer.
    User,
    /// Sign-in, the only path that reads credentials.
    Authenticator,
    /// Background work for a tenant.
    Worker,
    /// The directory, and creating tenants.
    PlatformAdmin,
}

impl ScopeRole {
    /// Whether it is the role of a person in a tenant.
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
    /// A person of the tenant, as a verified token names them. `enter` checks that this still holds.
    pub fn person(tenant: TenantId, user: UserId, role: ScopeRole, session: SessionId) -> Self {
        Self { tenant: Some(tenant), user: Some(user), role, session: Some(session) }
    }

    /// The tenant it is in; `None` only in the directory.
    pub fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    /// What it may do.
    pub fn role(&self) -> ScopeRole {
        self.role
    }

    /// Any caller, signed in or not, reading what is public in the directory.
    pub fn directory_public() -> Self {
        Self { tenant: None, user: None, role: ScopeRole::User, session: None }
    }

    /// Sign-in within one tenant.
    pub fn authenticator(tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), user: None, role: ScopeRole::Authenticator, session: None }
    }

    /// Sign-in before the tenant is known: the directory only.
    pub fn directory_authenticator() -> Self {
        Self { tenant: None, user: None, role: ScopeRole::Authenticator, session: None }
    }

    /// Background work for a tenant.
    pub fn worker(tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), user: None, role: ScopeRole::Worker, session: None }
    }

    /// A platform administrator, as a verified token names them. In the directory `enter` checks that their session is
    /// live.
    pub fn platform_administrator(
        tenant: Option<TenantId>,
        administrator: AdministratorId,
        session: SessionId,
    ) -> Self {
        let (user, session) = (Some(UserId(administrator.0)), Some(session));
        Self { tenant, user, role: ScopeRole::PlatformAdmin, session }
    }

    /// Creating and maintaining tenants, from the command line and in background work.
    pub fn platform(tenant: Option<TenantId>) -> Self {
        Self { tenant, user: None, role: ScopeRole::PlatformAdmin, session: None }
    }
}
