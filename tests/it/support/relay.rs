//! A TCP relay to the tests' cluster that can fall silent, like a server whose machine is gone.

use std::path::PathBuf;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    sync::watch,
};
use tokio_postgres::{Config, config::Host};

/// Forwards bytes in both directions until it falls silent.
pub(crate) struct Relay {
    port: u16,
    speaks: watch::Sender<bool>,
}

impl Relay {
    /// In front of the server of this database.
    pub(crate) async fn start(direct: &str) -> Self {
        let config: Config = direct.parse().unwrap();
        let Some(Host::Unix(folder)) = config.get_hosts().first() else { panic!("the cluster has a socket") };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let socket: PathBuf = folder.join(format!(".s.PGSQL.{port}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (speaks, listens) = watch::channel(true);
        let relay = Self { port: listener.local_addr().unwrap().port(), speaks };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(pass_on(from_client, to_server, listens.clone()));
                tokio::spawn(pass_on(from_server, to_client, listens.clone()));
            }
        });
        relay
    }

    /// The same placement, behind the relay.
    pub(crate) fn before(&self, url: &str) -> String {
        url.replacen(":///", &format!("://127.0.0.1:{}/", self.port), 1)
    }

    /// Stops forwarding without closing anything, or resumes.
    pub(crate) fn speak(&self, speaks: bool) {
        self.speaks.send_replace(speaks);
    }
}

async fn pass_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut speaks: watch::Receiver<bool>) {
    let mut some = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut some).await {
        if speaks.wait_for(|it| *it).await.is_err() || to.write_all(&some[..read]).await.is_err() {
            return;
        }
    }
}
