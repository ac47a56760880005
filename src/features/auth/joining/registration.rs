//! Signing up, registering, accepting invitations, creating tenants.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    model::{Acceptance, Registration, SignUp, TenantDraft},
    queries,
};
use crate::base::names;
use crate::{
    base::{
        fault,
        ids::{AdministratorId, InvitationId, TenantId, UserId, uuid_v7},
        money::Currency,
    },
    core::{
        audit::{self, Changes},
        identity::{Origin, PlatformViewer, Role},
        outbox::{self, Effect},
    },
    db::{Access, DbError, Placement, Scope, ScopedTx},
    features::{
        auth::{
            NewUser, SignIn, SignInError, SignedIn,
            links::{self, Purpose},
            normalise_email,
            opaque_tokens::LinkToken,
            password_policy, queries as accounts,
            sign_in::{is_plausible_email, known},
        },
        tenants::{self, NewTenant, TenantStatus},
        users::{self, UserStatus},
    },
};

/// How long an invitation is valid.
pub const INVITATION_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long a registration awaits confirmation.
const REGISTRATION_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// How long the creation of a dedicated store may take: less than a request may take.
const STORE_LIMIT: Duration = Duration::from_secs(20);

/// How often the server checks whether the store is ready.
const STORE_PAUSE: Duration = Duration::from_millis(25);

/// How long the creation of a tenant may take before it is finished or abandoned by background work: longer than any
/// request may take.
pub const CREATION_LIMIT: SignedDuration = SignedDuration::from_secs(60);

/// How long an abandoned tenant blocks a creation that may still be running.
const TOMBSTONE_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// The plan after sign-up.
pub const FIRST_PLAN: &str = "free";

/// The first administrator of a new tenant.
enum First<'a> {
    Joins { user: UserId, new: &'a NewUser, hash: &'a str },
    IsInvited { email: &'a str, by: AdministratorId },
}

impl SignIn {
    /// Creates a tenant and its first administrator, and starts their session.
    ///
    /// # Errors
    /// `SlugTaken`, `Invalid` and `WeakPassword`; nothing is created then.
    pub async fn sign_up(&self, new: SignUp, origin: &Origin) -> Result<SignedIn, SignInError> {
        let user = new_user(&new.email, &new.name, Role::Admin, new.password)?;
        let name =
            tenants::settings::checked_name(&new.tenant_name).ok_or(SignInError::Invalid("tenantName", names::RULE))?;
        let slug = checked_slug(&new.slug)?;
        self.count_mail_to(&user.email, origin).await?;
        let hash = self.hash_of_new(&user, &[&name, &slug]).await?;
        let now = self.clock.now();
        let tenant = self.new_tenant(slug, name, new.time_zone, new.currency, FIRST_PLAN, now).await?;
        let id = UserId::generate(now);
        self.create(&tenant, &First::Joins { user: id, new: &user, hash: &hash }, now, origin).await?;
        let account = self.account(tenant.id, id).await?.ok_or(SignInError::Db(DbError::TenantNotHere))?;
        self.begin_session(tenant.id, account.user, None, origin).await
    }

    /// Creates a tenant at this placement and invites its first administrator. For platform administrators.
    ///
    /// # Errors
    /// `SlugTaken`, `Invalid`; nothing is created then.
    pub async fn create_tenant(
        &self,
        id: TenantId,
        placement: Placement,
        draft: TenantDraft,
        by: AdministratorId,
        origin: &Origin,
    ) -> Result<TenantId, SignInError> {
        let name = tenants::settings::checked_name(&draft.name).ok_or(SignInError::Invalid("name", names::RULE))?;
        let email = checked_email(&draft.admin_email, "adminEmail")?;
        let slug = checked_slug(&draft.slug)?;
        let now = self.clock.now();
        let tenant = self.new_tenant(slug, name, draft.time_zone, draft.currency, &draft.plan, now).await?;
        let tenant = NewTenant { id, placement, ..tenant };
        self.create(&tenant, &First::IsInvited { email: &email, by }, now, origin).await?;
        Ok(tenant.id)
    }

    /// Invites an administrator to a tenant on behalf of the platform; `false` when the tenant has an administrator who
    /// can sign in. An older invitation of the same email is revoked.
    ///
    /// # Errors
    /// `Invalid` when the email is not valid.
    pub async fn invite_administrator(
        &self,
        tenant: TenantId,
        email: &str,
        by: &PlatformViewer,
        origin: &Origin,
    ) -> Result<bool, SignInError> {
        let email = checked_email(email, "email")?;
        let now = self.clock.now();
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        users::lock_roles(&tx).await?;
        if users::count_administrators(&tx).await? > 0 {
            tx.rollback();
            return Ok(false);
        }
        users::revoke_invitations(&tx, &email, now).await?;
        let invitation = InvitationId::generate(now);
        queries::insert_invitation(&tx, invitation, &email, Role::Admin, now, now + INVITATION_LIFE).await?;
        outbox::enqueue(&tx, &Effect::MailInvitation { invitation: invitation.0 }, now).await?;
        let facts = Changes::default()
            .personal(invitation.0, "email", None, Some(&email))
            .field("role", Value::Null, Role::Admin.as_str())
            .field("platform_administrator", Value::Null, by.email.to_string());
        let id = UserId(by.administrator.0);
        let event = audit::Event::of_sign_in(id, "invitations.create", "invitation", Some(invitation.0));
        audit::record_as(&tx, event.with(facts), now, origin).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Hashes a new user's password, if it is strong enough given the user's own words and these.
    async fn hash_of_new(&self, user: &NewUser, about: &[&str]) -> Result<String, SignInError> {
        let words = [user.email.as_str(), &user.name].into_iter().chain(about.iter().copied());
        let words = words.map(str::to_owned).collect();
        let hash = self.passwords.hash_if_strong(user.password.clone(), words).await?;
        hash.map_err(|why| SignInError::WeakPassword("password", why))
    }

    async fn new_tenant(
        &self,
        slug: String,
        name: String,
        time_zone: String,
        currency: Currency,
        plan: &str,
        now: Timestamp,
    ) -> Result<NewTenant, SignInError> {
        let directory = self.gate.directory(Scope::directory_public(), Access::Read);
        let offer = tenants::offer(&directory, plan).await?;
        let offer = offer.ok_or(SignInError::Invalid("plan", "There is no such plan."))?;
        directory.end_read();
        let (id, placement) = (TenantId::generate(now), Placement::Shared);
        Ok(NewTenant { id, placement, slug, name, time_zone, currency, offer })
    }

    /// The steps of creating a tenant. Each can be the last before a crash.
    async fn create(
        &self,
        tenant: &NewTenant,
        first: &First<'_>,
        now: Timestamp,
        origin: &Origin,
    ) -> Result<(), SignInError> {
        fault::point("create.nothing");
        // The slug and the login are reserved and have no effect yet.
        let directory = self.gate.directory(Scope::authenticator(tenant.id), Access::Write);
        if !queries::insert_tenant(&directory, tenant, now).await? {
            directory.rollback();
            return Err(SignInError::SlugTaken);
        }
        if let First::Joins { user, new, .. } = first {
            accounts::claim_login(&directory, &new.email, *user, false).await?;
        }
        directory.commit().await?;
        drop(directory);
        fault::point("create.registered");
        if tenant.placement != Placement::Shared {
            self.await_store(tenant).await?;
        }

        let store = self.gate.tenant(Scope::platform(Some(tenant.id)), Access::Write);
        if !tenants::begin(&store, tenant, now).await? {
            store.rollback();
            return Err(DbError::Contention("the tenant was abandoned concurrently".into()).into());
        }
        store.commit().await?;
        drop(store);
        fault::point("create.begun");

        // With its administrator the tenant is complete.
        let store = self.gate.tenant(Scope::authenticator(tenant.id), Access::Write);
        self.add_first(&store, tenant, first, now, origin).await?;
        if !tenants::complete(&store, now).await? {
            store.rollback();
            return Err(DbError::Contention("the tenant was abandoned concurrently".into()).into());
        }
        store.commit().await?;
        drop(store);
        fault::point("create.completed");

        let directory = self.gate.directory(Scope::authenticator(tenant.id), Access::Write);
        queries::activate_tenant(&directory, now).await?;
        directory.commit().await?;
        fault::point("create.activated");
        Ok(())
    }

    /// Waits for the tenant's dedicated store. Only a process with the operator's logins can create it.
    async fn await_store(&self, tenant: &NewTenant) -> Result<(), DbError> {
        self.gate.wakeups().ring_for_stores();
        let deadline = tokio::time::Instant::now() + STORE_LIMIT;
        while !self.gate.is_placed(tenant.id, &tenant.placement).await? {
            if tokio::time::Instant::now() >= deadline {
                return Err(DbError::Unavailable("the tenant's store was not created in time".into()));
            }
            tokio::time::sleep(STORE_PAUSE).await;
        }
        Ok(())
    }

    async fn add_first(
        &self,
        store: &ScopedTx,
        tenant: &NewTenant,
        first: &First<'_>,
        now: Timestamp,
        origin: &Origin,
    ) -> Result<(), DbError> {
        let facts = Changes::default()
            .field("name", Value::Null, tenant.name.clone())
            .field("slug", Value::Null, tenant.slug.clone())
            .field("time_zone", Value::Null, tenant.time_zone.clone())
            .field("currency", Value::Null, tenant.currency.code());
        let actor = match first {
            First::Joins { user, new, hash } => {
                accounts::insert_user(store, *user, &new.email, &new.name, new.role, None, now).await?;
                accounts::insert_credential(store, *user, hash, now).await?;
                users::meter(store, *user, now).await?;
                outbox::enqueue(store, &Effect::MailEmailVerification { user: user.0 }, now).await?;
                user.0
            }
            First::IsInvited { email, by } => {
                let invitation = InvitationId::generate(now);
                queries::insert_invitation(store, invitation, email, Role::Admin, now, now + INVITATION_LIFE).await?;
                outbox::enqueue(store, &Effect::MailInvitation { invitation: invitation.0 }, now).await?;
                by.0
            }
        };
        let event = audit::Event::of_sign_in(UserId(actor), "tenants.create", "tenant", Some(tenant.id.0));
        audit::record_as(store, event.with(facts), now, origin).await
    }

    /// Resolves every tenant whose creation started longer than [`CREATION_LIMIT`] ago and did not finish. A tenant
    /// with its administrator is completed. Any other is abandoned, which frees its slug and email. Returns how many
    /// tenants were found.
    ///
    /// # Errors
    /// When a statement fails. The next call resolves the rest.
    pub async fn finish_or_abandon(&self) -> Result<usize, SignInError> {
        let now = self.clock.now();
        let directory = self.gate.directory(Scope::platform(None), Access::Read);
        let begun = queries::tenants_begun_before(&directory, now - CREATION_LIMIT).await?;
        directory.end_read();
        drop(directory);
        for tenant in &begun {
            // A tenant that cannot be resolved now does not block the others.
            if let Err(error) = self.settle_begun(*tenant, now).await {
                tracing::warn!(?error, tenant.id = %tenant, "an incomplete tenant could not be finished or abandoned");
            }
        }
        Ok(begun.len())
    }

    async fn settle_begun(&self, tenant: TenantId, now: Timestamp) -> Result<(), SignInError> {
        let store = self.gate.tenant(Scope::platform(Some(tenant)), Access::Write);
        let found = match tenants::find(&store).await {
            // The dedicated store was not created, or not reported as ready.
            Err(DbError::TenantNotHere | DbError::StoreMissing) => return self.abandon(tenant, now).await,
            found => found?,
        };
        let is_whole = match found {
            Some(it) if it.status == TenantStatus::Creating => {
                let gone =
                    tenants::Tenant { status: TenantStatus::Deleted, erase_after: Some(now + TOMBSTONE_LIFE), ..it };
                tenants::set_state(&store, &gone, now).await?;
                false
            }
            Some(it) => it.status != TenantStatus::Deleted,
            // Blocks a creation that may still be running.
            None => !queries::insert_tombstone(&store, now + TOMBSTONE_LIFE, now).await?,
        };
        store.commit().await?;
        drop(store);
        if !is_whole {
            return self.abandon(tenant, now).await;
        }
        let directory = self.gate.directory(Scope::platform(Some(tenant)), Access::Write);
        queries::activate_tenant(&directory, now).await?;
        Ok(directory.commit().await?)
    }

    async fn abandon(&self, tenant: TenantId, now: Timestamp) -> Result<(), SignInError> {
        let directory = self.gate.directory(Scope::platform(Some(tenant)), Access::Write);
        queries::delete_logins(&directory).await?;
        queries::leave_store(&directory, uuid_v7(now), now).await?;
        queries::abandon_tenant(&directory, now + TOMBSTONE_LIFE, now).await?;
        Ok(directory.commit().await?)
    }

    /// Queues the registration of a customer with a tenant that has open registration. Whether the email is already
    /// known there is looked up when the mail is written, so that neither the response nor its duration reveals it.
    ///
    /// # Errors
    /// `TenantUnknown`, `NotOpen`, `Invalid` and `WeakPassword`. None of them depends on the email.
    pub async fn register(&self, new: Registration, origin: &Origin) -> Result<(), SignInError> {
        let user = new_user(&new.email, &new.name, Role::User, new.password)?;
        self.count_mail_to(&user.email, origin).await?;
        let directory = self.gate.directory(Scope::directory_authenticator(), Access::Read);
        let tenant = queries::tenant_of_slug(&directory, &new.tenant).await?;
        directory.end_read();
        drop(directory);
        let tenant = tenant.ok_or(SignInError::TenantUnknown)?;
        self.refuse_unless_open(tenant).await?;
        let hash = self.hash_of_new(&user, &[]).await?;

        let now = self.clock.now();
        let id = uuid_v7(now);
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        queries::insert_registration(&tx, id, &user, &hash, now, now + REGISTRATION_LIFE).await?;
        outbox::enqueue_at(&tx, &Effect::ExpireRegistration { registration: id }, now + REGISTRATION_LIFE, now).await?;
        outbox::enqueue(&tx, &Effect::MailRegistration { registration: id }, now).await?;
        // Without the email: its ownership is not proven, and nobody could request its erasure.
        let event = audit::Event::of_work("users.register", "registration", Some(id));
        audit::record_as(&tx, event, now, origin).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn refuse_unless_open(&self, tenant: TenantId) -> Result<(), SignInError> {
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Read);
        let found = known(tenants::find(&tx).await)?;
        // A registration sends mail in the tenant's name to an address that a stranger enters. Only a tenant with a
        // verified administrator may do that.
        let is_proven = users::administrators(&tx).await?.iter().any(|it| it.email_verified_at.is_some());
        tx.end_read();
        match found {
            Some(_) if !is_proven => Err(SignInError::NotOpen),
            // While the tenant is being moved, writes wait.
            Some(it) if matches!(it.status, TenantStatus::Active | TenantStatus::Moving) && it.open_registration => {
                Ok(())
            }
            Some(_) => Err(SignInError::NotOpen),
            None => Err(SignInError::TenantUnknown),
        }
    }

    /// Removes a registration that was not confirmed in time. For background work.
    ///
    /// # Errors
    /// When the statement fails. The effect is retried later.
    pub async fn expire_registration(&self, tenant: TenantId, id: uuid::Uuid) -> Result<(), SignInError> {
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        queries::delete_registration(&tx, id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Turns a registration into a user and starts their session. It requires the password again: a mailbox owner who
    /// did not register must not confirm what a stranger started in their name.
    ///
    /// # Errors
    /// `TokenInvalid`, `WrongCredentials`, `QuotaExceeded`.
    pub async fn confirm_registration(
        &self,
        token: &str,
        password: String,
        origin: &Origin,
    ) -> Result<SignedIn, SignInError> {
        let token = LinkToken::parse(token).ok_or(SignInError::TokenInvalid)?;
        self.count_address(origin).await?;
        let read = self.gate.tenant(Scope::authenticator(token.tenant), Access::Read);
        let found = known(registration_of(&read, &token, self.clock.now()).await)?.ok_or(SignInError::TokenInvalid)?;
        let has_place = users::has_place(&read).await?;
        read.end_read();
        drop(read);
        if !has_place {
            return Err(SignInError::QuotaExceeded);
        }
        self.count_and_look_up(&found.email, origin).await?;
        if !self.passwords.verify(password, Some(found.password_hash.clone())).await? {
            return Err(SignInError::WrongCredentials);
        }
        let now = self.clock.now();
        let user = self.claim(token.tenant, &found.email, now).await?;
        let tx = self.gate.tenant(Scope::authenticator(token.tenant), Access::Write);
        let joined = async {
            if links::use_up(&tx, &token, Purpose::Registration, now).await? != Some(found.id) {
                return Err(SignInError::TokenInvalid);
            }
            if !users::take_place(&tx).await? {
                return Err(SignInError::QuotaExceeded);
            }
            let made = accounts::insert_user(&tx, user, &found.email, &found.name, Role::User, Some(now), now).await?;
            if !made {
                return Err(SignInError::TokenInvalid); // The person joined in another way concurrently.
            }
            accounts::insert_credential(&tx, user, &found.password_hash, now).await?;
            users::meter(&tx, user, now).await?;
            queries::delete_registrations(&tx, &found.email).await?;
            let event = audit::Event::of_sign_in(user, "users.join", "user", Some(user.0));
            audit::record_as(&tx, event.with(facts_of(user, &found.email, Role::User)), now, origin).await?;
            Ok(())
        };
        settle(&tx, joined.await).await?;
        drop(tx);
        self.session_of(token.tenant, user, origin).await
    }

    /// Joins by an invitation, and starts a session. An existing user of the tenant keeps their account and password,
    /// and gets the invited role if it allows more than their own.
    ///
    /// # Errors
    /// `TokenInvalid`, `Invalid`, `WeakPassword`, `QuotaExceeded`.
    pub async fn accept_invitation(&self, new: Acceptance, origin: &Origin) -> Result<SignedIn, SignInError> {
        let token = LinkToken::parse(&new.token).ok_or(SignInError::TokenInvalid)?;
        self.count_address(origin).await?;
        let read = self.gate.tenant(Scope::authenticator(token.tenant), Access::Read);
        let found = known(invitation_of(&read, &token, self.clock.now()).await)?.ok_or(SignInError::TokenInvalid)?;
        // Before anything is claimed; the check is repeated under the lock.
        let is_there = queries::is_user(&read, &found.email).await?;
        let has_place = is_there || users::has_place(&read).await?;
        read.end_read();
        drop(read);
        if !has_place {
            return Err(SignInError::QuotaExceeded);
        }
        let user = new_user(&found.email, &new.name, found.role, new.password)?;
        // The same work whether or not the user exists.
        let hash = self.hash_of_new(&user, &[]).await?;
        let now = self.clock.now();
        let id = self.claim(token.tenant, &user.email, now).await?;
        fault::point("accept.claimed");
        let tx = self.gate.tenant(Scope::authenticator(token.tenant), Access::Write);
        let joined = async {
            if links::use_up(&tx, &token, Purpose::Invitation, now).await? != Some(found.id.0)
                || !queries::accept_invitation(&tx, found.id, now).await?
            {
                return Err(SignInError::TokenInvalid);
            }
            let facts = self.join_by_invitation(&tx, id, &user, &hash, now).await?;
            let event = audit::Event::of_sign_in(id, "invitations.accept", "invitation", Some(found.id.0));
            audit::record_as(&tx, event.with(facts), now, origin).await?;
            Ok(())
        };
        fault::point("accept.uncommitted");
        settle(&tx, joined.await).await?;
        drop(tx);
        fault::point("accept.committed");
        self.session_of(token.tenant, id, origin).await
    }

    /// Creates the invited user, or gives the existing user the invited role. An active user keeps their own role if it
    /// allows more. A deactivated user is reactivated with the invited role. Returns what changed.
    async fn join_by_invitation(
        &self,
        tx: &ScopedTx,
        id: UserId,
        user: &NewUser,
        hash: &str,
        now: Timestamp,
    ) -> Result<Changes, SignInError> {
        // No other transaction changes roles in the meantime.
        users::lock_roles(tx).await?;
        let existing = users::by_ids(tx, &[id]).await?.remove(&id);
        if existing.as_ref().is_none_or(|it| it.status != UserStatus::Active) && !users::take_place(tx).await? {
            return Err(SignInError::QuotaExceeded);
        }
        let Some(before) = existing else {
            accounts::insert_user(tx, id, &user.email, &user.name, user.role, Some(now), now).await?;
            accounts::insert_credential(tx, id, hash, now).await?;
            users::meter(tx, id, now).await?;
            return Ok(facts_of(id, &user.email, user.role));
        };
        let role = match before.status {
            UserStatus::Active => before.role.max(user.role),
            UserStatus::Deactivated => user.role,
            // Their login is about to be removed; then the email is free.
            UserStatus::Erased => {
                return Err(DbError::Contention("the email's previous owner is being erased".into()).into());
            }
        };
        accounts::take_back(tx, id, role, now).await?;
        accounts::verify_email(tx, id, now).await?;
        if before.status != UserStatus::Active {
            users::meter(tx, id, now).await?;
        }
        outbox::enqueue(tx, &Effect::VerifyLogin { user: id.0 }, now).await?;
        Ok(Changes::default().field("role", before.role.as_str(), role.as_str()).field(
            "status",
            before.status.as_str(),
            UserStatus::Active.as_str(),
        ))
    }

    /// Creates a user with a password and no checks: for demo data and tests. A repetition after a crash completes it.
    ///
    /// # Errors
    /// When a statement fails, or the password cannot be hashed now.
    pub async fn enrol(&self, tenant: TenantId, new: NewUser) -> Result<UserId, SignInError> {
        let email = normalise_email(&new.email);
        let hash = self.passwords.hash(new.password).await?;
        let now = self.clock.now();
        let user = self.claim(tenant, &email, now).await?;
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        if accounts::insert_user(&tx, user, &email, &new.name, new.role, Some(now), now).await? {
            accounts::insert_credential(&tx, user, &hash, now).await?;
            users::meter(&tx, user, now).await?;
            let event = audit::Event::of_sign_in(user, "users.join", "user", Some(user.0));
            audit::record_as(&tx, event.with(facts_of(user, &email, new.role)), now, &Origin::default()).await?;
        }
        tx.commit().await?;
        Ok(user)
    }

    /// Registers the email as a login of the tenant. An earlier claim stays: that of an existing user, or of an attempt
    /// to join that did not finish.
    async fn claim(&self, tenant: TenantId, email: &str, now: Timestamp) -> Result<UserId, DbError> {
        let directory = self.gate.directory(Scope::authenticator(tenant), Access::Write);
        let user = accounts::claim_login(&directory, email, UserId::generate(now), true).await?;
        directory.commit().await?;
        Ok(user)
    }

    async fn session_of(&self, tenant: TenantId, user: UserId, origin: &Origin) -> Result<SignedIn, SignInError> {
        let account = self.account(tenant, user).await?.ok_or(SignInError::TokenInvalid)?;
        if account.tenant_suspended {
            return Err(SignInError::TenantSuspended);
        }
        self.begin_session(tenant, account.user, None, origin).await
    }
}

/// Commits a success, rolls back a refusal.
async fn settle(tx: &ScopedTx, result: Result<(), SignInError>) -> Result<(), SignInError> {
    match result {
        Ok(()) => Ok(tx.commit().await?),
        Err(refused) => {
            tx.rollback();
            Err(refused)
        }
    }
}

async fn registration_of(
    tx: &ScopedTx,
    token: &LinkToken,
    now: Timestamp,
) -> Result<Option<queries::PendingRegistration>, DbError> {
    match links::subject_of(tx, token, Purpose::Registration, now).await? {
        Some(id) => queries::registration(tx, id, now).await,
        None => Ok(None),
    }
}

async fn invitation_of(
    tx: &ScopedTx,
    token: &LinkToken,
    now: Timestamp,
) -> Result<Option<queries::PendingInvitation>, DbError> {
    match links::subject_of(tx, token, Purpose::Invitation, now).await? {
        Some(id) => queries::invitation(tx, InvitationId(id), now).await,
        None => Ok(None),
    }
}

/// Removes every registration with this email.
pub(crate) async fn forget_registrations(tx: &ScopedTx, email: &str) -> Result<(), DbError> {
    queries::delete_registrations(tx, email).await
}

/// The recipient of a pending invitation. For background work that writes mails.
pub async fn invited_email(tx: &ScopedTx, id: InvitationId, now: Timestamp) -> Result<Option<String>, DbError> {
    Ok(queries::invitation(tx, id, now).await?.map(|it| it.email))
}

/// The email of a registration, and whether it already belongs to a user. For background work that writes mails.
pub async fn registered(tx: &ScopedTx, id: uuid::Uuid, now: Timestamp) -> Result<Option<(String, bool)>, DbError> {
    let Some(found) = queries::registration(tx, id, now).await? else { return Ok(None) };
    let is_user = queries::is_user(tx, &found.email).await?;
    Ok(Some((found.email, is_user)))
}

fn facts_of(user: UserId, email: &str, role: Role) -> Changes {
    Changes::default().personal(user.0, "email", None, Some(email)).field("role", Value::Null, role.as_str())
}

fn new_user(email: &str, name: &str, role: Role, password: String) -> Result<NewUser, SignInError> {
    let email = checked_email(email, "email")?;
    let name = users::checked_name(name).ok_or(SignInError::Invalid("name", names::RULE))?;
    if let Some(why) = password_policy::unfit_length(&password) {
        return Err(SignInError::WeakPassword("password", why));
    }
    Ok(NewUser { email, name, role, password })
}

/// A validated, normalised email.
pub(crate) fn checked_email(email: &str, field: &'static str) -> Result<String, SignInError> {
    let email = normalise_email(email);
    if is_plausible_email(&email) && crate::base::text::is_address(&email) {
        return Ok(email);
    }
    Err(SignInError::Invalid(field, "Enter a valid email address."))
}

fn checked_slug(slug: &str) -> Result<String, SignInError> {
    let message = "A slug must have 3 to 63 letters a to z, digits or hyphens, and must not be a reserved word.";
    tenants::checked_slug(slug).ok_or(SignInError::Invalid("slug", message))
}
