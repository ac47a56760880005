//! When a tenant, its services and resources are open: by the week, from a day on, and on single days.
//!
//! Hours are wall-clock times of an IANA zone, and become instants day by day: so a change of the clock moves nothing that
//! people read on it. A time that a change skips is where the clock goes on; one that comes twice is the first of the two.

mod described;
mod holidays;
mod model;
mod opening;
mod queries;
mod schedules;

pub use model::{DAY, HoursError, Open, Override, Owner, Schedule, Span};
pub use opening::{Hours, contain, intersect, merge, of_service};
pub use schedules::{MAX_DAYS, delete_override, import_holidays, overrides, schedules, set_override, set_schedule};
