//! The servers on which tenants can be placed.

use crate::{
    base::{ids::TenantId, random},
    db::{Isolation, Location, Placement, Server, schemas},
    features::platform::PlatformError,
};

/// The servers on which tenants can be placed.
#[derive(Clone, Debug, Default)]
pub struct Places {
    servers: Vec<Server>,
}

impl Places {
    /// Parses the servers that may hold tenants' databases besides the deployment's own, as `host:port` separated by
    /// commas.
    ///
    /// # Errors
    /// The part that is not a server, without a login that it may contain.
    pub fn try_new(servers: &str) -> Result<Self, String> {
        let parts = servers.split(',').map(str::trim).filter(|it| !it.is_empty());
        let servers = parts.map(|part| {
            let location = format!("postgresql://{part}/?schema=x").parse::<Location>().ok();
            location.and_then(|it| it.server).ok_or_else(|| part.rsplit('@').next().unwrap_or_default().to_owned())
        });
        Ok(Self { servers: servers.collect::<Result<_, _>>()? })
    }

    /// A placement of this kind for the tenant, with a new unique name.
    ///
    /// # Errors
    /// `Invalid` for a server that may not hold tenants.
    pub fn new_place(
        &self,
        isolation: Isolation,
        url: Option<&str>,
        tenant: TenantId,
    ) -> Result<Placement, PlatformError> {
        let name = format!("tenant_{}_{:08x}", tenant.0.simple(), u32::from_be_bytes(random::bytes()));
        let invalid = |why| Err(PlatformError::Invalid("url", why));
        let location = match (isolation, url) {
            (Isolation::Shared, None) => return Ok(Placement::Shared),
            (Isolation::Schema, None) => Location { server: None, database: None, schema: name },
            (Isolation::Shared | Isolation::Schema, Some(_)) => {
                return invalid("Only a dedicated database can be on another server.");
            }
            (Isolation::Database, url) => {
                let server = match url {
                    None => None,
                    Some(url) => match self.server(url) {
                        Some(server) => Some(server),
                        None => return invalid("Not one of DATABASE_SERVERS, expected as postgresql://host:port."),
                    },
                };
                Location { server, database: Some(name), schema: schemas::OWN_SCHEMA.into() }
            }
        };
        Ok(Placement::Own(isolation, location.into()))
    }

    fn server(&self, url: &str) -> Option<Server> {
        let bare = url.trim_end_matches('/');
        let location = format!("{bare}/?schema=x").parse::<Location>().ok().filter(|it| it.database.is_none())?;
        location.server.filter(|it| self.servers.contains(it))
    }
}
