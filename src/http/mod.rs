//! The floor of HTTP: routes, limits, and GraphQL over them.

mod calendars;
mod cookies;
mod export;
mod graphql;
mod origins;
mod pages;
mod payments;
mod proxies;
mod readiness;
mod server;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, State},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::sync::watch;
use tower_http::{set_header::SetResponseHeaderLayer, timeout::RequestBodyTimeoutLayer};

pub use self::{
    graphql::{Documents, ManifestError, SocketSettings, Sockets, write_response},
    origins::Origins,
    proxies::Proxies,
    readiness::Readiness,
    server::{Patience, serve},
};
pub(crate) use server::ConnectionPlace;

use crate::{
    api::{ApiSchema, Services},
    core::{identity::Origin, telemetry},
    features::auth::Tokens,
    graphql::{Limits, Reader},
};

/// The header in which a response names its request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest `User-Agent` that is kept, in characters.
const MAX_USER_AGENT: usize = 300;

/// What handlers share.
#[derive(Clone)]
pub struct App(Arc<AppParts>);

/// The parts of an [`App`].
pub struct AppParts {
    /// The executable schema.
    pub schema: ApiSchema,
    /// What requests share.
    pub services: Services,
    /// Verifies access tokens.
    pub tokens: Arc<Tokens>,
    /// How long a request may take altogether.
    pub deadline: Duration,
    /// How large a request may be.
    pub limits: Limits,
    /// How long a body may pause.
    pub body_patience: Duration,
    /// Whether `/metrics` is here, and not on a port of its own.
    pub shows_metrics: bool,
    /// Which documents may run.
    pub documents: Documents,
    /// Reads them.
    pub reader: Reader,
    /// Who has a socket open.
    pub sockets: Arc<Sockets>,
    /// Other sites whose pages may talk to the API.
    pub origins: Origins,
    /// Whose word on a client's address counts.
    pub proxies: Proxies,
    /// Whether requests can be served.
    pub readiness: Arc<Readiness>,
    /// Told when the server stops.
    pub stopping: watch::Receiver<Option<String>>,
}

/// How long a body may pause, unless said.
pub const BODY_PATIENCE: Duration = Duration::from_secs(10);

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

/// The whole server, without a socket: tests call it directly.
pub fn router(parts: AppParts) -> Router {
    let shows_metrics = parts.shows_metrics;
    let header = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    let cors = parts.origins.layer();
    let api = Router::new()
        .route("/graphql", get(graphql::get).post(graphql::post))
        .route("/audit-events.csv", get(export::csv))
        .route("/audit-events.jsonl", get(export::json_lines))
        .layer(cors);
    Router::new()
        .merge(api)
        .route("/calendars/{name}", get(calendars::feed))
        .route("/webhooks/stripe", post(payments::stripe))
        .route("/invoices/{name}", get(payments::invoice))
        .route("/payments/{tenant}/card", get(payments::card).post(payments::change_card))
        .route("/payments/{tenant}/{checkout}", get(payments::checkout).post(payments::choose))
        .route("/account", get(pages::account))
        .route("/graphiql", get(pages::explorer))
        .route("/", get(pages::root))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/.well-known/jwks.json", get(jwks))
        .merge(if shows_metrics { Router::new().route("/metrics", get(metrics)) } else { Router::new() })
        // As one layer: the router boxes what each of its layers makes of a request.
        .layer((
            header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            header(header::REFERRER_POLICY, "no-referrer"),
            header(header::X_FRAME_OPTIONS, "DENY"),
            DefaultBodyLimit::max(parts.limits.body_bytes),
            RequestBodyTimeoutLayer::new(parts.body_patience),
        ))
        .with_state(App(Arc::new(parts)))
}

/// What was counted, for Prometheus.
async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let gate = &app.services.gate;
    let text = telemetry::render_metrics(gate.stats(), gate.pools());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// Only `/metrics`, for a port of its own.
pub fn metrics_router(gate: crate::db::Gate) -> Router {
    let answer = move || async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::render_metrics(gate.stats(), gate.pools()))
    };
    Router::new().route("/metrics", get(answer))
}

/// The process lives.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Requests can be served: the server is not about to stop, the database answers, is up to date, and protects the tenants.
async fn readyz(State(app): State<App>) -> Response {
    match app.readiness.check(&app.services.gate).await {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// The public keys of the access tokens (RFC 7517).
async fn jwks(State(app): State<App>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(app.tokens.jwks().clone()))
}

/// Names a request and notes where it came from.
struct RequestOrigin(Origin);

impl FromRequestParts<App> for RequestOrigin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
        let address = peer.map(|peer| app.proxies.client(peer, &parts.headers).to_string());
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
        Ok(Self(Origin {
            request_id: uuid::Uuid::now_v7(),
            address,
            user_agent: user_agent.map(|it| it.chars().take(MAX_USER_AGENT).collect()),
            impersonator: None,
        }))
    }
}
