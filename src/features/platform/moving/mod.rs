//! Requests to move tenants between stores and to create stores, as platform administrators make them and the directory
//! stores them. [`fleet`](crate::fleet) carries them out.

mod moves;
mod places;
mod queries;

pub use moves::{GRACE, MAX_ATTEMPTS, want};
pub use places::Places;
pub use queries::{
    find, forget_leftover, is_used, leave, leftovers, note_error, note_leftover_error, note_progress, open, own_stores,
    place, placement, set_moving, step, store_is_ready, without_store,
};
