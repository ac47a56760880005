//! `tenantry tenant`: moves, exports, imports and erases one tenant, with the operator's logins.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use futures_util::{FutureExt, future::FusedFuture};
use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, database::Connected};
use crate::{
    base::{clock::Clock, ids::TenantId},
    config::Config,
    db::{Access, Gate, Isolation, Scope},
    features::platform::{self, MoveState, PlatformError, moving},
    fleet::{Fleet, archive::Import},
};

#[derive(Subcommand)]
pub(super) enum TenantCommand {
    /// Move a tenant to another store while it is served
    Move {
        /// Its slug or id
        tenant: String,
        /// How its data is isolated
        #[arg(long)]
        to: To,
        /// Another server for its database, as postgresql://host:port: one of DATABASE_SERVERS
        #[arg(long)]
        server: Option<String>,
    },
    /// Export a tenant to a file while it is served. If interrupted, the same command continues
    Export {
        /// Its slug or id
        tenant: String,
        /// The file, a tar archive
        file: PathBuf,
    },
    /// Import a tenant from such a file; no other tenant is touched
    Import {
        /// The file
        file: PathBuf,
        /// How its data is isolated
        #[arg(long, default_value = "shared")]
        to: To,
        /// Another server for its database
        #[arg(long)]
        server: Option<String>,
        /// A different slug than in the file
        #[arg(long)]
        slug: Option<String>,
        /// Give the tenant and all its data new ids, so that it can exist beside the original. Sessions, links,
        /// webhooks, cards and pending effects are left out
        #[arg(long)]
        new_ids: bool,
    },
    /// Erase a tenant immediately and permanently, and show what remains
    Erase {
        /// Its slug or id
        tenant: String,
        /// Export it to this file first. Required if it has invoices, which must be kept by law
        #[arg(long)]
        keep: Option<PathBuf>,
        /// Confirm that the tenant should be erased
        #[arg(long)]
        yes: bool,
    },
}

/// How a tenant's data is isolated.
#[derive(Clone, Copy, ValueEnum)]
pub enum To {
    /// Shared tables
    Shared,
    /// A schema of its own
    Schema,
    /// A database of its own
    Database,
}

impl From<To> for Isolation {
    fn from(to: To) -> Self {
        match to {
            To::Shared => Self::Shared,
            To::Schema => Self::Schema,
            To::Database => Self::Database,
        }
    }
}

pub(super) async fn run(config: &Config, command: TenantCommand) -> Result<(), CliError> {
    let connected = Connected::to(config).await?;
    let result = carry_out(config, &connected, command).await;
    connected.stop().await;
    result
}

async fn carry_out(config: &Config, connected: &Connected, command: TenantCommand) -> Result<(), CliError> {
    let logins = connected.logins()?.ok_or("DATABASE_OWNER_URL and DATABASE_PLATFORM_URL are missing")?;
    let gate = connected.gate(config)?;
    let fleet = Fleet::new(gate.clone(), logins, Clock::system());
    let result = match command {
        TenantCommand::Move { tenant, to, server } => {
            move_tenant(config, &gate, &fleet, &tenant, to.into(), server.as_deref()).await
        }
        TenantCommand::Export { tenant, file } => {
            let id = find(&gate, &tenant).await?;
            let written = fleet.export(id, &file, |part| eprintln!("  {}: {} rows", part.name, part.rows)).await?;
            let rows: i64 = written.tables.iter().map(|it| it.rows).sum();
            println!(
                "{} was exported to {}: {rows} rows of {} tables",
                written.tenant.slug,
                file.display(),
                written.tables.len()
            );
            Ok(())
        }
        TenantCommand::Import { file, to, server, slug, new_ids } => {
            let written = crate::fleet::archive::read_manifest(&file)?;
            let anew = new_ids.then(|| TenantId::generate(Clock::system().now()));
            let id = anew.unwrap_or(TenantId(written.tenant.id));
            let place = config.places.new_place(to.into(), server.as_deref(), id).map_err(explain)?;
            let made = fleet.import(&file, &Import { placement: place, slug, anew }).await?;
            println!("{} was imported as {}", made.slug, TenantId(made.id));
            Ok(())
        }
        TenantCommand::Erase { yes: false, .. } => Err("this cannot be undone: confirm with --yes".into()),
        TenantCommand::Erase { tenant, keep, yes: true } => {
            let id = find(&gate, &tenant).await?;
            let erased = fleet.erase(id, keep.as_deref()).await?;
            println!("{:<40} {:>10} {:>10}", "table", "before", "left");
            for it in &erased.remains {
                println!("{:<40} {:>10} {:>10}", it.table, it.before, it.after);
            }
            match erased.store_is_gone {
                None => {}
                Some(true) => println!("its own store was removed"),
                Some(false) => println!("its own store is removed as soon as no connection to it remains"),
            }
            if let Some(file) = keep {
                println!("{} invoices are kept in {}", erased.invoices_kept, file.display());
            }
            Ok(())
        }
    };
    gate.close();
    result
}

/// Finds a tenant by slug or id.
async fn find(gate: &Gate, tenant: &str) -> Result<TenantId, CliError> {
    if let Ok(id) = tenant.parse() {
        return Ok(id);
    }
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let found = platform::by_slug(&directory, tenant).await?;
    directory.end_read();
    found.ok_or_else(|| format!("there is no tenant {tenant}").into())
}

async fn move_tenant(
    config: &Config,
    gate: &Gate,
    fleet: &Fleet,
    tenant: &str,
    to: Isolation,
    server: Option<&str>,
) -> Result<(), CliError> {
    let id = find(gate, tenant).await?;
    let place = config.places.new_place(to, server, id).map_err(explain)?;
    let directory = gate.directory(Scope::platform(Some(id)), Access::Write);
    let wanted = moving::want(&directory, id, &place, None, Clock::system().now()).await.map_err(explain)?;
    directory.commit().await?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {msg}")?);
    loop {
        // A server with the operator's logins may run the move as well: then this only shows its progress.
        let working = fleet.clone();
        // Fused: the task may end before the move is seen as done, and must not be polled again then.
        let mut work = tokio::spawn(async move { working.work().await }).fuse();
        loop {
            let directory = gate.directory(Scope::platform(None), Access::Read);
            let found = moving::find(&directory, wanted.id).await?;
            directory.end_read();
            let it = found.ok_or("the move no longer exists")?;
            bar.set_length(it.rows_total.unwrap_or(0).try_into().unwrap_or(0));
            bar.set_position(it.rows_copied.try_into().unwrap_or(0));
            bar.set_message(it.state.as_str());
            match it.state {
                MoveState::Done => {
                    let pause =
                        it.fenced_at.zip(it.flipped_at).map_or(0, |(from, to)| to.duration_since(from).as_millis());
                    bar.finish_and_clear();
                    let rows = it.rows_copied;
                    println!("{tenant} was moved: {rows} rows; writers waited for {pause} ms");
                    if !work.is_terminated() {
                        let _ = work.await;
                    }
                    return Ok(());
                }
                MoveState::Aborted => return Err("the move was aborted; the tenant is where it was".into()),
                MoveState::Failed => {
                    let why = it.last_error.unwrap_or_default();
                    return Err(format!("the move failed, and the tenant is where it was: {why}").into());
                }
                _ if work.is_terminated() => break,
                _ => drop(tokio::time::timeout(std::time::Duration::from_millis(100), &mut work).await),
            }
        }
    }
}

fn explain(error: PlatformError) -> CliError {
    match error {
        PlatformError::NotFound => "there is no such tenant".into(),
        PlatformError::IsMoving => "the tenant is already being moved".into(),
        PlatformError::Invalid(what, why) => format!("{what}: {why}").into(),
        PlatformError::InvalidTransition(status) => format!("the tenant is {}", status.as_str()).into(),
        other => format!("{other:?}").into(),
    }
}
