//! Mutations of tenants by platform administrators.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::tenant::{PlatformTenant, tenant};
use crate::{
    api::{
        ContextExt,
        entitlements::Feature,
        objects::Role,
        tenants::{BookingRulesInput, BrandingInput, Isolation, Locale, UpdateTenantInput},
    },
    base::ids::TenantId,
    features::auth::{SignInError, TenantDraft},
    graphql::{
        ApiError, CurrencyCode, DateTime, MUTATION_COST, SIGN_IN_COST, TimeZoneName, UserError, UserErrorCode,
        parse_id, payload, settled,
    },
};

/// Credentials of a platform administrator.
#[derive(InputObject)]
pub struct PlatformLoginInput {
    /// Case-insensitive.
    email: String,
    /// The password.
    #[graphql(secret)]
    password: String,
}

/// The session of a platform administrator.
#[derive(SimpleObject)]
pub struct PlatformSession {
    /// A JWT for the header `Authorization: Bearer`. There is no refresh token: sign in again.
    access_token: String,
    /// When it expires.
    access_token_expires_at: DateTime,
    /// TypeID with the prefix `adm`.
    administrator_id: ID,
    /// The platform administrator's name.
    name: String,
}

/// A tenant to create.
#[derive(InputObject)]
pub struct CreateTenantInput {
    /// The name of the business, 1 to 200 characters.
    name: String,
    /// Its name in URLs: 3 to 63 letters a to z, digits and hyphens.
    slug: String,
    /// The email address of the first administrator, who is invited.
    admin_email: String,
    /// Time zone of its calendar. `UTC` by default.
    time_zone: Option<TimeZoneName>,
    /// The currency of its prices. `EUR` by default.
    currency: Option<CurrencyCode>,
    /// Key of its plan. `free` by default.
    plan: Option<String>,
    /// How its data is isolated. `SHARED` by default; a schema or database of its own takes a moment.
    isolation: Option<Isolation>,
    /// Another server for a dedicated database, as `postgresql://host:port`: one of `DATABASE_SERVERS`.
    url: Option<String>,
}

/// Changes to a tenant by the platform. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateTenantAsPlatformInput {
    /// The tenant.
    id: ID,
    /// 1 to 200 characters.
    name: Option<String>,
    /// Time zone of its calendar from now on.
    time_zone: Option<TimeZoneName>,
    /// Currency of prices from now on; existing services keep theirs.
    currency: Option<CurrencyCode>,
    /// The language of its emails.
    locale: Option<Locale>,
    /// Its branding. Needs the feature `branding`.
    branding: Option<BrandingInput>,
    /// Whether customers may register by themselves.
    open_registration: Option<bool>,
    /// The rules that apply when its customers book.
    booking_rules: Option<BookingRulesInput>,
}

/// An invitation for a tenant that has no administrator.
#[derive(InputObject)]
pub struct InviteAdministratorInput {
    /// The tenant.
    id: ID,
    /// The email address to invite.
    email: String,
}

/// A tenant to suspend.
#[derive(InputObject)]
pub struct SuspendTenantInput {
    /// The tenant.
    id: ID,
    /// Why, 1 to 500 characters.
    reason: String,
}

/// A suspended tenant to activate.
#[derive(InputObject)]
pub struct ActivateTenantInput {
    /// The tenant.
    id: ID,
}

/// A tenant to delete.
#[derive(InputObject)]
pub struct DeleteTenantInput {
    /// The tenant.
    id: ID,
}

/// A deleted tenant to restore.
#[derive(InputObject)]
pub struct RestoreTenantInput {
    /// The tenant.
    id: ID,
}

/// A change of a tenant's plan.
#[derive(InputObject)]
pub struct ChangeTenantPlanInput {
    /// The tenant.
    id: ID,
    /// Key of the plan.
    plan: String,
}

/// An override of a feature for a tenant.
#[derive(InputObject)]
pub struct SetFeatureInput {
    /// The tenant.
    tenant_id: ID,
    /// Its machine name: 1 to 40 letters a to z, digits and underscores.
    key: String,
    /// The limit, instead of the plan's number.
    number: Option<i64>,
    /// On or off, regardless of the plan; null removes the override.
    enabled: MaybeUndefined<bool>,
    /// When the override expires and the plan applies again.
    expires_at: Option<DateTime>,
}

/// The user to act as, and the reason.
#[derive(InputObject)]
pub struct ImpersonateInput {
    /// The tenant of the user.
    tenant_id: ID,
    /// The user's email address.
    email: String,
    /// The reason, 1 to 500 characters. The tenant sees it in its audit log.
    reason: String,
}

/// A session in which a platform administrator acts as a user.
#[derive(SimpleObject)]
pub struct ImpersonatedSession {
    /// A JWT for the header `Authorization: Bearer`, valid for 15 minutes.
    access_token: String,
    /// When it ends.
    access_token_expires_at: DateTime,
    /// The user.
    user_id: ID,
    /// The user's role.
    role: Role,
}

payload!(
    /// The outcome of `platformLogin`.
    PlatformLoginPayload {
        /// The token.
        session: PlatformSession
    }
);
payload!(
    /// The outcome of `platformLogout`.
    PlatformLogoutPayload {
        /// The session that has ended.
        session_id: ID
    }
);
payload!(
    /// The outcome of `createTenant`.
    CreateTenantPayload {
        /// The tenant.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `inviteAdministrator`.
    InviteAdministratorPayload {
        /// The tenant.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `updateTenantAsPlatform`.
    UpdateTenantAsPlatformPayload {
        /// The tenant.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `suspendTenant`.
    SuspendTenantPayload {
        /// The tenant.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `activateTenant`.
    ActivateTenantPayload {
        /// The tenant.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `deleteTenant`.
    DeleteTenantPayload {
        /// The tenant, with the time after which it cannot be restored.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `restoreTenant`.
    RestoreTenantPayload {
        /// The tenant.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `changeTenantPlan`.
    ChangeTenantPlanPayload {
        /// The tenant.
        tenant: PlatformTenant
    }
);
payload!(
    /// The outcome of `setFeature`.
    SetFeaturePayload {
        /// Every feature of the tenant, as it is now.
        features: Vec<Feature>
    }
);
payload!(
    /// The outcome of `impersonate`.
    ImpersonatePayload {
        /// The token.
        session: ImpersonatedSession
    }
);

/// Mutations of platform administrators.
#[derive(Default)]
pub struct PlatformMutation;

#[Object]
impl PlatformMutation {
    /// Signs in a platform administrator for an hour. Every attempt counts; too many fail with `RATE_LIMITED`.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn platform_login(
        &self,
        ctx: &Context<'_>,
        input: PlatformLoginInput,
    ) -> Result<PlatformLoginPayload, ApiError> {
        let request = ctx.request();
        let signed_in = request.sign_in()?.platform_login(&input.email, input.password, request.origin()).await;
        let session = signed_in.map(|it| PlatformSession {
            access_token: it.access_token,
            access_token_expires_at: DateTime(it.expires_at),
            administrator_id: it.viewer.administrator.to_string().into(),
            name: it.name,
        });
        Ok(settled(session)?.into())
    }

    /// Ends the platform administrator's session.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn platform_logout(&self, ctx: &Context<'_>) -> Result<PlatformLogoutPayload, ApiError> {
        let request = ctx.request();
        let viewer = request.operator()?.viewer;
        let ended = request.sign_in()?.platform_logout(viewer, request.origin()).await;
        Ok(settled(ended.map(|()| ID::from(viewer.session.to_string())))?.into())
    }

    /// Creates a tenant, and invites its first administrator by email.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn create_tenant(
        &self,
        ctx: &Context<'_>,
        input: CreateTenantInput,
    ) -> Result<CreateTenantPayload, ApiError> {
        let request = ctx.request();
        let operator = request.operator()?;
        let draft = TenantDraft {
            name: input.name,
            slug: input.slug,
            admin_email: input.admin_email,
            time_zone: input.time_zone.map_or("UTC".into(), |it| it.0.iana_name().unwrap_or("UTC").to_owned()),
            currency: input.currency.map_or(crate::base::money::Currency::EUR, |it| it.0),
            plan: input.plan.unwrap_or_else(|| crate::features::auth::joining::FIRST_PLAN.to_owned()),
        };
        let isolation = input.isolation.map_or(crate::db::Isolation::Shared, Into::into);
        let made = operator.create(request.sign_in()?, draft, isolation, input.url.as_deref()).await;
        Ok(tenant(&operator, made).await?.into())
    }

    /// Invites an administrator to a tenant that has none: the first one did not accept, or is no longer there.
    /// `IN_USE` when an administrator can sign in.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn invite_administrator(
        &self,
        ctx: &Context<'_>,
        input: InviteAdministratorInput,
    ) -> Result<InviteAdministratorPayload, ApiError> {
        let request = ctx.request();
        let operator = request.operator()?;
        let id = parse_id(&input.id, "input.id")?;
        let invited = operator.invite_administrator(request.sign_in()?, id, &input.email).await;
        Ok(tenant(&operator, invited).await?.into())
    }

    /// Changes a tenant's settings, as its own administrator can.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_tenant_as_platform(
        &self,
        ctx: &Context<'_>,
        input: UpdateTenantAsPlatformInput,
    ) -> Result<UpdateTenantAsPlatformPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id::<TenantId>(&input.id, "input.id")?;
        let UpdateTenantAsPlatformInput {
            name,
            time_zone,
            currency,
            locale,
            branding,
            open_registration,
            booking_rules,
            ..
        } = input;
        let patch = UpdateTenantInput {
            name,
            time_zone,
            currency,
            locale,
            branding,
            open_registration,
            booking_rules,
            contact: None,
            move_schedules: None,
        };
        Ok(tenant(&operator, operator.update(id, patch.into()).await).await?.into())
    }

    /// Suspends a tenant: every session is refused at its next request. The tenant can be activated again.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn suspend_tenant(
        &self,
        ctx: &Context<'_>,
        input: SuspendTenantInput,
    ) -> Result<SuspendTenantPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.id, "input.id")?;
        Ok(tenant(&operator, operator.suspend(id, &input.reason).await).await?.into())
    }

    /// Activates a suspended tenant.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn activate_tenant(
        &self,
        ctx: &Context<'_>,
        input: ActivateTenantInput,
    ) -> Result<ActivateTenantPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.id, "input.id")?;
        Ok(tenant(&operator, operator.activate(id).await).await?.into())
    }

    /// Deletes a tenant. It is no longer served, can be restored for 30 days, and is then erased permanently.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_tenant(
        &self,
        ctx: &Context<'_>,
        input: DeleteTenantInput,
    ) -> Result<DeleteTenantPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.id, "input.id")?;
        Ok(tenant(&operator, operator.delete(id).await).await?.into())
    }

    /// Restores a deleted tenant that has not been erased yet.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn restore_tenant(
        &self,
        ctx: &Context<'_>,
        input: RestoreTenantInput,
    ) -> Result<RestoreTenantPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.id, "input.id")?;
        Ok(tenant(&operator, operator.restore(id).await).await?.into())
    }

    /// Moves a tenant to another plan, effective immediately.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn change_tenant_plan(
        &self,
        ctx: &Context<'_>,
        input: ChangeTenantPlanInput,
    ) -> Result<ChangeTenantPlanPayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.id, "input.id")?;
        Ok(tenant(&operator, operator.change_plan(id, &input.plan).await).await?.into())
    }

    /// Switches a feature on or off for a tenant, regardless of its plan, or removes the override.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn set_feature(&self, ctx: &Context<'_>, input: SetFeatureInput) -> Result<SetFeaturePayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.tenant_id, "input.tenantId")?;
        let enabled = match input.enabled {
            MaybeUndefined::Value(enabled) => Some(enabled),
            MaybeUndefined::Null => None,
            MaybeUndefined::Undefined => {
                return Err(ApiError::bad_input("input.enabled", "must be true, false or null"));
            }
        };
        let set = operator.set_feature(id, &input.key, enabled, input.number, input.expires_at.map(|it| it.0)).await;
        Ok(settled(set.map(|it| it.into_iter().map(Feature::from).collect()))?.into())
    }

    /// Starts a session of 15 minutes in which the platform administrator acts as a user of a tenant. The tenant's
    /// audit log records the administrator, the user and the reason, and names the administrator in every action.
    /// Passwords, roles, users and invitations cannot be changed in such a session.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn impersonate(&self, ctx: &Context<'_>, input: ImpersonateInput) -> Result<ImpersonatePayload, ApiError> {
        let request = ctx.request();
        let viewer = request.operator()?.viewer;
        let id = parse_id(&input.tenant_id, "input.tenantId")?;
        let begun = request.sign_in()?.impersonate(viewer, id, &input.email, &input.reason, request.origin()).await;
        Ok(match begun {
            Err(SignInError::WrongCredentials) => {
                let message = "The tenant has no such user who can sign in.";
                Err(UserError::new(UserErrorCode::NotFound, "email", message)).into()
            }
            begun => settled(begun.map(|it| ImpersonatedSession {
                access_token: it.access_token,
                access_token_expires_at: DateTime(it.expires_at),
                user_id: it.user.id.to_string().into(),
                role: it.user.role.into(),
            }))?
            .into(),
        })
    }
}
