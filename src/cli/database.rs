//! The database of a command: a given one, or the private one in the data folder.

use std::path::PathBuf;

use super::CliError;
use crate::{
    config::{Config, Database},
    db::{DbError, Gate, bootstrap, roles},
    embedded::{self, Cluster, EmbeddedError, Options},
    fleet::Logins,
};

/// The database of a private cluster.
pub(super) const NAME: &str = "tenantry";

/// A reachable database, with the URLs of its roles.
pub(super) struct Connected {
    /// The URL of the app role.
    pub app_url: String,
    /// The URL of the owner role, if known.
    pub owner_url: Option<String>,
    /// The URL of the platform role, if known.
    pub platform_url: Option<String>,
    /// The URL of the app role that bypasses the pooler, when there is a pooler in transaction mode.
    pub direct_url: Option<String>,
    /// The private cluster, if this process runs it.
    pub cluster: Option<Cluster>,
}

impl Connected {
    /// Connects to the given database, or to the private one. The private one is started unless another Tenantry
    /// process already runs it.
    pub(super) async fn to(config: &Config) -> Result<Self, CliError> {
        match &config.database {
            Database::Given { app, owner, platform, direct } => Ok(Self {
                app_url: app.clone(),
                owner_url: owner.clone(),
                platform_url: platform.clone(),
                direct_url: direct.clone(),
                cluster: None,
            }),
            Database::Private if embedded::in_use(&config.data_dir) => {
                Ok(Self::private(&config.data_dir.clone(), None))
            }
            Database::Private => Self::start_private(config).await,
        }
    }

    /// Starts the private cluster.
    ///
    /// # Errors
    /// When another process runs it, or it does not start.
    pub(super) async fn start_private(config: &Config) -> Result<Self, CliError> {
        let (data_dir, bin_dir) = (config.data_dir.clone(), config.pg_bin.clone());
        let cluster = tokio::task::spawn_blocking(move || start_cluster(data_dir, bin_dir)).await??;
        bootstrap(&cluster.connection_url("postgres", "postgres"), &cluster.connection_url("postgres", NAME), NAME)
            .await?;
        Ok(Self::private(&config.data_dir, Some(cluster)))
    }

    fn private(data_dir: &std::path::Path, cluster: Option<Cluster>) -> Self {
        let url = |role| embedded::connection_url(data_dir, role, NAME);
        let (owner_url, platform_url) = (Some(url(roles::OWNER)), Some(url(roles::PLATFORM)));
        Self { app_url: url(roles::APP), owner_url, platform_url, direct_url: None, cluster }
    }

    /// The entry point for transactions.
    ///
    /// # Errors
    /// When a URL is not a PostgreSQL URL.
    pub(super) fn gate(&self, config: &Config) -> Result<Gate, DbError> {
        match &self.direct_url {
            Some(direct) => Gate::try_pooled(&self.app_url, direct, config.pool),
            None => Gate::try_new(&self.app_url, config.pool),
        }
    }

    /// The URL of the app role for uses that need a session: listening, and inspecting the database.
    pub(super) fn session_url(&self) -> &str {
        self.direct_url.as_deref().unwrap_or(&self.app_url)
    }

    /// The operator's logins, if both are known.
    ///
    /// # Errors
    /// When one is not a PostgreSQL URL.
    pub(super) fn logins(&self) -> Result<Option<Logins>, CliError> {
        match (&self.owner_url, &self.platform_url) {
            (Some(owner), Some(platform)) => Ok(Some(Logins::try_new(owner, platform)?)),
            _ => Ok(None),
        }
    }

    /// Stops the private cluster, if this process started it.
    pub(super) async fn stop(self) {
        if let Some(cluster) = self.cluster {
            // Waits for PostgreSQL to write its data, which blocks.
            let _ = tokio::task::spawn_blocking(move || cluster.stop()).await;
        }
    }
}

fn start_cluster(data_dir: PathBuf, bin_dir: Option<PathBuf>) -> Result<Cluster, EmbeddedError> {
    Cluster::start(&Options {
        data_dir: &data_dir,
        bin_dir: bin_dir.as_deref(),
        settings: &[],
        roles: &[roles::OWNER, roles::APP, roles::PLATFORM],
        progress: &|line| eprintln!("  {line}"),
    })
}
