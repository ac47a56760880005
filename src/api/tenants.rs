//! The tenant in the API.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::{
    api::{ContextExt, entitlements as features},
    features::{
        hours::{self, Owner, Schedule},
        tenants::{SettingsError, SettingsPatch},
    },
    graphql::{
        ApiError, CurrencyCode, Date, DateTime, ErrorClass, MUTATION_COST, STATEMENT_COST, TimeZoneName, UserError,
        UserErrorCode,
    },
};

/// The status of a tenant.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::tenants::TenantStatus")]
pub enum TenantStatus {
    /// Not active yet: its first administrator has not joined.
    Creating,
    /// Active.
    Active,
    /// Suspended: its users can do nothing.
    Suspended,
    /// Its data is being moved: reads continue, writes are refused for a moment.
    Moving,
    /// Deleted.
    Deleted,
}

/// How a tenant's data is isolated from that of other tenants.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "crate::features::tenants::Isolation")]
pub enum Isolation {
    /// In shared tables, by row-level security.
    Shared,
    /// In a schema of its own.
    Schema,
    /// In a database of its own.
    Database,
}

/// The language of a tenant's emails.
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

/// The branding of a tenant.
#[derive(Clone, SimpleObject)]
pub struct Branding {
    /// URL of a logo, over https.
    pub logo_url: Option<String>,
    /// Primary color, as `#rrggbb`.
    pub primary_color: Option<String>,
    /// Accent color for buttons, as `#rrggbb`.
    pub accent_color: Option<String>,
}

/// Where customers reach a tenant. Its emails show it.
#[derive(Clone, SimpleObject)]
#[graphql(name = "TenantContact")]
pub struct Contact {
    /// Replies to its emails go there.
    pub email: Option<String>,
    /// A phone number.
    pub phone: Option<String>,
    /// A postal address, in lines.
    pub address: Option<String>,
}

/// Rules for bookings by customers.
#[derive(Clone, SimpleObject)]
pub struct BookingRules {
    /// Latest time for a customer to book, in minutes before the start.
    pub min_notice_minutes: i32,
    /// Number of days ahead that a customer can book.
    pub max_ahead_days: i32,
    /// Latest time for a customer to cancel, in minutes before the start.
    pub cancel_notice_minutes: i32,
    /// When a customer gets a reminder by email, in minutes before the start; 0 sends none.
    pub reminder_minutes: i32,
    /// How often a customer can move a booking. Null for no limit.
    pub max_moves: Option<i32>,
}

/// A business with its users, services and bookings.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Tenant {
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
    /// Time zone of its calendar.
    pub time_zone: TimeZoneName,
    /// The currency of its prices.
    pub currency: CurrencyCode,
    /// The language of its emails.
    pub locale: Locale,
    /// The branding of its pages and emails.
    pub branding: Branding,
    /// Where customers reach it.
    pub contact: Contact,
    /// Whether customers may register by themselves, with `registerUser`.
    pub open_registration: bool,
    /// The rules that apply when its customers book. They do not apply to staff.
    pub booking_rules: BookingRules,
    /// When it was created.
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
            contact: Contact {
                email: tenant.contact.email,
                phone: tenant.contact.phone,
                address: tenant.contact.address,
            },
            open_registration: tenant.open_registration,
            booking_rules: BookingRules {
                min_notice_minutes: tenant.booking_rules.min_notice_minutes,
                max_ahead_days: tenant.booking_rules.max_ahead_days,
                cancel_notice_minutes: tenant.booking_rules.cancel_notice_minutes,
                reminder_minutes: tenant.booking_rules.reminder_minutes,
                max_moves: tenant.booking_rules.max_moves,
            },
            created_at: DateTime(tenant.created_at),
        }
    }
}

#[ComplexObject]
impl Tenant {
    /// Whether a feature is on, by plan, roll-out or override. An unknown feature is off.
    #[graphql(complexity = "STATEMENT_COST")]
    async fn feature(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its machine name, such as `branding`.")] key: String,
    ) -> Result<bool, ApiError> {
        features::is_enabled(ctx, &key).await
    }

    /// Every feature that the plan, a roll-out or an override mentions, by key.
    #[graphql(complexity = "STATEMENT_COST + 20 * child_complexity")]
    async fn features(&self, ctx: &Context<'_>) -> Result<Vec<features::Feature>, ApiError> {
        features::all(ctx).await
    }
}

/// Changes to a tenant's branding. Omitted fields stay as they are; null removes a value.
#[derive(InputObject)]
pub struct BrandingInput {
    /// URL of a logo, beginning with `https://`.
    logo_url: MaybeUndefined<String>,
    /// Primary color, as `#rrggbb`.
    primary_color: MaybeUndefined<String>,
    /// Accent color for buttons, as `#rrggbb`.
    accent_color: MaybeUndefined<String>,
}

/// Changes to where customers reach a tenant. Omitted fields stay as they are; null removes a value.
#[derive(InputObject)]
pub struct TenantContactInput {
    /// An email address, for replies to its emails. With one, calendar files in emails are invitations that calendar
    /// programs update and remove by themselves.
    email: MaybeUndefined<String>,
    /// A phone number, at most 40 characters.
    phone: MaybeUndefined<String>,
    /// A postal address of at most 6 lines.
    address: MaybeUndefined<String>,
}

/// Changes to the rules for bookings by customers. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct BookingRulesInput {
    /// Latest time for a customer to book, in minutes before the start: 0 to 525,600.
    min_notice_minutes: Option<i32>,
    /// Number of days ahead that a customer can book: 1 to 732.
    max_ahead_days: Option<i32>,
    /// Latest time for a customer to cancel, in minutes before the start: 0 to 525,600.
    cancel_notice_minutes: Option<i32>,
    /// When a customer gets a reminder by email, in minutes before the start: 0 to 43,200. Applies to bookings made,
    /// confirmed or moved from now on.
    reminder_minutes: Option<i32>,
    /// How often a customer can move a booking: 0 to 100. Null removes the limit.
    max_moves: MaybeUndefined<i32>,
}

/// Changes to the tenant. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateTenantInput {
    /// 1 to 200 characters.
    pub(crate) name: Option<String>,
    /// Time zone of its calendar from now on.
    pub(crate) time_zone: Option<TimeZoneName>,
    /// Currency of prices from now on; existing services keep theirs.
    pub(crate) currency: Option<CurrencyCode>,
    /// The language of its emails.
    pub(crate) locale: Option<Locale>,
    /// Its branding. Needs the feature `branding`.
    pub(crate) branding: Option<BrandingInput>,
    /// Where customers reach it.
    pub(crate) contact: Option<TenantContactInput>,
    /// Whether customers may register by themselves.
    pub(crate) open_registration: Option<bool>,
    /// The rules that apply when its customers book.
    pub(crate) booking_rules: Option<BookingRulesInput>,
    /// Whether opening hours in the previous time zone move to the new `timeZone`: nine o'clock there becomes nine o'clock
    /// here. Otherwise each schedule keeps its time zone; the payload lists them.
    pub(crate) move_schedules: Option<bool>,
}

impl From<UpdateTenantInput> for SettingsPatch {
    fn from(input: UpdateTenantInput) -> Self {
        let branding = input.branding.unwrap_or(BrandingInput {
            logo_url: MaybeUndefined::Undefined,
            primary_color: MaybeUndefined::Undefined,
            accent_color: MaybeUndefined::Undefined,
        });
        let rules = input.booking_rules;
        let contact = input.contact.unwrap_or(TenantContactInput {
            email: MaybeUndefined::Undefined,
            phone: MaybeUndefined::Undefined,
            address: MaybeUndefined::Undefined,
        });
        Self {
            name: input.name,
            time_zone: input.time_zone.map(|it| it.0),
            currency: input.currency.map(|it| it.0),
            locale: input.locale.map(Into::into),
            logo_url: branding.logo_url.as_opt_ref().map(|it| it.cloned()),
            primary_color: branding.primary_color.as_opt_ref().map(|it| it.cloned()),
            accent_color: branding.accent_color.as_opt_ref().map(|it| it.cloned()),
            contact_email: contact.email.as_opt_ref().map(|it| it.cloned()),
            contact_phone: contact.phone.as_opt_ref().map(|it| it.cloned()),
            contact_address: contact.address.as_opt_ref().map(|it| it.cloned()),
            open_registration: input.open_registration,
            min_notice_minutes: rules.as_ref().and_then(|it| it.min_notice_minutes),
            max_ahead_days: rules.as_ref().and_then(|it| it.max_ahead_days),
            cancel_notice_minutes: rules.as_ref().and_then(|it| it.cancel_notice_minutes),
            reminder_minutes: rules.as_ref().and_then(|it| it.reminder_minutes),
            max_moves: rules.as_ref().and_then(|it| it.max_moves.as_opt_ref().map(|it| it.copied())),
        }
    }
}

/// A schedule of opening hours in another time zone than the tenant's.
#[derive(Clone, SimpleObject)]
pub struct ScheduleZone {
    /// The service that the hours are for. Null for the tenant's and for a resource's.
    pub service_id: Option<ID>,
    /// The resource that the hours are for. Null for the tenant's and for a service's.
    pub resource_id: Option<ID>,
    /// The first day on which it applies.
    pub valid_from: Date,
    /// Its time zone.
    pub time_zone: TimeZoneName,
}

impl From<Schedule> for ScheduleZone {
    fn from(schedule: Schedule) -> Self {
        let (service, resource) = match schedule.owner {
            Owner::Tenant => (None, None),
            Owner::Service(id) => (Some(id.to_string().into()), None),
            Owner::Resource(id) => (None, Some(id.to_string().into())),
        };
        Self {
            service_id: service,
            resource_id: resource,
            valid_from: Date(schedule.valid_from),
            time_zone: TimeZoneName(schedule.zone),
        }
    }
}

/// The outcome of `updateTenant`.
#[derive(SimpleObject)]
pub struct UpdateTenantPayload {
    /// The updated tenant.
    pub tenant: Option<Tenant>,
    /// When the time zone was changed: the schedules of opening hours that stay in other time zones.
    pub schedules_elsewhere: Option<Vec<ScheduleZone>>,
    /// Errors that the caller can correct. Empty when the mutation succeeded.
    pub user_errors: Vec<UserError>,
}

impl From<SettingsError> for ErrorClass {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Forbidden => Self::Refuse(ApiError::forbidden()),
            SettingsError::NoBranding => {
                let message = "The plan does not include the feature branding.";
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
    /// Updates the caller's tenant: name, time zone, currency, language, branding, contact, registration and booking rules.
    /// Administrators only.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_tenant(
        &self,
        ctx: &Context<'_>,
        input: UpdateTenantInput,
    ) -> Result<UpdateTenantPayload, ApiError> {
        let work = ctx.work()?;
        let may_brand = features::is_enabled(ctx, crate::features::tenants::settings::BRANDING).await?;
        let (moves, zone) = (input.move_schedules.unwrap_or(false), input.time_zone.as_ref().map(|it| it.0.clone()));
        let before = match zone {
            Some(_) => Some(crate::features::tenants::current(&work.tx).await?.time_zone),
            None => None,
        };
        let updated = crate::features::tenants::settings::update(&work.caller(), input.into(), may_brand).await;
        let tenant = match work.settle(updated.map(Tenant::from))? {
            Ok(tenant) => tenant,
            Err(error) => {
                return Ok(UpdateTenantPayload { tenant: None, schedules_elsewhere: None, user_errors: vec![error] });
            }
        };
        let mut elsewhere = None;
        if let (Some(before), Some(zone)) = (before, zone) {
            let kept = hours::schedules_elsewhere(&work.caller(), moves.then_some(before), &zone).await;
            let kept = kept.map_err(|error| ApiError::from(ErrorClass::from(error)))?;
            elsewhere = Some(kept.into_iter().map(ScheduleZone::from).collect());
        }
        Ok(UpdateTenantPayload { tenant: Some(tenant), schedules_elsewhere: elsewhere, user_errors: Vec::new() })
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

/// The caller's tenant, loaded once per request.
pub async fn own(ctx: &Context<'_>) -> Result<Tenant, ApiError> {
    let work = ctx.work()?;
    let tenant = work.loaders.tenants().load_one(work.viewer.tenant).await?;
    // `enter` has just seen the tenant, so it exists.
    Ok(tenant.ok_or_else(ApiError::unauthenticated)?.into())
}
