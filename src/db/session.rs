//! The settings of a new session.

use std::time::Duration;

use tokio_postgres::{Client, Error};

/// Names in SQL are unqualified: the session's search path chooses the schema, with temporary tables last.
fn search_path(schema: &str) -> String {
    format!("{schema}, pg_temp")
}

/// Makes this schema the session's only one from now on.
///
/// # Errors
/// When the connection is lost.
pub async fn see_only(client: &Client, schema: &str) -> Result<(), Error> {
    client.query("select set_config('search_path', $1, false)", &[&search_path(schema)]).await.map(drop)
}

/// The settings for every session of a pool.
#[derive(Clone)]
pub(super) struct Session {
    search_path: String,
    statement_timeout: String,
}

impl Session {
    /// A session that sees only this schema and whose statements are cancelled after this time.
    pub(super) fn new(schema: &str, statement: Duration) -> Self {
        Self { search_path: search_path(schema), statement_timeout: statement.as_millis().to_string() }
    }

    pub(super) async fn begin(&self, client: &Client) -> Result<(), Error> {
        let set = "select set_config('search_path', $1, false), set_config('statement_timeout', $2, false)";
        client.query(set, &[&self.search_path, &self.statement_timeout]).await.map(drop)
    }

    /// The same settings for one transaction only, as SQL. Schema names need no quotes.
    pub(super) fn for_one_transaction(schema: &str, statement: Duration) -> String {
        let (search_path, statement) = (search_path(schema), statement.as_millis());
        format!("set local search_path = {search_path}; set local statement_timeout = {statement}")
    }
}
