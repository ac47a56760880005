//! What a resolver finds in its context: the request's single transaction, its loaders, and the caller.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_graphql::Context;
use parking_lot::Mutex;

use super::loaders::Loaders;
use crate::{
    base::{clock::Clock, egress::WebhookClient},
    core::{
        audit,
        idempotency::{self, KeyState, Named},
        identity::{Actor, Caller, Origin, Viewer},
    },
    db::{Access, DbError, Gate, Restriction, Scope, ScopedTx},
    features::{
        auth::{self, Revocation, SessionCookies, SignIn},
        billing::Engine,
        platform::moving::Places,
        usage::rate_limits::{ChargeError, Charged, Rates},
    },
    graphql::{ApiError, Code, ErrorClass, INTROSPECTION_COST, UserError, Watch, batching::LoadQueue, settled},
};

/// Mutations that remain available to a read-only tenant (overdue, or with a paused subscription): signing out,
/// paying, and recording usage. Everything that opens transactions of its own, such as signing in and billing, is not
/// restricted either.
const IN_SPITE_OF_RESTRICTION: [&str; 4] = ["logout", "changePassword", "recordUsage", "updateBillingProfile"];

fn restricted(restriction: Restriction) -> ApiError {
    let message = match restriction {
        Restriction::Overdue => {
            "Invoices are overdue. Data can be read and exported, but not changed until they are paid."
        }
        Restriction::Paused => {
            "The subscription is paused or has ended. Data can be read and exported, but not changed until it resumes."
        }
    };
    ApiError::refused(Code::Forbidden, message)
}

/// Services that all requests share.
#[derive(Clone)]
pub struct Services {
    /// Opens transactions.
    pub gate: Gate,
    /// The sign-in path.
    pub sign_in: Arc<SignIn>,
    /// The clock of the business rules.
    pub clock: Clock,
    /// The budgets of callers.
    pub rates: Arc<Rates>,
    /// How often callers were refused, so that a flood of refusals does not fill the audit log.
    pub refusals: Arc<audit::Refusals>,
    /// How often a subscription looks for changes by itself, because a hint may have been lost.
    pub look_every: Duration,
    /// The client for webhooks; it checks which endpoints may be called.
    pub webhooks: WebhookClient,
    /// The billing engine, which also talks to the payment provider.
    pub billing: Engine,
    /// The stores in which tenants can be placed.
    pub places: Arc<Places>,
}

/// The state of one request. The HTTP layer creates it and ends it with [`finish`](Self::finish).
pub struct RequestContext {
    services: Services,
    actor: Actor,
    access: Access,
    origin: Origin,
    queue: LoadQueue,
    /// Work in the caller's own scope; created by the first field that needs it.
    own: Mutex<Option<Arc<Work>>>,
    /// Work in the scope of a session that the running mutation field has just started; it ends with the field.
    adopted: Mutex<Option<Arc<Work>>>,
    /// The additional cost of introspection.
    introspection_cost: usize,
    /// What was charged before the request's body was read; part of the document's cost.
    deposit: Mutex<Option<Charged>>,
    /// The cost of one event of a subscription.
    event_cost: AtomicUsize,
    /// Whether a single short statement is expected.
    is_brief: bool,
    /// In cookie mode: the refresh token of the request, and the change to the cookies.
    cookies: Option<Cookies>,
}

/// Cookie mode of one request.
struct Cookies {
    refresh: Option<String>,
    change: Mutex<Option<SessionCookies>>,
}

/// One transaction and its loaders.
pub struct Work {
    /// The transaction.
    pub tx: Arc<ScopedTx>,
    /// Batching loaders of this transaction; never shared with another.
    pub loaders: Loaders,
    /// The caller.
    pub viewer: Viewer,
    clock: Clock,
    origin: Origin,
    /// Set when a rule refused: everything it wrote is rolled back.
    undo: AtomicBool,
}

impl RequestContext {
    /// Services that all requests share.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Opens nothing yet: a request that reads no data needs no connection.
    pub fn new(services: Services, actor: Actor, access: Access, origin: Origin, queue: LoadQueue) -> Self {
        Self {
            services,
            actor,
            access,
            origin,
            queue,
            own: Mutex::default(),
            adopted: Mutex::default(),
            introspection_cost: 0,
            deposit: Mutex::default(),
            event_cost: AtomicUsize::new(0),
            is_brief: false,
            cookies: None,
        }
    }

    /// Notes that the first point of the document's cost has been charged.
    pub fn has_paid(&mut self, deposit: Option<Charged>) {
        self.deposit = Mutex::new(deposit);
    }

    /// Sets the number of introspection fields in the request.
    pub fn introspects(&mut self, introspected: usize) {
        self.introspection_cost = introspected * INTROSPECTION_COST;
    }

    /// The additional cost of introspection.
    pub fn introspection_cost(&self) -> usize {
        self.introspection_cost
    }

    /// Sets whether the request is expected to run a single short statement.
    pub fn expects_one_statement(&mut self, is_brief: bool) {
        self.is_brief = is_brief;
    }

    /// The number of statements run in the caller's own scope.
    pub fn statements(&self) -> usize {
        self.own.lock().as_ref().map_or(0, |work| work.tx.statements())
    }

    /// Puts the request in cookie mode, with the refresh token of its cookie.
    pub fn use_cookies(&mut self, refresh: Option<String>) {
        self.cookies = Some(Cookies { refresh, change: Mutex::default() });
    }

    /// The refresh token of the cookie, in cookie mode.
    pub fn refresh_cookie(&self) -> Option<&str> {
        self.cookies.as_ref()?.refresh.as_deref()
    }

    /// Makes the response set or clear the session's cookies; `false` when the request is not in cookie mode.
    pub fn change_cookies(&self, change: SessionCookies) -> bool {
        let Some(cookies) = &self.cookies else { return false };
        *cookies.change.lock() = Some(change);
        true
    }

    /// The change to the cookies, if any.
    pub fn cookies(&self) -> Option<SessionCookies> {
        self.cookies.as_ref()?.change.lock().clone()
    }

    /// Charges the cost of the document to its sender.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub async fn charge(&self, cost: usize) -> Result<Charged, ApiError> {
        self.event_cost.store(cost, Ordering::Relaxed);
        let deposit = self.deposit.lock().take();
        let cost = match deposit {
            Some(deposit) if cost <= 1 => return Ok(deposit),
            Some(_) => cost - 1,
            None => cost,
        };
        Ok(self.services.rates.charge(&self.actor, self.origin.address.as_deref(), cost).await?)
    }

    /// The sender of the request.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether the request is a mutation.
    pub fn may_write(&self) -> bool {
        self.access == Access::Write
    }

    /// The user of a tenant who sent the request, if any.
    pub fn viewer(&self) -> Option<Viewer> {
        match self.actor {
            Actor::Person(viewer) => Some(viewer),
            Actor::Anonymous | Actor::Unverified | Actor::Platform(_) => None,
        }
    }

    /// The origin of the request.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Opens transactions outside the caller's own scope, for platform administrators.
    pub fn gate(&self) -> &Gate {
        &self.services.gate
    }

    /// The clock of tokens and sessions, which is the machine's clock.
    pub fn sign_in_clock(&self) -> &Clock {
        self.services.sign_in.clock()
    }

    /// The clock of the business rules.
    pub fn clock(&self) -> &Clock {
        &self.services.clock
    }

    /// The sign-in path, which opens its own transactions and hashes passwords between them.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when this request already holds a connection: waiting for a second one, or hashing, would
    /// block the first one for everyone else.
    pub fn sign_in(&self) -> Result<&SignIn, ApiError> {
        if self.has_begun() {
            let message = "Sign-in mutations come first in a document, before other changes.";
            return Err(ApiError::refused(Code::BadUserInput, message));
        }
        Ok(&self.services.sign_in)
    }

    /// Whether the caller's own transaction holds a connection.
    pub fn has_begun(&self) -> bool {
        self.own.lock().as_ref().is_some_and(|work| work.tx.has_begun())
    }

    /// The caller's transaction and loaders.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is signed in.
    pub fn work(&self) -> Result<Arc<Work>, ApiError> {
        if let Some(work) = &*self.adopted.lock() {
            return Ok(work.clone());
        }
        let Actor::Person(viewer) = self.actor else { return Err(ApiError::unauthenticated()) };
        let open = || {
            let work = self.open(viewer, self.access);
            if self.is_brief {
                work.tx.expect_one_statement();
            }
            Arc::new(work)
        };
        Ok(self.own.lock().get_or_insert_with(open).clone())
    }

    fn open(&self, viewer: Viewer, access: Access) -> Work {
        self.around(Arc::new(self.services.gate.tenant(viewer.scope(), access)), viewer)
    }

    fn around(&self, tx: Arc<ScopedTx>, viewer: Viewer) -> Work {
        let loaders = Loaders::new(&tx, &self.queue);
        let (clock, origin) = (self.services.clock.clone(), self.origin.clone());
        Work { tx, loaders, viewer, clock, origin, undo: AtomicBool::new(false) }
    }

    /// Lets the rest of the running mutation field read as the session that it has just started.
    pub fn adopt(&self, viewer: Viewer) {
        let work = self.open(viewer, Access::Read);
        *self.adopted.lock() = Some(Arc::new(work));
    }

    /// Watches changes in the caller's tenant from now on. For subscriptions.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is signed in.
    pub fn watch(&self) -> Result<Watch, ApiError> {
        let Actor::Person(viewer) = self.actor else { return Err(ApiError::unauthenticated()) };
        Ok(Watch::new(self.services.gate.changes().watch(viewer.tenant), self.services.look_every))
    }

    /// Charges one more event of a subscription, at the cost of its document, and waits when the budget is empty: a
    /// late event is better than a lost one.
    pub async fn pay_for_event(&self) {
        let cost = self.event_cost.load(Ordering::Relaxed);
        while let Err(refused) = self.charge(cost).await {
            let wait = match refused {
                ApiError::Refused { retry_after: Some(seconds), .. } => u64::try_from(seconds).unwrap_or(1),
                ApiError::Refused { .. } | ApiError::Internal(_) => 1,
            };
            tokio::time::sleep(Duration::from_secs(wait.clamp(1, 60))).await;
        }
    }

    /// Ends the transactions of one event of a subscription: the next event reads in a transaction of its own,
    /// through `enter`.
    pub fn end_event(&self) {
        for work in [self.own.lock().take(), self.adopted.lock().take()].into_iter().flatten() {
            work.tx.end_read();
        }
    }

    /// When the caller's role has changed, and nothing else, lets one event be read in the new role. Returns whether
    /// it has.
    ///
    /// # Errors
    /// When the current state of the session cannot be read.
    pub async fn follow_role(&self) -> Result<bool, DbError> {
        let Actor::Person(viewer) = self.actor else { return Ok(false) };
        let tx = self.services.gate.asking_about(viewer.tenant).await?;
        let revoked = auth::revoked(&tx, &[viewer]).await?;
        tx.end_read();
        let Some((_, Revocation::RoleChanged(role))) = revoked.first() else { return Ok(false) };
        self.adopt(Viewer { role: *role, ..viewer });
        Ok(true)
    }

    /// A transaction in the directory with public read access. End it as soon as the data is read.
    pub fn directory(&self) -> ScopedTx {
        self.services.gate.directory(Scope::directory_public(), Access::Read)
    }

    /// Runs one root field of a mutation: its changes are kept or rolled back as a whole, regardless of the fields
    /// before and after.
    ///
    /// Returns the field's result, or the reason why it was rolled back although the result was not an error.
    pub(super) async fn mutation_field<T, E>(
        &self,
        name: &str,
        field: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, ApiError> {
        let own = match self.actor {
            Actor::Person(_) => Some(self.work()?),
            Actor::Anonymous | Actor::Unverified | Actor::Platform(_) => None,
        };
        if let Some(work) = &own {
            work.tx.start_field();
        }
        let result = field.await;
        if let Some(adopted) = self.adopted.lock().take() {
            adopted.tx.end_read();
        }
        if let Some(work) = own {
            // `enter` has reported it, in the round trip of the field's first statement.
            if let Some(restriction) = work.tx.restriction().await
                && !IN_SPITE_OF_RESTRICTION.contains(&name)
            {
                work.tx.end_field(false).await?;
                return Err(restricted(restriction));
            }
            let undo = work.undo.load(Ordering::Relaxed);
            let kept = work.tx.end_field(result.is_ok() && !undo).await?;
            // The change may have made the loaders' caches stale.
            *self.own.lock() = Some(Arc::new(self.around(work.tx.clone(), work.viewer)));
            if result.is_ok() && !kept && !undo {
                return Err(ApiError::Internal("a statement of the field failed, so the field was rolled back".into()));
            }
        }
        Ok(result)
    }

    /// Claims the idempotency key of a mutation, in the mutation's own transaction. `None` when no user of a tenant
    /// is signed in: a key belongs to a user.
    ///
    /// # Errors
    /// When a statement fails, or the session has ended.
    pub async fn begin_named(&self, named: &Named) -> Result<Option<KeyState>, DbError> {
        let Ok(work) = self.work() else { return Ok(None) };
        idempotency::begin(&work.caller(), named).await.map(Some)
    }

    /// Stores the response of a mutation under its idempotency key, in the same transaction, or frees the key when
    /// nothing was done.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn end_named(&self, named: &Named, answer: Option<&str>) -> Result<(), DbError> {
        let Ok(work) = self.work() else { return Ok(()) };
        match answer {
            Some(answer) => idempotency::keep(&work.caller(), named, answer).await,
            None => idempotency::forget(&work.caller(), named).await,
        }
    }

    /// Ends the request's transactions. For a mutation, it returns once the commit is acknowledged.
    ///
    /// `refused` lists the fields that were refused to the caller's role, with their counts. The audit log records
    /// the first refusals of a field, and then each tenfold, in the mutation's own transaction or, after a query, in a
    /// separate one.
    ///
    /// # Errors
    /// When the commit failed, or its outcome is unknown: the response must report that instead of its result.
    pub async fn finish(&self, refused: &BTreeMap<String, usize>) -> Result<(), DbError> {
        let own = self.own.lock().take();
        if let Some(work) = own.as_ref().filter(|_| self.access == Access::Read) {
            work.tx.end_read();
        }
        let writing = own.filter(|_| self.access == Access::Write);
        let due = self.due_refusals(refused);
        let work = match (writing, &self.actor) {
            (Some(work), _) => work,
            (None, Actor::Person(viewer)) if !due.is_empty() => Arc::new(self.open(*viewer, Access::Write)),
            (None, _) => return Ok(()),
        };
        // Boxed: requests that only read, which are nearly all, should not carry the size of this future.
        Box::pin(async {
            work.note_refusals(&due).await?;
            work.tx.commit().await
        })
        .await
    }

    /// Counts the refusals of this request, and returns those that the audit log is to record.
    fn due_refusals(&self, refused: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
        let Actor::Person(viewer) = &self.actor else { return BTreeMap::new() };
        let now = self.services.clock.now();
        let count = |field: &str, times| self.services.refusals.count(viewer.tenant, viewer.user, field, times, now);
        refused.iter().filter_map(|(field, times)| Some((field.clone(), count(field, *times)?))).collect()
    }
}

impl Work {
    /// The caller, as business rules expect it.
    pub fn caller(&self) -> Caller<'_> {
        Caller { tx: &self.tx, viewer: self.viewer, clock: &self.clock, origin: &self.origin }
    }

    /// Records in the audit log the fields that were refused to the caller's role.
    async fn note_refusals(&self, fields: &BTreeMap<String, usize>) -> Result<(), DbError> {
        for (field, count) in fields {
            let nothing = || serde_json::Value::Null;
            let changes =
                audit::Changes::default().field("field", nothing(), field.as_str()).field("times", nothing(), *count);
            audit::record(&self.caller(), "access.refused", "field", None, changes).await?;
        }
        Ok(())
    }

    /// Turns a rule's result into a payload's result: errors that the caller can correct stay values, and everything
    /// the rule wrote before it failed is rolled back at the end of the field.
    ///
    /// # Errors
    /// Errors that the caller cannot correct.
    pub fn settle<T, E: Into<ErrorClass>>(&self, result: Result<T, E>) -> Result<Result<T, UserError>, ApiError> {
        let settled = settled(result)?;
        if settled.is_err() {
            self.undo_field();
        }
        Ok(settled)
    }

    /// Rolls back everything that this field writes at its end, although it returns a result.
    pub fn undo_field(&self) {
        self.undo.store(true, Ordering::Relaxed);
    }
}

/// Shortcuts for resolvers.
pub trait ContextExt {
    /// The state of this request.
    fn request(&self) -> &RequestContext;

    /// The caller's transaction and loaders.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is signed in.
    fn work(&self) -> Result<Arc<Work>, ApiError> {
        self.request().work()
    }
}

impl ContextExt for Context<'_> {
    fn request(&self) -> &RequestContext {
        self.data_unchecked::<Arc<RequestContext>>()
    }
}

impl From<ChargeError> for ApiError {
    fn from(error: ChargeError) -> Self {
        match error {
            ChargeError::BudgetExhausted { retry_after } => Self::Refused {
                code: Code::RateLimited,
                message:
                    "Rate limit exceeded: the cost is above the remaining budget. Try again later, or request less."
                        .into(),
                field: None,
                retry_after: Some(retry_after),
            },
            ChargeError::Db(error) => error.into(),
        }
    }
}
