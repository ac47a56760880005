//! The waitlist in the API.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use crate::{
    api::{
        ContextExt,
        objects::{Booking, Resource, Service, User},
    },
    base::ids::{BookingId, ResourceId, ServiceId, UserId, WaitlistEntryId},
    features::waitlist::{NewEntry, WaitlistError as Error},
    graphql::{
        ApiError, DateTime, ErrorClass, Listing, MUTATION_COST, PageArgs, UserError, UserErrorCode, connection,
        page_cost, parse_id, payload,
    },
};

/// The status of an entry on the waitlist.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::waitlist::Status")]
pub enum WaitlistStatus {
    /// The slot is still taken.
    Waiting,
    /// The slot is held for the customer: `confirmHold` books it.
    Offered,
    /// The slot was booked.
    Booked,
    /// The offer expired, or the time has passed.
    Lapsed,
    /// The customer left the waitlist.
    Left,
}

/// A customer's entry on the waitlist for a slot.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct WaitlistEntry {
    /// TypeID with the prefix `wle`.
    pub id: ID,
    /// The start of the slot.
    pub starts_at: DateTime,
    /// The status.
    pub status: WaitlistStatus,
    /// When the customer joined.
    pub created_at: DateTime,
    #[graphql(skip)]
    key: (WaitlistEntryId, ServiceId, UserId),
    #[graphql(skip)]
    wished: Option<ResourceId>,
    #[graphql(skip)]
    offered: Option<BookingId>,
}

impl From<crate::features::waitlist::Entry> for WaitlistEntry {
    fn from(entry: crate::features::waitlist::Entry) -> Self {
        Self {
            id: entry.id.to_string().into(),
            starts_at: DateTime(entry.starts_at),
            status: entry.status.into(),
            created_at: DateTime(entry.created_at),
            key: (entry.id, entry.service, entry.customer),
            wished: entry.resource,
            offered: entry.booking,
        }
    }
}

#[ComplexObject]
impl WaitlistEntry {
    /// The service.
    async fn service(&self, ctx: &Context<'_>) -> Result<Service, ApiError> {
        crate::api::objects::service_of_key(ctx, self.key.1).await
    }

    /// The customer.
    async fn customer(&self, ctx: &Context<'_>) -> Result<User, ApiError> {
        crate::api::objects::user_of_key(ctx, self.key.2).await
    }

    /// The wanted resource. Null for any.
    async fn resource(&self, ctx: &Context<'_>) -> Result<Option<Resource>, ApiError> {
        match self.wished {
            Some(id) => crate::api::resources::find(ctx, id).await,
            None => Ok(None),
        }
    }

    /// The booking that offers the slot: `HELD` until its `heldUntil`. Null before the offer.
    async fn booking(&self, ctx: &Context<'_>) -> Result<Option<Booking>, ApiError> {
        match self.offered {
            Some(id) => crate::api::bookings::find(ctx, id).await,
            None => Ok(None),
        }
    }
}

/// A slot to wait for.
#[derive(InputObject)]
pub struct JoinWaitlistInput {
    /// The service.
    service_id: ID,
    /// The start of the slot.
    starts_at: DateTime,
    /// The wanted resource; any when omitted.
    resource_id: Option<ID>,
    /// The customer; only staff may add another person.
    customer_id: Option<ID>,
}

/// An entry to leave.
#[derive(InputObject)]
pub struct LeaveWaitlistInput {
    /// The entry.
    id: ID,
}

payload!(
    /// The outcome of `joinWaitlist`.
    JoinWaitlistPayload {
        /// The entry.
        entry: WaitlistEntry
    }
);
payload!(
    /// The outcome of `leaveWaitlist`.
    LeaveWaitlistPayload {
        /// The entry after leaving.
        entry: WaitlistEntry
    }
);

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such entry on the waitlist."),
            Error::NotWaiting => mend(
                UserErrorCode::InvalidTransition,
                "id",
                "This entry is no longer waiting. Decline an offer with cancelBooking.",
            ),
            Error::Free => mend(UserErrorCode::Invalid, "startsAt", "This slot is free. Book it."),
            Error::Never => {
                mend(UserErrorCode::Invalid, "startsAt", "This slot cannot be booked at all. See whyUnavailable.")
            }
            Error::TooMany => mend(
                UserErrorCode::QuotaExceeded,
                "",
                &format!(
                    "A customer can wait for at most {} slots at a time. Leave one of them.",
                    crate::features::waitlist::MAX_WAITING
                ),
            ),
            Error::Booking(error) => error.into(),
        }
    }
}

/// Queries about the waitlist.
#[derive(Default)]
pub struct WaitlistQuery;

#[Object]
impl WaitlistQuery {
    /// The waitlist entries that the caller may see, first come first: staff see all of them, customers their own.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn waitlist(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only entries for this service.")] service_id: Option<ID>,
    ) -> Result<Listing<WaitlistEntry>, ApiError> {
        const KIND: &str = "waitlist";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let service = service_id.map(|id| parse_id(&id, "serviceId")).transpose()?;
        let work = ctx.work()?;
        let slice = crate::features::waitlist::list(&work.tx, service, &page, work.caller().clock.now()).await?;
        Ok(connection(KIND, slice, WaitlistEntry::from))
    }
}

/// One entry, as `node(id)` shows it.
pub async fn find(ctx: &Context<'_>, id: WaitlistEntryId) -> Result<Option<WaitlistEntry>, ApiError> {
    let work = ctx.work()?;
    Ok(crate::features::waitlist::find(&work.tx, id, work.caller().clock.now()).await?.map(WaitlistEntry::from))
}

/// Mutations of the waitlist.
#[derive(Default)]
pub struct WaitlistMutation;

#[Object]
impl WaitlistMutation {
    /// Joins the waitlist for a slot that is taken. When the slot becomes free, it is held for two hours for the
    /// first customer in line, who gets an email; `confirmHold` books it. A customer who already waits for the slot
    /// keeps their place.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn join_waitlist(
        &self,
        ctx: &Context<'_>,
        input: JoinWaitlistInput,
    ) -> Result<JoinWaitlistPayload, ApiError> {
        let work = ctx.work()?;
        let new = NewEntry {
            service: parse_id(&input.service_id, "input.serviceId")?,
            starts_at: input.starts_at.0,
            resource: input.resource_id.map(|id| parse_id(&id, "input.resourceId")).transpose()?,
            customer: input.customer_id.map(|id| parse_id(&id, "input.customerId")).transpose()?,
        };
        let joined = Box::pin(crate::features::waitlist::join(&work.caller(), new)).await;
        Ok(work.settle(joined.map(WaitlistEntry::from))?.into())
    }

    /// Leaves the waitlist. `INVALID_TRANSITION` after an offer: use `cancelBooking` to decline the offer.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn leave_waitlist(
        &self,
        ctx: &Context<'_>,
        input: LeaveWaitlistInput,
    ) -> Result<LeaveWaitlistPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        Ok(work.settle(crate::features::waitlist::leave(&work.caller(), id).await.map(WaitlistEntry::from))?.into())
    }
}
