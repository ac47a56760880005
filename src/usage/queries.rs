//! Every statement on usage counters.

use super::{Meter, Period};
use crate::db::{DbError, ScopedTx};

/// One conditional upsert: no row comes back when the limit is reached.
pub async fn count_one(tx: &ScopedTx, meter: Meter, period: Period, limit: Option<i64>) -> Result<bool, DbError> {
    let row = tx
        .query_opt(
            "-- usage.count_one
            insert into usage_counters as c (tenant_id, meter, period_start, period_end, used)
            select $1, $2, $3, $4, 1 where $5::bigint is null or $5 >= 1
            on conflict (tenant_id, meter, period_start) do update
               set used = c.used + 1
             where $5::bigint is null or c.used < $5
            returning c.used",
            &[&tx.tenant(), &meter.as_str(), &period.start, &period.end, &limit],
        )
        .await?;
    Ok(row.is_some())
}

/// Zero where nothing was counted yet.
pub async fn used(tx: &ScopedTx, meter: Meter, period: Period) -> Result<i64, DbError> {
    let row = tx
        .query_opt(
            "-- usage.used
            select used from usage_counters where tenant_id = $1 and meter = $2 and period_start = $3",
            &[&tx.tenant(), &meter.as_str(), &period.start],
        )
        .await?;
    Ok(row.map_or(0, |row| row.get(0)))
}
