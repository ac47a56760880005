//! Links that were sent by mail and are good once.
//!
//! A link is made when its mail is written: its token is 256 random bits that nobody keeps, and only its SHA-256 is
//! stored. A mail that is sent again, because it is not known whether it arrived, carries a new token of the same link.

mod model;
mod one_time;
mod queries;

pub use model::Purpose;
pub use one_time::{mint, remove, subject_of, use_up, void};
