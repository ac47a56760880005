//! The waitlist: customers who wait for a time that is taken. When the time becomes available, background work holds it
//! for the first customer in line and sends them a mail. If they do not confirm it, the next customer gets the offer.

mod model;
mod offers;
mod queries;
mod queue;

pub use model::{Entry, EntryKey, Freed, NewEntry, Status, WaitlistError};
pub use offers::{OFFER, Pass, offer_freed};
pub use queries::find;
pub use queue::{MAX_WAITING, join, leave, list};
