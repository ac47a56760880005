//! GraphQL over HTTP: POST with JSON, and GET for queries.
//!
//! A handler of our own over `schema.execute`, because the stock one runs mutations sent by GET or by forms, which other
//! sites can send, and forwards raw errors.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use async_graphql::{
    ErrorExtensionValues, PathSegment, Request, Response as GraphQLResponse, ServerError, Value, Variables,
    parser::{
        parse_query,
        types::{ExecutableDocument, OperationType},
    },
};
use axum::{
    body::Bytes,
    extract::{Query, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tracing::Instrument;

use super::{
    App, REQUEST_ID, RequestOrigin,
    cookies::{self, Brought},
};
use crate::{
    auth::{Actor, Origin, SessionCookies},
    db::{Access, DbError},
    graphql::{
        ApiError, Code, INTERNAL_MESSAGE, KEY_COST, Limits, RequestContext,
        batching::{LoadQueue, drive},
        completion, input, is_refusal_by_role,
    },
    idempotency::{Named, Standing},
    telemetry,
};

/// What a refused request may be told at most, in characters: an answer never echoes a large document.
const MAX_MESSAGE: usize = 400;
/// Most bytes of the errors of a document that was refused, whatever was sent.
const MAX_REFUSAL_BYTES: usize = 3_000;
/// Says that an answer was given before, to a request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

/// `POST /graphql`.
pub async fn post(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let reply = Reply::new(&headers, &origin, &app.limits);
    // Every content type that a form can send would let other sites' pages send requests in our users' name.
    if !is_json(&headers) {
        return reply.refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send the content type application/json.");
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("The body is larger than {} bytes.", app.limits.body_bytes);
            return reply.refuse(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
        Err(_) => return reply.refuse(StatusCode::BAD_REQUEST, "The body could not be read."),
    };
    let request = match serde_json::from_slice::<Request>(&body) {
        Ok(request) => request,
        Err(error) => {
            let message = format!("The body is not a GraphQL request in JSON: {error}");
            return reply.refuse(StatusCode::BAD_REQUEST, &message);
        }
    };
    run(app, origin, &headers, request, true).await
}

/// The parameters of a query sent by GET.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetParameters {
    #[serde(default)]
    query: String,
    operation_name: Option<String>,
    variables: Option<String>,
}

/// `GET /graphql`, for queries alone.
pub async fn get(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    parameters: Result<Query<GetParameters>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let reply = Reply::new(&headers, &origin, &app.limits);
    let Ok(Query(parameters)) = parameters else {
        return reply.refuse(StatusCode::BAD_REQUEST, "The query string could not be read.");
    };
    let variables = match parameters.variables.as_deref().filter(|it| !it.is_empty()).map(serde_json::from_str) {
        None => Variables::default(),
        Some(Ok(variables)) => variables,
        Some(Err(_)) => return reply.refuse(StatusCode::BAD_REQUEST, "The variables are not a JSON object."),
    };
    let mut request = Request::new(parameters.query).variables(variables);
    request.operation_name = parameters.operation_name;
    run(app, origin, &headers, request, false).await
}

async fn run(app: App, origin: Origin, headers: &HeaderMap, mut request: Request, may_mutate: bool) -> Response {
    let (begun, reply) = (Instant::now(), Reply::new(headers, &origin, &app.limits));
    if request.query.trim().is_empty() {
        return reply.refuse(StatusCode::BAD_REQUEST, "The request has no query.");
    }
    if let Some(message) = app.limits.refuse_text(&request.query) {
        let error = error_with_code("GRAPHQL_VALIDATION_FAILED", &message);
        return reply.answer(GraphQLResponse::from_errors(vec![error]), Outcome::Refused);
    }
    let operation = match inspect(&app.limits, &mut request) {
        Ok(operation) => operation,
        Err(errors) => return reply.answer(GraphQLResponse::from_errors(errors), Outcome::Refused),
    };
    if operation == OperationType::Mutation && !may_mutate {
        let mut response = reply.refuse(StatusCode::METHOD_NOT_ALLOWED, "Send mutations by POST.");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let cookies = cookies::read(headers);
    let (actor, impersonator) = actor(&app, headers, cookies.as_ref());
    let named = match named(headers, &mut request, &actor).filter(|_| operation == OperationType::Mutation) {
        None => None,
        Some(Ok(named)) => Some(named),
        Some(Err(message)) => return reply.refuse(StatusCode::BAD_REQUEST, message),
    };
    let origin = Origin { impersonator, ..origin };
    let span = tracing::info_span!(
        "request",
        request.id = %origin.request_id,
        tenant.id = tracing::field::Empty,
        operation = request.operation_name.as_deref().unwrap_or("anonymous").chars().take(100).collect::<String>(),
    );
    if let Actor::Person(viewer) = &actor {
        span.record("tenant.id", tracing::field::display(viewer.tenant));
    }
    let access = if operation == OperationType::Mutation { Access::Write } else { Access::Read };
    // On a task of its own: a client that hangs up drops this handler, but not a transaction between two statements.
    let task = tokio::spawn(execute(app, origin, actor, cookies, access, named, request).instrument(span.clone()));
    let (answer, change) = match task.await {
        Ok(answered) => answered,
        Err(panic) => {
            span.in_scope(|| tracing::error!(cause = %panic, "a resolver panicked"));
            (Answer::Fresh(GraphQLResponse::from_errors(vec![internal()])), None)
        }
    };
    let kind = if operation == OperationType::Mutation { "mutation" } else { "query" };
    let mut answer = match answer {
        Answer::Replayed(body) => reply.replay(body),
        Answer::Fresh(response) => {
            let outcome = if is_executed(&response) { Outcome::Executed } else { Outcome::Refused };
            let (answer, code) = reply.answer_with_code(response, outcome);
            telemetry::count_request(kind, &code, begun.elapsed());
            answer
        }
    };
    for line in change.iter().flat_map(cookies::write) {
        answer.headers_mut().append(header::SET_COOKIE, line);
    }
    // Answers are somebody's own.
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Parses the document, and finds what makes no sense whatever the schema says.
fn inspect(limits: &Limits, request: &mut Request) -> Result<OperationType, Vec<ServerError>> {
    let refused = |code: &str, message: &str| vec![error_with_code(code, message)];
    let mut document =
        parse_query(&request.query).map_err(|error| refused("GRAPHQL_PARSE_FAILED", &shorten(&error.to_string())))?;
    if let Some(message) = limits.refuse_document(&document) {
        return Err(refused("GRAPHQL_VALIDATION_FAILED", &message));
    }
    if let Some((path, message)) = input::find_unfit(&document, &request.variables) {
        return Err(vec![bad_variable(path, message)]);
    }
    let mut operations = document.operations.iter();
    let operation = match &request.operation_name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|it| it.as_str() == wanted)),
        None => operations.next().filter(|_| operations.next().is_none()),
    };
    let Some((_, operation)) = operation else {
        return Err(refused("GRAPHQL_VALIDATION_FAILED", "Say by operationName which operation to run."));
    };
    // Before anything runs: a mutation must not stop half-way for want of a variable.
    if let Some(name) = input::find_missing(&operation.node, &request.variables) {
        return Err(vec![bad_variable(name, "the document needs this variable")]);
    }
    let kind = operation.node.ty;
    input::drop_omitted(&mut document, &request.variables);
    request.set_parsed_query(document);
    Ok(kind)
}

async fn execute(
    app: App,
    origin: Origin,
    actor: Actor,
    cookies: Option<Brought>,
    access: Access,
    named: Option<Named>,
    request: Request,
) -> (Answer, Option<SessionCookies>) {
    let queue = LoadQueue::default();
    let mut context = RequestContext::new(app.services.clone(), actor, access, origin, queue.clone());
    if let Some(brought) = cookies {
        context.use_cookies(brought.refresh);
    }
    let context = Arc::new(context);
    let answer = match named {
        Some(named) => answer_once(&app, &context, &named, request, queue).await,
        None => Answer::Fresh(match resolve(&app, &context, request, queue).await {
            Ok((response, refused)) => finish(&app, &context, response, &refused).await,
            Err(too_late) => too_late,
        }),
    };
    (answer, context.cookies())
}

/// What is sent.
enum Answer {
    /// Of this request.
    Fresh(GraphQLResponse),
    /// Of the first request with the same key: its body as it was.
    Replayed(String),
}

/// Codes of errors after which the same request may succeed.
const RETRYABLE: [&str; 6] = ["UNAUTHENTICATED", "FORBIDDEN", "RATE_LIMITED", "UNAVAILABLE", "TIMEOUT", "INTERNAL"];

/// Carries a named mutation out unless it was already, and keeps its answer in its own transaction.
async fn answer_once(
    app: &App,
    context: &Arc<RequestContext>,
    named: &Named,
    request: Request,
    queue: LoadQueue,
) -> Answer {
    let refused = |error: ApiError| Answer::Fresh(GraphQLResponse::from_errors(vec![server_error(error)]));
    // Looking a key up is work of its own, whatever becomes of the request.
    if let Err(error) = context.charge(KEY_COST).await {
        return refused(error);
    }
    let begun = tokio::time::timeout(app.deadline, context.begin_named(named)).await;
    let is_named = match begun.unwrap_or(Err(DbError::Timeout)) {
        Ok(None) => false, // Nobody of a tenant is signed in.
        Ok(Some(Standing::First)) => true,
        Ok(Some(Standing::Answered(body))) => return Answer::Replayed(body),
        Ok(Some(Standing::Conflict)) => {
            let message = "This Idempotency-Key was used for another request.";
            return refused(ApiError::refused(Code::IdempotencyConflict, message));
        }
        Err(error) => return refused(error.into()),
    };
    let (mut response, refusals) = match resolve(app, context, request, queue).await {
        Ok(resolved) => resolved,
        Err(too_late) => return Answer::Fresh(too_late),
    };
    if is_named {
        polish(&mut response, &context.origin().request_id.to_string(), app.limits.errors);
        // What may be tried again is not the last word, unless something was done beside it.
        let did_something = matches!(&response.data, Value::Object(fields) if !fields.is_empty());
        let may_succeed = response.errors.iter().any(|it| code_of(it).is_some_and(|it| RETRYABLE.contains(&it)));
        let is_final = did_something || is_executed(&response) && !may_succeed;
        let body = is_final.then(|| String::from_utf8_lossy(&write(&response, true)).into_owned());
        if let Err(error) = context.end_named(named, body.as_deref()).await {
            return refused(error.into());
        }
    }
    Answer::Fresh(finish(app, context, response, &refusals).await)
}

/// Asks the fields. `Err` is the answer where time ran out: what was begun is undone by being dropped.
async fn resolve(
    app: &App,
    context: &Arc<RequestContext>,
    mut request: Request,
    queue: LoadQueue,
) -> Result<(GraphQLResponse, BTreeMap<String, usize>), GraphQLResponse> {
    let (document, operation) = (request.parsed_query().ok().cloned(), request.operation_name.clone());
    let execution = drive(app.schema.execute(request.data(context.clone())), queue);
    let Ok(mut response) = tokio::time::timeout(app.deadline, execution).await else {
        return Err(GraphQLResponse::from_errors(vec![server_error(DbError::Timeout.into())]));
    };
    let refused = refused_fields(&response, document.as_ref(), operation.as_deref());
    if let Some(document) = document.filter(|_| response.data != Value::Null) {
        completion::complete(&mut response, &document, operation.as_deref());
    }
    Ok((response, refused))
}

/// Commits what was done, and only then says so.
async fn finish(
    app: &App,
    context: &RequestContext,
    response: GraphQLResponse,
    refused: &BTreeMap<String, usize>,
) -> GraphQLResponse {
    let finished = tokio::time::timeout(app.deadline, context.finish(refused)).await;
    match finished.unwrap_or_else(|_| Err(DbError::CommitUnknown("no answer in time".into()))) {
        Ok(()) => response,
        // Whatever the response says was done is not known to be.
        Err(error) => GraphQLResponse::from_errors(vec![server_error(error.into())]),
    }
}

/// Mutations of the sign-in path: they open transactions of their own, so no answer can be kept with what they did.
const TAKE_NO_KEY: [&str; 11] = [
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
];

/// The key that a request was named with, if it was; or why it can be none. The same key in another role, or by somebody
/// who acts as the user, is another request.
fn named(headers: &HeaderMap, request: &mut Request, actor: &Actor) -> Option<Result<Named, &'static str>> {
    let key = headers.get("idempotency-key")?;
    let fields = request.parsed_query().map(input::root_fields).unwrap_or_default();
    if fields.iter().any(|it| TAKE_NO_KEY.contains(it)) {
        return Some(Err("Idempotency-Key: mutations of signing in take none."));
    }
    let by = match actor {
        Actor::Person(viewer) => (viewer.role.as_str(), viewer.impersonated),
        Actor::Anonymous | Actor::Unverified | Actor::Platform(_) => ("", false),
    };
    let content = serde_json::to_vec(&(&request.query, &request.operation_name, &request.variables, by)).ok()?;
    let named = key.to_str().ok().and_then(|key| Named::new(key, &content));
    Some(named.ok_or("Idempotency-Key: must be 1 to 255 visible ASCII characters."))
}

/// Whether any field was asked, as against a document that validation refused.
fn is_executed(response: &GraphQLResponse) -> bool {
    !(response.data == Value::Null && response.errors.iter().all(|it| it.path.is_empty()))
}

/// Root fields that the caller's role was refused, by the names that the schema gives them, with how often.
fn refused_fields(
    response: &GraphQLResponse,
    document: Option<&ExecutableDocument>,
    operation: Option<&str>,
) -> BTreeMap<String, usize> {
    let mut refused = BTreeMap::new();
    for error in response.errors.iter().filter(|it| is_refusal_by_role(it)) {
        let Some(PathSegment::Field(key)) = error.path.first() else { continue };
        let name = document.and_then(|it| input::root_field_of(it, operation, key)).unwrap_or(key);
        *refused.entry(name.to_owned()).or_default() += 1;
    }
    refused
}

/// Who asks, and who acts as him: by the header, or by the cookie of a request in cookie mode.
pub(super) fn actor(app: &App, headers: &HeaderMap, cookies: Option<&Brought>) -> (Actor, Option<String>) {
    let token = match headers.get(header::AUTHORIZATION) {
        Some(header) => match header.to_str().ok().and_then(|it| it.split_once(' ')) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return (Actor::Unverified, None),
        },
        None => match cookies.and_then(|it| it.access.as_deref()) {
            Some(token) => token,
            None => return (Actor::Anonymous, None),
        },
    };
    app.tokens.verify(token).unwrap_or((Actor::Unverified, None))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset_fits = parts.all(|it| {
        let (name, value) = it.split_once('=').unwrap_or((it, ""));
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    essence.eq_ignore_ascii_case("application/json") && charset_fits
}

/// How a client wants to be answered.
struct Reply {
    media_type: &'static str,
    request_id: String,
    max_errors: usize,
}

impl Reply {
    fn new(headers: &HeaderMap, origin: &Origin, limits: &Limits) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let media_type = if accept.contains(GRAPHQL_RESPONSE) { GRAPHQL_RESPONSE } else { "application/json" };
        Self { media_type, request_id: origin.request_id.to_string(), max_errors: limits.errors }
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        let error = error_with_code("BAD_USER_INPUT", &shorten(message));
        self.answer(GraphQLResponse::from_errors(vec![error]), Outcome::Unreadable(status))
    }

    fn answer(&self, response: GraphQLResponse, outcome: Outcome) -> Response {
        self.answer_with_code(response, outcome).0
    }

    /// The answer, and the code of its first error, or `OK`.
    fn answer_with_code(&self, mut response: GraphQLResponse, outcome: Outcome) -> (Response, String) {
        polish(&mut response, &self.request_id, self.max_errors);
        if !matches!(outcome, Outcome::Executed) {
            let mut bytes = 0;
            response.errors.retain(|it| {
                bytes += serde_json::to_vec(it).map_or(usize::MAX / 2, |it| it.len());
                bytes <= MAX_REFUSAL_BYTES
            });
        }
        let status = match outcome {
            Outcome::Executed => StatusCode::OK,
            Outcome::Refused if self.media_type == GRAPHQL_RESPONSE => StatusCode::BAD_REQUEST,
            // The older media type says 200 for whatever reached GraphQL, and clients of it rely on that.
            Outcome::Refused => StatusCode::OK,
            Outcome::Unreadable(status) => status,
        };
        let retry_after = response.errors.iter().find_map(|it| match it.extensions.as_ref()?.get("retryAfter") {
            Some(Value::Number(seconds)) => seconds.as_i64(),
            _ => None,
        });
        let code = response.errors.first().map_or("OK", |it| code_of(it).unwrap_or("INTERNAL")).to_owned();
        let body = write(&response, matches!(outcome, Outcome::Executed));
        let headers = [(header::CONTENT_TYPE, self.media_type.to_owned()), (REQUEST_ID, self.request_id.clone())];
        let mut answer = (status, headers, body).into_response();
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        (answer, code)
    }

    /// What the first request with the same key was answered.
    fn replay(&self, body: String) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.media_type.to_owned()),
            (REQUEST_ID, self.request_id.clone()),
            (REPLAYED, "true".to_owned()),
        ];
        (StatusCode::OK, headers, body).into_response()
    }
}

/// Gives every error its code and the request's id, and takes away those that are too many.
fn polish(response: &mut GraphQLResponse, request_id: &str, max_errors: usize) {
    response.errors.truncate(max_errors);
    for error in &mut response.errors {
        classify(error);
        error.extensions.get_or_insert_default().set("requestId", request_id);
    }
}

fn write(response: &GraphQLResponse, with_data: bool) -> Vec<u8> {
    let (errors, extensions) = (&response.errors, &response.extensions);
    serde_json::to_vec(&Body { data: with_data.then_some(&response.data), errors, extensions }).unwrap_or_default()
}

/// How far a request came.
#[derive(Clone, Copy)]
enum Outcome {
    /// It is no GraphQL request.
    Unreadable(StatusCode),
    /// Its document or variables were refused, so nothing was executed.
    Refused,
    /// Its fields were asked.
    Executed,
}

/// A response as it is written: without `data` where nothing was executed (GraphQL specification, section 7.1).
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[ServerError]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

fn code_of(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code") {
        Some(Value::String(code)) => Some(code),
        _ => None,
    }
}

/// Gives every error a code of the closed list. Those without one are async-graphql's own: of validation, or of an input
/// that does not fit its type. Anything else is not for clients to read.
fn classify(error: &mut ServerError) {
    error.message = shorten(&error.message);
    if code_of(error).is_some() {
        return;
    }
    let about_argument = error.message.starts_with("Invalid value for argument");
    let is_input =
        ["Failed to parse", "Expected input type", "Only integers"].iter().any(|it| error.message.starts_with(it));
    let code = if about_argument {
        "BAD_USER_INPUT"
    } else if is_input {
        // The message quotes what was sent, which may be a password.
        error.message = "A value does not fit its type.".to_owned();
        "BAD_USER_INPUT"
    } else if error.path.is_empty() {
        "GRAPHQL_VALIDATION_FAILED"
    } else {
        // Its text may quote what was sent, so it is not logged.
        tracing::error!(path = ?error.path, "an error without a code");
        error.message = INTERNAL_MESSAGE.to_owned();
        Code::Internal.as_str()
    };
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("code", code);
    if about_argument && let Some(field) = error.message.split('"').nth(1) {
        extensions.set("field", field);
    } else if is_input {
        let path: Vec<String> = error
            .path
            .iter()
            .map(|it| match it {
                PathSegment::Field(name) => name.clone(),
                PathSegment::Index(at) => at.to_string(),
            })
            .collect();
        extensions.set("field", path.join("."));
    }
}

fn error_with_code(code: &str, message: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    error.extensions = Some(extensions);
    error
}

fn bad_variable(field: String, message: &str) -> ServerError {
    let mut error = error_with_code("BAD_USER_INPUT", &format!("{field}: {message}"));
    error.extensions.get_or_insert_default().set("field", field);
    error
}

fn server_error(error: ApiError) -> ServerError {
    async_graphql::Error::from(error).into_server_error(async_graphql::Pos::default())
}

fn internal() -> ServerError {
    error_with_code(Code::Internal.as_str(), INTERNAL_MESSAGE)
}

fn shorten(message: &str) -> String {
    if message.chars().count() <= MAX_MESSAGE {
        return message.to_owned();
    }
    message.chars().take(MAX_MESSAGE).chain("…".chars()).collect()
}
