//! Every statement on requests in the name of an email. All of them run in the directory.

use jiff::Timestamp;
use uuid::Uuid;

use super::{ClaimedRequest, Kind};
use crate::{
    core::identity::Origin,
    db::{DbError, Row, ScopedTx},
};

/// Adds a request.
pub(super) async fn insert(
    directory: &ScopedTx,
    id: Uuid,
    kind: Kind,
    email: &str,
    tenant: Option<&str>,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), DbError> {
    let request = (!origin.request_id.is_nil()).then_some(origin.request_id);
    directory
        .execute(
            "-- requests.insert
            insert into account_requests
              (id, kind, email, tenant_slug, request_id, address, created_at, available_at)
            values ($1, $2, $3, $4, $5, $6, $7, $7)",
            &[&id, &kind.as_str(), &email, &tenant, &request, &origin.address, &now],
        )
        .await
}

/// Takes some requests under a lease.
pub(super) async fn take(
    directory: &ScopedTx,
    limit: i64,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<ClaimedRequest>, DbError> {
    let rows = directory
        .query(
            "-- requests.take
            update account_requests set available_at = $3, attempts = attempts + 1
             where id in (select id from account_requests where available_at <= $2
                           order by available_at, id limit $1 for update skip locked)
            returning id, kind, email, tenant_slug, created_at, request_id, address, attempts",
            &[&limit, &now, &until],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<ClaimedRequest, DbError> {
    let kind = match row.get(1) {
        "PASSWORD_RESET" => Kind::PasswordReset,
        "SIGN_IN_FAILED" => Kind::SignInFailed,
        other => return Err(DbError::Corrupt(format!("{other:?} is not a request kind"))),
    };
    Ok(ClaimedRequest {
        id: row.get(0),
        kind,
        email: row.get(2),
        tenant: row.get(3),
        created_at: row.get(4),
        request: row.get(5),
        address: row.get(6),
        attempt: row.get(7),
    })
}

/// Removes a processed request.
pub(crate) async fn delete(directory: &ScopedTx, id: Uuid) -> Result<(), DbError> {
    directory
        .execute(
            "-- requests.delete
            delete from account_requests where id = $1",
            &[&id],
        )
        .await
}
