//! Plans and usage in the API.

use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject};

use super::{BillingError as Error, UsageLine};
use crate::{
    graphql::{ApiError, ContextExt, DateTime, Meaning, Money, STATEMENT_COST},
    ids::PlanId,
};

/// Something that tenants can subscribe to.
#[derive(Clone, SimpleObject)]
pub struct Plan {
    /// TypeID with the prefix `pln`.
    pub id: ID,
    /// Its name for programs.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// Price of one month.
    pub price: Money,
    /// Most of each meter. A meter that is not listed has no limit.
    pub limits: Vec<PlanLimit>,
    /// Keys of the features that the plan switches on.
    pub features: Vec<String>,
}

/// The most that a plan allows of a meter.
#[derive(Clone, SimpleObject)]
pub struct PlanLimit {
    /// `bookings` in a calendar month, `services` and `users` at once.
    pub meter: String,
    /// At most so many.
    pub limit: i32,
}

impl From<super::Plan> for Plan {
    fn from(plan: super::Plan) -> Self {
        Self {
            id: plan.id.to_string().into(),
            key: plan.key,
            name: plan.name,
            price: plan.price.into(),
            limits: plan.limits.into_iter().map(|(meter, limit)| PlanLimit { meter, limit: to_int(limit) }).collect(),
            features: plan.features,
        }
    }
}

/// How much of a meter was used in a period.
#[derive(Clone, SimpleObject)]
pub struct Usage {
    /// `bookings`, `services` or `users`.
    pub meter: String,
    /// So much.
    pub used: i32,
    /// Of at most so much; null without a limit.
    pub limit: Option<i32>,
    /// The first instant of the period.
    pub period_start: DateTime,
    /// The first instant after the period.
    pub period_end: DateTime,
}

impl From<UsageLine> for Usage {
    fn from(line: UsageLine) -> Self {
        Self {
            meter: line.meter.to_owned(),
            used: to_int(line.used),
            limit: line.limit.map(to_int),
            period_start: DateTime(line.period.start),
            period_end: DateTime(line.period.end),
        }
    }
}

/// GraphQL's `Int` has 32 bits; more than two thousand million of anything is shown as that.
fn to_int(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// What the tenant has subscribed to and how much of it is used.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Billing {
    /// Every meter, in the present period.
    usage: Vec<Usage>,
    #[graphql(skip)]
    plan_id: PlanId,
}

#[ComplexObject]
impl Billing {
    /// What the tenant has subscribed to.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn plan(&self, ctx: &Context<'_>) -> Result<Plan, ApiError> {
        let plans = plans_on_offer(ctx).await?;
        let plan = plans.into_iter().find(|it| it.id == self.plan_id);
        plan.map(Plan::from).ok_or_else(|| ApiError::Internal(format!("there is no plan {}", self.plan_id)))
    }
}

/// In a transaction of its own, ended at once: nobody holds the directory while he waits for something else.
async fn plans_on_offer(ctx: &Context<'_>) -> Result<Vec<super::Plan>, ApiError> {
    let directory = ctx.request().directory();
    let plans = super::plans(&directory).await?;
    directory.end_read();
    Ok(plans)
}

impl From<Error> for Meaning {
    fn from(error: Error) -> Self {
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::Db(error) => error.into(),
        }
    }
}

/// Queries about billing.
#[derive(Default)]
pub struct BillingQuery;

#[Object]
impl BillingQuery {
    /// The tenant's plan and usage. Administrators only.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn billing(&self, ctx: &Context<'_>) -> Result<Billing, ApiError> {
        let overview = super::overview(&ctx.work()?.caller()).await.map_err(Meaning::from)?;
        let usage = overview.usage.into_iter().map(Usage::from).collect();
        Ok(Billing { usage, plan_id: overview.plan })
    }

    /// The plans on offer, with prices, limits and features. Public.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn plans(&self, ctx: &Context<'_>) -> Result<Vec<Plan>, ApiError> {
        Ok(plans_on_offer(ctx).await?.into_iter().map(Plan::from).collect())
    }
}
