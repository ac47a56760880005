//! Moves of tenants between stores, and making the stores of new ones: as platform administrators ask for them, and as the
//! directory keeps them. They are carried out by [`fleet`](crate::fleet).

mod moves;
mod places;
mod queries;

pub use moves::{GRACE, MAX_ATTEMPTS, want};
pub use places::Places;
pub use queries::{
    find, forget_leftover, is_used, leave, leftovers, note_error, note_leftover_error, note_progress, open, own_stores,
    place, placement, set_moving, step, store_is_ready, without_store,
};
