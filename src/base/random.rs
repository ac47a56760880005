//! Randomness from the operating system, for unguessable values.

use aws_lc_rs::rand;

/// `N` random bytes.
///
/// # Panics
/// When the operating system provides no randomness, without which nothing here is safe.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Unwrap safety: a system without randomness must not serve.
    rand::fill(&mut bytes).expect("randomness");
    bytes
}
