//! The features that a tenant may use, decided by one function from overrides, rollouts and the plan, in this order.

mod decision;
mod model;
mod queries;
mod rollouts;

pub use decision::{all, is_enabled, is_key, set};
pub use model::{Feature, FeatureTerm, Grant, Override, Rollout, Source};
pub use queries::{behind, note_seen, rollouts};
pub use rollouts::{set_rollout, take_rollouts};
