//! Calendar feeds under secret URLs.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{App, app::RequestOrigin};
use crate::base::cpu;
use crate::{
    core::identity::Actor,
    db::{Access, DbError, Scope},
    features::calendars,
    graphql::{ApiError, MUTATION_COST},
};

/// `GET /calendars/{token}.ics`. The response is the same for every kind of invalid token.
pub(super) async fn feed(
    State(app): State<App>,
    RequestOrigin(origin): RequestOrigin,
    Path(name): Path<String>,
    asked: HeaderMap,
) -> Response {
    let none = || (StatusCode::NOT_FOUND, "There is no such calendar.\n").into_response();
    let token = name.strip_suffix(".ics").unwrap_or_default();
    let Some(tenant) = calendars::tenant_of(token) else { return none() };
    // Charged to the network address: the token is the only proof of identity, so no user can be charged.
    let charged = app.services.rates.charge(&Actor::Anonymous, origin.address.as_deref(), MUTATION_COST).await;
    if let Err(ApiError::Refused { retry_after, .. }) = charged.map_err(ApiError::from) {
        let wait = [(header::RETRY_AFTER, HeaderValue::from(retry_after.unwrap_or(1)))];
        return (StatusCode::TOO_MANY_REQUESTS, wait, "Too many requests. Try again later.\n").into_response();
    }
    let tx = app.services.gate.tenant(Scope::authenticator(tenant), Access::Read);
    let found = calendars::feed(&tx, token, app.services.clock.now()).await;
    tx.end_read();
    drop(tx);
    let found = match found {
        Ok(Some(feed)) => {
            let written = cpu::run(tenant, move || {
                let file = feed.write();
                let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, file.as_bytes())));
                (file, tag, feed.changed_at())
            });
            written.await.map(Some).map_err(|busy| DbError::Unavailable(busy.to_string()))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match found {
        Ok(Some((file, tag, changed_at))) => {
            let changed_at = changed_at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let kept = [
                (header::CACHE_CONTROL, "private, max-age=300".to_owned()),
                (header::ETAG, tag.clone()),
                (header::LAST_MODIFIED, changed_at),
            ];
            if is_known(&asked, &tag) {
                return (StatusCode::NOT_MODIFIED, kept).into_response();
            }
            let headers = [
                (header::CONTENT_TYPE, "text/calendar; charset=utf-8"),
                (header::CONTENT_DISPOSITION, "inline; filename=\"bookings.ics\""),
            ];
            (kept, headers, file).into_response()
        }
        Ok(None) | Err(DbError::TenantNotHere) => none(),
        Err(error) => {
            tracing::error!(%error, "a calendar feed could not be read");
            (StatusCode::SERVICE_UNAVAILABLE, "The service is busy. Try again shortly.\n").into_response()
        }
    }
}

/// Whether the client has this version already (RFC 9110, section 13.1.2). A comparison of times is left out: a booking
/// that leaves the feed makes it no newer.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|it| it.to_str().ok());
    known.flat_map(|it| it.split(',')).any(|it| {
        let it = it.trim();
        it == "*" || it.strip_prefix("W/").unwrap_or(it) == tag
    })
}
