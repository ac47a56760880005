//! The tenant in the API.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::{
    api::{ContextExt, entitlements as features},
    features::tenants::{SettingsError, SettingsPatch},
    graphql::{
        ApiError, CurrencyCode, DateTime, ErrorClass, MUTATION_COST, STATEMENT_COST, TimeZoneName, UserError,
        UserErrorCode, payload,
    },
};

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::tenants::TenantStatus")]
pub enum TenantStatus {
    /// Not yet: its first administrator is missing.
    Creating,
    /// It is.
    Active,
    /// Nobody of it may do anything.
    Suspended,
    /// Its data is being moved: reads go on, writes are refused for a moment.
    Moving,
    /// It is gone.
    Deleted,
}

/// How a tenant's data is kept apart from the others'.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::tenants::Isolation")]
pub enum Isolation {
    /// In tables that tenants share, by row-level security.
    Shared,
    /// In a schema of its own.
    Schema,
    /// In a database of its own.
    Database,
}

/// The language of a tenant's mail.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::tenants::Locale")]
pub enum Locale {
    /// English.
    En,
    /// German.
    De,
    /// Dutch.
    Nl,
}

/// How a tenant looks.
#[derive(Clone, SimpleObject)]
pub struct Branding {
    /// Address of an image, over https.
    pub logo_url: Option<String>,
    /// As `#rrggbb`.
    pub primary_color: Option<String>,
    /// As `#rrggbb`: buttons.
    pub accent_color: Option<String>,
}

/// Rules for bookings of customers.
#[derive(Clone, SimpleObject)]
pub struct BookingRules {
    /// How many minutes before its start a customer can book at the latest.
    pub min_notice_minutes: i32,
    /// How many days ahead a customer can book at most.
    pub max_ahead_days: i32,
    /// How many minutes before its start a customer can cancel at the latest.
    pub cancel_notice_minutes: i32,
    /// How many minutes before its start a customer is reminded by mail; 0 is not at all.
    pub reminder_minutes: i32,
}

/// A business with its users, services and bookings.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Tenant {
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
    /// The zone of its calendar.
    pub time_zone: TimeZoneName,
    /// The currency of its prices.
    pub currency: CurrencyCode,
    /// The language of its mail.
    pub locale: Locale,
    /// How it looks, in its pages and mail.
    pub branding: Branding,
    /// Whether customers may register themselves, by `registerUser`.
    pub open_registration: bool,
    /// What binds its customers when they book. Staff are not bound.
    pub booking_rules: BookingRules,
    /// When it was made.
    pub created_at: DateTime,
}

impl From<crate::features::tenants::Tenant> for Tenant {
    fn from(tenant: crate::features::tenants::Tenant) -> Self {
        Self {
            id: tenant.id.to_string().into(),
            slug: tenant.slug,
            name: tenant.name,
            status: tenant.status.into(),
            isolation: tenant.isolation.into(),
            time_zone: TimeZoneName(tenant.time_zone),
            currency: CurrencyCode(tenant.currency),
            locale: tenant.locale.into(),
            branding: Branding {
                logo_url: tenant.branding.logo_url,
                primary_color: tenant.branding.primary_color,
                accent_color: tenant.branding.accent_color,
            },
            open_registration: tenant.open_registration,
            booking_rules: BookingRules {
                min_notice_minutes: tenant.booking_rules.min_notice_minutes,
                max_ahead_days: tenant.booking_rules.max_ahead_days,
                cancel_notice_minutes: tenant.booking_rules.cancel_notice_minutes,
                reminder_minutes: tenant.booking_rules.reminder_minutes,
            },
            created_at: DateTime(tenant.created_at),
        }
    }
}

#[ComplexObject]
impl Tenant {
    /// Is this feature on, by plan, roll-out or override? One that nobody knows is off.
    #[graphql(complexity = "STATEMENT_COST")]
    async fn feature(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its name for programs, such as `branding`.")] key: String,
    ) -> Result<bool, ApiError> {
        features::is_enabled(ctx, &key).await
    }

    /// Every feature that the plan, a roll-out or an override speaks of, by key.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn features(&self, ctx: &Context<'_>) -> Result<Vec<features::Feature>, ApiError> {
        features::all(ctx).await
    }
}

/// A change of a tenant's looks. Fields that are left out stay as they are; null takes a value away.
#[derive(InputObject)]
pub struct BrandingInput {
    /// Address of an image, beginning with `https://`.
    logo_url: MaybeUndefined<String>,
    /// As `#rrggbb`.
    primary_color: MaybeUndefined<String>,
    /// As `#rrggbb`.
    accent_color: MaybeUndefined<String>,
}

/// A change of the rules for bookings of customers. Fields that are left out stay as they are.
#[derive(InputObject)]
pub struct BookingRulesInput {
    /// 0 to 525600.
    min_notice_minutes: Option<i32>,
    /// 1 to 732.
    max_ahead_days: Option<i32>,
    /// 0 to 525600.
    cancel_notice_minutes: Option<i32>,
    /// 0 to 43200. Counts for what is booked, confirmed or moved from now on.
    reminder_minutes: Option<i32>,
}

/// A change of the tenant. Fields that are left out stay as they are.
#[derive(InputObject)]
pub struct UpdateTenantInput {
    /// 1 to 200 characters.
    pub(crate) name: Option<String>,
    /// The zone of its calendar from now on.
    pub(crate) time_zone: Option<TimeZoneName>,
    /// The currency of prices from now on; services keep theirs.
    pub(crate) currency: Option<CurrencyCode>,
    /// The language of its mail.
    pub(crate) locale: Option<Locale>,
    /// How it looks. Needs the feature `branding`.
    pub(crate) branding: Option<BrandingInput>,
    /// Whether customers may register themselves.
    pub(crate) open_registration: Option<bool>,
    /// What binds its customers when they book.
    pub(crate) booking_rules: Option<BookingRulesInput>,
}

impl From<UpdateTenantInput> for SettingsPatch {
    fn from(input: UpdateTenantInput) -> Self {
        let branding = input.branding.unwrap_or(BrandingInput {
            logo_url: MaybeUndefined::Undefined,
            primary_color: MaybeUndefined::Undefined,
            accent_color: MaybeUndefined::Undefined,
        });
        let rules = input.booking_rules;
        Self {
            name: input.name,
            time_zone: input.time_zone.map(|it| it.0),
            currency: input.currency.map(|it| it.0),
            locale: input.locale.map(Into::into),
            logo_url: branding.logo_url.as_opt_ref().map(|it| it.cloned()),
            primary_color: branding.primary_color.as_opt_ref().map(|it| it.cloned()),
            accent_color: branding.accent_color.as_opt_ref().map(|it| it.cloned()),
            open_registration: input.open_registration,
            min_notice_minutes: rules.as_ref().and_then(|it| it.min_notice_minutes),
            max_ahead_days: rules.as_ref().and_then(|it| it.max_ahead_days),
            cancel_notice_minutes: rules.as_ref().and_then(|it| it.cancel_notice_minutes),
            reminder_minutes: rules.as_ref().and_then(|it| it.reminder_minutes),
        }
    }
}

payload!(
    /// The outcome of `updateTenant`.
    UpdateTenantPayload {
        /// The tenant as it is now.
        tenant: Tenant
    }
);

impl From<SettingsError> for ErrorClass {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Forbidden => Self::Refuse(ApiError::forbidden()),
            SettingsError::NoBranding => {
                let message = "The plan does not have the feature branding.";
                Self::Mend(UserError::new(UserErrorCode::QuotaExceeded, "branding", message))
            }
            SettingsError::Invalid(field, message) => {
                Self::Mend(UserError::new(UserErrorCode::Invalid, field, message))
            }
            SettingsError::Db(error) => error.into(),
        }
    }
}

/// Mutations of the tenant.
#[derive(Default)]
pub struct TenantMutation;

#[Object]
impl TenantMutation {
    /// Changes the caller's tenant: name, calendar, language, looks, who may register, booking rules. Administrators only.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_tenant(
        &self,
        ctx: &Context<'_>,
        input: UpdateTenantInput,
    ) -> Result<UpdateTenantPayload, ApiError> {
        let work = ctx.work()?;
        let may_brand = features::is_enabled(ctx, crate::features::tenants::settings::BRANDING).await?;
        let updated =
            crate::features::tenants::settings::update(&work.caller(), input.into(), may_brand).await.map(Tenant::from);
        Ok(work.settle(updated)?.into())
    }
}

/// Queries about the tenant.
#[derive(Default)]
pub struct TenantQuery;

#[Object]
impl TenantQuery {
    /// The caller's own tenant.
    #[graphql(complexity = "STATEMENT_COST + child_complexity")]
    async fn tenant(&self, ctx: &Context<'_>) -> Result<Tenant, ApiError> {
        own(ctx).await
    }
}

/// The tenant of the caller, asked for once in a request.
pub async fn own(ctx: &Context<'_>) -> Result<Tenant, ApiError> {
    let work = ctx.work()?;
    let tenant = work.loaders.tenants().load_one(work.viewer.tenant).await?;
    // `enter` has just seen it, so it is there.
    Ok(tenant.ok_or_else(ApiError::unauthenticated)?.into())
}
