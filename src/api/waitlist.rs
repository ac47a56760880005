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

/// Where a place on the waitlist stands.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::waitlist::Status")]
pub enum WaitlistStatus {
    /// The time is taken.
    Waiting,
    /// It is held: `confirmHold` books it.
    Offered,
    /// It was booked.
    Booked,
    /// The offer was not taken up, or the time has passed.
    Lapsed,
    /// The customer does not wait any more.
    Left,
}

/// Somebody's place on the waitlist for a time.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct WaitlistEntry {
    /// TypeID with the prefix `wle`.
    pub id: ID,
    /// When it would start.
    pub starts_at: DateTime,
    /// Where it stands.
    pub status: WaitlistStatus,
    /// Since when.
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
    /// For what.
    async fn service(&self, ctx: &Context<'_>) -> Result<Service, ApiError> {
        crate::api::objects::service_of_key(ctx, self.key.1).await
    }

    /// Who.
    async fn customer(&self, ctx: &Context<'_>) -> Result<User, ApiError> {
        crate::api::objects::user_of_key(ctx, self.key.2).await
    }

    /// Only with this one. Null for whichever is free.
    async fn resource(&self, ctx: &Context<'_>) -> Result<Option<Resource>, ApiError> {
        match self.wished {
            Some(id) => crate::api::resources::find(ctx, id).await,
            None => Ok(None),
        }
    }

    /// The booking by which the time was offered: `HELD` until its `heldUntil`. Null before.
    async fn booking(&self, ctx: &Context<'_>) -> Result<Option<Booking>, ApiError> {
        match self.offered {
            Some(id) => crate::api::bookings::find(ctx, id).await,
            None => Ok(None),
        }
    }
}

/// A time to wait for.
#[derive(InputObject)]
pub struct JoinWaitlistInput {
    /// For what.
    service_id: ID,
    /// When it would start.
    starts_at: DateTime,
    /// Only with this resource; without it whichever is free.
    resource_id: Option<ID>,
    /// Who; staff alone may put somebody else on the list.
    customer_id: Option<ID>,
}

/// A place to give up.
#[derive(InputObject)]
pub struct LeaveWaitlistInput {
    /// Which.
    id: ID,
}

payload!(
    /// The outcome of `joinWaitlist`.
    JoinWaitlistPayload {
        /// The place.
        entry: WaitlistEntry
    }
);
payload!(
    /// The outcome of `leaveWaitlist`.
    LeaveWaitlistPayload {
        /// The place as given up.
        entry: WaitlistEntry
    }
);

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such place on the waitlist."),
            Error::NotWaiting => mend(
                UserErrorCode::InvalidTransition,
                "id",
                "Nobody waits there any more: what was offered is let go by cancelBooking.",
            ),
            Error::Free => mend(UserErrorCode::Invalid, "startsAt", "This time is free: book it."),
            Error::Never => {
                mend(UserErrorCode::Invalid, "startsAt", "It cannot be booked then, taken or not: see whyUnavailable.")
            }
            Error::TooMany => mend(
                UserErrorCode::QuotaExceeded,
                "",
                &format!(
                    "One can wait for {} times at once: leave one of them.",
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
    /// The waitlist as far as the caller may see it, whoever came first in front: staff see all of it, customers their own
    /// places.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn waitlist(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only for this service.")] service_id: Option<ID>,
    ) -> Result<Listing<WaitlistEntry>, ApiError> {
        const KIND: &str = "waitlist";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let service = service_id.map(|id| parse_id(&id, "serviceId")).transpose()?;
        let work = ctx.work()?;
        let slice = crate::features::waitlist::list(&work.tx, service, &page, work.caller().clock.now()).await?;
        Ok(connection(KIND, slice, WaitlistEntry::from))
    }
}

/// One place, as `node(id)` shows it.
pub async fn find(ctx: &Context<'_>, id: WaitlistEntryId) -> Result<Option<WaitlistEntry>, ApiError> {
    let work = ctx.work()?;
    Ok(crate::features::waitlist::find(&work.tx, id, work.caller().clock.now()).await?.map(WaitlistEntry::from))
}

/// Mutations of the waitlist.
#[derive(Default)]
pub struct WaitlistMutation;

#[Object]
impl WaitlistMutation {
    /// Waits for a time that is taken. When it is free again it is held for the first in line for two hours, who is told by
    /// mail; `confirmHold` books it. Who waits for it already keeps his place.
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

    /// Waits for a time no longer. `INVALID_TRANSITION` once it was offered: `cancelBooking` lets the offer go.
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
