//! The calendar feed that a person subscribes to.

use jiff::{SignedDuration, Timestamp};

use super::{
    ics::{Entry, Method, Parties, file},
    queries,
};
use crate::{
    base::ids::TenantId,
    core::{
        audit::{self, Changes},
        identity::Caller,
    },
    db::{DbError, ScopedTx},
    features::{auth::FeedToken, bookings, services, tenants, users},
};

/// How far back a feed reaches.
const BACK: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How far ahead a feed reaches.
const AHEAD: SignedDuration = SignedDuration::from_hours(2 * 366 * 24);

/// Creates the caller's feed and replaces an existing one: the previous URL stops working. Returns the token of the new
/// URL, which is not stored.
pub async fn rotate_feed(caller: &Caller<'_>) -> Result<(FeedToken, Timestamp), DbError> {
    let (tx, now, user) = (caller.tx, caller.clock.now(), caller.viewer.user);
    let token = FeedToken::generate(tx.tenant());
    queries::lock_feed(tx, user).await?;
    queries::delete_feed(tx, user).await?;
    queries::insert_feed(tx, user, &token.hash(), now).await?;
    audit::record(caller, "calendars.rotate_feed", "user", Some(user.0), Changes::default()).await?;
    Ok((token, now))
}

/// Removes the caller's feed; returns whether there was one.
pub async fn delete_feed(caller: &Caller<'_>) -> Result<bool, DbError> {
    let user = caller.viewer.user;
    let had = queries::delete_feed(caller.tx, user).await?;
    if had {
        audit::record(caller, "calendars.delete_feed", "user", Some(user.0), Changes::default()).await?;
    }
    Ok(had)
}

/// The tenant in the token of a feed's URL; `None` when the token is malformed.
pub fn tenant_of(token: &str) -> Option<TenantId> {
    FeedToken::parse(token).map(|it| it.tenant)
}

/// The content of the feed with this token. It runs in a transaction of the sign-in path, which from then on has only
/// the rights of the feed's user: their own bookings and, for staff, those that use the resource which represents them.
/// `None` when there is no such feed. The file is rendered after the transaction has ended.
pub async fn feed(tx: &ScopedTx, token: &str, now: Timestamp) -> Result<Option<Feed>, DbError> {
    let Some(token) = FeedToken::parse(token) else { return Ok(None) };
    let Some(user) = queries::enter_feed(tx, &token.hash()).await? else { return Ok(None) };
    let tenant = tenants::current(tx).await?;
    let found = bookings::of_person(tx, user, (now - BACK, now + AHEAD), now).await?;
    let services: Vec<_> = found.iter().map(|it| it.service).collect();
    let customers: Vec<_> = found.iter().map(|it| it.customer).collect();
    let (services, customers) = futures_util::join!(services::by_ids(tx, &services), users::by_ids(tx, &customers));
    let (services, customers) = (services?, customers?);
    let of = |booking: bookings::Booking| {
        let service = &services.get(&booking.service)?.name;
        let summary = if booking.customer == user {
            format!("{service}, {}", tenant.name)
        } else {
            let customer = customers.get(&booking.customer).map_or("", |it| it.name.as_str());
            format!("{service}: {customer}")
        };
        let description = booking.notes.clone();
        Some(Entry { booking, summary, description, location: None })
    };
    let ids: Vec<_> = found.iter().map(|it| it.id).collect();
    // The feed is as old as its latest change, so that an unchanged one is the same file.
    let (changed_at, created_at) = futures_util::join!(bookings::last_changed_at(tx, &ids), queries::feed_of(tx, user));
    let at = changed_at?.max(created_at?).unwrap_or(now);
    let entries = found.into_iter().filter_map(of).collect();
    Ok(Some(Feed { name: tenant.name, entries, at }))
}

/// The content of a feed.
pub struct Feed {
    name: String,
    entries: Vec<Entry>,
    at: Timestamp,
}

impl Feed {
    /// Renders the file. It may contain thousands of bookings, so do not call it on an async thread.
    pub fn write(&self) -> String {
        file(&self.name, &self.entries, Method::Publish, Parties::default(), self.at)
    }

    /// When one of its bookings last changed, or when the feed was created.
    pub fn changed_at(&self) -> Timestamp {
        self.at
    }
}
