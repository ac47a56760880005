//! The GraphQL request of a client.

use async_graphql::Variables;
use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;

/// A GraphQL request, over HTTP or a WebSocket.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphqlRequest {
    /// The document itself.
    pub query: Option<String>,
    /// The id of the document in the manifest of trusted documents.
    pub document_id: Option<String>,
    /// The operation to run.
    pub operation_name: Option<String>,
    /// The variables.
    pub variables: Option<Variables>,
    /// Extensions, such as `persistedQuery`.
    pub extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

impl GraphqlRequest {
    /// Whether the request names a document in any way.
    pub fn names_a_document(&self) -> bool {
        let has_text = self.query.as_ref().is_some_and(|it| !it.trim().is_empty());
        has_text
            || self.document_id.is_some()
            || self.extensions.as_ref().is_some_and(|it| it.contains_key("persistedQuery"))
    }
}

/// The headers with the trace context of a request (W3C Trace Context).
pub(super) fn trace_of(headers: &HeaderMap) -> HeaderMap {
    let names = ["traceparent", "tracestate"];
    names.into_iter().filter_map(|it| Some((HeaderName::from_static(it), headers.get(it)?.clone()))).collect()
}
