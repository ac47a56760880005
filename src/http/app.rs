//! What every handler is given.

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

/// The header in which a response names its request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest `User-Agent` that is kept, in characters.
const MAX_USER_AGENT: usize = 300;

/// What handlers share.
#[derive(Clone)]
pub struct App(pub(super) Arc<AppParts>);

/// The parts of an [`App`].
pub struct AppParts {
    /// The executable schema.
    pub schema: ApiSchema,
    /// What requests share.
    pub services: Services,
    /// Verifies access tokens.
    pub tokens: Arc<Tokens>,
    /// How long a request may take altogether.
    pub deadline: Duration,
    /// How large a request may be.
    pub limits: Limits,
    /// How long a body may pause.
    pub body_patience: Duration,
    /// Whether `/metrics` is here, and not on a port of its own.
    pub shows_metrics: bool,
    /// Which documents may run.
    pub documents: Documents,
    /// Reads them.
    pub reader: DocumentCache,
    /// Who has a socket open.
    pub sockets: Arc<Sockets>,
    /// Other sites whose pages may talk to the API.
    pub origins: Origins,
    /// Whose word on a client's address counts.
    pub proxies: Proxies,
    /// For how many seconds browsers are to come by HTTPS alone; 0 says nothing of it.
    pub hsts: u32,
    /// Whether requests can be served.
    pub readiness: Arc<Readiness>,
    /// Memory of bodies that are being read, by client address.
    pub bodies: Shares,
    /// Told when the server stops.
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

/// Names a request and notes where it came from.
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
