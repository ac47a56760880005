//! Identifies the sender of a request, by token or cookie.

use axum::http::{HeaderMap, header};

use super::{App, cookies::RequestCookies};
use crate::core::identity::Actor;

/// The caller, and the impersonating administrator if any: from the header, or from the cookie of a request in cookie
/// mode.
pub(crate) fn actor(app: &App, headers: &HeaderMap, cookies: Option<&RequestCookies>) -> (Actor, Option<String>) {
    let token = match headers.get(header::AUTHORIZATION) {
        Some(header) => match header.to_str().ok().and_then(bearer) {
            Some(token) => token,
            None => return (Actor::Unverified, None),
        },
        None => match cookies.and_then(|it| it.access.as_deref()) {
            Some(token) => token,
            None => return (Actor::Anonymous, None),
        },
    };
    app.tokens.verify(token).map_or((Actor::Unverified, None), |it| (it.actor, it.impersonator))
}

/// The token in the value of an `Authorization` header.
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
