//! What a tenant offers for booking.

pub mod graphql;
pub mod loaders;
mod queries;

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::{self, Changes},
    auth::{Caller, Role},
    db::{DbError, Row, ScopedTx},
    ids::{ResourceId, ServiceId},
    money::{Currency, Money},
    paging::{Page, Slice},
    resources::{self, ResourceKind},
    tenants::{self, BookingRules},
};

/// Longest name of a service, in characters.
pub const MAX_NAME: usize = 200;
/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 5_000;
/// Longest duration: one day.
pub const MAX_DURATION_MINUTES: i32 = 1_440;
/// Most seats.
pub const MAX_CAPACITY: i32 = 100;

/// Longest buffer: one day.
pub const MAX_BUFFER_MINUTES: i32 = 1_440;
/// Longest notice: a year.
pub const MAX_NOTICE_MINUTES: i32 = 525_600;
/// Furthest ahead: two years.
pub const MAX_AHEAD_DAYS: i32 = 732;
/// Most resources of a service.
pub const MAX_LINKS: usize = 100;

/// Something that can be booked.
#[derive(Clone, Debug)]
pub struct Service {
    /// Within the tenant.
    pub id: ServiceId,
    /// Unique within the tenant.
    pub name: String,
    /// For customers.
    pub description: Option<String>,
    /// How long a booking takes.
    pub duration_minutes: i32,
    /// Of one booking.
    pub price: Money,
    /// How many bookings may stand at the same time.
    pub capacity: i32,
    /// Whether a booking waits until staff confirm it.
    pub requires_confirmation: bool,
    /// Whether it can be booked.
    pub active: bool,
    /// What it asks for beside its duration.
    pub rules: Rules,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a service asks for beside its duration. `None` takes the tenant's rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Customers book at so many minutes after opening, or a multiple; `None`: at any time.
    pub slot_step_minutes: Option<i32>,
    /// Minutes before its start for which a booking holds its resources.
    pub buffer_before_minutes: i32,
    /// Minutes after its end for which a booking holds its resources.
    pub buffer_after_minutes: i32,
    /// Minutes before its start until which a customer can book.
    pub min_notice_minutes: Option<i32>,
    /// Days ahead that a customer can book.
    pub max_ahead_days: Option<i32>,
    /// Minutes before its start until which a customer can cancel.
    pub cancel_notice_minutes: Option<i32>,
    /// Minutes before its start until which a customer can move it; `None`: as for cancelling.
    pub reschedule_notice_minutes: Option<i32>,
}

/// The rules of a service over those of its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveRules {
    /// Minutes before its start until which a customer can book.
    pub min_notice_minutes: i32,
    /// Days ahead that a customer can book.
    pub max_ahead_days: i32,
    /// Minutes before its start until which a customer can cancel.
    pub cancel_notice_minutes: i32,
    /// Minutes before its start until which a customer can move it.
    pub reschedule_notice_minutes: i32,
}

impl Rules {
    /// With the tenant's where the service has none.
    pub fn over(&self, tenant: &BookingRules) -> EffectiveRules {
        let cancel_notice_minutes = self.cancel_notice_minutes.unwrap_or(tenant.cancel_notice_minutes);
        EffectiveRules {
            min_notice_minutes: self.min_notice_minutes.unwrap_or(tenant.min_notice_minutes),
            max_ahead_days: self.max_ahead_days.unwrap_or(tenant.max_ahead_days),
            cancel_notice_minutes,
            reschedule_notice_minutes: self.reschedule_notice_minutes.unwrap_or(cancel_notice_minutes),
        }
    }
}

/// A resource that can serve a service.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Which.
    pub resource: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// Taken first where it is higher.
    pub priority: i16,
    /// Whether it can be booked.
    pub active: bool,
}

/// What [`Service::read_at`] reads, of a statement on `services`.
macro_rules! service_columns {
    () => {
        "id, name, description, duration_minutes, price_minor, currency, capacity, requires_confirmation, active, created_at,
            buffer_before_minutes, buffer_after_minutes, min_notice_minutes, max_ahead_days, cancel_notice_minutes,
            reschedule_notice_minutes, slot_step_minutes"
    };
}
pub(crate) use service_columns;

impl Service {
    /// From a row that holds `service_columns!` and nothing before them.
    fn read(row: &Row) -> Result<Self, DbError> {
        Self::read_at(row, 0)
    }

    /// The same, from this column on: for statements that join services.
    ///
    /// # Errors
    /// When a column does not hold what it should.
    pub fn read_at(row: &Row, first: usize) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get(first),
            name: row.get(first + 1),
            description: row.get(first + 2),
            duration_minutes: row.get(first + 3),
            price: Money { minor: row.get(first + 4), currency: row.try_get(first + 5)? },
            capacity: row.get(first + 6),
            requires_confirmation: row.get(first + 7),
            active: row.get(first + 8),
            created_at: row.get(first + 9),
            rules: Rules {
                buffer_before_minutes: row.get(first + 10),
                buffer_after_minutes: row.get(first + 11),
                min_notice_minutes: row.get(first + 12),
                max_ahead_days: row.get(first + 13),
                cancel_notice_minutes: row.get(first + 14),
                reschedule_notice_minutes: row.get(first + 15),
                slot_step_minutes: row.get(first + 16),
            },
        })
    }
}

/// What a service is to be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Unique within the tenant.
    pub name: String,
    /// For customers.
    pub description: Option<String>,
    /// How long a booking takes.
    pub duration_minutes: i32,
    /// Of one booking.
    pub price: Money,
    /// How many bookings may stand at the same time.
    pub capacity: i32,
    /// Whether a booking waits until staff confirm it.
    pub requires_confirmation: bool,
    /// Whether it can be booked.
    pub active: bool,
    /// What it asks for beside its duration.
    pub rules: Rules,
}

/// What to change of a service. `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// See [`Draft`].
    pub name: Option<String>,
    /// `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// See [`Draft`]. Bookings that stand keep theirs.
    pub duration_minutes: Option<i32>,
    /// See [`Draft`]. Bookings that stand keep theirs.
    pub price: Option<Money>,
    /// See [`Draft`].
    pub capacity: Option<i32>,
    /// See [`Draft`].
    pub requires_confirmation: Option<bool>,
    /// See [`Draft`].
    pub active: Option<bool>,
    /// See [`Draft`].
    pub rules: RulesPatch,
}

/// What to change of a service's rules. `None` leaves it as it is, `Some(None)` takes the tenant's rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct RulesPatch {
    /// See [`Rules`].
    pub slot_step_minutes: Option<Option<i32>>,
    /// See [`Rules`].
    pub buffer_before_minutes: Option<i32>,
    /// See [`Rules`].
    pub buffer_after_minutes: Option<i32>,
    /// See [`Rules`].
    pub min_notice_minutes: Option<Option<i32>>,
    /// See [`Rules`].
    pub max_ahead_days: Option<Option<i32>>,
    /// See [`Rules`].
    pub cancel_notice_minutes: Option<Option<i32>>,
    /// See [`Rules`].
    pub reschedule_notice_minutes: Option<Option<i32>>,
}

impl RulesPatch {
    fn of(self, before: Rules) -> Rules {
        Rules {
            slot_step_minutes: self.slot_step_minutes.unwrap_or(before.slot_step_minutes),
            buffer_before_minutes: self.buffer_before_minutes.unwrap_or(before.buffer_before_minutes),
            buffer_after_minutes: self.buffer_after_minutes.unwrap_or(before.buffer_after_minutes),
            min_notice_minutes: self.min_notice_minutes.unwrap_or(before.min_notice_minutes),
            max_ahead_days: self.max_ahead_days.unwrap_or(before.max_ahead_days),
            cancel_notice_minutes: self.cancel_notice_minutes.unwrap_or(before.cancel_notice_minutes),
            reschedule_notice_minutes: self.reschedule_notice_minutes.unwrap_or(before.reschedule_notice_minutes),
        }
    }
}

/// Sort key of the list of services: name, then id.
pub type ServiceKey = (String, Uuid);

/// Which services a list holds. An empty filter holds all that the caller may book or manage.
#[derive(Clone, Debug, Default)]
pub struct ServiceFilter {
    /// Only active ones, or only inactive ones. Customers are shown active ones whatever they ask for.
    pub active: Option<bool>,
    /// Only those whose name contains this, whatever the case.
    pub search: Option<String>,
}

/// Why something could not be done with a service.
#[derive(Debug)]
pub enum ServiceError {
    /// The role does not allow it.
    Forbidden,
    /// There is no such service.
    NotFound,
    /// Another service has the name.
    NameTaken,
    /// A field is out of its bounds: which, and what it may be.
    Invalid(&'static str, String),
    /// The plan allows no more.
    QuotaExceeded,
    /// Bookings to come hold seats that would not be there any more.
    SeatsInUse,
    /// There is no such resource: which of those given.
    ResourceNotFound(usize),
    /// Bookings to come hold seats, or resources, of a service that is to go by the other.
    ResourcesInUse,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for ServiceError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// What became of a service that was to be deleted.
pub enum Deleted {
    /// It is gone.
    Gone(ServiceId),
    /// Bookings stand, so it was deactivated: nobody can book it any more.
    Deactivated(Service),
}

/// A page of services, by name.
///
/// # Errors
/// When the statement fails.
pub async fn list(
    caller: &Caller<'_>,
    filter: &ServiceFilter,
    page: &Page<ServiceKey>,
) -> Result<Slice<ServiceKey, Service>, DbError> {
    let active = if caller.is_at_least(Role::Staff) { filter.active } else { Some(true) };
    let services = queries::list(caller.tx, active, filter.search.as_deref(), page).await?;
    Ok(page.slice(services.into_iter().map(|service| ((service.name.clone(), service.id.0), service)).collect()))
}

/// Those of these services that exist in the tenant, active or not.
///
/// # Errors
/// When the statement fails.
pub async fn by_ids(tx: &ScopedTx, ids: &[ServiceId]) -> Result<HashMap<ServiceId, Service>, DbError> {
    queries::by_ids(tx, ids).await
}

/// Makes a service.
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

/// Changes a service. Bookings that stand keep the duration and price that they were made with.
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

/// Deletes a service that was never booked; deactivates one that was, because its bookings keep pointing at it.
///
/// # Errors
/// See [`ServiceError`].
pub async fn delete(caller: &Caller<'_>, id: ServiceId) -> Result<Deleted, ServiceError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(ServiceError::Forbidden);
    }
    tenants::lock_calendar(caller.tx).await?;
    // Locked, so that no booking can begin to point at it between the look and the deletion.
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

/// Which resources can serve a service, in place of those that could: one of each kind among them is taken by a booking.
/// Bookings that stand keep theirs.
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
        return Err(ServiceError::Invalid("resources", format!("A service has at most {MAX_LINKS} resources.")));
    }
    if wanted.iter().any(|(_, priority)| !(0..=100).contains(priority)) {
        return Err(ServiceError::Invalid("resources", "A priority is 0 to 100.".into()));
    }
    tenants::lock_calendar(caller.tx).await?;
    let service = queries::lock(caller.tx, id).await?.ok_or(ServiceError::NotFound)?;
    let ids: Vec<ResourceId> = wanted.iter().map(|(id, _)| *id).collect();
    let known = resources::by_ids(caller.tx, &ids).await?;
    if let Some(place) = ids.iter().position(|id| !known.contains_key(id)) {
        return Err(ServiceError::ResourceNotFound(place));
    }
    let before = queries::links(caller.tx, &[id]).await?.remove(&id).unwrap_or_default();
    // Bookings that hold seats and others that hold resources would not see each other.
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

/// The resources that can serve each of these services: those of higher priority first.
///
/// # Errors
/// When the statement fails.
pub async fn links(tx: &ScopedTx, ids: &[ServiceId]) -> Result<HashMap<ServiceId, Vec<Link>>, DbError> {
    queries::links(tx, ids).await
}

/// How many services are active.
///
/// # Errors
/// When the statement fails.
pub async fn count_active(tx: &ScopedTx) -> Result<i64, DbError> {
    queries::count_active(tx).await
}

/// Makes sure that the plan has room for one more active service, and that nobody else takes the place before this
/// transaction ends.
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
        self.name = self.name.trim().to_owned();
        self.description = self.description.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        if self.name.is_empty() || self.name.chars().count() > MAX_NAME {
            return invalid("name", format!("A name has 1 to {MAX_NAME} characters."));
        }
        if self.description.as_ref().is_some_and(|it| it.chars().count() > MAX_DESCRIPTION) {
            return invalid("description", format!("A description has at most {MAX_DESCRIPTION} characters."));
        }
        if !(1..=MAX_DURATION_MINUTES).contains(&self.duration_minutes) {
            return invalid("durationMinutes", format!("A service takes 1 to {MAX_DURATION_MINUTES} minutes."));
        }
        if self.price.minor < 0 {
            return invalid("price.amount", "A price is not negative.".into());
        }
        if self.price.currency != currency {
            return invalid("price.currency", format!("Prices of this tenant are in {currency}."));
        }
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return invalid("capacity", format!("A service has 1 to {MAX_CAPACITY} seats."));
        }
        let rules = &self.rules;
        for (field, minutes) in
            [("bufferBeforeMinutes", rules.buffer_before_minutes), ("bufferAfterMinutes", rules.buffer_after_minutes)]
        {
            if !(0..=MAX_BUFFER_MINUTES).contains(&minutes) {
                return invalid(field, format!("A buffer has 0 to {MAX_BUFFER_MINUTES} minutes."));
            }
        }
        for (field, minutes) in [
            ("minNoticeMinutes", rules.min_notice_minutes),
            ("cancelNoticeMinutes", rules.cancel_notice_minutes),
            ("rescheduleNoticeMinutes", rules.reschedule_notice_minutes),
        ] {
            if minutes.is_some_and(|it| !(0..=MAX_NOTICE_MINUTES).contains(&it)) {
                return invalid(field, format!("A notice has 0 to {MAX_NOTICE_MINUTES} minutes."));
            }
        }
        if rules.slot_step_minutes.is_some_and(|it| !(5..=MAX_DURATION_MINUTES).contains(&it)) {
            return invalid("slotStepMinutes", format!("A step has 5 to {MAX_DURATION_MINUTES} minutes."));
        }
        if rules.max_ahead_days.is_some_and(|it| !(1..=MAX_AHEAD_DAYS).contains(&it)) {
            return invalid("maxAheadDays", format!("One can book 1 to {MAX_AHEAD_DAYS} days ahead."));
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
