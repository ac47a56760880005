//! Sign-in and impersonation for platform administrators.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    model::{Impersonation, OperatorSignedIn},
    queries,
};
use crate::base::names;
use crate::{
    base::ids::{AdministratorId, SessionId, TenantId},
    core::{
        audit::{self, Changes},
        identity::{Origin, PlatformViewer, Viewer},
    },
    db::{Access, DbError, Scope, ScopedTx},
    features::{
        auth::{
            SignIn, SignInError, joining, normalise_email, queries as accounts, sign_in::is_plausible_email, throttle,
        },
        users::{self, UserStatus},
    },
};

/// How long a platform administrator stays signed in. There is no refresh: someone with this much power signs in again.
const SESSION_LIFE: SignedDuration = SignedDuration::from_mins(60);

/// How long an administrator can act as a user of a tenant.
const IMPERSONATION_LIFE: SignedDuration = SignedDuration::from_mins(15);

/// Maximum length of a reason, in characters.
pub const MAX_REASON: usize = 500;

impl SignIn {
    /// Signs a platform administrator in. Known and unknown emails cost the same work.
    ///
    /// # Errors
    /// `WrongCredentials`, `TooManyAttempts`.
    pub async fn platform_login(
        &self,
        email: &str,
        password: String,
        origin: &Origin,
    ) -> Result<OperatorSignedIn, SignInError> {
        let email = normalise_email(email);
        if !is_plausible_email(&email)
            || password.chars().count() > crate::features::auth::password_policy::MAX_PASSWORD_LENGTH
        {
            return Err(SignInError::WrongCredentials);
        }
        let now = self.clock.now();
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
        let account = format!("platform administrator {email}");
        let counted = throttle::count(&directory, &self.limits, &account, origin.address.as_deref(), now).await?;
        let found = queries::by_email(&directory, &email).await?;
        directory.commit().await?;
        drop(directory);
        counted.map_err(SignInError::TooManyAttempts)?;
        let verified = self.passwords.verify(password, found.as_ref().map(|it| it.password_hash.clone())).await?;

        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
        let whose = found.as_ref().map(|it| it.id);
        let Some(found) = found.filter(|_| verified) else {
            queries::insert_event(&directory, whose, "sessions.login_failed", None, &json!({}), origin, now).await?;
            directory.commit().await?;
            return Err(SignInError::WrongCredentials);
        };
        let session = SessionId::generate(now);
        let expires_at = now + SESSION_LIFE;
        queries::insert_session(&directory, session, found.id, now, expires_at, origin).await?;
        queries::insert_event(&directory, Some(found.id), "sessions.login", None, &json!({}), origin, now).await?;
        directory.commit().await?;
        let viewer = PlatformViewer { administrator: found.id, session, email: email.into() };
        let access_token = self
            .tokens
            .issue_for_platform(&viewer, expires_at, now)
            .map_err(|error| SignInError::Signing(error.to_string()))?;
        Ok(OperatorSignedIn { access_token, expires_at, viewer, name: found.name })
    }

    /// Ends a platform administrator's session, and every session in which the administrator acts as a user.
    pub async fn platform_logout(&self, viewer: &PlatformViewer, origin: &Origin) -> Result<(), SignInError> {
        let now = self.clock.now();
        let directory = self.gate.directory(viewer.scope(None), Access::Write);
        queries::end_session(&directory, viewer.session, now).await?;
        let since = now - IMPERSONATION_LIFE;
        let tenants = queries::impersonated_since(&directory, viewer.administrator, since).await?;
        note(&directory, viewer, "sessions.logout", None, &json!({}), origin, now).await?;
        directory.commit().await?;
        drop(directory);
        for tenant in tenants {
            let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
            match queries::end_impersonations(&tx, &viewer.email, now).await {
                Ok(()) => tx.commit().await?,
                Err(DbError::TenantNotHere) => tx.rollback(), // Erased meanwhile, with its sessions.
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Adds a platform administrator; `false` when the email already belongs to one. For the command line.
    ///
    /// # Errors
    /// `Invalid`, `WeakPassword`.
    pub async fn add_operator(&self, email: &str, name: &str, password: String) -> Result<bool, SignInError> {
        let email = joining::checked_email(email, "email")?;
        let name = users::checked_name(name).ok_or(SignInError::Invalid("name", names::RULE))?;
        if self.is_operator(&email).await? {
            return Ok(false);
        }
        let hash = self.passwords.hash_if_strong(password, vec![email.clone(), name.clone()]).await?;
        let hash = hash.map_err(|why| SignInError::WeakPassword("password", why))?;
        self.insert_operator(&email, &name, &hash).await
    }

    /// Adds a platform administrator without checks: for demo data.
    pub async fn add_trusted_operator(&self, email: &str, name: &str, password: String) -> Result<bool, SignInError> {
        if self.is_operator(email).await? {
            return Ok(false);
        }
        let hash = self.passwords.hash(password).await?;
        self.insert_operator(email, name, &hash).await
    }

    async fn is_operator(&self, email: &str) -> Result<bool, SignInError> {
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Read);
        let is_known = is_operator(&directory, email).await?;
        directory.end_read();
        Ok(is_known)
    }

    async fn insert_operator(&self, email: &str, name: &str, hash: &str) -> Result<bool, SignInError> {
        let (now, origin) = (self.clock.now(), Origin::default());
        let directory = self.gate.directory(Scope::platform(None), Access::Write);
        queries::insert(&directory, AdministratorId::generate(now), email, name, hash, now).await?;
        queries::insert_event(&directory, None, "administrators.create", None, &json!({}), &origin, now).await?;
        directory.commit().await?;
        Ok(true)
    }

    /// Starts a session of 15 minutes in which a platform administrator acts as a user. The tenant's own audit log
    /// records who acts, as whom and why, and names the administrator in every event of that session. The administrator
    /// cannot change credentials or roles.
    ///
    /// # Errors
    /// `Invalid` without a reason, `WrongCredentials` when the tenant has no such user, `SessionEnded`.
    pub async fn impersonate(
        &self,
        viewer: &PlatformViewer,
        tenant: TenantId,
        email: &str,
        reason: &str,
        origin: &Origin,
    ) -> Result<Impersonation, SignInError> {
        let reason = checked_reason(reason)?;
        let now = self.clock.now();
        let looking = self.gate.directory(viewer.scope(None), Access::Read);
        refuse_ended(&looking).await?;
        looking.end_read();
        drop(looking);
        let user = self.login_owner(tenant, email).await?;
        let account = self.account(tenant, user).await?.filter(|it| it.user.status == UserStatus::Active);
        let account = account.ok_or(SignInError::WrongCredentials)?;
        if account.tenant_suspended {
            return Err(SignInError::TenantSuspended);
        }
        let directory = self.gate.directory(viewer.scope(Some(tenant)), Access::Write);
        let details = json!({ "reason": reason });
        note(&directory, viewer, "tenants.impersonate", Some(tenant), &details, origin, now).await?;
        directory.commit().await?;
        drop(directory);
        let session = SessionId::generate(now);
        let expires_at = now + IMPERSONATION_LIFE;
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        accounts::insert_session(&tx, session, user, now, expires_at, Some(&viewer.email), origin).await?;
        let event = audit::Event::of_sign_in(user, "sessions.impersonate", "session", Some(session.0))
            .with(Changes::default().field("reason", Value::Null, reason));
        let origin = Origin { impersonator: Some(viewer.email.to_string()), ..origin.clone() };
        audit::record_as(&tx, event, now, &origin).await?;
        tx.commit().await?;
        let as_user = Viewer { tenant, user, role: account.user.role, session, impersonated: true };
        let (access_token, expires_at) = self
            .tokens
            .issue_as(&as_user, Some(&viewer.email), now)
            .map_err(|error| SignInError::Signing(error.to_string()))?;
        Ok(Impersonation { access_token, expires_at, user: account.user })
    }
}

/// A trimmed reason.
///
/// # Errors
/// `Invalid` when it is empty or too long.
pub fn checked_reason(reason: &str) -> Result<&str, SignInError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON {
        return Err(SignInError::Invalid("reason", "A reason must have 1 to 500 characters."));
    }
    Ok(reason)
}

/// Directory: does nothing itself: entering the transaction checks the platform administrator's session.
///
/// # Errors
/// When the session has ended.
pub async fn refuse_ended(directory: &ScopedTx) -> Result<(), DbError> {
    queries::session_lives(directory).await
}

/// Directory: records an action of a platform administrator.
///
/// # Errors
/// When the statement fails, or the administrator's session has ended.
pub async fn note(
    directory: &ScopedTx,
    viewer: &PlatformViewer,
    action: &'static str,
    tenant: Option<TenantId>,
    details: &Value,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), DbError> {
    queries::insert_event(directory, Some(viewer.administrator), action, tenant, details, origin, now).await
}

/// Directory: whether the email belongs to a platform administrator. Only for the scope of the sign-in path.
pub async fn is_operator(directory: &ScopedTx, email: &str) -> Result<bool, DbError> {
    Ok(queries::by_email(directory, email).await?.is_some())
}

/// Directory: records an action of background work on the platform.
pub async fn note_work(
    directory: &ScopedTx,
    action: &'static str,
    tenant: TenantId,
    now: Timestamp,
) -> Result<(), DbError> {
    queries::insert_event(directory, None, action, Some(tenant), &json!({}), &Origin::default(), now).await
}
