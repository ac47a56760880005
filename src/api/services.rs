//! Services in the API.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::{ContextExt, objects::Service};
use crate::{
    base::ids::ServiceId,
    core::identity::Role,
    features::services::{Deleted, Draft, Patch, Rules, RulesPatch, ServiceError as Error, ServiceFilter},
    graphql::{
        ApiError, ErrorClass, Listing, MUTATION_COST, MoneyInput, PageArgs, UserError, UserErrorCode, connection,
        page_cost, parse_id, payload,
    },
};

/// Filters a list of services. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "ServiceFilter")]
pub struct ServiceFilterInput {
    /// Only active services, or only inactive ones. Customers see active services only.
    active: Option<bool>,
    /// Only services whose name contains this text, ignoring case.
    search: Option<String>,
}

/// A new service.
#[derive(InputObject)]
pub struct CreateServiceInput {
    /// 1 to 200 characters, unique within the tenant.
    name: String,
    /// At most 5,000 characters.
    description: Option<String>,
    /// How long a booking takes, 1 to 1,440 minutes.
    duration_minutes: i32,
    /// Price of one booking, in the tenant's currency.
    price: MoneyInput,
    /// Maximum number of bookings at the same time, 1 to 100.
    #[graphql(default = 1)]
    capacity: i32,
    /// Whether a booking stays `PENDING` until staff confirm it.
    #[graphql(default = false)]
    requires_confirmation: bool,
    /// Customers can book every so many minutes after opening, 5 to 1,440. Any start time is allowed when omitted.
    slot_step_minutes: Option<i32>,
    /// Minutes before a booking's start during which it also holds its resources, at most 1,440.
    #[graphql(default = 0)]
    buffer_before_minutes: i32,
    /// Minutes after a booking's end during which it also holds its resources, at most 1,440.
    #[graphql(default = 0)]
    buffer_after_minutes: i32,
    /// Latest time for a customer to book, in minutes before the start, at most 525,600. The tenant's rule applies
    /// when omitted.
    min_notice_minutes: Option<i32>,
    /// Number of days ahead that a customer can book, 1 to 732. The tenant's rule applies when omitted.
    max_ahead_days: Option<i32>,
    /// Latest time for a customer to cancel, in minutes before the start, at most 525,600. The tenant's rule applies
    /// when omitted.
    cancel_notice_minutes: Option<i32>,
    /// Latest time for a customer to move a booking, in minutes before the start. The rule for cancelling applies
    /// when omitted.
    reschedule_notice_minutes: Option<i32>,
}

/// Changes to a service. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateServiceInput {
    /// The service to change.
    id: ID,
    /// 1 to 200 characters, unique within the tenant.
    name: Option<String>,
    /// At most 5,000 characters; null removes it.
    description: MaybeUndefined<String>,
    /// 1 to 1,440 minutes. Existing bookings keep theirs.
    duration_minutes: Option<i32>,
    /// In the tenant's currency. Existing bookings keep theirs.
    price: Option<MoneyInput>,
    /// Maximum number of bookings at the same time, 1 to 100. `IN_USE` when upcoming bookings hold more seats.
    capacity: Option<i32>,
    /// Whether a booking stays `PENDING` until staff confirm it.
    requires_confirmation: Option<bool>,
    /// Whether the service can be booked.
    active: Option<bool>,
    /// Customers can book every so many minutes after opening, 5 to 1,440. Null allows any start time.
    slot_step_minutes: MaybeUndefined<i32>,
    /// Minutes before a booking's start during which it also holds its resources, at most 1,440. Existing bookings
    /// keep theirs.
    buffer_before_minutes: Option<i32>,
    /// Minutes after a booking's end during which it also holds its resources, at most 1,440. Existing bookings keep
    /// theirs.
    buffer_after_minutes: Option<i32>,
    /// Latest time for a customer to book, in minutes before the start, at most 525,600. Null uses the tenant's rule.
    min_notice_minutes: MaybeUndefined<i32>,
    /// Number of days ahead that a customer can book, 1 to 732. Null uses the tenant's rule.
    max_ahead_days: MaybeUndefined<i32>,
    /// Latest time for a customer to cancel, in minutes before the start, at most 525,600. Null uses the tenant's rule.
    cancel_notice_minutes: MaybeUndefined<i32>,
    /// Latest time for a customer to move a booking, in minutes before the start. Null uses the rule for cancelling.
    reschedule_notice_minutes: MaybeUndefined<i32>,
}

/// A resource that can serve a service.
#[derive(InputObject)]
pub struct ServiceResourceInput {
    /// The resource.
    resource_id: ID,
    /// 0 to 100. The resource with the highest priority is assigned first; among equals, the least booked one.
    #[graphql(default = 0)]
    priority: i32,
}

/// Which resources can serve a service.
#[derive(InputObject)]
pub struct SetServiceResourcesInput {
    /// The service.
    service_id: ID,
    /// The complete list, at most 100. A booking takes one resource of each kind. An empty list means that the
    /// service needs none.
    resources: Vec<ServiceResourceInput>,
}

/// The service to delete.
#[derive(InputObject)]
pub struct DeleteServiceInput {
    /// Its id.
    id: ID,
}

payload!(
    /// The outcome of `createService`.
    CreateServicePayload {
        /// The new service.
        service: Service
    }
);
payload!(
    /// The outcome of `updateService`.
    UpdateServicePayload {
        /// The updated service.
        service: Service
    }
);

payload!(
    /// The outcome of `setServiceResources`.
    SetServiceResourcesPayload {
        /// The service.
        service: Service
    }
);

/// The outcome of `deleteService`.
#[derive(SimpleObject)]
pub struct DeleteServicePayload {
    /// The id of the deleted service.
    deleted_service_id: Option<ID>,
    /// The service, when it has bookings: with `IN_USE` it was deactivated instead of deleted.
    service: Option<Service>,
    /// Errors that the caller can correct. Empty when the service was deleted.
    user_errors: Vec<UserError>,
}

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such service."),
            Error::NameTaken => mend(UserErrorCode::NameTaken, "name", "Another service has this name."),
            Error::Invalid(field, message) => mend(UserErrorCode::Invalid, field, &message),
            Error::QuotaExceeded => {
                mend(UserErrorCode::QuotaExceeded, "", "Your plan does not allow more active services.")
            }
            Error::SeatsInUse => {
                mend(UserErrorCode::InUse, "capacity", "Upcoming bookings hold more seats than that. Move them first.")
            }
            Error::ResourceNotFound(place) => {
                mend(UserErrorCode::NotFound, &format!("resources.{place}.resourceId"), "There is no such resource.")
            }
            Error::ResourcesInUse => mend(
                UserErrorCode::InUse,
                "resources",
                "Upcoming bookings depend on the current resources. Move or cancel them first.",
            ),
            Error::Db(error) => error.into(),
        }
    }
}

/// Maps an input field to a patch: omitted, cleared or set.
fn patched<T>(field: MaybeUndefined<T>) -> Option<Option<T>> {
    match field {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => Some(Some(value)),
    }
}

/// Queries about services.
#[derive(Default)]
pub struct ServiceQuery;

#[Object]
impl ServiceQuery {
    /// The tenant's services, by name. Customers see active services only.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn services(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Filters the list.")] filter: Option<ServiceFilterInput>,
    ) -> Result<Listing<Service>, ApiError> {
        const KIND: &str = "services.name";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let filter = filter.map_or_else(ServiceFilter::default, |filter| ServiceFilter {
            active: filter.active,
            search: filter.search.filter(|text| !text.is_empty()),
        });
        let slice = crate::features::services::list(&ctx.work()?.caller(), &filter, &page).await?;
        Ok(connection(KIND, slice, Service::from))
    }

    /// One service. Null when it does not exist or the caller may not see it.
    async fn service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<Option<Service>, ApiError> {
        find(ctx, parse_id(&id, "id")?).await
    }
}

/// One service, as `service(id)` and `node(id)` show it. Customers see active services only.
pub async fn find(ctx: &Context<'_>, id: ServiceId) -> Result<Option<Service>, ApiError> {
    let work = ctx.work()?;
    let sees_inactive = work.viewer.role >= Role::Staff;
    let service = work.loaders.services().load_one(id).await?;
    Ok(service.filter(|it| it.active || sees_inactive).map(Service::from))
}

/// Mutations of services. Administrators only.
#[derive(Default)]
pub struct ServiceMutation;

#[Object]
impl ServiceMutation {
    /// Creates a service. `NAME_TAKEN` when another service has the name, `QUOTA_EXCEEDED` beyond the plan's limit.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_service(
        &self,
        ctx: &Context<'_>,
        input: CreateServiceInput,
    ) -> Result<CreateServicePayload, ApiError> {
        let work = ctx.work()?;
        let draft = Draft {
            price: input.price.read("input.price")?,
            name: input.name,
            description: input.description,
            duration_minutes: input.duration_minutes,
            capacity: input.capacity,
            requires_confirmation: input.requires_confirmation,
            active: true,
            rules: Rules {
                slot_step_minutes: input.slot_step_minutes,
                buffer_before_minutes: input.buffer_before_minutes,
                buffer_after_minutes: input.buffer_after_minutes,
                min_notice_minutes: input.min_notice_minutes,
                max_ahead_days: input.max_ahead_days,
                cancel_notice_minutes: input.cancel_notice_minutes,
                reschedule_notice_minutes: input.reschedule_notice_minutes,
            },
        };
        Ok(work.settle(crate::features::services::create(&work.caller(), draft).await.map(Service::from))?.into())
    }

    /// Updates a service. Existing bookings keep the duration and price that they were made with.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_service(
        &self,
        ctx: &Context<'_>,
        input: UpdateServiceInput,
    ) -> Result<UpdateServicePayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        let patch = Patch {
            price: input.price.map(|price| price.read("input.price")).transpose()?,
            name: input.name,
            description: patched(input.description),
            duration_minutes: input.duration_minutes,
            capacity: input.capacity,
            requires_confirmation: input.requires_confirmation,
            active: input.active,
            rules: RulesPatch {
                slot_step_minutes: patched(input.slot_step_minutes),
                buffer_before_minutes: input.buffer_before_minutes,
                buffer_after_minutes: input.buffer_after_minutes,
                min_notice_minutes: patched(input.min_notice_minutes),
                max_ahead_days: patched(input.max_ahead_days),
                cancel_notice_minutes: patched(input.cancel_notice_minutes),
                reschedule_notice_minutes: patched(input.reschedule_notice_minutes),
            },
        };
        Ok(work.settle(crate::features::services::update(&work.caller(), id, patch).await.map(Service::from))?.into())
    }

    /// Replaces the resources that can serve a service. Existing bookings keep theirs.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn set_service_resources(
        &self,
        ctx: &Context<'_>,
        input: SetServiceResourcesInput,
    ) -> Result<SetServiceResourcesPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.service_id, "input.serviceId")?;
        let read = |it: &ServiceResourceInput| {
            let resource = parse_id(&it.resource_id, "input.resources.resourceId")?;
            Ok::<_, ApiError>((resource, i16::try_from(it.priority).unwrap_or(-1)))
        };
        let resources = input.resources.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(work
            .settle(crate::features::services::set_resources(&work.caller(), id, &resources).await.map(Service::from))?
            .into())
    }

    /// Deletes a service that was never booked. A service with bookings is deactivated instead, and `IN_USE` is reported.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_service(
        &self,
        ctx: &Context<'_>,
        input: DeleteServiceInput,
    ) -> Result<DeleteServicePayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id(&input.id, "input.id")?;
        Ok(match work.settle(crate::features::services::delete(&work.caller(), id).await)? {
            Ok(Deleted::Gone(id)) => DeleteServicePayload {
                deleted_service_id: Some(id.to_string().into()),
                service: None,
                user_errors: vec![],
            },
            Ok(Deleted::Deactivated(service)) => DeleteServicePayload {
                deleted_service_id: None,
                service: Some(service.into()),
                user_errors: vec![UserError::new(
                    UserErrorCode::InUse,
                    "id",
                    "This service has bookings, so it was deactivated instead of deleted.",
                )],
            },
            Err(error) => DeleteServicePayload { deleted_service_id: None, service: None, user_errors: vec![error] },
        })
    }
}
