//! Bookings. A booking is created, moves through its statuses, and is never deleted.

mod availability;
mod claims;
mod create;
mod events;
mod grid;
mod history;
mod lookup;
mod model;
mod queries;
mod slots;
mod status;
mod update;

pub use availability::{FreeSlot, Obstacle, Wish, availability, obstacle};
pub use claims::resources_of;
pub use create::{BookingRequest, book, confirm_hold, expire_holds, hold, hold_for_waitlist};
pub use events::{BookingEvent, Happened};
pub use lookup::{list, pages_of_customers};
pub use model::{
    Booking, BookingError, BookingFilter, BookingKey, BookingOrder, Changed, HOLD, MAX_AHEAD, MAX_HOLDS, MAX_NOTES,
    MAX_REASON, NewBooking, Preloaded, PreloadedRefs, Transition,
};
pub use queries::{by_ids, changed_since, histories, last_changed_at, of_person, of_series};
pub use status::BookingStatus;
pub use update::{cancel_quietly, reschedule, set_status};
