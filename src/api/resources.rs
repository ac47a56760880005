//! Resources in the API.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::{
    ContextExt,
    objects::{Resource, ResourceKind},
};
use crate::base::names;
use crate::{
    base::ids::ResourceId,
    core::identity::Role,
    features::resources::{Deleted, Draft, Patch, ResourceError as Error, ResourceFilter},
    graphql::{
        ApiError, ErrorClass, Listing, MUTATION_COST, PageArgs, UserError, UserErrorCode, connection, page_cost,
        parse_id, payload,
    },
};

/// Filters a list of resources. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "ResourceFilter")]
pub struct ResourceFilterInput {
    /// Only resources of this kind.
    kind: Option<ResourceKind>,
    /// Only active resources, or only inactive ones. Customers see active resources only.
    active: Option<bool>,
}

/// A new resource.
#[derive(InputObject)]
pub struct CreateResourceInput {
    /// Its kind. It cannot be changed later.
    kind: ResourceKind,
    /// 1 to 200 characters, unique within the tenant.
    name: String,
    /// The user that it represents; only for the kind `STAFF`.
    user_id: Option<ID>,
}

/// Changes to a resource. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateResourceInput {
    /// The resource.
    id: ID,
    /// 1 to 200 characters, unique within the tenant.
    name: Option<String>,
    /// The user that it represents; null for nobody.
    user_id: MaybeUndefined<ID>,
    /// Whether it can be booked. Existing bookings stay.
    active: Option<bool>,
}

/// The resource to delete.
#[derive(InputObject)]
pub struct DeleteResourceInput {
    /// Its id.
    id: ID,
}

payload!(
    /// The outcome of `createResource`.
    CreateResourcePayload {
        /// The new resource.
        resource: Resource
    }
);
payload!(
    /// The outcome of `updateResource`.
    UpdateResourcePayload {
        /// The updated resource.
        resource: Resource
    }
);

/// The outcome of `deleteResource`.
#[derive(SimpleObject)]
pub struct DeleteResourcePayload {
    /// The id of the deleted resource.
    deleted_resource_id: Option<ID>,
    /// The resource, when bookings or services use it: with `IN_USE` it was deactivated instead of deleted.
    resource: Option<Resource>,
    /// Errors that the caller can correct. Empty when the resource was deleted.
    user_errors: Vec<UserError>,
}

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such resource."),
            Error::NameTaken => mend(UserErrorCode::NameTaken, "name", "Another resource has this name."),
            Error::InvalidName => mend(UserErrorCode::Invalid, "name", names::RULE),
            Error::UserNotFound => mend(UserErrorCode::NotFound, "userId", "There is no such user."),
            Error::NoUserOfKind => mend(UserErrorCode::Invalid, "userId", "Only a resource of kind STAFF has a user."),
            Error::QuotaExceeded => {
                mend(UserErrorCode::QuotaExceeded, "", "The tenant's plan does not allow more active resources.")
            }
            Error::Db(error) => error.into(),
        }
    }
}

/// Queries about resources.
#[derive(Default)]
pub struct ResourceQuery;

#[Object]
impl ResourceQuery {
    /// The tenant's resources, by name. Customers see active resources only.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn resources(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Filters the list.")] filter: Option<ResourceFilterInput>,
    ) -> Result<Listing<Resource>, ApiError> {
        const KIND: &str = "resources.name";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let filter = filter.map_or_else(ResourceFilter::default, |filter| ResourceFilter {
            kind: filter.kind.map(Into::into),
            active: filter.active,
        });
        let slice = crate::features::resources::list(&ctx.work()?.caller(), &filter, &page).await?;
        Ok(connection(KIND, slice, Resource::from))
    }

    /// One resource. Null when it does not exist or the caller may not see it.
    async fn resource(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<Option<Resource>, ApiError> {
        find(ctx, parse_id(&id, "id")?).await
    }
}

/// One resource, as `resource(id)` and `node(id)` show it. Customers see active resources only.
pub async fn find(ctx: &Context<'_>, id: ResourceId) -> Result<Option<Resource>, ApiError> {
    let work = ctx.work()?;
    let sees_inactive = work.viewer.role >= Role::Staff;
    let resource = work.loaders.resources().load_one(id).await?;
    Ok(resource.filter(|it| it.active || sees_inactive).map(Resource::from))
}

/// Mutations of resources. Administrators only.
#[derive(Default)]
pub struct ResourceMutation;

#[Object]
impl ResourceMutation {
    /// Creates a resource. `NAME_TAKEN` when another resource has the name.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_resource(
        &self,
        ctx: &Context<'_>,
        input: CreateResourceInput,
    ) -> Result<CreateResourcePayload, ApiError> {
        let work = ctx.work()?;
        let draft = Draft {
            kind: input.kind.into(),
            name: input.name,
            user: input.user_id.map(|id| parse_id(&id, "input.userId")).transpose()?,
            active: true,
        };
        Ok(work.settle(crate::features::resources::create(&work.caller(), draft).await.map(Resource::from))?.into())
    }

    /// Updates a resource. Existing bookings stay.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_resource(
        &self,
        ctx: &Context<'_>,
        input: UpdateResourceInput,
    ) -> Result<UpdateResourcePayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let user = match input.user_id {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(id) => Some(Some(parse_id(&id, "input.userId")?)),
        };
        let patch = Patch { name: input.name, user, active: input.active };
        Ok(work.settle(crate::features::resources::update(&work.caller(), id, patch).await.map(Resource::from))?.into())
    }

    /// Deletes a resource that was never booked and serves no service. Any other resource is deactivated instead, and
    /// `IN_USE` is reported.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_resource(
        &self,
        ctx: &Context<'_>,
        input: DeleteResourceInput,
    ) -> Result<DeleteResourcePayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let (deleted_resource_id, resource, user_errors) =
            match work.settle(crate::features::resources::delete(&work.caller(), id).await)? {
                Ok(Deleted::Gone(id)) => (Some(id.to_string().into()), None, vec![]),
                Ok(Deleted::Deactivated(resource)) => {
                    let message = "Bookings or services use this resource, so it was deactivated instead of deleted.";
                    (None, Some(resource.into()), vec![UserError::new(UserErrorCode::InUse, "id", message)])
                }
                Err(error) => (None, None, vec![error]),
            };
        Ok(DeleteResourcePayload { deleted_resource_id, resource, user_errors })
    }
}
