//! A key, and what became of its request.

/// A request with a key.
#[derive(Clone, Debug)]
pub struct Named {
    pub(super) key: String,
    pub(super) fingerprint: Vec<u8>,
}

/// What is to be done with a named request.
#[derive(Debug)]
pub enum KeyState {
    /// It is the first: carry it out, then [`keep`](super::keep) its answer or [`forget`](super::forget) it.
    First,
    /// It was carried out: its answer.
    Answered(String),
    /// The key was used for another request.
    Conflict,
}
