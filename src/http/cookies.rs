//! Cookie mode, for browsers: the tokens of a session in cookies that no script can read, instead of in the answer.
//!
//! A request is in cookie mode when it says so in the header `Tenantry-Session: cookie`. Only then do its cookies count: a
//! page of another site cannot send that header without being asked first, so it cannot act in its visitors' name.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::features::auth::SessionCookies;

/// The header by which a request says that it is in cookie mode.
const MODE: HeaderName = HeaderName::from_static("tenantry-session");
/// Bound to this host, to https and to every path (RFC 6265bis, section 4.1.3.2).
const ACCESS: &str = "__Host-tenantry_access";
const REFRESH: &str = "__Host-tenantry_refresh";

/// The tokens that a request in cookie mode brought.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestCookies {
    /// For the caller.
    pub access: Option<String>,
    /// For `refreshSession`.
    pub refresh: Option<String>,
}

/// What a request brought in its cookies; `None` when it is not in cookie mode.
pub(super) fn read(headers: &HeaderMap) -> Option<RequestCookies> {
    let wanted = headers.get(MODE).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"cookie"));
    if !wanted {
        return None;
    }
    Some(all(headers))
}

/// The access token of the cookie, whether the request is in cookie mode or not.
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

/// A cookie that came once. A browser has one `__Host-` cookie of a name, so of two values at least one is somebody else's, and
/// which is not told.
fn only(values: &[&str]) -> Option<String> {
    let (first, rest) = values.split_first()?;
    rest.iter().all(|it| it == first).then(|| (*first).to_owned())
}

/// The headers that set, or take away, a session's cookies.
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
