//! Background work across all tenants.

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

/// How long a request may take to copy its change before background work copies it: longer than any request.
const COPY_LIMIT: SignedDuration = SignedDuration::from_secs(60);

/// The tenant with this slug.
pub async fn by_slug(directory: &ScopedTx, slug: &str) -> Result<Option<TenantId>, DbError> {
    queries::id_of_slug(directory, slug).await
}

/// Copies the state of a tenant's own store to the directory. Repeating it changes nothing, and an older copy never
/// replaces a newer one.
pub async fn sync(gate: &Gate, id: TenantId, wanted_before: Timestamp) -> Result<(), DbError> {
    let store = gate.tenant(Scope::platform(Some(id)), Access::Read);
    let tenant = tenants::find(&store).await?;
    store.end_read();
    drop(store);
    let Some(tenant) = tenant else { return Ok(()) };
    if tenant.status == TenantStatus::Moving {
        return Ok(()); // The store hides its real state during a move; background work copies it afterwards.
    }
    let directory = gate.directory(Scope::worker(id), Access::Write);
    queries::copy(&directory, &tenant).await?;
    queries::copied(&directory, wanted_before).await?;
    directory.commit().await
}

/// Copies every tenant whose change was not copied in time because its request was interrupted. Returns how many there
/// were.
///
/// # Errors
/// When a statement fails. The next call copies the rest.
pub async fn copy_wanted(gate: &Gate, now: Timestamp) -> Result<usize, DbError> {
    let before = now - COPY_LIMIT;
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let wanted = queries::wanted(&directory, before).await?;
    directory.end_read();
    drop(directory);
    for id in &wanted {
        if let Err(error) = sync(gate, *id, before).await {
            tracing::warn!(%error, tenant.id = %id, "a tenant's change could not be copied to the directory");
        }
    }
    Ok(wanted.len())
}

/// Every tenant that may have background work.
pub async fn served_tenants(gate: &Gate) -> Result<Vec<TenantId>, DbError> {
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let found = queries::served(&directory).await?;
    directory.end_read();
    Ok(found)
}

/// Erases every tenant whose restore period is over, and returns how many there were. For background work.
///
/// # Errors
/// When a statement fails. The next call erases the rest.
pub async fn erase_expired(gate: &Gate, now: Timestamp) -> Result<usize, DbError> {
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let expired = queries::expired(&directory).await?;
    directory.end_read();
    drop(directory);
    for id in &expired {
        // A tenant that cannot be erased now does not block the others.
        if let Err(error) = erase(gate, *id, now).await {
            tracing::warn!(%error, tenant.id = %id, "a deleted tenant could not be erased");
        }
    }
    Ok(expired.len())
}

async fn erase(gate: &Gate, id: TenantId, now: Timestamp) -> Result<(), DbError> {
    let store = gate.tenant(Scope::platform(Some(id)), Access::Write);
    tenants::erase(&store).await?;
    // Restored, or kept for another reason: the directory keeps it too.
    let is_gone = tenants::find(&store).await?.is_none();
    store.commit().await?;
    drop(store);
    if is_gone {
        let directory = gate.directory(Scope::platform(Some(id)), Access::Write);
        // A dedicated store is now empty and is removed too.
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
