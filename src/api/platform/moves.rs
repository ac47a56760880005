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

/// The state of a move.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum TenantMoveState {
    /// Not started yet, or about to be retried.
    Waiting,
    /// The target is created and brought up to date.
    Preparing,
    /// Data is copied and compared. Reads continue; writes wait, and fail with `UNAVAILABLE` after some seconds.
    Copying,
    /// The tenant switches to the target. The move can no longer be aborted.
    Flipping,
    /// The tenant is at the target.
    Done,
    /// Aborted on request; the tenant is where it was.
    Aborted,
    /// Failed for good; the tenant is where it was.
    Failed,
}

/// A move of a tenant from one store to another.
#[derive(Clone, SimpleObject)]
pub struct TenantMove {
    /// TypeID with the prefix `mov`.
    pub id: ID,
    /// The tenant that is moved.
    pub tenant_id: ID,
    /// How its data was isolated before.
    pub from: Isolation,
    /// How its data is isolated after the move.
    pub to: Isolation,
    /// The target; null for shared tables.
    pub url: Option<String>,
    /// The state of the move.
    pub state: TenantMoveState,
    /// Number of rows to copy; null before they were counted.
    pub rows_total: Option<i64>,
    /// Number of rows copied.
    pub rows_copied: i64,
    /// Number of attempts.
    pub attempts: i32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// How long writers waited, in milliseconds; null before the end.
    pub write_pause_milliseconds: Option<i64>,
    /// Who requested it; null for the command line.
    pub requested_by: Option<ID>,
    /// When it was requested.
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

/// A tenant to be moved, and its target.
#[derive(InputObject)]
pub struct MoveTenantInput {
    /// The tenant.
    id: ID,
    /// How its data is isolated after the move.
    isolation: Isolation,
    /// Another server for a dedicated database, as `postgresql://host:port`: one of `DATABASE_SERVERS`. When omitted,
    /// the deployment's own server.
    url: Option<String>,
}

/// A move to be aborted.
#[derive(InputObject)]
pub struct AbortTenantMoveInput {
    /// The move.
    id: ID,
}

payload!(
    /// The outcome of `moveTenant`.
    MoveTenantPayload {
        /// The move, which a background worker carries out; see `platform { tenantMoves }`.
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
    /// Moves a tenant to a store of another kind, or on another server, while it is served: reads continue, and
    /// writes wait for some seconds. `IN_USE` while it is already being moved.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn move_tenant(&self, ctx: &Context<'_>, input: MoveTenantInput) -> Result<MoveTenantPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id::<TenantId>(&input.id, "input.id")?;
        let wanted = operator.move_tenant(id, input.isolation.into(), input.url.as_deref()).await;
        Ok(view(wanted)?.into())
    }

    /// Aborts a move and leaves the tenant where it was. `INVALID_TRANSITION` when the move can no longer be aborted.
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
