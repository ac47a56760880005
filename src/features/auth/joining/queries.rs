//! Every statement of joining. `directory` where a function says so; the others run in the tenant's store.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    base::ids::{InvitationId, TenantId},
    core::identity::Role,
    db::{DbError, ScopedTx},
    features::{auth::NewUser, tenants::NewTenant},
};

/// A registration that awaits confirmation.
pub(super) struct PendingRegistration {
    pub id: Uuid,
    pub email: String,
    pub name: String,
    pub password_hash: String,
}

/// An invitation that awaits acceptance.
pub(super) struct PendingInvitation {
    pub id: InvitationId,
    pub email: String,
    pub role: Role,
}

/// Directory: starts the creation of a tenant; `false` when its slug is taken.
pub(super) async fn insert_tenant(directory: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<bool, DbError> {
    let row = directory
        .query_opt(
            "-- joining.insert_tenant
            insert into tenants (id, slug, name, state, plan_id, created_at, plan_version_id, isolation, url)
            values ($1, $2, $3, 'CREATING', $4, $5, $6, $7, $8)
            on conflict (slug) do nothing
            returning true",
            &[
                &new.id,
                &new.slug,
                &new.name,
                &new.offer.plan,
                &now,
                &new.offer.version,
                &new.placement.isolation().as_str(),
                &new.placement.url(),
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// Directory: marks the scope's tenant as complete.
pub(super) async fn activate_tenant(directory: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    directory
        .execute(
            "-- joining.activate_tenant
            update tenants set state = 'ACTIVE', changed_at = $2 where id = $1 and state = 'CREATING'",
            &[&directory.tenant(), &now],
        )
        .await
}

/// Directory: schedules the removal of a dedicated store that was, or may have been, created for the scope's tenant.
pub(super) async fn leave_store(directory: &ScopedTx, id: Uuid, now: Timestamp) -> Result<(), DbError> {
    directory
        .execute(
            "-- joining.leave_store
            insert into store_leftovers (id, tenant_id, isolation, url, remove_after)
              select $2, id, isolation, url, $3 from tenants where id = $1 and state = 'CREATING' and isolation <> 'SHARED'",
            &[&directory.tenant(), &id, &now],
        )
        .await
}

/// Directory: abandons the scope's tenant for good; its slug is free again.
pub(super) async fn abandon_tenant(
    directory: &ScopedTx,
    erase_after: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    directory
        .execute(
            "-- joining.abandon_tenant
            update tenants
               set slug = 'deleted-' || id, state = 'DELETED', erase_after = $2, changed_at = $3,
                   isolation = 'SHARED', url = null, store_ready_at = null
             where id = $1 and state = 'CREATING'",
            &[&directory.tenant(), &erase_after, &now],
        )
        .await
}

/// Directory: removes all logins of the scope's tenant.
pub(super) async fn delete_logins(directory: &ScopedTx) -> Result<(), DbError> {
    directory
        .execute(
            "-- joining.delete_logins
            delete from logins where tenant_id = $1",
            &[&directory.tenant()],
        )
        .await
}

/// Directory: tenants whose creation started before this instant and did not finish.
pub(super) async fn tenants_begun_before(directory: &ScopedTx, before: Timestamp) -> Result<Vec<TenantId>, DbError> {
    let rows = directory
        .query(
            "-- joining.tenants_begun_before
            select id from tenants where state = 'CREATING' and created_at < $1 order by id limit 1000",
            &[&before],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Directory: the tenant with this slug, if it is served.
pub(super) async fn tenant_of_slug(directory: &ScopedTx, slug: &str) -> Result<Option<TenantId>, DbError> {
    let row = directory
        .query_opt(
            "-- joining.tenant_of_slug
            select id from tenants where slug = $1 and state in ('ACTIVE', 'MOVING')",
            &[&slug],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Prevents the scope's tenant from being created later; `false` when it exists.
pub(super) async fn insert_tombstone(tx: &ScopedTx, erase_after: Timestamp, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- joining.insert_tombstone
            insert into tenant_state
              (tenant_id, slug, name, state, time_zone, currency, plan_id, limits, erase_after, created_at, updated_at,
               plan_version_id)
            values ($1, 'abandoned', 'abandoned', 'DELETED', 'UTC', 'XXX', $1, '{}', $2, $3, $3, $1)
            on conflict (tenant_id) do nothing
            returning true",
            &[&tx.tenant(), &erase_after, &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Invites the first administrator.
pub(super) async fn insert_invitation(
    tx: &ScopedTx,
    id: InvitationId,
    email: &str,
    role: Role,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- joining.insert_invitation
        insert into invitations (tenant_id, id, email, role, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)",
        &[&tx.tenant(), &id, &email, &role.as_str(), &now, &expires_at],
    )
    .await
}

/// An invitation that is pending and has not expired.
pub(super) async fn invitation(
    tx: &ScopedTx,
    id: InvitationId,
    now: Timestamp,
) -> Result<Option<PendingInvitation>, DbError> {
    let row = tx
        .query_opt(
            "-- joining.invitation
            select id, email, role from invitations
             where tenant_id = $1 and id = $2 and status = 'PENDING' and expires_at > $3",
            &[&tx.tenant(), &id, &now],
        )
        .await?;
    row.map(|row| Ok(PendingInvitation { id: row.get(0), email: row.get(1), role: row.get::<_, &str>(2).parse()? }))
        .transpose()
}

/// Accepts an invitation; `false` when it is no longer pending or has expired.
pub(super) async fn accept_invitation(tx: &ScopedTx, id: InvitationId, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- joining.accept_invitation
            update invitations set status = 'ACCEPTED', settled_at = $3
             where tenant_id = $1 and id = $2 and status = 'PENDING' and expires_at > $3
            returning true",
            &[&tx.tenant(), &id, &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Stores a registration.
pub(super) async fn insert_registration(
    tx: &ScopedTx,
    id: Uuid,
    user: &NewUser,
    hash: &str,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- joining.insert_registration
        insert into registrations (tenant_id, id, email, name, password_hash, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7)",
        &[&tx.tenant(), &id, &user.email, &user.name, &hash, &now, &expires_at],
    )
    .await
}

/// A registration that has not expired.
pub(super) async fn registration(
    tx: &ScopedTx,
    id: Uuid,
    now: Timestamp,
) -> Result<Option<PendingRegistration>, DbError> {
    let row = tx
        .query_opt(
            "-- joining.registration
            select id, email, name, password_hash from registrations
             where tenant_id = $1 and id = $2 and expires_at > $3",
            &[&tx.tenant(), &id, &now],
        )
        .await?;
    Ok(row.map(|row| PendingRegistration {
        id: row.get(0),
        email: row.get(1),
        name: row.get(2),
        password_hash: row.get(3),
    }))
}

/// Whether a user of the tenant has this email.
pub(super) async fn is_user(tx: &ScopedTx, email: &str) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- joining.is_user
            select true from users where tenant_id = $1 and email = $2",
            &[&tx.tenant(), &email],
        )
        .await?;
    Ok(row.is_some())
}

/// Removes every registration with this email.
pub(super) async fn delete_registrations(tx: &ScopedTx, email: &str) -> Result<(), DbError> {
    tx.execute(
        "-- joining.delete_registrations
        delete from registrations where tenant_id = $1 and email = $2",
        &[&tx.tenant(), &email],
    )
    .await
}

/// Removes a registration that was not confirmed in time.
pub(super) async fn delete_registration(tx: &ScopedTx, id: Uuid) -> Result<(), DbError> {
    tx.execute(
        "-- joining.delete_registration
        delete from registrations where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id],
    )
    .await
}
