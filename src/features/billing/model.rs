//! Changes of plan.

use jiff::Timestamp;

use super::invoices::InvoiceTotals;

/// When a change of plan takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once, by the part of the cycle that is left.
    Now,
    /// When the cycle ends.
    PeriodEnd,
}

/// What a change of plan costs.
#[derive(Clone, Debug)]
pub struct Preview {
    /// When it takes effect.
    pub takes_effect_at: Timestamp,
    /// What falls due then, with the usage so far.
    pub totals: InvoiceTotals,
    /// Of the amounts.
    pub currency: crate::base::money::Currency,
}
