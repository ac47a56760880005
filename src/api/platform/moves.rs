//! Moves of tenants in the API. Platform administrators only.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use crate::{
    api::{ContextExt, tenants::Isolation},
    base::ids::TenantId,
    features::platform::{Move, MoveState as State},
    graphql::{
        ApiError, DateTime, ErrorClass, Listing, MUTATION_COST, PageArgs, UserError, connection, parse_id, payload,
        settled,
    },
};

/// How far a move is.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum TenantMoveState {
    /// Nobody is at it yet, or it is tried again in a moment.
    Waiting,
    /// The target is made and brought up to date.
    Preparing,
    /// Everything is copied and compared. Reads go on; whoever writes waits, and after some seconds is told `UNAVAILABLE`.
    Copying,
    /// The tenant changes places. It cannot be aborted any more.
    Flipping,
    /// The tenant is at the target.
    Done,
    /// Ended as it was asked to; the tenant is where it was.
    Aborted,
    /// Given up; the tenant is where it was.
    Failed,
}

/// A move of a tenant from one store to another.
#[derive(Clone, SimpleObject)]
pub struct TenantMove {
    /// TypeID with the prefix `mov`.
    pub id: ID,
    /// Who is moved.
    pub tenant_id: ID,
    /// How its data was kept apart.
    pub from: Isolation,
    /// How it is to be kept apart.
    pub to: Isolation,
    /// Where to; null for shared tables.
    pub url: Option<String>,
    /// How far it is.
    pub state: TenantMoveState,
    /// How many rows there are to copy; null before they were counted.
    pub rows_total: Option<i64>,
    /// How many were copied.
    pub rows_copied: i64,
    /// How often it was tried.
    pub attempts: i32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// For how many milliseconds writers waited; null before the end.
    pub write_pause_milliseconds: Option<i64>,
    /// Who asked for it; null for the command line.
    pub requested_by: Option<ID>,
    /// When it was asked for.
    pub created_at: DateTime,
    /// When it ended.
    pub ended_at: Option<DateTime>,
}

impl From<Move> for TenantMove {
    fn from(it: Move) -> Self {
        let pause = it.fenced_at.zip(it.flipped_at).map(|(from, until)| until.duration_since(from).as_millis());
        Self {
            id: it.id.to_string().into(),
            tenant_id: it.tenant.to_string().into(),
            from: it.from.isolation().into(),
            to: it.to.isolation().into(),
            url: it.to.url(),
            state: it.state.into(),
            rows_total: it.rows_total,
            rows_copied: it.rows_copied,
            attempts: it.attempts,
            last_error: it.last_error,
            write_pause_milliseconds: pause.and_then(|it| i64::try_from(it).ok()),
            requested_by: it.requested_by.map(|it| it.to_string().into()),
            created_at: DateTime(it.created_at),
            ended_at: it.ended_at.map(DateTime),
        }
    }
}

/// A tenant to be moved, and where to.
#[derive(InputObject)]
pub struct MoveTenantInput {
    /// Which tenant.
    id: ID,
    /// How its data is to be kept apart.
    isolation: Isolation,
    /// Another server for a database of its own, as `postgresql://host:port`: one of `DATABASE_SERVERS`. Without it the
    /// deployment's own.
    url: Option<String>,
}

/// A move to be ended.
#[derive(InputObject)]
pub struct AbortTenantMoveInput {
    /// Which move.
    id: ID,
}

payload!(
    /// The outcome of `moveTenant`.
    MoveTenantPayload {
        /// The move, which background work carries out; see `platform { tenantMoves }`.
        tenant_move: TenantMove
    }
);
payload!(
    /// The outcome of `abortTenantMove`.
    AbortTenantMovePayload {
        /// The move. It has ended once its state says so.
        tenant_move: TenantMove
    }
);

/// The mutations of moves.
#[derive(Default)]
pub struct MovingMutation;

#[Object]
impl MovingMutation {
    /// Has a tenant moved to a store of another kind, or on another server, while it is served: reads go on, and writes wait
    /// for some seconds. `IN_USE` while it is being moved already.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn move_tenant(&self, ctx: &Context<'_>, input: MoveTenantInput) -> Result<MoveTenantPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id::<TenantId>(&input.id, "input.id")?;
        let wanted = operator.move_tenant(id, input.isolation.into(), input.url.as_deref()).await;
        Ok(view(wanted)?.into())
    }

    /// Ends a move and leaves the tenant where it was. `INVALID_TRANSITION` where there is no way back any more.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn abort_tenant_move(
        &self,
        ctx: &Context<'_>,
        input: AbortTenantMoveInput,
    ) -> Result<AbortTenantMovePayload, ApiError> {
        let operator = ctx.request().operator()?;
        let aborted = operator.abort_move(parse_id(&input.id, "input.id")?).await;
        Ok(view(aborted)?.into())
    }
}

fn view(it: Result<Move, crate::features::platform::PlatformError>) -> Result<Result<TenantMove, UserError>, ApiError> {
    settled(it.map(Into::into))
}

/// A page of the moves of one tenant, or of all.
pub async fn tenant_moves(
    ctx: &Context<'_>,
    tenant: Option<ID>,
    page: PageArgs,
) -> Result<Listing<TenantMove>, ApiError> {
    const KIND: &str = "platform.tenant_moves";
    let page = page.read(KIND)?;
    let tenant = tenant.map(|it| parse_id(&it, "tenantId")).transpose()?;
    let slice = ctx.request().operator()?.moves(tenant, &page).await.map_err(ErrorClass::from)?;
    Ok(connection(KIND, slice, Into::into))
}
