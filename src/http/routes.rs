//! The routes, and the layers in front of them.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::{set_header::SetResponseHeaderLayer, timeout::RequestBodyTimeoutLayer};

use super::{
    app::{App, AppParts},
    calendars, export, graphql, pages, payments, unsubscribe,
};
use crate::{base::shares::Shares, core::telemetry, graphql::Limits};

/// Default for how long a request body may pause.
pub const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Bodies that one address may have under way at once, and all addresses: of the largest that are allowed.
const BODIES_OF_ADDRESS: usize = 16;
const BODIES_OF_ALL: usize = 128;

/// How much memory bodies may take while they are being read, for each client address and for all.
pub fn body_shares(limits: &Limits) -> Shares {
    Shares::new(limits.body_bytes * BODIES_OF_ADDRESS, limits.body_bytes * BODIES_OF_ALL)
}

/// The whole server, without a listening socket: tests call it directly.
pub fn router(parts: AppParts) -> Router {
    let shows_metrics = parts.shows_metrics;
    let header = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    let cors = parts.origins.layer();
    let hsts = Some(parts.hsts).filter(|it| *it > 0);
    let hsts = hsts.and_then(|it| HeaderValue::from_str(&format!("max-age={it}")).ok());
    let api = Router::new()
        .route("/graphql", get(graphql::get).post(graphql::post))
        .route("/audit-events.csv", get(export::csv))
        .route("/audit-events.jsonl", get(export::json_lines))
        .layer(cors);
    Router::new()
        .merge(api)
        .route("/calendars/{name}", get(calendars::feed))
        .route("/unsubscribe/{token}", get(unsubscribe::ask).post(unsubscribe::stop))
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
        // As one layer: the router boxes the future of each of its layers.
        .layer((
            header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            header(header::REFERRER_POLICY, "no-referrer"),
            header(header::X_FRAME_OPTIONS, "DENY"),
            SetResponseHeaderLayer::if_not_present(header::STRICT_TRANSPORT_SECURITY, hsts),
            DefaultBodyLimit::max(parts.limits.body_bytes),
            RequestBodyTimeoutLayer::new(parts.body_patience),
        ))
        .with_state(App(Arc::new(parts)))
}

/// Metrics for Prometheus.
async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let gate = &app.services.gate;
    let text = telemetry::render_metrics(gate.stats(), gate.pools());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// A router with only `/metrics`, for a separate port.
pub fn metrics_router(gate: crate::db::Gate) -> Router {
    let answer = move || async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::render_metrics(gate.stats(), gate.pools()))
    };
    Router::new().route("/metrics", get(answer))
}

/// The process is alive.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The server can handle requests: it is not about to stop, and the database responds, is up to date, and protects
/// the tenants.
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
