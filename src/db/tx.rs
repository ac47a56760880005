//! The transaction of one request: begun at its first statement, entered as one scope, shared by every resolver.
//!
//! - `begin`, `enter` and the first statement leave in one flush: tokio-postgres writes a request when its future is
//!   first polled and answers in order, so the three are awaited together.
//! - Statements that are awaited together are sent together, in the order in which they were asked for: what follows a
//!   lock in one flush runs with the lock held.
//! - A statement that fails, or whose future is dropped before its answer, marks the transaction. A marked transaction
//!   is rolled back and reports it: PostgreSQL itself answers `commit` of an aborted transaction with success.
//! - A read that is known to have one statement hands its connection on with that statement
//!   ([`ScopedTx::expect_one_statement`]) and no longer uses it: any further read happens in another transaction.
//! - Dropped without an end, a transaction queues a `rollback` and keeps its connection out of the pool until that is
//!   answered. A connection whose statement had to be cancelled is closed, since a late cancel could hit another
//!   transaction's statement.

use std::{
    borrow::Cow,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use deadpool_postgres::Pool;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio_postgres::{Row, error::SqlState};
use tracing::{Instrument, debug_span};

use super::{
    Change, DbError, Placement,
    common::Common,
    connection_handoff::{ConnectionHandoff, PendingCommit},
    flush::write_now,
    held::HeldConnection,
    live::{Access, ENTER, End, Live, Param, Restriction, Statement, Tried, begin, entering},
    placement_cache::PlacementCache,
    scope::Scope,
    session::Session,
};
use crate::base::ids::TenantId;

/// Where a transaction gets its connection.
pub(super) enum Route {
    /// From this pool, whose unqualified names are in this schema.
    Pool(Pool, &'static str),
    /// From this pool, among the tenants in shared tables.
    Shared(Arc<ConnectionHandoff>),
    /// From the store of the scope's tenant, wherever that is.
    Tenant(Arc<PlacementCache>),
}

/// One transaction in one [`Scope`]; see the module's description.
pub struct ScopedTx {
    route: Route,
    common: Arc<Common>,
    scope: Scope,
    access: Access,
    /// Set once it has begun or failed to begin.
    live: Mutex<Option<Result<Arc<Live>, DbError>>>,
    /// Held by the caller that is about to begin.
    beginning: tokio::sync::Mutex<()>,
    /// Held by the caller that is about to send a statement.
    turn: tokio::sync::Mutex<()>,
    /// A statement failed or was abandoned since the last savepoint.
    marked: AtomicBool,
    /// The cause, when one of this transaction's statements knows it.
    cause: Mutex<Option<DbError>>,
    /// Whether `open` must set a savepoint right after `enter`.
    savepoint_wanted: AtomicBool,
    /// Audit events, appended to the tenant's chain right before the commit.
    events: Mutex<Pending<serde_json::Value>>,
    /// Changes announced to watchers right after the commit.
    changed: Mutex<Pending<Change>>,
    /// How long a statement waits for its answer before the server counts as silent.
    patience: Mutex<Duration>,
    /// Whether the commit leaves background work behind.
    leaves_work: AtomicBool,
    /// Whether the connection is handed on with the next statement.
    expects_one_statement: AtomicBool,
    /// How many statements were requested.
    statements: AtomicUsize,
    ended: AtomicBool,
}

/// What waits for a transaction's commit, in order.
struct Pending<T> {
    all: Vec<T>,
    /// How many there were at the savepoint.
    before_field: usize,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { all: Vec::new(), before_field: 0 }
    }
}

impl<T> Pending<T> {
    fn start_field(&mut self) {
        self.before_field = self.all.len();
    }

    fn undo_field(&mut self) {
        self.all.truncate(self.before_field);
    }
}

/// What waited for the commit when a part of a field began: see [`ScopedTx::start_part`].
#[derive(Debug)]
#[must_use]
pub struct Part {
    events: usize,
    changed: usize,
}

/// Why a statement has no rows.
enum Failed {
    /// `enter` refused the transaction, so none of its statements had any effect.
    AtTheDoor(DbError),
    /// It was not sent, because the connection has been handed on.
    HandedOn,
    Itself(DbError),
}

impl ScopedTx {
    pub(super) fn new(route: Route, common: Arc<Common>, scope: Scope, access: Access) -> Self {
        Self {
            route,
            patience: Mutex::new(common.patience),
            common,
            scope,
            access,
            live: Mutex::new(None),
            beginning: tokio::sync::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            marked: AtomicBool::new(false),
            cause: Mutex::new(None),
            savepoint_wanted: AtomicBool::new(false),
            events: Mutex::default(),
            changed: Mutex::default(),
            leaves_work: AtomicBool::new(false),
            expects_one_statement: AtomicBool::new(false),
            statements: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// The tenant that every statement names as `tenant_id = $1`: it comes from the scope, never from input.
    ///
    /// # Panics
    /// In a directory scope, which has no tenant. No query of a tenant store is reachable from one.
    pub fn tenant(&self) -> TenantId {
        // Unwrap safety: only `Scope::directory_*` have none, and those are used with directory pools.
        self.scope.tenant.expect("a scope with a tenant")
    }

    /// The scope that the transaction was entered with.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Runs a statement and returns its rows.
    ///
    /// The text is `'static`: no SQL is ever built from input. It starts with its name, `-- feature.verb`.
    pub async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, DbError> {
        let span = debug_span!("db.query", statement = statement_name(sql));
        // Boxed: a caller that awaits several at once would be as large as all of them.
        Box::pin(self.run(sql, params)).instrument(span).await
    }

    /// Runs a statement that returns at most one row.
    pub async fn query_opt(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Option<Row>, DbError> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Runs a statement that always returns a row, such as an insert that cannot conflict.
    pub async fn query_one(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Row, DbError> {
        let row = self.query_opt(sql, params).await?;
        row.ok_or_else(|| DbError::Corrupt(format!("{} returned no row", statement_name(sql))))
    }

    /// Runs a statement for its effect.
    pub async fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<(), DbError> {
        self.query(sql, params).await.map(drop)
    }

    async fn run(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, DbError> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.common.stats.statements.fetch_add(1, Ordering::Relaxed);
        let mut live = self.live().await?;
        loop {
            let refused = match self.attempt(&live, sql, params).await {
                Ok(rows) => return Ok(rows),
                Err(Failed::Itself(error)) => return Err(error),
                Err(Failed::HandedOn) => {
                    drop(live); // Frees its place, which the next one may have to wait for.
                    live = self.live().await?;
                    continue;
                }
                Err(Failed::AtTheDoor(refused)) => refused,
            };
            // Boxed: it is rare, and would enlarge every statement.
            match Box::pin(self.elsewhere(live, &refused)).await {
                Some(again) => live = again?,
                None => {
                    self.marked.store(true, Ordering::Relaxed);
                    return Err(refused);
                }
            }
        }
    }

    async fn attempt(&self, live: &Live, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failed> {
        let statement = InFlight::start(self, live);
        // Pinned here and awaited by reference: a future taken by value is allocated once more.
        let answer = pin!(async {
            // Statements are sent in the order in which they were asked for, even when one has to be prepared first.
            let turn = self.turn.lock().await;
            if live.is_handed_on() {
                return Ok(None);
            }
            let statement = Statement::of(&self.common, live.held(), sql).await?;
            let mut answer = pin!(statement.run(live.client(), params));
            let answered = futures_util::poll!(answer.as_mut());
            if answered.is_pending() && self.expects_one_statement.swap(false, Ordering::Relaxed) && live.hand_on() {
                // Any further statement begins a new transaction.
                self.live.lock().take();
            }
            drop(turn);
            match answered {
                Poll::Ready(answer) => answer.map(Some),
                Poll::Pending => answer.await.map(Some),
            }
        });
        // Awaited together with `begin` and `enter`, whose answers come first: the connection blocks behind an answer
        // that nobody polls. Each transaction ahead of this one may take just as long.
        let patience = *self.patience.lock() * live.turns();
        let answers = pin!(futures_util::future::join(live.opened(), answer));
        let Ok((opening, answer)) = tokio::time::timeout(patience, answers).await else {
            // The server cancels slow statements, so this one does not answer at all. `statement` is dropped:
            // abandoned.
            return Err(Failed::Itself(DbError::Unavailable("the database does not answer".into())));
        };
        statement.answered();
        let error = match answer {
            Ok(None) => return Err(Failed::HandedOn),
            // A statement that ran outside a transaction, because that could not begin, does not count.
            Ok(Some(rows)) => return opening.map(|_| rows).map_err(Failed::AtTheDoor),
            Err(error) => error,
        };
        // "Current transaction is aborted" hides the cause when it was `enter` that refused.
        opening.map_err(Failed::AtTheDoor)?;
        self.marked.store(true, Ordering::Relaxed);
        if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) {
            return Err(Failed::Itself(self.cause(error).await));
        }
        let error = DbError::from(error);
        self.cause.lock().get_or_insert_with(|| error.clone());
        Err(Failed::Itself(error))
    }

    /// The cause that a concurrent statement reported, when this one only says that the transaction is aborted. That
    /// answer came before this one's, but its future may be polled after it.
    async fn cause(&self, aborted: tokio_postgres::Error) -> DbError {
        for _ in 0..CAUSE_TURNS {
            if let Some(cause) = &*self.cause.lock() {
                return cause.clone();
            }
            tokio::task::yield_now().await;
        }
        aborted.into() // The future that knew the cause was dropped.
    }

    /// Adds an audit event, which is appended to the tenant's chain on commit. `append_audit_events` in `sql/tenant`
    /// describes its fields.
    pub fn log(&self, event: serde_json::Value) {
        self.events.lock().all.push(event);
    }

    /// Announces this change to the tenant's watchers after the commit.
    pub fn announce(&self, change: Change) {
        self.changed.lock().all.push(change);
    }

    /// Allows its statements to run this long; the server's own limit must be raised too.
    pub fn allow_time(&self, time: Duration) {
        *self.patience.lock() = time;
    }

    /// Makes a read hand its connection to a waiting caller as soon as its first statement is sent. Use it when there
    /// is only one, brief statement: others are queued behind it, and it is not cancelled on the server when nobody
    /// waits for its answer. Afterwards the transaction counts as not begun. If there is another statement after all,
    /// it runs in a transaction of its own.
    pub fn expect_one_statement(&self) {
        self.expects_one_statement.store(self.access == Access::Read, Ordering::Relaxed);
    }

    /// How many statements were requested.
    pub fn statements(&self) -> usize {
        self.statements.load(Ordering::Relaxed)
    }

    /// Starts background work once this has committed.
    pub fn wake_on_commit(&self) {
        self.leaves_work.store(true, Ordering::Relaxed);
    }

    /// Why the scope's person may not write, as `enter` reported; `None` when they may, or nothing has begun.
    pub async fn restriction(&self) -> Option<Restriction> {
        self.begun()?.opened().await.ok().flatten()
    }

    /// Whether it holds a connection, or has tried to get one.
    pub fn has_begun(&self) -> bool {
        self.live.lock().is_some()
    }

    async fn live(&self) -> Result<Arc<Live>, DbError> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(DbError::NotCommitted);
        }
        if let Some(live) = &*self.live.lock() {
            return live.clone();
        }
        let _beginning = self.beginning.lock().await;
        if let Some(live) = &*self.live.lock() {
            return live.clone();
        }
        if self.ended.load(Ordering::Relaxed) {
            return Err(DbError::NotCommitted); // It ended during the wait.
        }
        // A failure is kept: thirty resolvers must not each wait for a pool that has no connection.
        self.keep(self.open().await)
    }

    fn keep(&self, live: Result<Live, DbError>) -> Result<Arc<Live>, DbError> {
        let live = live.map(Arc::new);
        *self.live.lock() = Some(live.clone());
        live
    }

    async fn open(&self) -> Result<Live, DbError> {
        let placements = match &self.route {
            Route::Pool(pool, schema) => return self.begin(HeldConnection::of(pool, schema).await?, None).await,
            Route::Shared(pool) => return self.begin(HeldConnection::shared(pool, None).await?, None).await,
            Route::Tenant(placements) => placements,
        };
        let placement = placements.of(self.tenant()).await?;
        let tried = Tried { placements: placements.clone(), placement };
        match self.begin_at(placements, &tried.placement, Some(tried.clone())).await {
            Err(DbError::StoreMissing) => Box::pin(self.open_elsewhere(tried, DbError::StoreMissing)).await,
            // A store that cannot be reached may be one that the tenant has left.
            Err(DbError::Unavailable(why)) if tried.placement != Placement::Shared => {
                let since = Instant::now().checked_sub(LOOK_AGAIN_AFTER).unwrap_or_else(Instant::now);
                match placements.look(self.tenant(), since).await?.placement {
                    Some(place) if place != tried.placement => self.begin_at(placements, &place, None).await,
                    _ => Err(DbError::Unavailable(why)),
                }
            }
            other => other,
        }
    }

    async fn begin_at(&self, all: &PlacementCache, at: &Placement, tried: Option<Tried>) -> Result<Live, DbError> {
        self.begin(all.connect(&self.scope, at).await?, tried).await
    }

    fn opening_words(&self, held: &HeldConnection, after_another: bool) -> Cow<'static, str> {
        let begin = match (self.access, after_another) {
            (Access::Read, false) => "begin read only",
            (Access::Write, false) => "begin read write",
            (Access::Read, true) => "commit; begin read only",
            (Access::Write, true) => "commit; begin read write",
        };
        match &self.common.pooler {
            None => begin.into(),
            // Each transaction gets another session, which must be left unchanged.
            Some(pooler) => {
                format!("{begin}; {}", Session::for_one_transaction(held.schema(), pooler.statement)).into()
            }
        }
    }

    async fn begin(&self, mut held: HeldConnection, tried: Option<Tried>) -> Result<Live, DbError> {
        // This may be the session's first answer.
        let enter = tokio::time::timeout(self.common.patience, Statement::of(&self.common, &held, ENTER)).await;
        let enter =
            enter.map_err(|_| DbError::Unavailable("the database does not answer".into()))?.map_err(entering)?;
        // Nothing is awaited from here to the return, so a cancellation cannot leave a begun transaction without its
        // guard.
        let before = held.uncommitted.take().map(PendingCommit::take);
        let (after_another, behind) = (before.is_some(), before.unwrap_or(0));
        let words = self.opening_words(&held, after_another);
        let opening = begin(held.client.clone(), words, enter, self.scope, self.access);
        let opening = opening.boxed().shared();
        write_now(opening.clone());
        if self.savepoint_wanted.load(Ordering::Relaxed) {
            write_now(held.client.batch_execute("savepoint field"));
        }
        self.common.stats.transactions.fetch_add(1, Ordering::Relaxed);
        self.common.stats.handed_on.fetch_add(u64::from(after_another), Ordering::Relaxed);
        self.common.stats.chained.fetch_add(u64::from(behind > 0), Ordering::Relaxed);
        Ok(Live {
            opening: Some(opening),
            held: Some(held),
            in_flight: AtomicUsize::new(0),
            behind,
            end: Mutex::new(End::Open),
            tried,
            common: self.common.clone(),
        })
    }

    /// Begins again where the tenant is now, if it was refused here because the tenant has moved: nothing was done yet.
    /// `None` when it was refused for another reason, or a second time.
    async fn elsewhere(&self, live: Arc<Live>, refused: &DbError) -> Option<Result<Arc<Live>, DbError>> {
        if !refused.is_of_another_place() {
            return None;
        }
        let tried = live.tried.clone()?;
        // It ends and returns its connection once concurrent statements have dropped it too.
        drop(live);
        let _beginning = self.beginning.lock().await;
        match &mut *self.live.lock() {
            Some(Ok(first)) if first.tried.is_some() => {}
            Some(other) => return Some(other.clone()), // A concurrent statement has already done this.
            None => {}
        }
        *self.live.lock() = None;
        // If this is dropped during the wait, the transaction cannot continue.
        self.marked.store(true, Ordering::Relaxed);
        let again = self.open_elsewhere(tried, refused.clone()).await;
        self.marked.store(again.is_err(), Ordering::Relaxed);
        Some(self.keep(again))
    }

    /// Waits until the directory says where the tenant is, if it is moving, and begins there.
    async fn open_elsewhere(&self, tried: Tried, mut refused: DbError) -> Result<Live, DbError> {
        let Tried { placements, placement: mut last } = tried;
        let mut at = Instant::now();
        let deadline = Instant::now() + placements.wait();
        let mut pause = FIRST_PAUSE;
        loop {
            let known = placements.look(self.tenant(), at).await?;
            let Some(placement) = known.placement else { return Err(DbError::TenantNotHere) };
            let is_same = placement == last;
            if is_same && !known.is_moving && !matches!(refused, DbError::TenantMoving) {
                return Err(refused);
            }
            // While writers must wait there is no point in asking, and readers were already refused here.
            if !known.is_moving || !is_same {
                let live = self.begin_at(&placements, &placement, None).await;
                refused = match live {
                    Ok(live) => match tokio::time::timeout(self.common.patience * live.turns(), live.opened()).await {
                        Ok(Err(error)) if error.is_of_another_place() => error,
                        Ok(_) => return Ok(live),
                        Err(_) => return Err(DbError::Unavailable("the database does not answer".into())),
                    },
                    Err(DbError::StoreMissing) => DbError::StoreMissing,
                    Err(error) => return Err(error),
                };
                last = placement;
            }
            if Instant::now() >= deadline {
                // It is moving, so it is neither gone nor signed out of.
                return Err(if known.is_moving { DbError::TenantMoving } else { refused });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            at = Instant::now();
        }
    }

    fn begun(&self) -> Option<Arc<Live>> {
        self.live.lock().as_ref().and_then(|it| it.as_ref().ok()).cloned()
    }

    /// Waits until the transaction has begun and was admitted.
    async fn admitted(&self) -> Result<(), DbError> {
        let live = self.live().await?;
        if let Err(refused) = live.opened().await
            && let Some(again) = self.elsewhere(live, &refused).await
        {
            again?;
        }
        Ok(())
    }

    /// Sets a savepoint, to which [`end_field`](Self::end_field) can return. Fields of a mutation run one by one, so
    /// there is never more than one.
    pub fn start_field(&self) {
        self.savepoint_wanted.store(true, Ordering::Relaxed);
        self.events.lock().start_field();
        self.changed.lock().start_field();
        if let Some(live) = self.begun() {
            write_now(live.client().batch_execute("savepoint field"));
        }
    }

    /// Keeps what was done since [`start_field`](Self::start_field), or undoes it when `keep` is false or a statement
    /// failed. Returns whether it was kept.
    pub async fn end_field(&self, keep: bool) -> Result<bool, DbError> {
        self.savepoint_wanted.store(false, Ordering::Relaxed);
        let marked = self.marked.load(Ordering::Relaxed);
        if !keep || marked {
            self.events.lock().undo_field();
            self.changed.lock().undo_field();
        }
        let Some(live) = self.begun() else { return Ok(keep && !marked) };
        if keep && !marked {
            write_now(live.client().batch_execute("release savepoint field"));
            return Ok(true);
        }
        if live.opened().await.is_err() {
            return Ok(false); // `enter` refused: there is no savepoint and nothing to undo.
        }
        live.client().batch_execute("rollback to savepoint field; release savepoint field").await?;
        self.marked.store(false, Ordering::Relaxed);
        *self.cause.lock() = None;
        Ok(false)
    }

    /// Begins a part of a field that can be undone on its own. Parts are not nested.
    pub async fn start_part(&self) -> Result<Part, DbError> {
        if let Some(live) = self.begun() {
            live.client().batch_execute("savepoint part").await?;
        }
        Ok(Part { events: self.events.lock().all.len(), changed: self.changed.lock().all.len() })
    }

    /// Keeps a part, or undoes its writes and announcements. A failed statement in a part undoes the whole field.
    pub async fn end_part(&self, part: Part, keep: bool) -> Result<(), DbError> {
        let Some(live) = self.begun() else { return Ok(()) };
        if keep {
            return Ok(live.client().batch_execute("release savepoint part").await?);
        }
        self.events.lock().all.truncate(part.events);
        self.changed.lock().all.truncate(part.changed);
        Ok(live.client().batch_execute("rollback to savepoint part; release savepoint part").await?)
    }

    /// Commits, and returns once the server has acknowledged it.
    ///
    /// Fails with the cause, or [`DbError::NotCommitted`], when a statement failed: then everything was rolled back.
    /// Fails with [`DbError::CommitUnknown`] when the server's answer did not arrive.
    pub async fn commit(&self) -> Result<(), DbError> {
        let events = std::mem::take(&mut self.events.lock().all);
        if !events.is_empty() && !self.marked.load(Ordering::Relaxed) {
            Box::pin(self.admitted()).await?; // There may be nothing to write but an event.
        }
        let Some(live) = self.begun() else { return Ok(()) };
        if self.marked.load(Ordering::Relaxed) {
            self.rollback();
            // `enter` refused, so no statement succeeded: the caller that ran one knows, and there is nothing to lose.
            if live.opened().await.is_err() {
                return Ok(());
            }
            return Err(self.cause.lock().take().unwrap_or(DbError::NotCommitted));
        }
        let unknown = |error: tokio_postgres::Error| match DbError::from(error) {
            // No answer, or the answer of a server that is shutting down: it may have committed before.
            DbError::Unavailable(cause) => DbError::CommitUnknown(cause),
            refused => refused,
        };
        let (appended, committed) = if events.is_empty() {
            (Ok(()), live.client().batch_execute("commit").await)
        } else {
            let append = Statement::of(&self.common, live.held(), APPEND_AUDIT_EVENTS).await?;
            let events = serde_json::Value::Array(events);
            let params: [Param<'_>; 2] = [&self.scope.tenant.map(|it| it.0), &events];
            // Sent in one flush, so that the chain's head is locked only during the commit. When the first statement
            // fails, the second rolls back.
            let (opening, appended, committed) = futures_util::join!(
                live.opened(),
                append.run(live.client(), &params),
                live.client().batch_execute("commit")
            );
            if appended.is_err() {
                opening?; // The cause, when `enter` refused.
            }
            (appended.map(drop), committed)
        };
        committed.map_err(unknown)?;
        // Only now: a connection whose commit was not awaited must not return to the pool as clean.
        self.ended.store(true, Ordering::Relaxed);
        *live.end.lock() = End::Sent;
        appended.map_err(unknown)?;
        live.opened().await?;
        if self.leaves_work.load(Ordering::Relaxed) {
            self.common.wakeups.ring(self.scope.tenant);
        }
        if let Some(tenant) = self.scope.tenant {
            self.common.changes.tell(tenant, std::mem::take(&mut self.changed.lock().all));
        }
        Ok(())
    }

    /// Ends a transaction that only read, without waiting for the answer: it could not add anything.
    pub fn end_read(&self) {
        if self.access == Access::Write || self.marked.load(Ordering::Relaxed) {
            return self.end_unawaited("commit");
        }
        let Some(live) = self.to_end() else {
            // A transaction that was handed on has already ended.
            self.ended.fetch_or(self.statements() > 0, Ordering::Relaxed);
            return;
        };
        *live.end.lock() = End::HasRead;
        // Not kept any longer: the last owner to drop it hands the connection on.
        self.live.lock().take();
    }

    /// Rolls back without waiting for the answer: the connection's next user queues behind it.
    pub fn rollback(&self) {
        self.end_unawaited("rollback");
    }

    fn end_unawaited(&self, statement: &'static str) {
        if let Some(live) = self.to_end() {
            *live.end.lock() = End::Sent;
            write_now(live.client().batch_execute(statement));
        }
    }

    /// The transaction that has begun, for a caller that ends it now; `None` while an abandoned statement still runs,
    /// which the guard in `drop` handles.
    fn to_end(&self) -> Option<Arc<Live>> {
        let live = self.begun()?;
        let is_idle = live.in_flight.load(Ordering::Relaxed) == 0;
        (is_idle && !self.ended.swap(true, Ordering::Relaxed)).then_some(live)
    }
}

fn statement_name(sql: &'static str) -> &'static str {
    sql.lines().next().and_then(|line| line.strip_prefix("-- ")).unwrap_or("unnamed")
}

/// Counts a statement while it has no answer. Dropped before that, it leaves the count up and marks the transaction.
struct InFlight<'a> {
    tx: &'a ScopedTx,
    live: &'a Live,
    answered: bool,
}

impl<'a> InFlight<'a> {
    fn start(tx: &'a ScopedTx, live: &'a Live) -> Self {
        live.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { tx, live, answered: false }
    }

    fn answered(mut self) {
        self.answered = true;
        self.live.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.tx.marked.store(true, Ordering::Relaxed);
        }
    }
}

/// Events are appended only here, so that writers to one tenant's chain wait for each other's commit and for nothing
/// else.
const APPEND_AUDIT_EVENTS: &str = "-- db.append_audit_events
    select append_audit_events($1, $2)";

/// How long a transaction waits before it asks again where a moving tenant is; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// How recent the directory's answer must be when a tenant's store cannot be reached.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How many scheduler turns a statement waits for a concurrent one to report why both failed.
const CAUSE_TURNS: usize = 32;
