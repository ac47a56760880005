//! `tenantry fleet`: creates, moves and removes tenant stores, for servers that run without the operator's logins.

use tokio::{signal::unix::SignalKind, sync::watch};

use super::{CliError, database::Connected};
use crate::{base::clock::Clock, config::Config, fleet::Fleet};

/// Runs until Ctrl-C or SIGTERM.
pub(super) async fn run(config: &Config) -> Result<(), CliError> {
    let connected = Connected::to(config).await?;
    let logins = connected.logins()?.ok_or("DATABASE_OWNER_URL and DATABASE_PLATFORM_URL are missing")?;
    let gate = connected.gate(config)?;
    let (stop, stopping) = watch::channel(None);
    let working = Fleet::new(gate.clone(), logins, Clock::system()).start(stopping);
    let mut terminated = tokio::signal::unix::signal(SignalKind::terminate())?;
    eprintln!("Creating, moving and removing tenant stores as platform administrators request. Stop with Ctrl-C.");
    let reason = tokio::select! {
        _ = tokio::signal::ctrl_c() => "Ctrl-C",
        _ = terminated.recv() => "SIGTERM",
    };
    stop.send_replace(Some(reason.to_owned()));
    let _ = working.await; // A running move releases its tenant's writers.
    gate.close();
    connected.stop().await;
    Ok(())
}
