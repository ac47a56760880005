//! Unnamed statements, for a pooler in transaction mode: with PgBouncer older than 1.21 a named statement may run what
//! another process has prepared under that name.
//!
//! An unnamed statement is sent together with the types of its parameters. PostgreSQL knows them, so each statement is
//! prepared once on a connection that bypasses the pooler, and its types are cached.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio_postgres::{Client, Config, NoTls, types::Type};

use super::{schemas, see_only};

/// A statement, and the schema whose names it uses.
type Sent = (&'static str, &'static str);

/// The parameter types of every statement that was sent.
pub(super) struct Types {
    direct: Config,
    known: Mutex<HashMap<Sent, Arc<[Type]>>>,
    /// Bypasses the pooler; opened when it is needed.
    client: tokio::sync::Mutex<Option<Client>>,
}

impl Types {
    pub(super) fn new(direct: Config) -> Self {
        Self { direct, known: Mutex::default(), client: tokio::sync::Mutex::default() }
    }

    /// The types of this statement, in the directory or in a tenant's store: all stores are alike.
    pub(super) async fn of(&self, schema: &str, sql: &'static str) -> Result<Arc<[Type]>, tokio_postgres::Error> {
        let schema = match schema {
            schemas::DIRECTORY_SCHEMA => schemas::DIRECTORY_SCHEMA,
            _ => schemas::SHARED_SCHEMA,
        };
        let key = (schema, sql);
        if let Some(types) = self.known.lock().get(&key) {
            return Ok(types.clone());
        }
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            let mut config = self.direct.clone();
            config.application_name("tenantry types");
            let (connected, connection) = config.connect(NoTls).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "the connection for parameter types was lost");
                }
            });
            *client = Some(connected);
        }
        // Unwrap safety: it was set above.
        let client = client.as_ref().expect("a connection");
        see_only(client, schema).await?;
        let types: Arc<[Type]> = client.prepare(sql).await?.params().into();
        self.known.lock().insert(key, types.clone());
        Ok(types)
    }
}
