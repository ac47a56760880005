//! The waitlist: customers who wait for a time that is taken. When it is free again, background work holds it for the first
//! in line and writes to him; when he does not take it up, for the next.

pub mod graphql;
mod queries;

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use crate::{
    audit::{self, Changes},
    auth::{Caller, Role},
    bookings::{self, BookingError, NewBooking, Obstacle},
    db::{DbError, ScopedTx},
    ids::{BookingId, ResourceId, ServiceId, UserId, WaitlistEntryId},
    outbox::{self, Effect},
    paging::{Page, Slice, TimeKey},
    tenants, users,
};

/// How long an offer is held: two hours, and never beyond its start.
pub const OFFER: SignedDuration = SignedDuration::from_hours(2);
/// For how many times a customer can wait at once.
pub const MAX_WAITING: i64 = 20;
/// How many offers are tried in one pass.
const MAX_TRIES: usize = 200;
/// How many offers are tried in one transaction.
const TRIES_AT_ONCE: usize = 10;

/// A place on the waitlist.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Within the tenant.
    pub id: WaitlistEntryId,
    /// For what.
    pub service: ServiceId,
    /// Who.
    pub customer: UserId,
    /// Only with this one; `None` for whichever is free.
    pub resource: Option<ResourceId>,
    /// When it would start.
    pub starts_at: Timestamp,
    /// Since when.
    pub created_at: Timestamp,
    /// Where it stands.
    pub status: Status,
    /// By which hold it was offered.
    pub booking: Option<BookingId>,
}

/// Where a place on the waitlist stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The time is taken.
    Waiting,
    /// It is held, to be taken up.
    Offered,
    /// It was taken up.
    Booked,
    /// The offer was not taken up, or the time has passed.
    Lapsed,
    /// The customer does not wait any more.
    Left,
}

/// Sort key of the list: who came first, then the id.
pub type EntryKey = TimeKey;

/// For what somebody wants to wait.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// For what.
    pub service: ServiceId,
    /// When it would start.
    pub starts_at: Timestamp,
    /// Only with this one; `None` for whichever is free.
    pub resource: Option<ResourceId>,
    /// Who; `None` for the caller.
    pub customer: Option<UserId>,
}

/// Why something could not be done with the waitlist.
#[derive(Debug)]
pub enum WaitlistError {
    /// There is no such place, or none that the caller may see.
    NotFound,
    /// He does not wait any more.
    NotWaiting,
    /// The time is free: it can be booked.
    Free,
    /// It cannot be booked, taken or not.
    Never,
    /// The customer waits for as many times as he may.
    TooMany,
    /// As for a booking.
    Booking(BookingError),
}

impl From<BookingError> for WaitlistError {
    fn from(error: BookingError) -> Self {
        Self::Booking(error)
    }
}

impl From<DbError> for WaitlistError {
    fn from(error: DbError) -> Self {
        Self::Booking(BookingError::Db(error))
    }
}

/// Puts a customer on the list for a time that is taken. Who waits for it already keeps his place.
///
/// # Errors
/// See [`WaitlistError`]; nothing is written then.
pub async fn join(caller: &Caller<'_>, new: NewEntry) -> Result<Entry, WaitlistError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    let customer = new.customer.unwrap_or(caller.viewer.user);
    if customer != caller.viewer.user && !caller.is_at_least(Role::Staff) {
        return Err(BookingError::Forbidden.into());
    }
    tenants::lock_calendar(tx).await?;
    users::active(tx, customer).await?.ok_or(BookingError::CustomerNotFound)?;
    match Box::pin(bookings::obstacle(caller, new.service, new.starts_at, new.resource)).await? {
        None => return Err(WaitlistError::Free),
        Some(Obstacle::Taken | Obstacle::Seats | Obstacle::Buffer) => {}
        Some(_) => return Err(WaitlistError::Never),
    }
    if let Some(place) = queries::place_of(tx, &new, customer).await? {
        return find(tx, place, now).await?.ok_or(WaitlistError::NotFound);
    }
    if queries::count_waiting(tx, customer, now).await? >= MAX_WAITING {
        return Err(WaitlistError::TooMany);
    }
    let id = WaitlistEntryId::generate(now);
    queries::insert(tx, id, &new, customer, now).await?;
    let facts = Changes::default()
        .field("service", serde_json::Value::Null, new.service.to_string())
        .field("customer", serde_json::Value::Null, customer.to_string())
        .field("starts_at", serde_json::Value::Null, new.starts_at.to_string());
    audit::record(caller, "waitlist.join", "waitlist_entry", Some(id.0), facts).await?;
    find(tx, id, now).await?.ok_or(WaitlistError::NotFound)
}

/// Takes a customer off the list.
///
/// # Errors
/// `NotFound`, or `NotWaiting` where he does not wait any more: an offer is let go by cancelling its booking.
pub async fn leave(caller: &Caller<'_>, id: WaitlistEntryId) -> Result<Entry, WaitlistError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    tenants::lock_calendar(tx).await?;
    let entry = find(tx, id, now).await?.ok_or(WaitlistError::NotFound)?;
    if entry.status != Status::Waiting || !queries::leave(tx, id, now).await? {
        return Err(WaitlistError::NotWaiting);
    }
    audit::record(caller, "waitlist.leave", "waitlist_entry", Some(id.0), Changes::default()).await?;
    Ok(Entry { status: Status::Left, ..entry })
}

/// One place on the list that the scope may see.
///
/// # Errors
/// When the statement fails.
pub async fn find(tx: &ScopedTx, id: WaitlistEntryId, now: Timestamp) -> Result<Option<Entry>, DbError> {
    queries::find(tx, id, now).await
}

/// A page of the list that the scope may see, first in line first.
///
/// # Errors
/// When the statement fails.
pub async fn list(
    tx: &ScopedTx,
    service: Option<ServiceId>,
    page: &Page<EntryKey>,
    now: Timestamp,
) -> Result<Slice<EntryKey, Entry>, DbError> {
    let entries = queries::list(tx, service, page, now).await?;
    Ok(page.slice(entries.into_iter().map(|it| ((it.created_at, it.id.0), it)).collect()))
}

/// What of a pass over the waitlist has been done: it is done in several transactions, so that none keeps the calendar long.
#[derive(Debug)]
pub struct Pass {
    freed: Option<Freed>,
    tries: usize,
    offers: usize,
    /// Lines whose time cannot be had.
    closed: HashSet<(ServiceId, Timestamp, Option<ResourceId>)>,
}

/// A time that is free again.
#[derive(Clone, Copy, Debug)]
pub struct Freed {
    /// Of which service the booking was that held it.
    pub service: ServiceId,
    /// The first instant of it.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
}

impl Pass {
    /// Over those who wait for what takes the same time, or (`None`) over some of all, others each time.
    pub fn new(freed: Option<Freed>) -> Self {
        Self { freed, tries: 0, offers: 0, closed: HashSet::new() }
    }

    /// How many offers were made.
    pub fn offers(&self) -> usize {
        self.offers
    }
}

/// Makes some offers: to the first of each line whom what is free serves, as a hold, and then to the next as long as there
/// is room. For background work. Returns whether there may be more to do, in another transaction.
///
/// # Errors
/// When a statement fails.
pub async fn offer(tx: &ScopedTx, pass: &mut Pass, now: Timestamp) -> Result<bool, DbError> {
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
        // Somebody else is the first of his line now.
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
    let offered = Box::pin(bookings::offer(tx, new, now + OFFER, now)).await;
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
