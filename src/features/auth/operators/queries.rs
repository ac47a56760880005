//! Every statement on platform administrators. All of them run in the directory.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    base::ids::{AdministratorId, SessionId, TenantId, uuid_v7},
    core::identity::Origin,
    db::{DbError, ScopedTx},
};

/// A platform administrator, with what sign-in needs.
pub(super) struct Operator {
    pub id: AdministratorId,
    pub name: String,
    pub password_hash: String,
}

/// The platform administrator with this email.
pub(super) async fn by_email(directory: &ScopedTx, email: &str) -> Result<Option<Operator>, DbError> {
    let row = directory
        .query_opt(
            "-- operators.by_email
            select id, name, password_hash from platform_administrators where email = $1",
            &[&email],
        )
        .await?;
    Ok(row.map(|row| Operator { id: row.get(0), name: row.get(1), password_hash: row.get(2) }))
}

/// Adds one, unless the email exists.
pub(super) async fn insert(
    directory: &ScopedTx,
    id: AdministratorId,
    email: &str,
    name: &str,
    password_hash: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    directory
        .execute(
            "-- operators.insert
            insert into platform_administrators (id, email, name, password_hash, created_at)
            values ($1, $2, $3, $4, $5) on conflict do nothing",
            &[&id, &email, &name, &password_hash, &now],
        )
        .await
}

/// Does nothing itself: entering the transaction checks the session.
pub(super) async fn session_lives(directory: &ScopedTx) -> Result<(), DbError> {
    directory
        .execute(
            "-- operators.session_lives
            select 1",
            &[],
        )
        .await
}

/// Starts a session.
pub(super) async fn insert_session(
    directory: &ScopedTx,
    id: SessionId,
    administrator: AdministratorId,
    now: Timestamp,
    expires_at: Timestamp,
    origin: &Origin,
) -> Result<(), DbError> {
    directory
        .execute(
            "-- operators.insert_session
            insert into platform_sessions (id, administrator_id, created_at, expires_at, user_agent, address)
            values ($1, $2, $3, $4, $5, $6)",
            &[&id, &administrator, &now, &expires_at, &origin.user_agent, &origin.address],
        )
        .await
}

/// Ends one of the administrator's own sessions.
pub(super) async fn end_session(directory: &ScopedTx, id: SessionId, now: Timestamp) -> Result<(), DbError> {
    directory
        .execute(
            "-- operators.end_session
            update platform_sessions set ended_at = $2 where id = $1 and ended_at is null",
            &[&id, &now],
        )
        .await
}

/// The tenants as whose users the administrator has acted since an instant.
pub(super) async fn impersonated_since(
    directory: &ScopedTx,
    by: AdministratorId,
    since: Timestamp,
) -> Result<Vec<TenantId>, DbError> {
    let rows = directory
        .query(
            "-- operators.impersonated_since
            select distinct tenant_id from platform_events
             where administrator_id = $1 and action = 'tenants.impersonate' and at > $2 and tenant_id is not null",
            &[&by, &since],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Ends the sessions in which an administrator acts as a user of this tenant.
pub(super) async fn end_impersonations(tx: &ScopedTx, impersonator: &str, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- operators.end_impersonations
        update sessions set ended_at = $3, end_reason = 'LOGOUT'
         where tenant_id = $1 and impersonator = $2 and ended_at is null",
        &[&tx.tenant(), &impersonator, &now],
    )
    .await
}

/// Adds an entry to the platform's log.
pub(super) async fn insert_event(
    directory: &ScopedTx,
    administrator: Option<AdministratorId>,
    action: &'static str,
    tenant: Option<TenantId>,
    details: &Value,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), DbError> {
    let request = (!origin.request_id.is_nil()).then_some(origin.request_id);
    directory
        .execute(
            "-- operators.insert_event
            insert into platform_events (id, at, administrator_id, action, tenant_id, details, request_id, address)
            values ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&uuid_v7(now), &now, &administrator, &action, &tenant, &details, &request, &origin.address],
        )
        .await
}
