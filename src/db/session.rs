//! What a session is told when it begins.

use std::time::Duration;

use tokio_postgres::{Client, Error};

/// Names in SQL are unqualified: a session says whose tables they are, with temporary ones last.
fn search_path(schema: &str) -> String {
    format!("{schema}, pg_temp")
}

/// The session sees this schema alone from now on.
///
/// # Errors
/// When the connection is lost.
pub async fn see_only(client: &Client, schema: &str) -> Result<(), Error> {
    client.query("select set_config('search_path', $1, false)", &[&search_path(schema)]).await.map(drop)
}

/// What every session of a pool is told.
#[derive(Clone)]
pub(super) struct Session {
    search_path: String,
    statement_timeout: String,
}

impl Session {
    /// It sees this schema alone, and its statements are cancelled after this time.
    pub(super) fn new(schema: &str, statement: Duration) -> Self {
        Self { search_path: search_path(schema), statement_timeout: statement.as_millis().to_string() }
    }

    pub(super) async fn begin(&self, client: &Client) -> Result<(), Error> {
        let set = "select set_config('search_path', $1, false), set_config('statement_timeout', $2, false)";
        client.query(set, &[&self.search_path, &self.statement_timeout]).await.map(drop)
    }

    /// The same for one transaction alone, as SQL. Names of schemas need no quotes.
    pub(super) fn for_one_transaction(schema: &str, statement: Duration) -> String {
        let (search_path, statement) = (search_path(schema), statement.as_millis());
        format!("set local search_path = {search_path}; set local statement_timeout = {statement}")
    }
}
