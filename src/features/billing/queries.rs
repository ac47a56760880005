//! Statements on a tenant's billing account, which invoices and payments share.

use jiff::Timestamp;

use crate::db::{DbError, ScopedTx};

/// Creates the tenant's billing account, unless it exists.
pub(super) async fn make_account(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- invoices.make_account
        insert into billing_accounts (tenant_id, updated_at) values ($1, $2) on conflict (tenant_id) do nothing",
        &[&tx.tenant(), &now],
    )
    .await
}
