//! Series: bookings that are created together by a rule and can be cancelled together. Each booking is otherwise
//! independent.

mod cancel;
mod create;
mod model;
mod queries;
mod rule;

pub use cancel::cancel;
pub use create::create;
pub use model::{CalledOff, Extent, Missed, NewSeries, Occurrence, Outcome, Series, SeriesError};
pub use queries::by_ids;
pub use rule::{Flaw, Frequency, MAX_INTERVAL, MAX_OCCURRENCES, NoInstant, Rule};
