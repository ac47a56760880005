//! What a booking claims: a resource of each kind that its service needs, or a seat of the service itself.
//!
//! Locks on everything that could be claimed are taken in the order of the ids, before anything is read. A second
//! caller therefore sees the first one's claims, and callers never deadlock. Expired holds are released before
//! ([`release_around`]), under the calendar's lock. The exclusion constraint decides in the end.

mod assignment;
pub(super) mod classes;
pub(super) mod queries;
mod release;

pub(super) use assignment::{move_to, take};
pub use queries::resources_of;
pub(super) use release::{let_go, release_around, release_expired, tell_freed, tell_freed_at};
