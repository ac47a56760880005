//! Every statement on tenants. `directory` where it says so; the rest runs in the tenant's store.

use jiff::{Timestamp, tz::TimeZone};

use super::{Isolation, Limits, NewTenant, Tenant, TenantStatus};
use crate::{
    db::{DbError, ScopedTx},
    ids::{TenantId, uuid_v7},
};

/// The tenant of the scope.
pub async fn current(tx: &ScopedTx) -> Result<Tenant, DbError> {
    let row = tx
        .query_one(
            "-- tenants.current
            select tenant_id, slug, name, state, isolation, time_zone, currency, plan_id, limits, created_at
              from tenant_state where tenant_id = $1",
            &[&tx.tenant()],
        )
        .await?;
    let time_zone: &str = row.get(5);
    Ok(Tenant {
        id: row.get(0),
        slug: row.get(1),
        name: row.get(2),
        status: match row.get(3) {
            "ACTIVE" => TenantStatus::Active,
            "SUSPENDED" => TenantStatus::Suspended,
            "MOVING" => TenantStatus::Moving,
            "DELETED" => TenantStatus::Deleted,
            other => return Err(DbError::Corrupt(format!("{other:?} is no tenant state"))),
        },
        isolation: match row.get(4) {
            "SHARED" => Isolation::Shared,
            "SCHEMA" => Isolation::Schema,
            "DATABASE" => Isolation::Database,
            other => return Err(DbError::Corrupt(format!("{other:?} is no isolation"))),
        },
        time_zone: TimeZone::get(time_zone).map_err(|error| DbError::Corrupt(error.to_string()))?,
        currency: row.try_get(6)?,
        plan: row.get(7),
        limits: Limits(row.get(8)),
        created_at: row.get(9),
    })
}

/// Directory: adds a tenant unless its slug is taken, and returns the id of whoever has the slug.
pub async fn register(directory: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<TenantId, DbError> {
    directory
        .execute(
            "-- tenants.register
            insert into tenants (id, slug, name, created_at) values ($1, $2, $3, $4) on conflict (slug) do nothing",
            &[&new.id, &new.slug, &new.name, &now],
        )
        .await?;
    let row = directory
        .query_one(
            "-- tenants.id_of_slug
            select id from tenants where slug = $1",
            &[&new.slug],
        )
        .await?;
    Ok(row.get(0))
}

/// Adds the tenant's own row unless it is there.
pub async fn found(tx: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- tenants.found
        insert into tenant_state
          (tenant_id, slug, name, time_zone, currency, plan_id, limits, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $8)
        on conflict (tenant_id) do nothing",
        &[&tx.tenant(), &new.slug, &new.name, &new.time_zone, &new.currency, &new.plan, &new.limits, &now],
    )
    .await
}

/// Directory: adds an operator unless the e-mail is one's already.
pub async fn insert_platform_administrator(
    directory: &ScopedTx,
    email: &str,
    name: &str,
    password_hash: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    directory
        .execute(
            "-- tenants.insert_platform_administrator
            insert into platform_administrators (id, email, name, password_hash, created_at)
            values ($1, $2, $3, $4, $5) on conflict do nothing",
            &[&uuid_v7(now), &email, &name, &password_hash, &now],
        )
        .await
}

/// Directory: whether the e-mail is an operator's.
pub async fn is_platform_administrator(directory: &ScopedTx, email: &str) -> Result<bool, DbError> {
    let row = directory
        .query_opt(
            "-- tenants.is_platform_administrator
            select true from platform_administrators where email = $1",
            &[&email],
        )
        .await?;
    Ok(row.is_some())
}
