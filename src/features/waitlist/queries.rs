//! Every statement on the waitlist. `list` is paged.

use jiff::Timestamp;

use super::{Entry, EntryKey, Freed, NewEntry, Status};
use crate::{
    base::{
        ids::{BookingId, ServiceId, UserId, WaitlistEntryId},
        paging::{Page, TimeBounds},
    },
    db::{DbError, Row, ScopedTx},
};

/// `$2` is the current time.
macro_rules! select {
    () => {
        "select e.id, e.service_id, e.customer_id, e.resource_id, e.starts_at, e.created_at, e.booking_id,
                case when e.left_at is not null then 'LEFT'
                     when e.booking_id is null and e.starts_at <= $2 then 'LAPSED'
                     when e.booking_id is null then 'WAITING'
                     when b.status = 'HELD' and b.held_until > $2 then 'OFFERED'
                     when b.status in ('PENDING', 'CONFIRMED', 'COMPLETED', 'NO_SHOW') then 'BOOKED'
                     else 'LAPSED' end
           from waitlist_entries e left join bookings b on b.tenant_id = e.tenant_id and b.id = e.booking_id"
    };
}

fn read(row: &Row) -> Result<Entry, DbError> {
    let status = match row.get::<_, &str>(7) {
        "WAITING" => Status::Waiting,
        "OFFERED" => Status::Offered,
        "BOOKED" => Status::Booked,
        "LEFT" => Status::Left,
        _ => Status::Lapsed,
    };
    Ok(Entry {
        id: row.get(0),
        service: row.get(1),
        customer: row.get(2),
        resource: row.get(3),
        starts_at: row.get(4),
        created_at: row.get(5),
        booking: row.get(6),
        status,
    })
}

/// A customer's entry in this line.
pub(super) async fn place_of(
    tx: &ScopedTx,
    new: &NewEntry,
    customer: UserId,
) -> Result<Option<WaitlistEntryId>, DbError> {
    let row = tx
        .query_opt(
            "-- waitlist.place_of
            select id from waitlist_entries
             where tenant_id = $1 and customer_id = $2 and service_id = $3 and starts_at = $4
               and resource_id is not distinct from $5 and left_at is null and booking_id is null",
            &[&tx.tenant(), &customer, &new.service, &new.starts_at, &new.resource],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Adds an entry at the end of its line.
pub(super) async fn insert(
    tx: &ScopedTx,
    id: WaitlistEntryId,
    new: &NewEntry,
    customer: UserId,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- waitlist.insert
        insert into waitlist_entries (tenant_id, id, service_id, customer_id, resource_id, starts_at, created_at)
        values ($1, $2, $3, $4, $5, $6, $7)",
        &[&tx.tenant(), &id, &new.service, &customer, &new.resource, &new.starts_at, &now],
    )
    .await
}

/// How many entries of a customer are waiting.
pub(super) async fn count_waiting(tx: &ScopedTx, customer: UserId, now: Timestamp) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- waitlist.count_waiting
            select count(*) from waitlist_entries
             where tenant_id = $1 and customer_id = $2 and starts_at > $3 and left_at is null and booking_id is null",
            &[&tx.tenant(), &customer, &now],
        )
        .await?;
    Ok(row.get(0))
}

/// One entry that the scope may see.
pub async fn find(tx: &ScopedTx, id: WaitlistEntryId, now: Timestamp) -> Result<Option<Entry>, DbError> {
    let row = tx
        .query_opt(
            concat!("-- waitlist.find\n", select!(), " where e.tenant_id = $1 and e.id = $3"),
            &[&tx.tenant(), &now, &id],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

macro_rules! list_sql {
    ($direction:literal) => {
        concat!(
            "-- waitlist.list\n",
            select!(),
            " where e.tenant_id = $1
                and ($3::uuid is null or e.service_id = $3)
                and (e.created_at, e.id) > ($4, $5)
                and (e.created_at, e.id) < ($6, $7)
              order by e.created_at ",
            $direction,
            ", e.id ",
            $direction,
            " limit $8"
        )
    };
}

/// Lists one row more than the page, in the order of the scan.
pub(super) async fn list(
    tx: &ScopedTx,
    service: Option<ServiceId>,
    page: &Page<EntryKey>,
    now: Timestamp,
) -> Result<Vec<Entry>, DbError> {
    let sql = if page.from_the_back { list_sql!("desc") } else { list_sql!("asc") };
    let TimeBounds { lower, upper } = page.bounds();
    let rows =
        tx.query(sql, &[&tx.tenant(), &now, &service, &lower.0, &lower.1, &upper.0, &upper.1, &page.fetch()]).await?;
    rows.iter().map(read).collect()
}

/// Whether anyone is waiting.
pub(super) async fn is_awaited(tx: &ScopedTx, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_one(
            "-- waitlist.is_awaited
            select exists (
              select from waitlist_entries
               where tenant_id = $1 and starts_at > $2 and left_at is null and booking_id is null)",
            &[&tx.tenant(), &now],
        )
        .await?;
    Ok(row.get(0))
}

/// The first entry of each line that competes for the freed time, because it needs the same service or the same
/// resources, buffers included; longest waiting first. Without a freed time: of all lines, a random sample.
pub(super) async fn heads(tx: &ScopedTx, freed: Option<Freed>, now: Timestamp) -> Result<Vec<Entry>, DbError> {
    let (service, from, to) = (freed.map(|it| it.service), freed.map(|it| it.from), freed.map(|it| it.to));
    let rows = tx
        .query(
            concat!(
                "-- waitlist.heads
                select * from (
                  select distinct on (e.service_id, e.starts_at, e.resource_id) * from (",
                select!(),
                " join services s on s.tenant_id = e.tenant_id and s.id = e.service_id
                  left join services f on f.tenant_id = e.tenant_id and f.id = $3
                  where e.tenant_id = $1 and e.starts_at > $2 and e.left_at is null and e.booking_id is null
                    and ($3::uuid is null or (
                      e.starts_at < $5::timestamptz + interval '2 days' and e.starts_at > $4::timestamptz - interval '3 days'
                      and e.starts_at - make_interval(mins => s.buffer_before_minutes)
                        < $5 + make_interval(mins => f.buffer_after_minutes)
                      and e.starts_at + make_interval(mins => s.duration_minutes + s.buffer_after_minutes)
                        > $4 - make_interval(mins => f.buffer_before_minutes)
                      and (e.service_id = $3 or exists (
                        select from service_resources a
                          join service_resources b on b.tenant_id = a.tenant_id and b.resource_id = a.resource_id
                         where a.tenant_id = $1 and a.service_id = e.service_id and b.service_id = $3))))) e
                   order by e.service_id, e.starts_at, e.resource_id, e.created_at, e.id) heads
                 order by case when $3::uuid is null then random() end, created_at, id
                 limit 200"
            ),
            &[&tx.tenant(), &now, &service, &from, &to],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Records the hold that offered the time.
pub(super) async fn note_offer(tx: &ScopedTx, id: WaitlistEntryId, booking: BookingId) -> Result<(), DbError> {
    tx.execute(
        "-- waitlist.note_offer
        update waitlist_entries set booking_id = $3 where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id, &booking],
    )
    .await
}

/// Removes a waiting customer from the list; `false` when they are not waiting.
pub(super) async fn leave(tx: &ScopedTx, id: WaitlistEntryId, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- waitlist.leave
            update waitlist_entries set left_at = $3
             where tenant_id = $1 and id = $2 and left_at is null and booking_id is null
            returning true",
            &[&tx.tenant(), &id, &now],
        )
        .await?;
    Ok(row.is_some())
}
