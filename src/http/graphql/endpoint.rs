//! GraphQL over HTTP: single requests and batches.

use std::time::Instant;

use async_graphql::{Response as GraphQLResponse, Value, parser::types::OperationType};
use axum::{
    body::{Bytes, HttpBody, to_bytes},
    extract::{
        FromRequest, Query, Request, State,
        rejection::QueryRejection,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    errors::{cut, error_with_code, is_executed, polish, shorten, too_long, write},
    execution::{self, Answer, Sender, named, prepare},
    request::{GraphqlRequest, trace_of},
    socket,
};
use crate::{
    base::{ids::uuid_v7, network::network},
    core::identity::{Actor, Origin},
    db::DbError,
    features::usage::rate_limits::Charged,
    graphql::{ApiError, Code, Limits, nowhere},
    http::{
        App, ConnectionPlace, REQUEST_ID,
        actor::actor,
        app::RequestOrigin,
        cookies::{self, RequestCookies},
    },
};

/// The response header that marks a replayed response, of an earlier request with the same key.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The request header with the idempotency key of a mutation.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a request is charged before its body is read, in points.
const DEPOSIT: usize = 1;

const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

/// `POST /graphql`.
pub(crate) async fn post(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    body: WholeBody,
) -> Response {
    let reply = Reply::new(&headers, &origin, &app.limits);
    // A content type that a form can send would let pages of other sites send requests on behalf of users.
    if !is_json(&headers) {
        return reply.refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Use the content type application/json.");
    }
    let (body, caller) = match body {
        WholeBody::Read(body, caller) => (body, caller),
        WholeBody::NoBudget(error) => {
            return reply.answer(GraphQLResponse::from_errors(vec![nowhere(error)]), Outcome::Refused);
        }
        WholeBody::TooLarge => {
            let message = format!("The body is larger than {} bytes.", app.limits.body_bytes);
            return reply.refuse(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
        WholeBody::TooSlow => {
            let error = error_with_code(Code::Timeout.as_str(), "The body did not arrive in time.");
            let response = GraphQLResponse::from_errors(vec![error]);
            return reply.answer(response, Outcome::Unreadable(StatusCode::REQUEST_TIMEOUT));
        }
        WholeBody::TooMany => {
            let mut error = error_with_code(Code::Unavailable.as_str(), "Too many bodies are being sent at once.");
            if let Some(extensions) = error.extensions.as_mut() {
                extensions.set("retryAfter", 1);
            }
            let response = GraphQLResponse::from_errors(vec![error]);
            return reply.answer(response, Outcome::Unreadable(StatusCode::SERVICE_UNAVAILABLE));
        }
        WholeBody::Broken => return reply.refuse(StatusCode::BAD_REQUEST, "The body could not be read."),
    };
    if body.trim_ascii_start().first() == Some(&b'[') {
        return run_batch(app, origin, &headers, caller, &body).await;
    }
    match serde_json::from_slice::<GraphqlRequest>(&body) {
        Ok(asked) => run(&app, origin, &headers, caller, asked, true).await,
        Err(error) => {
            let message = format!("The body is not a GraphQL request in JSON: {error}");
            reply.refuse(StatusCode::BAD_REQUEST, &message)
        }
    }
}

/// Who sends a request, by its headers.
#[derive(Clone)]
pub(crate) struct Caller {
    actor: Actor,
    impersonator: Option<String>,
    cookies: Option<RequestCookies>,
    /// What was charged before the body was read.
    deposit: Option<Charged>,
}

impl Caller {
    fn of(app: &App, headers: &HeaderMap) -> Self {
        let cookies = cookies::read(headers);
        let (actor, impersonator) = actor(app, headers, cookies.as_ref());
        Self { actor, impersonator, cookies, deposit: None }
    }
}

/// A request body, read to its end, and its sender.
pub(crate) enum WholeBody {
    /// The body.
    Read(Bytes, Caller),
    /// The sender's budget is exhausted, so the body was not read.
    NoBudget(ApiError),
    /// It exceeds the allowed size.
    TooLarge,
    /// It paused for too long, or took longer than the deadline of a request.
    TooSlow,
    /// Bodies of this address, or of all, take as much memory as they may.
    TooMany,
    /// The client disconnected, or sent an invalid body.
    Broken,
}

impl FromRequest<App> for WholeBody {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, app: &App) -> Result<Self, Self::Rejection> {
        // Before a byte of it is kept: bodies that do not end hold memory, so each address has a share of it.
        let declared = request.body().size_hint().upper().and_then(|it| usize::try_from(it).ok());
        let bytes = declared.unwrap_or(app.limits.body_bytes).min(app.limits.body_bytes);
        let client = app.client_of(request.extensions(), request.headers());
        // A point of the sender's budget, which the document's cost includes: nobody without one has a body read.
        let mut caller = Caller::of(app, request.headers());
        match app.services.rates.charge(&caller.actor, client.as_deref(), DEPOSIT).await {
            Ok(charged) => caller.deposit = Some(charged),
            Err(error) => return Ok(Self::NoBudget(error.into())),
        }
        let client = client.map_or_else(String::new, |it| network(&it));
        let Some(_share) = app.bodies.take(client, bytes) else { return Ok(Self::TooMany) };
        let read = tokio::time::timeout(app.deadline, Bytes::from_request(request, app)).await;
        Ok(match read {
            Err(_) => Self::TooSlow,
            Ok(Ok(bytes)) => Self::Read(bytes, caller),
            Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            Ok(Err(rejection)) if is_pause(&rejection) => Self::TooSlow,
            Ok(Err(_)) => Self::Broken,
        })
    }
}

/// Whether reading stopped because the body paused for too long.
fn is_pause(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<tower_http::timeout::TimeoutError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Runs the requests of a batch in order, each in its own transaction, when batches are enabled.
async fn run_batch(app: App, origin: Origin, headers: &HeaderMap, mut caller: Caller, body: &[u8]) -> Response {
    let (begun, reply, most) = (Instant::now(), Reply::new(headers, &origin, &app.limits), app.limits.batch);
    let refused = |message: &str| reply.refuse(StatusCode::BAD_REQUEST, message);
    if most < 2 {
        return refused("Batches are disabled. Send one request at a time.");
    }
    let batch = match serde_json::from_slice::<Vec<GraphqlRequest>>(body) {
        Ok(batch) => batch,
        Err(error) => return refused(&format!("The body is not a batch of GraphQL requests in JSON: {error}")),
    };
    if batch.is_empty() || batch.len() > most {
        return refused(&format!("A batch must have 1 to {most} requests."));
    }
    if headers.contains_key(IDEMPOTENCY_KEY) {
        return refused("A batch cannot have an Idempotency-Key.");
    }
    let (mut bodies, mut answer) = (Vec::new(), HeaderMap::new());
    for asked in batch {
        if begun.elapsed() > app.deadline {
            let error = nowhere(DbError::Timeout.into());
            bodies
                .push(write(&GraphQLResponse::from_errors(vec![error]), false, usize::MAX).unwrap_or_default().into());
            continue;
        }
        let origin = Origin { request_id: uuid_v7(jiff::Timestamp::now()), ..origin.clone() };
        let (parts, body) = run(&app, origin, headers, caller.clone(), asked, true).await.into_parts();
        caller.deposit = None; // It was for one request.
        bodies.push(to_bytes(body, usize::MAX).await.unwrap_or_default());
        for value in parts.headers.get_all(header::SET_COOKIE) {
            answer.append(header::SET_COOKIE, value.clone());
        }
        let wait = |headers: &HeaderMap| headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse::<u64>().ok();
        if let Some(longest) = wait(&parts.headers).max(wait(&answer)) {
            answer.insert(header::RETRY_AFTER, HeaderValue::from(longest));
        }
    }
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&reply.request_id) {
        answer.insert(REQUEST_ID, id);
    }
    let body = [b"[".as_slice(), &bodies.join(b",".as_slice()), b"]"].concat();
    (StatusCode::OK, answer, body).into_response()
}

/// The parameters of a query sent by GET.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetParameters {
    query: Option<String>,
    document_id: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// `GET /graphql`: queries only, or the upgrade to a WebSocket.
pub(crate) async fn get(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    place: ConnectionPlace,
    headers: HeaderMap,
    parameters: Result<Query<GetParameters>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let wants_socket = headers.get(header::UPGRADE).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket"));
    match upgrade {
        Ok(upgrade) => return socket::open(app, origin, place, &headers, upgrade),
        Err(rejection) if wants_socket => return rejection.into_response(),
        Err(_) => {}
    }
    let reply = Reply::new(&headers, &origin, &app.limits);
    let Ok(Query(parameters)) = parameters else {
        return reply.refuse(StatusCode::BAD_REQUEST, "The query string could not be read.");
    };
    let (Ok(variables), Ok(extensions)) = (json(parameters.variables), json(parameters.extensions)) else {
        return reply.refuse(StatusCode::BAD_REQUEST, "The variables or extensions are not a JSON object.");
    };
    let GetParameters { query, document_id, operation_name, .. } = parameters;
    let asked = GraphqlRequest { query, document_id, operation_name, variables, extensions };
    run(&app, origin, &headers, Caller::of(&app, &headers), asked, false).await
}

/// Parses a parameter that contains JSON.
fn json<T: serde::de::DeserializeOwned>(text: Option<String>) -> Result<Option<T>, serde_json::Error> {
    text.filter(|it| !it.is_empty()).map(|it| serde_json::from_str(&it)).transpose().map(Option::flatten)
}

pub(super) async fn run(
    app: &App,
    origin: Origin,
    headers: &HeaderMap,
    caller: Caller,
    asked: GraphqlRequest,
    may_mutate: bool,
) -> Response {
    let (begun, reply) = (Instant::now(), Reply::new(headers, &origin, &app.limits));
    if !asked.names_a_document() {
        return reply.refuse(StatusCode::BAD_REQUEST, "The request has no query.");
    }
    let Caller { actor, impersonator, cookies, deposit } = caller;
    let prepared = match prepare(app, &actor, asked) {
        Ok(prepared) => prepared,
        Err(errors) => {
            let response = GraphQLResponse::from_errors(errors);
            execution::note("refused", None, &execution::code_to_count(&response), begun.elapsed());
            return reply.answer(response, Outcome::Refused);
        }
    };
    if prepared.kind == OperationType::Mutation && !may_mutate {
        let mut response = reply.refuse(StatusCode::METHOD_NOT_ALLOWED, "Send mutations by POST.");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if prepared.kind == OperationType::Subscription {
        let error =
            error_with_code("GRAPHQL_VALIDATION_FAILED", "Use a WebSocket (graphql-transport-ws) for subscriptions.");
        return reply.answer(GraphQLResponse::from_errors(vec![error]), Outcome::Refused);
    }
    let is_mutation = prepared.kind == OperationType::Mutation;
    if let Some(message) =
        cookies::tenant_mismatch(headers, &actor, is_mutation && execution::acts_in_a_session(&prepared))
    {
        let error = nowhere(ApiError::refused(Code::TenantMismatch, message));
        return reply.answer(GraphQLResponse::from_errors(vec![error]), Outcome::Refused);
    }
    let named = match named(headers, &prepared, &actor).filter(|_| is_mutation) {
        None => None,
        Some(Ok(named)) => Some(named),
        Some(Err(message)) => return reply.refuse(StatusCode::BAD_REQUEST, message),
    };
    let sender = Sender {
        actor,
        origin: Origin { impersonator, ..origin },
        trace: trace_of(headers),
        cookies,
        named,
        deposit,
        slot: None,
    };
    let (answer, change) = execution::run(app, sender, prepared).await;
    let mut answer = match answer {
        Answer::Replayed(body) => reply.replay(body),
        Answer::Fresh(response) => {
            let outcome = if is_executed(&response) { Outcome::Executed } else { Outcome::Refused };
            reply.answer(response, outcome)
        }
    };
    for line in change.iter().flat_map(cookies::write) {
        answer.headers_mut().append(header::SET_COOKIE, line);
    }
    // Responses are private to the caller.
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
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

/// How the response to a client is written.
struct Reply {
    media_type: &'static str,
    request_id: String,
    max_errors: usize,
    answer_bytes: usize,
}

impl Reply {
    fn new(headers: &HeaderMap, origin: &Origin, limits: &Limits) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let media_type = if accept.contains(GRAPHQL_RESPONSE) { GRAPHQL_RESPONSE } else { "application/json" };
        Self {
            media_type,
            request_id: origin.request_id.to_string(),
            max_errors: limits.errors,
            answer_bytes: limits.answer_bytes,
        }
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        let error = error_with_code("BAD_USER_INPUT", &shorten(message));
        self.answer(GraphQLResponse::from_errors(vec![error]), Outcome::Unreadable(status))
    }

    fn answer(&self, mut response: GraphQLResponse, outcome: Outcome) -> Response {
        polish(&mut response, &self.request_id, self.max_errors);
        if !matches!(outcome, Outcome::Executed) {
            cut(&mut response);
        }
        let status = match outcome {
            Outcome::Executed => StatusCode::OK,
            Outcome::Refused if self.media_type == GRAPHQL_RESPONSE => StatusCode::BAD_REQUEST,
            // The older media type requires 200 for everything that reached GraphQL, and its clients rely on that.
            Outcome::Refused => StatusCode::OK,
            Outcome::Unreadable(status) => status,
        };
        let retry_after = response.errors.iter().find_map(|it| match it.extensions.as_ref()?.get("retryAfter") {
            Some(Value::Number(seconds)) => seconds.as_i64(),
            _ => None,
        });
        let body = write(&response, matches!(outcome, Outcome::Executed), self.answer_bytes).unwrap_or_else(|| {
            let mut instead = GraphQLResponse::from_errors(vec![too_long(self.answer_bytes)]);
            polish(&mut instead, &self.request_id, 1);
            write(&instead, false, usize::MAX).unwrap_or_default()
        });
        let headers = [(header::CONTENT_TYPE, self.media_type.to_owned()), (REQUEST_ID, self.request_id.clone())];
        let mut answer = (status, headers, body).into_response();
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }

    /// The response to the first request with the same key.
    fn replay(&self, body: String) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.media_type.to_owned()),
            (REQUEST_ID, self.request_id.clone()),
            (REPLAYED, "true".to_owned()),
        ];
        (StatusCode::OK, headers, body).into_response()
    }
}

/// How far a request got.
#[derive(Clone, Copy)]
enum Outcome {
    /// It is not a GraphQL request.
    Unreadable(StatusCode),
    /// Its document or variables were refused; nothing was executed.
    Refused,
    /// Its fields were resolved.
    Executed,
}
