//! What a booking holds: a resource of each kind that its service needs, or a seat of the service itself.
//!
//! Locks are taken on everything that could be held, in the order of the ids, before anything is looked at: so whoever
//! comes second sees what the first has taken, and nobody waits in a ring. What was held for too long is let go before
//! ([`release_around`]), under the lock of the calendar. The exclusion constraint has the last word.

mod assignment;
pub(super) mod classes;
pub(super) mod queries;
mod release;

pub(super) use assignment::{move_to, take};
pub use queries::resources_of;
pub(super) use release::{let_go, release_around, release_expired, tell_freed, tell_freed_at};
