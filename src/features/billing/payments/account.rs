//! The tenant's account at its payment provider.

use jiff::Timestamp;

use super::{CheckoutSession, provider::HostedPage, queries};
use crate::{
    base::ids::{CheckoutId, TenantId},
    db::{Access, DbError, Gate, Scope, ScopedTx},
};

<<<<<<< ours
/// Keeps the provider's name for a tenant: first in the directory, where events find whose it is.
///
/// # Errors
/// When a statement fails.
||||||| base
/// How the tenant pays.
///
/// # Errors
/// When the statement fails.
pub async fn account(tx: &ScopedTx) -> Result<Account, DbError> {
    queries::account(tx).await
}

/// Keeps the provider's name for a tenant: first in the directory, where events find whose it is.
///
/// # Errors
/// When a statement fails.
=======
/// The tenant's payment account.
pub async fn account(tx: &ScopedTx) -> Result<Account, DbError> {
    queries::account(tx).await
}

/// Stores the provider's customer id of a tenant: first in the directory, where events look up their tenant.
>>>>>>> theirs
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

<<<<<<< ours
/// One visit to a page.
///
/// # Errors
/// When the statement fails.
||||||| base
/// The page for this plan that is not over.
///
/// # Errors
/// When the statement fails.
pub async fn open_checkout(tx: &ScopedTx, plan: PlanId) -> Result<Option<CheckoutSession>, DbError> {
    queries::open_checkout(tx, plan).await
}

/// One visit to a page.
///
/// # Errors
/// When the statement fails.
=======
/// The checkout session for this plan that is not over.
pub async fn open_checkout(tx: &ScopedTx, plan: PlanId) -> Result<Option<CheckoutSession>, DbError> {
    queries::open_checkout(tx, plan).await
}

/// One checkout session.
>>>>>>> theirs
pub async fn checkout_session(tx: &ScopedTx, id: CheckoutId) -> Result<Option<CheckoutSession>, DbError> {
    queries::checkout(tx, id).await
}

<<<<<<< ours
/// The provider has made its page.
///
/// # Errors
/// When the statement fails.
||||||| base
/// A visit that the provider has not heard of yet.
///
/// # Errors
/// When the statement fails.
pub async fn insert_checkout(tx: &ScopedTx, session: &CheckoutSession) -> Result<(), DbError> {
    queries::insert_checkout(tx, session).await
}

/// The provider has made its page.
///
/// # Errors
/// When the statement fails.
=======
/// Inserts a checkout session before the provider is called.
pub async fn insert_checkout(tx: &ScopedTx, session: &CheckoutSession) -> Result<(), DbError> {
    queries::insert_checkout(tx, session).await
}

/// Stores the provider's page of a checkout session.
>>>>>>> theirs
pub async fn open_page(tx: &ScopedTx, id: CheckoutId, page: &HostedPage) -> Result<(), DbError> {
    queries::open_page(tx, id, &page.reference, &page.url).await
}
<<<<<<< ours
||||||| base

/// The page is there no more.
///
/// # Errors
/// When the statement fails.
pub async fn expire_checkout(tx: &ScopedTx, id: CheckoutId) -> Result<(), DbError> {
    queries::expire_checkout(tx, id).await
}

/// Attempts to have an invoice paid, oldest first.
///
/// # Errors
/// When the statement fails.
pub async fn of_invoice(tx: &ScopedTx, id: InvoiceId) -> Result<Vec<Payment>, DbError> {
    queries::of_invoice(tx, id).await
}
=======

/// Closes a checkout session.
pub async fn expire_checkout(tx: &ScopedTx, id: CheckoutId) -> Result<(), DbError> {
    queries::expire_checkout(tx, id).await
}

/// The attempts to collect an invoice, oldest first.
pub async fn of_invoice(tx: &ScopedTx, id: InvoiceId) -> Result<Vec<Payment>, DbError> {
    queries::of_invoice(tx, id).await
}
>>>>>>> theirs
