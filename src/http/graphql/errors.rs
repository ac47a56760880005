//! Errors as clients read them: each with a code of the closed list, and short whatever was sent.

use std::collections::BTreeMap;

use async_graphql::{ErrorExtensionValues, PathSegment, Response, ServerError, Value};
use serde::Serialize;

use crate::graphql::{Code, INTERNAL_MESSAGE};

/// What a refused request may be told at most, in characters: an answer never echoes a large document.
const MAX_MESSAGE: usize = 400;
/// Longest path of an argument or variable that is told, in characters.
const MAX_FIELD: usize = 200;
/// Most places in the document that an error tells of.
const MAX_LOCATIONS: usize = 10;
/// Most bytes of the errors of a document that was refused, whatever was sent.
const MAX_REFUSAL_BYTES: usize = 3_000;

/// Whether any field was asked, as against a document that validation refused.
pub(super) fn is_executed(response: &Response) -> bool {
    !(response.data == Value::Null && response.errors.iter().all(|it| it.path.is_empty()))
}

/// Takes away the errors of a refused document that are too much to say.
pub(super) fn cut(response: &mut Response) {
    let (mut bytes, mut is_first) = (0, true);
    response.errors.retain(|it| {
        bytes += serde_json::to_vec(it).map_or(usize::MAX / 2, |it| it.len());
        // What every error holds is short, so that the first one fits.
        std::mem::take(&mut is_first) || bytes <= MAX_REFUSAL_BYTES
    });
}

/// The code of the first error, or `OK`.
pub(super) fn first_code(response: &Response) -> &str {
    response.errors.first().map_or("OK", |it| code_of(it).unwrap_or("INTERNAL"))
}

/// Gives every error its code and the request's id, and takes away those that are too many.
pub(super) fn polish(response: &mut Response, request_id: &str, max_errors: usize) {
    response.errors.truncate(max_errors);
    for error in &mut response.errors {
        error.locations.truncate(MAX_LOCATIONS);
        classify(error);
        error.extensions.get_or_insert_default().set("requestId", request_id);
    }
}

/// The response as it is sent; `None` when it has more bytes than an answer may have.
pub fn write(response: &Response, with_data: bool, most: usize) -> Option<Vec<u8>> {
    let (errors, extensions) = (&response.errors, &response.extensions);
    let mut bytes = Vec::with_capacity(USUAL_BYTES.min(most));
    let body = Body { data: with_data.then_some(&response.data), errors, extensions };
    serde_json::to_writer(Bounded { bytes: &mut bytes, most }, &body).ok()?;
    Some(bytes)
}

/// In place of an answer that would be too long.
pub(super) fn too_long(most: usize) -> ServerError {
    error_with_code("BAD_USER_INPUT", &format!("The answer would have more than {most} bytes: ask for less."))
}

/// What most answers have room in.
const USUAL_BYTES: usize = 1_024;

/// Takes so many bytes and no more.
struct Bounded<'a> {
    bytes: &'a mut Vec<u8>,
    most: usize,
}

// An answer is written in hundreds of small pieces, most of them of one byte.
impl std::io::Write for Bounded<'_> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(std::io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    // The usual one is a loop.
    #[inline(always)]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A response as it is written: without `data` where nothing was executed (GraphQL specification, section 7.1).
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[ServerError]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

/// The code of an error, if it has one by now.
pub(super) fn code_of(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code") {
        Some(Value::String(code)) => Some(code),
        _ => None,
    }
}

/// Gives every error a code of the closed list. Those without one are async-graphql's own: of validation, or of an input
/// that does not fit its type. Anything else is not for clients to read.
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
        // The message quotes what was sent, which may be a password.
        error.message = "A value does not fit its type.".to_owned();
        "BAD_USER_INPUT"
    } else if error.path.is_empty() {
        "GRAPHQL_VALIDATION_FAILED"
    } else {
        // Its text may quote what was sent, so it is not logged.
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

/// An error with a code, of nobody's field.
pub(super) fn error_with_code(code: &str, message: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    error.extensions = Some(extensions);
    error
}

/// A variable or argument that no field could make sense of.
pub(super) fn bad_variable(field: String, message: &str) -> ServerError {
    let field: String = field.chars().take(MAX_FIELD).collect();
    let mut error = error_with_code("BAD_USER_INPUT", &format!("{field}: {message}"));
    error.extensions.get_or_insert_default().set("field", field);
    error
}

/// All that is told of a fault of ours.
pub(super) fn internal() -> ServerError {
    error_with_code(Code::Internal.as_str(), INTERNAL_MESSAGE)
}

/// The message, or its beginning.
pub(super) fn shorten(message: &str) -> String {
    if message.chars().count() <= MAX_MESSAGE {
        return message.to_owned();
    }
    message.chars().take(MAX_MESSAGE).chain("…".chars()).collect()
}
