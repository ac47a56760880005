//! Signing up, accepting invitations, founding tenants.

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

/// How long an invitation is good.
pub const INVITATION_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long a registration waits to be confirmed.
const REGISTRATION_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// How long a tenant's own store may take to be made: less than a request may take.
const STORE_LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked whether it was.
const STORE_PAUSE: Duration = Duration::from_millis(25);

/// How long whoever makes a tenant has for it, before what there is of it is finished or abandoned: longer than any
/// request may take.
pub const CREATION_LIMIT: SignedDuration = SignedDuration::from_secs(60);

/// How long a tenant that was abandoned keeps whoever may still be at it from going on.
const TOMBSTONE_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// The plan of whoever signs up.
pub const FIRST_PLAN: &str = "free";

/// The first administrator of a new tenant.
enum First<'a> {
    Joins { user: UserId, new: &'a NewUser, hash: &'a str },
    IsInvited { email: &'a str, by: AdministratorId },
}

impl SignIn {
    /// Makes a tenant and its first administrator, and begins his session.
    ///
    /// # Errors
    /// `SlugTaken`, `Invalid` and `WeakPassword`; nothing is there then.
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

    /// Makes a tenant at this place, whose first administrator is invited. For platform administrators.
    ///
    /// # Errors
    /// `SlugTaken`, `Invalid`; nothing is there then.
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

    /// Invites somebody to administer a tenant, for the platform; `false` when it has an administrator who can sign in. An
    /// older invitation of the same e-mail is out of force.
    ///
    /// # Errors
    /// `Invalid` for what is no e-mail.
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

    /// The hash of a new user's password, where it is good enough beside the user's own words and these.
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

    /// The steps of making a tenant. Each can be the last before a crash.
    async fn create(
        &self,
        tenant: &NewTenant,
        first: &First<'_>,
        now: Timestamp,
        origin: &Origin,
    ) -> Result<(), SignInError> {
        fault::point("create.nothing");
        // The slug and the login are taken, and mean nothing yet.
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
            return Err(DbError::Contention("the tenant was abandoned meanwhile".into()).into());
        }
        store.commit().await?;
        drop(store);
        fault::point("create.begun");

        // With its administrator the tenant is whole.
        let store = self.gate.tenant(Scope::authenticator(tenant.id), Access::Write);
        self.add_first(&store, tenant, first, now, origin).await?;
        if !tenants::complete(&store, now).await? {
            store.rollback();
            return Err(DbError::Contention("the tenant was abandoned meanwhile".into()).into());
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

    /// A store of its own is made by whoever has the operator's logins.
    async fn await_store(&self, tenant: &NewTenant) -> Result<(), DbError> {
        self.gate.wakeups().ring_for_stores();
        let deadline = tokio::time::Instant::now() + STORE_LIMIT;
        while !self.gate.is_placed(tenant.id, &tenant.placement).await? {
            if tokio::time::Instant::now() >= deadline {
                return Err(DbError::Unavailable("nobody has made the tenant's store in time".into()));
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

    /// Settles every tenant whose making was begun longer ago than [`CREATION_LIMIT`] and did not end: one that has its
    /// administrator is finished, any other abandoned, and its slug and e-mail are free again. Returns how many.
    ///
    /// # Errors
    /// When a statement fails; then the rest is settled by the next call.
    pub async fn finish_or_abandon(&self) -> Result<usize, SignInError> {
        let now = self.clock.now();
        let directory = self.gate.directory(Scope::platform(None), Access::Read);
        let begun = queries::tenants_begun_before(&directory, now - CREATION_LIMIT).await?;
        directory.end_read();
        drop(directory);
        for tenant in &begun {
            // One that cannot be settled now holds none of the others up.
            if let Err(error) = self.settle_begun(*tenant, now).await {
                tracing::warn!(?error, tenant.id = %tenant, "a tenant that was begun cannot be settled");
            }
        }
        Ok(begun.len())
    }

    async fn settle_begun(&self, tenant: TenantId, now: Timestamp) -> Result<(), SignInError> {
        let store = self.gate.tenant(Scope::platform(Some(tenant)), Access::Write);
        let found = match tenants::find(&store).await {
            // Its own store was not made, or not said to be.
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
            // Stands in the way of whoever may still be at it.
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

    /// Notes that a customer wants to join a tenant with open registration. Whether his e-mail is known there is looked
    /// up when the mail is written, so that neither the answer nor its work tells.
    ///
    /// # Errors
    /// `TenantUnknown`, `NotOpen`, `Invalid` and `WeakPassword`, which none of them depend on the e-mail.
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
        // Without the e-mail: whose it is was not shown, and nobody could ever ask that it be erased.
        let event = audit::Event::of_work("users.register", "registration", Some(id));
        audit::record_as(&tx, event, now, origin).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn refuse_unless_open(&self, tenant: TenantId) -> Result<(), SignInError> {
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Read);
        let found = known(tenants::find(&tx).await)?;
        // What a registration sends, it sends in the tenant's name to whom somebody else names: nobody unproven has that done.
        let is_proven = users::administrators(&tx).await?.iter().any(|it| it.email_verified_at.is_some());
        tx.end_read();
        match found {
            Some(_) if !is_proven => Err(SignInError::NotOpen),
            // While it is being moved, whoever writes waits.
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
    /// When the statement fails; then it is tried again later.
    pub async fn expire_registration(&self, tenant: TenantId, id: uuid::Uuid) -> Result<(), SignInError> {
        let tx = self.gate.tenant(Scope::authenticator(tenant), Access::Write);
        queries::delete_registration(&tx, id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Makes a registration a user and begins his session. The password is asked for again: whoever reads the mailbox but
    /// did not register must not confirm what somebody else began in his name.
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
                return Err(SignInError::TokenInvalid); // He joined in another way meanwhile.
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

    /// Joins by an invitation, and begins a session. Who is a user of the tenant already keeps his account, with his
    /// password; he gets the invited role where it allows more than his own.
    ///
    /// # Errors
    /// `TokenInvalid`, `Invalid`, `WeakPassword`, `QuotaExceeded`.
    pub async fn accept_invitation(&self, new: Acceptance, origin: &Origin) -> Result<SignedIn, SignInError> {
        let token = LinkToken::parse(&new.token).ok_or(SignInError::TokenInvalid)?;
        self.count_address(origin).await?;
        let read = self.gate.tenant(Scope::authenticator(token.tenant), Access::Read);
        let found = known(invitation_of(&read, &token, self.clock.now()).await)?.ok_or(SignInError::TokenInvalid)?;
        // Before anything is claimed; it is looked at again where it counts.
        let is_there = queries::is_user(&read, &found.email).await?;
        let has_place = is_there || users::has_place(&read).await?;
        read.end_read();
        drop(read);
        if !has_place {
            return Err(SignInError::QuotaExceeded);
        }
        let user = new_user(&found.email, &new.name, found.role, new.password)?;
        // Whether the user is there already or not: the same work.
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

    /// Makes the invited person a user, or gives the user that he is the invited role: one who is active keeps his own where
    /// it allows more, one who was let go is had back as what he was invited as. Returns what changed.
    async fn join_by_invitation(
        &self,
        tx: &ScopedTx,
        id: UserId,
        user: &NewUser,
        hash: &str,
        now: Timestamp,
    ) -> Result<Changes, SignInError> {
        // Nobody changes roles meanwhile.
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
            // His login is about to be forgotten; then the e-mail is free.
            UserStatus::Erased => {
                return Err(DbError::Contention("the e-mail's former owner is being erased".into()).into());
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

    /// Makes a user with a password, with no question asked: for demo data and tests. Done again after a crash, it
    /// completes what was begun.
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

    /// Makes the e-mail a login of the tenant. An earlier claim stands: that of a user who is there, or of an attempt to
    /// join that did not end.
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

/// Commits what succeeded, undoes what was refused.
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

/// Removes every registration with this e-mail.
///
/// # Errors
/// When the statement fails.
pub(crate) async fn forget_registrations(tx: &ScopedTx, email: &str) -> Result<(), DbError> {
    queries::delete_registrations(tx, email).await
}

/// For background work that writes mails: to whom an invitation goes, while it is pending.
///
/// # Errors
/// When the statement fails.
pub async fn invited_email(tx: &ScopedTx, id: InvitationId, now: Timestamp) -> Result<Option<String>, DbError> {
    Ok(queries::invitation(tx, id, now).await?.map(|it| it.email))
}

/// For background work that writes mails: who registered, by e-mail, and whether he is a user already.
///
/// # Errors
/// When a statement fails.
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

/// An e-mail in its one form.
pub(crate) fn checked_email(email: &str, field: &'static str) -> Result<String, SignInError> {
    let email = normalise_email(email);
    if is_plausible_email(&email) && crate::base::text::is_address(&email) {
        return Ok(email);
    }
    Err(SignInError::Invalid(field, "This is no e-mail address."))
}

fn checked_slug(slug: &str) -> Result<String, SignInError> {
    let message = "A slug has 3 to 63 letters a to z, digits and hyphens, and is not a reserved word.";
    tenants::checked_slug(slug).ok_or(SignInError::Invalid("slug", message))
}
