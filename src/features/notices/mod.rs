//! What customers hear of their bookings: which mail follows from what happened, and what stands in it.

mod booking_mail;

pub use booking_mail::{follow, letter};
