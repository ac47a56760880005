//! The audit log: who did what, written in the transaction that did it.

mod changes;
mod erasure;
mod log;
mod model;
mod queries;
mod refusals;
mod verification;

pub use changes::Changes;
pub use log::{forget, list, part, record, record_as};
pub use model::{AuditError, AuditFilter, AuditKey, Entry, Event};
pub use refusals::Refusals;
pub use verification::{MAX_BROKEN, Verification, verify_chain};
