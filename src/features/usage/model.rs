//! Meters, periods and events.

use jiff::{Timestamp, Zoned, civil::Date, tz::TimeZone};
use uuid::Uuid;

/// Bookings that were created, or confirmed after a hold. Cancelling does not reduce the count.
pub const BOOKINGS: &str = "bookings";

/// The number of users who can sign in: a level, not a sum.
pub const USERS: &str = "users";

/// The cost of requests, in the units of the API's budgets.
pub const API_COST: &str = "api_cost";

/// The meters that only Tenantry records.
pub const OWN_METERS: [&str; 3] = [BOOKINGS, USERS, API_COST];

/// The source of events that Tenantry records.
pub(super) const OWN_SOURCE: &str = "tenantry";

/// The namespace of event ids, which derive from the source and the name there (RFC 9562, section 5.5).
const NAMESPACE: Uuid = Uuid::from_u128(0x5f9c_2f1e_6f0a_4b9e_9d57_0c2f_6f1b_7a41);

/// A meter in `usage_counters` that has no events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meter {
    /// Invitation mails in a calendar month.
    InvitationMails,
}

impl Meter {
    /// The value in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvitationMails => "invitation_mails",
        }
    }
}

/// A half-open interval, `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The start.
    pub start: Timestamp,
    /// The end (exclusive).
    pub end: Timestamp,
}

impl Period {
    /// The calendar month that contains this instant in this zone.
    pub fn month_of(now: Timestamp, zone: &TimeZone) -> Self {
        let start_of_month = |zoned: &Zoned| zoned.first_of_month().and_then(|it| it.start_of_day());
        let local = now.to_zoned(zone.clone());
        let start = start_of_month(&local).map_or(now, |it| it.timestamp());
        let end = local.first_of_month().ok().and_then(|it| it.checked_add(jiff::Span::new().months(1)).ok());
        let end = end.and_then(|it| start_of_month(&it).ok()).map_or(Timestamp::MAX, |it| it.timestamp());
        Self { start, end }
    }
}

/// A usage event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who reports it.
    pub source: String,
    /// Its name at the source.
    pub event_id: String,
    /// The meter.
    pub meter: String,
    /// The quantity; for a level, the new level.
    pub quantity: i64,
    /// When it occurred.
    pub occurred_at: Timestamp,
}

impl Event {
    /// An event that Tenantry records.
    pub fn own(meter: &str, event_id: String, quantity: i64, occurred_at: Timestamp) -> Self {
        Self { source: OWN_SOURCE.into(), event_id, meter: meter.into(), quantity, occurred_at }
    }

    /// The id: the same for the same source and name.
    pub fn id(&self) -> Uuid {
        // The length keeps `("a", "bc")` apart from `("ab", "c")`.
        Uuid::new_v5(&NAMESPACE, format!("{} {} {}", self.source.len(), self.source, self.event_id).as_bytes())
    }
}

/// The outcome for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The event was stored and counted.
    Accepted,
    /// The event was already stored and counts once.
    Duplicate,
    /// An event with the same id but other content exists.
    Differs,
    /// The quota has no room for it.
    QuotaExceeded,
}

/// The usage on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The day in the tenant's zone.
    pub day: Date,
    /// The sum or, for a level, the maximum.
    pub quantity: i64,
}
