//! The operator's side: every tenant of the deployment, seen and kept by platform administrators.
//!
//! What a tenant is stands in its own store; the directory has a copy for lists. So the directory first notes that a copy
//! will be wanted, then the change is made in the store, with an event in the tenant's own audit log, and copied right
//! after. Should that be interrupted, background work finds the note and copies.

pub mod moving;
mod queries;
pub mod selling;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    base::{
        clock::Clock,
        fault,
        ids::{AdministratorId, PlanId, TenantId, uuid_v7},
        paging::{Page, Slice, TimeKey},
    },
    core::{
        audit::{self, Changes},
        identity::{Origin, PlatformViewer},
    },
    db::{Access, DbError, Gate, Placement, Scope, ScopedTx},
    features::{
        auth::{SignIn, SignInError, TenantDraft, operators},
        billing::{BillingError, Engine, invoices::InvoiceError, plans::PlanError},
        entitlements::{self, Feature, Override},
        tenants::{self, Isolation, SettingsError, SettingsPatch, Tenant, TenantStatus},
    },
};
use moving::{MoveState, Places};

/// How long whoever changes a tenant has to copy the change, before background work does: longer than any request.
const COPY_LIMIT: SignedDuration = SignedDuration::from_secs(60);
/// How long a deleted tenant can be restored.
pub const RESTORE_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A tenant, as the directory knows it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Everywhere.
    pub id: TenantId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// How its data is kept apart.
    pub isolation: Isolation,
    /// What it has subscribed to.
    pub plan: Option<PlanId>,
    /// Why it is suspended.
    pub suspended_reason: Option<String>,
    /// When it is erased for good.
    pub erase_after: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a list of tenants is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TenantOrder {
    /// Newest first.
    #[default]
    CreatedAtDesc,
    /// Oldest first.
    CreatedAtAsc,
    /// By name.
    NameAsc,
    /// By name, backwards.
    NameDesc,
}

/// Sort key of a list of tenants: what it is sorted by, as text, and the id.
pub type TenantKey = (String, Uuid);

/// Which tenants a list holds. An empty filter holds all.
#[derive(Clone, Debug, Default)]
pub struct TenantFilter {
    /// Only these.
    pub statuses: Option<Vec<TenantStatus>>,
    /// Only those on the plan with this key.
    pub plan: Option<String>,
    /// Only those whose name or slug contains this, whatever the case.
    pub search: Option<String>,
}

/// How many tenants there are.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// By status.
    pub by_status: Vec<(TenantStatus, i64)>,
    /// Those that are not deleted, by the key of their plan.
    pub by_plan: Vec<(String, i64)>,
    /// Made in the last thirty days, and not deleted.
    pub new_in_thirty_days: i64,
}

/// One line of the platform's log.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who; `None` for the command line, background work and failed sign-ins.
    pub administrator: Option<AdministratorId>,
    /// Feature and verb.
    pub action: String,
    /// To which tenant.
    pub tenant: Option<TenantId>,
    /// More of it.
    pub details: Value,
    /// From where.
    pub address: Option<String>,
}

/// Sort key of the platform's log, newest first.
pub type EventKey = TimeKey;

/// Why something could not be done to a tenant.
#[derive(Debug)]
pub enum PlatformError {
    /// There is no such tenant.
    NotFound,
    /// There is no such plan.
    PlanNotFound,
    /// The tenant has an administrator, who invites by himself.
    HasAdministrator,
    /// A tenant in this status is not brought into that one.
    InvalidTransition(TenantStatus),
    /// A value is out of its bounds: which field, and what it has to be.
    Invalid(&'static str, &'static str),
    /// What the price list says.
    Plan(PlanError),
    /// What an invoice says.
    Invoice(InvoiceError),
    /// What billing says.
    Billing(BillingError),
    /// There is no such event that was given up.
    NoSuchEvent,
    /// The tenant is being moved already.
    IsMoving,
    /// There is no such move.
    NoSuchMove,
    /// The move is in this state, from which there is no way back.
    MoveIsOver(MoveState),
    /// What signing in says.
    SignIn(SignInError),
    /// What settings say.
    Settings(SettingsError),
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for PlatformError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<PlanError> for PlatformError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<InvoiceError> for PlatformError {
    fn from(error: InvoiceError) -> Self {
        Self::Invoice(error)
    }
}

impl From<BillingError> for PlatformError {
    fn from(error: BillingError) -> Self {
        Self::Billing(error)
    }
}

impl From<SignInError> for PlatformError {
    fn from(error: SignInError) -> Self {
        Self::SignIn(error)
    }
}

impl From<SettingsError> for PlatformError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error)
    }
}

/// A platform administrator at work. Every transaction of his in the directory looks at his session.
#[derive(Clone, Copy)]
pub struct Operator<'a> {
    /// Opens his transactions: those of many tenants are no single one's.
    pub gate: &'a Gate,
    /// Who he is.
    pub viewer: &'a PlatformViewer,
    /// What time it is.
    pub clock: &'a Clock,
    /// Where the request came from.
    pub origin: &'a Origin,
    /// Bills.
    pub billing: &'a Engine,
    /// Where tenants may be.
    pub places: &'a Places,
}

impl Operator<'_> {
    /// The directory, to read.
    pub fn directory(&self) -> ScopedTx {
        self.gate.directory(self.viewer.scope(None), Access::Read)
    }

    /// A page of the tenants.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn tenants(
        &self,
        filter: &TenantFilter,
        order: TenantOrder,
        page: &Page<TenantKey>,
    ) -> Result<Slice<TenantKey, Listed>, PlatformError> {
        let directory = self.directory();
        let found = queries::tenants(&directory, filter, order, page).await?;
        directory.end_read();
        Ok(page.slice(found.into_iter().map(|it| (order.key(&it), it)).collect()))
    }

    /// One tenant.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn tenant(&self, id: TenantId) -> Result<Option<Listed>, PlatformError> {
        let directory = self.directory();
        let found = queries::tenant(&directory, id).await?;
        directory.end_read();
        Ok(found)
    }

    /// How many tenants there are.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn statistics(&self) -> Result<Statistics, PlatformError> {
        let since = self.clock.now() - SignedDuration::from_hours(30 * 24);
        let directory = self.directory();
        let found = queries::statistics(&directory, since).await?;
        directory.end_read();
        Ok(found)
    }

    /// A page of the platform's log, newest first.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn events(&self, page: &Page<EventKey>) -> Result<Slice<EventKey, Event>, PlatformError> {
        let directory = self.directory();
        let found = queries::events(&directory, page).await?;
        directory.end_read();
        Ok(page.slice(found.into_iter().map(|it| ((it.at, it.id), it)).collect()))
    }

    /// Every feature of one tenant.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn features(&self, id: TenantId) -> Result<Vec<Feature>, PlatformError> {
        self.tenant(id).await?.ok_or(PlatformError::NotFound)?;
        let store = self.gate.tenant(self.viewer.scope(Some(id)), Access::Read);
        let found = match entitlements::all(&store, self.clock.now()).await {
            Err(DbError::TenantNotHere) => Err(PlatformError::NotFound),
            other => Ok(other?),
        };
        store.end_read();
        found
    }

    /// Makes a tenant, and invites its first administrator.
    ///
    /// # Errors
    /// What [`SignIn::create_tenant`] says, and `Invalid` for where it cannot be.
    pub async fn create(
        &self,
        sign_in: &SignIn,
        draft: TenantDraft,
        isolation: Isolation,
        url: Option<&str>,
    ) -> Result<Listed, PlatformError> {
        self.refuse_ended().await?;
        let details = json!({ "slug": draft.slug, "isolation": isolation.as_str() });
        let id = TenantId::generate(self.clock.now());
        let placement = self.places.new_place(isolation, url, id)?;
        let id = sign_in.create_tenant(id, placement, draft, self.viewer.administrator, self.origin).await?;
        self.note("tenants.create", Some(id), &details).await?;
        self.tenant(id).await?.ok_or(PlatformError::NotFound)
    }

    /// Nobody of the tenant may do anything until it is active again: every session is refused at its next request.
    ///
    /// # Errors
    /// `NotFound`, `InvalidTransition`, `Invalid` without a reason.
    pub async fn suspend(&self, id: TenantId, reason: &str) -> Result<Listed, PlatformError> {
        let reason = operators::checked_reason(reason)?.to_owned();
        self.change(id, "tenants.suspend", |tenant, _| {
            if tenant.status != TenantStatus::Active {
                return Err(PlatformError::InvalidTransition(tenant.status));
            }
            Ok(Tenant { status: TenantStatus::Suspended, suspended_reason: Some(reason), ..tenant })
        })
        .await
    }

    /// Serves a suspended tenant again.
    ///
    /// # Errors
    /// `NotFound`, `InvalidTransition`.
    pub async fn activate(&self, id: TenantId) -> Result<Listed, PlatformError> {
        self.change(id, "tenants.activate", |tenant, _| {
            if tenant.status != TenantStatus::Suspended {
                return Err(PlatformError::InvalidTransition(tenant.status));
            }
            Ok(Tenant { status: TenantStatus::Active, suspended_reason: None, ..tenant })
        })
        .await
    }

    /// Deletes a tenant: it is not served from now on, can be restored for [`RESTORE_LIFE`], and is erased then.
    ///
    /// # Errors
    /// `NotFound`, `InvalidTransition`.
    pub async fn delete(&self, id: TenantId) -> Result<Listed, PlatformError> {
        self.change(id, "tenants.delete", |tenant, now| {
            if !matches!(tenant.status, TenantStatus::Active | TenantStatus::Suspended) {
                return Err(PlatformError::InvalidTransition(tenant.status));
            }
            Ok(Tenant { status: TenantStatus::Deleted, erase_after: Some(now + RESTORE_LIFE), ..tenant })
        })
        .await
    }

    /// Serves a deleted tenant again that was not erased yet.
    ///
    /// # Errors
    /// `NotFound`, `InvalidTransition`.
    pub async fn restore(&self, id: TenantId) -> Result<Listed, PlatformError> {
        self.change(id, "tenants.restore", |tenant, now| {
            if tenant.status != TenantStatus::Deleted || tenant.erase_after.is_some_and(|it| it <= now) {
                return Err(PlatformError::InvalidTransition(tenant.status));
            }
            Ok(Tenant { status: TenantStatus::Active, erase_after: None, suspended_reason: None, ..tenant })
        })
        .await
    }

    async fn change(
        &self,
        id: TenantId,
        action: &'static str,
        to: impl FnOnce(Tenant, Timestamp) -> Result<Tenant, PlatformError>,
    ) -> Result<Listed, PlatformError> {
        let now = self.clock.now();
        let (store, before) = self.enter(id, now).await?;
        let after = to(before.clone(), now)?;
        tenants::set_state(&store, &after, now).await?;
        let changes = Changes::default()
            .field("status", before.status.as_str(), after.status.as_str())
            .field("reason", before.suspended_reason.clone(), after.suspended_reason.clone())
            .field("erase_after", json!(before.erase_after), json!(after.erase_after));
        self.finish(store, action, changes, now).await
    }

    /// Changes a tenant's settings as its administrator can.
    ///
    /// # Errors
    /// `NotFound`, and what settings say.
    pub async fn update(&self, id: TenantId, patch: SettingsPatch) -> Result<Listed, PlatformError> {
        let now = self.clock.now();
        let (store, _) = self.enter(id, now).await?;
        let may_brand = entitlements::is_enabled(&store, tenants::settings::BRANDING, now).await?;
        let (_, changes) = tenants::settings::apply(&store, patch, may_brand, now).await?;
        self.finish(store, "tenants.update", changes, now).await
    }

    /// Switches a feature on or off for a tenant, whatever its plan says; `None` leaves it to the plan again.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for what can be no key, or an end that has passed.
    pub async fn set_feature(
        &self,
        id: TenantId,
        key: &str,
        enabled: Option<bool>,
        number: Option<i64>,
        expires_at: Option<Timestamp>,
    ) -> Result<Vec<Feature>, PlatformError> {
        if !entitlements::is_key(key) {
            return Err(PlatformError::Invalid("key", "A key has 1 to 40 letters a to z, digits and underscores."));
        }
        let now = self.clock.now();
        if expires_at.is_some_and(|it| it <= now) {
            return Err(PlatformError::Invalid("expiresAt", "It must be in the future."));
        }
        if number.is_some_and(|it| it < 0) {
            return Err(PlatformError::Invalid("number", "It must not be negative."));
        }
        let (store, _) = self.enter(id, now).await?;
        let before = entitlements::is_enabled(&store, key, now).await?;
        let setting = enabled.map(|enabled| Override { key: key.to_owned(), enabled, number, expires_at });
        entitlements::set(&store, key, setting.as_ref(), now).await?;
        let features = entitlements::all(&store, now).await?;
        let after = features.iter().any(|it| it.key == key && it.enabled);
        let changes = Changes::default().field("key", Value::Null, key).field("enabled", before, after);
        let changes =
            changes.field("number", Value::Null, json!(number)).field("expires_at", Value::Null, json!(expires_at));
        self.finish(store, "tenants.set_feature", changes, now).await?;
        Ok(features)
    }

    /// Invites somebody to administer a tenant that has no administrator who can sign in.
    ///
    /// # Errors
    /// `NotFound`, `HasAdministrator`, `Invalid`.
    pub async fn invite_administrator(
        &self,
        sign_in: &SignIn,
        id: TenantId,
        email: &str,
    ) -> Result<Listed, PlatformError> {
        self.tenant(id).await?.ok_or(PlatformError::NotFound)?;
        if !sign_in.invite_administrator(id, email, self.viewer, self.origin).await? {
            return Err(PlatformError::HasAdministrator);
        }
        self.note("tenants.invite_administrator", Some(id), &json!({})).await?;
        self.tenant(id).await?.ok_or(PlatformError::NotFound)
    }

    /// Directory: looks at his session.
    async fn refuse_ended(&self) -> Result<(), DbError> {
        let directory = self.directory();
        operators::refuse_ended(&directory).await?;
        directory.end_read();
        Ok(())
    }

    /// Directory: notes what he did.
    async fn note(&self, action: &'static str, tenant: Option<TenantId>, details: &Value) -> Result<(), DbError> {
        let directory = self.gate.directory(self.viewer.scope(tenant), Access::Write);
        operators::note(&directory, self.viewer, action, tenant, details, self.origin, self.clock.now()).await?;
        directory.commit().await
    }

    /// The tenant's store, with the tenant as it is; nobody else of the platform changes it meanwhile. The directory has
    /// looked at his session, and knows that a copy will be wanted.
    async fn enter(&self, id: TenantId, now: Timestamp) -> Result<(ScopedTx, Tenant), PlatformError> {
        let directory = self.gate.directory(self.viewer.scope(Some(id)), Access::Write);
        let known = queries::want_copy(&directory, now).await?;
        directory.commit().await?;
        drop(directory);
        if !known {
            return Err(PlatformError::NotFound);
        }
        let store = self.gate.tenant(self.viewer.scope(Some(id)), Access::Write);
        tenants::lock(&store).await?;
        let tenant = tenants::find(&store).await?.ok_or(PlatformError::NotFound)?;
        Ok((store, tenant))
    }

    /// Records and commits what was done in the store, and copies it to the directory.
    async fn finish(
        &self,
        store: ScopedTx,
        action: &'static str,
        changes: Changes,
        now: Timestamp,
    ) -> Result<Listed, PlatformError> {
        let id = store.tenant();
        let changes = changes.field("platform_administrator", Value::Null, self.viewer.email.to_string());
        let event = audit::Event::of_platform(Some(self.viewer.administrator.0), action, Some(id.0));
        audit::record_as(&store, event.with(changes), now, self.origin).await?;
        fault::point("platform.uncommitted");
        store.commit().await?;
        drop(store);
        fault::point("platform.committed");
        sync(self.gate, id, now).await?;
        self.note(action, Some(id), &json!({})).await?;
        self.tenant(id).await?.ok_or(PlatformError::NotFound)
    }
}

impl TenantOrder {
    fn key(self, tenant: &Listed) -> TenantKey {
        let text = match self {
            Self::CreatedAtAsc | Self::CreatedAtDesc => tenant.created_at.to_string(),
            Self::NameAsc | Self::NameDesc => tenant.name.clone(),
        };
        (text, tenant.id.0)
    }
}

/// Keys of these plans, for whoever shows them.
///
/// # Errors
/// When the statement fails.
pub async fn plan_keys(directory: &ScopedTx) -> Result<HashMap<PlanId, String>, DbError> {
    queries::plan_keys(directory).await
}

/// The tenant with this slug.
///
/// # Errors
/// When the statement fails.
pub async fn by_slug(directory: &ScopedTx, slug: &str) -> Result<Option<TenantId>, DbError> {
    queries::id_of_slug(directory, slug).await
}

/// Copies what a tenant's own store says to the directory. Done again it changes nothing, and an older copy never
/// replaces a newer one.
///
/// # Errors
/// When a statement fails.
pub async fn sync(gate: &Gate, id: TenantId, wanted_before: Timestamp) -> Result<(), DbError> {
    let store = gate.tenant(Scope::platform(Some(id)), Access::Read);
    let tenant = tenants::find(&store).await?;
    store.end_read();
    drop(store);
    let Some(tenant) = tenant else { return Ok(()) };
    if tenant.status == TenantStatus::Moving {
        return Ok(()); // What it is else is not told here; background work copies it once the move is over.
    }
    let directory = gate.directory(Scope::worker(id), Access::Write);
    queries::copy(&directory, &tenant).await?;
    queries::copied(&directory, wanted_before).await?;
    directory.commit().await
}

/// Copies every tenant whose change was not copied in time, because whoever made it was interrupted. Returns how many.
///
/// # Errors
/// When a statement fails; then the rest is copied by the next call.
pub async fn copy_wanted(gate: &Gate, now: Timestamp) -> Result<usize, DbError> {
    let before = now - COPY_LIMIT;
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let wanted = queries::wanted(&directory, before).await?;
    directory.end_read();
    drop(directory);
    for id in &wanted {
        if let Err(error) = sync(gate, *id, before).await {
            tracing::warn!(%error, tenant.id = %id, "a change of a tenant cannot be copied to the directory");
        }
    }
    Ok(wanted.len())
}

/// Every tenant that may have background work.
///
/// # Errors
/// When the statement fails.
pub async fn served_tenants(gate: &Gate) -> Result<Vec<TenantId>, DbError> {
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let found = queries::served(&directory).await?;
    directory.end_read();
    Ok(found)
}

/// Erases every tenant whose time to be restored is over, and returns how many. For background work.
///
/// # Errors
/// When a statement fails; then the rest is erased by the next call.
pub async fn erase_expired(gate: &Gate, now: Timestamp) -> Result<usize, DbError> {
    let directory = gate.directory(Scope::platform(None), Access::Read);
    let expired = queries::expired(&directory).await?;
    directory.end_read();
    drop(directory);
    for id in &expired {
        // One that cannot be erased now holds none of the others up.
        if let Err(error) = erase(gate, *id, now).await {
            tracing::warn!(%error, tenant.id = %id, "a deleted tenant cannot be erased");
        }
    }
    Ok(expired.len())
}

async fn erase(gate: &Gate, id: TenantId, now: Timestamp) -> Result<(), DbError> {
    let store = gate.tenant(Scope::platform(Some(id)), Access::Write);
    tenants::erase(&store).await?;
    // Restored, or not erased for another reason: the directory keeps it.
    let is_gone = tenants::find(&store).await?.is_none();
    store.commit().await?;
    drop(store);
    if is_gone {
        let directory = gate.directory(Scope::platform(Some(id)), Access::Write);
        // A store of its own has nothing in it any more, and goes too.
        if let Some(own @ Placement::Own(..)) = moving::queries::placement(&directory).await? {
            moving::queries::leave(&directory, uuid_v7(now), id, &own, now).await?;
            moving::queries::leave(&directory, uuid_v7(now), id, &Placement::Shared, now).await?;
        }
        queries::delete(&directory).await?;
        operators::note_work(&directory, "tenants.erase", id, now).await?;
        directory.commit().await?;
    }
    Ok(())
}
