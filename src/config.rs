//! Every environment variable, parsed once. Each is a command line flag too; `.env` is read before.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::Args;

use crate::{
    db::{PoolSettings, is_database_url, url_password},
    graphql::{Limits, RateSettings},
};

/// What stands in the environment, as text: all of it is checked together by [`Config::try_from`].
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, env = "HOST", global = true, hide_env_values = true)]
    pub host: Option<String>,
    /// Port to listen on; 0 takes a free one [default: 8080]
    #[arg(long, env = "PORT", global = true, hide_env_values = true)]
    pub port: Option<String>,
    /// PostgreSQL as the app's restricted role, e.g. postgresql://tenantry_app:…@host/tenantry; without it a private
    /// PostgreSQL is started in the data folder
    #[arg(long, env = "DATABASE_URL", global = true, hide_env_values = true)]
    pub database_url: Option<String>,
    /// The same database as the owner of its tables, for migrations
    #[arg(long, env = "DATABASE_OWNER_URL", global = true, hide_env_values = true)]
    pub database_owner_url: Option<String>,
    /// Most connections to the tenant store, 1 to 1000 [default: 8]
    #[arg(long, env = "DATABASE_POOL_SIZE", global = true, hide_env_values = true)]
    pub database_pool_size: Option<String>,
    /// Most connections to the tenant store for one tenant, so that a flood of one leaves some for the others [default: three
    /// quarters of DATABASE_POOL_SIZE]
    #[arg(long, env = "DATABASE_TENANT_CONNECTIONS", global = true, hide_env_values = true)]
    pub database_tenant_connections: Option<String>,
    /// Folder of the private PostgreSQL and of development's signing key [default: .tenantry]
    #[arg(long, env = "TENANTRY_DATA_DIR", global = true, hide_env_values = true)]
    pub tenantry_data_dir: Option<String>,
    /// Folder that holds the programs postgres and initdb; without it the usual places are searched
    #[arg(long, env = "TENANTRY_PG_BIN", global = true, hide_env_values = true)]
    pub tenantry_pg_bin: Option<String>,
    /// development or production; production refuses demo data, missing secrets and an unsafe database role
    /// [default: development]
    #[arg(long, env = "TENANTRY_ENV", global = true, hide_env_values = true)]
    pub tenantry_env: Option<String>,
    /// Ed25519 private key in PEM format that signs access tokens (newlines may be written as \n); required in
    /// production, made once in development
    #[arg(long, env = "JWT_PRIVATE_KEY", global = true, hide_env_values = true)]
    pub jwt_private_key: Option<String>,
    /// Ed25519 public keys in PEM format, one after the other, whose tokens are still accepted after a rotation
    #[arg(long, env = "JWT_RETIRED_PUBLIC_KEYS", global = true, hide_env_values = true)]
    pub jwt_retired_public_keys: Option<String>,
    /// Claim iss of access tokens [default: tenantry]
    #[arg(long, env = "JWT_ISSUER", global = true, hide_env_values = true)]
    pub jwt_issuer: Option<String>,
    /// Claim aud of access tokens [default: tenantry-api]
    #[arg(long, env = "JWT_AUDIENCE", global = true, hide_env_values = true)]
    pub jwt_audience: Option<String>,
    /// Mail server, e.g. smtp://localhost:1025 or smtps://user:password@mail.example.com; without it mail is written into
    /// the folder mail of the data folder. Required to serve in production
    #[arg(long, env = "SMTP_URL", global = true, hide_env_values = true)]
    pub smtp_url: Option<String>,
    /// Address that mail comes from; no-reply@localhost unless said
    #[arg(long, env = "MAIL_FROM", global = true, hide_env_values = true)]
    pub mail_from: Option<String>,
    /// Page that links in mail lead to, with the token behind # [default: /account of this server]. Required to serve in
    /// production
    #[arg(long, env = "ACCOUNT_URL", global = true, hide_env_values = true)]
    pub account_url: Option<String>,
    /// Most bytes of a request's body [default: 1048576]
    #[arg(long, env = "MAX_BODY_BYTES", global = true, hide_env_values = true)]
    pub max_body_bytes: Option<String>,
    /// Most tokens of a document [default: 10000]
    #[arg(long, env = "GRAPHQL_MAX_TOKENS", global = true, hide_env_values = true)]
    pub graphql_max_tokens: Option<String>,
    /// Most levels of a document [default: 15]
    #[arg(long, env = "GRAPHQL_MAX_DEPTH", global = true, hide_env_values = true)]
    pub graphql_max_depth: Option<String>,
    /// Most aliases of a document [default: 200]
    #[arg(long, env = "GRAPHQL_MAX_ALIASES", global = true, hide_env_values = true)]
    pub graphql_max_aliases: Option<String>,
    /// Most fields of an operation's root [default: 100]
    #[arg(long, env = "GRAPHQL_MAX_ROOT_FIELDS", global = true, hide_env_values = true)]
    pub graphql_max_root_fields: Option<String>,
    /// Most directives of one field [default: 10]
    #[arg(long, env = "GRAPHQL_MAX_DIRECTIVES", global = true, hide_env_values = true)]
    pub graphql_max_directives: Option<String>,
    /// Most fields of a document once its fragments are spread [default: 5000]
    #[arg(long, env = "GRAPHQL_MAX_SELECTIONS", global = true, hide_env_values = true)]
    pub graphql_max_selections: Option<String>,
    /// Most cost of a document [default: 20000]
    #[arg(long, env = "GRAPHQL_MAX_COST", global = true, hide_env_values = true)]
    pub graphql_max_cost: Option<String>,
    /// Most errors of a response [default: 20]
    #[arg(long, env = "GRAPHQL_MAX_ERRORS", global = true, hide_env_values = true)]
    pub graphql_max_errors: Option<String>,
    /// Cost that a user may ask for in a minute [default: 120000]
    #[arg(long, env = "RATE_USER", global = true, hide_env_values = true)]
    pub rate_user: Option<String>,
    /// Cost that an address may ask for in a minute without being signed in [default: 60000]
    #[arg(long, env = "RATE_ADDRESS", global = true, hide_env_values = true)]
    pub rate_address: Option<String>,
    /// Cost that a tenant may ask for in a minute, where its plan says nothing [default: 6000000]
    #[arg(long, env = "RATE_TENANT", global = true, hide_env_values = true)]
    pub rate_tenant: Option<String>,
    /// Whether clients may ask for the schema, on or off [default: on, in production off]
    #[arg(long, env = "GRAPHQL_INTROSPECTION", global = true, hide_env_values = true)]
    pub graphql_introspection: Option<String>,
    /// Port of /metrics alone; without it they are at /metrics of the API in development, and nowhere in production
    #[arg(long, env = "METRICS_PORT", global = true, hide_env_values = true)]
    pub metrics_port: Option<String>,
    /// Where a test has the process killed; nothing in a release build
    #[arg(long, env = "TENANTRY_FAULT", global = true, hide = true, hide_env_values = true)]
    pub tenantry_fault: Option<String>,
    /// Secret key of the payment provider. Checked, but not used by this version: it takes no payments yet
    #[arg(long, env = "STRIPE_SECRET_KEY", global = true, hide_env_values = true)]
    pub stripe_secret_key: Option<String>,
    /// Signing secret of the payment provider's webhooks. Checked, but not used by this version
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", global = true, hide_env_values = true)]
    pub stripe_webhook_secret: Option<String>,
}

/// Where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// On somebody's machine: demo data, a key made on the spot.
    Development,
    /// For real.
    Production,
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
    /// How large a request may be.
    pub limits: Limits,
    /// How much one may use.
    pub rates: RateSettings,
    /// Whether clients may ask for the schema.
    pub introspects: bool,
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

/// Collects what is wrong, so that all of it is told at once.
#[derive(Default)]
struct Checks(Vec<String>);

impl Checks {
    fn parse<T: FromStr>(
        &mut self,
        name: &str,
        text: Option<String>,
        default: T,
        expected: &str,
        fits: fn(&T) -> bool,
    ) -> T {
        let Some(text) = text else { return default };
        match text.trim().parse::<T>() {
            Ok(value) if fits(&value) => value,
            _ => {
                self.0.push(format!("{name} is {text:?}, expected {expected}"));
                default
            }
        }
    }

    /// Secrets are named, never shown.
    fn secret(&mut self, name: &str, text: Option<&String>, expected: &str, fits: impl Fn(&str) -> bool) {
        if text.is_some_and(|text| !fits(text)) {
            self.0.push(format!("{name} is not usable, expected {expected}"));
        }
    }
}

impl TryFrom<Settings> for Config {
    type Error = InvalidConfig;

    fn try_from(settings: Settings) -> Result<Self, InvalidConfig> {
        let mut checks = Checks::default();
        // `NAME=` in a .env file means that it is not set.
        let given = |text: Option<String>| text.filter(|it| !it.trim().is_empty());

        let host = given(settings.host).unwrap_or_else(|| "127.0.0.1".into());
        let port = checks.parse("PORT", given(settings.port), 8080, "a number from 0 to 65535", |_| true);
        let metrics_port = given(settings.metrics_port)
            .map(|text| checks.parse("METRICS_PORT", Some(text), 0, "a number from 0 to 65535", |_| true));
        let pool_size = checks.parse(
            "DATABASE_POOL_SIZE",
            given(settings.database_pool_size),
            PoolSettings::default().max_connections,
            "a number from 1 to 1000",
            |it| (1..=1000).contains(it),
        );
        let sizes = PoolSettings::of_size(pool_size);
        let tenant_connections = checks.parse(
            "DATABASE_TENANT_CONNECTIONS",
            given(settings.database_tenant_connections),
            sizes.each_tenant,
            "a number from 1 to 1000",
            |it| (1..=1000).contains(it),
        );
        let environment = match given(settings.tenantry_env).as_deref() {
            None | Some("development") => Environment::Development,
            Some("production") => Environment::Production,
            Some(other) => {
                checks.0.push(format!("TENANTRY_ENV is {other:?}, expected development or production"));
                Environment::Development
            }
        };
        let (app, owner) = (given(settings.database_url), given(settings.database_owner_url));
        let url = "a PostgreSQL URL such as postgresql://user:password@host:5432/tenantry";
        checks.secret("DATABASE_URL", app.as_ref(), url, is_database_url);
        checks.secret("DATABASE_OWNER_URL", owner.as_ref(), url, is_database_url);
        if app.is_none() && owner.is_some() {
            checks.0.push("DATABASE_OWNER_URL is set without DATABASE_URL, expected both or neither".into());
        }
        let private_key = given(settings.jwt_private_key).map(|it| it.replace("\\n", "\n"));
        let pem = "an Ed25519 private key in PEM format (openssl genpkey -algorithm ed25519)";
        checks.secret("JWT_PRIVATE_KEY", private_key.as_ref(), pem, |it| {
            crate::auth::Tokens::try_new(it, &[], Default::default()).is_ok()
        });
        let retired = split_pems(&given(settings.jwt_retired_public_keys).unwrap_or_default().replace("\\n", "\n"));
        for key in &retired {
            checks.secret("JWT_RETIRED_PUBLIC_KEYS", Some(key), "Ed25519 public keys in PEM format", |it| {
                crate::auth::Tokens::is_public_key(it)
            });
        }
        let (mut limits, mut rates) = (Limits::default(), RateSettings::default());
        limits.body_bytes = checks.parse(
            "MAX_BODY_BYTES",
            given(settings.max_body_bytes),
            limits.body_bytes,
            "a number from 1024 to 100000000",
            |it| (1024..=100_000_000).contains(it),
        );
        limits.tokens = checks.parse(
            "GRAPHQL_MAX_TOKENS",
            given(settings.graphql_max_tokens),
            limits.tokens,
            "a number from 10 to 1000000",
            |it| (10..=1_000_000).contains(it),
        );
        limits.depth = checks.parse(
            "GRAPHQL_MAX_DEPTH",
            given(settings.graphql_max_depth),
            limits.depth,
            "a number from 3 to 30",
            |it| (3..=30).contains(it),
        );
        limits.aliases = checks.parse(
            "GRAPHQL_MAX_ALIASES",
            given(settings.graphql_max_aliases),
            limits.aliases,
            "a number from 0 to 100000",
            |it| (0..=100_000).contains(it),
        );
        limits.root_fields = checks.parse(
            "GRAPHQL_MAX_ROOT_FIELDS",
            given(settings.graphql_max_root_fields),
            limits.root_fields,
            "a number from 1 to 100000",
            |it| (1..=100_000).contains(it),
        );
        limits.directives = checks.parse(
            "GRAPHQL_MAX_DIRECTIVES",
            given(settings.graphql_max_directives),
            limits.directives,
            "a number from 0 to 1000",
            |it| (0..=1000).contains(it),
        );
        limits.selections = checks.parse(
            "GRAPHQL_MAX_SELECTIONS",
            given(settings.graphql_max_selections),
            limits.selections,
            "a number from 1 to 1000000",
            |it| (1..=1_000_000).contains(it),
        );
        limits.cost = checks.parse(
            "GRAPHQL_MAX_COST",
            given(settings.graphql_max_cost),
            limits.cost,
            "a number from 100 to 10000000",
            |it| (100..=10_000_000).contains(it),
        );
        limits.errors = checks.parse(
            "GRAPHQL_MAX_ERRORS",
            given(settings.graphql_max_errors),
            limits.errors,
            "a number from 1 to 1000",
            |it| (1..=1000).contains(it),
        );
        rates.user =
            checks.parse("RATE_USER", given(settings.rate_user), rates.user, "a number from 100 to 4000000000", |it| {
                (100..=4_000_000_000).contains(it)
            });
        rates.address = checks.parse(
            "RATE_ADDRESS",
            given(settings.rate_address),
            rates.address,
            "a number from 100 to 4000000000",
            |it| (100..=4_000_000_000).contains(it),
        );
        rates.tenant = checks.parse(
            "RATE_TENANT",
            given(settings.rate_tenant),
            rates.tenant,
            "a number from 100 to 4000000000",
            |it| (100..=4_000_000_000).contains(it),
        );
        let introspects = match given(settings.graphql_introspection).as_deref() {
            None => environment == Environment::Development,
            Some("on") => true,
            Some("off") => false,
            Some(other) => {
                checks.0.push(format!("GRAPHQL_INTROSPECTION is {other:?}, expected on or off"));
                false
            }
        };
        let smtp_url = given(settings.smtp_url);
        checks.secret("SMTP_URL", smtp_url.as_ref(), "smtp://… or smtps://…", crate::mail::is_smtp_url);
        let mail_from = given(settings.mail_from).unwrap_or_else(|| "no-reply@localhost".into());
        if !crate::mail::is_address(&mail_from) {
            checks.0.push(format!("MAIL_FROM is {mail_from:?}, expected an e-mail address"));
        }
        let account_url = given(settings.account_url);
        if let Some(url) = account_url.as_ref().filter(|it| !it.starts_with("http://") && !it.starts_with("https://")) {
            checks.0.push(format!("ACCOUNT_URL is {url:?}, expected http://… or https://…"));
        }
        checks.secret("STRIPE_SECRET_KEY", given(settings.stripe_secret_key).as_ref(), "sk_… or rk_…", |it| {
            it.starts_with("sk_") || it.starts_with("rk_")
        });
        checks.secret("STRIPE_WEBHOOK_SECRET", given(settings.stripe_webhook_secret).as_ref(), "whsec_…", |it| {
            it.starts_with("whsec_")
        });
        if environment == Environment::Production {
            if app.is_none() {
                checks.0.push("DATABASE_URL is missing, expected a PostgreSQL URL in production".into());
            }
            if private_key.is_none() {
                checks.0.push(format!("JWT_PRIVATE_KEY is missing, expected {pem} in production"));
            }
            checks.secret("DATABASE_URL", app.as_ref(), "a password of at least 12 characters in production", |it| {
                strong_password(it)
            });
        }
        if !checks.0.is_empty() {
            return Err(InvalidConfig(checks.0));
        }
        Ok(Self {
            host,
            port,
            database: app.map_or(Database::Private, |app| Database::Given { app, owner }),
            pool: PoolSettings { each_tenant: tenant_connections.min(pool_size), ..sizes },
            data_dir: given(settings.tenantry_data_dir).map_or_else(|| ".tenantry".into(), PathBuf::from),
            pg_bin: given(settings.tenantry_pg_bin).map(PathBuf::from),
            environment,
            jwt_private_key: private_key,
            jwt_retired_public_keys: retired,
            jwt_issuer: given(settings.jwt_issuer).unwrap_or_else(|| "tenantry".into()),
            jwt_audience: given(settings.jwt_audience).unwrap_or_else(|| "tenantry-api".into()),
            smtp_url,
            mail_from,
            account_url,
            metrics_port,
            limits,
            rates,
            introspects,
            fault: given(settings.tenantry_fault),
        })
    }
}

/// A password in the URL must not be one that can be guessed. Without one the server knows its client some other way
/// (a socket's peer, a certificate).
fn strong_password(url: &str) -> bool {
    url_password(url).is_none_or(|it| it.len() >= 12)
}

fn split_pems(text: &str) -> Vec<String> {
    const END: &str = "-----END PUBLIC KEY-----";
    let mut keys: Vec<String> =
        text.split_inclusive(END).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default() {
        let config = Config::try_from(Settings::default()).unwrap();
        assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 8080));
        assert_eq!(config.database, Database::Private);
        assert_eq!(config.data_dir, PathBuf::from(".tenantry"));
    }

    #[test]
    fn all_mistakes_are_named_at_once_and_no_secret_is_shown() {
        let settings = Settings {
            port: Some("eighty".into()),
            database_pool_size: Some("0".into()),
            database_url: Some("mysql://root:hunter2@host/x".into()),
            tenantry_env: Some("staging".into()),
            jwt_private_key: Some("s3cret".into()),
            smtp_url: Some("http://mail".into()),
            ..Settings::default()
        };
        let message = Config::try_from(settings).unwrap_err().to_string();
        for name in ["PORT", "DATABASE_POOL_SIZE", "DATABASE_URL", "TENANTRY_ENV", "JWT_PRIVATE_KEY", "SMTP_URL"] {
            assert!(message.contains(name), "{name} is missing in: {message}");
        }
        assert!(!message.contains("hunter2") && !message.contains("s3cret"), "{message}");
    }

    #[test]
    fn production_needs_its_secrets() {
        let settings = Settings { tenantry_env: Some("production".into()), ..Settings::default() };
        let message = Config::try_from(settings).unwrap_err().to_string();
        assert!(
            message.contains("DATABASE_URL is missing") && message.contains("JWT_PRIVATE_KEY is missing"),
            "{message}"
        );

        let weak = Settings {
            tenantry_env: Some("production".into()),
            database_url: Some("postgresql://tenantry_app:short@db/tenantry".into()),
            ..Settings::default()
        };
        assert!(Config::try_from(weak).unwrap_err().to_string().contains("at least 12 characters"));
    }

    #[test]
    fn an_empty_variable_is_one_that_is_not_set() {
        let settings = Settings { port: Some(String::new()), database_url: Some(" ".into()), ..Settings::default() };
        assert_eq!(Config::try_from(settings).unwrap().port, 8080);
    }
}
