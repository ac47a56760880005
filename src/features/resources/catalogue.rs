//! Operations on resources.

use serde_json::json;

use super::{
    model::{Deleted, Draft, Patch, Resource, ResourceError, ResourceFilter, ResourceKey, ResourceKind},
    queries,
};
use crate::base::names;
use crate::{
    base::{
        ids::ResourceId,
        paging::{Page, Slice},
    },
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
    },
    db::{DbError, ScopedTx},
    features::{tenants, users},
};

/// A page of resources, by name.
pub async fn list(
    caller: &Caller<'_>,
    filter: &ResourceFilter,
    page: &Page<ResourceKey>,
) -> Result<Slice<ResourceKey, Resource>, DbError> {
    let active = if caller.is_at_least(Role::Staff) { filter.active } else { Some(true) };
    let resources = queries::list(caller.tx, filter.kind, active, page).await?;
    Ok(page.slice(resources.into_iter().map(|it| ((it.name.clone(), it.id.0), it)).collect()))
}

/// Reserves a place for one more active resource within the plan's limit. Concurrent callers wait until this
/// transaction ends.
async fn reserve_place(tx: &ScopedTx) -> Result<(), ResourceError> {
    let Some(limit) = tenants::current(tx).await?.limits.of("resources") else { return Ok(()) };
    queries::lock_count(tx).await?;
    if queries::count_active(tx).await? >= limit { Err(ResourceError::QuotaExceeded) } else { Ok(()) }
}

/// Creates a resource.
///
/// # Errors
/// See [`ResourceError`].
pub async fn create(caller: &Caller<'_>, draft: Draft) -> Result<Resource, ResourceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ResourceError::Forbidden);
    }
    let draft = draft.checked(caller.tx).await?;
    if draft.active {
        reserve_place(caller.tx).await?;
    }
    let (id, now) = (ResourceId::generate(caller.clock.now()), caller.clock.now());
    let resource = queries::insert(caller.tx, id, &draft, now).await?.ok_or(ResourceError::NameTaken)?;
    audit::record(caller, "resources.create", "resource", Some(id.0), changes(None, &resource)).await?;
    Ok(resource)
}

/// Changes a resource. Existing bookings stay.
///
/// # Errors
/// See [`ResourceError`].
pub async fn update(caller: &Caller<'_>, id: ResourceId, patch: Patch) -> Result<Resource, ResourceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ResourceError::Forbidden);
    }
    tenants::lock_calendar(caller.tx).await?;
    let before = queries::by_ids(caller.tx, &[id]).await?.remove(&id).ok_or(ResourceError::NotFound)?;
    let draft = Draft {
        kind: before.kind,
        name: patch.name.unwrap_or_else(|| before.name.clone()),
        user: patch.user.unwrap_or(before.user),
        active: patch.active.unwrap_or(before.active),
    }
    .checked(caller.tx)
    .await?;
    if draft.active && !before.active {
        reserve_place(caller.tx).await?;
    }
    change(caller, &before, &draft, "resources.update").await
}

async fn change(
    caller: &Caller<'_>,
    before: &Resource,
    draft: &Draft,
    action: &'static str,
) -> Result<Resource, ResourceError> {
    let resource = match queries::update(caller.tx, before.id, draft, caller.clock.now()).await {
        Ok(resource) => resource.ok_or(ResourceError::NotFound)?,
        Err(error) if error.violates("resources_tenant_id_name_key") => return Err(ResourceError::NameTaken),
        Err(error) => return Err(error.into()),
    };
    audit::record(caller, action, "resource", Some(before.id.0), changes(Some(before), &resource)).await?;
    Ok(resource)
}

/// Deletes a resource that was never booked and serves no service. Any other is deactivated: its bookings refer to it,
/// and a service that needs it must not be booked without it.
///
/// # Errors
/// See [`ResourceError`].
pub async fn delete(caller: &Caller<'_>, id: ResourceId) -> Result<Deleted, ResourceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ResourceError::Forbidden);
    }
    tenants::lock_calendar(caller.tx).await?;
    // Locked, so that no booking can claim it between the check and the deletion.
    let before = queries::lock(caller.tx, id).await?.ok_or(ResourceError::NotFound)?;
    if queries::delete_unclaimed(caller.tx, id).await? {
        audit::record(caller, "resources.delete", "resource", Some(id.0), Changes::default()).await?;
        return Ok(Deleted::Gone(id));
    }
    let draft = Draft { kind: before.kind, name: before.name.clone(), user: before.user, active: false };
    Ok(Deleted::Deactivated(change(caller, &before, &draft, "resources.deactivate").await?))
}

impl Draft {
    async fn checked(mut self, tx: &ScopedTx) -> Result<Self, ResourceError> {
        self.name = names::checked(&self.name).ok_or(ResourceError::InvalidName)?;
        if let Some(user) = self.user {
            if self.kind != ResourceKind::Staff {
                return Err(ResourceError::NoUserOfKind);
            }
            users::by_ids(tx, &[user]).await?.remove(&user).ok_or(ResourceError::UserNotFound)?;
        }
        Ok(self)
    }
}

fn changes(before: Option<&Resource>, after: &Resource) -> Changes {
    Changes::between(before, after, |it: &Resource| {
        [
            ("kind", json!(it.kind.as_str())),
            ("name", json!(it.name)),
            ("user", json!(it.user.map(|it| it.to_string()))),
            ("active", json!(it.active)),
        ]
    })
}
