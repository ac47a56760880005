//! The waitlist: customers who wait for a time that is taken. When it is free again, background work holds it for the first
//! in line and writes to him; when he does not take it up, for the next.

mod model;
mod offers;
mod queries;
mod queue;

pub use model::{Entry, EntryKey, Freed, NewEntry, Status, WaitlistError};
pub use offers::{OFFER, Pass, offer_freed};
pub use queries::find;
pub use queue::{MAX_WAITING, join, leave, list};
