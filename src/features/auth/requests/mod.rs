//! What was asked for in the name of an e-mail by somebody who is not signed in. The directory keeps it for seconds.

mod inbox;
mod model;
mod queries;

pub use inbox::{insert, take};
pub use model::{ClaimedRequest, Kind};
pub use queries::delete;
