//! From a request to its response: parse, check, run on a separate task, commit.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use async_graphql::{
    PathSegment, Request, Response as GraphQLResponse, ServerError, Value,
    parser::types::{ExecutableDocument, OperationType, Selection},
};
use axum::http::HeaderMap;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::{
    documents::Wanted,
    errors::{
        bad_variable, code_of, error_with_code, first_code, internal, is_executed, polish, shorten, too_long, write,
    },
    request::GraphqlRequest,
};
use crate::{
    api::{ApiSchema, Bill, RequestContext},
    core::{
        idempotency::{KeyState, Named},
        identity::{Actor, Origin},
        telemetry,
    },
    db::{Access, DbError},
    features::{auth::SessionCookies, usage::rate_limits::Charged},
    graphql::{
        ApiError, Code, FindingKey, KEY_COST, ReadDocument, Unreadable,
        batching::{LoadQueue, drive},
        input, is_refusal_by_role, nowhere,
    },
    http::{App, cookies::RequestCookies},
};

/// A parsed request that may run.
pub(super) struct Prepared {
    /// The request, without its document.
    pub request: Request,
    /// The type of operation.
    pub kind: OperationType,
    /// The parsed document.
    pub read: Arc<ReadDocument>,
    /// The document without arguments of omitted variables, when there are any.
    without_omitted: Option<ExecutableDocument>,
    finding_key: Option<FindingKey>,
}

impl Prepared {
    /// The document that is executed.
    fn document(&self) -> &ExecutableDocument {
        self.without_omitted.as_ref().unwrap_or(&self.read.document)
    }
}

/// Finds and parses the document, and refuses inputs that are invalid under any schema.
///
/// # Errors
/// The reason for the refusal.
pub(super) fn prepare(app: &App, actor: &Actor, asked: GraphqlRequest) -> Result<Prepared, Vec<ServerError>> {
    let tenant = match actor {
        Actor::Person(viewer) => Some(viewer.tenant),
        Actor::Anonymous | Actor::Unverified | Actor::Platform(_) => None,
    };
    let wanted = Wanted::read(&asked)?;
    let text = app.documents.find(tenant, wanted, &asked)?;
    let read = app.reader.read(&text).map_err(|error| match error {
        Unreadable::Syntax(message) => vec![error_with_code("GRAPHQL_PARSE_FAILED", &shorten(&message))],
        Unreadable::TooLarge(message) => vec![error_with_code("GRAPHQL_VALIDATION_FAILED", &message)],
        Unreadable::Unfit((path, message)) => vec![bad_variable(path, message)],
    })?;
    let mut request = Request::new(text).variables(asked.variables.unwrap_or_default());
    // An empty name names none.
    request.operation_name = asked.operation_name.filter(|it| !it.is_empty());
    let prepared = inspect(request, read)?;
    app.documents.remember(tenant, wanted, &prepared.request.query);
    Ok(prepared)
}

fn inspect(mut request: Request, read: Arc<ReadDocument>) -> Result<Prepared, Vec<ServerError>> {
    let refused = |code: &str, message: &str| vec![error_with_code(code, message)];
    if let Some((path, message)) = input::find_unfit_variable(&request.variables) {
        return Err(vec![bad_variable(path, message)]);
    }
    let mut operations = read.document.operations.iter();
    let operation = match &request.operation_name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|it| it.as_str() == wanted)),
        None => operations.next().filter(|_| operations.next().is_none()),
    };
    let Some((name, operation)) = operation else {
        return Err(refused("GRAPHQL_VALIDATION_FAILED", "Choose the operation to run with operationName."));
    };
    // Before anything looks at them (section 6.1.2): async-graphql decides `@skip` and `@include` without the defaults.
    input::fill_defaults(&operation.node, &mut request.variables);
    // Checked before anything runs: a mutation must not stop half-way because a variable is missing.
    if let Some(name) = input::find_missing(&operation.node, &request.variables) {
        return Err(vec![bad_variable(name, "this variable is required")]);
    }
    let kind = operation.node.ty;
    request.operation_name = name.map(|it| it.to_string()); // For the log, when the request did not name it.
    // The specification allows one field (section 5.2.3.1), and each event is read in its own transaction.
    let selections = &operation.node.selection_set.node.items;
    if kind == OperationType::Subscription
        && !matches!(selections.as_slice(), [it] if matches!(it.node, Selection::Field(_)))
    {
        return Err(refused("GRAPHQL_VALIDATION_FAILED", "A subscription must have one root field, and no fragment."));
    }
    let without_omitted = input::without_omitted(&read.document, &request.variables);
    let finding_key = read.finding_key(&request.variables);
    Ok(Prepared { request, kind, read, without_omitted, finding_key })
}

/// The sender of a request, and what the request carries besides the document.
pub(super) struct Sender {
    /// The caller.
    pub actor: Actor,
    /// The origin of the request, and the impersonating administrator if any.
    pub origin: Origin,
    /// The trace context, as W3C headers.
    pub trace: HeaderMap,
    /// The cookies, in cookie mode.
    pub cookies: Option<RequestCookies>,
    /// The idempotency key of a mutation.
    pub named: Option<Named>,
    /// What was charged before the body was read.
    pub deposit: Option<Charged>,
    /// A slot among the sender's running operations. It is held until the operation ends, even when nobody waits for it.
    pub slot: Option<OwnedSemaphorePermit>,
}

/// Runs a query or a mutation on a separate task: a client that disconnects cancels the waiting handler, but not a
/// transaction between two statements.
pub(super) async fn run(app: &App, sender: Sender, prepared: Prepared) -> (Answer, Option<SessionCookies>) {
    let begun = Instant::now();
    let Sender { actor, origin, trace, cookies, named, deposit, slot } = sender;
    let span = span(&origin, &actor, &prepared.request);
    telemetry::join_trace(&span, &trace);
    let access = if prepared.kind == OperationType::Mutation { Access::Write } else { Access::Read };
    let kind = if access == Access::Write { "mutation" } else { "query" };
    let field = prepared.read.root_field.clone();
    let (app, noted_in) = (app.clone(), span.clone());
    let work = async move {
        let answered = execute(app, origin, (actor, cookies, deposit), access, named, prepared).await;
        let (field, code) = match &answered.0 {
            Answer::Replayed(_) => (field, "REPLAYED".to_owned()),
            Answer::Fresh(response) => (field.filter(|_| is_executed(response)), code_to_count(response)),
        };
        note(kind, field.as_deref(), &code, begun.elapsed());
        drop(slot);
        answered
    };
    match tokio::spawn(work.instrument(span)).await {
        Ok(answered) => answered,
        Err(panic) => {
            noted_in.in_scope(|| {
                tracing::error!(cause = %panic, "a resolver panicked");
                note(kind, None, Code::Internal.as_str(), begun.elapsed());
            });
            (Answer::Fresh(GraphQLResponse::from_errors(vec![internal()])), None)
        }
    }
}

/// The events of a subscription, each read in its own transaction.
pub(super) struct Events {
    stream: BoxStream<'static, GraphQLResponse>,
    context: Arc<RequestContext>,
    queue: LoadQueue,
    document: ExecutableDocument,
    operation: Option<String>,
    /// The span of its log lines.
    pub span: tracing::Span,
    _slot: Option<OwnedSemaphorePermit>,
}

/// Prepares a subscription: nothing runs before the first event is polled.
pub(super) fn subscribe(app: &App, sender: Sender, mut prepared: Prepared) -> Events {
    let Sender { actor, origin, trace, slot, .. } = sender;
    let span = span(&origin, &actor, &prepared.request);
    telemetry::join_trace(&span, &trace);
    let queue = LoadQueue::default();
    let context = RequestContext::new(app.services.clone(), actor, Access::Read, origin, queue.clone());
    let context = Arc::new(context);
    let document = prepared.document().clone();
    let mut request = std::mem::replace(&mut prepared.request, Request::new(""));
    let operation = request.operation_name.clone();
    request.set_parsed_query(document.clone());
    let begin = {
        let (app, context) = (app.clone(), context.clone());
        async move {
            match admit(&app, &context, &prepared, &request).await {
                Ok(_) => app.schema.execute_stream(request.data(context)),
                Err(errors) => stream::once(async { GraphQLResponse::from_errors(errors) }).boxed(),
            }
        }
    };
    let stream = begin.flatten_stream().boxed();
    Events { stream, context, queue, document, operation, span, _slot: slot }
}

impl Events {
    /// The next event, or `None` at the end of the subscription.
    pub(super) async fn next(&mut self) -> Option<GraphQLResponse> {
        let mut response = drive(self.stream.next(), self.queue.clone()).await?;
        self.context.end_event();
        if response.data != Value::Null {
            ApiSchema::complete(&mut response, &self.document, self.operation.as_deref());
        }
        Some(response)
    }
}

/// Writes an access log line and counts the request in the metrics.
pub(super) fn note(kind: &'static str, field: Option<&str>, code: &str, took: Duration) {
    telemetry::count_request(kind, field, code, took);
    tracing::info!(target: "tenantry::access", kind, code, duration_ms = took.as_secs_f64() * 1_000.0, "answered");
}

/// The code of a response's first error, as the client will see it.
pub(super) fn code_to_count(response: &GraphQLResponse) -> String {
    let mut first = GraphQLResponse::from_errors(response.errors.iter().take(1).cloned().collect());
    polish(&mut first, "", 1);
    first_code(&first).to_owned()
}

/// The span of the request's log lines.
pub(super) fn span(origin: &Origin, actor: &Actor, request: &Request) -> tracing::Span {
    let operation: String = request.operation_name.as_deref().unwrap_or("anonymous").chars().take(100).collect();
    let span = tracing::info_span!(
        "request",
        request.id = %origin.request_id,
        tenant.id = tracing::field::Empty,
        trace.id = tracing::field::Empty,
        operation,
    );
    if let Actor::Person(viewer) = actor {
        span.record("tenant.id", tracing::field::display(viewer.tenant));
    }
    span
}

async fn execute(
    app: App,
    origin: Origin,
    (actor, cookies, deposit): (Actor, Option<RequestCookies>, Option<Charged>),
    access: Access,
    named: Option<Named>,
    prepared: Prepared,
) -> (Answer, Option<SessionCookies>) {
    let queue = LoadQueue::default();
    let mut context = RequestContext::new(app.services.clone(), actor, access, origin, queue.clone());
    context.has_paid(deposit);
    context.introspects(prepared.read.introspected);
    context.expects_one_statement(prepared.read.is_brief());
    if let Some(brought) = cookies {
        context.use_cookies(brought.refresh);
    }
    let context = Arc::new(context);
    let answer = match named {
        Some(named) => Box::pin(answer_once(&app, &context, &named, prepared, queue)).await,
        None => Answer::Fresh(match Box::pin(resolve(&app, &context, prepared, queue)).await {
            Ok((response, refused)) => finish(&app, &context, response, &refused).await,
            Err(too_late) => too_late,
        }),
    };
    (answer, context.cookies())
}

/// The response to send.
pub(super) enum Answer {
    /// The response to this request.
    Fresh(GraphQLResponse),
    /// The response to the first request with the same key: its original body.
    Replayed(String),
}

/// Codes of errors after which the same request may succeed.
const RETRYABLE: [&str; 6] = ["UNAUTHENTICATED", "FORBIDDEN", "RATE_LIMITED", "UNAVAILABLE", "TIMEOUT", "INTERNAL"];

/// Runs a mutation with an idempotency key unless it already ran, and stores its response in the same transaction.
async fn answer_once(
    app: &App,
    context: &Arc<RequestContext>,
    named: &Named,
    prepared: Prepared,
    queue: LoadQueue,
) -> Answer {
    let refused = |error: ApiError| Answer::Fresh(GraphQLResponse::from_errors(vec![nowhere(error)]));
    // Looking up a key costs something whether or not the request runs.
    if let Err(error) = context.charge(KEY_COST).await {
        return refused(error);
    }
    let begun = tokio::time::timeout(app.deadline, context.begin_named(named)).await;
    let is_named = match begun.unwrap_or(Err(DbError::Timeout)) {
        Ok(None) => false, // No user of a tenant is signed in.
        Ok(Some(KeyState::First)) => true,
        Ok(Some(KeyState::Answered(body))) => return Answer::Replayed(body),
        Ok(Some(KeyState::Blanked)) => {
            let message =
                "This request was carried out. Its answer is no longer kept, because a person was erased since.";
            return refused(ApiError::refused(Code::IdempotencyConflict, message));
        }
        Ok(Some(KeyState::Conflict)) => {
            let message = "This Idempotency-Key was used for another request.";
            return refused(ApiError::refused(Code::IdempotencyConflict, message));
        }
        Err(error) => return refused(error.into()),
    };
    let (mut response, refusals) = match Box::pin(resolve(app, context, prepared, queue)).await {
        Ok(resolved) => resolved,
        Err(too_late) => return Answer::Fresh(too_late),
    };
    if is_named {
        polish(&mut response, &context.origin().request_id.to_string(), app.limits.errors);
        // A response after which a retry may succeed is not stored, unless something was changed.
        let did_something = matches!(&response.data, Value::Object(fields) if !fields.is_empty());
        let may_succeed = response.errors.iter().any(|it| code_of(it).is_some_and(|it| RETRYABLE.contains(&it)));
        let is_final = did_something || is_executed(&response) && !may_succeed;
        let body = is_final.then(|| write(&response, true, app.limits.answer_bytes)).flatten();
        let body = body.map(|it| String::from_utf8_lossy(&it).into_owned());
        if let Err(error) = context.end_named(named, body.as_deref()).await {
            return refused(error.into());
        }
    }
    Answer::Fresh(finish(app, context, response, &refusals).await)
}

/// Validates a document and charges its cost to the sender.
async fn admit(
    app: &App,
    context: &RequestContext,
    prepared: &Prepared,
    request: &Request,
) -> Result<Bill, Vec<ServerError>> {
    let (operation, key) = (request.operation_name.as_deref(), prepared.finding_key.as_ref());
    let valid = app.schema.validate(prepared.document(), operation, &request.variables, key).await?;
    Bill::charge(context, valid).await.map_err(|error| vec![error])
}

/// Executes the fields. `Err` is the response when the time ran out: dropping the transaction rolls it back.
async fn resolve(
    app: &App,
    context: &Arc<RequestContext>,
    mut prepared: Prepared,
    queue: LoadQueue,
) -> Result<(GraphQLResponse, BTreeMap<String, usize>), GraphQLResponse> {
    let mut request = std::mem::replace(&mut prepared.request, Request::new(""));
    let operation = request.operation_name.clone();
    request.set_parsed_query(prepared.document().clone());
    let execution = pin!(async {
        match admit(app, context, &prepared, &request).await {
            Ok(bill) => bill.told_with(app.schema.execute(request.data(context.clone())).await),
            Err(errors) => GraphQLResponse::from_errors(errors),
        }
    });
    let execution = pin!(drive(execution, queue));
    let begun = Instant::now();
    let executed = tokio::time::timeout(app.deadline, execution).await;
    prepared.read.note_statements(context.statements(), begun.elapsed());
    let Ok(mut response) = executed else {
        return Err(GraphQLResponse::from_errors(vec![nowhere(DbError::Timeout.into())]));
    };
    // Before the commit: a mutation whose response cannot be sent must not be applied.
    if context.may_write() && write(&response, true, app.limits.answer_bytes).is_none() {
        return Err(GraphQLResponse::from_errors(vec![too_long(app.limits.answer_bytes)]));
    }
    let refused = refused_fields(&response, prepared.document(), operation.as_deref());
    if response.data != Value::Null {
        ApiSchema::complete(&mut response, prepared.document(), operation.as_deref());
    }
    Ok((response, refused))
}

/// Commits the changes before the response is returned.
async fn finish(
    app: &App,
    context: &RequestContext,
    response: GraphQLResponse,
    refused: &BTreeMap<String, usize>,
) -> GraphQLResponse {
    let finished = tokio::time::timeout(app.deadline, context.finish(refused)).await;
    match finished.unwrap_or_else(|_| Err(DbError::CommitUnknown("no answer in time".into()))) {
        Ok(()) => response,
        // The commit failed or its outcome is unknown, so the response cannot be trusted.
        Err(error) => GraphQLResponse::from_errors(vec![nowhere(error.into())]),
    }
}

/// Mutations that begin or refresh a session, or act in none.
const IN_NO_SESSION: [&str; 10] = [
    "login",
    "platformLogin",
    "refreshSession",
    "signUp",
    "registerUser",
    "confirmRegistration",
    "acceptInvitation",
    "requestPasswordReset",
    "resetPassword",
    "verifyEmail",
];

/// Whether a mutation acts as the person whose session the request has.
pub(super) fn acts_in_a_session(prepared: &Prepared) -> bool {
    input::root_fields(&prepared.read.document).iter().any(|it| !IN_NO_SESSION.contains(it))
}

/// Sign-in mutations open transactions of their own, so their responses cannot be stored with their changes.
const TAKE_NO_KEY: [&str; 20] = [
    "login",
    "refreshSession",
    "signUp",
    "registerUser",
    "confirmRegistration",
    "acceptInvitation",
    "requestPasswordReset",
    "resetPassword",
    "changePassword",
    "requestEmailVerification",
    "verifyEmail",
    // The same holds for billing mutations, which talk to a payment provider. They are safe to repeat.
    "createCheckoutSession",
    "createBillingPortalSession",
    "changePlan",
    "cancelSubscription",
    "keepSubscription",
    "payInvoice",
    // The responses of these contain secrets that are shown once and stored nowhere.
    "rotateCalendarFeed",
    "createWebhookEndpoint",
    "rotateWebhookSecret",
];

/// The idempotency key of a request, if any, or the reason why it cannot have one. The same key in another role, or
/// by an impersonating administrator, is another request.
pub(super) fn named(headers: &HeaderMap, prepared: &Prepared, actor: &Actor) -> Option<Result<Named, &'static str>> {
    let (key, request) = (headers.get("idempotency-key")?, &prepared.request);
    let fields = input::root_fields(&prepared.read.document);
    if fields.iter().any(|it| TAKE_NO_KEY.contains(it)) {
        return Some(Err(
            "Idempotency-Key: not accepted for sign-in and billing mutations, or when the response contains a secret.",
        ));
    }
    let by = match actor {
        Actor::Person(viewer) => (viewer.role.as_str(), viewer.impersonated),
        // A key belongs to a user of a tenant. Accepting it without storing the response would be worse than refusing it.
        Actor::Platform(_) => return Some(Err("Idempotency-Key: not accepted for platform administrators.")),
        Actor::Anonymous | Actor::Unverified => ("", false),
    };
    let content = serde_json::to_vec(&(&request.query, &request.operation_name, &request.variables, by)).ok()?;
    let named = key.to_str().ok().and_then(|key| Named::new(key, &content));
    Some(named.ok_or("Idempotency-Key: must be 1 to 255 visible ASCII characters."))
}

/// The root fields that were refused to the caller's role, by their schema names, with their counts.
fn refused_fields(
    response: &GraphQLResponse,
    document: &ExecutableDocument,
    operation: Option<&str>,
) -> BTreeMap<String, usize> {
    let mut refused = BTreeMap::new();
    for error in response.errors.iter().filter(|it| is_refusal_by_role(it)) {
        let Some(PathSegment::Field(key)) = error.path.first() else { continue };
        let name = input::root_field_of(document, operation, key).unwrap_or(key);
        *refused.entry(name.to_owned()).or_default() += 1;
    }
    refused
}
