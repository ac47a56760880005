//! Invoices for what falls due, in chronological order, each item once.
//!
//! Flat fees are due in advance, usage after its period. A fee that was billed beyond the end of its period is
//! credited. An invoice is drafted with its final amounts, then issued with the next number. Afterwards only its state
//! changes.

mod issuing;
mod model;
pub mod pdf;
mod preview;
mod queries;
mod rating;

pub use issuing::{credit, draft_due, issue_next, list, save, set_profile, set_tax, settle, with_payment};
pub use model::{
    CreditNote, Invoice, InvoiceError, InvoiceKey, InvoiceTotals, Kind, LEAST_CHARGE, Line, Profile, Recipient, State,
    Tax,
};
pub use preview::{Explanation, explain, preview, preview_at_end, upcoming};
pub use queries::{balance, by_id, credit_notes, lines, open, profile, tax};
pub use rating::{compute_totals, credit_line, flat_line, usage_lines};
