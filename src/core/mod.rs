//! What every feature builds on: identity, the audit log, effects after the commit, idempotent requests and telemetry.

pub mod audit;
pub mod idempotency;
pub mod identity;
pub mod outbox;
pub mod telemetry;
