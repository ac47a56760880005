//! The state of a transaction that has begun: its connection, its opening and its end.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Object;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio_postgres::{
    NoTls, Row,
    error::SqlState,
    types::{ToSql, Type},
};
use tracing::warn;

use super::{
    DbError, Placement, common::Common, connection_handoff::Connection, flush::write_now, held::HeldConnection,
    placement_cache::PlacementCache, scope::Scope,
};

/// A bind parameter.
pub type Param<'a> = &'a (dyn ToSql + Sync);

pub(super) const ENTER: &str = "-- db.enter
    select enter($1, $2, $3, $4, $5)::text || current_setting('app.restriction', true)";

/// How long a dropped transaction's statement may continue before it is cancelled.
const DRAIN_GRACE: Duration = Duration::from_millis(100);

/// How long the cancel itself may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// Whether a transaction may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `begin read only`: the server refuses every write.
    Read,
    /// Reads and writes.
    Write,
}

/// Why a tenant's users may read but not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// The tenant's payment is overdue and its grace period is over.
    Overdue,
    /// The tenant's subscription is paused.
    Paused,
}

impl Restriction {
    /// As the database spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overdue => "OVERDUE",
            Self::Paused => "PAUSED",
        }
    }
}

impl std::str::FromStr for Restriction {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        [Self::Overdue, Self::Paused]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| DbError::Corrupt(format!("{text:?} is not a restriction")))
    }
}

/// The state of a transaction that has begun. The last owner to drop it ends it, so nothing is sent after its end.
pub(super) struct Live {
    /// The answers of `begin` and `enter`, awaited with the first statement's. When something failed, they know the
    /// cause.
    pub(super) opening: Option<Opening>,
    /// `None` only while it is being dropped.
    pub(super) held: Option<HeldConnection>,
    pub(super) in_flight: AtomicUsize,
    /// How many earlier transactions on the connection may have been unanswered when this one began.
    pub(super) behind: usize,
    pub(super) end: Mutex<End>,
    /// Set on the first try, when the tenant may be elsewhere.
    pub(super) tried: Option<Tried>,
    pub(super) common: Arc<Common>,
}

/// How a transaction that has begun ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Not ended: dropping it rolls it back.
    Open,
    /// It has only read, nothing failed, and everything was answered: its commit can go out with the next transaction.
    HasRead,
    /// It reads, has sent everything it will, and the connection has been handed on.
    HandedOn,
    /// Its commit or rollback was sent.
    Sent,
}

type Opening = Shared<BoxFuture<'static, Result<Option<Restriction>, DbError>>>;

impl Live {
    pub(super) fn held(&self) -> &HeldConnection {
        // Unwrap safety: only `drop` takes it.
        self.held.as_ref().expect("a connection")
    }

    pub(super) fn client(&self) -> &Arc<Connection> {
        &self.held().client
    }

    /// Hands the connection on before it has answered. From then on nothing is sent on it for this transaction.
    pub(super) fn hand_on(&self) -> bool {
        let handed = self.held().hand_on_unanswered(self.behind + 1);
        if handed {
            *self.end.lock() = End::HandedOn;
        }
        handed
    }

    /// How many transactions have to be answered, including this one.
    pub(super) fn turns(&self) -> u32 {
        u32::try_from(self.behind).unwrap_or(u32::MAX).saturating_add(1)
    }

    pub(super) fn is_handed_on(&self) -> bool {
        *self.end.lock() == End::HandedOn
    }

    pub(super) async fn opened(&self) -> Result<Option<Restriction>, DbError> {
        // Unwrap safety: only `drop` takes it.
        self.opening.clone().expect("an opening").await
    }
}

/// A statement that is ready to send.
pub(super) enum Statement {
    /// Prepared in the session under a name.
    Prepared(tokio_postgres::Statement),
    /// Sent in full, with the types of its parameters.
    Unnamed(&'static str, Arc<[Type]>),
}

impl Statement {
    pub(super) async fn of(
        common: &Common,
        held: &HeldConnection,
        sql: &'static str,
    ) -> Result<Self, tokio_postgres::Error> {
        match &common.pooler {
            None => Ok(Self::Prepared(held.client.prepare_cached(sql).await?)),
            Some(pooler) => Ok(Self::Unnamed(sql, Box::pin(pooler.types.of(held.schema(), sql)).await?)),
        }
    }

    pub(super) async fn run(&self, client: &Object, params: &[Param<'_>]) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self {
            Self::Prepared(statement) => client.query(statement, params).await,
            Self::Unnamed(sql, types) => {
                let typed: Vec<_> = params.iter().copied().zip(types.iter().cloned()).collect();
                client.query_typed(sql, &typed).await
            }
        }
    }
}

/// Where a transaction was tried first.
#[derive(Clone)]
pub(super) struct Tried {
    pub(super) placements: Arc<PlacementCache>,
    pub(super) placement: Placement,
}

pub(super) async fn begin(
    client: Arc<Connection>,
    begin: Cow<'static, str>,
    enter: Statement,
    scope: Scope,
    access: Access,
) -> Result<Option<Restriction>, DbError> {
    let (tenant, user, session) =
        (scope.tenant.map(|it| it.0), scope.user.map(|it| it.0), scope.session.map(|it| it.0));
    let (role, write) = (scope.role.as_str(), access == Access::Write);
    let params: [Param<'_>; 5] = [&tenant, &user, &role, &session, &write];
    // Polled together, so both are written before either is answered.
    let (begun, entered) = futures_util::join!(client.batch_execute(&begin), enter.run(&client, &params));
    begun?;
    let noted = entered.map_err(entering)?.first().and_then(|row| row.get::<_, Option<String>>(0));
    noted.filter(|it| !it.is_empty()).map(|it| it.parse()).transpose()
}

/// Maps the error of `enter`: a schema without `enter` is not a store.
pub(super) fn entering(error: tokio_postgres::Error) -> DbError {
    match error.code() {
        Some(code) if [SqlState::UNDEFINED_FUNCTION, SqlState::INVALID_SCHEMA_NAME].contains(code) => {
            DbError::StoreMissing
        }
        _ => error.into(),
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // An answer that nobody polls blocks everything behind it, so the opening is either awaited or dropped.
        let opening = self.opening.take().filter(|_| self.behind > 0);
        let Some(held) = self.held.take() else { return };
        match *self.end.get_mut() {
            End::HasRead if self.in_flight.load(Ordering::Relaxed) == 0 => return held.end_read(),
            End::HandedOn | End::Sent => return,
            End::HasRead | End::Open => {}
        }
        write_now(held.client.batch_execute("rollback"));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            held.close();
            return;
        };
        self.common.stats.abandoned.fetch_add(1, Ordering::Relaxed);
        let patience = self.common.patience * self.turns();
        runtime.spawn(async move {
            // Earlier statements of other transactions are answered first: a cancel must not hit them.
            if let Some(opening) = opening
                && tokio::time::timeout(patience, opening).await.is_err()
            {
                held.close();
                return;
            }
            // A second rollback is answered after the first, and so after every statement before it.
            let drained = tokio::time::timeout(DRAIN_GRACE, held.client.batch_execute("rollback")).await;
            if matches!(drained, Ok(Ok(()))) {
                return; // The connection returns to the pool clean.
            }
            let cancel = held.client.cancel_token();
            if tokio::time::timeout(CANCEL_LIMIT, cancel.cancel_query(NoTls)).await.is_err() {
                warn!("a cancel request was not answered; closing the connection anyway");
            }
            held.close();
        });
    }
}
