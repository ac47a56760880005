//! Every sign-in statement. `directory` where a function says so; the others run in the tenant's store.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::LiveSession;
use crate::{
    base::ids::{SessionId, TenantId, UserId},
    core::identity::{Origin, Role, Viewer},
    db::{Change, DbError, Param, Row, ScopedTx},
};

/// A tenant that an email can sign in to.
pub(super) struct LoginEntry {
    pub tenant: TenantId,
    pub user: UserId,
    pub slug: String,
    /// Whether the user has proved that they own the mailbox.
    pub verified: bool,
}

/// Keeps the entries that count: those of the named tenant or, when none is named, those with a verified mailbox. An
/// account that a stranger created with somebody's email therefore changes nothing for its owner.
pub(super) fn retain_named(entries: &mut Vec<LoginEntry>, slug: Option<&str>) {
    entries.retain(|it| slug.map_or(it.verified, |slug| it.slug == slug));
}

/// What a sign-in decision needs.
pub(super) struct Account {
    pub password_hash: String,
    pub user: crate::features::users::User,
    pub tenant_suspended: bool,
}

/// Directory: the tenants of an email, oldest first.
pub(super) async fn logins_of(tx: &ScopedTx, email: &str) -> Result<Vec<LoginEntry>, DbError> {
    let rows = tx
        .query(
            "-- auth.logins_of
            select l.tenant_id, l.user_id, t.slug, l.verified
              from logins l join tenants t on t.id = l.tenant_id
             where l.email = $1 and t.state not in ('CREATING', 'DELETED')
             order by l.tenant_id",
            &[&email],
        )
        .await?;
    let read = |row: &Row| LoginEntry { tenant: row.get(0), user: row.get(1), slug: row.get(2), verified: row.get(3) };
    Ok(rows.iter().map(read).collect())
}

/// Directory: takes one attempt from a bucket; `false` when it is empty. This is GCRA in one statement: the row stores
/// the instant at which the bucket is full again, and an attempt is refused while that instant is too far ahead.
pub(super) async fn take_from_bucket(
    tx: &ScopedTx,
    bucket: &[u8],
    interval: SignedDuration,
    burst: u32,
    now: Timestamp,
) -> Result<bool, DbError> {
    let one_attempt_on = now + interval;
    let latest = now + interval * i32::try_from(burst).unwrap_or(i32::MAX);
    let row = tx
        .query_opt(
            "-- auth.take_from_bucket
            insert into sign_in_throttles as t (bucket, drained_at) values ($1, $2)
            on conflict (bucket) do update
               set drained_at = greatest(t.drained_at, $3) + ($2 - $3)
             where greatest(t.drained_at, $3) + ($2 - $3) <= $4
            returning true",
            &[&bucket, &one_attempt_on, &now, &latest],
        )
        .await?;
    Ok(row.is_some())
}

/// Directory: whether a mark is set at this time.
pub(super) async fn is_bucket_set(tx: &ScopedTx, bucket: &[u8], now: Timestamp) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- auth.is_bucket_set
            select true from sign_in_throttles where bucket = $1 and drained_at > $2",
            &[&bucket, &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Directory: sets a mark until this instant.
pub(super) async fn set_bucket(tx: &ScopedTx, bucket: &[u8], until: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- auth.set_bucket
        insert into sign_in_throttles as t (bucket, drained_at) values ($1, $2)
        on conflict (bucket) do update set drained_at = greatest(t.drained_at, $2)",
        &[&bucket, &until],
    )
    .await
}

/// Directory: removes some buckets that have been full for at least an hour.
pub(super) async fn sweep_buckets(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- auth.sweep_buckets
        delete from sign_in_throttles
         where bucket in (select bucket from sign_in_throttles where drained_at < $1 limit 20 for update skip locked)",
        &[&(now - SignedDuration::from_hours(1))],
    )
    .await
}

/// The user with their password hash; `None` when there is no such user.
pub(super) async fn account(tx: &ScopedTx, user: UserId) -> Result<Option<Account>, DbError> {
    let row = tx
        .query_opt(
            "-- auth.account
            select u.id, u.email, u.name, u.role, u.status, u.created_at, u.email_verified_at,
                   c.password_hash, t.state = 'SUSPENDED'
              from users u
              join credentials c on c.tenant_id = u.tenant_id and c.user_id = u.id
              join tenant_state t on t.tenant_id = u.tenant_id
             where u.tenant_id = $1 and u.id = $2",
            &[&tx.tenant(), &user],
        )
        .await?;
    row.map(|row| {
        Ok(Account {
            user: crate::features::users::User::read(&row)?,
            password_hash: row.get(7),
            tenant_suspended: row.get(8),
        })
    })
    .transpose()
}

/// Starts a session.
pub(super) async fn insert_session(
    tx: &ScopedTx,
    id: SessionId,
    user: UserId,
    now: Timestamp,
    expires_at: Timestamp,
    impersonator: Option<&str>,
    origin: &Origin,
) -> Result<(), DbError> {
    tx.execute(
        "-- auth.insert_session
        insert into sessions (tenant_id, id, user_id, created_at, expires_at, user_agent, address, impersonator)
        values ($1, $2, $3, $4, $5, $6, $7, $8)",
        &[&tx.tenant(), &id, &user, &now, &expires_at, &origin.user_agent, &origin.address, &impersonator],
    )
    .await
}

/// Ends a session; `false` when it had already ended, or the scope may end no such session.
pub(super) async fn end_session(
    tx: &ScopedTx,
    id: SessionId,
    reason: &'static str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- auth.end_session
            update sessions set ended_at = $3, end_reason = $4
             where tenant_id = $1 and id = $2 and ended_at is null
            returning true",
            &[&tx.tenant(), &id, &now, &reason],
        )
        .await?;
    Ok(row.is_some())
}

/// Stores a refresh token's hash.
pub(super) async fn insert_refresh_token(
    tx: &ScopedTx,
    id: Uuid,
    session: SessionId,
    token_hash: &[u8],
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), DbError> {
    let params: [Param<'_>; 6] = [&tx.tenant(), &id, &session, &token_hash, &now, &expires_at];
    tx.execute(
        "-- auth.insert_refresh_token
        insert into refresh_tokens (tenant_id, id, session_id, token_hash, issued_at, expires_at)
        values ($1, $2, $3, $4, $5, $6)",
        &params,
    )
    .await
}

/// Marks a refresh token as used and returns its session, if token and session are valid. Of two concurrent calls
/// exactly one gets the session. While the user is deactivated or the tenant suspended the token stays unused, so that
/// its later use is no replay.
pub(super) async fn use_refresh_token(
    tx: &ScopedTx,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<SessionId>, DbError> {
    let row = tx
        .query_opt(
            "-- auth.use_refresh_token
            update refresh_tokens r set used_at = $3
              from sessions s
              join users u on u.tenant_id = s.tenant_id and u.id = s.user_id and u.status = 'ACTIVE'
              join tenant_state t on t.tenant_id = s.tenant_id and t.state <> 'SUSPENDED'
             where r.tenant_id = $1 and r.token_hash = $2 and r.used_at is null and r.expires_at > $3
               and s.tenant_id = r.tenant_id and s.id = r.session_id and s.ended_at is null and s.expires_at > $3
            returning r.session_id",
            &[&tx.tenant(), &token_hash, &now],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// The session of a used refresh token and when it was used. `None` for an unknown or unused token.
pub(super) async fn used_refresh_token(
    tx: &ScopedTx,
    token_hash: &[u8],
) -> Result<Option<(SessionId, Timestamp)>, DbError> {
    let row = tx
        .query_opt(
            "-- auth.used_refresh_token
            select session_id, used_at from refresh_tokens
             where tenant_id = $1 and token_hash = $2 and used_at is not null",
            &[&tx.tenant(), &token_hash],
        )
        .await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

/// When this refresh token expires; `None` when the store does not know it.
pub(super) async fn refresh_token_expiry(tx: &ScopedTx, token_hash: &[u8]) -> Result<Option<Timestamp>, DbError> {
    let row = tx
        .query_opt(
            "-- auth.refresh_token_expiry
            select expires_at from refresh_tokens where tenant_id = $1 and token_hash = $2",
            &[&tx.tenant(), &token_hash],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// A live session's user, and the instant past which the session cannot be extended. `None` when the session has ended,
/// its user is not active, or the tenant is suspended.
pub(super) async fn live_session(
    tx: &ScopedTx,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<(crate::features::users::User, Timestamp)>, DbError> {
    let row = tx
        .query_opt(
            "-- auth.live_session
            select u.id, u.email, u.name, u.role, u.status, u.created_at, u.email_verified_at, s.expires_at
              from sessions s
              join users u on u.tenant_id = s.tenant_id and u.id = s.user_id and u.status = 'ACTIVE'
              join tenant_state t on t.tenant_id = s.tenant_id and t.state <> 'SUSPENDED'
             where s.tenant_id = $1 and s.id = $2 and s.ended_at is null and s.expires_at > $3",
            &[&tx.tenant(), &id, &now],
        )
        .await?;
    row.map(|row: Row| Ok((crate::features::users::User::read(&row)?, row.get(7)))).transpose()
}

/// Directory: registers the email as a login of the scope's tenant and returns the login's user. An earlier claim
/// stays.
pub(super) async fn claim_login(tx: &ScopedTx, email: &str, user: UserId, verified: bool) -> Result<UserId, DbError> {
    tx.execute(
        "-- auth.claim_login
        insert into logins (email, tenant_id, user_id, verified) values ($2, $1, $3, $4) on conflict do nothing",
        &[&tx.tenant(), &email, &user, &verified],
    )
    .await?;
    let row = tx
        .query_one(
            "-- auth.login_owner
            select user_id from logins where tenant_id = $1 and email = $2",
            &[&tx.tenant(), &email],
        )
        .await?;
    Ok(row.get(0))
}

/// Creates a user; `false` when the id or the email already exists.
pub(super) async fn insert_user(
    tx: &ScopedTx,
    id: UserId,
    email: &str,
    name: &str,
    role: Role,
    email_verified_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- auth.insert_user
            insert into users (tenant_id, id, email, name, role, created_at, updated_at, email_verified_at)
            values ($1, $2, $3, $4, $5, $6, $6, $7)
            on conflict do nothing
            returning true",
            &[&tx.tenant(), &id, &email, &name, &role.as_str(), &now, &email_verified_at],
        )
        .await?;
    Ok(row.is_some())
}

/// Stores a new user's password hash.
pub(super) async fn insert_credential(tx: &ScopedTx, user: UserId, hash: &str, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- auth.insert_credential
        insert into credentials (tenant_id, user_id, password_hash, updated_at) values ($1, $2, $3, $4)",
        &[&tx.tenant(), &user, &hash, &now],
    )
    .await
}

/// A user's live sessions, newest first.
pub(super) async fn sessions_of(tx: &ScopedTx, user: UserId) -> Result<Vec<LiveSession>, DbError> {
    let rows = tx
        .query(
            "-- auth.sessions_of
            select id, created_at, expires_at, user_agent, address, impersonator is not null
              from sessions
             where tenant_id = $1 and user_id = $2 and ended_at is null and expires_at > now()
             order by created_at desc, id desc
             limit 100",
            &[&tx.tenant(), &user],
        )
        .await?;
    let read = |row: &Row| LiveSession {
        id: row.get(0),
        created_at: row.get(1),
        expires_at: row.get(2),
        user_agent: row.get(3),
        address: row.get(4),
        impersonated: row.get(5),
    };
    Ok(rows.iter().map(read).collect())
}

/// Ends a user's sessions except one, and returns how many were live.
pub(super) async fn end_other_sessions(
    tx: &ScopedTx,
    user: UserId,
    kept: Option<SessionId>,
    reason: &'static str,
    now: Timestamp,
) -> Result<u64, DbError> {
    let rows = tx
        .query(
            "-- auth.end_other_sessions
            update sessions set ended_at = $4, end_reason = $5
             where tenant_id = $1 and user_id = $2 and id is distinct from $3 and ended_at is null
            returning true",
            &[&tx.tenant(), &user, &kept, &now, &reason],
        )
        .await?;
    Ok(rows.len() as u64)
}

/// Replaces a hash if it is still the one that was verified; `false` otherwise.
pub(super) async fn replace_credential(
    tx: &ScopedTx,
    user: UserId,
    verified: &str,
    new: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- auth.replace_credential
            update credentials set password_hash = $4, updated_at = $5
             where tenant_id = $1 and user_id = $2 and password_hash = $3
            returning true",
            &[&tx.tenant(), &user, &verified, &new, &now],
        )
        .await?;
    Ok(row.is_some())
}

/// Replaces a user's hash, whatever the previous one was.
pub(super) async fn set_credential(tx: &ScopedTx, user: UserId, hash: &str, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- auth.set_credential
        update credentials set password_hash = $3, updated_at = $4 where tenant_id = $1 and user_id = $2",
        &[&tx.tenant(), &user, &hash, &now],
    )
    .await
}

/// Records that the user proved ownership of the mailbox. Only the first time is stored.
pub(super) async fn verify_email(tx: &ScopedTx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- auth.verify_email
        update users set email_verified_at = coalesce(email_verified_at, $3), updated_at = $3
         where tenant_id = $1 and id = $2",
        &[&tx.tenant(), &user, &now],
    )
    .await?;
    tx.announce(Change::User { id: user.0 });
    Ok(())
}

/// Activates an existing user who accepted an invitation, with this role.
pub(super) async fn take_back(tx: &ScopedTx, user: UserId, role: Role, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- auth.take_back
        update users set role = $3, status = 'ACTIVE', updated_at = $4
         where tenant_id = $1 and id = $2 and status <> 'ERASED'",
        &[&tx.tenant(), &user, &role.as_str(), &now],
    )
    .await
}

/// Removes the user's credentials, sessions and stored responses, and blanks those of everybody else in the tenant, because
/// any of them may contain the user's data.
pub(super) async fn delete_traces(tx: &ScopedTx, user: UserId) -> Result<(), DbError> {
    tx.execute(
        "-- auth.delete_credential
        delete from credentials where tenant_id = $1 and user_id = $2",
        &[&tx.tenant(), &user],
    )
    .await?;
    tx.execute(
        "-- auth.delete_sessions
        delete from sessions where tenant_id = $1 and user_id = $2",
        &[&tx.tenant(), &user],
    )
    .await?;
    tx.execute(
        "-- auth.delete_answers
        delete from idempotency_keys where tenant_id = $1 and user_id = $2",
        &[&tx.tenant(), &user],
    )
    .await?;
    // Others' answers may name the person. Their keys stay: a request that is repeated must not be carried out again.
    tx.execute(
        "-- auth.blank_answers
        update idempotency_keys set answer = '' where tenant_id = $1",
        &[&tx.tenant()],
    )
    .await
}

/// Removes stored responses that expired before this instant.
pub(super) async fn delete_expired_answers(tx: &ScopedTx, now: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "-- auth.delete_expired_answers
        delete from idempotency_keys where tenant_id = $1 and expires_at <= $2",
        &[&tx.tenant(), &now],
    )
    .await
}

/// Directory: records that the user proved ownership of the mailbox.
pub(super) async fn verify_login(directory: &ScopedTx, user: UserId) -> Result<(), DbError> {
    directory
        .execute(
            "-- auth.verify_login
            update logins set verified = true where tenant_id = $1 and user_id = $2 and not verified",
            &[&directory.tenant(), &user],
        )
        .await
}

/// Directory: the email of a user's login.
pub(super) async fn email_of_login(directory: &ScopedTx, user: UserId) -> Result<Option<String>, DbError> {
    let row = directory
        .query_opt(
            "-- auth.email_of_login
            select email from logins where tenant_id = $1 and user_id = $2",
            &[&directory.tenant(), &user],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Directory: removes the user's login. They can no longer sign in, and the email is free again.
pub(super) async fn delete_login(directory: &ScopedTx, user: UserId) -> Result<(), DbError> {
    directory
        .execute(
            "-- auth.delete_login
            delete from logins where tenant_id = $1 and user_id = $2",
            &[&directory.tenant(), &user],
        )
        .await
}

/// The people in this list who lost access: their positions, the reason, and their current role. Runs in the platform's
/// scope, which sees no tenant data itself: the database function checks each person in the scope of their tenant.
pub(super) async fn revoked_sessions(
    tx: &ScopedTx,
    people: &[Viewer],
) -> Result<Vec<(usize, String, Option<String>)>, DbError> {
    let tenants: Vec<Uuid> = people.iter().map(|it| it.tenant.0).collect();
    let users: Vec<Uuid> = people.iter().map(|it| it.user.0).collect();
    let sessions: Vec<Uuid> = people.iter().map(|it| it.session.0).collect();
    let roles: Vec<&str> = people.iter().map(|it| it.role.as_str()).collect();
    let rows = tx
        .query(
            "-- sessions.revoked (each with tenant_id = $1 of its own)
            select place, reason, present_role from revoked_sessions($1, $2, $3, $4)",
            &[&tenants, &users, &sessions, &roles],
        )
        .await?;
    let place = |row: &Row| usize::try_from(row.get::<_, i32>(0) - 1).unwrap_or_default();
    Ok(rows.iter().map(|row| (place(row), row.get(1), row.get(2))).collect())
}
