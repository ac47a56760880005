//! How much a tenant uses: events, their sums by day, and quotas, all written in the transaction that uses.
//!
//! An event is there once, whoever sends it how often: its id is derived from its source and its name there. Invoices are
//! rated from the events; `usage_days` is for charts, and `usage_counters` for quotas.

pub mod api_cost;
mod metering;
mod model;
mod queries;
pub mod rate_limits;

pub use metering::{close, is_level, is_own, quantity_in, record, record_one};
pub use model::{API_COST, BOOKINGS, Day, Event, Meter, OWN_METERS, Period, Recorded, USERS};
pub use queries::{closed_until, count_one, days, used_of_all};
