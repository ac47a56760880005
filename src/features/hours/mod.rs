//! Opening hours of a tenant, its services and its resources: weekly from a day on, with exceptions for single days.
//!
//! Hours are wall-clock times in an IANA zone and become instants day by day, so a clock change does not move the
//! displayed hours. A time that a clock change skips becomes the instant of the change. A time that occurs twice
//! becomes the first of the two. Steps between bookings are counted on the wall clock too.

mod described;
mod grid;
mod holidays;
mod ical;
mod imports;
mod model;
mod opening;
mod queries;
mod schedules;
mod zones;

pub use grid::StartSpan;
pub use imports::{delete_holidays, holiday_sources, import_holidays};
pub use model::{
    DAY, EventFilter, HolidayFile, HolidaySource, HoursError, Imported, Later, Open, Override, Owner, Schedule,
    Skipped, Span,
};
pub use opening::{Hours, Timetable, contain, intersect, merge, of_service};
pub use schedules::{MAX_DAYS, delete_override, overrides, schedules, schedules_elsewhere, set_override, set_schedule};
