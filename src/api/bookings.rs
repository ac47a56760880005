//! Bookings in the API.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    ContextExt,
    objects::{Booking, BookingFilterInput, BookingStatus, Resource},
};
use crate::{
    base::ids::{BookingId, ResourceId},
    features::bookings::{BookingError as Error, NewBooking, Preloaded, PreloadedRefs},
    graphql::{
        ApiError, DateTime, ErrorClass, Listing, MUTATION_COST, PageArgs, STATEMENT_COST, UserError, UserErrorCode,
        asks_for_name, connection, filter_interval, page_cost, parse_id, payload,
    },
};

/// What a list of bookings is sorted by.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::bookings::BookingOrder")]
pub enum BookingOrder {
    /// Earliest first.
    StartsAtAsc,
    /// Latest first.
    StartsAtDesc,
    /// Oldest first.
    CreatedAtAsc,
    /// Newest first.
    CreatedAtDesc,
}

/// A time at which a service can be booked.
#[derive(Clone, SimpleObject)]
#[graphql(complex, name = "Slot")]
pub struct FreeSlot {
    /// The first instant of it.
    pub starts_at: DateTime,
    /// The first instant after it.
    pub ends_at: DateTime,
    /// How many more bookings there is room for.
    pub places: i32,
    #[graphql(skip)]
    key: Vec<ResourceId>,
}

impl From<crate::features::bookings::FreeSlot> for FreeSlot {
    fn from(free: crate::features::bookings::FreeSlot) -> Self {
        let (starts_at, ends_at) = (DateTime(free.starts_at), DateTime(free.ends_at));
        Self { starts_at, ends_at, places: free.places, key: free.resources }
    }
}

#[ComplexObject]
impl FreeSlot {
    /// Who and what could serve it then, those of higher priority in front. Empty where the service needs none.
    async fn resources(&self, ctx: &Context<'_>) -> Result<Vec<Resource>, ApiError> {
        let found = ctx.work()?.loaders.resources().load_many(self.key.iter().copied()).await?;
        Ok(self.key.iter().filter_map(|id| found.get(id).cloned().map(Resource::from)).collect())
    }
}

/// What stands in the way of a booking.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::bookings::Obstacle")]
pub enum Obstacle {
    /// The service cannot be booked.
    Inactive,
    /// The time has passed.
    Past,
    /// It is too near.
    Notice,
    /// It is too far ahead.
    Window,
    /// It is closed then, as in every week.
    Hours,
    /// It is closed then, on this day alone.
    Override,
    /// Bookings begin at other times.
    Step,
    /// Every seat is taken.
    Seats,
    /// Who and what could serve it is taken.
    Taken,
    /// It is free, but not for the time that is kept before and after.
    Buffer,
}

/// A new booking.
#[derive(InputObject)]
pub struct CreateBookingInput {
    /// What.
    service_id: ID,
    /// When. It ends after the service's duration.
    starts_at: DateTime,
    /// For whom, when staff book for somebody else; without it the caller is the customer.
    customer_id: Option<ID>,
    /// Which resource, among those that can serve it; without it whichever is free: the highest priority, and among equals
    /// the one booked for the least time that day.
    resource_id: Option<ID>,
    /// At most 2,000 characters.
    notes: Option<String>,
}

/// A time to be held.
#[derive(InputObject)]
pub struct HoldSlotInput {
    /// Of which service.
    service_id: ID,
    /// When. It ends after the service's duration.
    starts_at: DateTime,
    /// For whom, when staff hold for somebody else; without it the caller is the customer.
    customer_id: Option<ID>,
    /// Which resource, among those that can serve it; without it whichever is free.
    resource_id: Option<ID>,
}

/// A hold to be taken up.
#[derive(InputObject)]
pub struct ConfirmHoldInput {
    /// Which booking.
    id: ID,
    /// At most 2,000 characters.
    notes: Option<String>,
}

/// A step in a booking's life.
#[derive(InputObject)]
pub struct UpdateBookingStatusInput {
    /// Which booking.
    id: ID,
    /// Where it is to stand.
    status: BookingStatus,
    /// The version that the caller has read: `STALE` when it is not the present one.
    version: Option<i32>,
    /// At most 500 characters, kept in the history.
    reason: Option<String>,
}

/// A booking to be moved.
#[derive(InputObject)]
pub struct RescheduleBookingInput {
    /// Which booking.
    id: ID,
    /// When it is to start. It stays as long as it was.
    starts_at: DateTime,
    /// The version that the caller has read: `STALE` when it is not the present one.
    version: Option<i32>,
}

/// A booking to be called off.
#[derive(InputObject)]
pub struct CancelBookingInput {
    /// Which booking.
    id: ID,
    /// At most 500 characters, kept in the history.
    reason: Option<String>,
}

payload!(
    /// The outcome of `createBooking`.
    CreateBookingPayload {
        /// The new booking.
        booking: Booking
    }
);
payload!(
    /// The outcome of `holdSlot`.
    HoldSlotPayload {
        /// The booking, `HELD` until `heldUntil`.
        booking: Booking
    }
);
payload!(
    /// The outcome of `confirmHold`.
    ConfirmHoldPayload {
        /// The booking, `CONFIRMED` or `PENDING`.
        booking: Booking
    }
);
payload!(
    /// The outcome of `updateBookingStatus`.
    UpdateBookingStatusPayload {
        /// The booking as changed.
        booking: Booking
    }
);
payload!(
    /// The outcome of `rescheduleBooking`.
    RescheduleBookingPayload {
        /// The booking as moved.
        booking: Booking
    }
);
payload!(
    /// The outcome of `cancelBooking`.
    CancelBookingPayload {
        /// The booking as changed.
        booking: Booking
    }
);

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        use UserErrorCode as Code;
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::NotFound => mend(Code::NotFound, "id", "There is no such booking."),
            Error::ServiceNotFound => mend(Code::NotFound, "serviceId", "There is no such service to book."),
            Error::CustomerNotFound => mend(Code::NotFound, "customerId", "There is no such customer."),
            Error::InThePast => mend(Code::TooSoon, "startsAt", "This time has passed."),
            Error::NotYet => mend(Code::TooSoon, "status", "The booking has not begun."),
            Error::HasBegun => mend(Code::InvalidTransition, "", "The booking has begun: ask the staff."),
            Error::TooFar => mend(Code::TooFar, "startsAt", "One can book two years ahead."),
            Error::NoticeTooShort(minutes) => {
                mend(Code::TooSoon, "startsAt", &format!("Book at least {minutes} minutes ahead."))
            }
            Error::PastWindow(days) => mend(Code::TooFar, "startsAt", &format!("One can book {days} days ahead.")),
            Error::TooLateToCancel(minutes) => {
                mend(Code::TooSoon, "", &format!("One can cancel until {minutes} minutes before: ask the staff."))
            }
            Error::TooLateToMove(minutes) => {
                mend(Code::TooSoon, "", &format!("One can move it until {minutes} minutes before: ask the staff."))
            }
            Error::NotMovable(status) => {
                mend(Code::InvalidTransition, "", &format!("A booking that is {} cannot be moved.", status.as_str()))
            }
            Error::ResourceNotFound => {
                mend(Code::NotFound, "resourceId", "There is no such resource that can serve this.")
            }
            Error::TooManyHolds => mend(
                Code::QuotaExceeded,
                "",
                &format!(
                    "One can hold {} times at once: book or cancel one of them.",
                    crate::features::bookings::MAX_HOLDS
                ),
            ),
            Error::HoldOver => mend(
                Code::InvalidTransition,
                "id",
                "It was held for too long, or is no hold any more: hold or book anew.",
            ),
            Error::OutsideHours => mend(Code::OutsideHours, "startsAt", "It is closed for a part of that time."),
            Error::OffGrid(step) => mend(
                Code::OutsideHours,
                "startsAt",
                &format!("Bookings begin every {step} minutes after opening: see availability."),
            ),
            Error::TooManyDays(days) => mend(Code::Invalid, "to", &format!("Ask for at most {days} days at once.")),
            Error::TooManySlots(most) => {
                mend(Code::Invalid, "to", &format!("There are more than {most} free times: ask for fewer days."))
            }
            Error::SlotTaken => mend(Code::SlotTaken, "startsAt", "Another booking holds this time."),
            Error::TooLong(field, most) => mend(Code::Invalid, field, &format!("At most {most} characters.")),
            Error::QuotaExceeded => mend(Code::QuotaExceeded, "", "Your plan allows no more bookings this month."),
            Error::Stale => mend(Code::Stale, "version", "The booking was changed meanwhile. Read it again."),
            Error::InvalidTransition(from, to) => mend(
                Code::InvalidTransition,
                "",
                &format!("A booking that is {} cannot become {}.", from.as_str(), to.as_str()),
            ),
            Error::Db(error) => error.into(),
        }
    }
}

/// Queries about bookings.
#[derive(Default)]
pub struct BookingQuery;

#[Object]
impl BookingQuery {
    /// The bookings that the caller may see: staff see all, customers their own.
    #[allow(clippy::too_many_arguments, reason = "these are the arguments of the GraphQL field")]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn bookings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which bookings.")] filter: Option<BookingFilterInput>,
        #[graphql(desc = "Sorted by what; earliest start first by default.")] order_by: Option<BookingOrder>,
    ) -> Result<Listing<Booking>, ApiError> {
        let order = order_by.map(crate::features::bookings::BookingOrder::from).unwrap_or_default();
        let kind = match order {
            crate::features::bookings::BookingOrder::StartsAtAsc => "bookings.starts_at",
            crate::features::bookings::BookingOrder::StartsAtDesc => "bookings.starts_at.desc",
            crate::features::bookings::BookingOrder::CreatedAtAsc => "bookings.created_at",
            crate::features::bookings::BookingOrder::CreatedAtDesc => "bookings.created_at.desc",
        };
        let page = PageArgs { first, after, last, before }.read(kind)?;
        let filter = filter.map(BookingFilterInput::read).transpose()?.unwrap_or_default();
        let work = ctx.work()?;
        let mut related = selected_related(ctx);
        let slice = crate::features::bookings::list(&work.tx, &filter, order, &page, &mut related).await?;
        let names = match related {
            Preloaded::Nothing => None,
            Preloaded::Names(names) => Some(Arc::new(names)),
            Preloaded::Whole(PreloadedRefs { services, customers }) => {
                work.loaders.services().feed_many(services).await;
                work.loaders.users().feed_many(customers).await;
                None
            }
        };
        Ok(connection(kind, slice, |it| Booking { names: names.clone(), ..Booking::from(it) }))
    }

    /// Free slots of one service, in order of start: as customers can book them, by the rules of the service and the hours
    /// of all that it takes. At most 62 days at once.
    #[graphql(complexity = "5 * STATEMENT_COST + 500 * child_complexity")]
    async fn availability(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which service.")] service_id: ID,
        #[graphql(desc = "Those that start at this instant or later.")] from: DateTime,
        #[graphql(desc = "Those that start before this instant.")] to: DateTime,
        #[graphql(desc = "Only with this resource.")] resource_id: Option<ID>,
    ) -> Result<Vec<FreeSlot>, ApiError> {
        let (from, to) = filter_interval(Some(from), Some(to))?;
        let service = parse_id(&service_id, "serviceId")?;
        let resource = resource_id.map(|id| parse_id(&id, "resourceId")).transpose()?;
        let (Some(from), Some(to)) = (from, to) else { return Ok(Vec::new()) };
        let free = crate::features::bookings::availability(&ctx.work()?.caller(), service, from, to, resource).await;
        let free = free.map_err(|error| ApiError::from(ErrorClass::from(error)))?;
        Ok(free.into_iter().map(FreeSlot::from).collect())
    }

    /// What stands in the way of a customer's booking of a service at a time. Null where nothing does.
    #[graphql(complexity = "5 * STATEMENT_COST + child_complexity")]
    async fn why_unavailable(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which service.")] service_id: ID,
        #[graphql(desc = "When it would start.")] starts_at: DateTime,
        #[graphql(desc = "Only with this resource.")] resource_id: Option<ID>,
    ) -> Result<Option<Obstacle>, ApiError> {
        let service = parse_id(&service_id, "serviceId")?;
        let resource = resource_id.map(|id| parse_id(&id, "resourceId")).transpose()?;
        let found = crate::features::bookings::obstacle(&ctx.work()?.caller(), service, starts_at.0, resource).await;
        Ok(found.map_err(|error| ApiError::from(ErrorClass::from(error)))?.map(Into::into))
    }

    /// One booking. Null where there is none that the caller may see.
    async fn booking(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<Option<Booking>, ApiError> {
        find(ctx, parse_id(&id, "id")?).await
    }
}

/// One booking, as `booking(id)` and `node(id)` show it.
pub async fn find(ctx: &Context<'_>, id: BookingId) -> Result<Option<Booking>, ApiError> {
    Ok(ctx.work()?.loaders.bookings().load_one(id).await?.map(Booking::from))
}

/// How much of what its bookings point at a list is asked for.
fn selected_related(ctx: &Context<'_>) -> Preloaded {
    let list = ctx.look_ahead();
    let bookings = [list.field("nodes"), list.field("edges").field("node")];
    let objects = bookings.iter().flat_map(|it| [it.field("service"), it.field("customer")]);
    let asked: Vec<_> = objects.flat_map(|it| it.selection_fields()).collect();
    match asked.as_slice() {
        [] => Preloaded::Nothing,
        all if all.iter().all(asks_for_name) => Preloaded::Names(PreloadedRefs::default()),
        _ => Preloaded::Whole(PreloadedRefs::default()),
    }
}

/// Mutations of bookings.
#[derive(Default)]
pub struct BookingMutation;

#[Object]
impl BookingMutation {
    /// Books a service. `SLOT_TAKEN` when other bookings hold the time, `TOO_SOON` when it has passed, `TOO_FAR` beyond
    /// two years, `QUOTA_EXCEEDED` past the plan's limit for the month.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_booking(
        &self,
        ctx: &Context<'_>,
        input: CreateBookingInput,
    ) -> Result<CreateBookingPayload, ApiError> {
        let work = ctx.work()?;
        let new = NewBooking {
            service: parse_id(&input.service_id, "input.serviceId")?,
            starts_at: input.starts_at.0,
            customer: input.customer_id.map(|id| parse_id(&id, "input.customerId")).transpose()?,
            resource: input.resource_id.map(|id| parse_id(&id, "input.resourceId")).transpose()?,
            notes: input.notes,
        };
        Ok(work.settle(crate::features::bookings::book(&work.caller(), new).await.map(Booking::from))?.into())
    }

    /// Holds a time for ten minutes, while its customer makes up his mind: `confirmHold` takes it up, and what nobody takes up
    /// is free again. A customer can hold three times at once (`QUOTA_EXCEEDED`).
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn hold_slot(&self, ctx: &Context<'_>, input: HoldSlotInput) -> Result<HoldSlotPayload, ApiError> {
        let work = ctx.work()?;
        let new = NewBooking {
            service: parse_id(&input.service_id, "input.serviceId")?,
            starts_at: input.starts_at.0,
            customer: input.customer_id.map(|id| parse_id(&id, "input.customerId")).transpose()?,
            resource: input.resource_id.map(|id| parse_id(&id, "input.resourceId")).transpose()?,
            notes: None,
        };
        Ok(work.settle(crate::features::bookings::hold(&work.caller(), new).await.map(Booking::from))?.into())
    }

    /// Takes up a hold that is still good (`INVALID_TRANSITION` where it is not): it becomes `CONFIRMED`, or `PENDING` where
    /// staff confirm the service. `QUOTA_EXCEEDED` past the plan's limit for the month.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn confirm_hold(&self, ctx: &Context<'_>, input: ConfirmHoldInput) -> Result<ConfirmHoldPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let confirmed = crate::features::bookings::confirm_hold(&work.caller(), id, input.notes).await;
        Ok(work.settle(confirmed.map(Booking::from))?.into())
    }

    /// Moves a booking to another status. Staff may go wherever its status leads (`INVALID_TRANSITION` elsewhere);
    /// customers may cancel their own before it starts.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_booking_status(
        &self,
        ctx: &Context<'_>,
        input: UpdateBookingStatusInput,
    ) -> Result<UpdateBookingStatusPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let moved =
            crate::features::bookings::set_status(&work.caller(), id, input.status.into(), input.version, input.reason)
                .await;
        Ok(work.settle(moved.map(Booking::from))?.into())
    }

    /// Moves a booking to another time. Where that cannot be had (`SLOT_TAKEN`, `TOO_SOON`, `TOO_FAR`), the old one stays.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn reschedule_booking(
        &self,
        ctx: &Context<'_>,
        input: RescheduleBookingInput,
    ) -> Result<RescheduleBookingPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let moved =
            Box::pin(crate::features::bookings::reschedule(&work.caller(), id, input.starts_at.0, input.version)).await;
        Ok(work.settle(moved.map(Booking::from))?.into())
    }

    /// Calls a booking off, and so frees its time.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn cancel_booking(
        &self,
        ctx: &Context<'_>,
        input: CancelBookingInput,
    ) -> Result<CancelBookingPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let cancelled = crate::features::bookings::set_status(
            &work.caller(),
            id,
            crate::features::bookings::BookingStatus::Cancelled,
            None,
            input.reason,
        )
        .await;
        Ok(work.settle(cancelled.map(Booking::from))?.into())
    }
}
