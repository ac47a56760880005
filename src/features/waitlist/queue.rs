//! Joining and leaving the waitlist.

use jiff::Timestamp;

use super::{
    model::{Entry, EntryKey, NewEntry, Status, WaitlistError},
    queries,
};
use crate::{
    base::{
        ids::{ServiceId, WaitlistEntryId},
        paging::{Page, Slice},
    },
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
    },
    db::{DbError, ScopedTx},
    features::{
        bookings::{self, BookingError, Obstacle},
        tenants, users,
    },
};

/// Maximum number of entries of a customer at once.
pub const MAX_WAITING: i64 = 20;

/// Adds a customer to the waitlist for a time that is taken. A customer who is already waiting for it keeps their
/// place.
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
        return queries::find(tx, place, now).await?.ok_or(WaitlistError::NotFound);
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
    queries::find(tx, id, now).await?.ok_or(WaitlistError::NotFound)
}

/// Removes a customer from the waitlist.
///
/// # Errors
/// `NotFound`, or `NotWaiting` when they are no longer waiting. An offer is declined by cancelling its booking.
pub async fn leave(caller: &Caller<'_>, id: WaitlistEntryId) -> Result<Entry, WaitlistError> {
    let (tx, now) = (caller.tx, caller.clock.now());
    tenants::lock_calendar(tx).await?;
    let entry = queries::find(tx, id, now).await?.ok_or(WaitlistError::NotFound)?;
    if entry.status != Status::Waiting || !queries::leave(tx, id, now).await? {
        return Err(WaitlistError::NotWaiting);
    }
    audit::record(caller, "waitlist.leave", "waitlist_entry", Some(id.0), Changes::default()).await?;
    Ok(Entry { status: Status::Left, ..entry })
}

/// A page of the entries that the scope may see, in the order of joining.
pub async fn list(
    tx: &ScopedTx,
    service: Option<ServiceId>,
    page: &Page<EntryKey>,
    now: Timestamp,
) -> Result<Slice<EntryKey, Entry>, DbError> {
    let entries = queries::list(tx, service, page, now).await?;
    Ok(page.slice(entries.into_iter().map(|it| ((it.created_at, it.id.0), it)).collect()))
}
