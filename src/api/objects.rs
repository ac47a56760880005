//! The objects that refer to each other: users, services, resources, bookings and series.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, SimpleObject};

use super::{
    ContextExt,
    hours::Weekday,
    loaders::{
        bookings::{HistoryOf, InSeries, NoticesOf, PageOf, ResourcesOf},
        services::LinksOf,
        users::MailPreferencesOf,
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

/// A user's role.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::core::identity::Role")]
pub enum Role {
    /// Everything in the tenant: users, services, the calendar, billing, settings.
    Admin,
    /// The whole calendar, and the names of customers.
    Staff,
    /// A customer: own profile and own bookings.
    User,
}

/// Whether a user can sign in.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::users::UserStatus")]
pub enum UserStatus {
    /// The user can sign in.
    Active,
    /// The user can no longer sign in; their bookings stay.
    Deactivated,
    /// The user can never sign in again: name and email are replaced by a pseudonym.
    Erased,
}

/// A user of a tenant: administrator, staff or customer.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct User {
    /// TypeID with the prefix `usr`.
    pub id: ID,
    /// Lower case, unique within the tenant.
    pub email: String,
    /// The user's name.
    pub name: String,
    /// The user's role.
    pub role: Role,
    /// Whether the user can sign in.
    pub status: UserStatus,
    /// When the user joined.
    pub created_at: DateTime,
    /// Whether the user has confirmed their email address.
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
    /// The tenant that the user belongs to.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn tenant(&self, ctx: &Context<'_>) -> Result<Tenant, ApiError> {
        crate::api::tenants::own(ctx).await
    }

    /// How the user wants emails about bookings.
    async fn mail_preferences(&self, ctx: &Context<'_>) -> Result<MailPreferences, ApiError> {
        let wanted = ctx.work()?.loaders.users().load_one(MailPreferencesOf(self.key)).await?;
        Ok(wanted.unwrap_or_default().into())
    }

    /// The user's bookings that the caller may see, earliest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn bookings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Filters the list.")] filter: Option<BookingFilterInput>,
    ) -> Result<Listing<Booking>, ApiError> {
        page_of_customer(ctx, self.key, PageArgs { first, after, last, before }, filter).await
    }
}

/// How a user wants emails about bookings.
#[derive(Clone, SimpleObject)]
pub struct MailPreferences {
    /// BCP 47 tag of their language, which also decides how dates are written. Null for the tenant's.
    pub locale: Option<String>,
    /// Whether they want reminders of their bookings.
    pub reminders: bool,
}

impl From<crate::features::users::MailPreferences> for MailPreferences {
    fn from(wanted: crate::features::users::MailPreferences) -> Self {
        Self { locale: wanted.locale, reminders: wanted.reminders }
    }
}

/// The user that a row refers to: a foreign key ensures that they exist, and a caller who sees the row may see the user.
pub async fn user_of_key(ctx: &Context<'_>, id: UserId) -> Result<User, ApiError> {
    let user = ctx.work()?.loaders.users().load_one(id).await?;
    user.map(User::from).ok_or_else(|| ApiError::Internal(format!("{id} is referenced but missing")))
}

/// A service that can be booked.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Service {
    /// TypeID with the prefix `svc`.
    pub id: ID,
    /// Unique within the tenant.
    pub name: String,
    /// The description for customers.
    pub description: Option<String>,
    /// How long a booking takes, in minutes.
    pub duration_minutes: i32,
    /// Price of one booking.
    pub price: Money,
    /// Maximum number of bookings at the same time.
    pub capacity: i32,
    /// Whether a booking stays `PENDING` until staff confirm it.
    pub requires_confirmation: bool,
    /// Whether it can be booked. Customers see inactive services only through their own bookings.
    pub active: bool,
    /// Customers can book every so many minutes after opening, counted on the wall clock. Null allows any start time, and
    /// `availability` offers slots that can be booked one after the other: one duration and its buffers apart.
    pub slot_step_minutes: Option<i32>,
    /// Minutes before a booking's start during which it also holds its resources.
    pub buffer_before_minutes: i32,
    /// Minutes after a booking's end during which it also holds its resources.
    pub buffer_after_minutes: i32,
    /// Latest time for a customer to book, in minutes before the start. Null uses the tenant's rule.
    pub min_notice_minutes: Option<i32>,
    /// Number of days ahead that a customer can book. Null uses the tenant's rule.
    pub max_ahead_days: Option<i32>,
    /// Latest time for a customer to cancel, in minutes before the start. Null uses the tenant's rule.
    pub cancel_notice_minutes: Option<i32>,
    /// Latest time for a customer to move a booking, in minutes before the start. Null uses the rule for cancelling.
    pub reschedule_notice_minutes: Option<i32>,
    #[graphql(skip)]
    key: ServiceId,
}

#[ComplexObject]
impl Service {
    /// Resources that can serve it, highest priority first: a booking takes one of each kind. Empty when it needs none.
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

/// The service that a row refers to, active or not: a foreign key ensures that it exists.
pub async fn service_of_key(ctx: &Context<'_>, id: ServiceId) -> Result<Service, ApiError> {
    let service = ctx.work()?.loaders.services().load_one(id).await?;
    service.map(Service::from).ok_or_else(|| ApiError::Internal(format!("{id} is referenced but missing")))
}

/// The kind of a resource.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::resources::ResourceKind")]
pub enum ResourceKind {
    /// A member of staff.
    Staff,
    /// A room.
    Room,
    /// A piece of equipment.
    Equipment,
}

/// A person or thing that bookings need, and that serves one booking at a time.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Resource {
    /// TypeID with the prefix `res`.
    pub id: ID,
    /// Its kind.
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
    /// The user that it represents. Null when it represents nobody, or a user whom the caller may not see.
    async fn user(&self, ctx: &Context<'_>) -> Result<Option<User>, ApiError> {
        let Some(user) = self.stands_for else { return Ok(None) };
        Ok(ctx.work()?.loaders.users().load_one(user).await?.map(User::from))
    }
}

/// How a series repeats.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::series::Frequency")]
pub enum SeriesFrequency {
    /// On weekdays of each week.
    Weekly,
    /// On the same day of the month as the first day. Months without that day are skipped.
    Monthly,
    /// On the same weekday of the month as the first day, such as the second Tuesday. Months without that day are
    /// skipped.
    MonthlyByWeekday,
}

/// Bookings that were created together by a rule. Each booking is independent: it can be moved or cancelled alone.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct BookingSeries {
    /// TypeID with the prefix `ser`.
    pub id: ID,
    /// How it repeats.
    pub frequency: SeriesFrequency,
    /// It repeats every so many weeks or months.
    pub interval: i32,
    /// For a weekly series; empty when it uses the weekday of its first day.
    pub weekdays: Vec<Weekday>,
    /// The series starts on this day or later.
    pub first_day: Date,
    /// Local start time.
    pub time: LocalTime,
    /// The time zone of `time`.
    pub time_zone: TimeZoneName,
    /// Requested number of occurrences. Null when `lastDay` limits the series.
    pub count: Option<i32>,
    /// The series ends on this day or earlier. Null when `count` limits the series.
    pub last_day: Option<Date>,
    /// When it was created.
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
    /// The booked service.
    async fn service(&self, ctx: &Context<'_>) -> Result<Service, ApiError> {
        service_of_key(ctx, self.key.1).await
    }

    /// The customer.
    async fn customer(&self, ctx: &Context<'_>) -> Result<User, ApiError> {
        user_of_key(ctx, self.key.2).await
    }

    /// Its bookings, earliest first, in any status.
    #[graphql(complexity = "STATEMENT_COST + 10 * child_complexity")]
    async fn bookings(&self, ctx: &Context<'_>) -> Result<Vec<Booking>, ApiError> {
        bookings_of_series(ctx, self.key.0).await
    }
}

/// The status of a booking.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::bookings::BookingStatus")]
pub enum BookingStatus {
    /// The slot is held for a short time.
    Held,
    /// Waits for confirmation by staff.
    Pending,
    /// Confirmed.
    Confirmed,
    /// It took place. Final.
    Completed,
    /// The customer did not come. Final.
    NoShow,
    /// Cancelled. Final; the time is available again.
    Cancelled,
    /// Staff did not confirm it. Final; the time is available again.
    Rejected,
    /// The hold was not confirmed in time. Final; the time is available again.
    Expired,
}

/// A booking of a service at a given time.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Booking {
    /// TypeID with the prefix `bkg`.
    pub id: ID,
    /// The status.
    pub status: BookingStatus,
    /// The start, inclusive.
    pub starts_at: DateTime,
    /// The end, exclusive.
    pub ends_at: DateTime,
    /// The time zone of the booked resource's hours, of the service's, or of the tenant, when it was made or last moved.
    /// Show its times in this zone.
    pub time_zone: TimeZoneName,
    /// The price at the time of booking.
    pub price: Money,
    /// Notes by the person who made it.
    pub notes: Option<String>,
    /// When a `HELD` booking expires. Null for every other status.
    pub held_until: Option<DateTime>,
    /// Increases with each change. Send it with a change to get `STALE` when someone else changed the booking in between.
    pub version: i32,
    #[graphql(skip)]
    pub(super) key: (BookingId, ServiceId, UserId),
    #[graphql(skip)]
    pub(super) made_with: Option<SeriesId>,
    /// Names that were loaded with the list.
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
    /// The booked service.
    async fn service(&self, ctx: &Context<'_>) -> Result<Reference<Service>, ApiError> {
        let id = self.key.1;
        match self.names.as_ref().and_then(|it| it.services.get(&id)) {
            Some(name) if asks_for_name(&ctx.field()) => Ok(Reference::Named(id.to_string().into(), name.clone())),
            // Boxed: every field's future takes as much space as the largest one.
            _ => Box::pin(service_of_key(ctx, id)).await.map(Reference::Whole),
        }
    }

    /// The customer.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Reference<User>, ApiError> {
        let id = self.key.2;
        match self.names.as_ref().and_then(|it| it.customers.get(&id)) {
            Some(name) if asks_for_name(&ctx.field()) => Ok(Reference::Named(id.to_string().into(), name.clone())),
            _ => Box::pin(user_of_key(ctx, id)).await.map(Reference::Whole),
        }
    }

    /// The series that it belongs to. Null for a single booking.
    async fn series(&self, ctx: &Context<'_>) -> Result<Option<BookingSeries>, ApiError> {
        let Some(id) = self.made_with else { return Ok(None) };
        Ok(ctx.work()?.loaders.series().load_one(id).await?.map(BookingSeries::from))
    }

    /// The resources that it holds, or held until its end. Empty when its service needs none.
    async fn resources(&self, ctx: &Context<'_>) -> Result<Vec<Resource>, ApiError> {
        let work = ctx.work()?;
        let ids = work.loaders.bookings().load_one(ResourcesOf(self.key.0)).await?.unwrap_or_default();
        let found = work.loaders.resources().load_many(ids.iter().copied()).await?;
        Ok(ids.iter().filter_map(|id| found.get(id).cloned().map(Resource::from)).collect())
    }

    /// The emails that were sent about it, oldest first.
    async fn notices(&self, ctx: &Context<'_>) -> Result<Vec<BookingNotice>, ApiError> {
        let sent = ctx.work()?.loaders.bookings().load_one(NoticesOf(self.key.0)).await?;
        Ok(sent.unwrap_or_default().into_iter().map(BookingNotice::from).collect())
    }

    /// Its changes of status and time, oldest first.
    async fn history(&self, ctx: &Context<'_>) -> Result<Vec<BookingTransition>, ApiError> {
        let steps = ctx.work()?.loaders.bookings().load_one(HistoryOf(self.key.0)).await?;
        Ok(steps.unwrap_or_default().into_iter().map(BookingTransition::from).collect())
    }
}

/// What an email told about a booking.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::notices::NoticeKind")]
pub enum BookingNoticeKind {
    /// It waits for confirmation by staff.
    Received,
    /// It is confirmed.
    Confirmed,
    /// It was moved.
    Moved,
    /// It was cancelled.
    Cancelled,
    /// Staff did not confirm it.
    Rejected,
    /// It starts soon.
    Reminder,
    /// A time on the waitlist is held for the customer.
    Offered,
}

/// What the calendar file in an email asks the customer's calendar to do.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::notices::CalendarMethod")]
pub enum CalendarMethod {
    /// Show the booking.
    Publish,
    /// Add or change it.
    Request,
    /// Remove it.
    Cancel,
}

/// An email that was sent about a booking.
#[derive(Clone, SimpleObject)]
pub struct BookingNotice {
    /// What it told.
    pub kind: BookingNoticeKind,
    /// What its calendar file asks for. Null without a file.
    pub calendar_method: Option<CalendarMethod>,
    /// When it was handed to the mail server.
    pub sent_at: DateTime,
}

impl From<crate::features::notices::Sent> for BookingNotice {
    fn from(sent: crate::features::notices::Sent) -> Self {
        Self { kind: sent.kind.into(), calendar_method: sent.method.map(Into::into), sent_at: DateTime(sent.at) }
    }
}

/// One entry in a booking's history.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct BookingTransition {
    /// The status before. Null for the first entry.
    pub from_status: Option<BookingStatus>,
    /// The status afterwards.
    pub to_status: BookingStatus,
    /// When it happened.
    pub at: DateTime,
    /// The reason, if one was given.
    pub reason: Option<String>,
    /// The start before this step moved the booking. Null when it was not moved.
    pub moved_from: Option<DateTime>,
    /// The start after this step moved the booking. Null when it was not moved.
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
    /// The user who did it. Null for background work, or for a user whom the caller may not see.
    async fn actor(&self, ctx: &Context<'_>) -> Result<Option<User>, ApiError> {
        let Some(actor) = self.actor else { return Ok(None) };
        Ok(ctx.work()?.loaders.users().load_one(actor).await?.map(User::from))
    }
}

/// Filters a list of bookings. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "BookingFilter")]
pub struct BookingFilterInput {
    /// Only bookings with one of these statuses.
    status: Option<Vec<BookingStatus>>,
    /// Only bookings of this service.
    service_id: Option<ID>,
    /// Only bookings of this customer.
    customer_id: Option<ID>,
    /// Only bookings that hold this resource.
    resource_id: Option<ID>,
    /// Only bookings that start at this time or later.
    from: Option<DateTime>,
    /// Only bookings that start before this time.
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
