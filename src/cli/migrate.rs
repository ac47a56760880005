//! `tenantry migrate`: the directory, the shared store, the template, and every dedicated tenant store.

use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, database::Connected};
use crate::{base::clock::Clock, config::Config, db::migrations, fleet::Fleet};

pub(super) async fn run(config: &Config, status: bool) -> Result<(), CliError> {
    let connected = Connected::to(config).await?;
    let result = if status { show(config, &connected).await } else { migrate(config, &connected).await };
    connected.stop().await;
    result
}

async fn migrate(config: &Config, connected: &Connected) -> Result<(), CliError> {
    let owner = connected.owner_url.as_deref().ok_or("DATABASE_OWNER_URL is missing: migrations run as the owner")?;
    let applied = migrations::migrate(owner).await?;
    for name in &applied {
        println!("applied {name}");
    }
    println!("{} migrations applied; directory and shared store are up to date", applied.len());
    let Some(logins) = connected.logins()? else {
        println!("dedicated tenant stores were skipped: DATABASE_PLATFORM_URL is missing");
        return Ok(());
    };
    let gate = connected.gate(config)?;
    let fleet = Fleet::new(gate.clone(), logins, Clock::system());
    let stores = fleet.stores().await?;
    let bar = ProgressBar::new(stores.len() as u64)
        .with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} stores, {elapsed}, {eta} left")?);
    let done = fleet
        .upgrade(stores, |it| {
            match &it.applied {
                Ok(applied) if applied.is_empty() => {}
                Ok(applied) => bar.println(format!("{}: {} applied", it.store.name, applied.len())),
                Err(why) => bar.println(format!("{}: FAILED, unchanged: {why}", it.store.name)),
            }
            bar.inc(1);
        })
        .await;
    bar.finish_and_clear();
    gate.close();
    let failed: Vec<_> = done.iter().filter_map(|it| Some((&it.store.name, it.applied.as_ref().err()?))).collect();
    // The progress bar prints nothing without a terminal.
    for (name, why) in &failed {
        eprintln!("{name}: {why}");
    }
    println!("{} of {} dedicated tenant stores are up to date", done.len() - failed.len(), done.len());
    if failed.is_empty() { Ok(()) } else { Err(format!("{} stores could not be migrated", failed.len()).into()) }
}

async fn show(config: &Config, connected: &Connected) -> Result<(), CliError> {
    let logins = connected.logins()?.ok_or("DATABASE_OWNER_URL and DATABASE_PLATFORM_URL are missing")?;
    let gate = connected.gate(config)?;
    let standing = Fleet::new(gate.clone(), logins, Clock::system()).standing().await;
    gate.close();
    let standing = standing?;
    let newest = migrations::newest_of_stores();
    println!("{:<32} {:<9} {:>8} {:>7}  where", "store", "isolation", "version", "behind");
    for it in &standing {
        let (version, behind) = match &it.version {
            Ok(version) => (version.to_string(), (newest - version).to_string()),
            Err(_) => ("?".into(), "?".into()),
        };
        let place = it.store.placement.url().unwrap_or_else(|| "the shared tables".into());
        let isolation = it.store.placement.isolation().as_str();
        println!("{:<32} {isolation:<9} {version:>8} {behind:>7}  {place}", it.store.name);
        if let Err(why) = &it.version {
            println!("{:<32} cannot be reached: {why}", "");
        }
    }
    let behind = standing.iter().filter(|it| it.behind() != Some(0)).count();
    println!("{} stores, {behind} not at migration {newest}", standing.len());
    Ok(())
}
