//! Meters, periods and events.

use jiff::{Timestamp, Zoned, civil::Date, tz::TimeZone};
use uuid::Uuid;

/// Bookings that were made, or taken up after they were held. Cancelling gives none back.
pub const BOOKINGS: &str = "bookings";

/// How many users can sign in: a level, and not a sum.
pub const USERS: &str = "users";

/// What requests cost, in the units of the API's budgets.
pub const API_COST: &str = "api_cost";

/// What Tenantry itself meters, and nobody else can report.
pub const OWN_METERS: [&str; 3] = [BOOKINGS, USERS, API_COST];

/// The source of events that Tenantry itself records.
pub(super) const OWN_SOURCE: &str = "tenantry";

/// Names an event by its source and its name there (RFC 9562, section 5.5).
const NAMESPACE: Uuid = Uuid::from_u128(0x5f9c_2f1e_6f0a_4b9e_9d57_0c2f_6f1b_7a41);

/// What is counted in `usage_counters` without being an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meter {
    /// Mails that invite somebody, in a calendar month.
    InvitationMails,
}

impl Meter {
    /// As the database spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvitationMails => "invitation_mails",
        }
    }
}

/// A half-open span of time, `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first instant of it.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Period {
    /// The calendar month that holds this instant in this zone.
    pub fn month_of(now: Timestamp, zone: &TimeZone) -> Self {
        let start_of_month = |zoned: &Zoned| zoned.first_of_month().and_then(|it| it.start_of_day());
        let local = now.to_zoned(zone.clone());
        let start = start_of_month(&local).map_or(now, |it| it.timestamp());
        let end = local.first_of_month().ok().and_then(|it| it.checked_add(jiff::Span::new().months(1)).ok());
        let end = end.and_then(|it| start_of_month(&it).ok()).map_or(Timestamp::MAX, |it| it.timestamp());
        Self { start, end }
    }
}

/// Something that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who tells of it.
    pub source: String,
    /// Its name there.
    pub event_id: String,
    /// Of which meter.
    pub meter: String,
    /// So many units; of a level how many there are from then on.
    pub quantity: i64,
    /// When.
    pub occurred_at: Timestamp,
}

impl Event {
    /// One that Tenantry itself records.
    pub fn own(meter: &str, event_id: String, quantity: i64, occurred_at: Timestamp) -> Self {
        Self { source: OWN_SOURCE.into(), event_id, meter: meter.into(), quantity, occurred_at }
    }

    /// The same for the same source and name.
    pub fn id(&self) -> Uuid {
        // The length keeps `("a", "bc")` apart from `("ab", "c")`.
        Uuid::new_v5(&NAMESPACE, format!("{} {} {}", self.source.len(), self.source, self.event_id).as_bytes())
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is there and counted.
    Accepted,
    /// It was there already, and is counted once.
    Duplicate,
    /// Another one of that id is there, with other content.
    Differs,
    /// The quota has no room for it.
    QuotaExceeded,
}

/// How much was used on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// In the tenant's zone.
    pub day: Date,
    /// The sum; of a level the most.
    pub quantity: i64,
}
