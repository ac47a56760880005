//! What background work does for all tenants.

use jiff::{SignedDuration, Timestamp};

use super::{moving, queries};
use crate::{
    base::ids::{TenantId, uuid_v7},
    db::{Access, DbError, Gate, Placement, Scope, ScopedTx},
    features::{
        auth::operators,
        tenants::{self, TenantStatus},
    },
};

/// How long whoever changes a tenant has to copy the change, before background work does: longer than any request.
const COPY_LIMIT: SignedDuration = SignedDuration::from_secs(60);

/// The tenant with this slug.
///
/// # Errors
/// When the statement fails.
pub async fn by_slug(directory: &ScopedTx, slug: &str) -> Result<Option<TenantId>, DbError> {
    queries::id_of_slug(directory, slug).await
}

/// Copies what a tenant's own store says to the directory. Done again it changes nothing, and an older copy never
/// replaces a newer one.
///
/// # Errors
/// When a statement fails.
pub async fn sync(gate: &Gate, id: TenantId, wanted_before: Timestamp) -> Result<(), DbError> {
    let store = gate.tenant(Scope::platform(Some(id)), Access::Read);
    let tenant = tenants::find(&store).await?;
    store.end_read();
    drop(store);
    let Some(tenant) = tenant else { return Ok(()) };
    if tenant.status == TenantStatus::Moving {
        return Ok(()); // What it is else is not told here; background work copies it once the move is over.
    }
    let directory = gate.directory(Scope::worker(id), Access::Write);
    queries::copy(&directory, &tenant).await?;
    queries::copied(&directory, wanted_before).await?;
    directory.commit().await
}

/// Copies every tenant whose change was not copied in time, because whoever made it was interrupted. Returns how many.
///
/// # Errors
/// When a statement fails; then the rest is copied by the next call.
pub async fn copy_wanted(gate: &Gate, now: Timestamp) -> Result<usize, DbError> {
    let before = now - COPY_LIMIT;
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let wanted = queries::wanted(&directory, before).await?;
    directory.end_read();
    drop(directory);
    for id in &wanted {
        if let Err(error) = sync(gate, *id, before).await {
            tracing::warn!(%error, tenant.id = %id, "a change of a tenant cannot be copied to the directory");
        }
    }
    Ok(wanted.len())
}

/// Every tenant that may have background work.
///
/// # Errors
/// When the statement fails.
pub async fn served_tenants(gate: &Gate) -> Result<Vec<TenantId>, DbError> {
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let found = queries::served(&directory).await?;
    directory.end_read();
    Ok(found)
}

/// Erases every tenant whose time to be restored is over, and returns how many. For background work.
///
/// # Errors
/// When a statement fails; then the rest is erased by the next call.
pub async fn erase_expired(gate: &Gate, now: Timestamp) -> Result<usize, DbError> {
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let expired = queries::expired(&directory).await?;
    directory.end_read();
    drop(directory);
    for id in &expired {
        // One that cannot be erased now holds none of the others up.
        if let Err(error) = erase(gate, *id, now).await {
            tracing::warn!(%error, tenant.id = %id, "a deleted tenant cannot be erased");
        }
    }
    Ok(expired.len())
}

async fn erase(gate: &Gate, id: TenantId, now: Timestamp) -> Result<(), DbError> {
    let store = gate.tenant(Scope::platform(Some(id)), Access::Write);
    tenants::erase(&store).await?;
    // Restored, or not erased for another reason: the directory keeps it.
    let is_gone = tenants::find(&store).await?.is_none();
    store.commit().await?;
    drop(store);
    if is_gone {
        let directory = gate.directory(Scope::platform(Some(id)), Access::Write);
        // A store of its own has nothing in it any more, and goes too.
        if let Some(own @ Placement::Own(..)) = moving::placement(&directory).await? {
            moving::leave(&directory, uuid_v7(now), id, &own, now).await?;
            moving::leave(&directory, uuid_v7(now), id, &Placement::Shared, now).await?;
        }
        queries::delete(&directory).await?;
        operators::note_work(&directory, "tenants.erase", id, now).await?;
        directory.commit().await?;
    }
    Ok(())
}
