//! Tenantry's own types in rows and as bind parameters: an id is its UUID, a currency its code.

use postgres_types::{IsNull, ToSql, Type, to_sql_checked};

use crate::base::{
    ids::{
        AdministratorId, BookingId, CheckoutId, CreditNoteId, InvitationId, InvoiceId, MoveId, PlanId, PlanVersionId,
        ResourceId, SeriesId, ServiceId, SessionId, SubscriptionId, TenantId, UserId, WaitlistEntryId,
        WebhookDeliveryId, WebhookEndpointId,
    },
    money::Currency,
};

macro_rules! as_uuid {
    ($($id:ty),*) => {$(
        impl ToSql for $id {
            fn to_sql(&self, ty: &Type, out: &mut postgres_types::private::BytesMut)
                -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
                self.0.to_sql(ty, out)
            }
            fn accepts(ty: &Type) -> bool {
                <uuid::Uuid as ToSql>::accepts(ty)
            }
            to_sql_checked!();
        }
        impl<'a> postgres_types::FromSql<'a> for $id {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
                <uuid::Uuid as postgres_types::FromSql>::from_sql(ty, raw).map(Self)
            }
            fn accepts(ty: &Type) -> bool {
                <uuid::Uuid as postgres_types::FromSql>::accepts(ty)
            }
        }
    )*};
}

as_uuid!(
    AdministratorId,
    BookingId,
    CheckoutId,
    CreditNoteId,
    InvitationId,
    InvoiceId,
    MoveId,
    PlanId,
    PlanVersionId,
    ResourceId,
    SeriesId,
    ServiceId,
    SessionId,
    SubscriptionId,
    TenantId,
    UserId,
    WaitlistEntryId,
    WebhookDeliveryId,
    WebhookEndpointId
);

impl ToSql for Currency {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut postgres_types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.code().to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <&str as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl<'a> postgres_types::FromSql<'a> for Currency {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let code = <&str as postgres_types::FromSql>::from_sql(ty, raw)?;
        code.parse().map_err(|()| format!("{code:?} is not a currency").into())
    }

    fn accepts(ty: &Type) -> bool {
        <&str as postgres_types::FromSql>::accepts(ty)
    }
}
