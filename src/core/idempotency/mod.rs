//! Idempotent mutations: a repeated request gets the first answer again, and nothing is done twice.
//!
//! Follows the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header). The
//! answer is written in the mutation's own transaction, so it exists exactly when the effect does. Of two concurrent
//! requests the second waits for the first, at the key's unique index, and then gets its answer.

mod keys;
mod model;
mod queries;

pub use keys::{LIFE, MAX_KEY, begin, forget, keep};
pub use model::{KeyState, Named};
