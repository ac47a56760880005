//! The tenant's account at its payment provider.

use jiff::Timestamp;

use super::{CheckoutSession, provider::HostedPage, queries};
use crate::{
    base::ids::{CheckoutId, TenantId},
    db::{Access, DbError, Gate, Scope, ScopedTx},
};

/// Stores the provider's customer id of a tenant: first in the directory, where events look up their tenant.
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

/// One checkout session.
pub async fn checkout_session(tx: &ScopedTx, id: CheckoutId) -> Result<Option<CheckoutSession>, DbError> {
    queries::checkout(tx, id).await
}

/// Stores the provider's page of a checkout session.
pub async fn open_page(tx: &ScopedTx, id: CheckoutId, page: &HostedPage) -> Result<(), DbError> {
    queries::open_page(tx, id, &page.reference, &page.url).await
}
