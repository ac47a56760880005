//! Moves of tenants between stores, and making the stores of new ones: as platform administrators ask for them, and as the
//! directory keeps them. They are carried out by [`fleet`](crate::fleet).

mod moves;
mod places;
pub mod queries;

pub use moves::{GRACE, MAX_ATTEMPTS, want};
pub use places::Places;
