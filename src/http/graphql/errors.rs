//! Errors as clients see them: each has a code of the closed list and a limited length, whatever was sent.

use std::collections::BTreeMap;

use async_graphql::{ErrorExtensionValues, PathSegment, Response, ServerError, Value};
use serde::Serialize;

use crate::graphql::{Code, INTERNAL_MESSAGE};

/// Maximum length of a message about a refused request, in characters: a response never echoes a large document.
const MAX_MESSAGE: usize = 400;
/// Maximum length of the reported path of an argument or variable, in characters.
const MAX_FIELD: usize = 200;
/// Maximum number of locations in an error.
const MAX_LOCATIONS: usize = 10;
/// Maximum total size of the errors of a refused document, in bytes, whatever was sent.
const MAX_REFUSAL_BYTES: usize = 3_000;

/// Whether fields were executed, as opposed to a document that validation refused.
pub(super) fn is_executed(response: &Response) -> bool {
    !(response.data == Value::Null && response.errors.iter().all(|it| it.path.is_empty()))
}

/// Drops errors of a refused document beyond the size limit.
pub(super) fn cut(response: &mut Response) {
    let (mut bytes, mut is_first) = (0, true);
    response.errors.retain(|it| {
        bytes += serde_json::to_vec(it).map_or(usize::MAX / 2, |it| it.len());
        // Each error is short, so the first one always fits.
        std::mem::take(&mut is_first) || bytes <= MAX_REFUSAL_BYTES
    });
}

/// The code of the first error, or `OK`.
pub(super) fn first_code(response: &Response) -> &str {
    response.errors.first().map_or("OK", |it| code_of(it).unwrap_or("INTERNAL"))
}

/// Gives every error its code and the request's id, and drops errors beyond the maximum number.
pub(super) fn polish(response: &mut Response, request_id: &str, max_errors: usize) {
    response.errors.truncate(max_errors);
    for error in &mut response.errors {
        error.locations.truncate(MAX_LOCATIONS);
        classify(error);
        error.extensions.get_or_insert_default().set("requestId", request_id);
    }
}

/// The serialized response; `None` when it exceeds the maximum size.
pub fn write(response: &Response, with_data: bool, most: usize) -> Option<Vec<u8>> {
    let (errors, extensions) = (&response.errors, &response.extensions);
    let mut bytes = Vec::with_capacity(USUAL_BYTES.min(most));
    let body = Body { data: with_data.then_some(&response.data), errors, extensions };
    serde_json::to_writer(Bounded { bytes: &mut bytes, most }, &body).ok()?;
    Some(bytes)
}

/// The error that replaces a response beyond the maximum size.
pub(super) fn too_long(most: usize) -> ServerError {
    error_with_code("BAD_USER_INPUT", &format!("The response would have more than {most} bytes. Request less data."))
}

/// Most responses fit in this many bytes.
const USUAL_BYTES: usize = 1_024;

/// A writer with a maximum number of bytes.
struct Bounded<'a> {
    bytes: &'a mut Vec<u8>,
    most: usize,
}

// A response is written in hundreds of small pieces, most of them a single byte.
impl std::io::Write for Bounded<'_> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(std::io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    // The default implementation is a loop.
    #[inline(always)]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A response as it is serialized: without `data` when nothing was executed (GraphQL specification, section 7.1).
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[ServerError]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

/// The code of an error, if it already has one.
pub(super) fn code_of(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code") {
        Some(Value::String(code)) => Some(code),
        _ => None,
    }
}

/// Gives every error a code of the closed list. Errors without a code come from async-graphql: from validation, or
/// from an input of the wrong type. The text of any other error is not shown to clients.
fn classify(error: &mut ServerError) {
    error.message = shorten(&error.message);
    if code_of(error).is_some() {
        return;
    }
    let about_argument = error.message.starts_with("Invalid value for argument");
    let is_input =
        ["Failed to parse", "Expected input type", "Only integers"].iter().any(|it| error.message.starts_with(it));
    let code = if about_argument {
        "BAD_USER_INPUT"
    } else if is_input {
        // The message quotes the input, which may be a password.
        error.message = "A value does not fit its type.".to_owned();
        "BAD_USER_INPUT"
    } else if error.path.is_empty() {
        "GRAPHQL_VALIDATION_FAILED"
    } else {
        // The text may quote the input, so it is not logged.
        tracing::error!(path = ?error.path, "an error without a code");
        error.message = INTERNAL_MESSAGE.to_owned();
        Code::Internal.as_str()
    };
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("code", code);
    if about_argument && let Some(field) = error.message.split('"').nth(1) {
        extensions.set("field", field);
    } else if is_input {
        let path: Vec<String> = error
            .path
            .iter()
            .map(|it| match it {
                PathSegment::Field(name) => name.clone(),
                PathSegment::Index(at) => at.to_string(),
            })
            .collect();
        extensions.set("field", path.join(".").chars().take(MAX_FIELD).collect::<String>());
    }
}

/// An error with a code, and without a path.
pub(super) fn error_with_code(code: &str, message: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    error.extensions = Some(extensions);
    error
}

/// A variable or argument with an invalid value.
pub(super) fn bad_variable(field: String, message: &str) -> ServerError {
    let field: String = field.chars().take(MAX_FIELD).collect();
    let mut error = error_with_code("BAD_USER_INPUT", &format!("{field}: {message}"));
    error.extensions.get_or_insert_default().set("field", field);
    error
}

/// The error that stands for a server error; it has no details.
pub(super) fn internal() -> ServerError {
    error_with_code(Code::Internal.as_str(), INTERNAL_MESSAGE)
}

/// The message, cut to the maximum length.
pub(super) fn shorten(message: &str) -> String {
    if message.chars().count() <= MAX_MESSAGE {
        return message.to_owned();
    }
    message.chars().take(MAX_MESSAGE).chain("…".chars()).collect()
}
