//! The pages that people open in a browser.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    http::header,
    response::{IntoResponse, Redirect},
};
use base64::{Engine, engine::general_purpose::STANDARD};

/// GraphiQL, or the explorer that needs no build: the one that `build.rs` found.
static EXPLORER: &str = include_str!(env!("TENANTRY_EXPLORER_PAGE"));

/// The target of links in emails: a plain page for each purpose of a token.
static ACCOUNT: &str = include_str!("../../web/pages/account.html");

/// Only the page's own script and style run, and they may contact only this server.
static EXPLORER_POLICY: LazyLock<String> = LazyLock::new(|| policy(EXPLORER));
static ACCOUNT_POLICY: LazyLock<String> = LazyLock::new(|| policy(ACCOUNT));

fn policy(page: &str) -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; font-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source_hash(page, "script"),
        source_hash(page, "style")
    )
}

/// `GET /graphiql`.
pub(super) async fn explorer() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, EXPLORER_POLICY.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        EXPLORER,
    )
}

/// `GET /account`. The token is behind the `#`, which no browser sends to a server.
pub(super) async fn account() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, ACCOUNT_POLICY.as_str()),
            (header::CACHE_CONTROL, "no-store"),
        ],
        ACCOUNT,
    )
}

/// `GET /`: redirects to the API explorer, the only page.
pub(super) async fn root() -> Redirect {
    Redirect::temporary("/graphiql")
}

/// The hash source of the first inline element of this name (CSP level 3, section 2.3.1).
fn source_hash(page: &str, element: &str) -> String {
    let inline = page
        .split_once(&format!("<{element}"))
        .and_then(|(_, rest)| rest.split_once('>'))
        .and_then(|(_, rest)| rest.split_once(&format!("</{element}>")))
        .map_or("", |(text, _)| text);
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, inline.as_bytes())))
}
