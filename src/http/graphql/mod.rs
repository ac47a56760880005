//! GraphQL over HTTP: POST with JSON, and GET for queries. WebSockets are in [`socket`].
//!
//! This uses its own handler instead of async-graphql's: that one runs mutations sent by GET or by forms, which other
//! sites can send, and forwards raw errors.

mod documents;
mod endpoint;
mod errors;
mod execution;
mod protocol;
mod request;
mod socket;
mod sockets;

pub use documents::{Documents, ManifestError};
pub(super) use endpoint::{get, post};
pub use errors::write as write_response;
pub use sockets::{SocketSettings, Sockets};
