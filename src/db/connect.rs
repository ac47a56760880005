//! Pools of connections.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, NoTls};

use super::{DbError, session::Session};

pub(super) fn pool(mut config: Config, session: Option<Session>, size: usize, wait: Duration) -> Result<Pool, DbError> {
    config.application_name("tenantry").connect_timeout(wait);
    // `Fast` runs no SQL at check-out: `ScopedTx` never returns a connection that is not clean.
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    build(manager, session, size, wait)
}

/// A pool whose sessions are configured with `session`; `None` when a pooler shares them with others.
pub(super) fn build(manager: Manager, session: Option<Session>, size: usize, wait: Duration) -> Result<Pool, DbError> {
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(wait))
        .create_timeout(Some(wait))
        .recycle_timeout(Some(wait))
        .post_create(Hook::async_fn(move |client, _| {
            let session = session.clone();
            Box::pin(async move {
                let Some(session) = session else { return Ok(()) };
                session.begin(client).await.map_err(HookError::Backend)
            })
        }))
        .build()
        .map_err(|error| DbError::Unavailable(error.to_string()))
}
