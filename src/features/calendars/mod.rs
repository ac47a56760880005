//! Bookings in people's own calendar programs: as files, and as a feed under a secret URL.

mod feed;
mod ics;
mod queries;
mod timezones;

pub use feed::{Feed, delete_feed, feed, rotate_feed, tenant_of};
pub use ics::{Entry, Method, Parties, Party, file};
pub use queries::feed_of;
