//! Every statement on payments. `directory` where a function says so; the others run in the tenant's store.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Account, Payment,
    model::{CheckoutSession, CheckoutState, DeadEvent, Waiting},
};
use crate::{
    base::{
        ids::{CheckoutId, InvoiceId, PlanId, TenantId},
        money::Money,
    },
    db::{DbError, Row, ScopedTx},
    features::billing::queries::make_account,
};

/// The tenant's payment account.
pub async fn account(tx: &ScopedTx) -> Result<Account, DbError> {
    let row = tx
        .query_opt(
            "-- payments.account
            select provider, customer_ref, method_ref, method_known_at from billing_accounts where tenant_id = $1",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.map_or_else(Account::default, |row| Account {
        provider: row.get(0),
        customer: row.get(1),
        method: row.get(2),
        method_known_at: row.get(3),
    }))
}

/// Stores the provider's customer id of the tenant. A change of provider removes the payment method of the previous
/// one.
pub(super) async fn save_customer(
    tx: &ScopedTx,
    provider: &str,
    customer: &str,
    now: Timestamp,
) -> Result<(), DbError> {
    make_account(tx, now).await?;
    tx.execute(
        "-- payments.save_customer
        update billing_accounts set provider = $2, customer_ref = $3, updated_at = $4,
               method_ref = case when provider = $2 then method_ref end,
               method_known_at = case when provider = $2 then method_known_at end
         where tenant_id = $1",
        &[&tx.tenant(), &provider, &customer, &now],
    )
    .await
}

/// Stores a payment method; `false` when a newer report is stored.
pub(super) async fn save_method(tx: &ScopedTx, method: &str, at: Timestamp, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- payments.save_method
            update billing_accounts set method_ref = $2, method_known_at = $3, updated_at = $4
             where tenant_id = $1 and customer_ref is not null and (method_known_at is null or method_known_at <= $3)
            returning true",
            &[&tx.tenant(), &method, &at, &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Removes a payment method, unless a newer report is stored.
pub(super) async fn forget_method(tx: &ScopedTx, method: &str, at: Timestamp, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- payments.forget_method
        update billing_accounts set method_ref = null, method_known_at = $3, updated_at = $4
         where tenant_id = $1 and method_ref = $2 and (method_known_at is null or method_known_at <= $3)",
        &[&tx.tenant(), &method, &at, &now],
    )
    .await
}

/// Directory: the tenant of a customer.
pub(super) async fn tenant_of(
    directory: &ScopedTx,
    provider: &str,
    customer: &str,
) -> Result<Option<TenantId>, DbError> {
    let row = directory
        .query_opt(
            "-- payments.tenant_of
            select tenant_id from payment_customers where provider = $1 and customer_ref = $2",
            &[&provider, &customer],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Directory: assigns a customer to the scope's tenant. The assignment never changes.
pub(super) async fn note_customer(directory: &ScopedTx, provider: &str, customer: &str) -> Result<(), DbError> {
    directory
        .execute(
            "-- payments.note_customer
            insert into payment_customers (provider, customer_ref, tenant_id) values ($1, $2, $3)
            on conflict (provider, customer_ref) do nothing",
            &[&provider, &customer, &directory.tenant()],
        )
        .await
}

macro_rules! payment_columns {
    () => {
        "id, invoice_id, checkout_id, state, amount_minor, currency, method_ref, provider_ref, provider_at, failure, created_at"
    };
}

fn read_payment(row: &Row) -> Result<Payment, DbError> {
    Ok(Payment {
        id: row.get(0),
        invoice: row.get(1),
        checkout: row.get(2),
        state: row.get::<_, &str>(3).parse()?,
        amount: Money { minor: row.get(4), currency: row.try_get(5)? },
        method: row.get(6),
        reference: row.get(7),
        provider_at: row.get(8),
        failure: row.get(9),
        created_at: row.get(10),
    })
}

/// The attempts to collect an invoice, oldest first.
pub async fn of_invoice(tx: &ScopedTx, id: InvoiceId) -> Result<Vec<Payment>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- payments.of_invoice
                select ",
                payment_columns!(),
                " from payments where tenant_id = $1 and invoice_id = $2 order by created_at, id"
            ),
            &[&tx.tenant(), &id],
        )
        .await?;
    rows.iter().map(read_payment).collect()
}

/// One payment.
pub(super) async fn payment(tx: &ScopedTx, id: Uuid) -> Result<Option<Payment>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- payments.payment
                select ",
                payment_columns!(),
                " from payments where tenant_id = $1 and id = $2"
            ),
            &[&tx.tenant(), &id],
        )
        .await?;
    row.as_ref().map(read_payment).transpose()
}

/// A payment, by the provider's id.
pub(super) async fn payment_by_reference(
    tx: &ScopedTx,
    provider: &str,
    reference: &str,
) -> Result<Option<Payment>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- payments.payment_by_reference
                select ",
                payment_columns!(),
                " from payments where tenant_id = $1 and provider = $2 and provider_ref = $3"
            ),
            &[&tx.tenant(), &provider, &reference],
        )
        .await?;
    row.as_ref().map(read_payment).transpose()
}

/// Adds one.
pub(super) async fn insert_payment(tx: &ScopedTx, it: &Payment, provider: &str) -> Result<(), DbError> {
    let settled_at = it.provider_at;
    tx.execute(
        "-- payments.insert_payment
        insert into payments (tenant_id, id, invoice_id, checkout_id, state, amount_minor, currency, method_ref, provider,
          provider_ref, provider_at, created_at, settled_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        &[
            &tx.tenant(),
            &it.id,
            &it.invoice,
            &it.checkout,
            &it.state.as_str(),
            &it.amount.minor,
            &it.amount.currency,
            &it.method,
            &provider,
            &it.reference,
            &it.provider_at,
            &it.created_at,
            &settled_at,
        ],
    )
    .await
}

/// Stores what the provider reported. A successful payment never changes.
pub(super) async fn update_payment(tx: &ScopedTx, it: &Payment, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- payments.update_payment
        update payments set state = $3, provider_ref = $4, provider_at = $5, failure = $6,
               settled_at = case when $3 = 'PENDING' then null else $7::timestamptz end
         where tenant_id = $1 and id = $2 and state <> 'SUCCEEDED'",
        &[&tx.tenant(), &it.id, &it.state.as_str(), &it.reference, &it.provider_at, &it.failure, &now],
    )
    .await
}

macro_rules! checkout_columns {
    () => {
        "id, plan_id, version_id, billing_interval, state, priced_at, amount_minor, currency, success_url, cancel_url, provider,
            provider_ref, url, expires_at"
    };
}

fn read_checkout(row: &Row) -> Result<CheckoutSession, DbError> {
    Ok(CheckoutSession {
        id: row.get(0),
        plan: row.get(1),
        version: row.get(2),
        interval: row.get::<_, &str>(3).parse()?,
        state: row.get::<_, &str>(4).parse()?,
        priced_at: row.get(5),
        amount: Money { minor: row.get(6), currency: row.try_get(7)? },
        success_url: row.get(8),
        cancel_url: row.get(9),
        provider: row.get(10),
        reference: row.get(11),
        url: row.get(12),
        expires_at: row.get(13),
    })
}

/// The checkout session for this plan that is not over.
pub async fn open_checkout(tx: &ScopedTx, plan: PlanId) -> Result<Option<CheckoutSession>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- payments.open_checkout
                select ",
                checkout_columns!(),
                " from checkout_sessions where tenant_id = $1 and plan_id = $2 and state in ('CREATING', 'OPEN')"
            ),
            &[&tx.tenant(), &plan],
        )
        .await?;
    row.as_ref().map(read_checkout).transpose()
}

/// One session.
pub(super) async fn checkout(tx: &ScopedTx, id: CheckoutId) -> Result<Option<CheckoutSession>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- payments.checkout
                select ",
                checkout_columns!(),
                " from checkout_sessions where tenant_id = $1 and id = $2"
            ),
            &[&tx.tenant(), &id],
        )
        .await?;
    row.as_ref().map(read_checkout).transpose()
}

/// A session, by the provider's id.
pub(super) async fn checkout_by_reference(
    tx: &ScopedTx,
    provider: &str,
    reference: &str,
) -> Result<Option<CheckoutSession>, DbError> {
    let row = tx
        .query_opt(
            concat!(
                "-- payments.checkout_by_reference
                select ",
                checkout_columns!(),
                " from checkout_sessions where tenant_id = $1 and provider = $2 and provider_ref = $3"
            ),
            &[&tx.tenant(), &provider, &reference],
        )
        .await?;
    row.as_ref().map(read_checkout).transpose()
}

/// Inserts a checkout session before the provider is called.
pub async fn insert_checkout(tx: &ScopedTx, it: &CheckoutSession) -> Result<(), DbError> {
    tx.execute(
        "-- payments.insert_checkout
        insert into checkout_sessions (tenant_id, id, plan_id, version_id, billing_interval, priced_at, amount_minor, currency,
          success_url, cancel_url, provider, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &[
            &tx.tenant(),
            &it.id,
            &it.plan,
            &it.version,
            &it.interval.as_str(),
            &it.priced_at,
            &it.amount.minor,
            &it.amount.currency,
            &it.success_url,
            &it.cancel_url,
            &it.provider,
            &it.expires_at,
        ],
    )
    .await
}

/// Stores the provider's page. A session that was completed or superseded in the meantime keeps its state but gets the
/// provider's id, because it may still be paid.
pub(super) async fn open_page(tx: &ScopedTx, id: CheckoutId, reference: &str, url: &str) -> Result<(), DbError> {
    tx.execute(
        "-- payments.open_page
        update checkout_sessions set provider_ref = $3, url = $4, state = case when state = 'CREATING' then 'OPEN' else state end
         where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id, &reference, &url],
    )
    .await
}

/// Closes a checkout session.
pub async fn expire_checkout(tx: &ScopedTx, id: CheckoutId) -> Result<(), DbError> {
    tx.execute(
        "-- payments.expire_checkout
        update checkout_sessions set state = 'EXPIRED' where tenant_id = $1 and id = $2 and state in ('CREATING', 'OPEN')",
        &[&tx.tenant(), &id],
    )
    .await
}

/// Completes a session, even if it counted as closed.
pub(super) async fn complete_checkout(tx: &ScopedTx, id: CheckoutId, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- payments.complete_checkout
        update checkout_sessions set state = $3, completed_at = $4 where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &id, &CheckoutState::Completed.as_str(), &now],
    )
    .await
}

/// Marks an event as applied; `false` when it already was.
pub(super) async fn note_handled(tx: &ScopedTx, provider: &str, event: &str, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- payments.note_handled
            insert into handled_payment_events (tenant_id, provider, event_id, handled_at) values ($1, $2, $3, $4)
            on conflict (tenant_id, provider, event_id) do nothing returning true",
            &[&tx.tenant(), &provider, &event, &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Directory: stores an event and leases it to this caller until `busy_until`; `false` when it is already stored.
pub(super) async fn keep_event(
    directory: &ScopedTx,
    waiting: &Waiting,
    now: Timestamp,
    busy_until: Timestamp,
) -> Result<bool, DbError> {
    let row = directory
        .query_opt(
            "-- payments.keep_event
            insert into payment_events (provider, event_id, kind, body, received_at, available_at)
            values ($1, $2, $3, $4, $5, $6)
            on conflict (provider, event_id) do nothing returning true",
            &[&waiting.provider, &waiting.event, &waiting.kind, &waiting.body, &now, &busy_until],
        )
        .await?;
    Ok(row.is_some())
}

/// Directory: takes waiting events, oldest first. Concurrent callers get different ones.
pub(super) async fn take_events(
    directory: &ScopedTx,
    provider: &str,
    now: Timestamp,
    busy_until: Timestamp,
) -> Result<Vec<Waiting>, DbError> {
    let rows = directory
        .query(
            "-- payments.take_events
            update payment_events e set available_at = $3
              from (select provider, event_id from payment_events
                     where state = 'WAITING' and provider = $1 and available_at <= $2
                     order by available_at limit 50 for update skip locked) t
             where e.provider = t.provider and e.event_id = t.event_id
            returning e.provider, e.event_id, e.kind, e.body, e.attempts",
            &[&provider, &now, &busy_until],
        )
        .await?;
    let read = |row: &Row| Waiting {
        provider: row.get(0),
        event: row.get(1),
        kind: row.get(2),
        body: row.get::<_, Option<String>>(3).unwrap_or_default(),
        attempts: row.get(4),
    };
    Ok(rows.iter().map(read).collect())
}

/// Directory: marks an event as processed, and removes its content.
pub(super) async fn settle_event(
    directory: &ScopedTx,
    waiting: &Waiting,
    state: &str,
    tenant: Option<TenantId>,
) -> Result<(), DbError> {
    directory
        .execute(
            "-- payments.settle_event
            update payment_events set state = $3, tenant_id = $4, body = null, last_error = null
             where provider = $1 and event_id = $2 and state in ('WAITING', 'DEAD')",
            &[&waiting.provider, &waiting.event, &state, &tenant],
        )
        .await
}

/// Directory: records a failed attempt.
pub(super) async fn note_event_failure(
    directory: &ScopedTx,
    waiting: &Waiting,
    error: &str,
    again_at: Timestamp,
    is_dead: bool,
) -> Result<(), DbError> {
    let error: String = error.chars().take(500).collect();
    directory
        .execute(
            "-- payments.note_event_failure
            update payment_events set attempts = attempts + 1, last_error = $3, available_at = $4,
                   state = case when $5 then 'DEAD' else 'WAITING' end
             where provider = $1 and event_id = $2 and state = 'WAITING'",
            &[&waiting.provider, &waiting.event, &error, &again_at, &is_dead],
        )
        .await
}

/// Directory: events that were given up, oldest first.
pub(super) async fn dead_events(directory: &ScopedTx) -> Result<Vec<DeadEvent>, DbError> {
    let rows = directory
        .query(
            "-- payments.dead_events
            select provider, event_id, kind, received_at, attempts, coalesce(last_error, '') from payment_events
             where state = 'DEAD' order by received_at, event_id limit 500",
            &[],
        )
        .await?;
    let read = |row: &Row| DeadEvent {
        provider: row.get(0),
        event: row.get(1),
        kind: row.get(2),
        received_at: row.get(3),
        attempts: row.get(4),
        last_error: row.get(5),
    };
    Ok(rows.iter().map(read).collect())
}

/// Directory: queues a given-up event again; `false` when there is no such event.
pub(super) async fn revive_event(
    directory: &ScopedTx,
    provider: &str,
    event: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row = directory
        .query_opt(
            "-- payments.revive_event
            update payment_events set state = 'WAITING', attempts = 0, available_at = $3
             where provider = $1 and event_id = $2 and state = 'DEAD' returning true",
            &[&provider, &event, &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Directory: removes events that were processed long ago.
pub(super) async fn purge_events(directory: &ScopedTx, before: Timestamp) -> Result<(), DbError> {
    directory
        .execute(
            "-- payments.purge_events
            delete from payment_events where state in ('DONE', 'IGNORED') and received_at < $1",
            &[&before],
        )
        .await
}
