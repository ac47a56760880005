//! The objects that name each other: users, services, resources, bookings and series.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, SimpleObject};

use super::{
    ContextExt,
    hours::Weekday,
    loaders::{
        bookings::{HistoryOf, InSeries, PageOf, ResourcesOf},
        services::LinksOf,
    },
    tenants::Tenant,
};
use crate::{
    base::ids::{BookingId, SeriesId, ServiceId, UserId},
    features::bookings::{BookingFilter, PreloadedRefs, Transition},
    graphql::{
        ApiError, Date, DateTime, Listing, LocalTime, Money, PageArgs, Reference, STATEMENT_COST, TimeZoneName,
        asks_for_name, connection, filter_interval, page_cost, parse_id,
    },
};

/// What a person may do.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::core::identity::Role")]
pub enum Role {
    /// Everything of the tenant: users, services, the calendar, billing, settings.
    Admin,
    /// The whole calendar, and customers' names.
    Staff,
    /// A customer: own profile and own bookings.
    User,
}

/// Whether a user can sign in.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::users::UserStatus")]
pub enum UserStatus {
    /// He can.
    Active,
    /// Not any more; his bookings stay.
    Deactivated,
    /// Never again: name and e-mail are a pseudonym.
    Erased,
}

/// A person of a tenant: administrator, staff or customer.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct User {
    /// TypeID with the prefix `usr`.
    pub id: ID,
    /// Lower case, unique within the tenant.
    pub email: String,
    /// What the person is called.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// Whether the person can sign in.
    pub status: UserStatus,
    /// When the person joined.
    pub created_at: DateTime,
    /// Whether the person has shown that the mailbox is his.
    pub email_verified: bool,
    #[graphql(skip)]
    key: UserId,
}

impl From<crate::features::users::User> for User {
    fn from(user: crate::features::users::User) -> Self {
        Self {
            id: user.id.to_string().into(),
            email: user.email,
            name: user.name,
            role: user.role.into(),
            status: user.status.into(),
            created_at: DateTime(user.created_at),
            email_verified: user.email_verified_at.is_some(),
            key: user.id,
        }
    }
}

#[ComplexObject]
impl User {
    /// The tenant that the person belongs to.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn tenant(&self, ctx: &Context<'_>) -> Result<Tenant, ApiError> {
        crate::api::tenants::own(ctx).await
    }

    /// The person's bookings that the caller may see, earliest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn bookings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which bookings.")] filter: Option<BookingFilterInput>,
    ) -> Result<Listing<Booking>, ApiError> {
        page_of_customer(ctx, self.key, PageArgs { first, after, last, before }, filter).await
    }
}

/// The user that a row points at: a key sees to it that there is one, and whoever sees the row may see him.
pub async fn user_of_key(ctx: &Context<'_>, id: UserId) -> Result<User, ApiError> {
    let user = ctx.work()?.loaders.users().load_one(id).await?;
    user.map(User::from).ok_or_else(|| ApiError::Internal(format!("{id} is pointed at and not there")))
}

/// Something that can be booked.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Service {
    /// TypeID with the prefix `svc`.
    pub id: ID,
    /// Unique within the tenant.
    pub name: String,
    /// For customers.
    pub description: Option<String>,
    /// How long a booking takes, in minutes.
    pub duration_minutes: i32,
    /// Price of one booking.
    pub price: Money,
    /// How many bookings may stand at the same time.
    pub capacity: i32,
    /// Whether a booking waits as `PENDING` until staff confirm it.
    pub requires_confirmation: bool,
    /// Whether it can be booked. Customers see inactive services only through their own bookings.
    pub active: bool,
    /// Customers book at so many minutes after opening, or a multiple. Null: at any time, and what `availability` offers is
    /// a duration apart.
    pub slot_step_minutes: Option<i32>,
    /// Minutes before its start for which a booking holds its resources.
    pub buffer_before_minutes: i32,
    /// Minutes after its end for which a booking holds its resources.
    pub buffer_after_minutes: i32,
    /// Minutes before its start until which a customer can book. Null: as the tenant says.
    pub min_notice_minutes: Option<i32>,
    /// Days ahead that a customer can book. Null: as the tenant says.
    pub max_ahead_days: Option<i32>,
    /// Minutes before its start until which a customer can cancel. Null: as the tenant says.
    pub cancel_notice_minutes: Option<i32>,
    /// Minutes before its start until which a customer can move a booking. Null: as for cancelling.
    pub reschedule_notice_minutes: Option<i32>,
    #[graphql(skip)]
    key: ServiceId,
}

#[ComplexObject]
impl Service {
    /// Who and what can serve it, those taken first in front: a booking takes one of each kind. Empty where it needs none.
    async fn resources(&self, ctx: &Context<'_>) -> Result<Vec<Resource>, ApiError> {
        let work = ctx.work()?;
        let links = work.loaders.services().load_one(LinksOf(self.key)).await?.unwrap_or_default();
        let found = work.loaders.resources().load_many(links.iter().map(|it| it.resource)).await?;
        Ok(links.iter().filter_map(|it| found.get(&it.resource).cloned().map(Resource::from)).collect())
    }
}

impl From<crate::features::services::Service> for Service {
    fn from(service: crate::features::services::Service) -> Self {
        Self {
            id: service.id.to_string().into(),
            name: service.name,
            description: service.description,
            duration_minutes: service.duration_minutes,
            price: service.price.into(),
            capacity: service.capacity,
            requires_confirmation: service.requires_confirmation,
            active: service.active,
            slot_step_minutes: service.rules.slot_step_minutes,
            buffer_before_minutes: service.rules.buffer_before_minutes,
            buffer_after_minutes: service.rules.buffer_after_minutes,
            min_notice_minutes: service.rules.min_notice_minutes,
            max_ahead_days: service.rules.max_ahead_days,
            cancel_notice_minutes: service.rules.cancel_notice_minutes,
            reschedule_notice_minutes: service.rules.reschedule_notice_minutes,
            key: service.id,
        }
    }
}

/// The service that a row points at, active or not: a key sees to it that there is one.
pub async fn service_of_key(ctx: &Context<'_>, id: ServiceId) -> Result<Service, ApiError> {
    let service = ctx.work()?.loaders.services().load_one(id).await?;
    service.map(Service::from).ok_or_else(|| ApiError::Internal(format!("{id} is pointed at and not there")))
}

/// What a resource is.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::resources::ResourceKind")]
pub enum ResourceKind {
    /// Somebody of the staff.
    Staff,
    /// A room.
    Room,
    /// Something that is used.
    Equipment,
}

/// Somebody or something that bookings need, and that is there once at a time.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Resource {
    /// TypeID with the prefix `res`.
    pub id: ID,
    /// What it is.
    pub kind: ResourceKind,
    /// Unique within the tenant.
    pub name: String,
    /// Whether it can be booked.
    pub active: bool,
    #[graphql(skip)]
    stands_for: Option<UserId>,
}

impl From<crate::features::resources::Resource> for Resource {
    fn from(resource: crate::features::resources::Resource) -> Self {
        Self {
            id: resource.id.to_string().into(),
            kind: resource.kind.into(),
            name: resource.name,
            active: resource.active,
            stands_for: resource.user,
        }
    }
}

#[ComplexObject]
impl Resource {
    /// Whom it stands for. Null where it stands for nobody, and for people whom the caller may not see.
    async fn user(&self, ctx: &Context<'_>) -> Result<Option<User>, ApiError> {
        let Some(user) = self.stands_for else { return Ok(None) };
        Ok(ctx.work()?.loaders.users().load_one(user).await?.map(User::from))
    }
}

/// What of a series comes again.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::series::Frequency")]
pub enum SeriesFrequency {
    /// The weekdays of a week.
    Weekly,
    /// The day of the month of the first day. A month that has no such day is left out.
    Monthly,
    /// The weekday of the month of the first day, such as the second Tuesday. A month that has no such day is left out.
    MonthlyByWeekday,
}

/// Bookings that were made together by a rule. Each of them stands by itself: it can be moved or called off alone.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct BookingSeries {
    /// TypeID with the prefix `ser`.
    pub id: ID,
    /// What of it comes again.
    pub frequency: SeriesFrequency,
    /// Every so many weeks or months.
    pub interval: i32,
    /// Of a weekly series; empty where it goes by its first day.
    pub weekdays: Vec<Weekday>,
    /// No booking was made for a day before this one.
    pub first_day: Date,
    /// At which time of day.
    pub time: LocalTime,
    /// By whose clock.
    pub time_zone: TimeZoneName,
    /// How many were asked for. Null where it goes by its last day.
    pub count: Option<i32>,
    /// No booking was made for a day after this one. Null where it goes by its count.
    pub last_day: Option<Date>,
    /// When it was made.
    pub created_at: DateTime,
    #[graphql(skip)]
    key: (SeriesId, ServiceId, UserId),
}

impl From<crate::features::series::Series> for BookingSeries {
    fn from(series: crate::features::series::Series) -> Self {
        let rule = series.rule;
        Self {
            id: series.id.to_string().into(),
            frequency: rule.frequency.into(),
            interval: rule.interval,
            weekdays: rule.weekdays.iter().filter_map(|it| Weekday::of(*it)).collect(),
            first_day: Date(rule.first_day),
            time: LocalTime(rule.time),
            time_zone: TimeZoneName(series.zone),
            count: rule.count.and_then(|it| i32::try_from(it).ok()),
            last_day: rule.last_day.map(Date),
            created_at: DateTime(series.created_at),
            key: (series.id, series.service, series.customer),
        }
    }
}

#[ComplexObject]
impl BookingSeries {
    /// What was booked.
    async fn service(&self, ctx: &Context<'_>) -> Result<Service, ApiError> {
        service_of_key(ctx, self.key.1).await
    }

    /// For whom.
    async fn customer(&self, ctx: &Context<'_>) -> Result<User, ApiError> {
        user_of_key(ctx, self.key.2).await
    }

    /// Its bookings, earliest first, whatever became of them.
    #[graphql(complexity = "STATEMENT_COST + 10 * child_complexity")]
    async fn bookings(&self, ctx: &Context<'_>) -> Result<Vec<Booking>, ApiError> {
        bookings_of_series(ctx, self.key.0).await
    }
}

/// Where a booking stands.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::bookings::BookingStatus")]
pub enum BookingStatus {
    /// The time is kept for a short while.
    Held,
    /// Waits for staff to confirm it.
    Pending,
    /// Agreed.
    Confirmed,
    /// It took place. An end.
    Completed,
    /// The customer did not come. An end.
    NoShow,
    /// Called off. An end; the time is free again.
    Cancelled,
    /// Staff did not confirm it. An end; the time is free again.
    Rejected,
    /// Nobody took up the held time. An end; the time is free again.
    Expired,
}

/// A booking of a service for a time.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Booking {
    /// TypeID with the prefix `bkg`.
    pub id: ID,
    /// Where it stands.
    pub status: BookingStatus,
    /// The first instant of it.
    pub starts_at: DateTime,
    /// The first instant after it.
    pub ends_at: DateTime,
    /// The zone in which it was made: show its times in this one.
    pub time_zone: TimeZoneName,
    /// As agreed when it was made.
    pub price: Money,
    /// Of whoever made it.
    pub notes: Option<String>,
    /// When a `HELD` booking lets its time go. Null for every other.
    pub held_until: Option<DateTime>,
    /// Counts its changes. Send it back with a change to be told when somebody else was faster.
    pub version: i32,
    #[graphql(skip)]
    pub(super) key: (BookingId, ServiceId, UserId),
    #[graphql(skip)]
    pub(super) made_with: Option<SeriesId>,
    /// What its list has brought.
    #[graphql(skip)]
    pub(super) names: Option<Arc<PreloadedRefs<String, String>>>,
}

impl From<crate::features::bookings::Booking> for Booking {
    fn from(booking: crate::features::bookings::Booking) -> Self {
        Self {
            id: booking.id.to_string().into(),
            status: booking.status.into(),
            starts_at: DateTime(booking.starts_at),
            ends_at: DateTime(booking.ends_at),
            time_zone: TimeZoneName(booking.time_zone),
            price: booking.price.into(),
            notes: booking.notes,
            held_until: booking.held_until.map(DateTime),
            version: booking.version,
            key: (booking.id, booking.service, booking.customer),
            made_with: booking.series,
            names: None,
        }
    }
}

#[ComplexObject]
impl Booking {
    /// What is booked.
    async fn service(&self, ctx: &Context<'_>) -> Result<Reference<Service>, ApiError> {
        let id = self.key.1;
        match self.names.as_ref().and_then(|it| it.services.get(&id)) {
            Some(name) if asks_for_name(&ctx.field()) => Ok(Reference::Named(id.to_string().into(), name.clone())),
            // Boxed: each field of a booking takes as much room as the largest.
            _ => Box::pin(service_of_key(ctx, id)).await.map(Reference::Whole),
        }
    }

    /// For whom.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Reference<User>, ApiError> {
        let id = self.key.2;
        match self.names.as_ref().and_then(|it| it.customers.get(&id)) {
            Some(name) if asks_for_name(&ctx.field()) => Ok(Reference::Named(id.to_string().into(), name.clone())),
            _ => Box::pin(user_of_key(ctx, id)).await.map(Reference::Whole),
        }
    }

    /// The series that it was made with. Null for one made alone.
    async fn series(&self, ctx: &Context<'_>) -> Result<Option<BookingSeries>, ApiError> {
        let Some(id) = self.made_with else { return Ok(None) };
        Ok(ctx.work()?.loaders.series().load_one(id).await?.map(BookingSeries::from))
    }

    /// Who and what it holds, or held to its end. Empty where its service needs none.
    async fn resources(&self, ctx: &Context<'_>) -> Result<Vec<Resource>, ApiError> {
        let work = ctx.work()?;
        let ids = work.loaders.bookings().load_one(ResourcesOf(self.key.0)).await?.unwrap_or_default();
        let found = work.loaders.resources().load_many(ids.iter().copied()).await?;
        Ok(ids.iter().filter_map(|id| found.get(id).cloned().map(Resource::from)).collect())
    }

    /// What happened to it, first step first.
    async fn history(&self, ctx: &Context<'_>) -> Result<Vec<BookingTransition>, ApiError> {
        let steps = ctx.work()?.loaders.bookings().load_one(HistoryOf(self.key.0)).await?;
        Ok(steps.unwrap_or_default().into_iter().map(BookingTransition::from).collect())
    }
}

/// One step in a booking's history.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct BookingTransition {
    /// Null for the first step.
    pub from_status: Option<BookingStatus>,
    /// Where it stood afterwards.
    pub to_status: BookingStatus,
    /// When.
    pub at: DateTime,
    /// Why, if it was said.
    pub reason: Option<String>,
    /// When it was to start before this step moved it. Null for a step that moved nothing.
    pub moved_from: Option<DateTime>,
    /// When it was to start after this step moved it. Null for a step that moved nothing.
    pub moved_to: Option<DateTime>,
    #[graphql(skip)]
    actor: Option<UserId>,
}

impl From<Transition> for BookingTransition {
    fn from(step: Transition) -> Self {
        Self {
            from_status: step.from.map(Into::into),
            to_status: step.to.into(),
            at: DateTime(step.at),
            reason: step.reason,
            moved_from: step.moved.map(|it| DateTime(it.0)),
            moved_to: step.moved.map(|it| DateTime(it.1)),
            actor: step.actor,
        }
    }
}

#[ComplexObject]
impl BookingTransition {
    /// Who did it. Null for background work, and for people whom the caller may not see.
    async fn actor(&self, ctx: &Context<'_>) -> Result<Option<User>, ApiError> {
        let Some(actor) = self.actor else { return Ok(None) };
        Ok(ctx.work()?.loaders.users().load_one(actor).await?.map(User::from))
    }
}

/// Which bookings a list holds. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "BookingFilter")]
pub struct BookingFilterInput {
    /// Only these statuses.
    status: Option<Vec<BookingStatus>>,
    /// Only of this service.
    service_id: Option<ID>,
    /// Only of this customer.
    customer_id: Option<ID>,
    /// Only those that hold this resource.
    resource_id: Option<ID>,
    /// Only those that start at this instant or later.
    from: Option<DateTime>,
    /// Only those that start before this instant.
    to: Option<DateTime>,
}

impl BookingFilterInput {
    pub(super) fn read(self) -> Result<BookingFilter, ApiError> {
        let (from, to) = filter_interval(self.from, self.to)?;
        Ok(BookingFilter {
            statuses: self.status.map(|it| it.into_iter().map(Into::into).collect()),
            service: self.service_id.map(|id| parse_id(&id, "filter.serviceId")).transpose()?,
            customer: self.customer_id.map(|id| parse_id(&id, "filter.customerId")).transpose()?,
            resource: self.resource_id.map(|id| parse_id(&id, "filter.resourceId")).transpose()?,
            from,
            to,
        })
    }
}

/// A page of one customer's bookings, for `User.bookings`.
pub async fn page_of_customer(
    ctx: &Context<'_>,
    customer: UserId,
    args: PageArgs,
    filter: Option<BookingFilterInput>,
) -> Result<Listing<Booking>, ApiError> {
    const KIND: &str = "bookings.starts_at";
    let page = args.read(KIND)?;
    let filter = filter.map(BookingFilterInput::read).transpose()?.unwrap_or_default();
    let slice = ctx.work()?.loaders.bookings().load_one(PageOf { customer, filter, page }).await?;
    let slice = slice.ok_or_else(|| ApiError::Internal("a loader lost a page".into()))?;
    Ok(connection(KIND, slice, Booking::from))
}

/// The bookings of a series, earliest first, for `BookingSeries.bookings`.
pub async fn bookings_of_series(ctx: &Context<'_>, series: SeriesId) -> Result<Vec<Booking>, ApiError> {
    let found = ctx.work()?.loaders.bookings().load_one(InSeries(series)).await?;
    Ok(found.unwrap_or_default().into_iter().map(Booking::from).collect())
}
