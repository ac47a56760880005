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

/// Which services a list holds. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "ServiceFilter")]
pub struct ServiceFilterInput {
    /// Only active ones, or only inactive ones. Customers are shown active ones only.
    active: Option<bool>,
    /// Only those whose name contains this text, whatever the case.
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
    /// How many bookings may stand at the same time, 1 to 100.
    #[graphql(default = 1)]
    capacity: i32,
    /// Whether a booking waits as `PENDING` until staff confirm it.
    #[graphql(default = false)]
    requires_confirmation: bool,
    /// Customers book at so many minutes after opening, or a multiple: 5 to 1,440; at any time where it is left out.
    slot_step_minutes: Option<i32>,
    /// Minutes before its start for which a booking holds its resources, at most 1,440.
    #[graphql(default = 0)]
    buffer_before_minutes: i32,
    /// Minutes after its end for which a booking holds its resources, at most 1,440.
    #[graphql(default = 0)]
    buffer_after_minutes: i32,
    /// Minutes before its start until which a customer can book, at most 525,600; the tenant's rule where it is left out.
    min_notice_minutes: Option<i32>,
    /// Days ahead that a customer can book, 1 to 732; the tenant's rule where it is left out.
    max_ahead_days: Option<i32>,
    /// Minutes before its start until which a customer can cancel, at most 525,600; the tenant's rule where it is left out.
    cancel_notice_minutes: Option<i32>,
    /// Minutes before its start until which a customer can move a booking; as for cancelling where it is left out.
    reschedule_notice_minutes: Option<i32>,
}

/// What to change of a service. Fields that are left out stay as they are.
#[derive(InputObject)]
pub struct UpdateServiceInput {
    /// Which service.
    id: ID,
    /// 1 to 200 characters, unique within the tenant.
    name: Option<String>,
    /// At most 5,000 characters; null removes it.
    description: MaybeUndefined<String>,
    /// 1 to 1,440 minutes. Bookings that stand keep theirs.
    duration_minutes: Option<i32>,
    /// In the tenant's currency. Bookings that stand keep theirs.
    price: Option<MoneyInput>,
    /// 1 to 100 bookings at the same time. `IN_USE` when bookings to come hold more seats.
    capacity: Option<i32>,
    /// Whether a booking waits as `PENDING` until staff confirm it.
    requires_confirmation: Option<bool>,
    /// Whether it can be booked.
    active: Option<bool>,
    /// Customers book at so many minutes after opening, or a multiple: 5 to 1,440; null: at any time.
    slot_step_minutes: MaybeUndefined<i32>,
    /// Minutes before its start for which a booking holds its resources, at most 1,440. Bookings that stand keep theirs.
    buffer_before_minutes: Option<i32>,
    /// Minutes after its end for which a booking holds its resources, at most 1,440. Bookings that stand keep theirs.
    buffer_after_minutes: Option<i32>,
    /// Minutes before its start until which a customer can book, at most 525,600; null takes the tenant's rule.
    min_notice_minutes: MaybeUndefined<i32>,
    /// Days ahead that a customer can book, 1 to 732; null takes the tenant's rule.
    max_ahead_days: MaybeUndefined<i32>,
    /// Minutes before its start until which a customer can cancel, at most 525,600; null takes the tenant's rule.
    cancel_notice_minutes: MaybeUndefined<i32>,
    /// Minutes before its start until which a customer can move a booking; null: as for cancelling.
    reschedule_notice_minutes: MaybeUndefined<i32>,
}

/// A resource that can serve a service.
#[derive(InputObject)]
pub struct ServiceResourceInput {
    /// Which resource.
    resource_id: ID,
    /// Taken first where it is higher, 0 to 100; among equals the least loaded.
    #[graphql(default = 0)]
    priority: i32,
}

/// Which resources can serve a service.
#[derive(InputObject)]
pub struct SetServiceResourcesInput {
    /// Which service.
    service_id: ID,
    /// All of them, at most 100. A booking takes one of each kind; none means that the service needs none.
    resources: Vec<ServiceResourceInput>,
}

/// Which service to delete.
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
        /// The service as changed.
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
    /// The id of the service that is gone.
    deleted_service_id: Option<ID>,
    /// The service, when bookings stand: with `IN_USE` it was deactivated instead of deleted.
    service: Option<Service>,
    /// What the caller can mend. Empty when the service is gone.
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
            Error::QuotaExceeded => mend(UserErrorCode::QuotaExceeded, "", "Your plan allows no more active services."),
            Error::SeatsInUse => {
                mend(UserErrorCode::InUse, "capacity", "Bookings to come hold more seats than that: move them first.")
            }
            Error::ResourceNotFound(place) => {
                mend(UserErrorCode::NotFound, &format!("resources.{place}.resourceId"), "There is no such resource.")
            }
            Error::ResourcesInUse => mend(
                UserErrorCode::InUse,
                "resources",
                "Bookings to come stand by what it took so far: move or cancel them first.",
            ),
            Error::Db(error) => error.into(),
        }
    }
}

/// A field that may be left out, or taken away.
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
    /// The tenant's services, by name. Customers see active ones.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn services(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which services.")] filter: Option<ServiceFilterInput>,
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

    /// One service. Null where there is none that the caller may see.
    async fn service(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<Option<Service>, ApiError> {
        find(ctx, parse_id(&id, "id")?).await
    }
}

/// One service, as `service(id)` and `node(id)` show it: customers see active ones.
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
    /// Adds a service. `NAME_TAKEN` where another has the name, `QUOTA_EXCEEDED` past the plan's limit.
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

    /// Changes a service. Bookings that stand keep the duration and price that they were made with.
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

    /// Says which resources can serve a service, in place of those that could. Bookings that stand keep theirs.
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

    /// Deletes a service that was never booked. One with bookings is deactivated instead, which is reported as `IN_USE`.
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
                    "Bookings point at this service, so it was deactivated instead of deleted.",
                )],
            },
            Err(error) => DeleteServicePayload { deleted_service_id: None, service: None, user_errors: vec![error] },
        })
    }
}
