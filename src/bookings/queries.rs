//! Every statement on bookings. `by_ids`, `of_customers` and `histories` feed loaders; `list` is paged.
//!
//! Times are compared with `<` and `>`: those are leakproof, so that row-level security leaves the indexes usable, which
//! it would not with `&&` on a range.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};

use super::{Booking, BookingFilter, BookingKey, BookingOrder, BookingStatus, Changed, Transition};
use crate::{
    db::{DbError, Row, ScopedTx},
    ids::{BookingId, UserId, uuid_v7},
    money::Money,
    paging::Page,
};

macro_rules! columns {
    () => {
        "b.id, b.service_id, b.customer_id, b.starts_at, b.ends_at, b.time_zone, b.status, b.price_minor, b.currency, b.notes,
                b.version, b.created_at"
    };
}

impl Booking {
    fn read(row: &Row) -> Result<Self, DbError> {
        let zone: &str = row.get(5);
        Ok(Self {
            id: row.get(0),
            service: row.get(1),
            customer: row.get(2),
            starts_at: row.get(3),
            ends_at: row.get(4),
            time_zone: TimeZone::get(zone).map_err(|error| DbError::Corrupt(error.to_string()))?,
            status: row.get::<_, &str>(6).parse()?,
            price: Money { minor: row.get(7), currency: row.try_get(8)? },
            notes: row.get(9),
            version: row.get(10),
            created_at: row.get(11),
        })
    }
}

/// Inserts a booking, or returns `false` when another one holds the seat at that time, or the service has it no more.
///
/// The overlap must not raise: an error would abort the transaction that every other resolver uses. And `on conflict`
/// never waits for another booking while holding its own row (it inserts speculatively), so contention cannot end in a
/// deadlock, as it can with a plain insert: no lock has to be taken before.
pub async fn insert(tx: &ScopedTx, booking: &Booking, seat: i16) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- bookings.insert
            insert into bookings
              (tenant_id, id, service_id, customer_id, seat, starts_at, ends_at, time_zone, status, price_minor, currency,
               notes, created_at, updated_at)
            select $1, $2::uuid, s.id, $4::uuid, $5::smallint, $6::timestamptz, $7::timestamptz, $8::text, $9::text,
                   $10::bigint, $11::text, $12::text, $13::timestamptz, $13
              from services s where s.tenant_id = $1 and s.id = $3 and s.active and s.capacity > $5
            on conflict do nothing
            returning true",
            &[
                &tx.tenant(),
                &booking.id,
                &booking.service,
                &booking.customer,
                &seat,
                &booking.starts_at,
                &booking.ends_at,
                &booking.time_zone.iana_name().unwrap_or("UTC"),
                &booking.status.as_str(),
                &booking.price.minor,
                &booking.price.currency,
                &booking.notes,
                &booking.created_at,
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// Changes the status of a booking that is still as it was read; `None` when it is not, or may not be changed.
pub async fn update_status(
    tx: &ScopedTx,
    before: &Booking,
    to: BookingStatus,
    now: Timestamp,
) -> Result<Option<Booking>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- bookings.update_status
                update bookings b set status = $5, version = b.version + 1, updated_at = $6
                 where b.tenant_id = $1 and b.id = $2 and b.version = $3 and b.status = $4
                returning ",
                columns!()
            ),
            &[&tx.tenant(), &before.id, &before.version, &before.status.as_str(), &to.as_str(), &now],
        )
        .await?;
    row.as_ref().map(Booking::read).transpose()
}

/// Adds a step to a booking's history.
pub async fn insert_transition(tx: &ScopedTx, booking: &Booking, step: &Transition) -> Result<(), DbError> {
    tx.execute(
        "-- bookings.insert_transition
        insert into booking_transitions
          (tenant_id, id, booking_id, customer_id, from_status, to_status, actor_id, reason, at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            &tx.tenant(),
            &uuid_v7(step.at),
            &booking.id,
            &booking.customer,
            &step.from.map(BookingStatus::as_str),
            &step.to.as_str(),
            &step.actor,
            &step.reason,
            &step.at,
        ],
    )
    .await
}

/// Those that exist and that the scope may see.
pub async fn by_ids(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Booking>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- bookings.by_ids
                select ",
                columns!(),
                " from bookings b where b.tenant_id = $1 and b.id = any ($2)"
            ),
            &[&tx.tenant(), &ids],
        )
        .await?;
    rows.iter().map(|row| Booking::read(row).map(|it| (it.id, it))).collect()
}

/// The steps of each booking, first step first.
pub async fn histories(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Vec<Transition>>, DbError> {
    let rows = tx
        .query(
            "-- bookings.histories
            select booking_id, from_status, to_status, actor_id, reason, at
              from booking_transitions
             where tenant_id = $1 and booking_id = any ($2)
             order by booking_id, at, id",
            &[&tx.tenant(), &ids],
        )
        .await?;
    let mut histories: HashMap<BookingId, Vec<Transition>> = HashMap::new();
    for row in &rows {
        histories.entry(row.get(0)).or_default().push(Transition {
            from: row.get::<_, Option<&str>>(1).map(str::parse).transpose()?,
            to: row.get::<_, &str>(2).parse()?,
            actor: row.get(3),
            reason: row.get(4),
            at: row.get(5),
        });
    }
    Ok(histories)
}

/// Which rows of `bookings b` a filter and two bounds leave. `$2` to `$10`.
macro_rules! where_filter {
    ($key:literal) => {
        concat!(
            " b.tenant_id = $1
               and ($2::text[] is null or b.status = any ($2))
               and ($3::uuid is null or b.service_id = $3)
               and ($4::uuid is null or b.customer_id = $4)
               and ($5::timestamptz is null or b.starts_at >= $5)
               and ($6::timestamptz is null or b.starts_at < $6)
               and ($7::timestamptz is null or (b.",
            $key,
            ", b.id) > ($7, $8::uuid))
               and ($9::timestamptz is null or (b.",
            $key,
            ", b.id) < ($9, $10::uuid))"
        )
    };
}

macro_rules! list_sql {
    ($key:literal, $direction:literal) => {
        concat!(
            "-- bookings.list
            select ",
            columns!(),
            " from bookings b where",
            where_filter!($key),
            " order by b.",
            $key,
            " ",
            $direction,
            ", b.id ",
            $direction,
            " limit $11"
        )
    };
}

/// One row more than the page, in the order of the scan.
pub async fn list(
    tx: &ScopedTx,
    filter: &BookingFilter,
    order: BookingOrder,
    page: &Page<BookingKey>,
) -> Result<Vec<Booking>, DbError> {
    let descending = matches!(order, BookingOrder::StartsAtDesc | BookingOrder::CreatedAtDesc);
    let by_start = matches!(order, BookingOrder::StartsAtAsc | BookingOrder::StartsAtDesc);
    let sql = match (by_start, descending != page.from_the_back) {
        (true, false) => list_sql!("starts_at", "asc"),
        (true, true) => list_sql!("starts_at", "desc"),
        (false, false) => list_sql!("created_at", "asc"),
        (false, true) => list_sql!("created_at", "desc"),
    };
    // What comes after in a descending list is smaller.
    let (lower, upper) = if descending { (page.before, page.after) } else { (page.after, page.before) };
    let ((lower_key, lower_id), (upper_key, upper_id)) = (lower.unzip(), upper.unzip());
    let rows = tx
        .query(
            sql,
            &[
                &tx.tenant(),
                &status_names(filter),
                &filter.service,
                &filter.customer,
                &filter.from,
                &filter.to,
                &lower_key,
                &lower_id,
                &upper_key,
                &upper_id,
                &page.fetch(),
            ],
        )
        .await?;
    rows.iter().map(Booking::read).collect()
}

macro_rules! of_customers_sql {
    ($direction:literal) => {
        concat!(
            "-- bookings.of_customers
            select ",
            columns!(),
            " from unnest($12::uuid[]) as c (id)
              cross join lateral (
                select * from bookings b where b.customer_id = c.id and",
            where_filter!("starts_at"),
            " order by b.starts_at ",
            $direction,
            ", b.id ",
            $direction,
            " limit $11
              ) b
             order by b.customer_id, b.starts_at ",
            $direction,
            ", b.id ",
            $direction
        )
    };
}

/// Of each customer one row more than the page, in the order of the scan.
pub async fn of_customers(
    tx: &ScopedTx,
    customers: &[UserId],
    filter: &BookingFilter,
    page: &Page<BookingKey>,
) -> Result<Vec<Booking>, DbError> {
    let sql = if page.from_the_back { of_customers_sql!("desc") } else { of_customers_sql!("asc") };
    let ((after, after_id), (before, before_id)) = (page.after.unzip(), page.before.unzip());
    let rows = tx
        .query(
            sql,
            &[
                &tx.tenant(),
                &status_names(filter),
                &filter.service,
                &filter.customer,
                &filter.from,
                &filter.to,
                &after,
                &after_id,
                &before,
                &before_id,
                &page.fetch(),
                &customers,
            ],
        )
        .await?;
    rows.iter().map(Booking::read).collect()
}

fn status_names(filter: &BookingFilter) -> Option<Vec<&'static str>> {
    filter.statuses.as_ref().map(|statuses| statuses.iter().map(|it| it.as_str()).collect())
}

/// The latest 1,000 that were changed at this instant or later.
pub async fn changed_since(tx: &ScopedTx, since: Timestamp) -> Result<Vec<Changed>, DbError> {
    let rows = tx
        .query(
            "-- bookings.changed_since
            select id, service_id, customer_id, version from bookings
             where tenant_id = $1 and updated_at >= $2
             order by updated_at desc
             limit 1000",
            &[&tx.tenant(), &since],
        )
        .await?;
    let read = |row: &Row| Changed { id: row.get(0), service: row.get(1), customer: row.get(2), version: row.get(3) };
    Ok(rows.iter().map(read).collect())
}
