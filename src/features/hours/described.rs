//! Hours as the audit log stores them.

use serde_json::json;

use super::{
    model::{Override, Schedule},
    queries,
};

/// A schedule as the audit log stores it.
pub(super) fn described(it: &Schedule) -> serde_json::Value {
    json!({ "valid_from": it.valid_from.to_string(), "time_zone": it.zone.iana_name(), "hours": queries::week_json(it) })
}

/// A day as the audit log stores it.
pub(super) fn described_day(it: &Override) -> serde_json::Value {
    json!({ "day": it.day.to_string(), "hours": queries::spans_json(&it.hours), "name": it.name })
}
