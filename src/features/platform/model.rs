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

/// A tenant, as the directory knows it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Everywhere.
    pub id: TenantId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// How its data is kept apart.
    pub isolation: Isolation,
    /// What it has subscribed to.
    pub plan: Option<PlanId>,
    /// Why it is suspended.
    pub suspended_reason: Option<String>,
    /// When it is erased for good.
    pub erase_after: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a list of tenants is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TenantOrder {
    /// Newest first.
    #[default]
    CreatedAtDesc,
    /// Oldest first.
    CreatedAtAsc,
    /// By name.
    NameAsc,
    /// By name, backwards.
    NameDesc,
}

/// Sort key of a list of tenants: what it is sorted by, as text, and the id.
pub type TenantKey = (String, Uuid);

/// Which tenants a list holds. An empty filter holds all.
#[derive(Clone, Debug, Default)]
pub struct TenantFilter {
    /// Only these.
    pub statuses: Option<Vec<TenantStatus>>,
    /// Only those on the plan with this key.
    pub plan: Option<String>,
    /// Only those whose name or slug contains this, whatever the case.
    pub search: Option<String>,
}

/// How many tenants there are.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// By status.
    pub by_status: Vec<(TenantStatus, i64)>,
    /// Those that are not deleted, by the key of their plan.
    pub by_plan: Vec<(String, i64)>,
    /// Made in the last thirty days, and not deleted.
    pub new_in_thirty_days: i64,
}

/// One line of the platform's log.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who; `None` for the command line, background work and failed sign-ins.
    pub administrator: Option<AdministratorId>,
    /// Feature and verb.
    pub action: String,
    /// To which tenant.
    pub tenant: Option<TenantId>,
    /// More of it.
    pub details: Value,
    /// From where.
    pub address: Option<String>,
}

/// Sort key of the platform's log, newest first.
pub type EventKey = TimeKey;

/// Why something could not be done to a tenant.
#[derive(Debug)]
pub enum PlatformError {
    /// There is no such tenant.
    NotFound,
    /// There is no such plan.
    PlanNotFound,
    /// The tenant has an administrator, who invites by himself.
    HasAdministrator,
    /// A tenant in this status is not brought into that one.
    InvalidTransition(TenantStatus),
    /// A value is out of its bounds: which field, and what it has to be.
    Invalid(&'static str, &'static str),
    /// What the price list says.
    Plan(PlanError),
    /// What an invoice says.
    Invoice(InvoiceError),
    /// What billing says.
    Billing(BillingError),
    /// There is no such event that was given up.
    NoSuchEvent,
    /// The tenant is being moved already.
    IsMoving,
    /// There is no such move.
    NoSuchMove,
    /// The move is in this state, from which there is no way back.
    MoveIsOver(MoveState),
    /// What signing in says.
    SignIn(SignInError),
    /// What settings say.
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
