//! Plans and their versions, all in the directory.

mod catalogue;
mod model;
mod queries;

pub use catalogue::{all, create, draft, on_offer, publish, update, version};
pub use model::{Plan, PlanError, PlanPatch, PlanVersion};
