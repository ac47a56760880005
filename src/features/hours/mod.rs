//! Opening hours of a tenant, its services and its resources: weekly from a day on, with exceptions for single days.
//!
//! Hours are wall-clock times in an IANA zone and become instants day by day, so a clock change does not move the
//! displayed hours. A time that a clock change skips becomes the instant of the change. A time that occurs twice
//! becomes the first of the two. Steps between bookings are counted on the wall clock too.

mod described;
mod grid;
mod holidays;
mod model;
mod opening;
mod queries;
mod schedules;

pub use grid::StartSpan;
pub use model::{DAY, HoursError, Open, Override, Owner, Schedule, Span};
pub use opening::{Hours, contain, intersect, merge, of_service};
pub use schedules::{MAX_DAYS, delete_override, import_holidays, overrides, schedules, set_override, set_schedule};
