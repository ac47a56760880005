//! An operator's connection to one store.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

use super::FleetError;
use crate::db;

/// Session settings that make values read the same on every server: rows are copied and compared as text.
const SPELLING: &str = "set timezone = 'UTC'; set datestyle = 'ISO, YMD'; set intervalstyle = 'iso_8601';
    set extra_float_digits = 1; set bytea_output = 'hex'; set statement_timeout = 0; set idle_in_transaction_session_timeout = 0";

/// How long a server may take to answer at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Runs work that a responding server completes within `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, FleetError>>,
) -> Result<T, FleetError> {
    let silent = || FleetError::Refused("a server does not answer".into());
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(silent()))
}

/// A connection that sees only one schema and ends when it is dropped.
pub(super) struct Link {
    client: Client,
    task: JoinHandle<()>,
}

impl Link {
    /// Connects; with `None` for the schema the search path stays unchanged.
    pub(super) async fn connect(config: &Config, schema: Option<&str>) -> Result<Self, FleetError> {
        // One limit for each host in turn, and one for the first statements.
        let hosts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX);
        within(CONNECT_LIMIT.saturating_mul(hosts.saturating_add(1)), Self::begin(config, schema)).await
    }

    async fn begin(config: &Config, schema: Option<&str>) -> Result<Self, FleetError> {
        let mut config = config.clone();
        // A server that is gone is noticed within a minute, however long a statement may run.
        config
            .application_name("tenantry fleet")
            .connect_timeout(CONNECT_LIMIT)
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(6)
            .tcp_user_timeout(Duration::from_secs(45));
        let (client, connection) = config.connect(NoTls).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a store ended");
            }
        });
        client.batch_execute(SPELLING).await?;
        if let Some(schema) = schema {
            db::see_only(&client, schema).await?;
        }
        Ok(Self { client, task })
    }

    /// Closes the session, and waits until it has ended.
    pub(super) async fn close(self) {
        let Self { client, task } = self;
        drop(client);
        let _ = task.await;
    }
}

impl Deref for Link {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}
