//! What was asked for in the name of an e-mail by somebody who is not signed in. The directory keeps it for seconds.

mod inbox;
mod model;
mod queries;

pub(super) use inbox::{insert, take};
pub(super) use model::{ClaimedRequest, Kind};
pub(super) use queries::delete;
