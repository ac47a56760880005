//! Any object by its id: the prefix names the type.

use async_graphql::{Context, ID, Interface, Object};

use super::ContextExt;
use crate::{
    api::{
        objects::{Booking, BookingSeries, Resource, Service, User},
        tenants::Tenant,
        waitlist::WaitlistEntry,
    },
    base::ids::{BookingId, ResourceId, SeriesId, ServiceId, TenantId, UserId, WaitlistEntryId},
    graphql::{ApiError, STATEMENT_COST},
};

/// Maximum number of ids in one `nodes`.
const MAX_NODES: usize = 100;

/// An object with an id. Every id is a TypeID: a type prefix and a UUIDv7, such as `bkg_01h455vb4pex5vsknk084sn02q`.
#[derive(Clone, Interface)]
#[graphql(field(name = "id", ty = "&ID", desc = "The object's id."))]
#[allow(clippy::large_enum_variant, reason = "one exists for each requested id, at most a hundred")]
pub enum Node {
    /// A tenant.
    Tenant(Tenant),
    /// A user.
    User(User),
    /// A resource.
    Resource(Resource),
    /// A service.
    Service(Service),
    /// A booking.
    Booking(Booking),
    /// A series of bookings.
    BookingSeries(BookingSeries),
    /// A customer's entry on the waitlist.
    WaitlistEntry(WaitlistEntry),
}

/// Queries for any object.
#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object with this id. Null when it does not exist or the caller may not see it.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Result<Option<Node>, ApiError> {
        find(ctx, &id, "id").await
    }

    /// The objects with these ids, in the same order; null for an object that does not exist or that the caller may
    /// not see. At most 100.
    #[graphql(complexity = "STATEMENT_COST + ids.len() * child_complexity")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Their ids.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>, ApiError> {
        if ids.len() > MAX_NODES {
            return Err(ApiError::bad_input("ids", format!("at most {MAX_NODES} at a time")));
        }
        let found = futures_util::future::join_all(ids.iter().map(|id| find(ctx, id, "ids"))).await;
        found.into_iter().collect()
    }
}

async fn find(ctx: &Context<'_>, id: &ID, argument: &'static str) -> Result<Option<Node>, ApiError> {
    let work = ctx.work()?;
    if let Ok(id) = id.parse::<BookingId>() {
        Ok(crate::api::bookings::find(ctx, id).await?.map(Node::Booking))
    } else if let Ok(id) = id.parse::<SeriesId>() {
        Ok(crate::api::series::find(ctx, id).await?.map(Node::BookingSeries))
    } else if let Ok(id) = id.parse::<WaitlistEntryId>() {
        Ok(crate::api::waitlist::find(ctx, id).await?.map(Node::WaitlistEntry))
    } else if let Ok(id) = id.parse::<ResourceId>() {
        Ok(crate::api::resources::find(ctx, id).await?.map(Node::Resource))
    } else if let Ok(id) = id.parse::<ServiceId>() {
        Ok(crate::api::services::find(ctx, id).await?.map(Node::Service))
    } else if let Ok(id) = id.parse::<UserId>() {
        Ok(work.loaders.users().load_one(id).await?.map(|it| Node::User(it.into())))
    } else if let Ok(id) = id.parse::<TenantId>() {
        Ok(work.loaders.tenants().load_one(id).await?.map(|it| Node::Tenant(it.into())))
    } else {
        Err(ApiError::bad_input(
            argument,
            "must be an id of a tenant, user, resource, service, booking, series of bookings or place on the waitlist",
        ))
    }
}
