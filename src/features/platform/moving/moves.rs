//! Requests for moves.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::queries;
use crate::{
    base::{
        ids::{AdministratorId, MoveId, TenantId},
        paging::{Page, Slice},
    },
    core::audit::{self, Changes},
    db::{Access, Isolation, Placement, ScopedTx},
    features::{
        auth::operators,
        platform::{
            Operator, PlatformError,
            model::{Move, MoveKey},
        },
        tenants::TenantStatus,
    },
};

/// How long the source of a move is kept as a fallback.
pub const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// The number of attempts before a move is given up.
pub const MAX_ATTEMPTS: i32 = 5;

impl Operator<'_> {
    /// Queues the move of a tenant to a store of this kind.
    ///
    /// # Errors
    /// `NotFound`, `InvalidTransition` for a tenant that is not served, `Invalid` for a placement that is not allowed,
    /// `IsMoving`.
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
        // The tenant's own log records it too, before the move can start: nobody writes to it after that.
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

    /// Aborts a move; the tenant stays where it was.
    ///
    /// # Errors
    /// `NoSuchMove`, `MoveIsOver` when it can no longer be aborted.
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

/// Directory: queues a move of the scope's tenant, requested by this administrator or (`None`) the command line.
///
/// # Errors
/// `NotFound`, `InvalidTransition`, `IsMoving`, `Invalid` when the tenant is already there.
pub async fn want(
    directory: &ScopedTx,
    id: TenantId,
    to: &Placement,
    by: Option<AdministratorId>,
    now: Timestamp,
) -> Result<Move, PlatformError> {
    let tenant = crate::features::platform::queries::tenant(directory, id).await?.ok_or(PlatformError::NotFound)?;
    if !matches!(tenant.status, TenantStatus::Active | TenantStatus::Suspended) {
        return Err(PlatformError::InvalidTransition(tenant.status));
    }
    let from = queries::placement(directory).await?.ok_or(PlatformError::NotFound)?;
    let (here, there) = (from.isolation(), to.isolation());
    let same_server = from.location().map(|it| it.server.clone()) == to.location().map(|it| it.server.clone());
    if here == there && (here != Isolation::Database || same_server) {
        return Err(PlatformError::Invalid("isolation", "The tenant is already there."));
    }
    let made = queries::insert(directory, MoveId::generate(now), id, &from, to, by, now).await?;
    made.ok_or(PlatformError::IsMoving)
}
