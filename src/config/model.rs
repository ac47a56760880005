//! The validated configuration.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{
    db::PoolSettings,
    features::{platform::moving::Places, usage::rate_limits::RateSettings},
    graphql::Limits,
    http::{Origins, Patience, Proxies, SocketSettings},
};

/// The kind of deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine: demo data, and a signing key generated on first use.
    Development,
    /// A production deployment.
    Production,
}

/// The payment provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payments {
    /// Stripe.
    Stripe {
        /// The secret key of the account.
        secret_key: String,
        /// The signing secrets of the webhook endpoint.
        webhook_secrets: Vec<String>,
        /// URL of Stripe's API.
        base: String,
    },
    /// A provider inside this process that takes play money.
    InProcess,
    /// No provider.
    None,
}

/// The PostgreSQL server to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A private one in the data folder.
    Private,
    /// A server that is run separately.
    Given {
        /// The URL of the app role.
        app: String,
        /// The URL of the owner role, if known.
        owner: Option<String>,
        /// The URL of the platform role, if known.
        platform: Option<String>,
        /// The URL of the app role that bypasses the pooler, when there is a pooler in transaction mode.
        direct: Option<String>,
    },
}

/// The validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// The PostgreSQL server.
    pub database: Database,
    /// Sizes and timeouts of the connection pools.
    pub pool: PoolSettings,
    /// The stores in which tenants can be placed.
    pub places: Places,
    /// Folder of the private PostgreSQL and the signing key.
    pub data_dir: PathBuf,
    /// Folder of the `postgres` program, if set.
    pub pg_bin: Option<PathBuf>,
    /// The kind of deployment.
    pub environment: Environment,
    /// Key that signs access tokens; `None` uses the one in the data folder.
    pub jwt_private_key: Option<String>,
    /// Public keys of retired signing keys that are still accepted.
    pub jwt_retired_public_keys: Vec<String>,
    /// Claim `iss`.
    pub jwt_issuer: String,
    /// Claim `aud`.
    pub jwt_audience: String,
    /// The mail server; `None` writes emails to the data folder.
    pub smtp_url: Option<String>,
    /// The sender address of emails.
    pub mail_from: String,
    /// The page that links in emails open; `None` uses this server's own page.
    pub account_url: Option<String>,
    /// A separate port for `/metrics`.
    pub metrics_port: Option<u16>,
    /// Threads that serve requests.
    pub workers: usize,
    /// The limits of a request.
    pub limits: Limits,
    /// The rate limits of callers.
    pub rates: RateSettings,
    /// Whether introspection is allowed.
    pub introspects: bool,
    /// The manifest of trusted documents.
    pub trusted_documents: Option<PathBuf>,
    /// Other origins whose pages may use the API.
    pub origins: Origins,
    /// Proxies that are trusted to report a client's address.
    pub proxies: Proxies,
    /// For how many seconds browsers are to come by HTTPS alone; 0 says nothing of it.
    pub hsts: u32,
    /// Timeouts and limits for connections.
    pub patience: Patience,
    /// How long a body may pause.
    pub body_patience: Duration,
    /// Maximum duration of a request.
    pub request_limit: Duration,
    /// How long `/readyz` reports that the server is about to stop, before it stops.
    pub stop_delay: Duration,
    /// The limits of sockets.
    pub sockets: SocketSettings,
    /// Whether webhooks may go to private addresses, and without encryption.
    pub webhooks_may_be_private: bool,
    /// The payment provider.
    pub payments: Payments,
    /// Name and address on invoices.
    pub invoice_issuer: Option<String>,
    /// The collector that receives traces.
    pub collector: Option<String>,
    /// The point at which a test kills the process.
    pub fault: Option<String>,
}

/// Everything that is wrong with the configuration, one line per error.
#[derive(Debug)]
pub struct InvalidConfig(pub Vec<String>);

impl std::error::Error for InvalidConfig {}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is invalid:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  - {line}"))
    }
}
