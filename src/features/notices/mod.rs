//! What customers are told about their bookings, and the log of it.

mod booking_mail;
mod model;
mod queries;
mod unsubscribing;

pub use booking_mail::{follow, letter, record};
pub use model::{CalendarMethod, Notice, NoticeKind, Sent};
pub use queries::of_bookings;
pub use unsubscribing::{stop_reminders, tenant_of};
