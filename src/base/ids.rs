//! Typed ids: a UUIDv7 internally, a [TypeID](https://github.com/jetify-com/typeid) such as
//! `bkg_01h455vb4pex5vsknk084sn02q` externally.
//!
//! The prefix names the type, so an id of the wrong type is refused before any look-up.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

use super::random;

/// The text is not an id of the expected type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    /// The prefix that the id should have.
    pub expected_prefix: &'static str,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The part before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, ordered by `now` (milliseconds) and random within one millisecond.
            pub fn generate(now: Timestamp) -> Self {
                Self(uuid_v7(now))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode($prefix, self.0).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                decode($prefix, text).map(Self)
            }
        }
    };
}

id_type!(/// A tenant.
    TenantId, "tnt");
id_type!(/// A user of a tenant.
    UserId, "usr");
id_type!(/// A sign-in.
    SessionId, "ses");
id_type!(/// A service that can be booked.
    ServiceId, "svc");
id_type!(/// Staff, a room or equipment.
    ResourceId, "res");
id_type!(/// A booking.
    BookingId, "bkg");
id_type!(/// Bookings that were made together.
    SeriesId, "ser");
id_type!(/// Somebody's place on the waitlist.
    WaitlistEntryId, "wle");
id_type!(/// An endpoint of a tenant's own systems.
    WebhookEndpointId, "whe");
id_type!(/// A message to such an endpoint.
    WebhookDeliveryId, "whd");
id_type!(/// An invitation to join a tenant.
    InvitationId, "inv");
id_type!(/// A platform administrator.
    AdministratorId, "adm");
id_type!(/// A move of a tenant from one store to another.
    MoveId, "mov");
id_type!(/// A plan that a tenant can subscribe to.
    PlanId, "pln");
id_type!(/// A version of a plan.
    PlanVersionId, "plv");
id_type!(/// What a tenant has of a plan.
    SubscriptionId, "sub");
id_type!(/// What a tenant is to pay.
    InvoiceId, "ivc");
id_type!(/// What a tenant need not pay after all.
    CreditNoteId, "crn");
id_type!(/// A visit to the page of a payment provider.
    CheckoutId, "chk");

/// A UUIDv7 whose time is `now`, for rows that no client ever names.
///
/// All bits below the millisecond are random (RFC 9562, section 5.7): a counter shared by tenants would reveal to each
/// of them how much the others do. So ids of one millisecond are unordered, and rows that need an order have a column
/// for it.
pub fn uuid_v7(now: Timestamp) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random::bytes()).into_uuid()
}

fn encode(prefix: &str, uuid: Uuid) -> TypeSafeId<DynamicType> {
    // Unwrap safety: every prefix is a literal in this file, in lower-case letters.
    let prefix = DynamicType::new(prefix).expect("a valid prefix");
    TypeSafeId::from_type_and_uuid(prefix, uuid)
}

fn decode(expected_prefix: &'static str, text: &str) -> Result<Uuid, InvalidId> {
    let id: TypeSafeId<DynamicType> = text.parse().map_err(|_| InvalidId { expected_prefix })?;
    if id.type_prefix() != expected_prefix {
        return Err(InvalidId { expected_prefix });
    }
    Ok(id.uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = BookingId::generate(Timestamp::now());
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with("bkg_"));
    }

    #[test]
    fn another_prefix_and_garbage_are_refused() {
        let user = UserId::generate(Timestamp::now()).to_string();
        for text in [user.as_str(), "", "bkg", "bkg_", "bkg_zzz", "bkg_81h455vb4pex5vsknk084sn02q", "bkg_\0"] {
            assert_eq!(text.parse::<BookingId>(), Err(InvalidId { expected_prefix: "bkg" }), "{text:?}");
        }
    }

    #[test]
    fn ids_sort_by_their_time() {
        let early = ServiceId::generate(Timestamp::from_second(1_000).unwrap());
        let late = ServiceId::generate(Timestamp::from_second(2_000).unwrap());
        assert!(early < late);
    }

    /// An id reveals only when it was made: nobody can count what others do meanwhile.
    #[test]
    fn ids_of_one_millisecond_share_nothing_but_the_time() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let low = |id: Uuid| id.as_u128() & ((1 << 62) - 1);
        let ids: Vec<Uuid> = (0..2_000).map(|_| uuid_v7(now)).collect();
        assert!(ids.iter().all(|it| it.get_version_num() == 7 && it.as_u128() >> 80 == 1_000_000_000));
        // Of 12 and 62 random bits: as often up as down, and never the same step twice.
        let ups = ids.windows(2).filter(|it| it[1] > it[0]).count();
        assert!((700..1_300).contains(&ups), "{ups} of 1999 ids are above the one before");
        let steps: std::collections::HashSet<u128> =
            ids.windows(2).map(|it| low(it[1]).wrapping_sub(low(it[0]))).collect();
        assert_eq!(steps.len(), 1_999);
    }
}
