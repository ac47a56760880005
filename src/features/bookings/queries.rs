//! Every statement on bookings. `by_ids`, `of_customers` and `histories` feed loaders; `list` is paged.
//!
//! Times are compared with `<` and `>`. These operators are leakproof, so row-level security leaves the indexes usable,
//! which it would not with `&&` on a range.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};
use uuid::Uuid;

use super::{
    Booking, BookingFilter, BookingKey, BookingOrder, BookingStatus, Changed, Preloaded, Transition, model::Slot,
};
use crate::{
    base::{
        ids::{BookingId, SeriesId, TenantId, UserId, uuid_v7},
        money::Money,
        paging::{EARLIEST, LATEST, Page, TimeBounds},
    },
    db::{DbError, Param, Row, ScopedTx},
    features::{
        services::{Service, service_columns},
        users::User,
    },
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

/// Inserts a booking; `false` when the service can no longer be booked. Its claims are inserted separately.
pub(super) async fn insert(tx: &ScopedTx, booking: &Booking, metered_as: Option<Uuid>) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- bookings.insert
            insert into bookings
              (tenant_id, id, service_id, customer_id, starts_at, ends_at, time_zone, status, price_minor, currency,
               notes, created_at, updated_at, held_until, series_id, metered_as)
            select $1, $2::uuid, s.id, $4::uuid, $5::timestamptz, $6::timestamptz, $7::text, $8::text, $9::bigint,
                   $10::text, $11::text, $12::timestamptz, $12, $13::timestamptz,
                   $14::uuid, $15::uuid
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
                &metered_as,
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// How many live holds a customer has, excluding offers from the waitlist.
pub(super) async fn count_holds(tx: &ScopedTx, customer: UserId, now: Timestamp) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- bookings.count_holds
            select count(*) from bookings b
             where b.tenant_id = $1 and b.customer_id = $2 and b.status = 'HELD' and b.held_until > $3
               and exists (
                 select from booking_transitions t
                  where t.tenant_id = $1 and t.booking_id = b.id and t.from_status is null and t.actor_id is not null)",
            &[&tx.tenant(), &customer, &now],
        )
        .await?;
    Ok(row.get(0))
}

/// Confirms a hold that is unchanged since it was read and still live; `false` when it is not, or the caller may not
/// confirm it.
pub(super) async fn confirm_hold(
    tx: &ScopedTx,
    hold: &Booking,
    notes: Option<&str>,
    metered_as: Uuid,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row = tx
        .query_one(
            "-- bookings.confirm_hold (tenant_id = $1)
            select confirm_hold($1, $2, $3, $4, $5, $6)",
            &[&tx.tenant(), &hold.id, &hold.version, &notes, &metered_as, &now],
        )
        .await?;
    Ok(row.get(0))
}

/// Moves a booking that is unchanged since it was read; `false` when it has changed, or the caller may not change it.
pub(super) async fn update_time(
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

/// Changes the status of a booking that is unchanged since it was read; `None` when it has changed, or the caller may
/// not change it.
pub(super) async fn update_status(
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

/// Adds a change to a booking's history.
pub(super) async fn insert_transition(tx: &ScopedTx, booking: &Booking, step: &Transition) -> Result<(), DbError> {
    tx.execute(
        "-- bookings.insert_transition
        insert into booking_transitions
          (tenant_id, id, booking_id, customer_id, booking_version, from_status, to_status, actor_id, reason, at,
           moved_from, moved_to)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &[
            &tx.tenant(),
            &uuid_v7(step.at),
            &booking.id,
            &booking.customer,
            &booking.version,
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

/// The bookings with these ids that the scope may see.
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

/// When one of these bookings last changed; `None` without any.
pub async fn last_changed_at(tx: &ScopedTx, ids: &[BookingId]) -> Result<Option<Timestamp>, DbError> {
    let row = tx
        .query_one(
            "-- bookings.last_changed_at
            select max(updated_at) from bookings where tenant_id = $1 and id = any ($2)",
            &[&tx.tenant(), &ids],
        )
        .await?;
    Ok(row.get(0))
}

/// The bookings of a person that start within an interval: their own, and those that use a resource which represents
/// them. Excludes bookings that ended without taking place. At most 1,000: upcoming ones first, soonest first, then
/// past ones, latest first.
pub async fn of_person(
    tx: &ScopedTx,
    user: UserId,
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<Booking>, DbError> {
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
                 order by b.starts_at < $5, abs(extract(epoch from b.starts_at - $5::timestamptz)), b.id limit 1000"
            ),
            &[&tx.tenant(), &user, &from, &to, &now],
        )
        .await?;
    rows.iter().map(Booking::read).collect()
}

/// The bookings of each of these series that the scope may see, earliest first.
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

/// The history of each of these bookings, oldest change first.
pub async fn histories(tx: &ScopedTx, ids: &[BookingId]) -> Result<HashMap<BookingId, Vec<Transition>>, DbError> {
    let rows = tx
        .query(
            "-- bookings.histories
            select booking_id, from_status, to_status, actor_id, reason, at, moved_from, moved_to
              from booking_transitions
             where tenant_id = $1 and booking_id = any ($2)
             order by booking_id, booking_version",
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

/// The condition that keeps rows of `bookings b` between two keys.
macro_rules! between {
    ($key:literal, $lower:literal, $lower_id:literal, $upper:literal, $upper_id:literal) => {
        concat!(
            "(b.",
            $key,
            ", b.id) > (",
            $lower,
            ", ",
            $lower_id,
            ") and (b.",
            $key,
            ", b.id) < (",
            $upper,
            ", ",
            $upper_id,
            ")"
        )
    };
}

/// The conditions of a filter and two bounds on `bookings b`. They use `$2` to `$10`, and `$12`.
macro_rules! where_filter {
    ($key:literal) => {
        concat!(
            " b.tenant_id = $1
               and ($2::text[] is null or b.status = any ($2))
               and ($3::uuid is null or b.service_id = $3)
               and ($4::uuid is null or b.customer_id = $4)
               and b.starts_at >= $5 and b.starts_at < $6
               and ($12::uuid is null or exists (
                 select from booking_claims c
                  where c.tenant_id = $1 and c.booking_id = b.id and c.resource_id = $12 and c.active)
                 or (b.holds_seat and exists (
                 select from booking_claims c
                  where c.tenant_id = $1 and c.occurrence_id = b.occurrence_id and c.resource_id = $12 and c.active)))
               and ",
            between!($key, "$7", "$8", "$9", "$10")
        )
    };
}

/// The parameters of `where_filter!`, and the number of rows.
struct Narrowed<'a> {
    tenant: TenantId,
    statuses: Option<Vec<&'static str>>,
    filter: &'a BookingFilter,
    from: Timestamp,
    to: Timestamp,
    bounds: TimeBounds,
    fetch: i64,
}

impl<'a> Narrowed<'a> {
    fn of(tx: &ScopedTx, filter: &'a BookingFilter, bounds: TimeBounds, page: &Page<BookingKey>) -> Self {
        Self {
            tenant: tx.tenant(),
            statuses: filter.statuses.as_ref().map(|statuses| statuses.iter().map(|it| it.as_str()).collect()),
            filter,
            from: filter.from.unwrap_or(EARLIEST),
            to: filter.to.unwrap_or(LATEST),
            bounds,
            fetch: page.fetch(),
        }
    }

    /// The parameters `$1` to `$12`.
    fn params(&self) -> [Param<'_>; 12] {
        let Self { tenant, statuses, filter, from, to, bounds: TimeBounds { lower, upper }, fetch } = self;
        let (service, customer, resource) = (&filter.service, &filter.customer, &filter.resource);
        [tenant, statuses, service, customer, from, to, &lower.0, &lower.1, &upper.0, &upper.1, fetch, resource]
    }
}

/// A page of bookings with its conditions and order: alone, or with their services and customers, or with the names of
/// these.
///
/// Services and customers are looked up by key once the page is known. In a join the planner may place them before the
/// limit, because it underestimates a tenant's bookings (policies make it expect a row or two), and then read all of
/// them for each page.
macro_rules! listed {
    (alone, $where:expr, $order:expr, $limit:literal) => {
        concat!("select ", columns!(), " from bookings b where ", $where, " order by ", $order, " limit ", $limit)
    };
    (with_names, $where:expr, $order:expr, $limit:literal) => {
        concat!(
            "select ",
            columns!(),
            ", (select name from services where tenant_id = $1 and id = b.service_id),
                (select name from users where tenant_id = $1 and id = b.customer_id)
              from bookings b where ",
            $where,
            " order by ",
            $order,
            " limit ",
            $limit
        )
    };
    (with_related, $where:expr, $order:expr, $limit:literal) => {
        concat!(
            "select b.*, s.*, u.*
              from (",
            listed!(alone, $where, $order, $limit),
            ") b
              left join lateral (select ",
            service_columns!(),
            " from services where tenant_id = $1 and id = b.service_id limit 1) s on true
              left join lateral (select id, email, name, role, status, created_at, email_verified_at
                                   from users where tenant_id = $1 and id = b.customer_id limit 1) u on true
             order by ",
            $order
        )
    };
}

/// A page of all bookings. Without the conditions of filters, the statement is planned only once.
macro_rules! list_all_sql {
    ($listed:ident, $key:literal, $direction:literal) => {
        concat!(
            "-- bookings.list_all
            ",
            listed!(
                $listed,
                concat!("b.tenant_id = $1 and ", between!($key, "$2", "$3", "$4", "$5")),
                concat!("b.", $key, " ", $direction, ", b.id ", $direction),
                "$6"
            )
        )
    };
}

/// A page of filtered bookings.
macro_rules! list_sql {
    ($listed:ident, $key:literal, $direction:literal) => {
        concat!(
            "-- bookings.list
            ",
            listed!($listed, where_filter!($key), concat!("b.", $key, " ", $direction, ", b.id ", $direction), "$11")
        )
    };
}

/// The statement for an order, with or without related data.
macro_rules! in_order {
    ($sql:ident, $related:expr, $by_start:expr, $descending:expr) => {
        match ($related, $by_start, $descending) {
            (Preloaded::Nothing, true, false) => $sql!(alone, "starts_at", "asc"),
            (Preloaded::Nothing, true, true) => $sql!(alone, "starts_at", "desc"),
            (Preloaded::Nothing, false, false) => $sql!(alone, "created_at", "asc"),
            (Preloaded::Nothing, false, true) => $sql!(alone, "created_at", "desc"),
            (Preloaded::Names(_), true, false) => $sql!(with_names, "starts_at", "asc"),
            (Preloaded::Names(_), true, true) => $sql!(with_names, "starts_at", "desc"),
            (Preloaded::Names(_), false, false) => $sql!(with_names, "created_at", "asc"),
            (Preloaded::Names(_), false, true) => $sql!(with_names, "created_at", "desc"),
            (Preloaded::Whole(_), true, false) => $sql!(with_related, "starts_at", "asc"),
            (Preloaded::Whole(_), true, true) => $sql!(with_related, "starts_at", "desc"),
            (Preloaded::Whole(_), false, false) => $sql!(with_related, "created_at", "asc"),
            (Preloaded::Whole(_), false, true) => $sql!(with_related, "created_at", "desc"),
        }
    };
}

/// The columns of the names in a row with names.
const SERVICE_NAME: usize = 14;
const CUSTOMER_NAME: usize = 15;
/// The first columns of the service and of the customer in a row with related data.
const SERVICE_AT: usize = 14;
const CUSTOMER_AT: usize = SERVICE_AT + 17;

/// Lists one row more than the page, in the order of the scan. The services and customers of these bookings are loaded
/// into `related` by the same statement.
pub(super) async fn list(
    tx: &ScopedTx,
    filter: &BookingFilter,
    order: BookingOrder,
    page: &Page<BookingKey>,
    related: &mut Preloaded,
) -> Result<Vec<Booking>, DbError> {
    let descending = matches!(order, BookingOrder::StartsAtDesc | BookingOrder::CreatedAtDesc);
    let by_start = matches!(order, BookingOrder::StartsAtAsc | BookingOrder::StartsAtDesc);
    let bounds = if descending { page.bounds_newest_first() } else { page.bounds() };
    let descending = descending != page.from_the_back;
    let rows = if *filter == BookingFilter::default() {
        let sql = in_order!(list_all_sql, &*related, by_start, descending);
        let TimeBounds { lower, upper } = bounds;
        tx.query(sql, &[&tx.tenant(), &lower.0, &lower.1, &upper.0, &upper.1, &page.fetch()]).await?
    } else {
        let sql = in_order!(list_sql, &*related, by_start, descending);
        tx.query(sql, &Narrowed::of(tx, filter, bounds, page).params()).await?
    };
    let mut bookings = Vec::with_capacity(rows.len());
    for row in &rows {
        let booking = Booking::read(row)?;
        related.read(row, &booking)?;
        bookings.push(booking);
    }
    Ok(bookings)
}

impl Preloaded {
    /// Reads the related data of a row, unless another row has already provided it or the caller may not see it.
    fn read(&mut self, row: &Row, booking: &Booking) -> Result<(), DbError> {
        match self {
            Self::Nothing => {}
            Self::Names(names) => {
                if let Some(name) = row.get::<_, Option<&str>>(SERVICE_NAME) {
                    names.services.entry(booking.service).or_insert_with(|| name.to_owned());
                }
                if let Some(name) = row.get::<_, Option<&str>>(CUSTOMER_NAME) {
                    names.customers.entry(booking.customer).or_insert_with(|| name.to_owned());
                }
            }
            Self::Whole(all) => {
                if !all.services.contains_key(&booking.service) && row.get::<_, Option<Uuid>>(SERVICE_AT).is_some() {
                    all.services.insert(booking.service, Service::read_at(row, SERVICE_AT)?);
                }
                if !all.customers.contains_key(&booking.customer) && row.get::<_, Option<Uuid>>(CUSTOMER_AT).is_some() {
                    all.customers.insert(booking.customer, User::read_at(row, CUSTOMER_AT)?);
                }
            }
        }
        Ok(())
    }
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

/// For each customer, one row more than the page, in the order of the scan.
pub(super) async fn of_customers(
    tx: &ScopedTx,
    customers: &[UserId],
    filter: &BookingFilter,
    page: &Page<BookingKey>,
) -> Result<Vec<Booking>, DbError> {
    let sql = if page.from_the_back { of_customers_sql!("desc") } else { of_customers_sql!("asc") };
    let narrowed = Narrowed::of(tx, filter, page.bounds(), page);
    let params = [narrowed.params().as_slice(), &[&customers]].concat();
    let rows = tx.query(sql, &params).await?;
    rows.iter().map(Booking::read).collect()
}

/// Bookings that the scope may see and that changed at this instant or later, latest first: ids, services, customers
/// and versions. At most 1,000.
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
