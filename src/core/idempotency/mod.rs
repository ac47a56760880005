//! Mutations that their sender named: sent again, the first answer is given again and nothing is done twice.
//!
//! After the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header). The answer is
//! written in the mutation's own transaction, so it is there exactly if the effect is. Of two at once the second waits for
//! the first, at the key's unique index, and then gets its answer.

mod keys;
mod model;
mod queries;

pub use keys::{LIFE, MAX_KEY, begin, forget, keep};
pub use model::{KeyState, Named};
