//! The state that every handler gets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Extensions, HeaderMap, HeaderName, header, request::Parts},
};
use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    graphql::{Documents, Sockets},
    origins::Origins,
    proxies::Proxies,
    readiness::Readiness,
};
use crate::{
    api::{ApiSchema, Services},
    base::{ids::uuid_v7, shares::Shares},
    core::identity::Origin,
    features::auth::Tokens,
    graphql::{DocumentCache, Limits},
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
    pub reader: DocumentCache,
    /// The open sockets.
    pub sockets: Arc<Sockets>,
    /// Other origins whose pages may call the API.
    pub origins: Origins,
    /// Proxies that are trusted to report a client's address.
    pub proxies: Proxies,
    /// For how many seconds browsers are to come by HTTPS alone; 0 says nothing of it.
    pub hsts: u32,
    /// Whether requests can be served.
    pub readiness: Arc<Readiness>,
    /// Memory of bodies that are being read, by client address.
    pub bodies: Shares,
    /// Signals that the server stops.
    pub stopping: watch::Receiver<Option<String>>,
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

impl App {
    /// The address of the client that sent a request; `None` where there is no connection, as in tests.
    pub(super) fn client_of(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<String> {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip())?;
        Some(self.proxies.client(peer, headers).to_string())
    }
}

/// Assigns an id to a request and records its origin.
pub(super) struct RequestOrigin(pub(super) Origin);

impl FromRequestParts<App> for RequestOrigin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let address = app.client_of(&parts.extensions, &parts.headers);
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
        Ok(Self(Origin {
            request_id: uuid_v7(Timestamp::now()),
            address,
            user_agent: user_agent.map(|it| it.chars().take(MAX_USER_AGENT).collect()),
            impersonator: None,
        }))
    }
}
