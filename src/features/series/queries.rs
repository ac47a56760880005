//! Every statement on series. `by_ids` feeds a loader.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::Series;
use crate::{
    base::ids::SeriesId,
    db::{DbError, Row, ScopedTx},
};

impl Series {
    fn read(row: &Row) -> Result<Self, DbError> {
        let corrupt = |error: String| DbError::Corrupt(error);
        Ok(Self {
            id: row.get(0),
            service: row.get(1),
            customer: row.get(2),
            rule: serde_json::from_value(row.get(3)).map_err(|error| corrupt(error.to_string()))?,
            zone: TimeZone::get(row.get(4)).map_err(|error| corrupt(error.to_string()))?,
            created_at: row.get(5),
        })
    }
}

/// Adds a series.
pub(super) async fn insert(tx: &ScopedTx, series: &Series) -> Result<(), DbError> {
    let rule = serde_json::to_value(&series.rule).map_err(|error| DbError::Corrupt(error.to_string()))?;
    tx.execute(
        "-- series.insert
        insert into booking_series (tenant_id, id, service_id, customer_id, rule, time_zone, created_at)
        values ($1, $2, $3, $4, $5, $6, $7)",
        &[
            &tx.tenant(),
            &series.id,
            &series.service,
            &series.customer,
            &rule,
            &series.zone.iana_name().unwrap_or("UTC"),
            &series.created_at,
        ],
    )
    .await
}

/// The series with these ids that the scope may see.
pub async fn by_ids(tx: &ScopedTx, ids: &[SeriesId]) -> Result<HashMap<SeriesId, Series>, DbError> {
    let rows = tx
        .query(
            "-- series.by_ids
            select id, service_id, customer_id, rule, time_zone, created_at
              from booking_series where tenant_id = $1 and id = any ($2)",
            &[&tx.tenant(), &ids],
        )
        .await?;
    rows.iter().map(|row| Series::read(row).map(|it| (it.id, it))).collect()
}
