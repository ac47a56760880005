//! Plans and their versions, all in the directory.

mod catalogue;
mod model;
mod queries;

pub use catalogue::{create, draft, publish, update, version};
pub use model::{Plan, PlanError, PlanPatch, PlanVersion};
pub use queries::{all, on_offer};
