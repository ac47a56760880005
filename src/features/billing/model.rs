//! Plan changes.

use jiff::Timestamp;

use super::invoices::InvoiceTotals;

/// When a plan change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Immediately, charged for the rest of the cycle.
    Now,
    /// At the end of the cycle.
    PeriodEnd,
}

/// What a plan change costs.
#[derive(Clone, Debug)]
pub struct Preview {
    /// When the change takes effect.
    pub takes_effect_at: Timestamp,
    /// The amounts due then, including usage so far.
    pub totals: InvoiceTotals,
    /// The currency of the amounts.
    pub currency: crate::base::money::Currency,
}
