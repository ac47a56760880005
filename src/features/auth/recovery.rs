//! Password reset and email verification.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    SignIn, SignInError,
    links::{self, Purpose},
    normalise_email,
    opaque_tokens::LinkToken,
    password_policy, queries, requests,
    sign_in::known,
    throttle,
};
use crate::{
    base::ids::{TenantId, UserId},
    core::{
        audit,
        identity::{Origin, Viewer},
        outbox::{self, Effect},
    },
    db::{Access, DbError, Scope, ScopedTx},
    features::users::{self, AccessEnd, UserStatus},
};

/// How many attempts a request gets before it is dropped: half an hour's worth.
const MAX_ATTEMPTS: i32 = 30;

impl SignIn {
    /// Queues a password reset for this email. Known and unknown emails cost the same work: background work looks the
    /// email up.
    ///
    /// # Errors
    /// `TooManyAttempts`, or a statement failed.
    pub async fn request_password_reset(
        &self,
        email: &str,
        tenant: Option<&str>,
        origin: &Origin,
    ) -> Result<(), SignInError> {
        let email = normalise_email(email);
        let now = self.clock.now();
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
        let (about, address) = (format!("password reset of {email}"), origin.address.as_deref());
        let counted = throttle::count_mail(&directory, &self.limits, &about, address, now).await?;
        if counted.is_ok() && super::sign_in::is_plausible_email(&email) {
            requests::insert(&directory, requests::Kind::PasswordReset, &email, tenant, origin, now).await?;
        }
        directory.commit().await?;
        counted.map_err(SignInError::TooManyAttempts)
    }

    /// Sets a new password with a mailed token, and ends all of the user's sessions. Of two concurrent uses one
    /// succeeds.
    ///
    /// # Errors
    /// `TokenInvalid` for a token that is unknown, used, expired or revoked; `WeakPassword`.
    pub async fn reset_password(&self, token: &str, new: String, origin: &Origin) -> Result<(), SignInError> {
        let token = LinkToken::parse(token).ok_or(SignInError::TokenInvalid)?;
        if let Some(why) = password_policy::unfit_length(&new) {
            return Err(SignInError::WeakPassword("newPassword", why));
        }
        self.count_address(origin).await?;
        let read = self.gate.tenant(Scope::authenticator(token.tenant), Access::Read);
        let account = known(account_of(&read, &token, self.clock.now()).await)?.ok_or(SignInError::TokenInvalid)?;
        read.end_read();
        drop(read);
        let about = vec![account.user.email.clone(), account.user.name.clone()];
        let hash = self.passwords.hash_if_strong(new, about).await?;
        let hash = hash.map_err(|why| SignInError::WeakPassword("newPassword", why))?;

        let now = self.clock.now();
        let tx = self.gate.tenant(Scope::authenticator(token.tenant), Access::Write);
        if links::use_up(&tx, &token, Purpose::PasswordReset, now).await? != Some(account.user.id.0) {
            tx.rollback();
            return Err(SignInError::TokenInvalid);
        }
        queries::set_credential(&tx, account.user.id, &hash, now).await?;
        // Receiving the mail proves ownership of the mailbox.
        queries::verify_email(&tx, account.user.id, now).await?;
        // This includes the calendar feed: someone who knew the password could have created one.
        users::end_access(&tx, Some(account.user.id), AccessEnd::PasswordReset, now).await?;
        outbox::enqueue(&tx, &Effect::MailPasswordChanged { user: account.user.id.0 }, now).await?;
        let event = audit::Event::of_sign_in(account.user.id, "users.reset_password", "user", Some(account.user.id.0));
        audit::record_as(&tx, event, now, origin).await?;
        outbox::enqueue(&tx, &Effect::VerifyLogin { user: account.user.id.0 }, now).await?;
        tx.commit().await?;
        drop(tx);
        self.verify_login(token.tenant, account.user.id).await
    }

    /// Records in the directory that the user owns the mailbox. Repeating it changes nothing.
    pub async fn verify_login(&self, tenant: TenantId, user: UserId) -> Result<(), SignInError> {
        let directory = self.gate.directory(Scope::authenticator(tenant), Access::Write);
        queries::verify_login(&directory, user).await?;
        directory.commit().await?;
        Ok(())
    }

    /// Sends the caller a mail with which they prove that the mailbox is theirs; `false` when it is already verified.
    ///
    /// # Errors
    /// `SessionEnded`, `TooManyAttempts`.
    pub async fn request_email_verification(&self, viewer: &Viewer, origin: &Origin) -> Result<bool, SignInError> {
        let now = self.clock.now();
        let account = self.own_account(viewer, now).await?.ok_or(SignInError::SessionEnded)?;
        if account.user.email_verified_at.is_some() {
            return Ok(false);
        }
        self.count_mail_to(&account.user.email, origin).await?;
        let tx = self.gate.tenant(Scope::authenticator(viewer.tenant), Access::Write);
        outbox::enqueue(&tx, &Effect::MailEmailVerification { user: viewer.user.0 }, now).await?;
        let id = viewer.user;
        let event = audit::Event::of_sign_in(id, "users.request_email_verification", "user", Some(id.0));
        audit::record_as(&tx, event, now, origin).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Verifies the user's email with a mailed token.
    ///
    /// # Errors
    /// `TokenInvalid` for a token that is unknown, used, expired or revoked.
    pub async fn verify_email(&self, token: &str, origin: &Origin) -> Result<(), SignInError> {
        let token = LinkToken::parse(token).ok_or(SignInError::TokenInvalid)?;
        self.count_address(origin).await?;
        let now = self.clock.now();
        let tx = self.gate.tenant(Scope::authenticator(token.tenant), Access::Write);
        let user = known(links::use_up(&tx, &token, Purpose::EmailVerification, now).await)?;
        let user = user.map(UserId).ok_or(SignInError::TokenInvalid)?;
        queries::verify_email(&tx, user, now).await?;
        let event = audit::Event::of_sign_in(user, "users.verify_email", "user", Some(user.0));
        audit::record_as(&tx, event, now, origin).await?;
        outbox::enqueue(&tx, &Effect::VerifyLogin { user: user.0 }, now).await?;
        tx.commit().await?;
        drop(tx);
        self.verify_login(token.tenant, user).await
    }

    /// Processes queued requests of anonymous callers, and returns whether there were any. For background work.
    ///
    /// # Errors
    /// When a statement fails. The requests are retried later.
    pub async fn look_into_requests(&self) -> Result<bool, SignInError> {
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
        let taken = requests::take(&directory, self.clock.now()).await?;
        directory.commit().await?;
        drop(directory);
        for request in &taken {
            // A failing request does not block the others: its lease expires, and it is retried.
            if let Err(error) = self.look_into(request).await {
                tracing::warn!(?error, attempt = request.attempt, "an account request could not be processed");
                if request.attempt < MAX_ATTEMPTS {
                    continue;
                }
            }
            let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
            requests::delete(&directory, request.id).await?;
            directory.commit().await?;
        }
        Ok(!taken.is_empty())
    }

    async fn look_into(&self, request: &requests::ClaimedRequest) -> Result<(), SignInError> {
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Read);
        let mut entries = queries::logins_of(&directory, &request.email).await?;
        directory.end_read();
        drop(directory);
        queries::retain_named(&mut entries, request.tenant.as_deref());
        let mut outcome = Ok(());
        for entry in entries {
            match self.answer(request, entry.tenant, entry.user).await {
                Ok(()) | Err(DbError::TenantNotHere) => {}
                Err(error) => outcome = Err(error.into()),
            }
        }
        outcome
    }

    async fn answer(&self, request: &requests::ClaimedRequest, tenant: TenantId, user: UserId) -> Result<(), DbError> {
        let now = self.clock.now();
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        let account = queries::account(&tx, user).await?;
        let Some(account) = account.filter(|it| it.user.status == UserStatus::Active) else {
            tx.rollback();
            return Ok(());
        };
        let action = match request.kind {
            requests::Kind::PasswordReset => {
                // The mail's id derives from the request's id, so that a repetition after a crash sends one mail. The
                // tenant changes only the random part, so that each tenant's mail has its own id and ids still sort by
                // time.
                const RANDOM_PART: u128 = (1 << 62) - 1;
                let mail = Uuid::from_u128(request.id.as_u128() ^ (tenant.0.as_u128() & RANDOM_PART));
                outbox::enqueue_as(&tx, mail, &Effect::MailPasswordReset { user: user.0 }, now).await?;
                "users.request_password_reset"
            }
            requests::Kind::SignInFailed => "sessions.login_failed",
        };
        let event = audit::Event::of_sign_in(account.user.id, action, "user", Some(user.0));
        audit::record_as(&tx, event, request.created_at, &request.origin()).await?;
        tx.commit().await
    }

    /// Removes stored responses that have expired. For background work.
    ///
    /// # Errors
    /// When the statement fails. They are removed later.
    pub async fn purge(&self, tenant: TenantId, now: Timestamp) -> Result<(), SignInError> {
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        queries::delete_expired_answers(&tx, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes an erased person's credentials and login. For background work.
    ///
    /// # Errors
    /// When a statement fails. The effect is retried later.
    pub async fn forget(&self, tenant: TenantId, user: UserId) -> Result<(), SignInError> {
        let now = self.clock.now();
        let directory = self.gate.directory(Scope::authenticator(tenant), Access::Read);
        let email = queries::email_of_login(&directory, user).await?;
        directory.end_read();
        drop(directory);
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        queries::delete_traces(&tx, user).await?;
        links::remove(&tx, &[user.0], now).await?;
        if let Some(email) = email {
            super::joining::forget_registrations(&tx, &email).await?;
        }
        tx.commit().await?;
        drop(tx);
        let directory = self.gate.directory(Scope::authenticator(tenant), Access::Write);
        queries::delete_login(&directory, user).await?;
        directory.commit().await?;
        Ok(())
    }
}

/// The account that a password reset token belongs to, if the token is valid and the user active.
async fn account_of(tx: &ScopedTx, token: &LinkToken, now: Timestamp) -> Result<Option<queries::Account>, DbError> {
    let Some(user) = links::subject_of(tx, token, Purpose::PasswordReset, now).await? else { return Ok(None) };
    let account = queries::account(tx, UserId(user)).await?;
    Ok(account.filter(|it| it.user.status == UserStatus::Active))
}
