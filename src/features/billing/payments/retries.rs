//! What follows a failed collection.

use jiff::{SignedDuration, Timestamp};

use crate::{
    base::ids::InvoiceId,
    core::outbox::{self, Effect},
    db::{DbError, ScopedTx},
    features::billing::{
        invoices::{self, Invoice},
        standing::{GRACE, review},
    },
};

/// When a payment is retried, counted from the first failure.
pub const RETRIES: [SignedDuration; 4] = [
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(3 * 24),
    SignedDuration::from_hours(5 * 24),
    SignedDuration::from_hours(7 * 24),
];

/// When the schedule tries again; `None` after the last attempt.
pub(super) fn next_try(invoice: &Invoice) -> Option<Timestamp> {
    let Some(since) = invoice.overdue_since else { return Some(Timestamp::MIN) };
    let nth = usize::try_from(invoice.attempts - 1).unwrap_or(0);
    RETRIES.get(nth).map(|after| since + *after)
}

/// Handles a failed payment, or a due invoice that could not be charged: queues the mail to the tenant and the next
/// attempt. The first failure starts the grace period.
pub async fn after_failure(tx: &ScopedTx, id: InvoiceId, now: Timestamp) -> Result<(), DbError> {
    let found = invoices::by_id(tx, id).await?.filter(Invoice::is_owing);
    let Some(invoice) = found else { return Ok(()) };
    let since = invoice.overdue_since.unwrap_or(now);
    let invoice = Invoice { overdue_since: Some(since), ..invoice };
    invoices::save(tx, &invoice).await?;
    if let Some(at) = next_try(&invoice) {
        let effect = outbox::derived_id(id.0, &format!("retry {}", invoice.attempts));
        let collect = Effect::CollectInvoice { invoice: id.0, at_once: false };
        outbox::enqueue_as_at(tx, effect, &collect, at.max(now), now).await?;
    }
    let effect = outbox::derived_id(id.0, &format!("failed {}", invoice.attempts));
    outbox::enqueue_as(tx, effect, &Effect::AnnounceOverdue { invoice: id.0, is_last: false }, now).await?;
    let effect = outbox::derived_id(id.0, "restrict");
    outbox::enqueue_as_at(tx, effect, &Effect::RestrictOverdue { invoice: id.0 }, since + GRACE, now).await?;
    review(tx, now).await
}
