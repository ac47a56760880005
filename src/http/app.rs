//! What every handler is given.

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
    /// Whether requests can be served.
    pub readiness: Arc<Readiness>,
    /// Told when the server stops.
    pub stopping: watch::Receiver<Option<String>>,
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

/// Names a request and notes where it came from.
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
