//! The origins whose pages may call the API from a browser.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may cache a preflight response.
const MAX_AGE: Duration = Duration::from_secs(600);
/// Request headers that a page may send.
const ASKED: [&str; 7] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "tenantry-session",
    "tenantry-tenant",
    "traceparent",
    "tracestate",
];
/// Response headers that a page may read.
const ANSWERED: [&str; 3] = ["x-request-id", "retry-after", "idempotency-replayed"];

/// Trusted origins of other sites, such as `https://app.example.com`.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<HeaderValue>);

impl Origins {
    /// Parses a comma-separated list. `*` is not accepted: every origin is named.
    ///
    /// # Errors
    /// The part that is not an origin.
    pub fn try_new(list: &str) -> Result<Self, String> {
        let parts = list.split(',').map(str::trim).filter(|it| !it.is_empty());
        let read = |part: &str| {
            let is_origin = part.split_once("://").is_some_and(|(scheme, rest)| {
                matches!(scheme, "http" | "https") && !rest.is_empty() && !rest.contains(['/', '*', '@', '?', '#', ' '])
            });
            HeaderValue::from_str(part).ok().filter(|_| is_origin).ok_or_else(|| part.to_owned())
        };
        parts.map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The layer that tells browsers about the origins (the CORS protocol of the Fetch standard).
    pub fn layer(&self) -> CorsLayer {
        let names = |names: &[&'static str]| names.iter().map(|it| HeaderName::from_static(it)).collect::<Vec<_>>();
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(self.0.clone()))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(names(&ASKED))
            .expose_headers(names(&ANSWERED))
            .allow_credentials(true)
            .max_age(MAX_AGE)
    }

    /// Whether there are no origins.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a socket may be opened: by a client that is not a browser, by a page of this server, or by a page of a
/// trusted origin. Browsers let any page open a socket, and only report its origin.
pub(super) fn is_own_or_allowed(headers: &HeaderMap, allowed: &Origins) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    // What a proxy says of the browser's side. Where it is encrypted, a page without encryption is another site, which anybody
    // on the way to it can write.
    let proto = headers.get("x-forwarded-proto").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let is_encrypted = proto.split(',').any(|it| it.trim().eq_ignore_ascii_case("https"));
    let is_own = origin.to_str().ok().and_then(|it| it.split_once("://")).zip(host).is_some_and(
        |((scheme, authority), host)| {
            let scheme_fits = scheme == "https" || scheme == "http" && !is_encrypted;
            scheme_fits && authority.eq_ignore_ascii_case(host)
        },
    );
    is_own || allowed.0.contains(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_named_whole() {
        assert!(Origins::try_new("https://app.example.com, http://localhost:3000").is_ok());
        for bad in ["*", "app.example.com", "https://app.example.com/", "https://*.example.com", "ftp://x", "null"] {
            assert_eq!(Origins::try_new(bad).unwrap_err(), bad);
        }
    }

    #[test]
    fn a_socket_is_for_pages_of_ours() {
        let allowed = Origins::try_new("https://app.example.com").unwrap();
        let may = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("api.example.com:8443"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            is_own_or_allowed(&headers, &allowed)
        };
        assert!(may(None) && may(Some("https://api.example.com:8443")) && may(Some("https://app.example.com")));
        let behind_tls = |origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("api.example.com"));
            headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            is_own_or_allowed(&headers, &allowed)
        };
        assert!(behind_tls("https://api.example.com") && !behind_tls("http://api.example.com"));
        for foreign in ["null", "https://evil.example", "https://api.example.com", "https://app.example.com.evil", ""] {
            assert!(!may(Some(foreign)), "{foreign}");
        }
    }
}
