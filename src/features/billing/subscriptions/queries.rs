//! Every statement on subscriptions and their periods.

use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Agreed, BillingPeriod, Subscription};
use crate::{
    base::ids::{PlanVersionId, SubscriptionId},
    db::{DbError, Row, ScopedTx},
    features::billing::terms::Terms,
};

/// Locks the tenant's billing until the transaction ends. Every change to billing takes this lock first.
pub async fn lock(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- subscriptions.lock
        select pg_advisory_xact_lock(hashtextextended('billing of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}

fn read(row: &Row) -> Result<Subscription, DbError> {
    let zone: &str = row.get(5);
    let next: Option<PlanVersionId> = row.get(7);
    let next_interval = row.get::<_, Option<&str>>(8).map(str::parse).transpose()?;
    Ok(Subscription {
        id: row.get(0),
        version: row.get(1),
        interval: row.get::<_, &str>(2).parse()?,
        status: row.get::<_, &str>(3).parse()?,
        anchor: row.get(4),
        zone: TimeZone::get(zone).map_err(|error| DbError::Corrupt(error.to_string()))?,
        trial_ends_at: row.get(6),
        next: next.zip(next_interval),
        cancel_at: row.get(9),
        past_due_since: row.get(10),
        ended_at: row.get(11),
    })
}

/// The current subscription, or the one that ended last; `None` when the tenant was never billed.
pub async fn current(tx: &ScopedTx) -> Result<Option<Subscription>, DbError> {
    let row = tx
        .query_opt(
            "-- subscriptions.current
            select id, version_id, billing_interval, status, anchor, time_zone, trial_ends_at, next_version_id, next_interval,
                   cancel_at, past_due_since, ended_at
              from subscriptions where tenant_id = $1
             order by (status <> 'CANCELLED') desc, ended_at desc, id desc limit 1",
            &[&tx.tenant()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Adds one.
pub(super) async fn insert(tx: &ScopedTx, it: &Subscription, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- subscriptions.insert
        insert into subscriptions (tenant_id, id, version_id, billing_interval, status, anchor, time_zone, trial_ends_at,
          created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        &[
            &tx.tenant(),
            &it.id,
            &it.version,
            &it.interval.as_str(),
            &it.status.as_str(),
            &it.anchor,
            &it.zone.iana_name().unwrap_or("UTC"),
            &it.trial_ends_at,
            &now,
        ],
    )
    .await
}

/// Stores all fields that can change.
pub(super) async fn update(tx: &ScopedTx, it: &Subscription, now: Timestamp) -> Result<(), DbError> {
    let (next, next_interval) = it.next.map(|(version, interval)| (version, interval.as_str())).unzip();
    tx.execute(
        "-- subscriptions.update
        update subscriptions set version_id = $3, billing_interval = $4, status = $5, anchor = $6, trial_ends_at = $7,
               next_version_id = $8, next_interval = $9, cancel_at = $10, past_due_since = $11, ended_at = $12, updated_at = $13
         where tenant_id = $1 and id = $2",
        &[
            &tx.tenant(),
            &it.id,
            &it.version,
            &it.interval.as_str(),
            &it.status.as_str(),
            &it.anchor,
            &it.trial_ends_at,
            &next,
            &next_interval,
            &it.cancel_at,
            &it.past_due_since,
            &it.ended_at,
            &now,
        ],
    )
    .await
}

/// Stores a copy of terms that are about to be agreed; an existing copy stays.
pub async fn keep_terms(tx: &ScopedTx, it: &Agreed, now: Timestamp) -> Result<(), DbError> {
    // Unwrap safety: terms are texts, numbers and lists.
    let terms = serde_json::to_value(&it.terms).expect("terms can be written");
    tx.execute(
        "-- subscriptions.keep_terms
        insert into plan_terms (tenant_id, version_id, plan_id, plan_key, plan_name, version, terms, taken_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (tenant_id, version_id) do nothing",
        &[&tx.tenant(), &it.version_id, &it.plan, &it.plan_key, &it.plan_name, &it.version, &terms, &now],
    )
    .await
}

/// The agreed terms of a version.
pub(super) async fn agreed(tx: &ScopedTx, version: PlanVersionId) -> Result<Option<Agreed>, DbError> {
    let row = tx
        .query_opt(
            "-- subscriptions.agreed
            select version_id, plan_id, plan_key, plan_name, version, terms from plan_terms
             where tenant_id = $1 and version_id = $2",
            &[&tx.tenant(), &version],
        )
        .await?;
    row.map(|row| {
        let terms: Value = row.get(5);
        let terms = Terms::deserialize(&terms).map_err(|error| DbError::Corrupt(format!("agreed terms: {error}")))?;
        Ok(Agreed {
            version_id: row.get(0),
            plan: row.get(1),
            plan_key: row.get(2),
            plan_name: row.get(3),
            version: row.get(4),
            terms,
        })
    })
    .transpose()
}

macro_rules! period_columns {
    () => {
        "id, subscription_id, version_id, billing_interval, mode, starts_at, ends_at, cycle_start, cycle_end,
            flat_billed_until, usage_billed_at"
    };
}

fn read_period(row: &Row) -> Result<BillingPeriod, DbError> {
    Ok(BillingPeriod {
        id: row.get(0),
        subscription: row.get(1),
        version: row.get(2),
        interval: row.get::<_, &str>(3).parse()?,
        mode: row.get::<_, &str>(4).parse()?,
        starts_at: row.get(5),
        ends_at: row.get(6),
        cycle_start: row.get(7),
        cycle_end: row.get(8),
        flat_billed_until: row.get(9),
        usage_billed_at: row.get(10),
    })
}

/// The last period.
pub(super) async fn last_period(tx: &ScopedTx, id: SubscriptionId) -> Result<Option<BillingPeriod>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- subscriptions.last_period
                select ",
                period_columns!(),
                " from subscription_periods where tenant_id = $1 and subscription_id = $2 order by starts_at desc limit 1"
            ),
            &[&tx.tenant(), &id],
        )
        .await?;
    row.as_ref().map(read_period).transpose()
}

/// One period.
pub async fn period(tx: &ScopedTx, id: Uuid) -> Result<Option<BillingPeriod>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- subscriptions.period
                select ",
                period_columns!(),
                " from subscription_periods where tenant_id = $1 and id = $2"
            ),
            &[&tx.tenant(), &id],
        )
        .await?;
    row.as_ref().map(read_period).transpose()
}

/// Periods that are not fully billed, in chronological order.
pub async fn unbilled(tx: &ScopedTx) -> Result<Vec<BillingPeriod>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- subscriptions.unbilled
                select ",
                period_columns!(),
                " from subscription_periods where tenant_id = $1 and usage_billed_at is null order by starts_at"
            ),
            &[&tx.tenant()],
        )
        .await?;
    rows.iter().map(read_period).collect()
}

/// Adds a period; `follows` is the end of the previous one.
pub(super) async fn insert_period(
    tx: &ScopedTx,
    it: &BillingPeriod,
    follows: Option<Timestamp>,
) -> Result<(), DbError> {
    tx.execute(
        "-- subscriptions.insert_period
        insert into subscription_periods (tenant_id, id, subscription_id, version_id, billing_interval, mode, starts_at,
          ends_at, cycle_start, cycle_end, follows)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        &[
            &tx.tenant(),
            &it.id,
            &it.subscription,
            &it.version,
            &it.interval.as_str(),
            &it.mode.as_str(),
            &it.starts_at,
            &it.ends_at,
            &it.cycle_start,
            &it.cycle_end,
            &follows,
        ],
    )
    .await
}

/// Shortens a period.
pub(super) async fn end_period(tx: &ScopedTx, id: Uuid, at: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- subscriptions.end_period
        update subscription_periods set ends_at = $3 where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id, &at],
    )
    .await
}

/// Records what was billed; a `None` field stays.
pub(super) async fn note_billed(
    tx: &ScopedTx,
    id: Uuid,
    flat_until: Option<Timestamp>,
    usage_at: Option<Timestamp>,
) -> Result<(), DbError> {
    tx.execute(
        "-- subscriptions.note_billed
        update subscription_periods
           set flat_billed_until = coalesce($3, flat_billed_until), usage_billed_at = coalesce($4, usage_billed_at)
         where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id, &flat_until, &usage_at],
    )
    .await
}

/// Marks the fee of a period as no longer owed or never paid, so that none of it is credited.
pub async fn forget_fee(tx: &ScopedTx, id: Uuid) -> Result<(), DbError> {
    tx.execute(
        "-- subscriptions.forget_fee
        update subscription_periods set flat_billed_until = starts_at where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id],
    )
    .await
}

/// Whether the tenant ever had a trial.
pub(super) async fn had_trial(tx: &ScopedTx) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- subscriptions.had_trial
            select true from subscription_periods where tenant_id = $1 and mode = 'TRIAL' limit 1",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.is_some())
}
