//! Where a tenant's store is: in the shared tables, or at a [`Location`] of its own.

use std::{fmt, str::FromStr, sync::Arc};

use tokio_postgres::Config;
use url::Url;

use super::DbError;

/// How a tenant's data is isolated from other tenants'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In shared tables, isolated by row-level security.
    Shared,
    /// In a schema of its own.
    Schema,
    /// In a database of its own.
    Database,
}

impl Isolation {
    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "SHARED",
            Self::Schema => "SCHEMA",
            Self::Database => "DATABASE",
        }
    }
}

impl FromStr for Isolation {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        [Self::Shared, Self::Schema, Self::Database]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is not an isolation")))
    }
}

/// Where a tenant's store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the shared tables.
    Shared,
    /// In a schema of its own, or a database of its own.
    Own(Isolation, Arc<Location>),
}

impl Placement {
    /// Parses the directory's columns.
    ///
    /// # Errors
    /// `Corrupt` when they do not describe a placement.
    pub fn read(isolation: &str, url: Option<&str>) -> Result<Self, DbError> {
        match (isolation.parse()?, url) {
            (Isolation::Shared, None) => Ok(Self::Shared),
            (isolation @ (Isolation::Schema | Isolation::Database), Some(url)) => Ok(Self::Own(
                isolation,
                Arc::new(
                    url.parse()
                        .map_err(|error: InvalidLocation| DbError::Corrupt(format!("a tenant's url: {error}")))?,
                ),
            )),
            _ => Err(DbError::Corrupt("a tenant's isolation and url contradict each other".into())),
        }
    }

    /// How the tenant's data is isolated there.
    pub fn isolation(&self) -> Isolation {
        match self {
            Self::Shared => Isolation::Shared,
            Self::Own(isolation, _) => *isolation,
        }
    }

    /// The location, when it is a store of its own; `None` for the shared tables.
    pub fn location(&self) -> Option<&Arc<Location>> {
        match self {
            Self::Shared => None,
            Self::Own(_, location) => Some(location),
        }
    }

    /// The value that the directory stores; `None` for the shared tables.
    pub fn url(&self) -> Option<String> {
        self.location().map(ToString::to_string)
    }
}

/// Where a tenant's own store is: server, database and schema. Omitted parts are those of the shared tables. Contains
/// no login: logins belong to the deployment and are the same on every server.
///
/// Written as `postgresql://host:port/database?schema=name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// A server other than the deployment's, as host and port.
    pub server: Option<Server>,
    /// A database other than the deployment's.
    pub database: Option<String>,
    /// The schema of its tables.
    pub schema: String,
}

/// Host and port of a server.
pub type Server = (String, u16);

/// The text is not a valid location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected postgresql://host:port/database?schema=name")]
pub struct InvalidLocation;

impl Location {
    /// The connection settings for it, with the logins of `base`.
    pub fn config(&self, base: &Config) -> Config {
        let mut config = base.clone();
        if let Some((host, port)) = &self.server {
            config = Config::new();
            config.host(host).port(*port).ssl_mode(base.get_ssl_mode());
            if let Some(user) = base.get_user() {
                config.user(user);
            }
            if let Some(password) = base.get_password() {
                config.password(password);
            }
            if let Some(database) = base.get_dbname() {
                config.dbname(database);
            }
            if let Some(timeout) = base.get_connect_timeout() {
                config.connect_timeout(*timeout);
            }
        }
        if let Some(database) = &self.database {
            config.dbname(database);
        }
        config
    }
}

/// Whether it is a name that SQL accepts without quotes.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|it| it.is_ascii_lowercase())
        && bytes.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
        && text.len() <= 63
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let url = Url::parse(text).map_err(|_| InvalidLocation)?;
        let has_login = !url.username().is_empty() || url.password().is_some();
        if url.scheme() != "postgresql" || has_login || url.fragment().is_some() {
            return Err(InvalidLocation);
        }
        let server = url.host_str().filter(|it| !it.is_empty());
        if server.is_none() && url.port().is_some() {
            return Err(InvalidLocation);
        }
        let server = server.map(|host| (host.trim_matches(['[', ']']).to_owned(), url.port().unwrap_or(5432)));
        let database = Some(url.path().trim_start_matches('/')).filter(|it| !it.is_empty()).map(str::to_owned);
        let mut schema = None;
        for (key, value) in url.query_pairs() {
            if key != "schema" || schema.replace(value.into_owned()).is_some() {
                return Err(InvalidLocation);
            }
        }
        let schema = schema.ok_or(InvalidLocation)?;
        if !is_name(&schema) || database.as_deref().is_some_and(|it| !is_name(it)) {
            return Err(InvalidLocation);
        }
        Ok(Self { server, database, schema })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgresql://")?;
        if let Some((host, port)) = &self.server {
            write!(f, "{}:{port}", bracketed(host))?;
        }
        write!(f, "/{}?schema={}", self.database.as_deref().unwrap_or_default(), self.schema)
    }
}

/// Puts an IPv6 address in brackets, so that a port can follow.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    /// Host and port of what a URL of ours leads to first, for people.
    fn server_of(config: &Config) -> String {
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first() {
            Some(Host::Tcp(host)) => format!("{}:{port}", bracketed(host)),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => format!("localhost:{port}"),
        }
    }

    #[test]
    fn locations_are_read_as_they_are_written() {
        for text in [
            "postgresql:///?schema=tenant_1",
            "postgresql:///tenant_1?schema=tenant",
            "postgresql://db2.internal:5433/tenant_1?schema=tenant",
            "postgresql://[::1]:5432/tenant_1?schema=tenant",
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_location_is_refused() {
        for text in [
            "",
            "postgresql:///",
            "postgresql:///x",
            "mysql:///x?schema=y",
            "postgresql://user:secret@db:5432/x?schema=y",
            "postgresql:///x?schema=y&options=-c",
            "postgresql:///x?schema=y;drop",
            "postgresql:///X?schema=y",
            "postgresql:///x?schema=a&schema=b",
        ] {
            assert_eq!(text.parse::<Location>(), Err(InvalidLocation), "{text}");
        }
    }

    #[test]
    fn a_location_takes_logins_and_gives_the_rest() {
        let base: Config = "postgresql://app:secret@main:5432/tenantry".parse().unwrap();
        let own = "postgresql://other:5433/acme?schema=tenant".parse::<Location>().unwrap().config(&base);
        assert_eq!((own.get_user(), own.get_password()), (Some("app"), Some("secret".as_bytes())));
        assert_eq!((own.get_dbname(), server_of(&own).as_str()), (Some("acme"), "other:5433"));
        let here = "postgresql:///acme?schema=tenant".parse::<Location>().unwrap().config(&base);
        assert_eq!((here.get_dbname(), server_of(&here).as_str()), (Some("acme"), "main:5432"));
    }
}
