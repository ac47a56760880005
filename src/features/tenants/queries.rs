//! Every statement on tenants. `directory` where a function says so; the others run in the tenant's store.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{BookingRules, Branding, Contact, Isolation, Limits, NewTenant, Offer, Tenant, TenantStatus};
use crate::{
    base::ids::TenantId,
    db::{DbError, Restriction, Row, ScopedTx},
};

/// The tenant of the transaction's scope.
pub async fn current(tx: &ScopedTx) -> Result<Tenant, DbError> {
    find(tx).await?.ok_or(DbError::TenantNotHere)
}

/// Store: the tenant of the scope, if the store holds it.
pub async fn find(tx: &ScopedTx) -> Result<Option<Tenant>, DbError> {
    let row = tx
        .query_opt(
            "-- tenants.find
            select t.tenant_id, t.slug, coalesce(s.name, t.name), case when t.fence is null then t.state else 'MOVING' end, t.isolation,
                   coalesce(s.time_zone, t.time_zone), coalesce(s.currency, t.currency), t.plan_id, t.limits,
                   t.created_at, t.features, coalesce(s.locale, 'en'), s.logo_url, s.primary_color, s.accent_color,
                   coalesce(s.open_registration, false), s.min_notice_minutes, s.max_ahead_days,
                   s.cancel_notice_minutes, t.suspended_reason, t.erase_after,
                   greatest(t.updated_at, s.updated_at), s.reminder_minutes, t.plan_version_id, t.rollouts, t.restriction,
                   s.max_moves, s.contact_email, s.contact_phone, s.contact_address
              from tenant_state t left join tenant_settings s on s.tenant_id = t.tenant_id
             where t.tenant_id = $1",
            &[&tx.tenant()],
        )
        .await?;
    row.as_ref().map(read_tenant).transpose()
}

fn read_tenant(row: &Row) -> Result<Tenant, DbError> {
    let time_zone: &str = row.get(5);
    let list = |value: Value| value.as_array().cloned().unwrap_or_default();
    let defaults = BookingRules::default();
    Ok(Tenant {
        id: row.get(0),
        slug: row.get(1),
        name: row.get(2),
        status: row.get::<_, &str>(3).parse()?,
        isolation: row.get::<_, &str>(4).parse::<Isolation>()?,
        time_zone: TimeZone::get(time_zone).map_err(|error| DbError::Corrupt(error.to_string()))?,
        currency: row.try_get(6)?,
        plan: row.get(7),
        limits: Limits(row.get(8)),
        plan_version: row.get(23),
        plan_features: list(row.get(10)),
        rollouts: list(row.get(24)).iter().filter_map(|it| Some(it.as_str()?.to_owned())).collect(),
        restriction: row.get::<_, Option<&str>>(25).map(str::parse).transpose()?,
        locale: row.get::<_, &str>(11).parse()?,
        branding: Branding { logo_url: row.get(12), primary_color: row.get(13), accent_color: row.get(14) },
        contact: Contact { email: row.get(27), phone: row.get(28), address: row.get(29) },
        open_registration: row.get(15),
        booking_rules: BookingRules {
            min_notice_minutes: row.get::<_, Option<i32>>(16).unwrap_or(defaults.min_notice_minutes),
            max_ahead_days: row.get::<_, Option<i32>>(17).unwrap_or(defaults.max_ahead_days),
            cancel_notice_minutes: row.get::<_, Option<i32>>(18).unwrap_or(defaults.cancel_notice_minutes),
            reminder_minutes: row.get::<_, Option<i32>>(22).unwrap_or(defaults.reminder_minutes),
            max_moves: row.get(26),
        },
        suspended_reason: row.get(19),
        erase_after: row.get(20),
        updated_at: row.get(21),
        created_at: row.get(9),
    })
}

/// Directory: every plan on offer, in the order of the price list.
pub async fn offers(directory: &ScopedTx) -> Result<Vec<Offer>, DbError> {
    let rows = directory
        .query(
            "-- tenants.offers
            select p.id, p.key, v.id, v.terms
              from plans p join plan_versions v on v.plan_id = p.id and v.state = 'PUBLISHED'
             where p.active and not exists (select from plan_versions newer
               where newer.plan_id = p.id and newer.state = 'PUBLISHED' and newer.version > v.version)
             order by p.position, p.id",
            &[],
        )
        .await?;
    let read = |row: &Row| Offer { plan: row.get(0), key: row.get(1), version: row.get(2), terms: row.get(3) };
    Ok(rows.iter().map(read).collect())
}

/// Directory: the API cost per minute that the plan of the scope's tenant allows; `None` when the plan sets no limit.
pub async fn api_cost(directory: &ScopedTx) -> Result<Option<i64>, DbError> {
    let row = directory
        .query_opt(
            "-- tenants.api_cost
            select (v.terms -> 'limits' ->> 'api_cost')::bigint
              from tenants t join plan_versions v on v.id = t.plan_version_id where t.id = $1",
            &[&directory.tenant()],
        )
        .await?;
    Ok(row.and_then(|row| row.get(0)))
}

/// Directory: registers a tenant and returns its id. If the slug is taken, the existing tenant stays unchanged and its
/// id is returned.
pub async fn register(directory: &ScopedTx, new: &NewTenant, now: Timestamp) -> Result<TenantId, DbError> {
    directory
        .execute(
            "-- tenants.register
            insert into tenants (id, slug, name, plan_id, created_at, plan_version_id, isolation, url)
            values ($1, $2, $3, $4, $5, $6, $7, $8)
            on conflict (slug) do nothing",
            &[
                &new.id,
                &new.slug,
                &new.name,
                &new.offer.plan,
                &now,
                &new.offer.version,
                &new.placement.isolation().as_str(),
                &new.placement.url(),
            ],
        )
        .await?;
    let row = directory
        .query_one(
            "-- tenants.id_of_slug
            select id from tenants where slug = $1",
            &[&new.slug],
        )
        .await?;
    Ok(row.get(0))
}

/// Adds the tenant's own row; `false` when it exists.
pub(super) async fn found(
    tx: &ScopedTx,
    new: &NewTenant,
    status: TenantStatus,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- tenants.found
            insert into tenant_state
              (tenant_id, slug, name, time_zone, currency, plan_id, limits, features, created_at, updated_at, state, plan_version_id,
               isolation)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12)
            on conflict (tenant_id) do nothing
            returning true",
            &[
                &tx.tenant(),
                &new.slug,
                &new.name,
                &new.time_zone,
                &new.currency,
                &new.offer.plan,
                new.offer.limits(),
                new.offer.features(),
                &now,
                &status.as_str(),
                &new.offer.version,
                &new.placement.isolation().as_str(),
            ],
        )
        .await?;
    Ok(row.is_some())
}

/// Store: marks the tenant as complete, once it has its first administrator or an invitation for one; `false` when the
/// tenant is not in creation.
pub async fn complete(tx: &ScopedTx, now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- tenants.complete
            update tenant_state set state = 'ACTIVE', updated_at = $2
             where tenant_id = $1 and state = 'CREATING'
            returning true",
            &[&tx.tenant(), &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Stores status, reason and time of erasure of this tenant.
pub(super) async fn update_state(tx: &ScopedTx, tenant: &Tenant, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- tenants.update_state
        update tenant_state set state = $2, suspended_reason = $3, erase_after = $4, updated_at = $5
         where tenant_id = $1",
        &[&tx.tenant(), &tenant.status.as_str(), &tenant.suspended_reason, &tenant.erase_after, &now],
    )
    .await
}

/// Stores another plan.
pub(super) async fn update_plan(tx: &ScopedTx, offer: &Offer, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- tenants.update_plan
        update tenant_state set plan_id = $2, limits = $3, features = $4, updated_at = $5, plan_version_id = $6
         where tenant_id = $1",
        &[&tx.tenant(), &offer.plan, offer.limits(), offer.features(), &now, &offer.version],
    )
    .await
}

/// Store: erases all data of a deleted tenant whose restore period is over; `false` when it is not over, or there is no
/// such tenant.
pub async fn erase(tx: &ScopedTx) -> Result<bool, DbError> {
    tx.allow_time(Duration::from_secs(3_600));
    tx.execute(
        "-- tenants.allow_time (tenant_id = $1 is that of the next statement)
        select set_config('statement_timeout', '1h', true)",
        &[],
    )
    .await?;
    let row = tx
        .query_opt(
            "-- tenants.erase
            delete from tenant_state where tenant_id = $1 and state = 'DELETED' and erase_after < now() returning true",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.is_some())
}

/// Serialises changes to the settings.
pub(super) async fn lock_settings(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- tenants.lock_settings
        select pg_advisory_xact_lock(hashtextextended('settings of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}

/// Stores the settings of this tenant.
pub(super) async fn upsert_settings(tx: &ScopedTx, tenant: &Tenant, now: Timestamp) -> Result<(), DbError> {
    let (branding, rules) = (&tenant.branding, &tenant.booking_rules);
    tx.execute(
        "-- tenants.upsert_settings
        insert into tenant_settings (tenant_id, name, time_zone, currency, locale, logo_url, primary_color, accent_color,
          open_registration, min_notice_minutes, max_ahead_days, cancel_notice_minutes, updated_at, reminder_minutes, max_moves,
          contact_email, contact_phone, contact_address)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        on conflict (tenant_id) do update set name = $2, time_zone = $3, currency = $4, locale = $5, logo_url = $6,
          primary_color = $7, accent_color = $8, open_registration = $9, min_notice_minutes = $10, max_ahead_days = $11,
          cancel_notice_minutes = $12, updated_at = $13, reminder_minutes = $14, max_moves = $15,
          contact_email = $16, contact_phone = $17, contact_address = $18",
        &[
            &tx.tenant(),
            &tenant.name,
            &tenant.time_zone.iana_name(),
            &tenant.currency,
            &tenant.locale.as_str(),
            &branding.logo_url,
            &branding.primary_color,
            &branding.accent_color,
            &tenant.open_registration,
            &rules.min_notice_minutes,
            &rules.max_ahead_days,
            &rules.cancel_notice_minutes,
            &now,
            &rules.reminder_minutes,
            &rules.max_moves,
            &tenant.contact.email,
            &tenant.contact.phone,
            &tenant.contact.address,
        ],
    )
    .await
}

/// Stores why the tenant is read-only, if it is.
pub(super) async fn set_restriction(tx: &ScopedTx, restriction: Option<Restriction>) -> Result<(), DbError> {
    tx.execute(
        "-- tenants.set_restriction
        update tenant_state set restriction = $2 where tenant_id = $1 and restriction is distinct from $2",
        &[&tx.tenant(), &restriction.map(Restriction::as_str)],
    )
    .await
}

/// Locks the tenant's calendar, and what can be booked in it, until the transaction ends. Every operation that creates,
/// moves or ends bookings takes this lock first, and so does every change of services, resources and hours. No
/// transaction therefore decides on data that changes concurrently, and transactions wait in line and never deadlock.
pub async fn lock_calendar(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- tenants.lock_calendar
        select pg_advisory_xact_lock(hashtextextended('calendar of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}
