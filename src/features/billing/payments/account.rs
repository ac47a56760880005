//! What is known of the tenant at its provider.

use jiff::Timestamp;

use super::{CheckoutSession, provider::HostedPage, queries};
use crate::{
    base::ids::{CheckoutId, TenantId},
    db::{Access, DbError, Gate, Scope, ScopedTx},
};

/// Keeps the provider's name for a tenant: first in the directory, where events find whose it is.
///
/// # Errors
/// When a statement fails.
pub async fn note_customer(
    gate: &Gate,
    tenant: TenantId,
    provider: &str,
    customer: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    let directory = gate.directory(Scope::worker(tenant), Access::Write);
    queries::note_customer(&directory, provider, customer).await?;
    directory.commit().await?;
    drop(directory);
    let tx = gate.tenant(Scope::worker(tenant), Access::Write);
    queries::save_customer(&tx, provider, customer, now).await?;
    tx.commit().await
}

/// One visit to a page.
///
/// # Errors
/// When the statement fails.
pub async fn checkout_session(tx: &ScopedTx, id: CheckoutId) -> Result<Option<CheckoutSession>, DbError> {
    queries::checkout(tx, id).await
}

/// The provider has made its page.
///
/// # Errors
/// When the statement fails.
pub async fn open_page(tx: &ScopedTx, id: CheckoutId, page: &HostedPage) -> Result<(), DbError> {
    queries::open_page(tx, id, &page.reference, &page.url).await
}
