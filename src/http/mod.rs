//! The HTTP layer: routes, limits, and GraphQL over HTTP and WebSocket.

mod actor;
mod app;
mod calendars;
mod cookies;
mod export;
mod graphql;
mod origins;
mod pages;
mod payments;
mod proxies;
mod readiness;
mod routes;
mod server;
mod unsubscribe;

pub use self::{
    graphql::{Documents, ManifestError, SocketSettings, Sockets, write_response},
    origins::Origins,
    proxies::Proxies,
    readiness::Readiness,
    server::{Patience, serve},
};
pub use app::{App, AppParts, REQUEST_ID};
pub use routes::{BODY_PATIENCE, body_shares, metrics_router, router};
pub(crate) use server::ConnectionPlace;
