//! Operations on services.

use serde_json::json;

use super::{
    model::{Deleted, Draft, Patch, Service, ServiceError, ServiceFilter, ServiceKey},
    queries,
};
use crate::base::names;
use crate::{
    base::{
        ids::{ResourceId, ServiceId},
        money::Currency,
        paging::{Page, Slice},
    },
    core::{
        audit::{self, Changes},
        identity::{Caller, Role},
    },
    db::{DbError, ScopedTx},
    features::{resources, tenants},
};

/// Maximum length of a description, in characters.
pub const MAX_DESCRIPTION: usize = 5_000;

/// Maximum duration in minutes: one day.
pub const MAX_DURATION_MINUTES: i32 = 1_440;

/// Maximum number of seats.
pub const MAX_CAPACITY: i32 = 100;

/// Maximum buffer in minutes: one day.
pub const MAX_BUFFER_MINUTES: i32 = 1_440;

/// Maximum notice period in minutes: one year.
pub const MAX_NOTICE_MINUTES: i32 = 525_600;

/// Maximum number of days ahead: two years.
pub const MAX_AHEAD_DAYS: i32 = 732;

/// Maximum number of resources of a service.
pub const MAX_LINKS: usize = 100;

/// A page of services, by name.
pub async fn list(
    caller: &Caller<'_>,
    filter: &ServiceFilter,
    page: &Page<ServiceKey>,
) -> Result<Slice<ServiceKey, Service>, DbError> {
    let active = if caller.is_at_least(Role::Staff) { filter.active } else { Some(true) };
    let services = queries::list(caller.tx, active, filter.search.as_deref(), page).await?;
    Ok(page.slice(services.into_iter().map(|service| ((service.name.clone(), service.id.0), service)).collect()))
}

/// Creates a service.
///
/// # Errors
/// See [`ServiceError`].
pub async fn create(caller: &Caller<'_>, draft: Draft) -> Result<Service, ServiceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ServiceError::Forbidden);
    }
    let tenant = tenants::current(caller.tx).await?;
    let draft = draft.checked(tenant.currency)?;
    reserve_place(caller.tx, &tenant).await?;
    let id = ServiceId::generate(caller.clock.now());
    let service = queries::insert(caller.tx, id, &draft, caller.clock.now()).await?.ok_or(ServiceError::NameTaken)?;
    audit::record(caller, "services.create", "service", Some(id.0), changes(None, &service)).await?;
    Ok(service)
}

/// Changes a service. Existing bookings keep their duration and price.
///
/// # Errors
/// See [`ServiceError`].
pub async fn update(caller: &Caller<'_>, id: ServiceId, patch: Patch) -> Result<Service, ServiceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ServiceError::Forbidden);
    }
    tenants::lock_calendar(caller.tx).await?;
    let before = queries::lock(caller.tx, id).await?.ok_or(ServiceError::NotFound)?;
    let tenant = tenants::current(caller.tx).await?;
    let draft = Draft {
        name: patch.name.unwrap_or_else(|| before.name.clone()),
        description: patch.description.unwrap_or_else(|| before.description.clone()),
        duration_minutes: patch.duration_minutes.unwrap_or(before.duration_minutes),
        price: patch.price.unwrap_or(before.price),
        capacity: patch.capacity.unwrap_or(before.capacity),
        requires_confirmation: patch.requires_confirmation.unwrap_or(before.requires_confirmation),
        active: patch.active.unwrap_or(before.active),
        rules: patch.rules.of(before.rules),
    }
    .checked(tenant.currency)?;
    if draft.active && !before.active {
        reserve_place(caller.tx, &tenant).await?;
    }
    let now = caller.clock.now();
    if draft.capacity < before.capacity && queries::has_bookings_beyond(caller.tx, id, draft.capacity, now).await? {
        return Err(ServiceError::SeatsInUse);
    }
    let service = match queries::update(caller.tx, id, &draft, now).await {
        Ok(service) => service.ok_or(ServiceError::NotFound)?,
        Err(error) if error.violates("services_tenant_id_name_key") => return Err(ServiceError::NameTaken),
        Err(error) => return Err(error.into()),
    };
    audit::record(caller, "services.update", "service", Some(id.0), changes(Some(&before), &service)).await?;
    Ok(service)
}

/// Deletes a service that was never booked. A service with bookings is deactivated instead, because its bookings refer
/// to it.
///
/// # Errors
/// See [`ServiceError`].
pub async fn delete(caller: &Caller<'_>, id: ServiceId) -> Result<Deleted, ServiceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ServiceError::Forbidden);
    }
    tenants::lock_calendar(caller.tx).await?;
    // Locked, so that no booking can be created between the check and the deletion.
    let before = queries::lock(caller.tx, id).await?.ok_or(ServiceError::NotFound)?;
    if queries::delete_unbooked(caller.tx, id).await? {
        audit::record(caller, "services.delete", "service", Some(id.0), Changes::default()).await?;
        return Ok(Deleted::Gone(id));
    }
    let draft = Draft { active: false, ..Draft::from(before.clone()) };
    let service = queries::update(caller.tx, id, &draft, caller.clock.now()).await?.ok_or(ServiceError::NotFound)?;
    audit::record(caller, "services.deactivate", "service", Some(id.0), changes(Some(&before), &service)).await?;
    Ok(Deleted::Deactivated(service))
}

/// Sets the resources that can serve a service, and replaces the previous ones. A booking uses one resource of each
/// kind. Existing bookings keep theirs.
///
/// # Errors
/// See [`ServiceError`].
pub async fn set_resources(
    caller: &Caller<'_>,
    id: ServiceId,
    wanted: &[(ResourceId, i16)],
) -> Result<Service, ServiceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ServiceError::Forbidden);
    }
    if wanted.len() > MAX_LINKS {
        return Err(ServiceError::Invalid("resources", format!("A service can have at most {MAX_LINKS} resources.")));
    }
    if wanted.iter().any(|(_, priority)| !(0..=100).contains(priority)) {
        return Err(ServiceError::Invalid("resources", "A priority must be between 0 and 100.".into()));
    }
    tenants::lock_calendar(caller.tx).await?;
    let service = queries::lock(caller.tx, id).await?.ok_or(ServiceError::NotFound)?;
    let ids: Vec<ResourceId> = wanted.iter().map(|(id, _)| *id).collect();
    let known = resources::by_ids(caller.tx, &ids).await?;
    if let Some(place) = ids.iter().position(|id| !known.contains_key(id)) {
        return Err(ServiceError::ResourceNotFound(place));
    }
    let before = queries::links(caller.tx, &[id]).await?.remove(&id).unwrap_or_default();
    // Bookings that use seats and bookings that use resources would not exclude each other.
    let changes_side = before.is_empty() != wanted.is_empty();
    if changes_side && queries::has_claims(caller.tx, id, caller.clock.now()).await? {
        return Err(ServiceError::ResourcesInUse);
    }
    queries::delete_links(caller.tx, id).await?;
    queries::insert_links(caller.tx, id, wanted).await?;
    let changes = Changes::default().field(
        "resources",
        json!(before.iter().map(|it| format!("{} {}", it.resource, it.priority)).collect::<Vec<_>>()),
        json!(wanted.iter().map(|(it, priority)| format!("{it} {priority}")).collect::<Vec<_>>()),
    );
    audit::record(caller, "services.set_resources", "service", Some(id.0), changes).await?;
    Ok(service)
}

/// Reserves a place for one more active service within the plan's limit. Concurrent callers wait until this transaction
/// ends.
async fn reserve_place(tx: &ScopedTx, tenant: &tenants::Tenant) -> Result<(), ServiceError> {
    let Some(limit) = tenant.limits.of("services") else { return Ok(()) };
    queries::lock_count(tx).await?;
    if queries::count_active(tx).await? >= limit {
        return Err(ServiceError::QuotaExceeded);
    }
    Ok(())
}

impl From<Service> for Draft {
    fn from(service: Service) -> Self {
        Self {
            name: service.name,
            description: service.description,
            duration_minutes: service.duration_minutes,
            price: service.price,
            capacity: service.capacity,
            requires_confirmation: service.requires_confirmation,
            active: service.active,
            rules: service.rules,
        }
    }
}

impl Draft {
    fn checked(mut self, currency: Currency) -> Result<Self, ServiceError> {
        let invalid = |field, message: String| Err(ServiceError::Invalid(field, message));
        self.name = names::checked(&self.name).unwrap_or_default();
        self.description = self.description.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        if self.name.is_empty() {
            return invalid("name", names::RULE.to_owned());
        }
        if self.description.as_ref().is_some_and(|it| it.chars().count() > MAX_DESCRIPTION) {
            return invalid("description", format!("A description can have at most {MAX_DESCRIPTION} characters."));
        }
        if !(1..=MAX_DURATION_MINUTES).contains(&self.duration_minutes) {
            return invalid("durationMinutes", format!("A service must take 1 to {MAX_DURATION_MINUTES} minutes."));
        }
        if self.price.minor < 0 {
            return invalid("price.amount", "A price must not be negative.".into());
        }
        if self.price.currency != currency {
            return invalid("price.currency", format!("Prices of this tenant must be in {currency}."));
        }
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return invalid("capacity", format!("A service must have 1 to {MAX_CAPACITY} seats."));
        }
        let rules = &self.rules;
        for (field, minutes) in
            [("bufferBeforeMinutes", rules.buffer_before_minutes), ("bufferAfterMinutes", rules.buffer_after_minutes)]
        {
            if !(0..=MAX_BUFFER_MINUTES).contains(&minutes) {
                return invalid(field, format!("A buffer must be 0 to {MAX_BUFFER_MINUTES} minutes."));
            }
        }
        for (field, minutes) in [
            ("minNoticeMinutes", rules.min_notice_minutes),
            ("cancelNoticeMinutes", rules.cancel_notice_minutes),
            ("rescheduleNoticeMinutes", rules.reschedule_notice_minutes),
        ] {
            if minutes.is_some_and(|it| !(0..=MAX_NOTICE_MINUTES).contains(&it)) {
                return invalid(field, format!("A notice period must be 0 to {MAX_NOTICE_MINUTES} minutes."));
            }
        }
        if rules.slot_step_minutes.is_some_and(|it| !(5..=MAX_DURATION_MINUTES).contains(&it)) {
            return invalid("slotStepMinutes", format!("A step must be 5 to {MAX_DURATION_MINUTES} minutes."));
        }
        if rules.max_ahead_days.is_some_and(|it| !(1..=MAX_AHEAD_DAYS).contains(&it)) {
            return invalid("maxAheadDays", format!("The booking window must be 1 to {MAX_AHEAD_DAYS} days."));
        }
        Ok(self)
    }
}

fn changes(before: Option<&Service>, after: &Service) -> Changes {
    Changes::between(before, after, |it: &Service| {
        [
            ("name", json!(it.name)),
            ("description", json!(it.description)),
            ("duration_minutes", json!(it.duration_minutes)),
            ("price", json!(format!("{} {}", it.price.amount(), it.price.currency))),
            ("capacity", json!(it.capacity)),
            ("requires_confirmation", json!(it.requires_confirmation)),
            ("active", json!(it.active)),
            ("slot_step_minutes", json!(it.rules.slot_step_minutes)),
            ("buffer_before_minutes", json!(it.rules.buffer_before_minutes)),
            ("buffer_after_minutes", json!(it.rules.buffer_after_minutes)),
            ("min_notice_minutes", json!(it.rules.min_notice_minutes)),
            ("max_ahead_days", json!(it.rules.max_ahead_days)),
            ("cancel_notice_minutes", json!(it.rules.cancel_notice_minutes)),
            ("reschedule_notice_minutes", json!(it.rules.reschedule_notice_minutes)),
        ]
    })
}
