//! Records usage, each event once.

use jiff::Timestamp;
use serde_json::json;

use super::{
    model::{API_COST, Event, OWN_METERS, OWN_SOURCE, Period, Recorded, USERS},
    queries,
};
use crate::{
    db::{DbError, ScopedTx},
    features::tenants::Tenant,
};

/// Whether the meter or the source of an event is reserved for Tenantry.
pub fn is_own(event: &Event) -> bool {
    OWN_METERS.contains(&event.meter.as_str()) || event.source == OWN_SOURCE
}

/// Whether a meter measures a level instead of a sum.
pub fn is_level(meter: &str) -> bool {
    meter == USERS
}

/// Records an event; see [`record`].
pub async fn record_one(tx: &ScopedTx, event: &Event, tenant: &Tenant, now: Timestamp) -> Result<Recorded, DbError> {
    let recorded = record(tx, std::slice::from_ref(event), tenant, now).await?;
    recorded.first().copied().ok_or_else(|| DbError::Corrupt("an event has no outcome".into()))
}

/// Records events with their sums and quotas, and returns the outcomes, in order. Usage in a time that was already
/// billed counts in the current period. The quota is the plan's limit for the meter in a calendar month of the tenant's
/// zone.
pub async fn record(
    tx: &ScopedTx,
    events: &[Event],
    tenant: &Tenant,
    now: Timestamp,
) -> Result<Vec<Recorded>, DbError> {
    let month = Period::month_of(now, &tenant.time_zone);
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_by_key(|index| (&events[*index].meter, events[*index].id()));
    let rows: Vec<serde_json::Value> = order
        .iter()
        .map(|index| {
            let it = &events[*index];
            let is_level = is_level(&it.meter);
            // A level is limited where it rises, and the API's budget is per minute.
            let period = (!is_level && it.meter != API_COST).then_some(month);
            json!({
                "id": it.id(), "source": it.source, "event_id": it.event_id, "meter": it.meter,
                "quantity": it.quantity, "occurred_at": it.occurred_at,
                "day": it.occurred_at.to_zoned(tenant.time_zone.clone()).date(),
                "level": is_level, "most": tenant.limits.of(&it.meter),
                "period_start": period.map(|it| it.start), "period_end": period.map(|it| it.end),
            })
        })
        .collect();
    let became = queries::record(tx, &rows.into(), now).await?;
    let mut recorded = vec![Recorded::Accepted; events.len()];
    for (index, became) in order.into_iter().zip(became) {
        recorded[index] = match became.as_str() {
            "ACCEPTED" => Recorded::Accepted,
            "DUPLICATE" => Recorded::Duplicate,
            "DIFFERS" => Recorded::Differs,
            "QUOTA" => Recorded::QuotaExceeded,
            other => return Err(DbError::Corrupt(format!("{other:?} is not an outcome of an event"))),
        };
    }
    Ok(recorded)
}

/// Blocks the recording of usage until the transaction ends, and closes the time before an instant: usage from that
/// time that is recorded later counts at that instant. The instant never moves back.
pub async fn close(tx: &ScopedTx, until: Timestamp) -> Result<(), DbError> {
    queries::lock_alone(tx).await?;
    queries::close(tx, until).await
}

/// The quantity of a meter in a period, from its events: the sum or, for a level, the maximum. With `late_only`, only
/// events that occurred before, in a period that was already billed; a level is never late.
pub async fn quantity_in(tx: &ScopedTx, meter: &str, period: Period, late_only: bool) -> Result<i64, DbError> {
    match (is_level(meter), late_only) {
        (true, true) => Ok(0),
        (true, false) => queries::most(tx, meter, period).await,
        (false, _) => queries::sum(tx, meter, period, late_only).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn a_month_is_the_tenants_own() {
        let zone = TimeZone::get("Europe/Amsterdam").unwrap();
        let period = Period::month_of("2026-03-31T23:30:00Z".parse().unwrap(), &zone);
        assert_eq!(period.start.to_string(), "2026-03-31T22:00:00Z"); // Already April there, in summer time.
        assert_eq!(period.end.to_string(), "2026-04-30T22:00:00Z");
        let winter = Period::month_of("2026-03-01T00:00:00Z".parse().unwrap(), &zone);
        assert_eq!(winter.start.to_string(), "2026-02-28T23:00:00Z");
        assert_eq!(winter.end, period.start);
    }

    #[test]
    fn an_event_is_named_by_its_source_and_its_name_there() {
        let event = |source: &str, event_id: &str, quantity| Event {
            source: source.into(),
            event_id: event_id.into(),
            meter: "sms".into(),
            quantity,
            occurred_at: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(event("a", "bc", 1).id(), event("a", "bc", 2).id());
        assert_ne!(event("a", "bc", 1).id(), event("ab", "c", 1).id());
        assert_ne!(event("a 1", "b", 1).id(), event("a", "1 b", 1).id());
    }
}
