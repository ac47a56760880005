//! Background work: what the outboxes of tenants and the directory's requests ask for, and what is to be tidied up.
//!
//! Any number of processes work side by side: whoever takes an effect has a lease on it, and one that was not carried out
//! is taken again. A tenant gets few effects carried out at a time, and then waits until every other had its turn.

mod failure;
mod queue;
mod turns;

pub use turns::{Worker, WorkerParts};
