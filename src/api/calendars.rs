//! Calendar feeds in the API.

use async_graphql::{Context, Object, SimpleObject};

use crate::{
    api::ContextExt,
    graphql::{ApiError, DateTime, MUTATION_COST, STATEMENT_COST, UserError},
};

/// A feed of a user's bookings, for their calendar application.
#[derive(Clone, SimpleObject)]
pub struct CalendarFeed {
    /// When its current URL was created.
    pub created_at: DateTime,
}

/// The outcome of `rotateCalendarFeed`.
#[derive(SimpleObject)]
pub struct RotateCalendarFeedPayload {
    /// The feed.
    pub calendar_feed: Option<CalendarFeed>,
    /// The path of its URL on this server: `/calendars/….ics`. Anyone who has it can read the caller's bookings. It
    /// is shown only once.
    pub path: Option<String>,
    /// Errors that the caller can correct. Empty when the mutation succeeded.
    pub user_errors: Vec<UserError>,
}

/// The outcome of `deleteCalendarFeed`.
#[derive(SimpleObject)]
pub struct DeleteCalendarFeedPayload {
    /// Whether there was a feed.
    pub deleted: bool,
    /// Errors that the caller can correct. Empty when the mutation succeeded.
    pub user_errors: Vec<UserError>,
}

/// Queries about calendar feeds.
#[derive(Default)]
pub struct CalendarQuery;

#[Object]
impl CalendarQuery {
    /// The caller's own feed. Null when there is none.
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
    /// Creates the caller's calendar feed, or replaces its URL: a secret URL under which a calendar application reads
    /// the caller's bookings and, for a member of staff with a resource, the bookings of that resource. The previous
    /// URL stops working.
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

    /// Deletes the caller's calendar feed.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_calendar_feed(&self, ctx: &Context<'_>) -> Result<DeleteCalendarFeedPayload, ApiError> {
        let work = ctx.work()?;
        let deleted = crate::features::calendars::delete_feed(&work.caller()).await?;
        Ok(DeleteCalendarFeedPayload { deleted, user_errors: Vec::new() })
    }
}
