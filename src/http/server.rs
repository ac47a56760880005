//! Serves connections, and ends those that only hold them open.
//!
//! `axum::serve` waits for ever for the rest of a header, and has no limit of connections; hence hyper's own loop here.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tower_service::Service;

/// How long a listener that has no file handle left waits before it tries again.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// How patient the server is with clients.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a whole header, and so for the next request on a connection that is kept.
    pub header: Duration,
    /// For open requests, once the server was told to stop.
    pub drain: Duration,
    /// Connections at once; what comes then is closed at once.
    pub connections: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { header: Duration::from_secs(30), drain: Duration::from_secs(10), connections: 4_096 }
    }
}

/// Serves until it is told to stop, then lets open requests finish. Returns how many connections were cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    patience: Patience,
    mut stop: watch::Receiver<Option<String>>,
) -> usize {
    let (places, graceful) = (Arc::new(Semaphore::new(patience.connections)), GracefulShutdown::new());
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
                // Such as too many open files: whoever ends gives one back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let connection = protocol.serve_connection(TokioIo::new(prepared(stream)), answering(router.clone(), peer));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            // A client that went away, or was too slow.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener); // Whoever comes now is refused by the system.
    let open = graceful.count();
    match tokio::time::timeout(patience.drain, graceful.shutdown()).await {
        Ok(()) => 0,
        Err(_) => open,
    }
}

fn prepared(stream: TcpStream) -> TcpStream {
    // Answers are small and whole: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    stream
}

/// The router, told who is at the other end.
fn answering(
    router: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> {
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    })
}
