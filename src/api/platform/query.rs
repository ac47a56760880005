//! Queries of platform administrators.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    moves::{self, TenantMove},
    sales::{self, DeadPaymentEvent, FeatureRollout},
    tenant::{PlatformTenant, plan_keys, view},
};
use crate::{
    api::{ContextExt, entitlements::Feature, plans::Plan, tenants::TenantStatus},
    features::platform::{PlatformError, Statistics, TenantFilter, TenantOrder as Order},
    graphql::{ApiError, DateTime, ErrorClass, Listing, PageArgs, STATEMENT_COST, connection, page_cost, parse_id},
};

/// How many tenants have a status.
#[derive(SimpleObject)]
pub struct TenantStatusCount {
    /// The status.
    status: TenantStatus,
    /// Number of tenants.
    tenants: i32,
}

/// How many tenants are on a plan.
#[derive(SimpleObject)]
pub struct PlanCount {
    /// Key of the plan.
    plan: String,
    /// Number of tenants on it that are not deleted.
    tenants: i32,
}

/// Counts of tenants.
#[derive(SimpleObject)]
pub struct PlatformStatistics {
    /// By status; a status without tenants is omitted.
    by_status: Vec<TenantStatusCount>,
    /// By plan, in the order of the price list.
    by_plan: Vec<PlanCount>,
    /// Created in the last thirty days, and not deleted.
    new_in_thirty_days: i32,
}

/// One entry of the platform's log.
#[derive(Clone, SimpleObject)]
pub struct PlatformEvent {
    /// When it happened.
    at: DateTime,
    /// The platform administrator; null for the command line, background work and failed sign-ins.
    administrator_id: Option<ID>,
    /// Feature and verb, such as `tenants.suspend`.
    action: String,
    /// The tenant concerned.
    tenant_id: Option<ID>,
    /// Further details, as a JSON object.
    details: String,
    /// Network address of the client.
    address: Option<String>,
}

/// The order of a list of tenants.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Order")]
pub enum TenantOrder {
    /// Newest first.
    CreatedAtDesc,
    /// Oldest first.
    CreatedAtAsc,
    /// By name.
    NameAsc,
    /// By name, descending.
    NameDesc,
}

/// Filters a list of tenants. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "TenantFilter")]
pub struct TenantFilterInput {
    /// Only tenants with one of these statuses.
    status: Option<Vec<TenantStatus>>,
    /// Only tenants on the plan with this key.
    plan: Option<String>,
    /// Only tenants whose name or slug contains this text, ignoring case.
    search: Option<String>,
}

/// Data that only platform administrators can read.
pub struct Platform;

/// Data that only platform administrators can read.
#[Object]
impl Platform {
    /// Every tenant of the deployment.
    #[allow(clippy::too_many_arguments, reason = "the arguments of a list")]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn tenants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Filters the list.")] filter: Option<TenantFilterInput>,
        #[graphql(desc = "The order (default CREATED_AT_DESC).")] order_by: Option<TenantOrder>,
    ) -> Result<Listing<PlatformTenant>, ApiError> {
        let order = order_by.map(Order::from).unwrap_or_default();
        let kind = match order {
            Order::CreatedAtDesc => "platform.tenants.created_at_desc",
            Order::CreatedAtAsc => "platform.tenants.created_at_asc",
            Order::NameAsc => "platform.tenants.name_asc",
            Order::NameDesc => "platform.tenants.name_desc",
        };
        let page = PageArgs { first, after, last, before }.read(kind)?;
        let filter = filter.map_or_else(TenantFilter::default, |it| TenantFilter {
            statuses: it.status.map(|it| it.into_iter().map(Into::into).collect()),
            plan: it.plan,
            search: it.search.filter(|text| !text.is_empty()),
        });
        let operator = ctx.request().operator()?;
        let plans = plan_keys(&operator).await?;
        let slice = operator.tenants(&filter, order, &page).await.map_err(ErrorClass::from)?;
        Ok(connection(kind, slice, |it| view(it, &plans)))
    }

    /// One tenant. Null when it does not exist.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<Option<PlatformTenant>, ApiError> {
        let operator = ctx.request().operator()?;
        let found = operator.tenant(parse_id(&id, "id")?).await.map_err(ErrorClass::from)?;
        let Some(found) = found else { return Ok(None) };
        Ok(Some(view(found, &plan_keys(&operator).await?)))
    }

    /// Every version of every plan, including drafts: in the order of the price list, newest first.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn plan_versions(&self, ctx: &Context<'_>) -> Result<Vec<Plan>, ApiError> {
        sales::plan_versions(ctx).await
    }

    /// The roll-out of each feature, by key.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn rollouts(&self, ctx: &Context<'_>) -> Result<Vec<FeatureRollout>, ApiError> {
        sales::rollouts(ctx).await
    }

    /// Events from payment providers that could not be processed, oldest first; see `retryPaymentEvent`.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn dead_payment_events(&self, ctx: &Context<'_>) -> Result<Vec<DeadPaymentEvent>, ApiError> {
        sales::dead_payment_events(ctx).await
    }

    /// Every feature that a tenant's plan or an override mentions. Null when the tenant does not exist.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn features(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The tenant.")] tenant_id: ID,
    ) -> Result<Option<Vec<Feature>>, ApiError> {
        let operator = ctx.request().operator()?;
        match operator.features(parse_id(&tenant_id, "tenantId")?).await {
            Ok(features) => Ok(Some(features.into_iter().map(Feature::from).collect())),
            Err(PlatformError::NotFound) => Ok(None),
            Err(error) => Err(ErrorClass::from(error).into()),
        }
    }

    /// Moves of tenants between stores, newest first; of one tenant, or of all tenants.
    #[allow(clippy::too_many_arguments, reason = "the arguments of a list")]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn tenant_moves(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only moves of this tenant.")] tenant_id: Option<ID>,
    ) -> Result<Listing<TenantMove>, ApiError> {
        moves::tenant_moves(ctx, tenant_id, PageArgs { first, after, last, before }).await
    }

    /// Counts of tenants.
    #[graphql(complexity = "2 * STATEMENT_COST + 10 * child_complexity")]
    async fn statistics(&self, ctx: &Context<'_>) -> Result<PlatformStatistics, ApiError> {
        let found = ctx.request().operator()?.statistics().await.map_err(ErrorClass::from)?;
        Ok(found.into())
    }

    /// Actions of platform administrators, newest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
    ) -> Result<Listing<PlatformEvent>, ApiError> {
        const KIND: &str = "platform.events";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let slice = ctx.request().operator()?.events(&page).await.map_err(ErrorClass::from)?;
        Ok(connection(KIND, slice, |it| PlatformEvent {
            at: DateTime(it.at),
            administrator_id: it.administrator.map(|it| it.to_string().into()),
            action: it.action,
            tenant_id: it.tenant.map(|it| it.to_string().into()),
            details: it.details.to_string(),
            address: it.address,
        }))
    }
}

impl From<Statistics> for PlatformStatistics {
    fn from(it: Statistics) -> Self {
        let count = |it: i64| i32::try_from(it).unwrap_or(i32::MAX);
        let by_status = it.by_status.into_iter();
        let by_plan = it.by_plan.into_iter();
        Self {
            by_status: by_status
                .map(|(status, tenants)| TenantStatusCount { status: status.into(), tenants: count(tenants) })
                .collect(),
            by_plan: by_plan.map(|(plan, tenants)| PlanCount { plan, tenants: count(tenants) }).collect(),
            new_in_thirty_days: count(it.new_in_thirty_days),
        }
    }
}

/// Queries of platform administrators.
#[derive(Default)]
pub struct PlatformQuery;

#[Object]
impl PlatformQuery {
    /// Data for platform administrators. `FORBIDDEN` for everyone else.
    async fn platform(&self, ctx: &Context<'_>) -> Result<Platform, ApiError> {
        ctx.request().operator()?;
        Ok(Platform)
    }
}
