//! Every statement of billing. All of it runs in the directory.

use serde_json::Value;

use super::Plan;
use crate::{
    db::{DbError, ScopedTx},
    money::Money,
};

/// The plans on offer, in the order of the price list.
pub async fn plans(directory: &ScopedTx) -> Result<Vec<Plan>, DbError> {
    let rows = directory
        .query(
            "-- billing.plans
            select id, key, name, price_minor, currency, limits, features from plans where active order by position, id",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let (limits, features): (Value, Value) = (row.get(5), row.get(6));
            let limits = limits.as_object().into_iter().flatten();
            Ok(Plan {
                id: row.get(0),
                key: row.get(1),
                name: row.get(2),
                price: Money { minor: row.get(3), currency: row.try_get(4)? },
                limits: limits.filter_map(|(meter, most)| Some((meter.clone(), most.as_i64()?))).collect(),
                features: features
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|it| it.as_str().map(str::to_owned))
                    .collect(),
            })
        })
        .collect()
}
