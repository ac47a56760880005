//! What a resolver finds in its context: the request's one transaction, its loaders, and who asks.

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

/// What people of a tenant can do although it owes too long or its subscription is paused: leave, pay, and tell what was used.
/// Everything that opens transactions of its own, as signing in and billing, is not bound either.
const IN_SPITE_OF_RESTRICTION: [&str; 4] = ["logout", "changePassword", "recordUsage", "updateBillingProfile"];

fn restricted(restriction: Restriction) -> ApiError {
    let message = match restriction {
        Restriction::Overdue => {
            "Invoices are overdue: everything can be read and exported, and nothing changed until they are paid."
        }
        Restriction::Paused => {
            "The subscription is paused or over: everything can be read and exported, and nothing changed until it goes on."
        }
    };
    ApiError::refused(Code::Forbidden, message)
}

/// What requests share.
#[derive(Clone)]
pub struct Services {
    /// Opens transactions.
    pub gate: Gate,
    /// The sign-in path.
    pub sign_in: Arc<SignIn>,
    /// What time it is for the rules.
    pub clock: Clock,
    /// What one may use.
    pub rates: Arc<Rates>,
    /// How often whoever watches looks by himself, because a hint may have been lost.
    pub look_every: Duration,
    /// Knows which endpoints of tenants may be asked.
    pub webhooks: WebhookClient,
    /// Bills, and talks to the payment provider.
    pub billing: Engine,
    /// Where tenants may be.
    pub places: Arc<Places>,
}

/// Everything of one request. Made by the HTTP floor, ended by it with [`finish`](Self::finish).
pub struct RequestContext {
    services: Services,
    actor: Actor,
    access: Access,
    origin: Origin,
    queue: LoadQueue,
    /// Work in the caller's own scope, from the first field on that needs it.
    own: Mutex<Option<Arc<Work>>>,
    /// Work in the scope of a session that the running mutation field has just begun; it ends with the field.
    adopted: Mutex<Option<Arc<Work>>>,
    /// What reading the schema itself costs beside the rest.
    introspection_cost: usize,
    /// What an event of a subscription costs.
    event_cost: AtomicUsize,
    /// Whether one brief statement will do.
    is_brief: bool,
    /// In cookie mode: the refresh token that the request brought, and what becomes of the cookies.
    cookies: Option<Cookies>,
}

/// Cookie mode of one request.
struct Cookies {
    refresh: Option<String>,
    change: Mutex<Option<SessionCookies>>,
}

/// One transaction with the loaders around it.
pub struct Work {
    /// The transaction.
    pub tx: Arc<ScopedTx>,
    /// Batching look-ups of this transaction; never shared with another.
    pub loaders: Loaders,
    /// Who asks.
    pub viewer: Viewer,
    clock: Clock,
    origin: Origin,
    /// A rule refused: whatever it wrote before must go.
    undo: AtomicBool,
}

impl RequestContext {
    /// What requests share.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Nothing is opened yet: a request that touches no data takes no connection.
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
            event_cost: AtomicUsize::new(0),
            is_brief: false,
            cookies: None,
        }
    }

    /// The request asks for so many fields of the schema itself.
    pub fn introspects(&mut self, introspected: usize) {
        self.introspection_cost = introspected * INTROSPECTION_COST;
    }

    /// What reading the schema itself costs beside the rest.
    pub fn introspection_cost(&self) -> usize {
        self.introspection_cost
    }

    /// Whether one brief statement will do, by all that is known.
    pub fn expects_one_statement(&mut self, is_brief: bool) {
        self.is_brief = is_brief;
    }

    /// How many statements were asked for in the caller's own scope.
    pub fn statements(&self) -> usize {
        self.own.lock().as_ref().map_or(0, |work| work.tx.statements())
    }

    /// Puts the request in cookie mode, with the refresh token that its cookie brought.
    pub fn use_cookies(&mut self, refresh: Option<String>) {
        self.cookies = Some(Cookies { refresh, change: Mutex::default() });
    }

    /// The refresh token of the cookie, in cookie mode.
    pub fn refresh_cookie(&self) -> Option<&str> {
        self.cookies.as_ref()?.refresh.as_deref()
    }

    /// Has the answer set or take away the session's cookies; `false` when the request is not in cookie mode.
    pub fn change_cookies(&self, change: SessionCookies) -> bool {
        let Some(cookies) = &self.cookies else { return false };
        *cookies.change.lock() = Some(change);
        true
    }

    /// What becomes of the cookies.
    pub fn cookies(&self) -> Option<SessionCookies> {
        self.cookies.as_ref()?.change.lock().clone()
    }

    /// Takes the cost of the document from whoever sent it.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub async fn charge(&self, cost: usize) -> Result<Charged, ApiError> {
        self.event_cost.store(cost, Ordering::Relaxed);
        Ok(self.services.rates.charge(&self.actor, self.origin.address.as_deref(), cost).await?)
    }

    /// Who sent the request.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether it is a mutation.
    pub fn may_write(&self) -> bool {
        self.access == Access::Write
    }

    /// Who of a tenant sent the request.
    pub fn viewer(&self) -> Option<Viewer> {
        match self.actor {
            Actor::Person(viewer) => Some(viewer),
            Actor::Anonymous | Actor::Unverified | Actor::Platform(_) => None,
        }
    }

    /// Where the request came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Opens transactions that are not the caller's own: a platform administrator's.
    pub fn gate(&self) -> &Gate {
        &self.services.gate
    }

    /// What time it is for tokens and sessions, which follow the machine's clock.
    pub fn sign_in_clock(&self) -> &Clock {
        self.services.sign_in.clock()
    }

    /// What time it is for the rules.
    pub fn clock(&self) -> &Clock {
        &self.services.clock
    }

    /// The sign-in path, which opens transactions of its own and hashes between them.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` when this request holds a connection already: waiting for a second one, or hashing, would keep the
    /// first from everybody else.
    pub fn sign_in(&self) -> Result<&SignIn, ApiError> {
        if self.has_begun() {
            let message = "Sign in first: not after another change in the same document.";
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

    /// Lets the rest of the running mutation field read as the session that it has just begun.
    pub fn adopt(&self, viewer: Viewer) {
        let work = self.open(viewer, Access::Read);
        *self.adopted.lock() = Some(Arc::new(work));
    }

    /// What changes in the caller's tenant, from now on. For subscriptions.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is signed in.
    pub fn watch(&self) -> Result<Watch, ApiError> {
        let Actor::Person(viewer) = self.actor else { return Err(ApiError::unauthenticated()) };
        Ok(Watch::new(self.services.gate.changes().watch(viewer.tenant), self.services.look_every))
    }

    /// Takes the cost of one more event of a subscription, as much as its document's, and waits for it where the budget is
    /// empty: an event late is better than none.
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

    /// Ends what an event of a subscription opened: the next one reads in a transaction of its own, through `enter`.
    pub fn end_event(&self) {
        for work in [self.own.lock().take(), self.adopted.lock().take()].into_iter().flatten() {
            work.tx.end_read();
        }
    }

    /// Where the caller has another role by now, and nothing else has changed, lets one event be read in that role.
    ///
    /// # Errors
    /// When it cannot be found out.
    pub async fn follow_role(&self) -> Result<bool, DbError> {
        let Actor::Person(viewer) = self.actor else { return Ok(false) };
        let tx = self.services.gate.asking_about(viewer.tenant).await?;
        let revoked = auth::revoked(&tx, &[viewer]).await?;
        tx.end_read();
        let Some((_, Revocation::RoleChanged(role))) = revoked.first() else { return Ok(false) };
        self.adopt(Viewer { role: *role, ..viewer });
        Ok(true)
    }

    /// A transaction in the directory, as anybody may read it. To be ended as soon as it is read.
    pub fn directory(&self) -> ScopedTx {
        self.services.gate.directory(Scope::directory_public(), Access::Read)
    }

    /// Runs one root field of a mutation: what it did stays or goes as a whole, whatever the fields before and after do.
    ///
    /// Returns the field's result, or the reason why it was undone although the result looked good.
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
            // `enter` has told, in the round trip of the field's first statement.
            if let Some(restriction) = work.tx.restriction().await
                && !IN_SPITE_OF_RESTRICTION.contains(&name)
            {
                work.tx.end_field(false).await?;
                return Err(restricted(restriction));
            }
            let undo = work.undo.load(Ordering::Relaxed);
            let kept = work.tx.end_field(result.is_ok() && !undo).await?;
            // What a loader has cached may have changed.
            *self.own.lock() = Some(Arc::new(self.around(work.tx.clone(), work.viewer)));
            if result.is_ok() && !kept && !undo {
                return Err(ApiError::Internal("a statement of the field failed, so it was undone".into()));
            }
        }
        Ok(result)
    }

    /// Takes the key of a mutation that its sender named, in the mutation's own transaction. `None` where nobody of a tenant
    /// is signed in: a key belongs to a user.
    ///
    /// # Errors
    /// When a statement fails, or the session has ended.
    pub async fn begin_named(&self, named: &Named) -> Result<Option<KeyState>, DbError> {
        let Ok(work) = self.work() else { return Ok(None) };
        idempotency::begin(&work.caller(), named).await.map(Some)
    }

    /// Keeps the answer of a named mutation with what it did, or frees the key where it did nothing.
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

    /// Ends the request's transactions. For a mutation it returns once the commit was acknowledged.
    ///
    /// `refused` are the fields that the caller's role was refused, with how often: the audit log tells of each, in the mutation's own
    /// transaction, or after a query in one of its own.
    ///
    /// # Errors
    /// When the commit failed, or it is not known whether it did: the response must say so instead of what it had to say.
    pub async fn finish(&self, refused: &BTreeMap<String, usize>) -> Result<(), DbError> {
        let own = self.own.lock().take();
        if let Some(work) = own.as_ref().filter(|_| self.access == Access::Read) {
            work.tx.end_read();
        }
        let writing = own.filter(|_| self.access == Access::Write);
        let work = match (writing, &self.actor) {
            (Some(work), _) => work,
            (None, Actor::Person(viewer)) if !refused.is_empty() => Arc::new(self.open(*viewer, Access::Write)),
            (None, _) => return Ok(()),
        };
        // Boxed: who has only read, and who nearly always does, is not to be as large as it.
        Box::pin(async {
            work.note_refusals(refused).await?;
            work.tx.commit().await
        })
        .await
    }
}

impl Work {
    /// What a rule is given.
    pub fn caller(&self) -> Caller<'_> {
        Caller { tx: &self.tx, viewer: self.viewer, clock: &self.clock, origin: &self.origin }
    }

    /// Tells the audit log of fields that the caller's role was refused.
    async fn note_refusals(&self, fields: &BTreeMap<String, usize>) -> Result<(), DbError> {
        for (field, count) in fields {
            let nothing = || serde_json::Value::Null;
            let changes =
                audit::Changes::default().field("field", nothing(), field.as_str()).field("times", nothing(), *count);
            audit::record(&self.caller(), "access.refused", "field", None, changes).await?;
        }
        Ok(())
    }

    /// Turns a rule's result into a payload's: what the caller can mend stays a value, and whatever the rule wrote
    /// before it refused is undone at the end of the field.
    ///
    /// # Errors
    /// What the caller cannot mend.
    pub fn settle<T, E: Into<ErrorClass>>(&self, result: Result<T, E>) -> Result<Result<T, UserError>, ApiError> {
        let settled = settled(result)?;
        if settled.is_err() {
            self.undo_field();
        }
        Ok(settled)
    }

    /// Has all that this field writes undone at its end, although it answers.
    pub fn undo_field(&self) {
        self.undo.store(true, Ordering::Relaxed);
    }
}

/// Short ways to what a resolver needs.
pub trait ContextExt {
    /// Everything of this request.
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
                message: "Too fast: this costs more than is left of the budget. Try again later, or ask for less."
                    .into(),
                field: None,
                retry_after: Some(retry_after),
            },
            ChargeError::Db(error) => error.into(),
        }
    }
}
