//! The tenant in the API.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};

use crate::graphql::{ApiError, ContextExt, CurrencyCode, DateTime, STATEMENT_COST, TimeZoneName};

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "super::TenantStatus")]
pub enum TenantStatus {
    /// It is.
    Active,
    /// Nobody of it may do anything.
    Suspended,
    /// Its data is being moved: reads go on, writes are refused for a moment.
    Moving,
    /// It is gone.
    Deleted,
}

/// How a tenant's data is kept apart from the others'.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "super::Isolation")]
pub enum Isolation {
    /// In tables that tenants share, by row-level security.
    Shared,
    /// In a schema of its own.
    Schema,
    /// In a database of its own.
    Database,
}

/// A business with its users, services and bookings.
#[derive(Clone, SimpleObject)]
pub struct Tenant {
    /// TypeID with the prefix `tnt`.
    pub id: ID,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// How its data is kept apart.
    pub isolation: Isolation,
    /// The zone of its calendar.
    pub time_zone: TimeZoneName,
    /// The currency of its prices.
    pub currency: CurrencyCode,
    /// When it was made.
    pub created_at: DateTime,
}

impl From<super::Tenant> for Tenant {
    fn from(tenant: super::Tenant) -> Self {
        Self {
            id: tenant.id.to_string().into(),
            slug: tenant.slug,
            name: tenant.name,
            status: tenant.status.into(),
            isolation: tenant.isolation.into(),
            time_zone: TimeZoneName(tenant.time_zone),
            currency: CurrencyCode(tenant.currency),
            created_at: DateTime(tenant.created_at),
        }
    }
}

/// Queries about the tenant.
#[derive(Default)]
pub struct TenantQuery;

#[Object]
impl TenantQuery {
    /// The caller's own tenant.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn tenant(&self, ctx: &Context<'_>) -> Result<Tenant, ApiError> {
        own(ctx).await
    }
}

/// The tenant of the caller, asked for once in a request.
pub async fn own(ctx: &Context<'_>) -> Result<Tenant, ApiError> {
    let work = ctx.work()?;
    let tenant = work.loaders.tenants.load_one(work.viewer.tenant).await?;
    // `enter` has just seen it, so it is there.
    Ok(tenant.ok_or_else(ApiError::unauthenticated)?.into())
}
