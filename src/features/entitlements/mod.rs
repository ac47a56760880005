//! What a tenant may use: decided by one function, from an override, a roll-out and the plan, in this order.

mod decision;
mod model;
mod queries;
mod rollouts;

pub use decision::{all, is_enabled, is_key, set};
pub use model::{Feature, FeatureTerm, Grant, Override, Rollout, Source};
pub use queries::{behind, note_seen, rollouts};
pub use rollouts::{set_rollout, take_rollouts};
