//! Requests that anonymous callers make in the name of an email. The directory keeps them for seconds.

mod inbox;
mod model;
mod queries;

pub(super) use inbox::{insert, take};
pub(super) use model::{ClaimedRequest, Kind};
pub(super) use queries::delete;
