//! Background work: carries out the effects in tenants' outboxes and the directory's requests, and removes what has
//! expired.
//!
//! Any number of processes can run it side by side. A worker leases the effects it takes, and an effect that was not
//! carried out is taken again. Each tenant gets a few effects carried out at a time, and then waits for all others'
//! turns.

mod failure;
mod queue;
mod turns;

pub use turns::{Worker, WorkerParts};
