//! Writes the mails of the sign-in path: finds the recipient and creates a token for each mail.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    SignIn, SignInError, joining,
    links::{self, Purpose},
    opaque_tokens::LinkToken,
    throttle,
};
use crate::{
    base::ids::{InvitationId, TenantId, UserId},
    core::outbox::Effect,
    db::{Access, DbError, Scope, ScopedTx},
    features::{
        mail::{Letter, Mailer, Subject},
        tenants::{self, Locale},
        users::{self, User},
    },
};

impl SignIn {
    /// Writes the mail that an effect requests. Returns `None` when the mail is obsolete: its recipient is gone, or a
    /// newer mail was requested. Every call creates a new token, because no token is stored.
    pub async fn write_mail(
        &self,
        tenant: TenantId,
        id: Uuid,
        effect: &Effect,
        now: Timestamp,
        mailer: &Mailer,
    ) -> Result<Option<Letter>, SignInError> {
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        let addressed = match effect {
            Effect::MailPasswordReset { user } => {
                let purpose = Purpose::PasswordReset;
                let user = users::active(&tx, UserId(*user)).await?;
                match link(&tx, id, purpose, user.as_ref().map(|it| it.id.0), now).await?.zip(user) {
                    Some((token, User { email, name, .. })) => {
                        let url = mailer.link("reset-password", &token.expose());
                        Some((email, Subject::PasswordReset { name, url }))
                    }
                    None => None,
                }
            }
            Effect::MailPasswordChanged { user } => users::active(&tx, UserId(*user))
                .await?
                .map(|User { email, name, .. }| (email, Subject::PasswordChanged { name })),
            Effect::MailEmailVerification { user } => {
                let purpose = Purpose::EmailVerification;
                let user = users::active(&tx, UserId(*user)).await?.filter(|it| it.email_verified_at.is_none());
                match link(&tx, id, purpose, user.as_ref().map(|it| it.id.0), now).await?.zip(user) {
                    Some((token, User { email, name, .. })) => {
                        let url = mailer.link("verify-email", &token.expose());
                        Some((email, Subject::EmailVerification { name, url }))
                    }
                    None => None,
                }
            }
            Effect::MailInvitation { invitation } => {
                let email = joining::invited_email(&tx, InvitationId(*invitation), now).await?;
                let token = link(&tx, id, Purpose::Invitation, email.as_ref().map(|_| *invitation), now).await?;
                token.zip(email).map(|(token, email)| {
                    (email, Subject::Invitation { url: mailer.link("accept-invitation", &token.expose()) })
                })
            }
            Effect::MailRegistration { registration } => match joining::registered(&tx, *registration, now).await? {
                Some((email, true)) => Some((email, Subject::AlreadyRegistered)),
                Some((email, false)) => {
                    let token = link(&tx, id, Purpose::Registration, Some(*registration), now).await?;
                    token.map(|token| {
                        let url = mailer.link("confirm-registration", &token.expose());
                        (email, Subject::Registration { url })
                    })
                }
                None => None,
            },
            _ => None, // Not an effect of the sign-in path.
        };
        let mut tenant = tenants::current(&tx).await?;
        // In the language of the account that it is about.
        if let Effect::MailPasswordReset { user }
        | Effect::MailPasswordChanged { user }
        | Effect::MailEmailVerification { user } = effect
        {
            let wanted = users::mail_preferences(&tx, UserId(*user)).await?.locale;
            tenant.locale = wanted.and_then(|it| Locale::of_tag(&it)).unwrap_or(tenant.locale);
        }
        tx.commit().await?;
        drop(tx);
        if let Some((to, _)) = &addressed {
            self.count_mailbox(to, effect).await?;
        }
        Ok(addressed.map(|(to, subject)| Letter::of(tenant, to, subject)))
    }
}

impl SignIn {
    /// Counts a mail against the budget of its mailbox, across all tenants and requesting addresses. When the budget is
    /// empty, mails that others can request wait. Mails that only the account's owner receives then use a reserve that
    /// nobody else can exhaust.
    async fn count_mailbox(&self, to: &str, effect: &Effect) -> Result<(), SignInError> {
        let is_the_owners = match effect {
            Effect::MailInvitation { .. } | Effect::MailRegistration { .. } => false,
            Effect::MailPasswordReset { .. } | Effect::MailEmailVerification { .. } => true,
            _ => return Ok(()), // A notice of something that already happened.
        };
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Write);
        let now = self.clock.now();
        let counted = throttle::count_mailbox(&directory, &self.limits, to, is_the_owners, now).await?;
        directory.commit().await?;
        counted.map_err(SignInError::TooManyAttempts)
    }
}

async fn link(
    tx: &ScopedTx,
    id: Uuid,
    purpose: Purpose,
    subject: Option<Uuid>,
    now: Timestamp,
) -> Result<Option<LinkToken>, DbError> {
    match subject {
        Some(subject) => links::mint(tx, id, purpose, subject, now).await,
        None => Ok(None),
    }
}
