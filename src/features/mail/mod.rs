//! Mail: rendered from templates in the tenant's name, colours and language, then sent by SMTP or written to a folder.
//!
//! Other modules decide what is sent, to whom and when: see [`crate::core::outbox`] and [`crate::worker`].

mod bookings;
pub mod dates;
mod invoices;
mod layout;
mod letters;
mod mailer;

pub use bookings::{BookingNotice, News};
pub use invoices::{InvoiceNotice, InvoiceOccasion};
pub use letters::{CalendarFile, Letter, Subject};
pub use mailer::{MailError, MailSettings, Mailer, SEND_LIMIT, is_smtp_url};
