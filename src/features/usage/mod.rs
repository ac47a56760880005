//! The usage of a tenant: events, daily sums, and quotas, all written in the transaction that causes the usage.
//!
//! Each event is stored once, however often it is sent: its id derives from its source and its name there. Invoices are
//! rated from the events; `usage_days` is for charts, and `usage_counters` for quotas.

pub mod api_cost;
mod metering;
mod model;
mod queries;
pub mod rate_limits;

pub use metering::{close, is_level, is_own, quantity_in, record, record_one};
pub use model::{API_COST, BOOKINGS, Day, Event, Meter, OWN_METERS, Period, Recorded, USERS};
pub use queries::{closed_until, count_one, days, used_of_all};
