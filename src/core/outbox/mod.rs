//! Effects outside a transaction: written in it, carried out by background work afterwards, at least once.

mod queries;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    db::{DbError, ScopedTx},
    ids::{TenantId, uuid_v7},
};

/// How long whoever took an effect has to carry it out, before somebody else may.
pub const LEASE: SignedDuration = SignedDuration::from_secs(120);
/// Attempts after which an effect is given up: with the delays between them, some two days.
pub const MAX_ATTEMPTS: i32 = 17;
/// Attempts after which an effect is given up that looks hopeless: within three minutes.
pub const HOPELESS_ATTEMPTS: i32 = 4;
/// Delay after the first failure; each further one doubles it.
const FIRST_DELAY: SignedDuration = SignedDuration::from_secs(15);
/// Longest delay.
const LONGEST_DELAY: SignedDuration = SignedDuration::from_hours(8);

/// What is to happen. Ids, and facts that will not be the same any more when it happens; whatever else it takes is read
/// then, and nothing personal stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "payload")]
pub enum Effect {
    /// A mail with a link to choose a new password.
    #[serde(rename = "mail.password_reset")]
    MailPasswordReset {
        /// Whose.
        user: Uuid,
    },
    /// A mail that tells that the password was changed.
    #[serde(rename = "mail.password_changed")]
    MailPasswordChanged {
        /// Whose.
        user: Uuid,
    },
    /// A mail with a link that shows that the mailbox is the user's.
    #[serde(rename = "mail.email_verification")]
    MailEmailVerification {
        /// Whose.
        user: Uuid,
    },
    /// A mail that tells its customer what became of a booking.
    #[serde(rename = "mail.booking")]
    MailBooking {
        /// Which.
        booking: Uuid,
        /// Such as `booking.confirmed`.
        event: String,
        /// As it was then.
        version: i32,
    },
    /// A message is sent to an endpoint of the tenant's own systems.
    #[serde(rename = "webhooks.send")]
    SendWebhook {
        /// Which message.
        delivery: Uuid,
    },
    /// A mail that tells an administrator that an endpoint was disabled.
    #[serde(rename = "mail.webhook_disabled")]
    MailWebhookDisabled {
        /// Which.
        endpoint: Uuid,
        /// Whom.
        user: Uuid,
    },
    /// A mail that reminds its customer of a booking.
    #[serde(rename = "mail.reminder")]
    MailReminder {
        /// Which.
        booking: Uuid,
        /// When it was to start: moved since, it has another reminder.
        starts_at: Timestamp,
    },
    /// A mail that offers a time to somebody who waits for it.
    #[serde(rename = "mail.offer")]
    MailOffer {
        /// The hold.
        booking: Uuid,
    },
    /// A mail that tells of a series of bookings.
    #[serde(rename = "mail.series")]
    MailSeries {
        /// Which.
        series: Uuid,
        /// Whether some of it was called off; otherwise it was made.
        cancelled: bool,
        /// Which of its bookings were called off.
        #[serde(default)]
        bookings: Vec<Uuid>,
    },
    /// A mail with a link to join.
    #[serde(rename = "mail.invitation")]
    MailInvitation {
        /// Which invitation.
        invitation: Uuid,
    },
    /// A mail with a link to confirm a registration, or one that says that there is an account already.
    #[serde(rename = "mail.registration")]
    MailRegistration {
        /// Which registration.
        registration: Uuid,
    },
    /// Whoever is to hear of a booking hears what became of it: its customer by mail, the tenant's systems by webhook.
    #[serde(rename = "bookings.tell")]
    TellOfBooking {
        /// Such as `booking.confirmed`.
        event: String,
        /// Which.
        booking: Uuid,
        /// As it was then.
        version: i32,
        /// As it was then.
        status: String,
        /// As it was then.
        starts_at: Timestamp,
        /// As it was then.
        ends_at: Timestamp,
        /// Whether its customer is to have a mail: not where one tells of a whole series.
        by_mail: bool,
    },
    /// A time that is free again is offered to whoever waits for it.
    #[serde(rename = "waitlist.offer")]
    OfferFreedTime {
        /// Of which service the booking was; `None` as an older version wrote it.
        #[serde(default)]
        service: Option<Uuid>,
        /// The first instant of it.
        from: Timestamp,
        /// The first instant after it.
        to: Timestamp,
    },
    /// A period of the tenant's subscription has ended, or something else has fallen due.
    #[serde(rename = "billing.run")]
    RunBilling,
    /// An invoice is to be paid.
    #[serde(rename = "billing.collect")]
    CollectInvoice {
        /// Which.
        invoice: Uuid,
        /// Whether somebody asks for it, whatever the schedule says.
        #[serde(default)]
        at_once: bool,
    },
    /// Whoever is to hear of it hears that an invoice was issued.
    #[serde(rename = "billing.announce")]
    AnnounceInvoice {
        /// Which.
        invoice: Uuid,
    },
    /// Whoever is to hear of it hears that an invoice could not be collected.
    #[serde(rename = "billing.overdue")]
    AnnounceOverdue {
        /// Which.
        invoice: Uuid,
        /// Whether the tenant's people can only read now.
        is_last: bool,
    },
    /// The time of grace of an invoice is over.
    #[serde(rename = "billing.restrict")]
    RestrictOverdue {
        /// Which.
        invoice: Uuid,
    },
    /// A mail that tells of an invoice.
    #[serde(rename = "mail.invoice")]
    MailInvoice {
        /// Which.
        invoice: Uuid,
        /// Whom; `None` for the address that the tenant has given.
        user: Option<Uuid>,
        /// What of it: `issued`, `failed` or `restricted`.
        what: String,
    },
    /// The directory copies what the tenant's own store says: name, status, plan.
    #[serde(rename = "directory.sync_tenant")]
    SyncTenant,
    /// The directory notes that a mailbox is its user's.
    #[serde(rename = "directory.verify_login")]
    VerifyLogin {
        /// Whose.
        user: Uuid,
    },
    /// A registration that nobody confirmed is removed.
    #[serde(rename = "registrations.expire")]
    ExpireRegistration {
        /// Which.
        registration: Uuid,
    },
    /// The directory forgets a person who was erased.
    #[serde(rename = "directory.forget_login")]
    ForgetLogin {
        /// Whom.
        user: Uuid,
    },
}

/// Effects stand in two lines, so that what waits for tenants' own systems keeps no mail waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// All but the other.
    Usual = 0,
    /// Messages to webhooks.
    Webhooks = 1,
}

/// An effect that was taken to be carried out.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The same for every attempt.
    pub id: Uuid,
    /// What is to happen; `None` when this version does not know the kind, as after a step back.
    pub effect: Option<Effect>,
    /// When it was written.
    pub created_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// Since when it could have been carried out.
    pub due_at: Timestamp,
}

/// An effect that was given up.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its id.
    pub id: Uuid,
    /// What was to happen.
    pub kind: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was given up.
    pub dead_at: Timestamp,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it failed last.
    pub last_error: String,
}

/// Writes an effect, and has background work begin once the transaction has committed. Returns its id.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue(tx: &ScopedTx, effect: &Effect, now: Timestamp) -> Result<Uuid, DbError> {
    let id = uuid_v7(now);
    enqueue_as(tx, id, effect, now).await?;
    Ok(id)
}

/// Writes an effect under an id that is its own: done again, it is there once.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue_as(tx: &ScopedTx, id: Uuid, effect: &Effect, now: Timestamp) -> Result<(), DbError> {
    queries::insert(tx, id, effect, now, now).await?;
    tx.wake_on_commit();
    Ok(())
}

/// Writes an effect that is not to happen before an instant, under an id that is its own.
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

/// An id for what follows from an effect: the same whenever it is carried out, so that what follows is there once.
pub fn derived_id(effect: Uuid, what: &str) -> Uuid {
    Uuid::new_v5(&effect, what.as_bytes())
}

/// Writes an effect that is not to happen before an instant.
///
/// # Errors
/// When the statement fails.
pub async fn enqueue_at(tx: &ScopedTx, effect: &Effect, at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    queries::insert(tx, uuid_v7(now), effect, now, at).await
}

/// Takes up to `limit` effects of a lane that are due, oldest first; whoever else looks at the same time gets others. They are due
/// again after [`LEASE`], unless they are [`done`] or [`failed`] before.
///
/// # Errors
/// When the statement fails.
pub async fn take(tx: &ScopedTx, lane: Lane, limit: i64, now: Timestamp) -> Result<Vec<Taken>, DbError> {
    queries::take(tx, lane, limit, now).await
}

/// The effect was carried out.
///
/// # Errors
/// When the statement fails.
pub async fn done(tx: &ScopedTx, id: Uuid) -> Result<(), DbError> {
    queries::delete(tx, id).await
}

/// The effect failed: it is tried again later, or given up where it was tried often enough; soon where it looks
/// `hopeless`, since whoever says so may be wrong for a moment. Returns whether it was given up.
///
/// # Errors
/// When the statement fails.
pub async fn failed(
    tx: &ScopedTx,
    taken: &Taken,
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

/// Those of these tenants that have something due.
///
/// # Errors
/// When the statement fails.
pub async fn with_due_effects(tx: &ScopedTx, tenants: &[TenantId], now: Timestamp) -> Result<Vec<TenantId>, DbError> {
    queries::with_due_effects(tx, tenants, now).await
}

/// What was given up, oldest first.
///
/// # Errors
/// When the statement fails.
pub async fn dead_letters(tx: &ScopedTx) -> Result<Vec<DeadLetter>, DbError> {
    queries::dead_letters(tx).await
}

/// Has everything that was given up tried again, and returns how much that is.
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
