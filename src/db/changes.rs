//! Announces changes to watchers: within this process directly, to other processes through `notify`.
//!
//! A hint only, sent after the commit: a `notify` inside the transaction would make all commits of the database wait
//! for each other. A hint can be lost with its process or its connection, so watchers also poll, and read what a hint
//! names in a transaction of their own.

use std::{collections::HashMap, str::FromStr, time::Duration};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_postgres::{AsyncMessage, Config, NoTls};
use uuid::Uuid;

use super::DbError;
use crate::base::ids::TenantId;

/// How many hints are kept for a slow watcher. Past that the watcher polls.
const KEPT: usize = 256;
/// How many tenants are remembered before those without watchers are forgotten.
const MANY: usize = 1_024;
/// How many hints wait for the connection to the database.
const OUTGOING: usize = 4_096;
/// How many hints are sent in one statement.
const AT_ONCE: usize = 200;
/// How long the database may take to answer on the connection that carries hints.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long the carrier waits before it reconnects.
const PAUSE: Duration = Duration::from_secs(1);

const LISTEN: &str = "-- db.listen
    listen tenantry_changes";
const NOTIFY: &str = "-- db.notify
    select pg_notify('tenantry_changes', hint) from unnest($1::text[]) hint";

/// What changed in a tenant. Carries only ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A booking was created or changed.
    Booking {
        /// The booking.
        id: Uuid,
        /// Its service.
        service: Uuid,
        /// Its customer.
        customer: Uuid,
    },
    /// A user was changed.
    User {
        /// The user.
        id: Uuid,
    },
    /// Something unspecified: watchers must poll.
    Unknown,
}

/// A hint sent to other processes.
#[derive(Serialize, Deserialize)]
struct Hint {
    /// The process that sends it, which already knows of the change.
    from: Uuid,
    tenant: Uuid,
    change: Change,
}

/// The watchers of each tenant, and the hints to send to other processes.
#[derive(Debug)]
pub struct Changes {
    process: Uuid,
    watched: Mutex<HashMap<TenantId, broadcast::Sender<Change>>>,
    outgoing: mpsc::Sender<String>,
    /// Taken by the task that carries hints between processes.
    carried: Mutex<Option<mpsc::Receiver<String>>>,
}

impl Default for Changes {
    fn default() -> Self {
        let (outgoing, carried) = mpsc::channel(OUTGOING);
        Self { process: Uuid::now_v7(), watched: Mutex::default(), outgoing, carried: Mutex::new(Some(carried)) }
    }
}

impl Changes {
    /// Every change announced for this tenant from now on.
    pub fn watch(&self, tenant: TenantId) -> broadcast::Receiver<Change> {
        let mut watched = self.watched.lock();
        if watched.len() >= MANY {
            watched.retain(|_, it| it.receiver_count() > 0);
        }
        watched.entry(tenant).or_insert_with(|| broadcast::channel(KEPT).0).subscribe()
    }

    /// Announces the changes to this process and, through the database, to every other one.
    pub(super) fn tell(&self, tenant: TenantId, changes: Vec<Change>) {
        for change in changes {
            self.tell_here(tenant, change);
            let hint = Hint { from: self.process, tenant: tenant.0, change };
            if let Ok(hint) = serde_json::to_string(&hint) {
                let _ = self.outgoing.try_send(hint); // When the queue is full, the others find it by polling.
            }
        }
    }

    fn tell_here(&self, tenant: TenantId, change: Change) {
        let mut watched = self.watched.lock();
        if watched.get(&tenant).is_some_and(|it| it.send(change).is_err()) {
            watched.remove(&tenant); // No watcher is left.
        }
    }

    /// Hints may have been lost: every watcher must poll.
    fn tell_all_to_look(&self) {
        self.watched.lock().retain(|_, it| it.send(Change::Unknown).is_ok());
    }

    /// Carries hints between this process and others on a connection of its own, until `stop` is set.
    pub async fn carry(&self, database_url: &str, mut stop: watch::Receiver<Option<String>>) {
        let Some(mut outgoing) = self.carried.lock().take() else { return };
        loop {
            tokio::select! {
                _ = stop.wait_for(Option::is_some) => return,
                lost = self.carry_until_lost(database_url, &mut outgoing) => {
                    if let Err(error) = lost {
                        tracing::warn!(%error, "cannot receive changes from other processes; retrying");
                    }
                }
            }
            tokio::select! {
                _ = stop.wait_for(Option::is_some) => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn carry_until_lost(&self, url: &str, outgoing: &mut mpsc::Receiver<String>) -> Result<(), DbError> {
        let mut config = Config::from_str(url)?;
        config.application_name("tenantry changes").connect_timeout(ANSWER_LIMIT);
        let (client, mut connection) = config.connect(NoTls).await?;
        let lost = || DbError::Unavailable("the connection was lost".into());
        // Incoming messages are passed on at once, so that the connection never blocks: answers to outgoing statements
        // arrive the same way.
        let hearing = async {
            let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(note) = message {
                    self.hear(note.payload());
                }
            }
            Err(lost())
        };
        let saying = async {
            in_time(client.batch_execute(LISTEN)).await?;
            self.tell_all_to_look();
            while let Some(first) = outgoing.recv().await {
                let mut hints = vec![first];
                while hints.len() < AT_ONCE
                    && let Ok(hint) = outgoing.try_recv()
                {
                    hints.push(hint);
                }
                in_time(client.execute(NOTIFY, &[&hints])).await?;
            }
            Err(lost())
        };
        tokio::select! {
            ended = hearing => ended,
            ended = saying => ended,
        }
    }

    fn hear(&self, hint: &str) {
        match serde_json::from_str::<Hint>(hint) {
            Ok(hint) if hint.from == self.process => {}
            Ok(hint) => self.tell_here(TenantId(hint.tenant), hint.change),
            // From another version: the kind of change is unknown.
            Err(_) => self.tell_all_to_look(),
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, DbError> {
    match tokio::time::timeout(ANSWER_LIMIT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DbError::Unavailable("the database does not answer".into())),
    }
}
