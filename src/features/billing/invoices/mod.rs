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

pub use issuing::{
    balance, by_id, credit, credit_notes, draft_due, issue_next, lines, list, open, profile, save, set_profile,
    set_tax, settle, tax, with_payment,
};
pub use model::{
    CreditNote, Invoice, InvoiceError, InvoiceKey, Kind, LEAST_CHARGE, Line, Profile, Recipient, Reckoning, State, Tax,
};
pub use preview::{Explanation, explain, preview, preview_at_end, upcoming};
pub use rating::{credit_line, flat_line, reckon, usage_lines};
