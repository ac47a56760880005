//! What a client has asked for.

use async_graphql::Variables;
use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;

/// What a client asks for, over HTTP or a WebSocket.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphqlRequest {
    /// The document itself.
    pub query: Option<String>,
    /// Its name in the manifest of trusted documents.
    pub document_id: Option<String>,
    /// Which of its operations.
    pub operation_name: Option<String>,
    /// Values for it.
    pub variables: Option<Variables>,
    /// Such as `persistedQuery`.
    pub extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

impl GraphqlRequest {
    /// Whether it says in any way which document is meant.
    pub fn names_a_document(&self) -> bool {
        let has_text = self.query.as_ref().is_some_and(|it| !it.trim().is_empty());
        has_text
            || self.document_id.is_some()
            || self.extensions.as_ref().is_some_and(|it| it.contains_key("persistedQuery"))
    }
}

/// The headers that say which trace a request is a part of (W3C Trace Context).
pub(super) fn trace_of(headers: &HeaderMap) -> HeaderMap {
    let names = ["traceparent", "tracestate"];
    names.into_iter().filter_map(|it| Some((HeaderName::from_static(it), headers.get(it)?.clone()))).collect()
}
