//! The state that every handler gets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderName, header, request::Parts},
};
use tokio::sync::watch;

use super::{
    graphql::{Documents, Sockets},
    origins::Origins,
    proxies::Proxies,
    readiness::Readiness,
};
use crate::{
    api::{ApiSchema, Services},
    core::identity::Origin,
    features::auth::Tokens,
    graphql::{Limits, Reader},
};

/// The response header with the request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length of a stored `User-Agent`, in characters.
const MAX_USER_AGENT: usize = 300;

/// The state that handlers share.
#[derive(Clone)]
pub struct App(pub(super) Arc<AppParts>);

/// The parts of an [`App`].
pub struct AppParts {
    /// The executable schema.
    pub schema: ApiSchema,
    /// Services that all requests share.
    pub services: Services,
    /// Verifies access tokens.
    pub tokens: Arc<Tokens>,
    /// Maximum duration of a request.
    pub deadline: Duration,
    /// The limits of a request.
    pub limits: Limits,
    /// How long a request body may pause.
    pub body_patience: Duration,
    /// Whether this router serves `/metrics`, rather than a separate port.
    pub shows_metrics: bool,
    /// The documents that may run.
    pub documents: Documents,
    /// The document cache.
    pub reader: Reader,
    /// The open sockets.
    pub sockets: Arc<Sockets>,
    /// Other origins whose pages may call the API.
    pub origins: Origins,
    /// Proxies that are trusted to report a client's address.
    pub proxies: Proxies,
    /// Whether requests can be served.
    pub readiness: Arc<Readiness>,
    /// Signals that the server stops.
    pub stopping: watch::Receiver<Option<String>>,
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

/// Assigns an id to a request and records its origin.
pub(super) struct RequestOrigin(pub(super) Origin);

impl FromRequestParts<App> for RequestOrigin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
        let address = peer.map(|peer| app.proxies.client(peer, &parts.headers).to_string());
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
        Ok(Self(Origin {
            request_id: uuid::Uuid::now_v7(),
            address,
            user_agent: user_agent.map(|it| it.chars().take(MAX_USER_AGENT).collect()),
            impersonator: None,
        }))
    }
}
