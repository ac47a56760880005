//! Mails to customers about their bookings: which mail an event triggers, and its content.

mod booking_mail;

pub use booking_mail::{follow, letter};
