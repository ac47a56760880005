//! Moves a tenant to another store while it is served.
//!
//! 1. `PREPARING`: the target is created, and cleared of what an earlier attempt left.
//! 2. `COPYING`: the fence is set. Running writers are awaited, new ones wait, readers continue. One snapshot of the
//!    source is copied and compared, table by table.
//! 3. `FLIPPING`, the point of no return: the source refuses everyone (`MOVED`), the target admits everyone, and the
//!    directory is updated. Refused transactions ask the directory again until it is.
//!
//! Each step can be repeated. A worker that finds a move whose worker was killed restarts the attempt, or completes the
//! flip. A failure before the flip leaves the source unchanged.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt};
use tokio::time::Instant;
use tokio_postgres::{IsolationLevel, error::SqlState};

use super::{
    Fleet, FleetError,
    copying::{self, STATE},
    link::Link,
};
use crate::{
    base::{
        fault,
        ids::{MoveId, uuid_v7},
    },
    db::{Access, Placement},
    features::platform::{
        Move, MoveState,
        moving::{self as jobs, GRACE, MAX_ATTEMPTS},
    },
};

/// How long the fence waits for running writers while new ones queue behind it; then it lets those pass first.
const FENCE_WAIT: &str = "set local lock_timeout = '2s'";
/// How often the fence is attempted before the move's attempt fails.
const FENCE_TRIES: usize = 10;
/// The longest that writers may wait for a copy.
const FENCED_LIMIT: Duration = Duration::from_secs(1_800);
/// How often the progress of a copy is reported.
const TELL_EVERY: Duration = Duration::from_millis(500);

impl Fleet {
    /// Continues every move that no other worker is processing, in order.
    pub(super) async fn go_on_with_moves(&self) -> Result<(), FleetError> {
        let directory = self.directory(None, Access::Read);
        let mut open = jobs::open(&directory).await?;
        directory.end_read();
        drop(directory);
        // Flipping moves come first and do not wait: their tenants cannot be entered anywhere until they are done.
        open.sort_by_key(|it| it.state != MoveState::Flipping);
        for it in open {
            let place = self.moving.clone().try_acquire_owned();
            if it.state != MoveState::Flipping && place.is_err() {
                continue; // All places are in use; a later look finds room.
            }
            if let Err(error) = self.go_on_alone(it.id).await {
                tracing::warn!(%error, tenant.id = %it.tenant, "cannot continue a move; retrying later");
            }
        }
        Ok(())
    }

    /// Continues a move unless another worker is processing it.
    async fn go_on_alone(&self, id: MoveId) -> Result<(), FleetError> {
        let alone = Link::connect(&self.logins.platform, None).await?;
        let lock = "select pg_try_advisory_lock(hashtextextended('move ' || $1, 0))";
        if alone.query_one(lock, &[&id.to_string()]).await?.get::<_, bool>(0) {
            // It may have ended, or advanced, before the lock was acquired.
            let directory = self.directory(None, Access::Read);
            let found = jobs::find(&directory, id).await?;
            directory.end_read();
            drop(directory);
            if let Some(it) = found.filter(|it| !it.state.is_end()) {
                self.go_on(&it, &alone).await?;
            }
        }
        alone.close().await;
        Ok(())
    }

    /// Runs one attempt of a move to its end. The session `alone` holds the move's lock.
    async fn go_on(&self, it: &Move, alone: &Link) -> Result<(), FleetError> {
        if it.state == MoveState::Flipping {
            return self.flip(it).await;
        }
        let Err(error) = self.attempt(it, alone).await else { return Ok(()) };
        // Without the lock another worker may already be processing it, behind a fence of its own. Once the tenant is
        // flipping there is no way back, whatever failed: the move continues from there.
        holds(alone).await?;
        if self.is_past_return(it).await? {
            return Err(error);
        }
        self.let_writers_go_on(it).await?;
        let state = match error {
            FleetError::Aborted => MoveState::Aborted,
            FleetError::Stopping => MoveState::Waiting,
            _ if it.attempts + 1 >= MAX_ATTEMPTS => MoveState::Failed,
            _ => MoveState::Waiting,
        };
        let directory = self.directory(Some(it.tenant), Access::Write);
        if !matches!(error, FleetError::Aborted | FleetError::Stopping) {
            tracing::warn!(%error, tenant.id = %it.tenant, attempt = it.attempts + 1, "an attempt to move a tenant failed");
            jobs::note_error(&directory, it.id, &error.told()).await?;
        }
        if jobs::step(&directory, it.id, state, self.now()).await? && state.is_end() {
            jobs::leave(&directory, uuid_v7(self.now()), it.tenant, &it.to, self.now()).await?;
        }
        Ok(directory.commit().await?)
    }

    async fn is_past_return(&self, it: &Move) -> Result<bool, FleetError> {
        let directory = self.directory(None, Access::Read);
        let found = jobs::find(&directory, it.id).await?;
        directory.end_read();
        Ok(found.is_none_or(|it| it.state == MoveState::Flipping || it.state.is_end()))
    }

    async fn attempt(&self, it: &Move, alone: &Link) -> Result<(), FleetError> {
        if it.abort_wanted {
            return Err(FleetError::Aborted);
        }
        if !self.step(it, MoveState::Preparing).await? {
            return Err(FleetError::Refused("another worker is processing this move".into()));
        }
        fault::point("move.preparing");
        self.make_store(&it.to).await?;
        // The leftovers of an earlier move in the shared store must not be removed while the tenant moves back to it.
        let _rows = match it.to {
            Placement::Shared => Some(self.alone_with(it.tenant, &it.to).await?),
            Placement::Own(..) => None,
        };
        fault::point("move.made");
        self.put_fence_up(it).await?;
        fault::point("move.fenced");
        let copied = tokio::time::timeout(FENCED_LIMIT, self.copy(it)).await;
        copied.unwrap_or_else(|_| Err(FleetError::Refused("copying took too long, and writers waited".into())))?;
        fault::point("move.copied");
        holds(alone).await?;
        if !self.step(it, MoveState::Flipping).await? {
            return Err(FleetError::Aborted);
        }
        fault::point("move.flipping");
        self.flip(it).await
    }

    async fn step(&self, it: &Move, state: MoveState) -> Result<bool, FleetError> {
        let directory = self.directory(Some(it.tenant), Access::Write);
        let stepped = jobs::step(&directory, it.id, state, self.now()).await?;
        directory.commit().await?;
        Ok(stepped)
    }

    async fn link(&self, placement: &Placement) -> Result<Link, FleetError> {
        let (config, schema) = self.at(&self.logins.platform, placement);
        Link::connect(&config, Some(schema)).await
    }

    /// Sets the fence: from here on nobody writes at the source, and no writer is still running.
    async fn put_fence_up(&self, it: &Move) -> Result<(), FleetError> {
        let directory = self.directory(Some(it.tenant), Access::Write);
        jobs::step(&directory, it.id, MoveState::Copying, self.now()).await?;
        jobs::set_moving(&directory, Some(self.now())).await?;
        directory.commit().await?;
        drop(directory);
        fault::point("move.fencing");
        let source = self.link(&it.from).await?;
        for attempt in 1.. {
            source.batch_execute(&format!("begin; {FENCE_WAIT}")).await?;
            let lock = "select pg_advisory_xact_lock(hashtextextended('move of ' || $1::uuid, 0))";
            match source.execute(lock, &[&it.tenant.0]).await {
                Ok(_) => break,
                Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && attempt < FENCE_TRIES => {
                    source.batch_execute("rollback").await?;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let set =
            format!("update {STATE} set fence = 'MOVING' where tenant_id = $1 and fence is distinct from 'MOVED'");
        if source.execute(&set, &[&it.tenant.0]).await? != 1 {
            return Err(FleetError::Refused("the tenant is not at the source of the move".into()));
        }
        source.batch_execute("commit").await?;
        source.close().await;
        Ok(())
    }

    /// Removes the fence.
    async fn let_writers_go_on(&self, it: &Move) -> Result<(), FleetError> {
        let source = self.link(&it.from).await?;
        let set = format!("update {STATE} set fence = null where tenant_id = $1 and fence = 'MOVING'");
        source.execute(&set, &[&it.tenant.0]).await?;
        source.close().await;
        let directory = self.directory(Some(it.tenant), Access::Write);
        jobs::set_moving(&directory, None).await?;
        Ok(directory.commit().await?)
    }

    /// Copies one snapshot of the source and compares it. Until the flip nobody may enter the copy.
    async fn copy(&self, it: &Move) -> Result<(), FleetError> {
        let (mut source, mut target) = (self.link(&it.from).await?, self.link(&it.to).await?);
        let snapshot =
            source.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
        let copy = target.transaction().await?;
        let tables = copying::tables(&snapshot).await?;
        if tables != copying::tables(&copy).await? {
            return Err(FleetError::Refused("source and target have different tables: run `tenantry migrate`".into()));
        }
        let total = copying::count(&snapshot, &tables, it.tenant).await?;
        self.tell(it, total, 0).await?;
        copying::clear(&copy, it.tenant.0).await?;
        // The tenant's own row is copied first, closed to everyone: what is committed here before the flip is not yet a
        // tenant's store.
        let (mut copied, mut told) = (0, Instant::now());
        for table in &tables {
            let rows = pin!(snapshot.copy_out(table.copy_out(it.tenant).as_str()).await?);
            let mut sink = pin!(copy.copy_in::<_, Bytes>(table.copy_in().as_str()).await?);
            let mut rows = rows.map_err(FleetError::from);
            while let Some(chunk) = rows.try_next().await? {
                sink.feed(chunk).await?;
                self.refuse_if_stopping()?;
                if told.elapsed() >= TELL_EVERY {
                    self.tell(it, total, copied).await?;
                    told = Instant::now();
                }
            }
            copied += i64::try_from(sink.as_mut().finish().await?).unwrap_or(i64::MAX);
            if table.name == STATE {
                let close = format!("update {STATE} set fence = 'MOVED', isolation = $2 where tenant_id = $1");
                copy.execute(&close, &[&it.tenant.0, &it.to.isolation().as_str()]).await?;
            }
            fault::point("move.table");
        }
        for table in &tables {
            if told.elapsed() >= TELL_EVERY {
                self.tell(it, total, copied).await?;
                told = Instant::now();
            }
            let (expected, found) = (table.sum(&snapshot, it.tenant).await?, table.sum(&copy, it.tenant).await?);
            if expected != found {
                let (table, expected, found) = (table.name.clone(), expected.to_string(), found.to_string());
                return Err(FleetError::Differs { table, expected, found });
            }
        }
        fault::point("move.compared");
        copy.commit().await?;
        snapshot.commit().await?;
        self.tell(it, total, copied).await
    }

    /// Reports the progress; fails when an abort was requested.
    async fn tell(&self, it: &Move, total: i64, copied: i64) -> Result<(), FleetError> {
        let directory = self.directory(Some(it.tenant), Access::Write);
        let is_over = jobs::note_progress(&directory, it.id, total, copied).await?;
        directory.commit().await?;
        if is_over { Err(FleetError::Aborted) } else { Ok(()) }
    }

    /// Flips the move: the source refuses, the target admits, the directory is updated. Each part can be repeated.
    async fn flip(&self, it: &Move) -> Result<(), FleetError> {
        let set = |fence: &str| format!("update {STATE} set fence = {fence} where tenant_id = $1");
        let (source, target) = (self.link(&it.from).await?, self.link(&it.to).await?);
        source.execute(&set("'MOVED'"), &[&it.tenant.0]).await?;
        source.close().await;
        fault::point("move.closed");
        if target.execute(&set("null"), &[&it.tenant.0]).await? != 1 {
            return Err(FleetError::Refused("the copy of the tenant is gone".into()));
        }
        target.close().await;
        fault::point("move.opened");
        let now = self.now();
        let directory = self.directory(Some(it.tenant), Access::Write);
        jobs::place(&directory, &it.to, now).await?;
        jobs::step(&directory, it.id, MoveState::Done, now).await?;
        jobs::leave(&directory, uuid_v7(now), it.tenant, &it.from, now + GRACE).await?;
        directory.commit().await?;
        fault::point("move.done");
        tracing::info!(tenant.id = %it.tenant, from = it.from.isolation().as_str(), to = it.to.isolation().as_str(), "a tenant was moved");
        Ok(())
    }
}

/// Checks that the session is alive, and so has held its lock since it acquired it.
async fn holds(alone: &Link) -> Result<(), FleetError> {
    Ok(alone.batch_execute("select").await?)
}
