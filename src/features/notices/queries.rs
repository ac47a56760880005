//! Every statement on notices and on the links that stop them.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::{CalendarMethod, Notice, Sent};
use crate::{
    base::ids::{BookingId, UserId},
    db::{DbError, ScopedTx},
};

/// Records that a mail was sent: once for each booking that it is about.
pub(super) async fn insert(tx: &ScopedTx, id: Uuid, notice: &Notice, now: Timestamp) -> Result<(), DbError> {
    let (bookings, methods): (Vec<BookingId>, Vec<Option<&str>>) =
        notice.about.iter().map(|(id, method)| (*id, method.map(CalendarMethod::as_str))).unzip();
    tx.execute(
        "-- notices.insert
        insert into booking_notices (tenant_id, id, booking_id, customer_id, kind, calendar_method, sent_at)
        select $1, $2::uuid, b.id, $3::uuid, $4::text, b.method, $5::timestamptz
          from unnest($6::uuid[], $7::text[]) as b (id, method)
        on conflict do nothing",
        &[&tx.tenant(), &id, &notice.customer, &notice.kind.as_str(), &now, &bookings, &methods],
    )
    .await
}

/// The mails about each of these bookings, oldest first.
pub async fn of_bookings(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Vec<Sent>>, DbError> {
    let rows = tx
        .query(
            "-- notices.of_bookings
            select booking_id, kind, calendar_method, sent_at from booking_notices
             where tenant_id = $1 and booking_id = any ($2) order by booking_id, sent_at, id",
            &[&tx.tenant(), &ids],
        )
        .await?;
    let mut found: HashMap<BookingId, Vec<Sent>> = HashMap::new();
    for row in &rows {
        let method = match row.get::<_, Option<&str>>(2) {
            None => None,
            Some("PUBLISH") => Some(CalendarMethod::Publish),
            Some("REQUEST") => Some(CalendarMethod::Request),
            Some("CANCEL") => Some(CalendarMethod::Cancel),
            Some(other) => return Err(DbError::Corrupt(format!("{other:?} is not a method"))),
        };
        let sent = Sent { kind: row.get::<_, &str>(1).parse()?, method, at: row.get(3) };
        found.entry(row.get(0)).or_default().push(sent);
    }
    Ok(found)
}

/// Which of these bookings are in their customer's calendar, as far as a mail put them there.
pub(super) async fn in_calendars(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashSet<BookingId>, DbError> {
    let rows = tx
        .query(
            "-- notices.in_calendars
            select distinct booking_id from booking_notices
             where tenant_id = $1 and booking_id = any ($2) and calendar_method in ('PUBLISH', 'REQUEST')",
            &[&tx.tenant(), &ids],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Stores the hash of a link's token, and removes some that are older than `expired`.
pub(super) async fn insert_link(
    tx: &ScopedTx,
    token_hash: &[u8],
    user: UserId,
    expired: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- notices.delete_links
        delete from unsubscribe_links
         where tenant_id = $1 and token_hash in (
           select token_hash from unsubscribe_links where tenant_id = $1 and created_at < $2 limit 20)",
        &[&tx.tenant(), &expired],
    )
    .await?;
    tx.execute(
        "-- notices.insert_link
        insert into unsubscribe_links (tenant_id, token_hash, user_id, created_at) values ($1, $2, $3, $4)",
        &[&tx.tenant(), &token_hash, &user, &now],
    )
    .await
}

/// The user of a link that is not older than `expired`.
pub(super) async fn user_of_link(
    tx: &ScopedTx,
    token_hash: &[u8],
    expired: Timestamp,
) -> Result<Option<UserId>, DbError> {
    let row = tx
        .query_opt(
            "-- notices.user_of_link
            select user_id from unsubscribe_links where tenant_id = $1 and token_hash = $2 and created_at >= $3",
            &[&tx.tenant(), &token_hash, &expired],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}
