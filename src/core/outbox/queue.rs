//! The queue of effects: enqueue, take, retry and give up.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    model::{ClaimedEffect, Effect},
    queries,
};
use crate::{
    base::ids::uuid_v7,
    db::{DbError, ScopedTx},
};

/// How many attempts are made before an effect is given up: with the delays between them, about two days.
pub const MAX_ATTEMPTS: i32 = 17;

/// How many attempts are made when an error looks permanent: about three minutes.
pub const HOPELESS_ATTEMPTS: i32 = 4;

/// Delay after the first failure; each further one doubles it.
const FIRST_DELAY: SignedDuration = SignedDuration::from_secs(15);

/// Longest delay.
const LONGEST_DELAY: SignedDuration = SignedDuration::from_hours(8);

/// Writes an effect and starts background work after the commit. Returns its id.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue(tx: &ScopedTx, effect: &Effect, now: Timestamp) -> Result<Uuid, DbError> {
    let id = uuid_v7(now);
    enqueue_as(tx, id, effect, now).await?;
    Ok(id)
}

/// Writes an effect with a given id: repeated, it exists once.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue_as(tx: &ScopedTx, id: Uuid, effect: &Effect, now: Timestamp) -> Result<(), DbError> {
    queries::insert(tx, id, effect, now, now).await?;
    tx.wake_on_commit();
    Ok(())
}

/// Writes an effect with a given id, due at `at`.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue_as_at(
    tx: &ScopedTx,
    id: Uuid,
    effect: &Effect,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    queries::insert(tx, id, effect, now, at).await
}

/// An id for an effect that follows from another: always the same, so that the follow-up exists once.
pub fn derived_id(effect: Uuid, what: &str) -> Uuid {
    Uuid::new_v5(&effect, what.as_bytes())
}

/// Writes an effect that is due at `at`.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue_at(tx: &ScopedTx, effect: &Effect, at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    queries::insert(tx, uuid_v7(now), effect, now, at).await
}

/// Removes an effect that was carried out.
///
/// # Errors
/// When the statement fails.
pub async fn done(tx: &ScopedTx, id: Uuid) -> Result<(), DbError> {
    queries::delete(tx, id).await
}

/// Records that an effect failed. It is retried later, or given up after enough attempts. Errors that look `hopeless`
/// get fewer attempts, but not just one, since the judgement may be wrong for a moment. Returns whether it was given
/// up.
///
/// # Errors
/// When the statement fails.
pub async fn failed(
    tx: &ScopedTx,
    taken: &ClaimedEffect,
    error: &str,
    hopeless: bool,
    now: Timestamp,
) -> Result<bool, DbError> {
    let dead = taken.attempt >= if hopeless { HOPELESS_ATTEMPTS } else { MAX_ATTEMPTS };
    let error: String = error.chars().filter(|it| *it != '\0').take(2000).collect();
    queries::note_failure(tx, taken.id, &error, now + delay(taken.attempt), dead.then_some(now)).await?;
    Ok(dead)
}

/// Exponential back-off: 15 s, doubled with each attempt, at most 8 hours.
fn delay(attempt: i32) -> SignedDuration {
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(20);
    (FIRST_DELAY * 2_i32.pow(doublings)).min(LONGEST_DELAY)
}

/// Schedules everything that was given up for another attempt, and returns how many.
///
/// # Errors
/// When the statement fails.
pub async fn revive(tx: &ScopedTx, now: Timestamp) -> Result<usize, DbError> {
    tx.wake_on_commit();
    queries::revive(tx, now).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_last_two_days() {
        assert_eq!(delay(1), SignedDuration::from_secs(15));
        assert_eq!(delay(2), SignedDuration::from_secs(30));
        assert_eq!(delay(13), LONGEST_DELAY);
        assert_eq!(delay(i32::MAX), LONGEST_DELAY);
        let total: SignedDuration = (1..MAX_ATTEMPTS).map(delay).fold(SignedDuration::ZERO, |sum, it| sum + it);
        assert!((40..60).contains(&total.as_hours()), "{total}");
    }
}
