//! `tenantry outbox`: effects that failed for good.

use clap::Subcommand;

use super::{CliError, database::Connected};
use crate::{
    base::clock::Clock,
    config::Config,
    core::outbox,
    db::{Access, DbError, Gate, Scope},
    features::platform,
};

#[derive(Subcommand)]
pub(super) enum OutboxCommand {
    /// List the failed effects of every tenant
    List,
    /// Retry all failed effects
    Retry,
}

pub(super) async fn run(config: &Config, command: &OutboxCommand) -> Result<(), CliError> {
    let connected = Connected::to(config).await?;
    let gate = connected.gate(config)?;
    let result = match command {
        OutboxCommand::List => list(&gate).await,
        OutboxCommand::Retry => retry(&gate).await,
    };
    gate.close();
    connected.stop().await;
    Ok(result?)
}

async fn list(gate: &Gate) -> Result<(), DbError> {
    let mut count = 0;
    for tenant in platform::served_tenants(gate).await? {
        let tx = gate.tenant(Scope::worker(tenant), Access::Read);
        // An unreachable store must not hide the others.
        let letters = outbox::dead_letters(&tx).await.inspect_err(|error| eprintln!("{tenant}: {error}"));
        for letter in letters.unwrap_or_default() {
            count += 1;
            println!(
                "{tenant}  {}  {}  created {}  failed {} after {} attempts: {}",
                letter.id, letter.kind, letter.created_at, letter.dead_at, letter.attempts, letter.last_error
            );
        }
        tx.end_read();
    }
    println!("{count} failed");
    Ok(())
}

async fn retry(gate: &Gate) -> Result<(), DbError> {
    let mut count = 0;
    for tenant in platform::served_tenants(gate).await? {
        let tx = gate.tenant(Scope::worker(tenant), Access::Write);
        let revived = async {
            let count = outbox::revive(&tx, Clock::system().now()).await?;
            tx.commit().await?;
            Ok::<_, DbError>(count)
        };
        count += revived.await.inspect_err(|error| eprintln!("{tenant}: {error}")).unwrap_or(0);
    }
    println!("{count} will be retried by a running server");
    Ok(())
}
