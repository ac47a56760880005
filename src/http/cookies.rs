//! Cookie mode, for browsers: the tokens of a session are in cookies that no script can read, instead of in the response.
//!
//! A request is in cookie mode when it sends the header `Tenantry-Session: cookie`. Only then are its cookies used. A
//! page of another site cannot send that header without a CORS preflight, so it cannot act on behalf of its visitors.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{core::identity::Actor, features::auth::SessionCookies};

/// The header that puts a request in cookie mode.
const MODE: HeaderName = HeaderName::from_static("tenantry-session");
/// The prefix binds the cookie to this host, to https and to every path (RFC 6265bis, section 4.1.3.2).
const ACCESS: &str = "__Host-tenantry_access";
const REFRESH: &str = "__Host-tenantry_refresh";

/// The tokens of a request in cookie mode.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestCookies {
    /// The access token of the caller.
    pub access: Option<String>,
    /// The refresh token, for `refreshSession`.
    pub refresh: Option<String>,
}

/// The tokens in the cookies of a request; `None` when it is not in cookie mode.
pub(super) fn read(headers: &HeaderMap) -> Option<RequestCookies> {
    let wanted = headers.get(MODE).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"cookie"));
    if !wanted {
        return None;
    }
    Some(all(headers))
}

/// The access token in the cookie, whether or not the request is in cookie mode.
pub(super) fn access(headers: &HeaderMap) -> Option<String> {
    all(headers).access
}

fn all(headers: &HeaderMap) -> RequestCookies {
    let (mut accesses, mut refreshes) = (Vec::new(), Vec::new());
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    for (name, value) in lines.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('=')) {
        match name {
            ACCESS => accesses.push(value),
            REFRESH => refreshes.push(value),
            _ => {}
        }
    }
    RequestCookies { access: only(&accesses), refresh: only(&refreshes) }
}

/// The header that names the tenant a request is meant for, by its id. All tabs of a browser share their cookies: after a sign-in to
/// another tenant in one tab, requests of the others would reach that tenant.
const TENANT: HeaderName = HeaderName::from_static("tenantry-tenant");

/// Why a request is refused for its tenant; `None` when it may go on. A named tenant must be that of the session. A mutation in
/// cookie mode that acts in a session must name one.
pub(super) fn tenant_mismatch(headers: &HeaderMap, actor: &Actor, must_name: bool) -> Option<&'static str> {
    let Actor::Person(viewer) = actor else { return None };
    match headers.get(TENANT) {
        Some(named) if named.as_bytes() == viewer.tenant.to_string().as_bytes() => None,
        Some(_) => Some("You are signed in to another tenant in this browser. Reload the page."),
        None if must_name && read(headers).is_some() && !headers.contains_key(header::AUTHORIZATION) => {
            Some("Name the tenant's id in the header Tenantry-Tenant: a mutation with cookies requires it.")
        }
        None => None,
    }
}

/// A cookie that came once. A browser has one `__Host-` cookie of a name, so of two values at least one is somebody else's, and
/// which is not told.
fn only(values: &[&str]) -> Option<String> {
    let (first, rest) = values.split_first()?;
    rest.iter().all(|it| it == first).then(|| (*first).to_owned())
}

/// The headers that set or clear a session's cookies.
pub(super) fn write(change: &SessionCookies) -> Vec<HeaderValue> {
    let line = |name: &str, value: &str, seconds: i64| {
        let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}", seconds.max(0));
        HeaderValue::from_str(&text).ok()
    };
    let lines = match change {
        SessionCookies::Set { access, access_seconds, refresh, refresh_seconds } => {
            [line(ACCESS, access, *access_seconds), line(REFRESH, refresh, *refresh_seconds)]
        }
        SessionCookies::Clear => [line(ACCESS, "", 0), line(REFRESH, "", 0)],
    };
    lines.into_iter().flatten().collect()
}
