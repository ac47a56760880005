//! Requests that anonymous callers make in the name of an email. The directory keeps them for seconds.

mod inbox;
mod model;
mod queries;

pub use inbox::{delete, insert, take};
pub use model::{Kind, Taken};
