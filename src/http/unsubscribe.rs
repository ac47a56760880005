//! Links in reminders that stop them: a page for people, and one POST for mail programs (RFC 8058).

use axum::{
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{App, app::RequestOrigin};
use crate::{
    core::identity::Actor,
    db::{Access, DbError, Scope},
    features::notices,
    graphql::{ApiError, MUTATION_COST},
};

/// Nothing of the page runs, and its form leads to this server only.
const POLICY: &str = "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn page(status: StatusCode, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Reminders</title></head>\n<body>{body}</body>\n</html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, html).into_response()
}

fn unknown() -> Response {
    page(StatusCode::NOT_FOUND, "<p>There is no such link.</p>")
}

/// `GET /unsubscribe/{token}`: asks, because programs that check links open them too. It is the same for every token.
pub(super) async fn ask() -> Response {
    page(
        StatusCode::OK,
        "<h1>Reminders</h1><p>Stop reminders of your bookings by email? Other emails about bookings continue.</p>\
         <form method=\"post\"><button>Stop reminders</button></form>",
    )
}

/// `POST /unsubscribe/{token}`: stops the reminders.
pub(super) async fn stop(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    Path(token): Path<String>,
) -> Response {
    let Some(tenant) = notices::tenant_of(&token) else { return unknown() };
    // Charged to the network address: the token is the only proof of identity, so no user can be charged.
    let charged = app.services.rates.charge(&Actor::Anonymous, origin.address.as_deref(), MUTATION_COST).await;
    if let Err(ApiError::Refused { retry_after, .. }) = charged.map_err(ApiError::from) {
        let wait = [(header::RETRY_AFTER, HeaderValue::from(retry_after.unwrap_or(1)))];
        return (StatusCode::TOO_MANY_REQUESTS, wait, "Too many requests. Try again later.\n").into_response();
    }
    let tx = app.services.gate.tenant(Scope::authenticator(tenant), Access::Write);
    let stopped = async {
        let stopped = notices::stop_reminders(&tx, &token, &origin, app.services.clock.now()).await?;
        tx.commit().await?;
        Ok::<bool, DbError>(stopped)
    };
    match stopped.await {
        Ok(true) => page(StatusCode::OK, "<p>You will no longer receive reminders by email.</p>"),
        Ok(false) | Err(DbError::TenantNotHere) => unknown(),
        Err(error) => {
            tracing::error!(%error, "reminders could not be stopped");
            page(StatusCode::SERVICE_UNAVAILABLE, "<p>The service is busy. Try again shortly.</p>")
        }
    }
}
