//! Every statement on bookings. `by_ids`, `of_customers` and `histories` feed loaders; `list` is paged.
//!
//! Times are compared with `<` and `>`: those are leakproof, so that row-level security leaves the indexes usable, which
//! it would not with `&&` on a range.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};
use uuid::Uuid;

use super::{
    Booking, BookingFilter, BookingKey, BookingOrder, BookingStatus, Changed, Transition,
    claims::{Claim, Held},
    classes::Class,
    slots::Slot,
};
use crate::{
    db::{DbError, Param, Row, ScopedTx},
    ids::{BookingId, ResourceId, SeriesId, ServiceId, UserId, uuid_v7},
    money::Money,
    paging::Page,
};

macro_rules! columns {
    () => {
        "b.id, b.service_id, b.customer_id, b.starts_at, b.ends_at, b.time_zone, b.status, b.price_minor, b.currency, b.notes,
                b.version, b.created_at, b.held_until, b.series_id"
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
            held_until: row.get(12),
            series: row.get(13),
        })
    }
}

/// Inserts a booking, or returns `false` when the service cannot be booked any more. What it holds are its claims.
pub async fn insert(tx: &ScopedTx, booking: &Booking) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- bookings.insert
            insert into bookings
              (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor, currency,
               notes, created_at, updated_at, held_until, series_id)
            select $1, $2::uuid, s.id, $4::uuid, $5::timestamptz, $6::timestamptz, $7::text, $8::text, $9::bigint,
                   $10::text, $11::text, $12::timestamptz, $12, $13::timestamptz,
                   $14::uuid
              from services s where s.tenant_id = $1 and s.id = $3 and s.active
            returning true",
            &[
                &tx.tenant(),
                &booking.id,
                &booking.service,
                &booking.customer,
                &booking.starts_at,
                &booking.ends_at,
                &booking.time_zone.iana_name().unwrap_or("UTC"),
                &booking.status.as_str(),
                &booking.price.minor,
                &booking.price.currency,
                &booking.notes,
                &booking.created_at,
                &booking.held_until,
                &booking.series,
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// Lets one transaction at a time claim any of these, in the order of their ids, until it ends.
pub async fn lock_claimable(tx: &ScopedTx, ids: &[Uuid]) -> Result<(), DbError> {
    tx.execute(
        "-- bookings.lock_claimable
        select pg_advisory_xact_lock(hashtextextended('claims of ' || $1::uuid::text || it.id::text, 0))
          from (select id from unnest($2::uuid[]) as it (id) order by id) it",
        &[&tx.tenant(), &ids],
    )
    .await
}

/// What is held of these in a time, by whomever.
pub async fn held(
    tx: &ScopedTx,
    ids: &[Uuid],
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<Held>, DbError> {
    let rows = tx
        .query(
            "-- bookings.held (tenant_id = $1)
            select claimed_id, lane, blocked_from, blocked_to from claimed_times($1, $2, $3, $4, $5)",
            &[&tx.tenant(), &ids, &from, &to, &now],
        )
        .await?;
    Ok(rows.iter().map(read_held).collect())
}

/// What is held of a service and of all that can serve it, in a time.
pub async fn held_around_service(
    tx: &ScopedTx,
    service: ServiceId,
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<Held>, DbError> {
    let rows = tx
        .query(
            "-- bookings.held_around_service
            select claimed_id, lane, blocked_from, blocked_to
              from claimed_times($1, array(select l.resource_id from service_resources l
                                            where l.tenant_id = $1 and l.service_id = $2) || $2::uuid, $3, $4, $5)",
            &[&tx.tenant(), &service, &from, &to, &now],
        )
        .await?;
    Ok(rows.iter().map(read_held).collect())
}

fn read_held(row: &Row) -> Held {
    Held { claimed: row.get(0), lane: row.get(1), from: row.get(2), to: row.get(3) }
}

/// Lets go what was held for too long, of these or (`None`) of all, and returns which bookings that were, from when to when.
pub async fn expire_holds(
    tx: &ScopedTx,
    ids: Option<&[Uuid]>,
    now: Timestamp,
) -> Result<Vec<(BookingId, Timestamp, Timestamp)>, DbError> {
    let rows = tx
        .query(
            "-- bookings.expire_holds (tenant_id = $1)
            select booking_id, starts_at, ends_at from expire_holds($1, $2, $3)",
            &[&tx.tenant(), &ids, &now],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// The classes of a service that begin within a time, earliest first.
pub async fn classes_of(
    tx: &ScopedTx,
    service: ServiceId,
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<Class>, DbError> {
    let rows = tx
        .query(
            "-- bookings.classes_of (tenant_id = $1)
            select id, starts_at, ends_at, seats_free, resource_ids from classes_of($1, $2, $3, $4, $5) order by starts_at",
            &[&tx.tenant(), &service, &from, &to, &now],
        )
        .await?;
    let read = |row: &Row| Class {
        id: row.get(0),
        starts_at: row.get(1),
        ends_at: row.get(2),
        seats_free: row.get(3),
        resources: row.get(4),
    };
    Ok(rows.iter().map(read).collect())
}

/// Takes a seat of a class, or returns `false` when none is free.
pub async fn take_seat(tx: &ScopedTx, booking: BookingId, class: Uuid) -> Result<bool, DbError> {
    let row = tx
        .query_one(
            "-- bookings.take_seat (tenant_id = $1)
            select take_seat($1, $2, $3)",
            &[&tx.tenant(), &booking, &class],
        )
        .await?;
    Ok(row.get(0))
}

/// Opens a class with its first booking and claims these resources for it, or returns `false` when one of them is taken.
pub async fn open_class(
    tx: &ScopedTx,
    booking: BookingId,
    slot: &Slot,
    resources: &[Uuid],
    now: Timestamp,
) -> Result<bool, DbError> {
    let claims: Vec<Uuid> = resources.iter().map(|_| uuid_v7(now)).collect();
    let row = tx
        .query_one(
            "-- bookings.open_class (tenant_id = $1)
            select open_class($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&tx.tenant(), &booking, &uuid_v7(now), &claims, &resources, &slot.blocked_from, &slot.blocked_to, &now],
        )
        .await?;
    Ok(row.get(0))
}

/// How many times a customer holds now.
pub async fn count_holds(tx: &ScopedTx, customer: UserId, now: Timestamp) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- bookings.count_holds
            select count(*) from bookings
             where tenant_id = $1 and customer_id = $2 and status = 'HELD' and held_until > $3",
            &[&tx.tenant(), &customer, &now],
        )
        .await?;
    Ok(row.get(0))
}

/// Takes up a hold that is as it was read and still good; `false` when it is not, or may not be by whoever asks.
pub async fn confirm_hold(tx: &ScopedTx, hold: &Booking, notes: Option<&str>, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_one(
            "-- bookings.confirm_hold (tenant_id = $1)
            select confirm_hold($1, $2, $3, $4, $5)",
            &[&tx.tenant(), &hold.id, &hold.version, &notes, &now],
        )
        .await?;
    Ok(row.get(0))
}

/// Claims all of this, or returns `false` when something else holds a part of it.
///
/// The overlap must not raise: an error would abort the transaction that every other resolver uses. And `on conflict`
/// inserts speculatively, so that it waits for nobody while holding a row of its own.
pub async fn insert_claims(
    tx: &ScopedTx,
    booking: &Booking,
    slot: &Slot,
    claims: &[Claim],
    now: Timestamp,
) -> Result<bool, DbError> {
    let ids: Vec<Uuid> = claims.iter().map(|_| uuid_v7(now)).collect();
    let parts = claims.iter().map(|it| match it {
        Claim::Resource(id) => (Some(id.0), 0),
        Claim::Seat(lane) => (None, *lane),
    });
    let (resources, lanes): (Vec<Option<Uuid>>, Vec<i16>) = parts.unzip();
    let rows = tx
        .query(
            "-- bookings.insert_claims
            insert into booking_claims
              (tenant_id, id, booking_id, customer_id, resource_id, service_id, lane, blocked_from, blocked_to)
            select $1, c.id, $2::uuid, $3::uuid, c.resource_id, case when c.resource_id is null then $4::uuid end, c.lane,
                   $5::timestamptz, $6::timestamptz
              from unnest($7::uuid[], $8::uuid[], $9::smallint[]) as c (id, resource_id, lane)
            on conflict do nothing
            returning true",
            &[
                &tx.tenant(),
                &booking.id,
                &booking.customer,
                &booking.service,
                &slot.blocked_from,
                &slot.blocked_to,
                &ids,
                &resources,
                &lanes,
            ],
        )
        .await?;
    Ok(rows.len() == claims.len())
}

/// Lets go what a booking holds: resources, seats, its place in a class.
pub async fn let_go(tx: &ScopedTx, booking: BookingId) -> Result<(), DbError> {
    let tenant = tx.tenant();
    let params: [Param<'_>; 2] = [&tenant, &booking];
    let (claims, seat) = futures_util::join!(
        tx.execute(
            "-- bookings.let_go
            update booking_claims set active = false where tenant_id = $1 and booking_id = $2 and active",
            &params,
        ),
        tx.execute(
            "-- bookings.leave_seat (tenant_id = $1)
            select leave_seat($1, $2)",
            &params,
        )
    );
    claims.and(seat)
}

/// The resources of each booking: those that it holds, or held last.
pub async fn resources_of(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Vec<ResourceId>>, DbError> {
    let rows = tx
        .query(
            "-- bookings.resources_of
            select distinct on (b.id, r.kind) b.id, c.resource_id
              from bookings b
              join booking_claims c on c.tenant_id = b.tenant_id
                and (c.booking_id = b.id or c.occurrence_id = b.occurrence_id)
              join resources r on r.tenant_id = c.tenant_id and r.id = c.resource_id
             where b.tenant_id = $1 and b.id = any ($2)
               and (c.active or c.occurrence_id is not null or not exists (
                 select from booking_claims a where a.tenant_id = $1 and a.booking_id = c.booking_id and a.active))
             order by b.id, r.kind, c.active desc, c.id desc",
            &[&tx.tenant(), &ids],
        )
        .await?;
    let mut resources: HashMap<BookingId, Vec<ResourceId>> = HashMap::new();
    for row in &rows {
        resources.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(resources)
}

/// Moves a booking that is still as it was read; `false` when it is not, or may not be changed.
pub async fn update_time(
    tx: &ScopedTx,
    before: &Booking,
    slot: &Slot,
    zone: &TimeZone,
    status: BookingStatus,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row = tx
        .query_one(
            "-- bookings.update_time (tenant_id = $1)
            select move_booking($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                &tx.tenant(),
                &before.id,
                &before.version,
                &before.status.as_str(),
                &slot.starts_at,
                &slot.ends_at,
                &zone.iana_name().unwrap_or("UTC"),
                &status.as_str(),
                &now,
            ],
        )
        .await?;
    Ok(row.get(0))
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
                update bookings b set status = $5, held_until = null, version = b.version + 1, updated_at = $6
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
          (tenant_id, id, booking_id, customer_id, from_status, to_status, actor_id, reason, at, moved_from, moved_to)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
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
            &step.moved.map(|it| it.0),
            &step.moved.map(|it| it.1),
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

/// A person's own, and those that hold a resource which stands for him.
pub async fn of_person(tx: &ScopedTx, user: UserId, from: Timestamp, to: Timestamp) -> Result<Vec<Booking>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- bookings.of_person
                with own as (
                  select b.id from bookings b
                   where b.tenant_id = $1 and b.customer_id = $2 and b.starts_at >= $3 and b.starts_at < $4
                ), held as (
                  select c.booking_id, c.occurrence_id
                    from resources r join booking_claims c on c.tenant_id = r.tenant_id and c.claimed_id = r.id and c.active
                   where r.tenant_id = $1 and r.user_id = $2
                     and c.blocked_from > $3::timestamptz - interval '1 day 1 hour' and c.blocked_from < $4
                ), staffed as (
                  select h.booking_id as id from held h where h.booking_id is not null
                  union
                  select b.id from held h join bookings b on b.tenant_id = $1 and b.occurrence_id = h.occurrence_id
                   where b.holds_seat
                )
                select ",
                columns!(),
                " from bookings b
                 where b.tenant_id = $1 and b.id in (select id from own union select id from staffed)
                   and b.starts_at >= $3 and b.starts_at < $4 and b.status in ('PENDING', 'CONFIRMED', 'COMPLETED')
                 order by b.starts_at, b.id limit 1000"
            ),
            &[&tx.tenant(), &user, &from, &to],
        )
        .await?;
    rows.iter().map(Booking::read).collect()
}

/// The bookings of each series, earliest first.
pub async fn of_series(tx: &ScopedTx, ids: &[SeriesId]) -> Result<HashMap<SeriesId, Vec<Booking>>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- bookings.of_series
                select ",
                columns!(),
                " from bookings b where b.tenant_id = $1 and b.series_id = any ($2) order by b.starts_at, b.id"
            ),
            &[&tx.tenant(), &ids],
        )
        .await?;
    let mut found: HashMap<SeriesId, Vec<Booking>> = HashMap::new();
    for row in &rows {
        let booking = Booking::read(row)?;
        if let Some(series) = booking.series {
            found.entry(series).or_default().push(booking);
        }
    }
    Ok(found)
}

/// The steps of each booking, first step first.
pub async fn histories(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Vec<Transition>>, DbError> {
    let rows = tx
        .query(
            "-- bookings.histories
            select booking_id, from_status, to_status, actor_id, reason, at, moved_from, moved_to
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
            moved: row.get::<_, Option<Timestamp>>(6).zip(row.get(7)),
        });
    }
    Ok(histories)
}

/// Which rows of `bookings b` a filter and two bounds leave. `$2` to `$10`, and `$12`.
macro_rules! where_filter {
    ($key:literal) => {
        concat!(
            " b.tenant_id = $1
               and ($2::text[] is null or b.status = any ($2))
               and ($3::uuid is null or b.service_id = $3)
               and ($4::uuid is null or b.customer_id = $4)
               and ($5::timestamptz is null or b.starts_at >= $5)
               and ($6::timestamptz is null or b.starts_at < $6)
               and ($12::uuid is null or exists (
                 select from booking_claims c
                  where c.tenant_id = $1 and c.booking_id = b.id and c.resource_id = $12 and c.active)
                 or (b.holds_seat and exists (
                 select from booking_claims c
                  where c.tenant_id = $1 and c.occurrence_id = b.occurrence_id and c.resource_id = $12 and c.active)))
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
                &filter.resource,
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
            " from unnest($13::uuid[]) as c (id)
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
                &filter.resource,
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
