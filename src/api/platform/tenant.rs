//! A tenant as the platform sees it.

use async_graphql::{ID, SimpleObject};

use crate::{
    api::tenants::{Isolation, TenantStatus},
    core::identity::Actor,
    features::{
        billing::invoices::InvoiceError,
        platform::{Listed, PlatformError},
    },
    graphql::{ApiError, DateTime, ErrorClass, UserError, UserErrorCode, settled},
};

/// A tenant, as the platform sees it: without its users, services and bookings.
#[derive(Clone, SimpleObject)]
pub struct PlatformTenant {
    /// TypeID with the prefix `tnt`.
    pub id: ID,
    /// Its name in URLs.
    pub slug: String,
    /// Its display name.
    pub name: String,
    /// Its status.
    pub status: TenantStatus,
    /// How its data is isolated.
    pub isolation: Isolation,
    /// Key of its subscribed plan.
    pub plan: Option<String>,
    /// Why it is suspended, if it is.
    pub suspended_reason: Option<String>,
    /// When it is erased permanently, if it was deleted. It can be restored until then.
    pub erase_after: Option<DateTime>,
    /// When it was created.
    pub created_at: DateTime,
}

type PlanKeys = std::collections::HashMap<crate::base::ids::PlanId, String>;

pub(super) async fn plan_keys(operator: &crate::features::platform::Operator<'_>) -> Result<PlanKeys, ApiError> {
    let directory = operator.directory();
    let keys = crate::features::platform::plan_keys(&directory).await?;
    directory.end_read();
    Ok(keys)
}

pub(super) fn view(it: Listed, plans: &PlanKeys) -> PlatformTenant {
    PlatformTenant {
        id: it.id.to_string().into(),
        slug: it.slug,
        name: it.name,
        status: it.status.into(),
        isolation: it.isolation.into(),
        plan: it.plan.and_then(|it| plans.get(&it).cloned()),
        suspended_reason: it.suspended_reason,
        erase_after: it.erase_after.map(DateTime),
        created_at: DateTime(it.created_at),
    }
}

impl From<PlatformError> for ErrorClass {
    fn from(error: PlatformError) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            PlatformError::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such tenant."),
            PlatformError::PlanNotFound => mend(UserErrorCode::NotFound, "plan", "There is no such plan."),
            PlatformError::HasAdministrator => {
                mend(UserErrorCode::InUse, "id", "The tenant has an administrator, who can invite others.")
            }
            PlatformError::InvalidTransition(status) => mend(
                UserErrorCode::InvalidTransition,
                "id",
                &format!("The tenant is {}: this change is not possible.", status.as_str()),
            ),
            PlatformError::Invalid(field, message) => mend(UserErrorCode::Invalid, field, message),
            PlatformError::IsMoving => mend(UserErrorCode::InUse, "id", "The tenant is already being moved."),
            PlatformError::NoSuchMove => mend(UserErrorCode::NotFound, "id", "There is no such move."),
            PlatformError::MoveIsOver(state) => mend(
                UserErrorCode::InvalidTransition,
                "id",
                &format!("The move is {}: it can no longer be aborted.", state.as_str()),
            ),
            PlatformError::NoSuchEvent => {
                mend(UserErrorCode::NotFound, "eventId", "There is no failed event with this id.")
            }
            PlatformError::Invoice(error) => match error {
                InvoiceError::NotFound => mend(UserErrorCode::NotFound, "invoiceId", "There is no such invoice."),
                InvoiceError::InvalidTransition(state) => mend(
                    UserErrorCode::InvalidTransition,
                    "invoiceId",
                    &format!("The invoice is {}: this is not possible.", state.as_str()),
                ),
                InvoiceError::Invalid(field, message) => mend(UserErrorCode::Invalid, field, message),
                InvoiceError::Db(error) => error.into(),
            },
            PlatformError::Plan(error) => error.into(),
            PlatformError::Billing(error) => error.into(),
            PlatformError::SignIn(error) => error.into(),
            PlatformError::Settings(error) => error.into(),
            PlatformError::Db(error) => error.into(),
        }
    }
}

/// The tenant that an operation returned, as the platform sees it.
pub async fn tenant(
    operator: &crate::features::platform::Operator<'_>,
    result: Result<Listed, PlatformError>,
) -> Result<Result<PlatformTenant, UserError>, ApiError> {
    Ok(match settled(result)? {
        Ok(listed) => Ok(view(listed, &plan_keys(operator).await?)),
        Err(error) => Err(error),
    })
}

impl<'a> crate::api::RequestContext {
    /// The platform administrator who sent the request.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is signed in, `FORBIDDEN` for a user of a tenant.
    pub fn operator(&'a self) -> Result<crate::features::platform::Operator<'a>, ApiError> {
        match self.actor() {
            Actor::Platform(viewer) => {
                let (gate, billing) = (self.gate(), &self.services().billing);
                let places = &self.services().places;
                Ok(crate::features::platform::Operator {
                    gate,
                    viewer,
                    clock: self.clock(),
                    origin: self.origin(),
                    billing,
                    places,
                })
            }
            Actor::Person(_) => Err(ApiError::forbidden()),
            Actor::Anonymous | Actor::Unverified => Err(ApiError::unauthenticated()),
        }
    }
}
