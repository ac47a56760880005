//! The floor of GraphQL: the schema's roots, and what all features' resolvers share.
//!
//! A resolver is four moves: context, input, rule, view. A feature has one `XQuery` and one `XMutation`, merged here once.

pub mod batching;
mod brief;
mod checked;
pub mod completion;
mod context;
mod cost;
mod error;
pub mod input;
mod limits;
mod loaders;
mod mutation_root;
mod node;
mod paging;
mod rates;
mod reading;
mod scalars;
mod together;
mod watching;

use async_graphql::{ID, MergedObject, MergedSubscription, Schema, SchemaBuilder};

pub use brief::{Brief, asks_for_name};
pub use checked::ApiSchema;
pub use context::{ContextExt, RequestContext, Services, Work};
pub use cost::Bill;
pub(crate) use error::payload;
pub use error::{
    ApiError, Code, INTERNAL_MESSAGE, Meaning, UserError, UserErrorCode, is_refusal_by_role, nowhere, settled,
};
pub use limits::Limits;
pub use paging::{Listing, PageArgs, connection, page_cost};
pub use rates::{Charged, RateSettings, Rates};
pub use reading::{FindingKey, ReadDocument, Reader, Unreadable};
pub use scalars::{
    CurrencyCode, Date, DateTime, Decimal, LocalTime, Money, MoneyInput, TimeZoneName, filter_interval, parse_id,
};
pub use watching::{LOOK_EVERY, Told, Watch, is_passing};

use crate::{
    audit::graphql::{AuditEvent, AuditQuery},
    auth::graphql::{AuthMutation, AuthQuery},
    billing::graphql::{BillingMutation, BillingQuery, Invoice},
    bookings::graphql::{Booking, BookingMutation, BookingQuery},
    bookings::subscriptions::BookingSubscription,
    calendars::graphql::{CalendarMutation, CalendarQuery},
    hours::graphql::{HoursMutation, HoursQuery},
    invitations::graphql::{Invitation, InvitationMutation, InvitationQuery},
    platform::graphql::{PlatformEvent, PlatformMutation, PlatformQuery, PlatformTenant},
    platform::moving::graphql::{MovingMutation, TenantMove},
    platform::selling::graphql::SellingMutation,
    resources::graphql::{Resource, ResourceMutation, ResourceQuery},
    series::graphql::{SeriesMutation, SeriesQuery},
    services::graphql::{Service, ServiceMutation, ServiceQuery},
    tenants::graphql::{TenantMutation, TenantQuery},
    users::graphql::{User, UserMutation, UserQuery},
    users::subscriptions::UserSubscription,
    waitlist::graphql::{WaitlistEntry, WaitlistMutation, WaitlistQuery},
    webhooks::graphql::{WebhookDelivery, WebhookMutation, WebhookQuery},
};
use mutation_root::InSavepoints;
use node::NodeQuery;

/// What can be read.
#[derive(MergedObject, Default)]
pub struct Query(
    NodeQuery,
    AuthQuery,
    AuditQuery,
    TenantQuery,
    UserQuery,
    InvitationQuery,
    ResourceQuery,
    ServiceQuery,
    HoursQuery,
    BookingQuery,
    SeriesQuery,
    WaitlistQuery,
    CalendarQuery,
    WebhookQuery,
    BillingQuery,
    PlatformQuery,
);

/// What can be changed. The fields of one document run one after the other; each stays or goes as a whole.
#[derive(MergedObject, Default)]
pub struct Mutation(
    AuthMutation,
    TenantMutation,
    UserMutation,
    InvitationMutation,
    ResourceMutation,
    ServiceMutation,
    HoursMutation,
    BookingMutation,
    SeriesMutation,
    WaitlistMutation,
    CalendarMutation,
    WebhookMutation,
    BillingMutation,
    PlatformMutation,
    SellingMutation,
    MovingMutation,
);

/// What can be watched, over a WebSocket.
#[derive(MergedSubscription, Default)]
pub struct Subscription(BookingSubscription, UserSubscription);

/// What a field costs that runs a statement of its own.
pub const STATEMENT_COST: usize = 20;
/// What a field costs that changes something: so a document has room for some twenty.
pub const MUTATION_COST: usize = 1_000;
/// What a key of an idempotent request costs, before it is known whether the request is carried out.
pub const KEY_COST: usize = 50;
/// What a field of the schema itself costs: there are many of each.
pub const INTROSPECTION_COST: usize = 50;
/// What an attempt to sign in costs: less, because each counts in buckets of its own.
pub const SIGN_IN_COST: usize = 100;

/// With `introspects` clients may ask for the schema itself.
fn builder(introspects: bool) -> SchemaBuilder<Query, InSavepoints<Mutation>, Subscription> {
    let builder = Schema::build(Query::default(), InSavepoints(Mutation::default()), Subscription::default())
        .disable_suggestions()
        .override_output_type_description::<ID>(
            "A TypeID: a prefix that tells the type, and a UUIDv7. Treat it as opaque.",
        )
        .override_output_type_description::<Listing<AuditEvent>>("A page of the audit log.")
        .override_output_type_description::<Listing<Booking>>("A page of bookings.")
        .override_output_type_description::<Listing<Invitation>>("A page of invitations.")
        .override_output_type_description::<Listing<Invoice>>("A page of invoices.")
        .override_output_type_description::<Listing<PlatformEvent>>("A page of the platform's log.")
        .override_output_type_description::<Listing<PlatformTenant>>("A page of tenants.")
        .override_output_type_description::<Listing<Resource>>("A page of resources.")
        .override_output_type_description::<Listing<Service>>("A page of services.")
        .override_output_type_description::<Listing<TenantMove>>("A page of moves.")
        .override_output_type_description::<Listing<User>>("A page of users.")
        .override_output_type_description::<Listing<WaitlistEntry>>("A page of the waitlist.")
        .override_output_type_description::<Listing<WebhookDelivery>>("A page of messages to an endpoint.");
    if introspects { builder } else { builder.disable_introspection() }
}

/// The schema in the schema definition language, sorted, as it is committed in `schema.graphql`.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items();
    builder(true).finish().sdl_with_options(options)
}
