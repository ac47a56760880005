//! Subscription to the caller's own user.

use std::{sync::Arc, time::Duration};

use async_graphql::{Context, Subscription};
use futures_util::stream::{self, BoxStream, StreamExt};

use super::objects::User;
use crate::{
    api::RequestContext,
    base::ids::UserId,
    db::{Change, DbError},
    graphql::{ApiError, STATEMENT_COST, Watch, WatchEvent, is_passing},
};

/// Delay before a read is retried after a transient failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Subscriptions to users.
#[derive(Default)]
pub struct UserSubscription;

#[Subscription]
impl UserSubscription {
    /// The caller's own user: the current state first, then again whenever name, role or status change. A change of
    /// role is the last event: the socket closes with 4403, and the client reconnects with a token of the new role.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn viewer_changed(&self, ctx: &Context<'_>) -> Result<BoxStream<'static, Result<User, ApiError>>, ApiError> {
        let request = ctx.data_unchecked::<Arc<RequestContext>>().clone();
        let viewer = request.viewer().ok_or_else(ApiError::unauthenticated)?;
        let own = Own { watch: request.watch()?, id: viewer.user, told: None, is_last: false, request };
        Ok(stream::unfold(Some(own), |own| async move {
            let mut own = own?;
            match own.next().await {
                Ok(user) => Some((Ok(user?), Some(own).filter(|it| !it.is_last))),
                Err(error) => Some((Err(error.into()), None)),
            }
        })
        .boxed())
    }
}

/// The state of one subscription to a user.
struct Own {
    request: Arc<RequestContext>,
    watch: Watch,
    id: UserId,
    /// The user as last sent.
    told: Option<crate::features::users::User>,
    /// Whether the token allows no further reads.
    is_last: bool,
}

impl Own {
    /// Waits until the user differs from the last one sent. `None` when the user no longer exists.
    async fn next(&mut self) -> Result<Option<User>, DbError> {
        loop {
            self.request.end_event();
            match self.read().await {
                Ok(None) => return Ok(None),
                Ok(user) if user != self.told => {
                    self.told = user.clone();
                    return Ok(user.map(User::from));
                }
                Ok(Some(_)) if self.is_last => return Ok(None),
                Ok(Some(_)) => {}
                Err(error) if is_passing(&error) => {
                    self.request.end_event();
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.request.end_event();
            self.wait().await;
            self.request.pay_for_event().await;
        }
    }

    /// Waits for a hint that the user may have changed.
    async fn wait(&mut self) {
        loop {
            match self.watch.next().await {
                WatchEvent::Of(Change::Booking { .. }) => {}
                WatchEvent::Of(Change::User { id }) if id != self.id.0 => {}
                WatchEvent::Of(_) | WatchEvent::Look => return,
            }
        }
    }

    async fn read(&mut self) -> Result<Option<crate::features::users::User>, DbError> {
        match self.read_once().await {
            Err(DbError::RoleChanged) if self.request.follow_role().await? => {
                self.is_last = true;
                self.read_once().await
            }
            read => read,
        }
    }

    async fn read_once(&self) -> Result<Option<crate::features::users::User>, DbError> {
        let Ok(work) = self.request.work() else { return Err(DbError::SessionEnded) };
        Ok(crate::features::users::by_ids(&work.tx, &[self.id]).await?.remove(&self.id))
    }
}
