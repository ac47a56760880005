//! The operator's logins.

use std::str::FromStr;

use tokio_postgres::Config;

/// The operator's logins to the deployment's database; they are the same on every server.
#[derive(Clone, Debug)]
pub struct Logins {
    pub(super) owner: Config,
    pub(super) platform: Config,
}

impl Logins {
    /// Reads the logins from URLs of the deployment's database.
    ///
    /// # Errors
    /// When one is not a PostgreSQL URL.
    pub fn try_new(owner_url: &str, platform_url: &str) -> Result<Self, tokio_postgres::Error> {
        Ok(Self { owner: Config::from_str(owner_url)?, platform: Config::from_str(platform_url)? })
    }
}
