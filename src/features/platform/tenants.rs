//! Operations on tenants.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    model::{Event, EventKey, Listed, PlatformError, Statistics, TenantFilter, TenantKey, TenantOrder},
    operator::Operator,
    queries,
    upkeep::sync,
};
use crate::{
    base::{
        fault,
        ids::TenantId,
        paging::{Page, Slice},
    },
    core::audit::{self, Changes},
    db::{Access, DbError, ScopedTx},
    features::{
        auth::{SignIn, TenantDraft, operators},
        entitlements::{self, Feature, Override},
        tenants::{self, Isolation, SettingsPatch, Tenant, TenantStatus},
        users::{self, AccessEnd},
    },
};

/// How long a deleted tenant can be restored.
pub const RESTORE_LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Operator<'_> {
    /// A read transaction in the directory.
    pub fn directory(&self) -> ScopedTx {
        self.gate.directory(self.viewer.scope(None), Access::Read)
    }

    /// A page of the tenants.
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
    pub async fn tenant(&self, id: TenantId) -> Result<Option<Listed>, PlatformError> {
        let directory = self.directory();
        let found = queries::tenant(&directory, id).await?;
        directory.end_read();
        Ok(found)
    }

    /// Statistics about the tenants.
    pub async fn statistics(&self) -> Result<Statistics, PlatformError> {
        let since = self.clock.now() - SignedDuration::from_hours(30 * 24);
        let directory = self.directory();
        let found = queries::statistics(&directory, since).await?;
        directory.end_read();
        Ok(found)
    }

    /// A page of the platform's log, newest first.
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

    /// Creates a tenant, and invites its first administrator.
    ///
    /// # Errors
    /// The errors of [`SignIn::create_tenant`], and `Invalid` for a placement that is not allowed.
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

    /// Suspends a tenant: every session is refused from its next request on, until the tenant is active again.
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

    /// Reactivates a suspended tenant.
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

    /// Deletes a tenant: it is no longer served, can be restored for [`RESTORE_LIFE`], and is then erased.
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

    /// Restores a deleted tenant that has not been erased.
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
        if matches!(after.status, TenantStatus::Suspended | TenantStatus::Deleted) {
            users::end_access(&store, None, AccessEnd::Suspended, now).await?;
        }
        let changes = Changes::default()
            .field("status", before.status.as_str(), after.status.as_str())
            .field("reason", before.suspended_reason.clone(), after.suspended_reason.clone())
            .field("erase_after", json!(before.erase_after), json!(after.erase_after));
        self.finish(store, action, changes, now).await
    }

    /// Changes a tenant's settings, as its administrator can.
    ///
    /// # Errors
    /// `NotFound`, and the errors of the settings.
    pub async fn update(&self, id: TenantId, patch: SettingsPatch) -> Result<Listed, PlatformError> {
        let now = self.clock.now();
        let (store, _) = self.enter(id, now).await?;
        let may_brand = entitlements::is_enabled(&store, tenants::settings::BRANDING, now).await?;
        let (_, changes) = tenants::settings::apply(&store, patch, may_brand, now).await?;
        self.finish(store, "tenants.update", changes, now).await
    }

    /// Turns a feature on or off for a tenant, overriding its plan; `None` removes the override.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for an invalid key or an expiry in the past.
    pub async fn set_feature(
        &self,
        id: TenantId,
        key: &str,
        enabled: Option<bool>,
        number: Option<i64>,
        expires_at: Option<Timestamp>,
    ) -> Result<Vec<Feature>, PlatformError> {
        if !entitlements::is_key(key) {
            return Err(PlatformError::Invalid(
                "key",
                "A key must have 1 to 40 letters a to z, digits or underscores.",
            ));
        }
        let now = self.clock.now();
        if expires_at.is_some_and(|it| it <= now) {
            return Err(PlatformError::Invalid("expiresAt", "Must be in the future."));
        }
        if number.is_some_and(|it| it < 0) {
            return Err(PlatformError::Invalid("number", "Must not be negative."));
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

    /// Invites an administrator to a tenant that has no administrator who can sign in.
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

    /// Directory: checks the administrator's session.
    async fn refuse_ended(&self) -> Result<(), DbError> {
        let directory = self.directory();
        operators::refuse_ended(&directory).await?;
        directory.end_read();
        Ok(())
    }

    /// Directory: records the administrator's action.
    async fn note(&self, action: &'static str, tenant: Option<TenantId>, details: &Value) -> Result<(), DbError> {
        let directory = self.gate.directory(self.viewer.scope(tenant), Access::Write);
        operators::note(&directory, self.viewer, action, tenant, details, self.origin, self.clock.now()).await?;
        directory.commit().await
    }

    /// Opens the tenant's store and locks the tenant against concurrent changes by the platform. The directory has
    /// checked the administrator's session and recorded that a copy will be needed.
    pub(super) async fn enter(&self, id: TenantId, now: Timestamp) -> Result<(ScopedTx, Tenant), PlatformError> {
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

    /// Records and commits a change in the store, and copies it to the directory.
    pub(super) async fn finish(
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
