//! Every statement on invitations that administrators run.

use jiff::Timestamp;

use super::{Invitation, InvitationKey};
use crate::{
    base::{
        ids::InvitationId,
        paging::{Page, TimeBounds},
    },
    core::identity::Role,
    db::{DbError, Row, ScopedTx},
};

fn read(row: &Row) -> Result<Invitation, DbError> {
    Ok(Invitation {
        id: row.get(0),
        email: row.get(1),
        role: row.get::<_, &str>(2).parse()?,
        status: row.get::<_, &str>(3).parse()?,
        invited_by: row.get(4),
        created_at: row.get(5),
        expires_at: row.get(6),
    })
}

macro_rules! list_sql {
    ($direction:literal) => {
        concat!(
            "-- invitations.list
            select id, email, role, status, invited_by, created_at, expires_at
              from invitations
             where tenant_id = $1
               and (created_at, id) > ($2, $3)
               and (created_at, id) < ($4, $5)
             order by created_at ",
            $direction,
            ", id ",
            $direction,
            " limit $6"
        )
    };
}

/// Lists one row more than the page, in the order of the scan. The list is newest first, so following rows are smaller.
pub(super) async fn list(tx: &ScopedTx, page: &Page<InvitationKey>) -> Result<Vec<Invitation>, DbError> {
    let sql = if page.from_the_back { list_sql!("asc") } else { list_sql!("desc") };
    let TimeBounds { lower, upper } = page.bounds_newest_first();
    let rows = tx.query(sql, &[&tx.tenant(), &lower.0, &lower.1, &upper.0, &upper.1, &page.fetch()]).await?;
    rows.iter().map(read).collect()
}

/// The role of the active user with this email, if there is one.
pub(super) async fn active_role(tx: &ScopedTx, email: &str) -> Result<Option<Role>, DbError> {
    let row = tx
        .query_opt(
            "-- invitations.active_role
            select role from users where tenant_id = $1 and email = $2 and status = 'ACTIVE'",
            &[&tx.tenant(), &email],
        )
        .await?;
    row.map(|row| row.get::<_, &str>(0).parse()).transpose()
}

/// Revokes a pending invitation of this email.
pub(super) async fn revoke_pending(tx: &ScopedTx, email: &str, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- invitations.revoke_pending
        update invitations set status = 'REVOKED', settled_at = $3
         where tenant_id = $1 and email = $2 and status = 'PENDING'",
        &[&tx.tenant(), &email, &now],
    )
    .await
}

/// Adds an invitation; `false` when another one of this email is pending.
pub(super) async fn insert(tx: &ScopedTx, new: &Invitation) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- invitations.insert
            insert into invitations (tenant_id, id, email, role, invited_by, created_at, expires_at)
            values ($1, $2, $3, $4, $5, $6, $7)
            on conflict do nothing
            returning true",
            &[&tx.tenant(), &new.id, &new.email, &new.role.as_str(), &new.invited_by, &new.created_at, &new.expires_at],
        )
        .await?;
    Ok(row.is_some())
}

/// Extends an invitation; `None` when it is not pending.
pub(super) async fn prolong(
    tx: &ScopedTx,
    id: InvitationId,
    expires_at: Timestamp,
) -> Result<Option<Invitation>, DbError> {
    let row = tx
        .query_opt(
            "-- invitations.prolong
            update invitations set expires_at = $3
             where tenant_id = $1 and id = $2 and status = 'PENDING'
            returning id, email, role, status, invited_by, created_at, expires_at",
            &[&tx.tenant(), &id, &expires_at],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Revokes an invitation; `None` when it is not pending.
pub(super) async fn revoke(tx: &ScopedTx, id: InvitationId, now: Timestamp) -> Result<Option<Invitation>, DbError> {
    let row = tx
        .query_opt(
            "-- invitations.revoke
            update invitations set status = 'REVOKED', settled_at = $3
             where tenant_id = $1 and id = $2 and status = 'PENDING'
            returning id, email, role, status, invited_by, created_at, expires_at",
            &[&tx.tenant(), &id, &now],
        )
        .await?;
    row.as_ref().map(read).transpose()
}
