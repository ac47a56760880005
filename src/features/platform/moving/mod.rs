//! Moves of tenants between stores, and making the stores of new ones: as platform administrators ask for them, and as the
//! directory keeps them. They are carried out by [`fleet`](crate::fleet).

pub mod queries;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Operator, PlatformError};
use crate::{
    base::{
        ids::{AdministratorId, MoveId, TenantId},
        paging::{Page, Slice, TimeKey},
        random,
    },
    core::audit::{self, Changes},
    db::{Access, DbError, Isolation, Location, Placement, ScopedTx, Server, migrations},
    features::{auth::operators, tenants::TenantStatus},
};

/// How long what a move left behind is kept, as the last way back.
pub const GRACE: SignedDuration = SignedDuration::from_hours(24);
/// How often a move is tried before it is given up.
pub const MAX_ATTEMPTS: i32 = 5;

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveState {
    /// Nobody is at it yet, or it is tried again in a moment.
    Waiting,
    /// The target is made and brought up to date.
    Preparing,
    /// Writers wait, and everything is copied and compared.
    Copying,
    /// The tenant changes places; from here there is no way back.
    Flipping,
    /// The tenant is at the target.
    Done,
    /// Ended as it was asked to; the tenant is where it was.
    Aborted,
    /// Given up; the tenant is where it was.
    Failed,
}

impl MoveState {
    const ALL: [Self; 7] =
        [Self::Waiting, Self::Preparing, Self::Copying, Self::Flipping, Self::Done, Self::Aborted, Self::Failed];

    /// As the database and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Preparing => "PREPARING",
            Self::Copying => "COPYING",
            Self::Flipping => "FLIPPING",
            Self::Done => "DONE",
            Self::Aborted => "ABORTED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether nothing more happens.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Aborted | Self::Failed)
    }
}

impl std::str::FromStr for MoveState {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is no state of a move")))
    }
}

/// A move of a tenant from one store to another.
#[derive(Clone, Debug)]
pub struct Move {
    /// Its id.
    pub id: MoveId,
    /// Who is moved.
    pub tenant: TenantId,
    /// Where it was.
    pub from: Placement,
    /// Where it is to be.
    pub to: Placement,
    /// How far it is.
    pub state: MoveState,
    /// Whether somebody asked for its end.
    pub abort_wanted: bool,
    /// How many rows there are to copy; `None` before they were counted.
    pub rows_total: Option<i64>,
    /// How many were copied.
    pub rows_copied: i64,
    /// How often it was tried.
    pub attempts: i32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Who asked for it; `None` for the command line.
    pub requested_by: Option<AdministratorId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Since when writers waited.
    pub fenced_at: Option<Timestamp>,
    /// Until when they did.
    pub flipped_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Sort key of a list of moves, newest first.
pub type MoveKey = TimeKey;

/// A store, or rows of the shared one, that is to be removed.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// Its id.
    pub id: Uuid,
    /// Whose it was.
    pub tenant: TenantId,
    /// Where it is.
    pub placement: Placement,
}

/// Where tenants may be placed.
#[derive(Clone, Debug, Default)]
pub struct Places {
    servers: Vec<Server>,
}

impl Places {
    /// Besides the deployment's own server these may hold databases of tenants, as `host:port` with commas.
    ///
    /// # Errors
    /// With the part that is no server, without a login that may stand in it.
    pub fn try_new(servers: &str) -> Result<Self, String> {
        let parts = servers.split(',').map(str::trim).filter(|it| !it.is_empty());
        let servers = parts.map(|part| {
            let location = format!("postgresql://{part}/?schema=x").parse::<Location>().ok();
            location.and_then(|it| it.server).ok_or_else(|| part.rsplit('@').next().unwrap_or_default().to_owned())
        });
        Ok(Self { servers: servers.collect::<Result<_, _>>()? })
    }

    /// A place of this kind for the tenant, of a name that nobody has yet.
    ///
    /// # Errors
    /// `Invalid` for a server that may hold no tenants.
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
                return invalid("Only databases of their own can be on another server.");
            }
            (Isolation::Database, url) => {
                let server = match url {
                    None => None,
                    Some(url) => match self.server(url) {
                        Some(server) => Some(server),
                        None => return invalid("Not one of DATABASE_SERVERS, expected as postgresql://host:port."),
                    },
                };
                Location { server, database: Some(name), schema: migrations::OWN_SCHEMA.into() }
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

impl Operator<'_> {
    /// Has a tenant moved to a store of this kind, by background work.
    ///
    /// # Errors
    /// `NotFound`, `InvalidTransition` for a tenant that is not served, `Invalid` for where it cannot be, `IsMoving`.
    pub async fn move_tenant(
        &self,
        id: TenantId,
        isolation: Isolation,
        url: Option<&str>,
    ) -> Result<Move, PlatformError> {
        let now = self.clock.now();
        let to = self.places.new_place(isolation, url, id)?;
        let directory = self.gate.directory(self.viewer.scope(Some(id)), Access::Write);
        let made = want(&directory, id, &to, Some(self.viewer.administrator), now).await?;
        let details =
            json!({ "from": made.from.isolation().as_str(), "to": made.to.isolation().as_str(), "url": made.to.url() });
        operators::note(&directory, self.viewer, "tenants.move", Some(id), &details, self.origin, now).await?;
        // The tenant's own log tells of it too, and before the move can begin: then nobody writes to it until the end.
        let store = self.gate.tenant(self.viewer.scope(Some(id)), Access::Write);
        let changes = Changes::default()
            .field("isolation", made.from.isolation().as_str(), made.to.isolation().as_str())
            .field("platform_administrator", Value::Null, self.viewer.email.to_string());
        let event = audit::Event::of_platform(Some(self.viewer.administrator.0), "tenants.move", Some(id.0));
        audit::record_as(&store, event.with(changes), now, self.origin).await?;
        store.commit().await?;
        directory.commit().await?;
        self.gate.wakeups().ring_for_stores();
        Ok(made)
    }

    /// Has a move end, and leave the tenant where it was.
    ///
    /// # Errors
    /// `NoSuchMove`, `MoveIsOver` where there is no way back any more.
    pub async fn abort_move(&self, id: MoveId) -> Result<Move, PlatformError> {
        let directory = self.gate.directory(self.viewer.scope(None), Access::Write);
        let before = queries::find(&directory, id).await?.ok_or(PlatformError::NoSuchMove)?;
        let Some(after) = queries::want_abort(&directory, id).await? else {
            return Err(PlatformError::MoveIsOver(before.state));
        };
        let details = json!({ "move": id.to_string() });
        let (tenant, now) = (Some(after.tenant), self.clock.now());
        operators::note(&directory, self.viewer, "tenants.abort_move", tenant, &details, self.origin, now).await?;
        directory.commit().await?;
        self.gate.wakeups().ring_for_stores();
        Ok(after)
    }

    /// A page of the moves, newest first.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn moves(
        &self,
        tenant: Option<TenantId>,
        page: &Page<MoveKey>,
    ) -> Result<Slice<MoveKey, Move>, PlatformError> {
        let directory = self.directory();
        let found = queries::list(&directory, tenant, page).await?;
        directory.end_read();
        Ok(page.slice(found.into_iter().map(|it| ((it.created_at, it.id.0), it)).collect()))
    }
}

/// Directory: notes that the scope's tenant is to be moved; by whom, unless from the command line.
///
/// # Errors
/// `NotFound`, `InvalidTransition`, `IsMoving`, `Invalid` where it is there already.
pub async fn want(
    directory: &ScopedTx,
    id: TenantId,
    to: &Placement,
    by: Option<AdministratorId>,
    now: Timestamp,
) -> Result<Move, PlatformError> {
    let tenant = super::queries::tenant(directory, id).await?.ok_or(PlatformError::NotFound)?;
    if !matches!(tenant.status, TenantStatus::Active | TenantStatus::Suspended) {
        return Err(PlatformError::InvalidTransition(tenant.status));
    }
    let from = queries::placement(directory).await?.ok_or(PlatformError::NotFound)?;
    let (here, there) = (from.isolation(), to.isolation());
    let same_server = from.location().map(|it| it.server.clone()) == to.location().map(|it| it.server.clone());
    if here == there && (here != Isolation::Database || same_server) {
        return Err(PlatformError::Invalid("isolation", "The tenant is there already."));
    }
    let made = queries::insert(directory, MoveId::generate(now), id, &from, to, by, now).await?;
    made.ok_or(PlatformError::IsMoving)
}
