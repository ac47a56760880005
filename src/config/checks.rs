//! Turns texts into the configuration, and reports all errors at once.

use std::{fmt::Display, num::NonZero, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use super::{
    model::{Config, Database, Environment, InvalidConfig, Payments},
    settings::Settings,
};
use crate::{
    db::{PoolSettings, StoreSettings, is_database_url, url_password},
    features::{platform::moving::Places, usage::rate_limits::RateSettings},
    graphql::Limits,
    http::{BODY_PATIENCE, Origins, Patience, Proxies, SocketSettings},
};

/// `NAME=` in a .env file means that the variable is not set.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|it| !it.trim().is_empty())
}

/// Collects errors, so that all of them are reported at once.
#[derive(Default)]
pub(super) struct Checks(Vec<String>);

impl Checks {
    /// A number in this range, or the default when it is not set.
    fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        text: Option<String>,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        let Some(text) = given(text) else { return default };
        match text.trim().parse::<T>() {
            Ok(value) if range.contains(&value) => value,
            _ => {
                self.0.push(format!("{name} is {text:?}, expected a number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    /// A number of whole seconds.
    fn seconds(&mut self, name: &str, text: Option<String>, default: Duration, range: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(name, text, default.as_secs(), range))
    }

    pub(super) fn switch(&mut self, name: &str, text: Option<String>, default: bool) -> bool {
        match given(text).as_deref() {
            None => default,
            Some("on") => true,
            Some("off") => false,
            Some(other) => {
                self.0.push(format!("{name} is {other:?}, expected on or off"));
                default
            }
        }
    }

    /// A comma-separated list, which may be empty.
    fn list<T: Default>(
        &mut self,
        name: &str,
        text: Option<String>,
        expected: &str,
        read: fn(&str) -> Result<T, String>,
    ) -> T {
        read(&given(text).unwrap_or_default()).unwrap_or_else(|part| {
            self.0.push(format!("{name} contains {part:?}, expected {expected}"));
            T::default()
        })
    }

    /// A secret is named in an error, but never shown.
    fn secret(&mut self, name: &str, text: Option<&String>, expected: &str, fits: impl Fn(&str) -> bool) {
        if text.is_some_and(|text| !fits(text)) {
            self.0.push(format!("{name} is not usable, expected {expected}"));
        }
    }
}

/// A password in the URL must not be easy to guess. Without a password, the server authenticates its client in
/// another way (a socket's peer, a certificate).
pub(super) fn strong_password(url: &str) -> bool {
    url_password(url).is_none_or(|it| it.len() >= 12)
}

pub(super) fn split_pems(text: &str) -> Vec<String> {
    const END: &str = "-----END PUBLIC KEY-----";
    let mut keys: Vec<String> =
        text.split_inclusive(END).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect();
    keys.dedup();
    keys
}

impl TryFrom<Settings> for Config {
    type Error = InvalidConfig;

    fn try_from(settings: Settings) -> Result<Self, InvalidConfig> {
        let mut checks = Checks::default();

        let host = given(settings.host).unwrap_or_else(|| "127.0.0.1".into());
        let port = checks.number("PORT", settings.port, 8080, 0..=u16::MAX);
        let metrics_port =
            given(settings.metrics_port).map(|text| checks.number("METRICS_PORT", Some(text), 0, 0..=u16::MAX));
        let usual = PoolSettings::default();
        let pool_size =
            checks.number("DATABASE_POOL_SIZE", settings.database_pool_size, usual.max_connections, 1..=1000);
        let sizes = PoolSettings::of_size(pool_size);
        let each_tenant = checks.number(
            "DATABASE_TENANT_CONNECTIONS",
            settings.database_tenant_connections,
            sizes.each_tenant,
            1..=1000,
        );
        let statement = checks.seconds("STATEMENT_TIMEOUT", settings.statement_timeout, usual.statement, 1..=600);
        let usual = StoreSettings::default();
        let stores = StoreSettings {
            budget: checks.number(
                "DATABASE_STORE_CONNECTIONS",
                settings.database_store_connections,
                usual.budget,
                1..=1000,
            ),
            idle: checks.seconds("DATABASE_STORE_IDLE", settings.database_store_idle, usual.idle, 1..=86_400),
            ..usual
        };
        let pool = PoolSettings { each_tenant: each_tenant.min(pool_size), statement, stores, ..sizes };
        let expected = "servers such as db2.example.com:5432";
        let places = checks.list("DATABASE_SERVERS", settings.database_servers, expected, Places::try_new);
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
        let platform = given(settings.database_platform_url);
        checks.secret("DATABASE_PLATFORM_URL", platform.as_ref(), url, is_database_url);
        let direct = given(settings.database_direct_url);
        checks.secret("DATABASE_DIRECT_URL", direct.as_ref(), url, is_database_url);
        match (given(settings.database_pooler).as_deref(), &direct) {
            (None | Some("none"), None) | (Some("transaction"), Some(_)) => {}
            (None | Some("none"), Some(_)) => {
                checks.0.push("DATABASE_DIRECT_URL is set without DATABASE_POOLER=transaction".into());
            }
            (Some("transaction"), None) => {
                checks.0.push("DATABASE_DIRECT_URL is missing, expected with DATABASE_POOLER=transaction".into());
            }
            (Some(other), _) => {
                checks.0.push(format!("DATABASE_POOLER is {other:?}, expected transaction or none"));
            }
        }
        let urls =
            [("DATABASE_OWNER_URL", &owner), ("DATABASE_PLATFORM_URL", &platform), ("DATABASE_DIRECT_URL", &direct)];
        for (name, other) in urls {
            if app.is_none() && other.is_some() {
                checks.0.push(format!("{name} is set without DATABASE_URL, expected both or neither"));
            }
        }
        // A private PostgreSQL shares the machine. Threads beyond the server's half of the CPUs only cause extra
        // wake-ups (docs/performance.md).
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        let usual = if app.is_some() { cpus } else { cpus.div_ceil(2) };
        let workers = checks.number("WORKER_THREADS", settings.worker_threads, usual, 1..=1024);
        let private_key = given(settings.jwt_private_key).map(|it| it.replace("\\n", "\n"));
        let pem = "an Ed25519 private key in PEM format (openssl genpkey -algorithm ed25519)";
        checks.secret("JWT_PRIVATE_KEY", private_key.as_ref(), pem, |it| {
            crate::features::auth::Tokens::try_new(it, &[], Default::default()).is_ok()
        });
        let retired = split_pems(&given(settings.jwt_retired_public_keys).unwrap_or_default().replace("\\n", "\n"));
        for key in &retired {
            checks.secret("JWT_RETIRED_PUBLIC_KEYS", Some(key), "Ed25519 public keys in PEM format", |it| {
                crate::features::auth::Tokens::is_public_key(it)
            });
        }
        let usual = Limits::default();
        let limits = Limits {
            body_bytes: checks.number("MAX_BODY_BYTES", settings.max_body_bytes, usual.body_bytes, 1024..=100_000_000),
            tokens: checks.number("GRAPHQL_MAX_TOKENS", settings.graphql_max_tokens, usual.tokens, 10..=1_000_000),
            depth: checks.number("GRAPHQL_MAX_DEPTH", settings.graphql_max_depth, usual.depth, 3..=30),
            aliases: checks.number("GRAPHQL_MAX_ALIASES", settings.graphql_max_aliases, usual.aliases, 0..=100_000),
            root_fields: checks.number(
                "GRAPHQL_MAX_ROOT_FIELDS",
                settings.graphql_max_root_fields,
                usual.root_fields,
                1..=100_000,
            ),
            directives: checks.number(
                "GRAPHQL_MAX_DIRECTIVES",
                settings.graphql_max_directives,
                usual.directives,
                0..=1000,
            ),
            selections: checks.number(
                "GRAPHQL_MAX_SELECTIONS",
                settings.graphql_max_selections,
                usual.selections,
                1..=1_000_000,
            ),
            cost: checks.number("GRAPHQL_MAX_COST", settings.graphql_max_cost, usual.cost, 100..=10_000_000),
            errors: checks.number("GRAPHQL_MAX_ERRORS", settings.graphql_max_errors, usual.errors, 1..=1000),
            batch: checks.number("GRAPHQL_MAX_BATCH", settings.graphql_max_batch, usual.batch, 0..=100),
            answer_bytes: checks.number(
                "MAX_ANSWER_BYTES",
                settings.max_answer_bytes,
                usual.answer_bytes,
                65_536..=1_000_000_000,
            ),
        };
        let (usual, most) = (RateSettings::default(), 4_000_000_000);
        let rates = RateSettings {
            user: checks.number("RATE_USER", settings.rate_user, usual.user, 100..=most),
            address: checks.number("RATE_ADDRESS", settings.rate_address, usual.address, 100..=most),
            tenant: checks.number("RATE_TENANT", settings.rate_tenant, usual.tenant, 100..=most),
        };
        let is_development = environment == Environment::Development;
        let introspects = checks.switch("GRAPHQL_INTROSPECTION", settings.graphql_introspection, is_development);
        let usual = Patience::default();
        let connections = checks.number("MAX_CONNECTIONS", settings.max_connections, usual.connections, 1..=1_000_000);
        let patience = Patience {
            header: checks.seconds("HEADER_TIMEOUT", settings.header_timeout, usual.header, 1..=600),
            write: checks.seconds("WRITE_TIMEOUT", settings.write_timeout, usual.write, 1..=600),
            drain: checks.seconds("DRAIN_TIMEOUT", settings.drain_timeout, usual.drain, 1..=600),
            connections,
            connections_of_address: checks.number(
                "MAX_CONNECTIONS_PER_ADDRESS",
                settings.max_connections_per_address,
                (connections / 4).max(1),
                1..=1_000_000,
            ),
        };
        let body_patience = checks.seconds("BODY_TIMEOUT", settings.body_timeout, BODY_PATIENCE, 1..=600);
        let request_limit =
            checks.seconds("REQUEST_TIMEOUT", settings.request_timeout, Duration::from_secs(30), 1..=600);
        let usual_delay = Duration::from_secs(if is_development { 0 } else { 5 });
        let stop_delay = checks.seconds("STOP_DELAY", settings.stop_delay, usual_delay, 0..=300);
        let usual = SocketSettings::default();
        let sockets = SocketSettings {
            each_user: checks.number("SOCKETS_PER_USER", settings.sockets_per_user, usual.each_user, 1..=10_000),
            operations: checks.number(
                "OPERATIONS_PER_SOCKET",
                settings.operations_per_socket,
                usual.operations,
                1..=10_000,
            ),
            message_bytes: checks.number(
                "SOCKET_MESSAGE_BYTES",
                settings.socket_message_bytes,
                usual.message_bytes,
                1024..=100_000_000,
            ),
            mutations: checks.switch("SOCKET_MUTATIONS", settings.socket_mutations, usual.mutations),
            ..usual
        };
        let origin = "complete origins such as https://app.example.com";
        let origins = checks.list("CORS_ORIGINS", settings.cors_origins, origin, Origins::try_new);
        let network = "addresses or networks such as 10.0.0.0/8";
        let proxies = checks.list("TRUSTED_PROXIES", settings.trusted_proxies, network, Proxies::try_new);
        let hsts = checks.number("HSTS_MAX_AGE", settings.hsts_max_age, 0, 0..=63_072_000_u32);
        let webhooks_may_be_private = checks.switch("WEBHOOKS_ALLOW_PRIVATE", settings.webhooks_allow_private, false);
        if webhooks_may_be_private && environment == Environment::Production {
            checks
                .0
                .push("WEBHOOKS_ALLOW_PRIVATE is on, expected off in production: tenants choose the addresses".into());
        }
        let collector = given(settings.otel_exporter_otlp_endpoint);
        if let Some(url) = collector.as_ref().filter(|it| !it.starts_with("http://")) {
            checks.0.push(format!("OTEL_EXPORTER_OTLP_ENDPOINT is {url:?}, expected http://…: a collector nearby"));
        }
        let smtp_url = given(settings.smtp_url);
        checks.secret("SMTP_URL", smtp_url.as_ref(), "smtp://… or smtps://…", crate::features::mail::is_smtp_url);
        let mail_from = given(settings.mail_from).unwrap_or_else(|| "no-reply@localhost".into());
        if !crate::base::text::is_address(&mail_from) {
            checks.0.push(format!("MAIL_FROM is {mail_from:?}, expected an email address"));
        }
        let account_url = given(settings.account_url);
        if let Some(url) = account_url.as_ref().filter(|it| !it.starts_with("http://") && !it.starts_with("https://")) {
            checks.0.push(format!("ACCOUNT_URL is {url:?}, expected http://… or https://…"));
        }
        if environment == Environment::Production
            && let Some(url) = account_url.as_ref().filter(|it| it.starts_with("http://"))
        {
            checks.0.push(format!(
                "ACCOUNT_URL is {url:?}, expected https://… in production: it takes passwords and tokens"
            ));
        }
        let stripe_key = given(settings.stripe_secret_key);
        checks.secret("STRIPE_SECRET_KEY", stripe_key.as_ref(), "sk_… or rk_…", |it| {
            it.starts_with("sk_") || it.starts_with("rk_")
        });
        let stripe_secrets = given(settings.stripe_webhook_secret);
        let each = |text: &str| text.split(',').map(|it| it.trim().to_owned()).collect::<Vec<_>>();
        checks.secret(
            "STRIPE_WEBHOOK_SECRET",
            stripe_secrets.as_ref(),
            "whsec_…, several separated by commas",
            |it| each(it).iter().all(|it| it.starts_with("whsec_") && it.len() > 6),
        );
        let stripe_url = given(settings.stripe_api_url).unwrap_or_else(|| "https://api.stripe.com".into());
        let may_be_plain = environment == Environment::Development && stripe_url.starts_with("http://");
        if !may_be_plain && !stripe_url.starts_with("https://") {
            checks.0.push(format!("STRIPE_API_URL is {stripe_url:?}, expected a URL that starts with https://"));
        }
        let payments = match (given(settings.payment_provider).as_deref(), stripe_key) {
            (Some("none"), _) => Payments::None,
            (Some("in-process"), _) | (None, None) if environment == Environment::Development => Payments::InProcess,
            (None, None) => Payments::None,
            (None | Some("stripe"), Some(secret_key)) => match &stripe_secrets {
                Some(secrets) => Payments::Stripe { secret_key, webhook_secrets: each(secrets), base: stripe_url },
                None => {
                    checks.0.push("STRIPE_WEBHOOK_SECRET is missing: events from Stripe could not be verified".into());
                    Payments::None
                }
            },
            (Some("stripe"), None) => {
                checks.0.push("STRIPE_SECRET_KEY is missing, expected with PAYMENT_PROVIDER=stripe".into());
                Payments::None
            }
            (Some(other), _) => {
                let expected = "expected stripe, none or (in development) in-process";
                checks.0.push(format!("PAYMENT_PROVIDER is {other:?}, {expected}"));
                Payments::None
            }
        };
        if environment == Environment::Production {
            if app.is_none() {
                checks.0.push("DATABASE_URL is missing, expected a PostgreSQL URL in production".into());
            }
            if private_key.is_none() {
                checks.0.push(format!("JWT_PRIVATE_KEY is missing, expected {pem} in production"));
            }
            let strong = "a password of at least 12 characters in production";
            for (name, url) in [("DATABASE_URL", &app), ("DATABASE_PLATFORM_URL", &platform)] {
                checks.secret(name, url.as_ref(), strong, strong_password);
            }
        }
        if !checks.0.is_empty() {
            return Err(InvalidConfig(checks.0));
        }
        Ok(Self {
            host,
            port,
            database: app.map_or(Database::Private, |app| Database::Given { app, owner, platform, direct }),
            pool,
            places,
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
            workers,
            limits,
            rates,
            introspects,
            trusted_documents: given(settings.trusted_documents).map(PathBuf::from),
            origins,
            proxies,
            hsts,
            patience,
            body_patience,
            request_limit,
            stop_delay,
            sockets,
            webhooks_may_be_private,
            payments,
            invoice_issuer: given(settings.invoice_issuer).map(|it| it.replace("\\n", "\n")),
            collector,
            fault: given(settings.tenantry_fault),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::*;
    use std::path::PathBuf;

    #[test]
    fn everything_has_a_default() {
        let config = Config::try_from(Settings::default()).unwrap();
        assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 8080));
        assert_eq!(config.database, Database::Private);
        assert_eq!(config.data_dir, PathBuf::from(".tenantry"));
    }

    #[test]
    fn a_private_postgresql_has_half_of_the_cpus() {
        let workers = |settings| Config::try_from(settings).unwrap().workers;
        let cpus = std::thread::available_parallelism().unwrap().get();
        let url = Some("postgresql://tenantry_app@db/tenantry".to_owned());
        assert_eq!(workers(Settings::default()), cpus.div_ceil(2));
        assert_eq!(workers(Settings { database_url: url, ..Settings::default() }), cpus);
        assert_eq!(workers(Settings { worker_threads: Some("3".into()), ..Settings::default() }), 3);
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
    fn in_production_passwords_are_not_asked_for_by_http() {
        for (environment, url, is_refused) in [
            ("production", "http://app.test/account", true),
            ("production", "https://app.test/account", false),
            ("development", "http://app.test/account", false),
        ] {
            let settings = Settings {
                tenantry_env: Some(environment.into()),
                account_url: Some(url.into()),
                ..Settings::default()
            };
            let message = Config::try_from(settings).err().map(|it| it.to_string()).unwrap_or_default();
            assert_eq!(message.contains("ACCOUNT_URL"), is_refused, "{environment} {url}: {message}");
        }
    }

    #[test]
    fn a_pooler_and_the_way_past_it_belong_together() {
        let url = || Some("postgresql://tenantry_app@db/tenantry".to_owned());
        let settings = |pooler: Option<&str>, direct| Settings {
            database_url: url(),
            database_pooler: pooler.map(str::to_owned),
            database_direct_url: direct,
            ..Settings::default()
        };
        for (pooler, direct, complaint) in [
            (None, None, None),
            (Some("none"), None, None),
            (Some("transaction"), url(), None),
            (Some("transaction"), None, Some("DATABASE_DIRECT_URL is missing")),
            (None, url(), Some("without DATABASE_POOLER")),
            (Some("session"), url(), Some("expected transaction or none")),
        ] {
            let told = Config::try_from(settings(pooler, direct)).err().map(|it| it.to_string());
            assert_eq!(told.is_some(), complaint.is_some(), "{pooler:?}: {told:?}");
            assert!(complaint.is_none_or(|it| told.is_some_and(|told| told.contains(it))), "{pooler:?}");
        }
        let servers = |text: &str| Settings { database_servers: Some(text.into()), ..Settings::default() };
        assert!(Config::try_from(servers("db2.example.com:5432, [::1]:5433")).is_ok());
        assert!(
            Config::try_from(servers("user:secret@db2:5432")).unwrap_err().to_string().contains("DATABASE_SERVERS")
        );
    }

    #[test]
    fn an_empty_variable_is_one_that_is_not_set() {
        let settings = Settings { port: Some(String::new()), database_url: Some(" ".into()), ..Settings::default() };
        assert_eq!(Config::try_from(settings).unwrap().port, 8080);
    }
}
