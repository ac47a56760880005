//! A key, and the state of its request.

/// A request with a key.
#[derive(Clone, Debug)]
pub struct Named {
    pub(super) key: String,
    pub(super) fingerprint: Vec<u8>,
}

/// How to proceed with a request that has a key.
#[derive(Debug)]
pub enum KeyState {
    /// It is the first: execute it, then [`keep`](super::keep) its answer or [`forget`](super::forget) it.
    First,
    /// It was executed before: its answer.
    Answered(String),
    /// It was executed before; its answer is no longer kept, because it may have named a person who was erased.
    Blanked,
    /// The key was used for another request.
    Conflict,
}
