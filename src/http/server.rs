//! Serves connections, and closes those that are only held open.
//!
//! `axum::serve` waits indefinitely for the rest of a request header, and has no limit on connections; therefore this
//! uses hyper directly.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, FromRequestParts},
    http::{StatusCode, Version, header, request::Parts},
    response::IntoResponse,
};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::proxies::Proxies;
use crate::base::{
    network::network,
    shares::{Share, Shares},
};

/// How long the listener waits before it tries again when no file handle is free.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Timeouts and limits for clients.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a complete request header, and so for the next request on a kept-alive connection.
    pub header: Duration,
    /// For a client to accept any of the data sent to it.
    pub write: Duration,
    /// For open requests and sockets, after a stop is requested.
    pub drain: Duration,
    /// Maximum number of open connections; further ones are closed at once.
    pub connections: usize,
    /// Connections at once of one address (an IPv6 /64 is one). Behind a trusted proxy: requests and sockets at once of
    /// one forwarded address.
    pub connections_of_address: usize,
}

impl Default for Patience {
    fn default() -> Self {
        let (header, write) = (Duration::from_secs(30), Duration::from_secs(30));
        Self { header, write, drain: Duration::from_secs(10), connections: 4_096, connections_of_address: 1_024 }
    }
}

/// A connection's place among the allowed number. A socket that takes over the connection keeps the place.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionPlace {
    #[expect(dead_code, reason = "held, not read")]
    permit: Option<Arc<OwnedSemaphorePermit>>,
    /// The client's share: of connections or, behind a trusted proxy, of requests and sockets at once.
    share: Option<Arc<Share>>,
}

impl<S: Sync> FromRequestParts<S> for ConnectionPlace {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Serves until a stop is signalled, then lets open requests and `sockets` finish. Returns how many were cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    patience: Patience,
    proxies: Proxies,
    sockets: TaskTracker,
    mut stop: watch::Receiver<Option<String>>,
) -> usize {
    let (places, connections) = (Arc::new(Semaphore::new(patience.connections)), TaskTracker::new());
    let shares = Shares::new(patience.connections_of_address, usize::MAX);
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(patience.header);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(Option::is_some) => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Such as too many open files: each connection that ends frees one.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        // Behind a proxy all clients have its address: there each request takes its client's share.
        let forwarding = proxies.is_one(peer.ip()).then(|| (proxies.clone(), shares.clone()));
        let share = match &forwarding {
            Some(_) => None,
            None => match shares.take(network(&peer.ip().to_string()), 1) {
                Some(share) => Some(Arc::new(share)),
                None => continue,
            },
        };
        let place = ConnectionPlace { permit: Some(Arc::new(place)), share };
        let service = answering(router.clone(), peer, place.clone(), forwarding);
        let stream = Box::pin(prepared(stream, patience.write));
        let connection = protocol.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut stop = stop.clone();
        connections.spawn(async move {
            let (_place, mut connection, mut is_told) = (place, pin!(connection), false);
            let ended = loop {
                tokio::select! {
                    ended = connection.as_mut() => break ended,
                    _ = stop.wait_for(Option::is_some), if !is_told => {
                        is_told = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            };
            // The client disconnected, or was too slow.
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener); // The system refuses further connections.
    connections.close();
    sockets.close();
    // Connections first: one of them may be becoming a socket.
    let drained = async {
        connections.wait().await;
        sockets.wait().await;
    };
    match tokio::time::timeout(patience.drain, drained).await {
        Ok(()) => 0,
        Err(_) => connections.len() + sockets.len(),
    }
}

fn prepared(stream: TcpStream, write: Duration) -> TimeoutStream<TcpStream> {
    // Responses are small and sent as a whole: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(write));
    stream
}

/// The router, with the peer's address as a request extension.
fn answering(
    router: Router,
    peer: SocketAddr,
    place: ConnectionPlace,
    forwarding: Option<(Proxies, Shares)>,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> {
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut place = place.clone();
        let mut is_refused = false;
        if let Some((proxies, shares)) = &forwarding {
            let client = proxies.client(peer.ip(), request.headers());
            place.share = shares.take(network(&client.to_string()), 1).map(Arc::new);
            is_refused = place.share.is_none();
        }
        request.extensions_mut().insert(place.clone());
        let mut router = router.clone();
        async move {
            let _place = place;
            if is_refused {
                let answer =
                    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "Too many requests at once.\n");
                return Ok(answer.into_response());
            }
            // RFC 9112, section 3.2: without one Host, what a request is for is not said.
            let hosts = request.headers().get_all(header::HOST).iter().count();
            if hosts > 1 || hosts == 0 && request.version() == Version::HTTP_11 {
                return Ok((StatusCode::BAD_REQUEST, "Send one Host header.\n").into_response());
            }
            router.call(request).await
        }
    })
}
