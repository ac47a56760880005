//! Every statement on plans. All of them run in the directory.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Plan, PlanVersion};
use crate::{
    base::ids::PlanVersionId,
    db::{DbError, Row, ScopedTx},
    features::billing::terms::Terms,
};

macro_rules! columns {
    () => {
        "p.id, p.key, p.name, p.position, p.active, v.id, v.version, v.published_at, v.terms"
    };
}

fn read_plan(row: &Row) -> Plan {
    Plan { id: row.get(0), key: row.get(1), name: row.get(2), position: row.get(3), active: row.get(4) }
}

fn read(row: &Row) -> Result<PlanVersion, DbError> {
    let terms: Value = row.get(8);
    let terms = Terms::deserialize(&terms).map_err(|error| DbError::Corrupt(format!("terms of a plan: {error}")))?;
    Ok(PlanVersion { id: row.get(5), plan: read_plan(row), version: row.get(6), published_at: row.get(7), terms })
}

/// The terms as stored in the database.
fn written(terms: &Terms) -> Value {
    // Unwrap safety: terms are texts, numbers and lists.
    serde_json::to_value(terms).expect("terms can be written")
}

/// The offered versions, in the order of the price list.
pub async fn on_offer(directory: &ScopedTx) -> Result<Vec<PlanVersion>, DbError> {
    let rows = directory
        .query(
            concat!(
                "-- plans.on_offer
                select ",
                columns!(),
                "
                  from plans p join plan_versions v on v.plan_id = p.id and v.state = 'PUBLISHED'
                 where p.active and not exists (select from plan_versions newer
                   where newer.plan_id = p.id and newer.state = 'PUBLISHED' and newer.version > v.version)
                 order by p.position, p.id"
            ),
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// One version.
pub(super) async fn by_id(directory: &ScopedTx, id: PlanVersionId) -> Result<Option<PlanVersion>, DbError> {
    let row = directory
        .query_opt(
            concat!(
                "-- plans.by_id
                select ",
                columns!(),
                " from plan_versions v join plans p on p.id = v.plan_id where v.id = $1"
            ),
            &[&id],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Every version of every plan, including drafts for callers who may see them: in the order of the price list, newest
/// first.
pub async fn all(directory: &ScopedTx) -> Result<Vec<PlanVersion>, DbError> {
    let rows = directory
        .query(
            concat!(
                "-- plans.all
                select ",
                columns!(),
                "
                  from plan_versions v join plans p on p.id = v.plan_id order by p.position, p.id, v.version desc limit 1000"
            ),
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// One plan.
pub(super) async fn by_key(directory: &ScopedTx, key: &str) -> Result<Option<Plan>, DbError> {
    let row = directory
        .query_opt(
            "-- plans.by_key
            select id, key, name, position, active from plans where key = $1",
            &[&key],
        )
        .await?;
    Ok(row.as_ref().map(read_plan))
}

/// One plan, locked against concurrent changes of its versions until the transaction ends.
pub(super) async fn lock(directory: &ScopedTx, key: &str) -> Result<Option<Plan>, DbError> {
    let row = directory
        .query_opt(
            "-- plans.lock
            select id, key, name, position, active from plans where key = $1 for update",
            &[&key],
        )
        .await?;
    Ok(row.as_ref().map(read_plan))
}

/// The position after all existing plans.
pub(super) async fn next_position(directory: &ScopedTx) -> Result<i32, DbError> {
    let row = directory
        .query_one(
            "-- plans.next_position
            select coalesce(max(position), 0) + 1 from plans",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// Adds a plan; `false` when the key is taken.
pub(super) async fn insert(directory: &ScopedTx, plan: &Plan) -> Result<bool, DbError> {
    let row = directory
        .query_opt(
            "-- plans.insert
            insert into plans (id, key, name, position, active) values ($1, $2, $3, $4, $5)
            on conflict (key) do nothing returning true",
            &[&plan.id, &plan.key, &plan.name, &plan.position, &plan.active],
        )
        .await?;
    Ok(row.is_some())
}

/// Stores name, position and whether the plan is on the list.
pub(super) async fn update(directory: &ScopedTx, plan: &Plan) -> Result<(), DbError> {
    directory
        .execute(
            "-- plans.update
            update plans set name = $2, position = $3, active = $4 where id = $1",
            &[&plan.id, &plan.name, &plan.position, &plan.active],
        )
        .await
}

/// Creates or replaces the draft.
pub(super) async fn upsert_draft(
    directory: &ScopedTx,
    id: PlanVersionId,
    plan: &Plan,
    terms: &Terms,
    now: Timestamp,
) -> Result<PlanVersion, DbError> {
    let row = directory
        .query_one(
            "-- plans.upsert_draft
            insert into plan_versions (id, plan_id, version, terms, created_at)
            select $1, $2, coalesce(max(version), 0) + 1, $3, $4 from plan_versions where plan_id = $2 and state = 'PUBLISHED'
            on conflict (plan_id) where state = 'DRAFT' do update set terms = excluded.terms
            returning id, version",
            &[&id, &plan.id, &written(terms), &now],
        )
        .await?;
    let (id, version) = (row.get(0), row.get(1));
    Ok(PlanVersion { id, plan: plan.clone(), version, published_at: None, terms: terms.clone() })
}

/// Publishes the draft; `None` when there is none.
pub(super) async fn publish(directory: &ScopedTx, plan: &Plan, now: Timestamp) -> Result<Option<PlanVersion>, DbError> {
    let row = directory
        .query_opt(
            "-- plans.publish
            update plan_versions set state = 'PUBLISHED', published_at = $2 where plan_id = $1 and state = 'DRAFT'
            returning id",
            &[&plan.id, &now],
        )
        .await?;
    match row {
        Some(row) => by_id(directory, row.get(0)).await,
        None => Ok(None),
    }
}
