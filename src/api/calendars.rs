//! Calendar feeds in the API.

use async_graphql::{Context, Object, SimpleObject};

use crate::{
    api::ContextExt,
    graphql::{ApiError, DateTime, MUTATION_COST, STATEMENT_COST, UserError},
};

/// The feed of a user's bookings, for his calendar program.
#[derive(Clone, SimpleObject)]
pub struct CalendarFeed {
    /// Since when its address is good.
    pub created_at: DateTime,
}

/// The outcome of `rotateCalendarFeed`.
#[derive(SimpleObject)]
pub struct RotateCalendarFeedPayload {
    /// The feed.
    pub calendar_feed: Option<CalendarFeed>,
    /// Its address, below that of this server: `/calendars/….ics`. Whoever knows it reads the caller's bookings. It is told
    /// this once.
    pub path: Option<String>,
    /// What the caller can mend. Empty when the mutation did what was asked.
    pub user_errors: Vec<UserError>,
}

/// The outcome of `deleteCalendarFeed`.
#[derive(SimpleObject)]
pub struct DeleteCalendarFeedPayload {
    /// Whether there was one.
    pub deleted: bool,
    /// What the caller can mend. Empty when the mutation did what was asked.
    pub user_errors: Vec<UserError>,
}

/// Queries about calendar feeds.
#[derive(Default)]
pub struct CalendarQuery;

#[Object]
impl CalendarQuery {
    /// The caller's own feed. Null where he has none.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn calendar_feed(&self, ctx: &Context<'_>) -> Result<Option<CalendarFeed>, ApiError> {
        let work = ctx.work()?;
        let since = crate::features::calendars::feed_of(&work.tx, work.viewer.user).await?;
        Ok(since.map(|it| CalendarFeed { created_at: DateTime(it) }))
    }
}

/// Mutations of calendar feeds.
#[derive(Default)]
pub struct CalendarMutation;

#[Object]
impl CalendarMutation {
    /// Gives the caller's feed a new address, or him his first: a secret URL under which a calendar program reads his
    /// bookings and, where he is staff that bookings take, those. The address before is good for nothing any more.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn rotate_calendar_feed(&self, ctx: &Context<'_>) -> Result<RotateCalendarFeedPayload, ApiError> {
        let work = ctx.work()?;
        if work.viewer.impersonated {
            return Err(ApiError::impersonated());
        }
        let (token, created_at) = crate::features::calendars::rotate_feed(&work.caller()).await?;
        Ok(RotateCalendarFeedPayload {
            calendar_feed: Some(CalendarFeed { created_at: DateTime(created_at) }),
            path: Some(format!("/calendars/{}.ics", token.expose())),
            user_errors: Vec::new(),
        })
    }

    /// Takes the caller's feed away.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_calendar_feed(&self, ctx: &Context<'_>) -> Result<DeleteCalendarFeedPayload, ApiError> {
        let work = ctx.work()?;
        let deleted = crate::features::calendars::delete_feed(&work.caller()).await?;
        Ok(DeleteCalendarFeedPayload { deleted, user_errors: Vec::new() })
    }
}
