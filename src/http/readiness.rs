//! Whether the server can handle requests.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use crate::db::{Gate, find_unsafe};

/// How long a result is reused. The caller does not need to sign in, so the check must not cost the database much.
const HOLDS: Duration = Duration::from_secs(1);
/// How long a successful check of schema and role is reused, and new sessions to be had: both are asked on a session of its
/// own, since those of the pool go on when the server lets nobody else in.
const SAFETY_HOLDS: Duration = Duration::from_secs(5);
/// How long the database may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The latest results.
pub struct Readiness {
    database_url: String,
    is_leaving: AtomicBool,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    found: Option<(Result<(), &'static str>, Instant)>,
    safe_at: Option<Instant>,
}

impl Readiness {
    /// The readiness of a server on this database.
    pub fn new(database_url: &str) -> Self {
        Self { database_url: database_url.to_owned(), is_leaving: AtomicBool::new(false), last: Mutex::default() }
    }

    /// From now on, every check reports that the server stops, so that load balancers send requests elsewhere.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Checks whether the server is ready.
    ///
    /// # Errors
    /// The reason, in words for an operator's probe, without details of the database.
    pub async fn check(&self, gate: &Gate) -> Result<(), &'static str> {
        if self.is_leaving.load(Ordering::Relaxed) {
            return Err("the server is about to stop");
        }
        // One check runs at a time, and the callers that waited get the same result.
        let mut last = self.last.lock().await;
        if let Some((found, at)) = last.found
            && at.elapsed() < HOLDS
        {
            return found;
        }
        let found = match tokio::time::timeout(LIMIT, self.look(gate, &mut last)).await {
            Ok(found) => found,
            Err(_) => Err("the database does not answer"),
        };
        last.found = Some((found, Instant::now()));
        found
    }

    async fn look(&self, gate: &Gate, last: &mut Last) -> Result<(), &'static str> {
        if let Err(error) = gate.ping().await {
            tracing::warn!(%error, "not ready");
            return Err("the database does not answer");
        }
        if last.safe_at.is_none_or(|at| at.elapsed() > SAFETY_HOLDS) {
            if let Err(error) = find_unsafe(&self.database_url).await {
                tracing::error!(%error, "not ready");
                return Err("the database is not up to date, or not safe; see the log");
            }
            last.safe_at = Some(Instant::now());
        }
        Ok(())
    }
}
