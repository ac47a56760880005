//! One WebSocket with the protocol graphql-transport-ws: subscriptions, queries, and mutations where these are enabled.
//!
//! Each operation has its own task, which waits while the client does not read its messages: nothing is buffered for
//! slow readers, and a client that reads nothing for a while is disconnected.

use std::{collections::HashMap, future::pending, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_graphql::{ServerError, parser::types::OperationType};
use axum::{
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    errors::{cut, error_with_code, internal, is_executed, polish, too_long, write},
    execution::{self, Answer, Prepared, Sender, prepare},
    protocol::{ClientMessage, Close, Parameters, SUBPROTOCOL, ServerMessage},
    request::{GraphqlRequest, trace_of},
    sockets::SocketPlace,
};
use crate::{
    base::ids::uuid_v7,
    core::{
        identity::{Actor, Origin, Viewer},
        telemetry,
    },
    features::auth::{Revocation, Verified},
    graphql::{ApiError, Code, nowhere},
    http::{App, ConnectionPlace, actor::bearer, cookies, origins},
};

/// Maximum number of messages waiting to be sent; beyond that, operations wait.
const WAITING: usize = 16;
/// Maximum duration of the closing handshake.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// How long a last event may be sent after a change of role.
const LAST_EVENT: Duration = Duration::from_millis(200);
/// Error codes that may mean that the session has ended.
const DOUBTFUL: [&str; 2] = ["UNAUTHENTICATED", "FORBIDDEN"];
/// How long an operation with such an error waits for the socket to be closed.
const DOUBT: Duration = Duration::from_secs(2);

/// Opens a socket, unless a page of another site requests it.
pub(super) fn open(
    app: App,
    origin: Origin,
    place: ConnectionPlace,
    headers: &HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !origins::is_own_or_allowed(headers, &app.origins) {
        return (StatusCode::FORBIDDEN, "This origin is not allowed to open a socket.\n").into_response();
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|it| it.to_str().ok());
    let speaks = offered.flat_map(|it| it.split(',')).any(|it| it.trim() == SUBPROTOCOL);
    let most = app.sockets.settings.message_bytes;
    let (stopping, tasks) = (app.stopping.clone(), app.sockets.tasks.clone());
    let brought = Handshake {
        header: headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok()).map(str::to_owned),
        // A browser sends the cookie for any page's socket; the origin was already checked above.
        cookie: headers.contains_key(header::ORIGIN).then(|| cookies::access(headers)).flatten(),
    };
    let connection = Connection { app, origin, trace: trace_of(headers), brought, stopping };
    upgrade.protocols([SUBPROTOCOL]).max_message_size(most).max_frame_size(most).on_upgrade(move |mut socket| {
        tasks.track_future(async move {
            let _place = place;
            let close = match speaks {
                true => connection.serve(&mut socket).await,
                false => Close::WrongProtocol,
            };
            telemetry::count_socket_closed(close.code());
            end(&mut socket, &close).await;
        })
    })
}

/// Sends the close reason, and gives the client a moment to respond.
async fn end(socket: &mut WebSocket, close: &Close) {
    let goodbye = async {
        // A close by the client is answered by reading on.
        if *close == Close::ByClient || socket.send(close.message()).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = timeout(CLOSE_LIMIT, goodbye).await;
}

/// The credentials of the request that opened a socket.
struct Handshake {
    header: Option<String>,
    cookie: Option<String>,
}

struct Connection {
    app: App,
    origin: Origin,
    trace: HeaderMap,
    brought: Handshake,
    stopping: watch::Receiver<Option<String>>,
}

/// The authenticated user of a socket.
struct Admitted {
    viewer: Viewer,
    impersonator: Option<String>,
    expires: Timestamp,
    /// Whether mutations are refused because the token came in a cookie and the client named no tenant.
    must_name_tenant: bool,
    place: SocketPlace,
    /// Why and when the socket must close, if it must.
    leaves: Option<(Close, Instant)>,
}

/// A running operation.
struct Operation {
    /// Its number: the client can reuse an id.
    number: u64,
    _task: AbortOnDropHandle<()>,
}

enum Event {
    Heard(ClientMessage),
    Nothing,
    Sent(u64, ServerMessage),
    Silence,
}

impl Connection {
    /// Serves the socket until it must close.
    async fn serve(mut self, socket: &mut WebSocket) -> Close {
        match self.admit(socket).await {
            Ok(admitted) => self.converse(socket, admitted).await.unwrap_or_else(|close| close),
            Err(close) => close,
        }
    }

    /// Waits for `connection_init`.
    async fn admit(&mut self, socket: &mut WebSocket) -> Result<Admitted, Close> {
        let deadline = sleep(self.app.sockets.settings.init);
        tokio::pin!(deadline);
        loop {
            let said = tokio::select! {
                biased;
                () = told_to_stop(&mut self.stopping) => return Err(Close::GoingAway),
                () = &mut deadline => return Err(Close::InitTimeout),
                said = hear(socket) => said?,
            };
            match said {
                None | Some(ClientMessage::Pong {} | ClientMessage::Complete { .. }) => {}
                Some(ClientMessage::Ping { .. }) => self.say(socket, ServerMessage::Pong).await?,
                Some(ClientMessage::Subscribe { .. }) => return Err(Close::Unauthorized),
                Some(ClientMessage::ConnectionInit { payload }) => {
                    let admitted = self.let_in(payload.unwrap_or_default())?;
                    self.say(socket, ServerMessage::ConnectionAck).await?;
                    return Ok(admitted);
                }
            }
        }
    }

    fn let_in(&self, parameters: Parameters) -> Result<Admitted, Close> {
        let uses_cookie = parameters.session.as_deref().is_some_and(|it| it.eq_ignore_ascii_case("cookie"));
        let header = parameters.authorization.as_deref().or(self.brought.header.as_deref());
        let token = match header {
            Some(header) => bearer(header),
            None => self.brought.cookie.as_deref().filter(|_| uses_cookie),
        };
        let must_name_tenant = header.is_none() && parameters.tenant.is_none();
        let verified = token.and_then(|it| self.app.tokens.verify(it)).ok_or(Close::Forbidden)?;
        let Verified { actor: Actor::Person(viewer), impersonator, expires } = verified else {
            return Err(Close::Forbidden); // Platform administrators have no subscriptions.
        };
        // All tabs of a browser share their cookies, so a tab that reconnects may find another tenant's session.
        if parameters.tenant.is_some_and(|it| it != viewer.tenant.to_string()) {
            return Err(Close::OtherTenant);
        }
        let place = self.app.sockets.enter(viewer).ok_or(Close::TooMany)?;
        Ok(Admitted { viewer, impersonator, expires, must_name_tenant, place, leaves: None })
    }

    async fn converse(&mut self, socket: &mut WebSocket, mut admitted: Admitted) -> Result<Close, Close> {
        let settings = self.app.sockets.settings.clone();
        let (out, mut outgoing) = mpsc::channel::<(u64, ServerMessage)>(WAITING);
        let mut operations: HashMap<String, Operation> = HashMap::new();
        let slots = Arc::new(Semaphore::new(settings.operations));
        let (mut next_number, mut heard_at) = (0, Instant::now());
        let mut ping = tokio::time::interval_at(Instant::now() + settings.ping_every, settings.ping_every);
        loop {
            let event = tokio::select! {
                biased;
                close = must_end(&mut self.stopping, &mut admitted) => return Err(close),
                sent = outgoing.recv() => sent.map_or(Event::Nothing, |(number, say)| Event::Sent(number, say)),
                said = hear(socket) => {
                    heard_at = Instant::now();
                    said?.map_or(Event::Nothing, Event::Heard)
                }
                _ = ping.tick() => Event::Silence,
            };
            match event {
                Event::Nothing => {}
                Event::Heard(ClientMessage::ConnectionInit { .. }) => return Err(Close::TooManyInits),
                Event::Heard(ClientMessage::Pong {}) => {}
                Event::Heard(ClientMessage::Ping { payload }) => {
                    if let Some(token) = payload.and_then(|it| it.authorization) {
                        self.prolong(&mut admitted, &token)?;
                    }
                    self.say_while(socket, ServerMessage::Pong, &mut admitted).await?;
                }
                Event::Heard(ClientMessage::Subscribe { id, payload }) => {
                    if id.is_empty() {
                        return Err(Close::BadRequest("An operation needs an id".into()));
                    }
                    if operations.contains_key(&id) {
                        return Err(Close::AlreadyExists(id));
                    }
                    // An operation that the client has ended, but that still runs, counts as well.
                    let Ok(slot) = slots.clone().try_acquire_owned() else {
                        let message = format!("A socket can run at most {} operations at once.", settings.operations);
                        let mut refused =
                            async_graphql::Response::from_errors(vec![error_with_code("RATE_LIMITED", &message)]);
                        polish(&mut refused, &uuid_v7(jiff::Timestamp::now()).to_string(), 1);
                        self.say_while(socket, refusal(id, refused.errors), &mut admitted).await?;
                        continue;
                    };
                    next_number += 1;
                    let task = self.operation(next_number, id.clone(), payload, &admitted, (out.clone(), slot));
                    let task = AbortOnDropHandle::new(tokio::spawn(task));
                    operations.insert(id, Operation { number: next_number, _task: task });
                }
                Event::Heard(ClientMessage::Complete { id }) => drop(operations.remove(&id)),
                Event::Sent(number, say) => {
                    let id = say.id().unwrap_or_default();
                    if operations.get(id).is_none_or(|it| it.number != number) {
                        continue; // The client has ended this operation.
                    }
                    if say.is_last() {
                        operations.remove(id);
                    }
                    self.say_while(socket, say, &mut admitted).await?;
                }
                Event::Silence if heard_at.elapsed() > settings.ping_every * 3 => return Err(Close::TooSlow),
                Event::Silence => self.send_while(socket, Message::Ping(Default::default()), &mut admitted).await?,
            }
        }
    }

    /// A fresh token of the same session extends the socket's life.
    fn prolong(&self, admitted: &mut Admitted, header: &str) -> Result<(), Close> {
        let verified = bearer(header).and_then(|it| self.app.tokens.verify(it)).ok_or(Close::Forbidden)?;
        if verified.actor != Actor::Person(admitted.viewer) || verified.impersonator != admitted.impersonator {
            return Err(Close::Forbidden);
        }
        admitted.expires = admitted.expires.max(verified.expires);
        Ok(())
    }

    async fn say(&self, socket: &mut WebSocket, say: ServerMessage) -> Result<(), Close> {
        match timeout(self.app.sockets.settings.send, socket.send(say.message())).await {
            Ok(sent) => sent.map_err(|_| Close::ByClient),
            Err(_) => Err(Close::TooSlow),
        }
    }

    async fn say_while(
        &mut self,
        socket: &mut WebSocket,
        say: ServerMessage,
        admitted: &mut Admitted,
    ) -> Result<(), Close> {
        self.send_while(socket, say.message(), admitted).await
    }

    /// Sends a message. Fails when the client does not read it, or the socket must close.
    async fn send_while(
        &mut self,
        socket: &mut WebSocket,
        message: Message,
        admitted: &mut Admitted,
    ) -> Result<(), Close> {
        let limit = self.app.sockets.settings.send;
        tokio::select! {
            sent = timeout(limit, socket.send(message)) => match sent {
                Ok(sent) => sent.map_err(|_| Close::ByClient),
                Err(_) => Err(Close::TooSlow),
            },
            close = must_end(&mut self.stopping, admitted) => Err(close),
        }
    }

    /// The task of one operation, until its last message.
    fn operation(
        &self,
        number: u64,
        id: String,
        asked: GraphqlRequest,
        admitted: &Admitted,
        (out, slot): (mpsc::Sender<(u64, ServerMessage)>, OwnedSemaphorePermit),
    ) -> impl Future<Output = ()> + Send + 'static {
        let (app, trace) = (self.app.clone(), self.trace.clone());
        let request_id = uuid_v7(jiff::Timestamp::now());
        let origin = Origin { request_id, impersonator: admitted.impersonator.clone(), ..self.origin.clone() };
        let actor = Actor::Person(admitted.viewer);
        let sender = Sender { actor, origin, trace, cookies: None, named: None, deposit: None, slot: Some(slot) };
        let counted = CountedOperation::begin();
        let must_name_tenant = admitted.must_name_tenant;
        async move {
            let _counted = counted;
            let speaker = Speaker {
                number,
                id,
                out,
                request_id: request_id.to_string(),
                max_errors: app.limits.errors,
                answer_bytes: app.limits.answer_bytes,
            };
            let done = AssertUnwindSafe(operate(&app, sender, asked, must_name_tenant, &speaker)).catch_unwind().await;
            if done.is_err() {
                tracing::error!(request.id = %request_id, "a resolver panicked");
                speaker.refuse(vec![internal()]).await;
            }
        }
    }
}

/// Counts a running operation until it is dropped, however it ended.
struct CountedOperation;

impl CountedOperation {
    fn begin() -> Self {
        telemetry::note_operations(1.0);
        Self
    }
}

impl Drop for CountedOperation {
    fn drop(&mut self) {
        telemetry::note_operations(-1.0);
    }
}

async fn operate(app: &App, sender: Sender, asked: GraphqlRequest, must_name_tenant: bool, speaker: &Speaker) {
    let prepared = match prepare(app, &sender.actor, asked) {
        Ok(prepared) => prepared,
        Err(errors) => return speaker.refuse(errors).await,
    };
    match prepared.kind {
        OperationType::Subscription => subscribe(app, sender, prepared, speaker).await,
        OperationType::Mutation if !app.sockets.settings.mutations => {
            let message = "Send mutations by POST. This socket accepts only queries and subscriptions.";
            speaker.refuse(vec![error_with_code("GRAPHQL_VALIDATION_FAILED", message)]).await;
        }
        OperationType::Mutation if must_name_tenant => {
            let message = "Name the tenant's id as Tenantry-Tenant in the connection parameters: a mutation with cookies \
                           requires it.";
            let error = ApiError::refused(Code::TenantMismatch, message);
            speaker.refuse(vec![nowhere(error)]).await;
        }
        OperationType::Query | OperationType::Mutation => {
            if let (Answer::Fresh(response), _) = execution::run(app, sender, prepared).await
                && speaker.tell(response).await
            {
                speaker.complete().await;
            }
        }
    }
}

async fn subscribe(app: &App, sender: Sender, prepared: Prepared, speaker: &Speaker) {
    let mut events = execution::subscribe(app, sender, prepared);
    let span = events.span.clone();
    let mut is_first = true;
    while let Some(response) = events.next().instrument(span.clone()).await {
        let code = execution::code_to_count(&response);
        telemetry::count_event(&code);
        if DOUBTFUL.contains(&code.as_str()) {
            app.sockets.ask_now();
            sleep(DOUBT).await; // If the session has ended, the socket is closed in the meantime, and this task with it.
        }
        if std::mem::take(&mut is_first) && response.data == async_graphql::Value::Null {
            return speaker.refuse(response.errors).await;
        }
        if !speaker.tell(response).await {
            return;
        }
    }
    speaker.complete().await;
}

/// Sends the messages of one operation.
struct Speaker {
    number: u64,
    id: String,
    out: mpsc::Sender<(u64, ServerMessage)>,
    request_id: String,
    max_errors: usize,
    answer_bytes: usize,
}

impl Speaker {
    /// Sends a result; `false` when no further message may follow.
    async fn tell(&self, mut response: async_graphql::Response) -> bool {
        if !is_executed(&response) {
            self.refuse(response.errors).await;
            return false;
        }
        polish(&mut response, &self.request_id, self.max_errors);
        let Some(body) = write(&response, true, self.answer_bytes) else {
            self.refuse(vec![too_long(self.answer_bytes)]).await;
            return false;
        };
        let payload = String::from_utf8(body).ok().and_then(|it| RawValue::from_string(it).ok());
        let Some(payload) = payload else { return false };
        self.out.send((self.number, ServerMessage::Next { id: self.id.clone(), payload })).await.is_ok()
    }

    async fn refuse(&self, errors: Vec<ServerError>) {
        let mut response = async_graphql::Response::from_errors(errors);
        polish(&mut response, &self.request_id, self.max_errors);
        cut(&mut response);
        let _ = self.out.send((self.number, refusal(self.id.clone(), response.errors))).await;
    }

    async fn complete(&self) {
        let _ = self.out.send((self.number, ServerMessage::Complete { id: self.id.clone() })).await;
    }
}

fn refusal(id: String, errors: Vec<ServerError>) -> ServerMessage {
    let payload = to_raw_value(&errors).unwrap_or_else(|_| RawValue::NULL.to_owned());
    ServerMessage::Error { id, payload }
}

/// The next message of the client; `None` for a WebSocket ping or pong.
async fn hear(socket: &mut WebSocket) -> Result<Option<ClientMessage>, Close> {
    match socket.recv().await {
        Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
            Ok(said) => Ok(Some(said)),
            Err(_) => Err(Close::BadRequest("Invalid message".into())),
        },
        Some(Ok(Message::Binary(_))) => Err(Close::BadRequest("Messages must be text".into())),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(Close::ByClient),
        Some(Err(error)) => {
            let is_big = matches!(error.into_inner().downcast_ref(), Some(tungstenite::Error::Capacity(_)));
            Err(if is_big { Close::TooBig } else { Close::ByClient })
        }
    }
}

/// Waits until the server stops, the token expires, or the user's access ends.
async fn must_end(stopping: &mut watch::Receiver<Option<String>>, admitted: &mut Admitted) -> Close {
    let left = admitted.expires.duration_since(Timestamp::now());
    let expiry = Instant::now() + Duration::try_from(left).unwrap_or_default();
    let (place, leaves) = (&mut admitted.place, &mut admitted.leaves);
    let revoked = async {
        if leaves.is_none() {
            let fall = place.revoked.wait_for(Option::is_some).await.ok().and_then(|it| *it);
            let Some(fall) = fall else { return pending().await };
            let grace = if matches!(fall, Revocation::RoleChanged(_)) { LAST_EVENT } else { Duration::ZERO };
            *leaves = Some((fall.into(), Instant::now() + grace));
        }
        let Some((close, at)) = leaves.clone() else { return pending().await };
        sleep_until(at).await;
        close
    };
    tokio::select! {
        () = told_to_stop(stopping) => Close::GoingAway,
        () = sleep_until(expiry) => Close::TokenExpired,
        close = revoked => close,
    }
}

async fn told_to_stop(stopping: &mut watch::Receiver<Option<String>>) {
    if stopping.wait_for(Option::is_some).await.is_err() {
        pending::<()>().await; // The sender is gone, so no stop can be signalled.
    }
}
