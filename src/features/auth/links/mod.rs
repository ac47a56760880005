//! One-time links sent by mail.
//!
//! A link is created when its mail is written. Its token has 256 random bits and is not stored; only its SHA-256 is.
//! When a mail is sent again because its delivery is uncertain, it carries a new token for the same link.

mod model;
mod one_time;
mod queries;

pub use model::Purpose;
pub use one_time::{mint, remove, subject_of, use_up, void};
