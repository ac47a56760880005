//! Every statement on users. `by_ids` feeds a loader; `list` is paged.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{MailPreferences, User, UserFilter, UserKey, UserStatus};
use crate::{
    base::{ids::UserId, paging::Page},
    core::identity::Role,
    db::{DbError, ScopedTx},
};

macro_rules! list_sql {
    ($direction:literal) => {
        concat!(
            "-- users.list
            select id, email, name, role, status, created_at, email_verified_at
              from users
             where tenant_id = $1
               and ($2::text is null or role = $2)
               and ($3::text is null or position(lower($3) in lower(name)) > 0 or position(lower($3) in email) > 0)
               and ($4::text is null or (name, id) > ($4, $5::uuid))
               and ($6::text is null or (name, id) < ($6, $7::uuid))
             order by name ",
            $direction,
            ", id ",
            $direction,
            " limit $8"
        )
    };
}

/// Lists one row more than the page, in the order of the scan.
pub(super) async fn list(tx: &ScopedTx, filter: &UserFilter, page: &Page<UserKey>) -> Result<Vec<User>, DbError> {
    let sql = if page.from_the_back { list_sql!("desc") } else { list_sql!("asc") };
    let (after_name, after_id) = page.after.clone().unzip();
    let (before_name, before_id) = page.before.clone().unzip();
    let rows = tx
        .query(
            sql,
            &[
                &tx.tenant(),
                &filter.role.map(|role| role.as_str()),
                &filter.search,
                &after_name,
                &after_id,
                &before_name,
                &before_id,
                &page.fetch(),
            ],
        )
        .await?;
    rows.iter().map(User::read).collect()
}

/// The users with these ids that the scope may see.
pub async fn by_ids(tx: &ScopedTx, ids: &[UserId]) -> Result<HashMap<UserId, User>, DbError> {
    let rows = tx
        .query(
            "-- users.by_ids
            select id, email, name, role, status, created_at, email_verified_at
              from users where tenant_id = $1 and id = any ($2)",
            &[&tx.tenant(), &ids],
        )
        .await?;
    rows.iter().map(|row| User::read(row).map(|user| (user.id, user))).collect()
}

/// The tenant's administrators who can sign in.
pub async fn administrators(tx: &ScopedTx) -> Result<Vec<User>, DbError> {
    let rows = tx
        .query(
            "-- users.administrators
            select id, email, name, role, status, created_at, email_verified_at
              from users where tenant_id = $1 and role = 'ADMIN' and status = 'ACTIVE' order by id",
            &[&tx.tenant()],
        )
        .await?;
    rows.iter().map(User::read).collect()
}

/// How many users can sign in.
pub async fn count_active(tx: &ScopedTx) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- users.count_active
            select count(*) from users where tenant_id = $1 and status = 'ACTIVE'",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.get(0))
}

/// `None` when there is no such user, or none that the scope may change.
pub(super) async fn update_name(
    tx: &ScopedTx,
    id: UserId,
    name: &str,
    now: Timestamp,
) -> Result<Option<User>, DbError> {
    let row = tx
        .query_opt(
            "-- users.update_name
            update users set name = $3, updated_at = $4
             where tenant_id = $1 and id = $2
            returning id, email, name, role, status, created_at, email_verified_at",
            &[&tx.tenant(), &id, &name, &now],
        )
        .await?;
    row.as_ref().map(User::read).transpose()
}

/// Serialises changes to the tenant's administrators until the transaction ends.
pub(super) async fn lock_administrators(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- users.lock_administrators
        select pg_advisory_xact_lock(hashtextextended('administrators of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}

/// How many administrators can sign in.
pub async fn count_administrators(tx: &ScopedTx) -> Result<i64, DbError> {
    let row = tx
        .query_one(
            "-- users.count_administrators
            select count(*) from users where tenant_id = $1 and role = 'ADMIN' and status = 'ACTIVE'",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.get(0))
}

/// `None` when there is no such user, or none that the scope may change.
pub(super) async fn update_role(
    tx: &ScopedTx,
    id: UserId,
    role: Role,
    now: Timestamp,
) -> Result<Option<User>, DbError> {
    let row = tx
        .query_opt(
            "-- users.update_role
            update users set role = $3, updated_at = $4
             where tenant_id = $1 and id = $2
            returning id, email, name, role, status, created_at, email_verified_at",
            &[&tx.tenant(), &id, &role.as_str(), &now],
        )
        .await?;
    row.as_ref().map(User::read).transpose()
}

/// `None` when there is no such user, or none that the scope may change.
pub(super) async fn update_status(
    tx: &ScopedTx,
    id: UserId,
    status: UserStatus,
    now: Timestamp,
) -> Result<Option<User>, DbError> {
    let row = tx
        .query_opt(
            "-- users.update_status
            update users set status = $3, updated_at = $4
             where tenant_id = $1 and id = $2
            returning id, email, name, role, status, created_at, email_verified_at",
            &[&tx.tenant(), &id, &status.as_str(), &now],
        )
        .await?;
    row.as_ref().map(User::read).transpose()
}

/// Serialises joins to the tenant until the transaction ends.
pub(super) async fn lock_places(tx: &ScopedTx) -> Result<(), DbError> {
    tx.execute(
        "-- users.lock_places
        select pg_advisory_xact_lock(hashtextextended('places of ' || $1::uuid::text, 0))",
        &[&tx.tenant()],
    )
    .await
}

/// Replaces a person's data with a pseudonym.
pub(super) async fn erase(
    tx: &ScopedTx,
    id: UserId,
    email: &str,
    name: &str,
    now: Timestamp,
) -> Result<Option<User>, DbError> {
    let row = tx
        .query_opt(
            "-- users.erase
            update users set email = $3, name = $4, status = 'ERASED', email_verified_at = null, updated_at = $5
             where tenant_id = $1 and id = $2
            returning id, email, name, role, status, created_at, email_verified_at",
            &[&tx.tenant(), &id, &email, &name, &now],
        )
        .await?;
    row.as_ref().map(User::read).transpose()
}

/// Puts the pseudonym into the person's invitations and returns their ids. A pending invitation is revoked.
pub(super) async fn erase_invitations(
    tx: &ScopedTx,
    email: &str,
    pseudonym: &str,
    now: Timestamp,
) -> Result<Vec<uuid::Uuid>, DbError> {
    let rows = tx
        .query(
            "-- users.erase_invitations
            update invitations
               set email = $3, status = case status when 'PENDING' then 'REVOKED' else status end,
                   settled_at = coalesce(settled_at, $4)
             where tenant_id = $1 and email = $2
            returning id",
            &[&tx.tenant(), &email, &pseudonym, &now],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Removes the notes on the person's bookings and the reasons given for status changes.
pub(super) async fn erase_notes(tx: &ScopedTx, customer: UserId, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- users.erase_notes
        update bookings set notes = null, updated_at = $3
         where tenant_id = $1 and customer_id = $2 and notes is not null",
        &[&tx.tenant(), &customer, &now],
    )
    .await?;
    tx.execute(
        "-- users.erase_reasons
        update booking_transitions set reason = null
         where tenant_id = $1 and customer_id = $2 and reason is not null",
        &[&tx.tenant(), &customer],
    )
    .await
}

/// Revokes pending invitations of this email.
pub async fn revoke_invitations(tx: &ScopedTx, email: &str, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- users.revoke_invitations
        update invitations set status = 'REVOKED', settled_at = $3
         where tenant_id = $1 and email = $2 and status = 'PENDING'",
        &[&tx.tenant(), &email, &now],
    )
    .await
}

/// Ends sessions, calendar feed and password reset links of one user, or of all users. Returns the number of sessions.
pub(super) async fn end_access(
    tx: &ScopedTx,
    user: Option<UserId>,
    reason: &str,
    now: Timestamp,
) -> Result<i32, DbError> {
    let row = tx
        .query_one(
            "-- users.end_access
            select end_access($1, $2, $3, $4) from tenant_state where tenant_id = $1",
            &[&tx.tenant(), &user, &reason, &now],
        )
        .await?;
    Ok(row.get(0))
}

/// The preferences of these users; without an entry where they have none.
pub async fn mail_preferences_of(tx: &ScopedTx, ids: &[UserId]) -> Result<HashMap<UserId, MailPreferences>, DbError> {
    let rows = tx
        .query(
            "-- users.mail_preferences_of
            select user_id, locale, reminders from mail_preferences where tenant_id = $1 and user_id = any ($2)",
            &[&tx.tenant(), &ids],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), MailPreferences { locale: row.get(1), reminders: row.get(2) })).collect())
}

/// Stores a user's preferences.
pub(super) async fn upsert_mail_preferences(
    tx: &ScopedTx,
    id: UserId,
    wanted: &MailPreferences,
    now: Timestamp,
) -> Result<(), DbError> {
    tx.execute(
        "-- users.upsert_mail_preferences
        insert into mail_preferences (tenant_id, user_id, locale, reminders, updated_at) values ($1, $2, $3, $4, $5)
        on conflict (tenant_id, user_id) do update set locale = $3, reminders = $4, updated_at = $5",
        &[&tx.tenant(), &id, &wanted.locale, &wanted.reminders, &now],
    )
    .await
}

/// Stops the reminders to a user.
pub async fn stop_reminders(tx: &ScopedTx, id: UserId, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- users.stop_reminders
        insert into mail_preferences (tenant_id, user_id, reminders, updated_at) values ($1, $2, false, $3)
        on conflict (tenant_id, user_id) do update set reminders = false, updated_at = $3",
        &[&tx.tenant(), &id, &now],
    )
    .await
}

/// Forgets what an erased user preferred.
pub(super) async fn forget_mail_preferences(tx: &ScopedTx, id: UserId, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- users.forget_mail_preferences
        update mail_preferences set locale = null, reminders = false, updated_at = $3
         where tenant_id = $1 and user_id = $2",
        &[&tx.tenant(), &id, &now],
    )
    .await
}
