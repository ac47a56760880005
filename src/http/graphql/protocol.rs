//! The messages of graphql-transport-ws, and the close codes of a socket.
//!
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>

use axum::extract::ws::{CloseFrame, Message};
use serde::{Deserialize, Serialize};

use super::request::GraphqlRequest;
use crate::features::auth::Revocation;

/// The WebSocket subprotocol.
pub(super) const SUBPROTOCOL: &str = "graphql-transport-ws";
/// Maximum length of the reason in a close frame, in bytes (RFC 6455, section 5.5).
const MAX_REASON: usize = 123;

/// A message from the client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ClientMessage {
    /// The first message, with the access token.
    ConnectionInit {
        /// The client's connection parameters.
        #[serde(default)]
        payload: Option<Parameters>,
    },
    /// A keep-alive ping. It may carry a fresh access token.
    Ping {
        /// The connection parameters with the token, if any.
        #[serde(default)]
        payload: Option<Parameters>,
    },
    /// The response to a ping of the server.
    Pong {},
    /// Starts an operation.
    Subscribe {
        /// The id of the operation, which its messages carry.
        id: String,
        /// The operation.
        payload: GraphqlRequest,
    },
    /// Ends an operation.
    Complete {
        /// The id of the operation.
        id: String,
    },
}

/// How a socket authenticates.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Parameters {
    /// `Bearer` and the access token.
    #[serde(default, alias = "Authorization")]
    pub authorization: Option<String>,
    /// `cookie`: the access token is in the cookie of the request that opened the socket.
    #[serde(default, rename = "tenantry-session", alias = "Tenantry-Session")]
    pub session: Option<String>,
    /// The id of the tenant that the client means, as in the header `Tenantry-Tenant`.
    #[serde(default, rename = "tenantry-tenant", alias = "Tenantry-Tenant")]
    pub tenant: Option<String>,
}

/// A message from the server.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage {
    /// Acknowledges `connection_init`.
    ConnectionAck,
    /// The response to a ping.
    Pong,
    /// A result of an operation.
    Next {
        /// The id of the operation.
        id: String,
        /// The response.
        payload: Box<serde_json::value::RawValue>,
    },
    /// An operation was refused; nothing of it ran.
    Error {
        /// The id of the operation.
        id: String,
        /// The response's errors.
        payload: Box<serde_json::value::RawValue>,
    },
    /// An operation has ended.
    Complete {
        /// The id of the operation.
        id: String,
    },
}

impl ServerMessage {
    /// The WebSocket message.
    pub(super) fn message(&self) -> Message {
        Message::text(serde_json::to_string(self).unwrap_or_default())
    }

    /// The id of its operation, if any.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Next { id, .. } | Self::Error { id, .. } | Self::Complete { id } => Some(id),
            Self::ConnectionAck | Self::Pong => None,
        }
    }

    /// Whether it ends its operation.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Error { .. } | Self::Complete { .. })
    }
}

/// Why a socket closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// The client closed it or disconnected.
    ByClient,
    /// The server stops.
    GoingAway,
    /// The client does not read the messages sent to it.
    TooSlow,
    /// A message exceeds the maximum size.
    TooBig,
    /// The user has the maximum number of sockets open.
    TooMany,
    /// An invalid message, or one that is not allowed at this point.
    BadRequest(String),
    /// An operation before the socket was authenticated.
    Unauthorized,
    /// The session has ended.
    SessionEnded,
    /// The access token is invalid, or not for a user of a tenant.
    Forbidden,
    /// The session belongs to another tenant than the client named.
    OtherTenant,
    /// The access token has expired.
    TokenExpired,
    /// The user's role has changed.
    RoleChanged,
    /// The tenant is suspended.
    TenantSuspended,
    /// The client does not speak the protocol.
    WrongProtocol,
    /// The client did not send `connection_init` in time.
    InitTimeout,
    /// An operation with this id is already running.
    AlreadyExists(String),
    /// The client sent `connection_init` twice.
    TooManyInits,
}

impl Close {
    /// The close code. 4401 asks a client to sign in again, 4403 to reconnect with another token.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::ByClient => 1000,
            Self::GoingAway => 1001,
            Self::TooSlow => 1008,
            Self::TooBig => 1009,
            Self::TooMany => 1013,
            Self::BadRequest(_) => 4400,
            Self::Unauthorized | Self::SessionEnded => 4401,
            Self::Forbidden | Self::OtherTenant | Self::TokenExpired | Self::RoleChanged | Self::TenantSuspended => {
                4403
            }
            Self::WrongProtocol => 4406,
            Self::InitTimeout => 4408,
            Self::AlreadyExists(_) => 4409,
            Self::TooManyInits => 4429,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::ByClient => String::new(),
            Self::GoingAway => "Going away".into(),
            Self::TooSlow => "Too slow".into(),
            Self::TooBig => "Message too big".into(),
            Self::TooMany => "Too many sockets".into(),
            Self::BadRequest(why) => why.clone(),
            Self::Unauthorized => "Unauthorized".into(),
            Self::SessionEnded => "Session ended".into(),
            Self::Forbidden => "Forbidden".into(),
            Self::OtherTenant => "Signed in to another tenant".into(),
            Self::TokenExpired => "Token expired".into(),
            Self::RoleChanged => "Role changed".into(),
            Self::TenantSuspended => "Tenant suspended".into(),
            Self::WrongProtocol => "Subprotocol not acceptable".into(),
            Self::InitTimeout => "Connection initialisation timeout".into(),
            Self::AlreadyExists(id) => format!("Subscriber for {id} already exists"),
            Self::TooManyInits => "Too many initialisation requests".into(),
        }
    }

    /// The close frame, with its reason cut to the maximum length.
    pub(super) fn message(&self) -> Message {
        let mut reason = self.reason();
        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Message::Close(Some(CloseFrame { code: self.code(), reason: reason.into() }))
    }
}

impl From<Revocation> for Close {
    fn from(fall: Revocation) -> Self {
        match fall {
            Revocation::SessionEnded | Revocation::TenantGone => Self::SessionEnded,
            Revocation::RoleChanged(_) => Self::RoleChanged,
            Revocation::TenantSuspended => Self::TenantSuspended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_its_frame_whatever_it_says() {
        for reason in ["x".repeat(1_000), "é".repeat(1_000), "€".repeat(41)] {
            let Message::Close(Some(frame)) = Close::BadRequest(reason).message() else { panic!("no close") };
            assert!(frame.reason.len() <= MAX_REASON, "{}", frame.reason.len());
        }
    }

    #[test]
    fn messages_are_those_of_the_protocol() {
        let said = |text: &str| serde_json::from_str::<ClientMessage>(text).map(|it| format!("{it:?}"));
        assert!(said(r#"{"type":"connection_init"}"#).is_ok());
        assert!(said(r#"{"type":"connection_init","payload":{"authorization":"Bearer x","more":1}}"#).is_ok());
        assert!(said(r#"{"type":"ping","payload":null}"#).is_ok());
        assert!(said(r#"{"type":"pong","payload":{"a":1}}"#).is_ok());
        assert!(said(r#"{"type":"subscribe","id":"1","payload":{"query":"{a}"}}"#).is_ok());
        for bad in ["", "[]", "{}", r#"{"type":"start"}"#, r#"{"type":"subscribe","id":1,"payload":{}}"#] {
            assert!(said(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&ServerMessage::ConnectionAck).unwrap(), r#"{"type":"connection_ack"}"#);
    }
}
