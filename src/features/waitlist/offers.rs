//! Offers times that became available.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use super::{
    model::{Entry, Freed},
    queries,
};
use crate::{
    base::ids::{ResourceId, ServiceId},
    core::outbox::{self, Effect},
    db::{DbError, ScopedTx},
    features::{
        bookings::{self, BookingError, NewBooking},
        tenants,
    },
};

/// How long an offer is held: two hours, but not beyond the start.
pub const OFFER: SignedDuration = SignedDuration::from_hours(2);

/// Maximum number of offers tried in one pass.
const MAX_TRIES: usize = 200;

/// Maximum number of offers tried in one transaction.
const TRIES_AT_ONCE: usize = 10;

/// The progress of a pass over the waitlist. A pass uses several transactions, so that none locks the calendar for
/// long.
#[derive(Debug)]
pub struct Pass {
    freed: Option<Freed>,
    tries: usize,
    offers: usize,
    /// Lines whose time is not available.
    closed: HashSet<(ServiceId, Timestamp, Option<ResourceId>)>,
}

impl Pass {
    /// A pass over entries that compete for the freed time, or (`None`) over a different sample of all entries each
    /// time.
    pub fn new(freed: Option<Freed>) -> Self {
        Self { freed, tries: 0, offers: 0, closed: HashSet::new() }
    }

    /// How many offers were made.
    pub fn offers(&self) -> usize {
        self.offers
    }
}

/// Makes some offers: to the first in each line who can use what is free, as a hold, then to the next while there is
/// room. For background work. Returns whether more may remain for another transaction.
pub async fn offer_freed(tx: &ScopedTx, pass: &mut Pass, now: Timestamp) -> Result<bool, DbError> {
    if !queries::is_awaited(tx, now).await? {
        return Ok(false);
    }
    tenants::lock_calendar(tx).await?;
    if pass.tries == 0 {
        bookings::expire_holds(tx, now).await?;
    }
    let mut heads = queries::heads(tx, pass.freed, now).await?;
    for _ in 0..TRIES_AT_ONCE {
        let is_open = |it: &&Entry| !pass.closed.contains(&(it.service, it.starts_at, it.resource));
        let Some(entry) = heads.iter().find(is_open).cloned() else { return Ok(false) };
        if pass.tries >= MAX_TRIES {
            return Ok(false);
        }
        pass.tries += 1;
        match try_to_offer(tx, &entry, now).await? {
            Outcome::Offered => pass.offers += 1,
            Outcome::NobodyThere => {
                queries::leave(tx, entry.id, now).await?;
            }
            Outcome::Taken => {
                pass.closed.insert((entry.service, entry.starts_at, entry.resource));
                continue;
            }
        }
        // The line now has another first entry.
        heads = queries::heads(tx, pass.freed, now).await?;
    }
    Ok(true)
}

enum Outcome {
    Offered,
    /// The customer is gone.
    NobodyThere,
    Taken,
}

async fn try_to_offer(tx: &ScopedTx, entry: &Entry, now: Timestamp) -> Result<Outcome, DbError> {
    let new = NewBooking {
        service: entry.service,
        starts_at: entry.starts_at,
        customer: Some(entry.customer),
        resource: entry.resource,
        notes: None,
    };
    let part = tx.start_part().await?;
    let offered = Box::pin(bookings::hold_for_waitlist(tx, new, now + OFFER, now)).await;
    let booking = match offered {
        Ok(booking) => booking,
        Err(BookingError::Db(error)) => return Err(error),
        Err(refused) => {
            tx.end_part(part, false).await?;
            let is_gone = matches!(refused, BookingError::CustomerNotFound);
            return Ok(if is_gone { Outcome::NobodyThere } else { Outcome::Taken });
        }
    };
    tx.end_part(part, true).await?;
    queries::note_offer(tx, entry.id, booking.id).await?;
    outbox::enqueue(tx, &Effect::MailOffer { booking: booking.id.0 }, now).await?;
    Ok(Outcome::Offered)
}
