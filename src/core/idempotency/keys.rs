//! Keys of requests that may be repeated.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::SignedDuration;

use super::{
    model::{KeyState, Named},
    queries,
};
use crate::{core::identity::Caller, db::DbError};

/// How long an answer is kept.
pub const LIFE: SignedDuration = SignedDuration::from_hours(24);

/// Longest key, in characters.
pub const MAX_KEY: usize = 255;

impl Named {
    /// A key and the request that it identifies. `None` for an invalid key: keys have 1 to 255 visible ASCII
    /// characters.
    pub fn new(key: &str, request: &[u8]) -> Option<Self> {
        let fits = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|it| it.is_ascii_graphic());
        fits.then(|| Self { key: key.to_owned(), fingerprint: digest(&SHA256, request).as_ref().to_vec() })
    }
}

/// Claims the key for this transaction, waiting for any other transaction that holds it.
///
/// # Errors
/// When a statement fails.
pub async fn begin(caller: &Caller<'_>, named: &Named) -> Result<KeyState, DbError> {
    let (tx, user, now) = (caller.tx, caller.viewer.user, caller.clock.now());
    queries::delete_expired(tx, user, now).await?;
    if queries::insert(tx, user, named, now + LIFE).await? {
        return Ok(KeyState::First);
    }
    match queries::find(tx, user, &named.key).await? {
        Some((fingerprint, _)) if fingerprint != named.fingerprint => Ok(KeyState::Conflict),
        Some((_, Some(answer))) if answer.is_empty() => Ok(KeyState::Blanked),
        Some((_, Some(answer))) => Ok(KeyState::Answered(answer)),
        // The row disappeared between the two statements: its holder failed, and the caller may retry.
        Some((_, None)) | None => Err(DbError::Contention("the request with this key has just failed".into())),
    }
}

/// Stores the answer, to be committed together with its effect.
///
/// # Errors
/// When the statement fails.
pub async fn keep(caller: &Caller<'_>, named: &Named, answer: &str) -> Result<(), DbError> {
    queries::set_answer(caller.tx, caller.viewer.user, &named.key, answer).await
}

/// Frees the key, when nothing was done.
///
/// # Errors
/// When the statement fails.
pub async fn forget(caller: &Caller<'_>, named: &Named) -> Result<(), DbError> {
    queries::delete(caller.tx, caller.viewer.user, &named.key).await
}

impl Named {
    pub(super) fn parts(&self) -> (&str, &[u8]) {
        (&self.key, &self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use crate::core::idempotency::Named;

    #[test]
    fn a_key_is_visible_ascii() {
        for good in ["a", "8e03978e-40d5-43e8-bc93-6894a57f9324", &"x".repeat(255)] {
            assert!(Named::new(good, b"").is_some(), "{good}");
        }
        for bad in ["", " ", "a b", "ü", "a\n", &"x".repeat(256)] {
            assert!(Named::new(bad, b"").is_none(), "{bad}");
        }
    }
}
