//! Every statement on webhooks. `deliveries` is paged.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Delivery, DeliveryKey, DeliveryStatus, Disabled, Endpoint};
use crate::{
    base::{
        ids::{WebhookDeliveryId, WebhookEndpointId, uuid_v7},
        paging::{Page, TimeBounds},
    },
    db::{DbError, Row, ScopedTx},
    features::bookings::BookingEvent,
};

macro_rules! endpoint_columns {
    () => {
        "id, url, description, events, enabled, disabled_reason, failures, failing_since, paused_until, created_at"
    };
}

fn read_endpoint(row: &Row) -> Result<Endpoint, DbError> {
    let events: Vec<&str> = row.get(3);
    Ok(Endpoint {
        id: row.get(0),
        url: row.get(1),
        description: row.get(2),
        // An event that this version does not know, as after a downgrade, is dropped.
        events: events.into_iter().filter_map(BookingEvent::named).collect(),
        enabled: row.get(4),
        disabled_reason: row.get::<_, Option<&str>>(5).map(str::parse::<Disabled>).transpose()?,
        failures: row.get(6),
        failing_since: row.get(7),
        paused_until: row.get(8),
        created_at: row.get(9),
    })
}

/// Serialises changes to the tenant's endpoints.
pub(super) async fn lock(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- webhooks.lock
        select pg_advisory_xact_lock(hashtextextended('webhooks of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}

/// All endpoints of the tenant, oldest first.
pub(super) async fn list(tx: &ScopedTx) -> Result<Vec<Endpoint>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- webhooks.list
                select ",
                endpoint_columns!(),
                " from webhook_endpoints where tenant_id = $1 order by created_at, id"
            ),
            &[&tx.tenant()],
        )
        .await?;
    rows.iter().map(read_endpoint).collect()
}

/// One endpoint; with `locked`, locked against concurrent changes until the transaction ends.
pub(super) async fn by_id(tx: &ScopedTx, id: WebhookEndpointId, locked: bool) -> Result<Option<Endpoint>, DbError> {
    let sql = if locked {
        concat!(
            "-- webhooks.lock_one
            select ",
            endpoint_columns!(),
            " from webhook_endpoints where tenant_id = $1 and id = $2 for update"
        )
    } else {
        concat!(
            "-- webhooks.by_id
            select ",
            endpoint_columns!(),
            " from webhook_endpoints where tenant_id = $1 and id = $2"
        )
    };
    let row = tx.query_opt(sql, &[&tx.tenant(), &id]).await?;
    row.as_ref().map(read_endpoint).transpose()
}

fn names(endpoint: &Endpoint) -> Vec<&'static str> {
    endpoint.events.iter().map(|it| it.as_str()).collect()
}

/// Adds an endpoint.
pub(super) async fn insert(tx: &ScopedTx, endpoint: &Endpoint) -> Result<(), DbError> {
    tx.execute(
        "-- webhooks.insert
        insert into webhook_endpoints (tenant_id, id, url, description, events, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $6)",
        &[&tx.tenant(), &endpoint.id, &endpoint.url, &endpoint.description, &names(endpoint), &endpoint.created_at],
    )
    .await
}

/// Stores an endpoint.
pub(super) async fn update(tx: &ScopedTx, endpoint: &Endpoint, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- webhooks.update
        update webhook_endpoints
           set url = $3, description = $4, events = $5, enabled = $6, disabled_reason = $7, failures = $8,
               failing_since = $9, paused_until = $10, updated_at = $11
         where tenant_id = $1 and id = $2",
        &[
            &tx.tenant(),
            &endpoint.id,
            &endpoint.url,
            &endpoint.description,
            &names(endpoint),
            &endpoint.enabled,
            &endpoint.disabled_reason.map(Disabled::as_str),
            &endpoint.failures,
            &endpoint.failing_since,
            &endpoint.paused_until,
            &now,
        ],
    )
    .await
}

/// Stores an endpoint's health: failures, since when, until when nothing is sent, and why it is now disabled, if it is.
pub(super) async fn note_health(
    tx: &ScopedTx,
    id: WebhookEndpointId,
    (failures, since, paused_until): (i32, Option<Timestamp>, Option<Timestamp>),
    disabled: Option<Disabled>,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- webhooks.note_health
        update webhook_endpoints
           set failures = $3, failing_since = $4, paused_until = $5, enabled = enabled and $6::text is null,
               disabled_reason = coalesce($6, disabled_reason), updated_at = $7
         where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id, &failures, &since, &paused_until, &disabled.map(Disabled::as_str), &now],
    )
    .await
}

/// Deletes an endpoint with its secrets and messages; returns whether there was one.
pub(super) async fn delete(tx: &ScopedTx, id: WebhookEndpointId) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- webhooks.delete
            delete from webhook_endpoints where tenant_id = $1 and id = $2 returning true",
            &[&tx.tenant(), &id],
        )
        .await?;
    Ok(row.is_some())
}

/// Adds a secret.
pub(super) async fn insert_secret(
    tx: &ScopedTx,
    endpoint: WebhookEndpointId,
    secret: &[u8],
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- webhooks.insert_secret
        insert into webhook_secrets (tenant_id, id, endpoint_id, secret, created_at) values ($1, $2, $3, $4, $5)",
        &[&tx.tenant(), &uuid_v7(now), &endpoint, &secret, &now],
    )
    .await
}

/// The signing secrets, newest first: the newest, and every one that was in force after an instant. A secret is in
/// force until the next one is created.
pub(super) async fn secrets(
    tx: &ScopedTx,
    endpoint: WebhookEndpointId,
    after: Timestamp,
) -> Result<Vec<Vec<u8>>, DbError> {
    let rows = tx
        .query(
            "-- webhooks.secrets
            select s.secret from webhook_secrets s
             where s.tenant_id = $1 and s.endpoint_id = $2
               and not exists (
                 select from webhook_secrets n
                  where n.tenant_id = $1 and n.endpoint_id = $2 and (n.created_at, n.id) > (s.created_at, s.id)
                    and n.created_at <= $3)
             order by s.created_at desc, s.id desc limit 20",
            &[&tx.tenant(), &endpoint, &after],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn read_delivery(row: &Row) -> Result<Delivery, DbError> {
    Ok(Delivery {
        id: row.get(0),
        endpoint: row.get(1),
        event: row.get(2),
        body: row.get(3),
        status: row.get::<_, &str>(4).parse()?,
        attempts: row.get(5),
        last_attempt_at: row.get(6),
        last_outcome: row.get(7),
        created_at: row.get(8),
    })
}

/// Adds a message, unless it exists.
pub(super) async fn insert_delivery(
    tx: &ScopedTx,
    id: Uuid,
    endpoint: WebhookEndpointId,
    event: &str,
    body: &str,
    at: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- webhooks.insert_delivery
        insert into webhook_deliveries (tenant_id, id, endpoint_id, event, body, created_at)
        values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
        &[&tx.tenant(), &id, &endpoint, &event, &body, &at],
    )
    .await
}

/// One message.
pub(super) async fn delivery(tx: &ScopedTx, id: WebhookDeliveryId) -> Result<Option<Delivery>, DbError> {
    let row = tx
        .query_opt(
            "-- webhooks.delivery
            select id, endpoint_id, event, body, status, attempts, last_attempt_at, last_outcome, created_at
              from webhook_deliveries where tenant_id = $1 and id = $2",
            &[&tx.tenant(), &id],
        )
        .await?;
    row.as_ref().map(read_delivery).transpose()
}

macro_rules! deliveries_sql {
    ($direction:literal) => {
        concat!(
            "-- webhooks.deliveries
            select id, endpoint_id, event, body, status, attempts, last_attempt_at, last_outcome, created_at
              from webhook_deliveries
             where tenant_id = $1 and endpoint_id = $2
               and (created_at, id) > ($3, $4)
               and (created_at, id) < ($5, $6)
             order by created_at ",
            $direction,
            ", id ",
            $direction,
            " limit $7"
        )
    };
}

/// Lists one row more than the page, in the order of the scan. The list is newest first, so following rows are smaller.
pub(super) async fn deliveries(
    tx: &ScopedTx,
    endpoint: WebhookEndpointId,
    page: &Page<DeliveryKey>,
) -> Result<Vec<Delivery>, DbError> {
    let sql = if page.from_the_back { deliveries_sql!("asc") } else { deliveries_sql!("desc") };
    let TimeBounds { lower, upper } = page.bounds_newest_first();
    let rows = tx.query(sql, &[&tx.tenant(), &endpoint, &lower.0, &lower.1, &upper.0, &upper.1, &page.fetch()]).await?;
    rows.iter().map(read_delivery).collect()
}

/// Records the outcome of an attempt; with `at` `None` no attempt was made.
pub(super) async fn note_attempt(
    tx: &ScopedTx,
    id: WebhookDeliveryId,
    status: DeliveryStatus,
    at: Option<Timestamp>,
    outcome: &str,
) -> Result<(), DbError> {
    tx.execute(
        "-- webhooks.note_attempt
        update webhook_deliveries
           set status = $3, attempts = attempts + ($4::timestamptz is not null)::integer,
               last_attempt_at = coalesce($4, last_attempt_at), last_outcome = $5
         where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id, &status.as_str(), &at, &outcome],
    )
    .await
}

/// Queues a settled message again; `false` when it is already waiting.
pub(super) async fn reopen(tx: &ScopedTx, id: WebhookDeliveryId) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- webhooks.reopen
            update webhook_deliveries set status = 'PENDING' where tenant_id = $1 and id = $2 and status <> 'PENDING'
            returning true",
            &[&tx.tenant(), &id],
        )
        .await?;
    Ok(row.is_some())
}

/// Removes messages older than an instant, in batches, and secrets that were replaced before another instant.
pub(super) async fn purge(tx: &ScopedTx, before: Timestamp, secrets_before: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- webhooks.purge_deliveries
        delete from webhook_deliveries
         where tenant_id = $1 and id in (
           select id from webhook_deliveries where tenant_id = $1 and created_at < $2 order by created_at limit 5000)",
        &[&tx.tenant(), &before],
    )
    .await?;
    tx.execute(
        "-- webhooks.purge_secrets
        delete from webhook_secrets s
         where s.tenant_id = $1 and exists (
           select from webhook_secrets n
            where n.tenant_id = $1 and n.endpoint_id = s.endpoint_id and (n.created_at, n.id) > (s.created_at, s.id)
              and n.created_at <= $2)",
        &[&tx.tenant(), &secrets_before],
    )
    .await
}
