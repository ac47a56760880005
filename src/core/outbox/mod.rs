//! Effects outside a transaction: written in it, carried out by background work afterwards, at least once.

mod model;
mod queries;
mod queue;

pub use model::{ClaimedEffect, DeadLetter, Effect, LEASE, Lane};
pub use queries::{dead_letters, take, with_due_effects};
pub use queue::{
    HOPELESS_ATTEMPTS, MAX_ATTEMPTS, derived_id, done, enqueue, enqueue_as, enqueue_as_at, enqueue_at, failed, revive,
};
