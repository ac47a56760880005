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

/// The order of a list of bookings.
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
    /// The start, inclusive.
    pub starts_at: DateTime,
    /// The end, exclusive.
    pub ends_at: DateTime,
    /// Number of further bookings that fit.
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
    /// Resources that can serve it at that time, highest priority first. Empty when the service needs none.
    async fn resources(&self, ctx: &Context<'_>) -> Result<Vec<Resource>, ApiError> {
        let found = ctx.work()?.loaders.resources().load_many(self.key.iter().copied()).await?;
        Ok(self.key.iter().filter_map(|id| found.get(id).cloned().map(Resource::from)).collect())
    }
}

/// Why a slot cannot be booked.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::bookings::Obstacle")]
pub enum Obstacle {
    /// The service cannot be booked.
    Inactive,
    /// The time has passed.
    Past,
    /// It is too soon: the minimum notice has passed.
    Notice,
    /// It is too far ahead.
    Window,
    /// Closed at that time, by the weekly hours.
    Hours,
    /// Closed for a part of that time, by an exception for the day.
    Override,
    /// Bookings start at other times of the day.
    Step,
    /// Every seat is taken.
    Seats,
    /// The required resources are taken.
    Taken,
    /// The slot itself is free, but the buffer before or after it is not.
    Buffer,
}

/// A new booking.
#[derive(InputObject)]
pub struct CreateBookingInput {
    /// The service to book.
    service_id: ID,
    /// The start. The booking ends after the service's duration.
    starts_at: DateTime,
    /// The customer, when staff book for another person. Default: the caller.
    customer_id: Option<ID>,
    /// The resource, one of those that can serve the service. When omitted, a free one is chosen: the highest
    /// priority, and among equals the one with the least booked time that day.
    resource_id: Option<ID>,
    /// At most 2,000 characters.
    notes: Option<String>,
}

/// A slot to hold.
#[derive(InputObject)]
pub struct HoldSlotInput {
    /// The service.
    service_id: ID,
    /// The start. The booking ends after the service's duration.
    starts_at: DateTime,
    /// The customer, when staff hold for another person. Default: the caller.
    customer_id: Option<ID>,
    /// The resource, one of those that can serve the service. When omitted, a free one is chosen.
    resource_id: Option<ID>,
}

/// A hold to confirm.
#[derive(InputObject)]
pub struct ConfirmHoldInput {
    /// The held booking.
    id: ID,
    /// At most 2,000 characters.
    notes: Option<String>,
}

/// A change of a booking's status.
#[derive(InputObject)]
pub struct UpdateBookingStatusInput {
    /// The booking.
    id: ID,
    /// The new status.
    status: BookingStatus,
    /// The version that the caller has read: `STALE` when it is not the current one.
    version: Option<i32>,
    /// At most 500 characters, kept in the history.
    reason: Option<String>,
}

/// A booking to move.
#[derive(InputObject)]
pub struct RescheduleBookingInput {
    /// The booking.
    id: ID,
    /// The new start. The duration stays the same.
    starts_at: DateTime,
    /// The version that the caller has read: `STALE` when it is not the current one.
    version: Option<i32>,
}

/// A booking to cancel.
#[derive(InputObject)]
pub struct CancelBookingInput {
    /// The booking.
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
        /// The updated booking.
        booking: Booking
    }
);
payload!(
    /// The outcome of `rescheduleBooking`.
    RescheduleBookingPayload {
        /// The moved booking.
        booking: Booking
    }
);
payload!(
    /// The outcome of `cancelBooking`.
    CancelBookingPayload {
        /// The cancelled booking.
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
            Error::ServiceNotFound => mend(Code::NotFound, "serviceId", "There is no such bookable service."),
            Error::CustomerNotFound => mend(Code::NotFound, "customerId", "There is no such customer."),
            Error::InThePast => mend(Code::TooSoon, "startsAt", "This time has passed."),
            Error::NotYet => mend(Code::TooSoon, "status", "The booking has not started yet."),
            Error::HasBegun => mend(Code::InvalidTransition, "", "The booking has already started. Contact the staff."),
            Error::TooFar => mend(Code::TooFar, "startsAt", "Book at most two years ahead."),
            Error::NoticeTooShort(minutes) => {
                mend(Code::TooSoon, "startsAt", &format!("Book at least {minutes} minutes ahead."))
            }
            Error::PastWindow(days) => mend(Code::TooFar, "startsAt", &format!("Book at most {days} days ahead.")),
            Error::TooLateToCancel(minutes) => mend(
                Code::TooSoon,
                "",
                &format!(
                    "Cancelling is possible until {minutes} minutes before the start, also when it was moved since. Contact the staff."
                ),
            ),
            Error::TooLateToMove(minutes) => mend(
                Code::TooSoon,
                "",
                &format!("Moving is possible until {minutes} minutes before. Contact the staff."),
            ),
            Error::MovedTooOften(most) => {
                mend(Code::InvalidTransition, "", &format!("A booking can be moved {most} times. Contact the staff."))
            }
            Error::NotMovable(status) => {
                mend(Code::InvalidTransition, "", &format!("A booking that is {} cannot be moved.", status.as_str()))
            }
            Error::ResourceNotFound => mend(Code::NotFound, "resourceId", "No such resource can serve this service."),
            Error::TooManyHolds => mend(
                Code::QuotaExceeded,
                "",
                &format!(
                    "A customer can hold at most {} slots at a time. Confirm or cancel one of them.",
                    crate::features::bookings::MAX_HOLDS
                ),
            ),
            Error::HoldOver => mend(
                Code::InvalidTransition,
                "id",
                "The hold has expired, or the booking is no longer a hold. Hold or book again.",
            ),
            Error::OutsideHours => {
                mend(Code::OutsideHours, "startsAt", "The business is closed for part of that time.")
            }
            Error::OffGrid(step) => mend(
                Code::OutsideHours,
                "startsAt",
                &format!("Bookings start every {step} minutes after opening. See availability."),
            ),
            Error::TooManyDays(days) => mend(Code::Invalid, "to", &format!("Request at most {days} days at once.")),
            Error::TooManySlots(most) => mend(
                Code::Invalid,
                "first",
                &format!("One response has 1 to {most} slots. Ask for a number of them, or for fewer days."),
            ),
            Error::SlotTaken => mend(Code::SlotTaken, "startsAt", "Another booking holds this time."),
            Error::TooLong(field, most) => mend(Code::Invalid, field, &format!("At most {most} characters.")),
            Error::QuotaExceeded => mend(Code::QuotaExceeded, "", "Your plan does not allow more bookings this month."),
            Error::Stale => mend(Code::Stale, "version", "The booking has changed since you read it. Read it again."),
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
    /// The bookings that the caller may see: staff see all, customers see their own.
    #[allow(clippy::too_many_arguments, reason = "these are the arguments of the GraphQL field")]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn bookings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Filters the list.")] filter: Option<BookingFilterInput>,
        #[graphql(desc = "The order (default STARTS_AT_ASC).")] order_by: Option<BookingOrder>,
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

    /// Free slots of one service, by start: the times that customers can book under the rules of the service and the
    /// hours of all required resources. At most 62 days at once. For the next page of a list that was limited with
    /// `first`, ask from just after the last slot's start.
    #[graphql(complexity = "5 * STATEMENT_COST + first.unwrap_or(500).clamp(1, 500) as usize * child_complexity")]
    async fn availability(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service.")] service_id: ID,
        #[graphql(desc = "Slots that start at this time or later.")] from: DateTime,
        #[graphql(desc = "Slots that start before this time.")] to: DateTime,
        #[graphql(desc = "Only with this resource.")] resource_id: Option<ID>,
        #[graphql(desc = "Only so many, the earliest ones: 1 to 20,000. All when omitted.")] first: Option<i32>,
    ) -> Result<Vec<FreeSlot>, ApiError> {
        let (from, to) = filter_interval(Some(from), Some(to))?;
        let service = parse_id(&service_id, "serviceId")?;
        let resource = resource_id.map(|id| parse_id(&id, "resourceId")).transpose()?;
        let (Some(from), Some(to)) = (from, to) else { return Ok(Vec::new()) };
        let first = first.map(|it| usize::try_from(it).unwrap_or_default());
        let wish = crate::features::bookings::Wish { from, to, resource, first };
        let free = crate::features::bookings::availability(&ctx.work()?.caller(), service, wish).await;
        let free = free.map_err(|error| ApiError::from(ErrorClass::from(error)))?;
        Ok(free.into_iter().map(FreeSlot::from).collect())
    }

    /// Why a customer cannot book a service at a given time. Null when they can.
    #[graphql(complexity = "5 * STATEMENT_COST + child_complexity")]
    async fn why_unavailable(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The service.")] service_id: ID,
        #[graphql(desc = "The start of the booking.")] starts_at: DateTime,
        #[graphql(desc = "Only with this resource.")] resource_id: Option<ID>,
    ) -> Result<Option<Obstacle>, ApiError> {
        let service = parse_id(&service_id, "serviceId")?;
        let resource = resource_id.map(|id| parse_id(&id, "resourceId")).transpose()?;
        let found = crate::features::bookings::obstacle(&ctx.work()?.caller(), service, starts_at.0, resource).await;
        Ok(found.map_err(|error| ApiError::from(ErrorClass::from(error)))?.map(Into::into))
    }

    /// One booking. Null when it does not exist or the caller may not see it.
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

/// How much of the related services and customers a list selects.
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
    /// Books a service. Fails with `SLOT_TAKEN` when other bookings hold the time, `TOO_SOON` when it has passed,
    /// `TOO_FAR` beyond two years, and `QUOTA_EXCEEDED` beyond the plan's limit for the month.
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

    /// Holds a slot for ten minutes. `confirmHold` turns the hold into a booking; an unconfirmed hold expires and the
    /// slot becomes available. A customer can hold three slots at a time (`QUOTA_EXCEEDED` beyond that).
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

    /// Confirms a hold that has not expired (`INVALID_TRANSITION` otherwise). It becomes `CONFIRMED`, or `PENDING`
    /// when staff confirm bookings of the service. `QUOTA_EXCEEDED` beyond the plan's limit for the month.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn confirm_hold(&self, ctx: &Context<'_>, input: ConfirmHoldInput) -> Result<ConfirmHoldPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let confirmed = crate::features::bookings::confirm_hold(&work.caller(), id, input.notes).await;
        Ok(work.settle(confirmed.map(Booking::from))?.into())
    }

    /// Changes a booking's status. Staff may make every transition that the current status allows
    /// (`INVALID_TRANSITION` otherwise); customers may cancel their own bookings before they start.
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

    /// Moves a booking to another time. When that time is not available (`SLOT_TAKEN`, `TOO_SOON`, `TOO_FAR`), the
    /// booking stays.
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

    /// Cancels a booking and frees its time.
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
