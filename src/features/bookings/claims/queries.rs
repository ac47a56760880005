//! Every statement on claims, seats and classes. Most are database functions that run with the rights of background
//! work: see `claimed_times`, `classes` and `holds` in `sql/tenant`.

use std::collections::HashMap;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    base::ids::{BookingId, ResourceId, ServiceId, uuid_v7},
    db::{DbError, Param, Row, ScopedTx},
    features::bookings::{
        Booking,
        model::{Claim, Class, HeldClaim, Slot},
    },
};

/// Locks these ids for claims, in the order of the ids, until the transaction ends.
pub(crate) async fn lock_claimable(tx: &ScopedTx, ids: &[Uuid]) -> Result<(), DbError> {
    tx.execute(
        "-- bookings.lock_claimable
        select pg_advisory_xact_lock(hashtextextended('claims of ' || $1::uuid::text || it.id::text, 0))
          from (select id from unnest($2::uuid[]) as it (id) order by id) it",
        &[&tx.tenant(), &ids],
    )
    .await
}

/// The claims on these ids during an interval, by any booking.
pub(crate) async fn held(
    tx: &ScopedTx,
    ids: &[Uuid],
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<HeldClaim>, DbError> {
    let rows = tx
        .query(
            "-- bookings.held (tenant_id = $1)
            select claimed_id, lane, blocked_from, blocked_to from claimed_times($1, $2, $3, $4, $5)",
            &[&tx.tenant(), &ids, &from, &to, &now],
        )
        .await?;
    Ok(rows.iter().map(read_held).collect())
}

/// The claims on a service and on everything that can serve it, during an interval.
pub(crate) async fn held_around_service(
    tx: &ScopedTx,
    service: ServiceId,
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<Vec<HeldClaim>, DbError> {
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

fn read_held(row: &Row) -> HeldClaim {
    HeldClaim { claimed: row.get(0), lane: row.get(1), from: row.get(2), to: row.get(3) }
}

/// Releases expired holds on these ids or (`None`) all, and returns how many bookings expired.
pub(crate) async fn expire_holds(tx: &ScopedTx, ids: Option<&[Uuid]>, now: Timestamp) -> Result<usize, DbError> {
    let rows = tx
        .query(
            "-- bookings.expire_holds (tenant_id = $1)
            select booking_id from expire_holds($1, $2, $3)",
            &[&tx.tenant(), &ids, &now],
        )
        .await?;
    Ok(rows.len())
}

/// The classes of a service that start within an interval, earliest first.
pub(crate) async fn classes_of(
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

/// Takes a seat in a class; `false` when none is free.
pub(crate) async fn take_seat(tx: &ScopedTx, booking: BookingId, class: Uuid) -> Result<bool, DbError> {
    let row = tx
        .query_one(
            "-- bookings.take_seat (tenant_id = $1)
            select take_seat($1, $2, $3)",
            &[&tx.tenant(), &booking, &class],
        )
        .await?;
    Ok(row.get(0))
}

/// Creates a class with its first booking and claims these resources for it; `false` when one of them is taken.
pub(crate) async fn open_class(
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

/// Inserts all of these claims; `false` when another claim overlaps one of them.
///
/// An overlap must not raise an error, which would abort the transaction that every other resolver uses. And `on
/// conflict` inserts speculatively, so it never waits while it holds a row of its own.
pub(crate) async fn insert_claims(
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

/// Releases what a booking claims: resources, seats, its place in a class.
pub(crate) async fn let_go(tx: &ScopedTx, booking: BookingId) -> Result<(), DbError> {
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

/// The resources that each of these bookings uses, or used until it ended.
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
