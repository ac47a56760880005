//! What operators can do with tenants.

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

/// What a platform administrator signs in with.
#[derive(InputObject)]
pub struct PlatformLoginInput {
    /// Upper and lower case are the same.
    email: String,
    /// The password.
    #[graphql(secret)]
    password: String,
}

/// A platform administrator's sign-in.
#[derive(SimpleObject)]
pub struct PlatformSession {
    /// A JWT for the header `Authorization: Bearer`. There is no refresh token: sign in again.
    access_token: String,
    /// When it expires.
    access_token_expires_at: DateTime,
    /// TypeID with the prefix `adm`.
    administrator_id: ID,
    /// What the platform administrator is called.
    name: String,
}

/// A tenant to be made.
#[derive(InputObject)]
pub struct CreateTenantInput {
    /// What the business is called, 1 to 200 characters.
    name: String,
    /// Its name in addresses: 3 to 63 letters a to z, digits and hyphens.
    slug: String,
    /// Who is invited to administer it.
    admin_email: String,
    /// The zone of its calendar. `UTC` unless said.
    time_zone: Option<TimeZoneName>,
    /// The currency of its prices. `EUR` unless said.
    currency: Option<CurrencyCode>,
    /// Key of its plan. `free` unless said.
    plan: Option<String>,
    /// How its data is kept apart. `SHARED` unless said; a schema or database of its own takes a moment.
    isolation: Option<Isolation>,
    /// Another server for a database of its own, as `postgresql://host:port`: one of `DATABASE_SERVERS`.
    url: Option<String>,
}

/// A change of a tenant by the platform. Fields that are left out stay as they are.
#[derive(InputObject)]
pub struct UpdateTenantAsPlatformInput {
    /// Which tenant.
    id: ID,
    /// 1 to 200 characters.
    name: Option<String>,
    /// The zone of its calendar from now on.
    time_zone: Option<TimeZoneName>,
    /// The currency of prices from now on; services keep theirs.
    currency: Option<CurrencyCode>,
    /// The language of its mail.
    locale: Option<Locale>,
    /// How it looks. Needs the feature `branding`.
    branding: Option<BrandingInput>,
    /// Whether customers may register themselves.
    open_registration: Option<bool>,
    /// What binds its customers when they book.
    booking_rules: Option<BookingRulesInput>,
}

/// Whom to invite to administer a tenant that nobody administers.
#[derive(InputObject)]
pub struct InviteAdministratorInput {
    /// Which tenant.
    id: ID,
    /// To whom the mail goes.
    email: String,
}

/// A tenant to be suspended.
#[derive(InputObject)]
pub struct SuspendTenantInput {
    /// Which tenant.
    id: ID,
    /// Why, 1 to 500 characters.
    reason: String,
}

/// A suspended tenant to be served again.
#[derive(InputObject)]
pub struct ActivateTenantInput {
    /// Which tenant.
    id: ID,
}

/// A tenant to be deleted.
#[derive(InputObject)]
pub struct DeleteTenantInput {
    /// Which tenant.
    id: ID,
}

/// A deleted tenant to be had back.
#[derive(InputObject)]
pub struct RestoreTenantInput {
    /// Which tenant.
    id: ID,
}

/// Another plan for a tenant.
#[derive(InputObject)]
pub struct ChangeTenantPlanInput {
    /// Which tenant.
    id: ID,
    /// Key of the plan.
    plan: String,
}

/// A feature to be switched for a tenant.
#[derive(InputObject)]
pub struct SetFeatureInput {
    /// Which tenant.
    tenant_id: ID,
    /// Its name for programs: 1 to 40 letters a to z, digits and underscores.
    key: String,
    /// So much of it, instead of the plan's number.
    number: Option<i64>,
    /// On or off, whatever the plan says; null leaves it to the plan.
    enabled: MaybeUndefined<bool>,
    /// From then on the plan counts again.
    expires_at: Option<DateTime>,
}

/// As whom to act, and why.
#[derive(InputObject)]
pub struct ImpersonateInput {
    /// Of which tenant.
    tenant_id: ID,
    /// Whose e-mail.
    email: String,
    /// Why, 1 to 500 characters. The tenant reads it in its audit log.
    reason: String,
}

/// A session in which a platform administrator acts as a user.
#[derive(SimpleObject)]
pub struct ImpersonatedSession {
    /// A JWT for the header `Authorization: Bearer`, for 15 minutes.
    access_token: String,
    /// When it ends.
    access_token_expires_at: DateTime,
    /// As whom.
    user_id: ID,
    /// What that user may do.
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
        /// The tenant, with the instant from which on it cannot be restored.
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
    /// Signs a platform administrator in, for an hour. Every attempt counts: past a number of them `RATE_LIMITED`.
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

    /// Makes a tenant, and invites its first administrator by mail.
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

    /// Invites somebody to administer a tenant that nobody administers: whose first administrator did not accept, or is
    /// gone. `IN_USE` where there is one who can sign in.
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
        let patch = UpdateTenantInput { name, time_zone, currency, locale, branding, open_registration, booking_rules };
        Ok(tenant(&operator, operator.update(id, patch.into()).await).await?.into())
    }

    /// Has nobody of a tenant do anything: every session is refused at its next request. It can be activated again.
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

    /// Serves a suspended tenant again.
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

    /// Deletes a tenant: it is not served from now on, can be restored for 30 days, and is erased for good then.
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

    /// Serves a deleted tenant again that was not erased yet.
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

    /// Puts a tenant on another plan, from now on.
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

    /// Switches a feature on or off for a tenant, whatever its plan says, or leaves it to the plan again.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn set_feature(&self, ctx: &Context<'_>, input: SetFeatureInput) -> Result<SetFeaturePayload, ApiError> {
        let operator = ctx.request().operator()?;
        let id = parse_id(&input.tenant_id, "input.tenantId")?;
        let enabled = match input.enabled {
            MaybeUndefined::Value(enabled) => Some(enabled),
            MaybeUndefined::Null => None,
            MaybeUndefined::Undefined => {
                return Err(ApiError::bad_input("input.enabled", "say true, false or null"));
            }
        };
        let set = operator.set_feature(id, &input.key, enabled, input.number, input.expires_at.map(|it| it.0)).await;
        Ok(settled(set.map(|it| it.into_iter().map(Feature::from).collect()))?.into())
    }

    /// Begins a session of 15 minutes in which the platform administrator acts as a user of a tenant. The tenant's own
    /// audit log tells who, as whom and why, and names him in everything that is done. Passwords, roles, users and
    /// invitations cannot be changed in it.
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
