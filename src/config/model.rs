//! The configuration, checked.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{
    db::PoolSettings,
    features::{platform::moving::Places, usage::rate_limits::RateSettings},
    graphql::Limits,
    http::{Origins, Patience, Proxies, SocketSettings},
};

/// Where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// On somebody's machine: demo data, a key made on the spot.
    Development,
    /// For real.
    Production,
}

/// Who takes payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payments {
    /// Stripe.
    Stripe {
        /// Of the account.
        secret_key: String,
        /// Of the endpoint of events.
        webhook_secrets: Vec<String>,
        /// Address of the API.
        base: String,
    },
    /// A provider in this process, of play money.
    InProcess,
    /// Nobody.
    None,
}

/// Which PostgreSQL is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A private one in the data folder.
    Private,
    /// One that somebody else runs.
    Given {
        /// As the app's role.
        app: String,
        /// As the owner, where it is known.
        owner: Option<String>,
        /// As the platform's role, where it is known.
        platform: Option<String>,
        /// As the app's role past the pooler, where there is one in transaction mode.
        direct: Option<String>,
    },
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Which PostgreSQL.
    pub database: Database,
    /// Sizes and waits of the pools.
    pub pool: PoolSettings,
    /// Where tenants may be.
    pub places: Places,
    /// For the private PostgreSQL and the key.
    pub data_dir: PathBuf,
    /// Where `postgres` is, if it was said.
    pub pg_bin: Option<PathBuf>,
    /// Where it runs.
    pub environment: Environment,
    /// Signs access tokens; `None` takes the data folder's.
    pub jwt_private_key: Option<String>,
    /// Still accepted.
    pub jwt_retired_public_keys: Vec<String>,
    /// Claim `iss`.
    pub jwt_issuer: String,
    /// Claim `aud`.
    pub jwt_audience: String,
    /// Where mail goes; `None` takes the data folder.
    pub smtp_url: Option<String>,
    /// Whom mail comes from.
    pub mail_from: String,
    /// Where links in mail lead; `None` takes this server's own page.
    pub account_url: Option<String>,
    /// Port of `/metrics` alone.
    pub metrics_port: Option<u16>,
    /// Threads that serve requests.
    pub workers: usize,
    /// How large a request may be.
    pub limits: Limits,
    /// How much one may use.
    pub rates: RateSettings,
    /// Whether clients may ask for the schema.
    pub introspects: bool,
    /// The manifest of trusted documents.
    pub trusted_documents: Option<PathBuf>,
    /// Other sites whose pages may use the API.
    pub origins: Origins,
    /// Whose word on a client's address counts.
    pub proxies: Proxies,
    /// For how many seconds browsers are to come by HTTPS alone; 0 says nothing of it.
    pub hsts: u32,
    /// How patient the server is with connections.
    pub patience: Patience,
    /// How long a body may pause.
    pub body_patience: Duration,
    /// How long a request may take altogether.
    pub request_limit: Duration,
    /// How long it is told to whoever asks that the server is about to stop, before it does.
    pub stop_delay: Duration,
    /// What sockets may do.
    pub sockets: SocketSettings,
    /// Whether webhooks may go to private addresses, and without encryption.
    pub webhooks_may_be_private: bool,
    /// Who takes payments.
    pub payments: Payments,
    /// Name and address on invoices.
    pub invoice_issuer: Option<String>,
    /// Where traces go.
    pub collector: Option<String>,
    /// Where a test has the process killed.
    pub fault: Option<String>,
}

/// Everything that is wrong with the configuration, one line each.
#[derive(Debug)]
pub struct InvalidConfig(pub Vec<String>);

impl std::error::Error for InvalidConfig {}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not usable:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  - {line}"))
    }
}
