//! The platform in the API. Platform administrators only.

pub mod moves;
pub mod sales;

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::{
    api::{
        ContextExt,
        entitlements::Feature,
        plans::Plan,
        tenants::{BookingRulesInput, BrandingInput, Isolation, Locale, TenantStatus, UpdateTenantInput},
        users::Role,
    },
    base::ids::TenantId,
    core::identity::Actor,
    features::{
        auth::{SignInError, TenantDraft},
        billing::invoices::InvoiceError,
        platform::{Listed, PlatformError, Statistics, TenantFilter, TenantOrder as Order},
    },
    graphql::{
        ApiError, CurrencyCode, DateTime, Listing, MUTATION_COST, Meaning, PageArgs, SIGN_IN_COST, STATEMENT_COST,
        TimeZoneName, UserError, UserErrorCode, connection, page_cost, parse_id, payload, settled,
    },
};
use moves::TenantMove;
use sales::{DeadPaymentEvent, FeatureRollout};

/// A tenant, as the platform sees it: nothing of its users, services and bookings.
#[derive(Clone, SimpleObject)]
pub struct PlatformTenant {
    /// TypeID with the prefix `tnt`.
    pub id: ID,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// How its data is kept apart.
    pub isolation: Isolation,
    /// Key of the plan that it has subscribed to.
    pub plan: Option<String>,
    /// Why it is suspended, if it is.
    pub suspended_reason: Option<String>,
    /// When it is erased for good, if it was deleted. Until then it can be restored.
    pub erase_after: Option<DateTime>,
    /// When it was made.
    pub created_at: DateTime,
}

/// How many tenants have a status.
#[derive(SimpleObject)]
pub struct TenantStatusCount {
    /// Which.
    status: TenantStatus,
    /// How many.
    tenants: i32,
}

/// How many tenants are on a plan.
#[derive(SimpleObject)]
pub struct PlanCount {
    /// Key of the plan.
    plan: String,
    /// How many that are not deleted.
    tenants: i32,
}

/// How many tenants there are.
#[derive(SimpleObject)]
pub struct PlatformStatistics {
    /// By status; one that no tenant has is left out.
    by_status: Vec<TenantStatusCount>,
    /// By plan, in the order of the price list.
    by_plan: Vec<PlanCount>,
    /// Made in the last thirty days, and not deleted.
    new_in_thirty_days: i32,
}

/// One line of the platform's log.
#[derive(Clone, SimpleObject)]
pub struct PlatformEvent {
    /// When.
    at: DateTime,
    /// Which platform administrator; null for the command line, background work and failed sign-ins.
    administrator_id: Option<ID>,
    /// Feature and verb, such as `tenants.suspend`.
    action: String,
    /// To which tenant.
    tenant_id: Option<ID>,
    /// More of it, as a JSON object.
    details: String,
    /// Network address of the client.
    address: Option<String>,
}

/// What a list of tenants is sorted by.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Order")]
pub enum TenantOrder {
    /// Newest first.
    CreatedAtDesc,
    /// Oldest first.
    CreatedAtAsc,
    /// By name.
    NameAsc,
    /// By name, backwards.
    NameDesc,
}

/// Which tenants a list holds. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "TenantFilter")]
pub struct TenantFilterInput {
    /// Only these.
    status: Option<Vec<TenantStatus>>,
    /// Only those on the plan with this key.
    plan: Option<String>,
    /// Only those whose name or slug contains this text, whatever the case.
    search: Option<String>,
}

/// What only platform administrators see.
pub struct Platform;

/// What only platform administrators see.
#[Object]
impl Platform {
    /// Every tenant of the deployment.
    #[allow(clippy::too_many_arguments, reason = "the arguments of a list")]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn tenants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which tenants.")] filter: Option<TenantFilterInput>,
        #[graphql(desc = "In which order (default CREATED_AT_DESC).")] order_by: Option<TenantOrder>,
    ) -> Result<Listing<PlatformTenant>, ApiError> {
        let order = order_by.map(Order::from).unwrap_or_default();
        let kind = match order {
            Order::CreatedAtDesc => "platform.tenants.created_at_desc",
            Order::CreatedAtAsc => "platform.tenants.created_at_asc",
            Order::NameAsc => "platform.tenants.name_asc",
            Order::NameDesc => "platform.tenants.name_desc",
        };
        let page = PageArgs { first, after, last, before }.read(kind)?;
        let filter = filter.map_or_else(TenantFilter::default, |it| TenantFilter {
            statuses: it.status.map(|it| it.into_iter().map(Into::into).collect()),
            plan: it.plan,
            search: it.search.filter(|text| !text.is_empty()),
        });
        let operator = ctx.request().operator()?;
        let plans = plan_keys(&operator).await?;
        let slice = operator.tenants(&filter, order, &page).await.map_err(Meaning::from)?;
        Ok(connection(kind, slice, |it| view(it, &plans)))
    }

    /// One tenant. Null where there is none.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn tenant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Result<Option<PlatformTenant>, ApiError> {
        let operator = ctx.request().operator()?;
        let found = operator.tenant(parse_id(&id, "id")?).await.map_err(Meaning::from)?;
        let Some(found) = found else { return Ok(None) };
        Ok(Some(view(found, &plan_keys(&operator).await?)))
    }

    /// Every version of every plan, drafts too: in the order of the price list, newest first.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn plan_versions(&self, ctx: &Context<'_>) -> Result<Vec<Plan>, ApiError> {
        sales::plan_versions(ctx).await
    }

    /// How far each feature is rolled out, by key.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn rollouts(&self, ctx: &Context<'_>) -> Result<Vec<FeatureRollout>, ApiError> {
        sales::rollouts(ctx).await
    }

    /// What payment providers told and could not be carried out, oldest first; see `retryPaymentEvent`.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn dead_payment_events(&self, ctx: &Context<'_>) -> Result<Vec<DeadPaymentEvent>, ApiError> {
        sales::dead_payment_events(ctx).await
    }

    /// Every feature that a tenant's plan or an override speaks of.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn features(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose.")] tenant_id: ID,
    ) -> Result<Option<Vec<Feature>>, ApiError> {
        let operator = ctx.request().operator()?;
        match operator.features(parse_id(&tenant_id, "tenantId")?).await {
            Ok(features) => Ok(Some(features.into_iter().map(Feature::from).collect())),
            Err(PlatformError::NotFound) => Ok(None),
            Err(error) => Err(Meaning::from(error).into()),
        }
    }

    /// Moves of tenants between stores, newest first; of one tenant, or of all.
    #[allow(clippy::too_many_arguments, reason = "the arguments of a list")]
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn tenant_moves(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only of this tenant.")] tenant_id: Option<ID>,
    ) -> Result<Listing<TenantMove>, ApiError> {
        moves::tenant_moves(ctx, tenant_id, PageArgs { first, after, last, before }).await
    }

    /// How many tenants there are.
    #[graphql(complexity = "2 * STATEMENT_COST + 10 * child_complexity")]
    async fn statistics(&self, ctx: &Context<'_>) -> Result<PlatformStatistics, ApiError> {
        let found = ctx.request().operator()?.statistics().await.map_err(Meaning::from)?;
        Ok(found.into())
    }

    /// What platform administrators did, newest first.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
    ) -> Result<Listing<PlatformEvent>, ApiError> {
        const KIND: &str = "platform.events";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let slice = ctx.request().operator()?.events(&page).await.map_err(Meaning::from)?;
        Ok(connection(KIND, slice, |it| PlatformEvent {
            at: DateTime(it.at),
            administrator_id: it.administrator.map(|it| it.to_string().into()),
            action: it.action,
            tenant_id: it.tenant.map(|it| it.to_string().into()),
            details: it.details.to_string(),
            address: it.address,
        }))
    }
}

type PlanKeys = std::collections::HashMap<crate::base::ids::PlanId, String>;

async fn plan_keys(operator: &crate::features::platform::Operator<'_>) -> Result<PlanKeys, ApiError> {
    let directory = operator.directory();
    let keys = crate::features::platform::plan_keys(&directory).await?;
    directory.end_read();
    Ok(keys)
}

fn view(it: Listed, plans: &PlanKeys) -> PlatformTenant {
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

impl From<Statistics> for PlatformStatistics {
    fn from(it: Statistics) -> Self {
        let count = |it: i64| i32::try_from(it).unwrap_or(i32::MAX);
        let by_status = it.by_status.into_iter();
        let by_plan = it.by_plan.into_iter();
        Self {
            by_status: by_status
                .map(|(status, tenants)| TenantStatusCount { status: status.into(), tenants: count(tenants) })
                .collect(),
            by_plan: by_plan.map(|(plan, tenants)| PlanCount { plan, tenants: count(tenants) }).collect(),
            new_in_thirty_days: count(it.new_in_thirty_days),
        }
    }
}

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

impl From<PlatformError> for Meaning {
    fn from(error: PlatformError) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            PlatformError::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such tenant."),
            PlatformError::PlanNotFound => mend(UserErrorCode::NotFound, "plan", "There is no such plan."),
            PlatformError::HasAdministrator => {
                mend(UserErrorCode::InUse, "id", "The tenant has an administrator, who can invite by himself.")
            }
            PlatformError::InvalidTransition(status) => mend(
                UserErrorCode::InvalidTransition,
                "id",
                &format!("The tenant is {}: it cannot be brought from there to what was asked for.", status.as_str()),
            ),
            PlatformError::Invalid(field, message) => mend(UserErrorCode::Invalid, field, message),
            PlatformError::IsMoving => mend(UserErrorCode::InUse, "id", "The tenant is being moved already."),
            PlatformError::NoSuchMove => mend(UserErrorCode::NotFound, "id", "There is no such move."),
            PlatformError::MoveIsOver(state) => mend(
                UserErrorCode::InvalidTransition,
                "id",
                &format!("The move is {}: there is no way back any more.", state.as_str()),
            ),
            PlatformError::NoSuchEvent => mend(UserErrorCode::NotFound, "eventId", "None of this name was given up."),
            PlatformError::Invoice(error) => match error {
                InvoiceError::NotFound => mend(UserErrorCode::NotFound, "invoiceId", "There is no such invoice."),
                InvoiceError::InvalidTransition(state) => mend(
                    UserErrorCode::InvalidTransition,
                    "invoiceId",
                    &format!("The invoice is {}: that cannot be done with it.", state.as_str()),
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

/// Queries of platform administrators.
#[derive(Default)]
pub struct PlatformQuery;

#[Object]
impl PlatformQuery {
    /// What only platform administrators see. `FORBIDDEN` for everyone else.
    async fn platform(&self, ctx: &Context<'_>) -> Result<Platform, ApiError> {
        ctx.request().operator()?;
        Ok(Platform)
    }
}

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

/// What became of a tenant, as the platform sees it.
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
    /// The platform administrator who asks.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is signed in, `FORBIDDEN` for anybody of a tenant.
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
