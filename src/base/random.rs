//! Randomness of the operating system, for what nobody may guess.

use aws_lc_rs::rand;

/// So many random bytes.
///
/// # Panics
/// When the operating system has no randomness, without which nothing here is safe.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Unwrap safety: a system without randomness must not serve.
    rand::fill(&mut bytes).expect("randomness");
    bytes
}
