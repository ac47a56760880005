//! The messages of graphql-transport-ws, and the codes with which a socket closes.
//!
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>

use axum::extract::ws::{CloseFrame, Message};
use serde::{Deserialize, Serialize};

use super::request::GraphqlRequest;
use crate::features::auth::Revocation;

/// What a socket speaks.
pub(super) const SUBPROTOCOL: &str = "graphql-transport-ws";
/// Longest reason of a close frame, in bytes (RFC 6455, section 5.5).
const MAX_REASON: usize = 123;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ClientMessage {
    /// The first message, with the access token.
    ConnectionInit {
        /// What the client knows as connection parameters.
        #[serde(default)]
        payload: Option<Parameters>,
    },
    /// Is anybody there? With a token, that of the session's next minutes.
    Ping {
        /// The token, if one is brought.
        #[serde(default)]
        payload: Option<Parameters>,
    },
    /// An answer to a ping of ours.
    Pong {},
    /// An operation.
    Subscribe {
        /// What its messages are told by.
        id: String,
        /// The operation.
        payload: GraphqlRequest,
    },
    /// No more of an operation.
    Complete {
        /// Which.
        id: String,
    },
}

/// How a socket says whose it is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Parameters {
    /// `Bearer` and the access token.
    #[serde(default, alias = "Authorization")]
    pub authorization: Option<String>,
    /// `cookie`: the access token is in the cookie of the request that began the socket.
    #[serde(default, rename = "tenantry-session", alias = "Tenantry-Session")]
    pub session: Option<String>,
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage {
    /// Come in.
    ConnectionAck,
    /// The answer to a ping.
    Pong,
    /// A result of an operation.
    Next {
        /// Which.
        id: String,
        /// A response.
        payload: Box<serde_json::value::RawValue>,
    },
    /// An operation was refused: nothing of it ran.
    Error {
        /// Which.
        id: String,
        /// The response's errors.
        payload: Box<serde_json::value::RawValue>,
    },
    /// An operation is over.
    Complete {
        /// Which.
        id: String,
    },
}

impl ServerMessage {
    /// As it is sent.
    pub(super) fn message(&self) -> Message {
        Message::text(serde_json::to_string(self).unwrap_or_default())
    }

    /// The operation that it is of.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Next { id, .. } | Self::Error { id, .. } | Self::Complete { id } => Some(id),
            Self::ConnectionAck | Self::Pong => None,
        }
    }

    /// Whether its operation is over with it.
    pub(super) fn is_last(&self) -> bool {
        matches!(self, Self::Error { .. } | Self::Complete { .. })
    }
}

/// Why a socket closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// The client closed it, or is gone.
    ByClient,
    /// The server stops.
    GoingAway,
    /// The client does not take what it asked for.
    TooSlow,
    /// More bytes than a message may have.
    TooBig,
    /// The user has as many sockets as he may.
    TooMany,
    /// No such message, or not now.
    BadRequest(String),
    /// An operation before anybody was let in.
    Unauthorized,
    /// The session has ended.
    SessionEnded,
    /// Nobody's token.
    Forbidden,
    /// The token is in force no more.
    TokenExpired,
    /// The user has another role.
    RoleChanged,
    /// The tenant is suspended.
    TenantSuspended,
    /// The client does not speak the protocol.
    WrongProtocol,
    /// Nobody said who he is.
    InitTimeout,
    /// An operation with the id goes on.
    AlreadyExists(String),
    /// Said twice who one is.
    TooManyInits,
}

impl Close {
    /// The code. 4401 asks a client to sign in anew, 4403 to come again with another token.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::ByClient => 1000,
            Self::GoingAway => 1001,
            Self::TooSlow => 1008,
            Self::TooBig => 1009,
            Self::TooMany => 1013,
            Self::BadRequest(_) => 4400,
            Self::Unauthorized | Self::SessionEnded => 4401,
            Self::Forbidden | Self::TokenExpired | Self::RoleChanged | Self::TenantSuspended => 4403,
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
            Self::TokenExpired => "Token expired".into(),
            Self::RoleChanged => "Role changed".into(),
            Self::TenantSuspended => "Tenant suspended".into(),
            Self::WrongProtocol => "Subprotocol not acceptable".into(),
            Self::InitTimeout => "Connection initialisation timeout".into(),
            Self::AlreadyExists(id) => format!("Subscriber for {id} already exists"),
            Self::TooManyInits => "Too many initialisation requests".into(),
        }
    }

    /// The close frame: its reason is cut to what a frame can hold.
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
