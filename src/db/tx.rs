//! The transaction of one request: begun at its first statement, entered as one scope, shared by every resolver.
//!
//! - `begin`, `enter` and the first statement leave in one flush: tokio-postgres writes a request when its future is
//!   first polled and answers in order, so the three are awaited together.
//! - Statements that are awaited together leave together, in the order in which they were asked for: what follows a lock in
//!   one flush runs with it held.
//! - A statement that fails, or whose future is dropped before its answer, marks the transaction. A marked transaction
//!   is rolled back and says so: PostgreSQL itself answers `commit` of an aborted one with success.
//! - A read that is known to be of one statement hands its connection on with it ([`ScopedTx::expect_one_statement`]), and
//!   has nothing to do with it any more: whatever else it reads is read in another transaction.
//! - Dropped without an end, it queues a `rollback` and keeps its connection out of the pool until that is answered;
//!   a connection whose statement had to be cancelled is closed, since a late cancel could hit a stranger's statement.

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
    /// Here, and what is called by name there is in this schema.
    Pool(Pool, &'static str),
    /// Here, among the tenants in shared tables.
    Shared(Arc<ConnectionHandoff>),
    /// Wherever its scope's tenant is.
    Tenant(Arc<PlacementCache>),
}

/// One transaction under one [`Scope`]; see the module's description.
pub struct ScopedTx {
    route: Route,
    common: Arc<Common>,
    scope: Scope,
    access: Access,
    /// Once it has begun, or could not.
    live: Mutex<Option<Result<Arc<Live>, DbError>>>,
    /// Whoever holds it is about to begin.
    beginning: tokio::sync::Mutex<()>,
    /// Whoever holds it is about to send a statement.
    turn: tokio::sync::Mutex<()>,
    /// A statement failed or was abandoned since the last savepoint.
    marked: AtomicBool,
    /// Why, if a statement of ours knows.
    cause: Mutex<Option<DbError>>,
    /// Whether `open` shall set a savepoint right after `enter`.
    savepoint_wanted: AtomicBool,
    /// Audit events, appended to the tenant's chain right before the commit.
    events: Mutex<Pending<serde_json::Value>>,
    /// What is told to whoever watches, right after the commit.
    changed: Mutex<Pending<Change>>,
    /// How long a statement waits for its answer before the server counts as silent.
    patience: Mutex<Duration>,
    /// Whether the commit leaves background work behind.
    leaves_work: AtomicBool,
    /// Whether the connection is handed on with the next statement.
    expects_one_statement: AtomicBool,
    /// How many statements were asked for.
    statements: AtomicUsize,
    ended: AtomicBool,
}

/// What waits for a transaction's commit, in its order.
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
    /// `enter` refused the transaction, so no statement of it did anything.
    AtTheDoor(DbError),
    /// It was not sent, because the connection is another's by now.
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

    /// The tenant that every statement names as `tenant_id = $1`: the scope's, never an input's.
    ///
    /// # Panics
    /// In a scope of the directory, which has no tenant. No query of a tenant store is reached from one.
    pub fn tenant(&self) -> TenantId {
        // Unwrap safety: only `Scope::directory_*` have none, and those are made for directory pools.
        self.scope.tenant.expect("a scope with a tenant")
    }

    /// The scope that it was entered with.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Runs a statement and returns its rows.
    ///
    /// The text is `'static`: no SQL is ever built from input. It opens with its name, `-- feature.verb`.
    pub async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, DbError> {
        let span = debug_span!("db.query", statement = statement_name(sql));
        // Boxed: whoever awaits several at once would be as large as all of them.
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
                    drop(live); // Its place, for which the next one may have to wait.
                    live = self.live().await?;
                    continue;
                }
                Err(Failed::AtTheDoor(refused)) => refused,
            };
            // Boxed: it is rare, and every statement would be as large as it.
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
        // Pinned here, and waited for by reference: whoever takes a future by value makes room for it once more.
        let answer = pin!(async {
            // Statements leave in the order in which they were asked for, also where one has to be prepared first.
            let turn = self.turn.lock().await;
            if live.is_handed_on() {
                return Ok(None);
            }
            let statement = Statement::of(&self.common, live.held(), sql).await?;
            let mut answer = pin!(statement.run(live.client(), params));
            let answered = futures_util::poll!(answer.as_mut());
            if answered.is_pending() && self.expects_one_statement.swap(false, Ordering::Relaxed) && live.hand_on() {
                // Whatever else is asked for begins anew.
                self.live.lock().take();
            }
            drop(turn);
            match answered {
                Poll::Ready(answer) => answer.map(Some),
                Poll::Pending => answer.await.map(Some),
            }
        });
        // Together with `begin` and `enter`, whose answers come first: the connection holds back everything behind an
        // answer that nobody takes.
        // Whoever stands before it may take as long.
        let patience = *self.patience.lock() * live.turns();
        let answers = pin!(futures_util::future::join(live.opened(), answer));
        let Ok((opening, answer)) = tokio::time::timeout(patience, answers).await else {
            // The server cancels what is slow, so this one does not answer at all. `statement` is dropped: abandoned.
            return Err(Failed::Itself(DbError::Unavailable("the database does not answer".into())));
        };
        statement.answered();
        let error = match answer {
            Ok(None) => return Err(Failed::HandedOn),
            // What was answered outside of the transaction, because that could not begin, is no answer.
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

    /// What a concurrent statement failed of, where this one could only say that the transaction is aborted. Its answer
    /// came before this one's, but its future may be polled after it.
    async fn cause(&self, aborted: tokio_postgres::Error) -> DbError {
        for _ in 0..CAUSE_TURNS {
            if let Some(cause) = &*self.cause.lock() {
                return cause.clone();
            }
            tokio::task::yield_now().await;
        }
        aborted.into() // Whoever knew was dropped.
    }

    /// Adds an audit event, which is appended to the tenant's chain when this commits. `append_audit_events` in
    /// `sql/tenant` says what its fields are.
    pub fn log(&self, event: serde_json::Value) {
        self.events.lock().all.push(event);
    }

    /// Has whoever watches the tenant told of this once it has committed.
    pub fn announce(&self, change: Change) {
        self.changed.lock().all.push(change);
    }

    /// Lets its statements run for this long, where the server was told so too.
    pub fn allow_time(&self, time: Duration) {
        *self.patience.lock() = time;
    }

    /// Has a read give its connection to whoever waits for one as soon as its first statement is sent, because there will be no
    /// other one, and this one is brief: others stand behind it, and it is not cancelled at the server when nobody waits for its
    /// answer. From then on nothing counts as begun. Should there be another statement after all, it is read in a transaction of
    /// its own.
    pub fn expect_one_statement(&self) {
        self.expects_one_statement.store(self.access == Access::Read, Ordering::Relaxed);
    }

    /// How many statements it was asked for.
    pub fn statements(&self) -> usize {
        self.statements.load(Ordering::Relaxed)
    }

    /// Has background work begin once this has committed.
    pub fn wake_on_commit(&self) {
        self.leaves_work.store(true, Ordering::Relaxed);
    }

    /// Why the scope's person may not write, as `enter` has said; `None` where he may, or nothing was begun.
    pub async fn restriction(&self) -> Option<Restriction> {
        self.begun()?.opened().await.ok().flatten()
    }

    /// Whether it holds a connection, or tried to get one.
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
            return Err(DbError::NotCommitted); // While it was waited for.
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
            // The session is another one each time, and must be left as it was.
            Some(pooler) => {
                format!("{begin}; {}", Session::for_one_transaction(held.schema(), pooler.statement)).into()
            }
        }
    }

    async fn begin(&self, mut held: HeldConnection, tried: Option<Tried>) -> Result<Live, DbError> {
        // A session may never have been asked anything, so this may be its first answer.
        let enter = tokio::time::timeout(self.common.patience, Statement::of(&self.common, &held, ENTER)).await;
        let enter =
            enter.map_err(|_| DbError::Unavailable("the database does not answer".into()))?.map_err(entering)?;
        // From here to the return nothing is awaited, so no cancellation can leave a begun transaction without its guard.
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

    /// Begins once more where the tenant is by now, if it is refused here because it is not: nothing was done yet. `None`
    /// where it is refused for another reason, or once more.
    async fn elsewhere(&self, live: Arc<Live>, refused: &DbError) -> Option<Result<Arc<Live>, DbError>> {
        if !refused.is_of_another_place() {
            return None;
        }
        let tried = live.tried.clone()?;
        // It ends, and its connection goes back, once concurrent statements have let go of it too.
        drop(live);
        let _beginning = self.beginning.lock().await;
        match &mut *self.live.lock() {
            Some(Ok(first)) if first.tried.is_some() => {}
            Some(other) => return Some(other.clone()), // A concurrent statement has been here.
            None => {}
        }
        *self.live.lock() = None;
        // Should this be dropped while it waits, the transaction is not one that can go on.
        self.marked.store(true, Ordering::Relaxed);
        let again = self.open_elsewhere(tried, refused.clone()).await;
        self.marked.store(again.is_err(), Ordering::Relaxed);
        Some(self.keep(again))
    }

    /// Waits until the directory says where the tenant is, if it is on its way, and begins there.
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
            // Where writers wait there is no use in asking, and readers were refused here already.
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
                // On its way, and so neither gone nor signed out of.
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

    /// What has begun, and was let in.
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
            return Ok(false); // Refused at the door: there is no savepoint, and nothing to undo.
        }
        live.client().batch_execute("rollback to savepoint field; release savepoint field").await?;
        self.marked.store(false, Ordering::Relaxed);
        *self.cause.lock() = None;
        Ok(false)
    }

    /// Begins a part of a field that can be undone by itself. Parts do not stand in one another.
    pub async fn start_part(&self) -> Result<Part, DbError> {
        if let Some(live) = self.begun() {
            live.client().batch_execute("savepoint part").await?;
        }
        Ok(Part { events: self.events.lock().all.len(), changed: self.changed.lock().all.len() })
    }

    /// Keeps a part, or undoes it: what it wrote, and what it would have told. A statement that failed in it is no reason
    /// to go on: that undoes the field.
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
    /// Fails with the cause, or [`DbError::NotCommitted`], when a statement failed: then everything was rolled back. Fails
    /// with [`DbError::CommitUnknown`] when the server's answer did not come.
    pub async fn commit(&self) -> Result<(), DbError> {
        let events = std::mem::take(&mut self.events.lock().all);
        if !events.is_empty() && !self.marked.load(Ordering::Relaxed) {
            Box::pin(self.admitted()).await?; // It may be that nothing but an event is to be written.
        }
        let Some(live) = self.begun() else { return Ok(()) };
        if self.marked.load(Ordering::Relaxed) {
            self.rollback();
            // Refused at the door, no statement ever succeeded: whoever ran one knows, and there is nothing to lose.
            if live.opened().await.is_err() {
                return Ok(());
            }
            return Err(self.cause.lock().take().unwrap_or(DbError::NotCommitted));
        }
        let unknown = |error: tokio_postgres::Error| match DbError::from(error) {
            // No answer, or one of a server that goes down: it may have been written before.
            DbError::Unavailable(cause) => DbError::CommitUnknown(cause),
            refused => refused,
        };
        let (appended, committed) = if events.is_empty() {
            (Ok(()), live.client().batch_execute("commit").await)
        } else {
            let append = Statement::of(&self.common, live.held(), APPEND_AUDIT_EVENTS).await?;
            let events = serde_json::Value::Array(events);
            let params: [Param<'_>; 2] = [&self.scope.tenant.map(|it| it.0), &events];
            // In one flush, so that the chain's end is locked for the time of the commit alone. When the first fails the
            // second rolls back.
            let (opening, appended, committed) = futures_util::join!(
                live.opened(),
                append.run(live.client(), &params),
                live.client().batch_execute("commit")
            );
            if appended.is_err() {
                opening?; // Refused at the door, which is why.
            }
            (appended.map(drop), committed)
        };
        committed.map_err(unknown)?;
        // Only now: a commit whose answer was not awaited is not to be handed back as a clean connection.
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

    /// Ends a transaction that only read, without waiting for the answer: there is nothing that it could still tell.
    pub fn end_read(&self) {
        if self.access == Access::Write || self.marked.load(Ordering::Relaxed) {
            return self.end_unawaited("commit");
        }
        let Some(live) = self.to_end() else {
            // What was handed on has ended already.
            self.ended.fetch_or(self.statements() > 0, Ordering::Relaxed);
            return;
        };
        *live.end.lock() = End::HasRead;
        // Not kept for as long as this may be: whoever drops it last hands the connection on.
        self.live.lock().take();
    }

    /// Rolls back, without waiting for the answer: whoever gets the connection next queues behind it.
    pub fn rollback(&self) {
        self.end_unawaited("rollback");
    }

    fn end_unawaited(&self, statement: &'static str) {
        if let Some(live) = self.to_end() {
            *live.end.lock() = End::Sent;
            write_now(live.client().batch_execute(statement));
        }
    }

    /// What has begun, for who ends it now. Not where an abandoned statement still runs: the guard in `drop` deals with that.
    fn to_end(&self) -> Option<Arc<Live>> {
        let live = self.begun()?;
        let is_idle = live.in_flight.load(Ordering::Relaxed) == 0;
        (is_idle && !self.ended.swap(true, Ordering::Relaxed)).then_some(live)
    }
}

fn statement_name(sql: &'static str) -> &'static str {
    sql.lines().next().and_then(|line| line.strip_prefix("-- ")).unwrap_or("unnamed")
}

/// Counts a statement while it has no answer. Dropped before, it leaves the count up and marks the transaction.
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

/// Events wait until here, so that writers of one tenant's chain wait for each other's commit and for nothing else.
const APPEND_AUDIT_EVENTS: &str = "-- db.append_audit_events
    select append_audit_events($1, $2)";

/// How long a transaction waits before it looks again where a tenant is that is being moved; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// How long ago the directory may have been asked where a tenant is whose store cannot be reached.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How many turns of the scheduler a statement waits for a concurrent one to tell why both failed.
const CAUSE_TURNS: usize = 32;
