//! Every statement on usage counters.

use std::collections::HashMap;

use jiff::{Timestamp, civil::Date};
use serde_json::Value;

use super::{Day, Meter, Period};
use crate::db::{DbError, ScopedTx};

/// Counts one more; `false`, without counting, when the limit is reached.
///
/// The counter is locked until the transaction ends, so that of two callers at the limit only one succeeds.
pub async fn count_one(tx: &ScopedTx, meter: Meter, period: Period, limit: Option<i64>) -> Result<bool, DbError> {
    // One conditional upsert: no row comes back when the limit is reached.
    let row = tx
        .query_opt(
            "-- usage.count_one
            insert into usage_counters as c (tenant_id, meter, period_start, period_end, used)
            select $1, $2, $3, $4, 1 where $5::bigint is null or $5 >= 1
            on conflict (tenant_id, meter, period_start) do update
               set used = c.used + 1
             where $5::bigint is null or c.used < $5
            returning c.used",
            &[&tx.tenant(), &meter.as_str(), &period.start, &period.end, &limit],
        )
        .await?;
    Ok(row.is_some())
}

/// The usage of each meter against its quota in the period, by its name; unused meters are omitted.
pub async fn used_of_all(tx: &ScopedTx, period: Period) -> Result<HashMap<String, i64>, DbError> {
    let rows = tx
        .query(
            "-- usage.used_of_all
            select meter, used from usage_counters where tenant_id = $1 and period_start = $2",
            &[&tx.tenant(), &period.start],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Records events and returns the outcomes, in order.
pub(super) async fn record(tx: &ScopedTx, events: &Value, now: Timestamp) -> Result<Vec<String>, DbError> {
    let row = tx
        .query_one(
            "-- usage.record (tenant_id = $1)
            select record_usage($1, $2, $3)",
            &[&tx.tenant(), &events, &now],
        )
        .await?;
    Ok(row.get(0))
}

/// Blocks the recording of usage until the transaction ends.
pub(super) async fn lock_alone(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- usage.lock_alone
        select pg_advisory_xact_lock(hashtextextended('usage of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}

/// Closes the time before an instant. The instant never moves back.
pub(super) async fn close(tx: &ScopedTx, until: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- usage.close
        insert into usage_closings as c (tenant_id, closed_until) values ($1, $2)
        on conflict (tenant_id) do update set closed_until = greatest(c.closed_until, $2)",
        &[&tx.tenant(), &until],
    )
    .await
}

/// The instant up to which usage was billed; `None` when none was.
pub async fn closed_until(tx: &ScopedTx) -> Result<Option<Timestamp>, DbError> {
    let row = tx
        .query_opt(
            "-- usage.closed_until
            select closed_until from usage_closings where tenant_id = $1",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// The sum that counts in the period.
pub(super) async fn sum(tx: &ScopedTx, meter: &str, period: Period, late_only: bool) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- usage.sum
            select least(coalesce(sum(quantity), 0), 9223372036854775807)::bigint from usage_events
             where tenant_id = $1 and meter = $2 and counted_at >= $3 and counted_at < $4
               and (not $5 or counted_at <> occurred_at)",
            &[&tx.tenant(), &meter, &period.start, &period.end, &late_only],
        )
        .await?;
    Ok(row.get(0))
}

/// The highest level in the period: the level at its start, or a later maximum.
pub(super) async fn most(tx: &ScopedTx, meter: &str, period: Period) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- usage.most
            select greatest(
              coalesce((select quantity from usage_events where tenant_id = $1 and meter = $2 and counted_at < $3
                         order by counted_at desc, recorded_at desc, id desc limit 1), 0),
              coalesce((select max(quantity) from usage_events
                         where tenant_id = $1 and meter = $2 and counted_at >= $3 and counted_at < $4), 0))",
            &[&tx.tenant(), &meter, &period.start, &period.end],
        )
        .await?;
    Ok(row.get(0))
}

/// The daily usage of a meter between two days, both included; days without usage are omitted.
pub async fn days(tx: &ScopedTx, meter: &str, from: Date, to: Date) -> Result<Vec<Day>, DbError> {
    let rows = tx
        .query(
            "-- usage.days
            select day, quantity from usage_days where tenant_id = $1 and meter = $2 and day between $3 and $4 order by day",
            &[&tx.tenant(), &meter, &from, &to],
        )
        .await?;
    Ok(rows.iter().map(|row| Day { day: row.get(0), quantity: row.get(1) }).collect())
}
