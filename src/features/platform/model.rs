//! Tenants as the platform sees them, and their moves.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    base::{
        ids::{AdministratorId, MoveId, PlanId, TenantId},
        paging::TimeKey,
    },
    db::{DbError, Placement},
    features::{
        auth::SignInError,
        billing::{BillingError, invoices::InvoiceError, plans::PlanError},
        tenants::{Isolation, SettingsError, TenantStatus},
    },
};

/// The state of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveState {
    /// Waiting for a worker, or for the next attempt.
    Waiting,
    /// The target store is created and migrated.
    Preparing,
    /// Writes wait while all rows are copied and compared.
    Copying,
    /// The tenant switches to the target; the move can no longer be aborted.
    Flipping,
    /// The tenant is at the target.
    Done,
    /// Aborted on request; the tenant is where it was.
    Aborted,
    /// Given up after too many attempts; the tenant is where it was.
    Failed,
}

impl MoveState {
    const ALL: [Self; 7] =
        [Self::Waiting, Self::Preparing, Self::Copying, Self::Flipping, Self::Done, Self::Aborted, Self::Failed];

    /// The value in the database and the API.
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

    /// Whether the move has ended.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Aborted | Self::Failed)
    }
}

impl std::str::FromStr for MoveState {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a move state")))
    }
}

/// A move of a tenant from one store to another.
#[derive(Clone, Debug)]
pub struct Move {
    /// Its id.
    pub id: MoveId,
    /// The tenant.
    pub tenant: TenantId,
    /// The source.
    pub from: Placement,
    /// The target.
    pub to: Placement,
    /// The state.
    pub state: MoveState,
    /// Whether its abortion was requested.
    pub abort_wanted: bool,
    /// The number of rows to copy; `None` before they were counted.
    pub rows_total: Option<i64>,
    /// The number of copied rows.
    pub rows_copied: i64,
    /// The number of attempts.
    pub attempts: i32,
    /// The error of the last attempt.
    pub last_error: Option<String>,
    /// Who requested it; `None` for the command line.
    pub requested_by: Option<AdministratorId>,
    /// When it was requested.
    pub created_at: Timestamp,
    /// Since when writes waited.
    pub fenced_at: Option<Timestamp>,
    /// Until when writes waited.
    pub flipped_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Sort key of a list of moves, newest first.
pub type MoveKey = TimeKey;

/// A store, or rows in the shared store, to be removed.
#[derive(Clone, Debug)]
pub struct Leftover {
    /// Its id.
    pub id: Uuid,
    /// The former tenant.
    pub tenant: TenantId,
    /// The placement.
    pub placement: Placement,
}

/// A tenant, as stored in the directory.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The id, globally unique.
    pub id: TenantId,
    /// The name in URLs.
    pub slug: String,
    /// The display name.
    pub name: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// How the tenant's data is isolated.
    pub isolation: Isolation,
    /// The plan.
    pub plan: Option<PlanId>,
    /// Why the tenant is suspended, if it is.
    pub suspended_reason: Option<String>,
    /// When a deleted tenant is erased permanently.
    pub erase_after: Option<Timestamp>,
    /// When the tenant was created.
    pub created_at: Timestamp,
}

/// The order of a list of tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TenantOrder {
    /// Newest first.
    #[default]
    CreatedAtDesc,
    /// Oldest first.
    CreatedAtAsc,
    /// By name.
    NameAsc,
    /// By name, descending.
    NameDesc,
}

/// Sort key of a list of tenants: the sort column as text, and the id.
pub type TenantKey = (String, Uuid);

/// Which tenants a list contains. An empty filter selects all.
#[derive(Clone, Debug, Default)]
pub struct TenantFilter {
    /// Only tenants with these statuses.
    pub statuses: Option<Vec<TenantStatus>>,
    /// Only tenants on the plan with this key.
    pub plan: Option<String>,
    /// Only tenants whose name or slug contains this text, ignoring case.
    pub search: Option<String>,
}

/// Statistics about the tenants.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// By status.
    pub by_status: Vec<(TenantStatus, i64)>,
    /// Tenants that are not deleted, by the key of their plan.
    pub by_plan: Vec<(String, i64)>,
    /// Tenants created in the last thirty days that are not deleted.
    pub new_in_thirty_days: i64,
}

/// An entry of the platform's log.
#[derive(Clone, Debug)]
pub struct Event {
    /// The id, which orders entries.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// The administrator; `None` for the command line, background work and failed sign-ins.
    pub administrator: Option<AdministratorId>,
    /// Feature and verb.
    pub action: String,
    /// The tenant concerned.
    pub tenant: Option<TenantId>,
    /// Further details.
    pub details: Value,
    /// The client's address.
    pub address: Option<String>,
}

/// Sort key of the platform's log, newest first.
pub type EventKey = TimeKey;

/// Why an operation on a tenant failed.
#[derive(Debug)]
pub enum PlatformError {
    /// There is no such tenant.
    NotFound,
    /// There is no such plan.
    PlanNotFound,
    /// The tenant has an administrator, who can invite others.
    HasAdministrator,
    /// The tenant's status does not allow this.
    InvalidTransition(TenantStatus),
    /// A value is out of range: the field and the message.
    Invalid(&'static str, &'static str),
    /// An error of the plan catalogue.
    Plan(PlanError),
    /// An error about an invoice.
    Invoice(InvoiceError),
    /// A billing error.
    Billing(BillingError),
    /// No given-up event has this id.
    NoSuchEvent,
    /// The tenant is already being moved.
    IsMoving,
    /// There is no such move.
    NoSuchMove,
    /// The move is in this state and can no longer be aborted.
    MoveIsOver(MoveState),
    /// A sign-in error.
    SignIn(SignInError),
    /// A settings error.
    Settings(SettingsError),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for PlatformError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<PlanError> for PlatformError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<InvoiceError> for PlatformError {
    fn from(error: InvoiceError) -> Self {
        Self::Invoice(error)
    }
}

impl From<BillingError> for PlatformError {
    fn from(error: BillingError) -> Self {
        Self::Billing(error)
    }
}

impl From<SignInError> for PlatformError {
    fn from(error: SignInError) -> Self {
        Self::SignIn(error)
    }
}

impl From<SettingsError> for PlatformError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error)
    }
}

impl TenantOrder {
    pub(super) fn key(self, tenant: &Listed) -> TenantKey {
        let text = match self {
            Self::CreatedAtAsc | Self::CreatedAtDesc => tenant.created_at.to_string(),
            Self::NameAsc | Self::NameDesc => tenant.name.clone(),
        };
        (text, tenant.id.0)
    }
}
