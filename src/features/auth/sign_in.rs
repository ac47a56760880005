//! Login and refresh. Each opens its own transactions: an attempt must stay counted when it fails.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use unicode_normalization::UnicodeNormalization;

use super::{
    Passwords, PasswordsError, SignInLimits, Tokens, links,
    opaque_tokens::RefreshToken,
    password_policy::{self, MAX_PASSWORD_LENGTH},
    queries, requests, throttle,
};
use crate::{
    base::{
        clock::Clock,
        ids::{SessionId, TenantId, UserId, uuid_v7},
    },
    core::{
        audit,
        identity::{Origin, Role, Viewer},
        outbox::{self, Effect},
    },
    db::{Access, DbError, Gate, Scope, ScopedTx},
    features::users::{User, UserStatus},
};

/// How long a used refresh token still returns its successor, for a client that lost the response or sent two requests.
pub(super) const REFRESH_GRACE: SignedDuration = SignedDuration::from_secs(10);

/// The number of logins of one email that are examined.
const MAX_LOOK_UPS: usize = 3;

/// Maximum length of an email that is looked up, in bytes (RFC 5321).
const MAX_EMAIL_BYTES: usize = 320;

/// Why signing in or joining failed.
#[derive(Clone, Debug)]
pub enum SignInError {
    /// The email is unknown, the password is wrong, or the user is deactivated. The response does not say which.
    WrongCredentials,
    /// The password is right, but the email has users in several tenants.
    TenantNeeded,
    /// The password is right, but the tenant is suspended.
    TenantSuspended,
    /// The caller's session has ended.
    SessionEnded,
    /// The new password in this field is too weak: the field and the message.
    WeakPassword(&'static str, &'static str),
    /// A value is out of range: the field and the message.
    Invalid(&'static str, &'static str),
    /// Another tenant has the slug.
    SlugTaken,
    /// There is no tenant with this slug.
    TenantUnknown,
    /// The tenant does not allow customers to register themselves.
    NotOpen,
    /// The plan's limit on users is reached.
    QuotaExceeded,
    /// An impersonated session cannot change credentials.
    Impersonated,
    /// The refresh token is unknown, expired or used, or its session has ended.
    TokenInvalid,
    /// Too many attempts. Retry after this time.
    TooManyAttempts(SignedDuration),
    /// The password could not be hashed or checked.
    Passwords(PasswordsError),
    /// Signing the token failed: an internal error.
    Signing(String),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for SignInError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<PasswordsError> for SignInError {
    fn from(error: PasswordsError) -> Self {
        Self::Passwords(error)
    }
}

/// The credentials of a login.
pub struct Login {
    /// As typed.
    pub email: String,
    /// As typed.
    pub password: String,
    /// The tenant's slug, needed only when the email belongs to several tenants.
    pub tenant: Option<String>,
}

/// A session that was started or refreshed.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// For the `Authorization` header.
    pub access_token: String,
    /// When the access token expires.
    pub access_token_expires_at: Timestamp,
    /// Usable for one refresh.
    pub refresh_token: String,
    /// When the refresh token expires.
    pub refresh_token_expires_at: Timestamp,
    /// The signed-in caller, for the rest of the request.
    pub viewer: Viewer,
    /// The signed-in user, as stored.
    pub user: User,
}

/// The sign-in path.
pub struct SignIn {
    pub(super) gate: Gate,
    pub(super) passwords: Passwords,
    pub(super) tokens: Arc<Tokens>,
    pub(super) limits: SignInLimits,
    /// Tokens and sessions use the system clock, as PostgreSQL and the token library do.
    pub(super) clock: Clock,
}

impl SignIn {
    /// Creates the sign-in path from its parts.
    pub fn new(gate: Gate, passwords: Passwords, tokens: Arc<Tokens>, limits: SignInLimits, clock: Clock) -> Self {
        Self { gate, passwords, tokens, limits, clock }
    }

    /// Seals a text so that only this deployment can have created it, for URLs that prove themselves.
    pub fn seal(&self, text: &str) -> String {
        self.tokens.seal(text)
    }

    /// The clock of tokens and sessions.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Checks email and password and starts a session.
    ///
    /// The same statements and exactly one password verification run whether or not the email is known.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub async fn login(&self, login: Login, origin: &Origin) -> Result<SignedIn, SignInError> {
        let email = normalise_email(&login.email);
        let plausible = is_plausible_email(&email) && login.password.chars().count() <= MAX_PASSWORD_LENGTH;
        if !plausible {
            return Err(SignInError::WrongCredentials);
        }
        let mut entries = self.count_and_look_up(&email, origin).await?;
        queries::retain_named(&mut entries, login.tenant.as_deref());
        if entries.is_empty() {
            // For an unknown email: the same statements against a tenant that does not exist, with no account.
            let (tenant, user) = (TenantId(uuid::Uuid::nil()), UserId(uuid::Uuid::nil()));
            entries.push(queries::LoginEntry { tenant, user, slug: String::new(), verified: false });
        }
        let ambiguous = entries.len() > 1;
        let mut account = None;
        // The first login that has an account: an aborted attempt to join can leave a login without one.
        for entry in entries.iter().take(MAX_LOOK_UPS) {
            account = self.account(entry.tenant, entry.user).await?.map(|account| (entry.tenant, account));
            if account.is_some() {
                break;
            }
        }
        let hash = account.as_ref().map(|(_, account)| account.password_hash.clone());
        let verified = self.passwords.verify(login.password.clone(), hash).await?;
        let Some((tenant, account)) =
            account.filter(|(_, account)| verified && account.user.status == UserStatus::Active)
        else {
            self.note_failure(&email, login.tenant.as_deref(), origin).await?;
            return Err(SignInError::WrongCredentials);
        };
        if ambiguous {
            return Err(SignInError::TenantNeeded);
        }
        if account.tenant_suspended {
            return Err(SignInError::TenantSuspended);
        }
        // The password was just verified, so an outdated hash can be replaced.
        let rehashed = if self.passwords.is_outdated(&account.password_hash) {
            Some((account.password_hash.clone(), self.passwords.hash(login.password).await?))
        } else {
            None
        };
        let signed_in = self.begin_session(tenant, account.user, rehashed, origin).await?;
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
        throttle::remember(&directory, &email, origin.address.as_deref(), self.clock.now()).await?;
        directory.commit().await?;
        Ok(signed_in)
    }

    /// Queues a failed attempt for the audit log of the email's owner. Known and unknown emails cost the same work:
    /// background work looks the email up.
    async fn note_failure(&self, email: &str, tenant: Option<&str>, origin: &Origin) -> Result<(), DbError> {
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
        let now = self.clock.now();
        requests::insert(&directory, requests::Kind::SignInFailed, email, tenant, origin, now).await?;
        directory.commit().await
    }

    /// Counts the attempt and looks up the tenants of the email. The connection is returned at the end: an attempt
    /// never holds two at once.
    pub(super) async fn count_and_look_up(
        &self,
        email: &str,
        origin: &Origin,
    ) -> Result<Vec<queries::LoginEntry>, SignInError> {
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
        let counted =
            throttle::count(&directory, &self.limits, email, origin.address.as_deref(), self.clock.now()).await?;
        let entries = queries::logins_of(&directory, email).await?;
        directory.commit().await?;
        counted.map_err(SignInError::TooManyAttempts)?;
        Ok(entries)
    }

    /// Counts an attempt to use a mailed token or to create a tenant, by address alone.
    pub(super) async fn count_address(&self, origin: &Origin) -> Result<(), SignInError> {
        self.count_mail_to("", origin).await
    }

    /// Counts a request that sends a mail to this email.
    pub(super) async fn count_mail_to(&self, email: &str, origin: &Origin) -> Result<(), SignInError> {
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
        let (address, now) = (origin.address.as_deref(), self.clock.now());
        let counted = throttle::count_mail(&directory, &self.limits, email, address, now).await?;
        directory.commit().await?;
        counted.map_err(SignInError::TooManyAttempts)
    }

    pub(super) async fn account(&self, tenant: TenantId, user: UserId) -> Result<Option<queries::Account>, DbError> {
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Read);
        match queries::account(&tx, user).await {
            Ok(account) => {
                tx.end_read();
                Ok(account)
            }
            Err(DbError::TenantNotHere) => {
                tx.rollback();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts a session for a user who has just authenticated. `rehashed` holds the hash that was verified and its
    /// replacement.
    ///
    /// # Errors
    /// When a statement or signing fails; no session exists then.
    pub(super) async fn begin_session(
        &self,
        tenant: TenantId,
        user: User,
        rehashed: Option<(String, String)>,
        origin: &Origin,
    ) -> Result<SignedIn, SignInError> {
        let now = self.clock.now();
        let session = SessionId::generate(now);
        let ends = now + self.tokens.settings.session_life;
        let refresh = RefreshToken::generate(tenant);
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        queries::insert_session(&tx, session, user.id, now, ends, None, origin).await?;
        if let Some((verified, new)) = &rehashed {
            queries::replace_credential(&tx, user.id, verified, new, now).await?;
        }
        let refresh_expires = self.store_refresh_token(&tx, session, &refresh, now, ends).await?;
        let event = audit::Event::of_sign_in(user.id, "sessions.login", "session", Some(session.0));
        audit::record_as(&tx, event, now, origin).await?;
        tx.commit().await?;
        self.issue(tenant, user, session, &refresh, refresh_expires, now)
    }

    /// Exchanges a refresh token for a new pair.
    ///
    /// Each token works once. Used again within ten seconds it returns the same successor. Used later it counts as
    /// stolen, and the whole session ends (RFC 9700, section 4.14.2).
    ///
    /// # Errors
    /// See [`SignInError`].
    pub async fn refresh(&self, token: &str, origin: &Origin) -> Result<SignedIn, SignInError> {
        let token = RefreshToken::parse(token).ok_or(SignInError::TokenInvalid)?;
        let now = self.clock.now();
        let tx = self.gate.tenant(Scope::authenticator(token.tenant), Access::Write);
        let result = self.refresh_within(&tx, &token, now, origin).await;
        match result {
            // A replay ends the session, and that must be committed although the call fails.
            Ok(_) | Err(SignInError::TokenInvalid) => tx.commit().await?,
            Err(SignInError::Db(DbError::TenantNotHere)) => return Err(SignInError::TokenInvalid),
            Err(_) => {}
        }
        result
    }

    async fn refresh_within(
        &self,
        tx: &ScopedTx,
        token: &RefreshToken,
        now: Timestamp,
        origin: &Origin,
    ) -> Result<SignedIn, SignInError> {
        let successor = self.tokens.successor(token);
        if let Some(session) = queries::use_refresh_token(tx, &token.hash(), now).await? {
            let (user, ends) = queries::live_session(tx, session, now).await?.ok_or(SignInError::TokenInvalid)?;
            let expires = self.store_refresh_token(tx, session, &successor, now, ends).await?;
            let event = audit::Event::of_sign_in(user.id, "sessions.refresh", "session", Some(session.0));
            audit::record_as(tx, event, now, origin).await?;
            return self.issue(token.tenant, user, session, &successor, expires, now);
        }
        let Some((session, used_at)) = queries::used_refresh_token(tx, &token.hash()).await? else {
            return Err(SignInError::TokenInvalid);
        };
        let Some((user, _)) = queries::live_session(tx, session, now).await? else {
            return Err(SignInError::TokenInvalid);
        };
        if now.duration_since(used_at) > REFRESH_GRACE {
            queries::end_session(tx, session, "REFRESH_TOKEN_REPLAYED", now).await?;
            let event = audit::Event::of_sign_in(user.id, "sessions.replay_detected", "session", Some(session.0));
            audit::record_as(tx, event, now, origin).await?;
            return Err(SignInError::TokenInvalid);
        }
        // Unknown only when the signing key was changed in between.
        let expires = queries::refresh_token_expiry(tx, &successor.hash()).await?.ok_or(SignInError::TokenInvalid)?;
        self.issue(token.tenant, user, session, &successor, expires, now)
    }

    async fn store_refresh_token(
        &self,
        tx: &ScopedTx,
        session: SessionId,
        token: &RefreshToken,
        now: Timestamp,
        session_ends: Timestamp,
    ) -> Result<Timestamp, DbError> {
        let expires = (now + self.tokens.settings.refresh_life).min(session_ends);
        queries::insert_refresh_token(tx, uuid_v7(now), session, &token.hash(), now, expires).await?;
        Ok(expires)
    }

    fn issue(
        &self,
        tenant: TenantId,
        user: User,
        session: SessionId,
        refresh: &RefreshToken,
        refresh_token_expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<SignedIn, SignInError> {
        let viewer = Viewer { tenant, user: user.id, role: user.role, session, impersonated: false };
        let (access_token, access_token_expires_at) =
            self.tokens.issue(&viewer, now).map_err(|error| SignInError::Signing(error.to_string()))?;
        Ok(SignedIn {
            access_token,
            access_token_expires_at,
            refresh_token: refresh.expose(),
            refresh_token_expires_at,
            viewer,
            user,
        })
    }

    /// Replaces the caller's password, and ends all of their other sessions.
    ///
    /// The session is checked here, because this path does not go through `enter` as the caller.
    ///
    /// # Errors
    /// See [`SignInError`]. An attempt with a wrong password counts as a sign-in attempt.
    pub async fn change_password(
        &self,
        viewer: &Viewer,
        current: String,
        new: String,
        origin: &Origin,
    ) -> Result<User, SignInError> {
        if viewer.impersonated {
            return Err(SignInError::Impersonated);
        }
        let now = self.clock.now();
        let account = self.own_account(viewer, now).await?.ok_or(SignInError::SessionEnded)?;
        let user = account.user;
        if let Some(why) = password_policy::unfit_length(&new) {
            return Err(SignInError::WeakPassword("newPassword", why));
        }
        self.count_and_look_up(&user.email, origin).await?;
        if !self.passwords.verify(current, Some(account.password_hash.clone())).await? {
            return Err(SignInError::WrongCredentials);
        }
        let hash = self.passwords.hash_if_strong(new, vec![user.email.clone(), user.name.clone()]).await?;
        let hash = hash.map_err(|why| SignInError::WeakPassword("newPassword", why))?;

        let tx = self.gate.tenant(Scope::authenticator(viewer.tenant), Access::Write);
        if !queries::replace_credential(&tx, user.id, &account.password_hash, &hash, now).await? {
            tx.rollback();
            return Err(SignInError::WrongCredentials); // Changed concurrently: the given password is no longer the current one.
        }
        queries::end_other_sessions(&tx, user.id, Some(viewer.session), "PASSWORD_CHANGED", now).await?;
        links::void(&tx, links::Purpose::PasswordReset, user.id.0, now).await?;
        outbox::enqueue(&tx, &Effect::MailPasswordChanged { user: user.id.0 }, now).await?;
        let event = audit::Event::of_sign_in(user.id, "users.change_password", "user", Some(user.id.0));
        audit::record_as(&tx, event, now, origin).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// The account of a caller whose session is live.
    pub(super) async fn own_account(
        &self,
        viewer: &Viewer,
        now: Timestamp,
    ) -> Result<Option<queries::Account>, SignInError> {
        let tx = self.gate.tenant(Scope::authenticator(viewer.tenant), Access::Read);
        let live = match queries::live_session(&tx, viewer.session, now).await {
            Err(DbError::TenantNotHere) => return Ok(None),
            other => other?,
        };
        let is_himself = live.is_some_and(|(user, _)| user.id == viewer.user && user.role == viewer.role);
        let account = if is_himself { queries::account(&tx, viewer.user).await? } else { None };
        tx.end_read();
        Ok(account)
    }

    /// The user whose login this email is in the tenant.
    ///
    /// # Errors
    /// `WrongCredentials` when there is none.
    pub async fn login_owner(&self, tenant: TenantId, email: &str) -> Result<UserId, SignInError> {
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Read);
        let entries = queries::logins_of(&directory, &normalise_email(email)).await?;
        directory.end_read();
        let entry = entries.into_iter().find(|entry| entry.tenant == tenant);
        entry.map(|entry| entry.user).ok_or(SignInError::WrongCredentials)
    }

    /// Starts a session for a user without their password, for work that the operator starts, such as demo data. No
    /// request reaches this function.
    ///
    /// # Errors
    /// `WrongCredentials` when there is no such user.
    pub async fn trusted_session(&self, tenant: TenantId, email: &str) -> Result<Viewer, SignInError> {
        let user = self.login_owner(tenant, email).await?;
        let account = self.account(tenant, user).await?.ok_or(SignInError::WrongCredentials)?;
        Ok(self.begin_session(tenant, account.user, None, &Origin::default()).await?.viewer)
    }
}

/// A new user of a tenant.
pub struct NewUser {
    /// As typed.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Their role.
    pub role: Role,
    /// As typed.
    pub password: String,
}

/// Whether the text has a plausible length for an email.
pub(super) fn is_plausible_email(email: &str) -> bool {
    (3..=MAX_EMAIL_BYTES).contains(&email.len())
}

/// Normalises an email for storage and comparison: Unicode NFKC, lower case, trimmed.
pub fn normalise_email(email: &str) -> String {
    email.trim().nfkc().collect::<String>().to_lowercase()
}

/// A token of a tenant that this server does not have counts as unknown.
pub(super) fn known<T>(result: Result<Option<T>, DbError>) -> Result<Option<T>, SignInError> {
    match result {
        Err(DbError::TenantNotHere) => Ok(None),
        other => Ok(other?),
    }
}
