//! The roots of the schema: the queries, mutations and subscriptions of every feature, merged once.

use crate::{
    api::{
        audit::{AuditEvent, AuditQuery},
        auth::{AuthMutation, AuthQuery},
        billing::{BillingMutation, BillingQuery, Invoice},
        booking_events::BookingSubscription,
        bookings::{BookingMutation, BookingQuery},
        calendars::{CalendarMutation, CalendarQuery},
        hours::{HoursMutation, HoursQuery},
        invitations::{Invitation, InvitationMutation, InvitationQuery},
        node::NodeQuery,
        objects::{Booking, Resource, Service, User},
        platform::{
            PlatformEvent, PlatformMutation, PlatformQuery, PlatformTenant,
            moves::{MovingMutation, TenantMove},
            sales::SellingMutation,
        },
        resources::{ResourceMutation, ResourceQuery},
        savepoints::InSavepoints,
        series::{SeriesMutation, SeriesQuery},
        services::{ServiceMutation, ServiceQuery},
        tenants::{TenantMutation, TenantQuery},
        user_events::UserSubscription,
        users::{UserMutation, UserQuery},
        waitlist::{WaitlistEntry, WaitlistMutation, WaitlistQuery},
        webhooks::{WebhookDelivery, WebhookMutation, WebhookQuery},
    },
    graphql::Listing,
};
use async_graphql::{ID, MergedObject, MergedSubscription, Schema, SchemaBuilder};

/// All read operations.
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

/// All write operations. The fields of one document run in order; each field is applied or rolled back as a whole.
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

/// All subscriptions, over a WebSocket.
#[derive(MergedSubscription, Default)]
pub struct Subscription(BookingSubscription, UserSubscription);

/// Builds the schema. With `introspects`, clients may query the schema itself.
pub(super) fn builder(introspects: bool) -> SchemaBuilder<Query, InSavepoints<Mutation>, Subscription> {
    let builder = Schema::build(Query::default(), InSavepoints(Mutation::default()), Subscription::default())
        .disable_suggestions()
        .override_output_type_description::<ID>(
            "A TypeID: a prefix that names the type, and a UUIDv7. Treat it as opaque.",
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
        .override_output_type_description::<Listing<WebhookDelivery>>("A page of deliveries to an endpoint.");
    if introspects { builder } else { builder.disable_introspection() }
}

/// The schema in the schema definition language, sorted, as it is committed in `schema.graphql`.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items();
    builder(true).finish().sdl_with_options(options)
}
