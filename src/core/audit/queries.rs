//! Every statement of the audit log. It is appended to (on commit, see `ScopedTx::log`) and read, never changed.

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{AuditFilter, AuditKey, Entry, changes::PersonalValue};
use crate::{
    base::paging::{EARLIEST, LATEST, Page},
    db::{DbError, Row, ScopedTx},
};

/// How many events one step of a verification checks: few enough for the statement timeout.
const PART: i64 = 20_000;

/// Stores a personal value separately from the event that contains its digest.
pub(super) async fn insert_personal_value(tx: &ScopedTx, value: &PersonalValue) -> Result<(), DbError> {
    tx.execute(
        "-- audit.insert_personal_value
        insert into audit_personal_values (tenant_id, digest, subject_id, salt, value) values ($1, $2, $3, $4, $5)",
        &[&tx.tenant(), &value.digest, &value.subject, &value.salt.as_slice(), &value.value],
    )
    .await
}

/// Erases the personal values of these subjects.
pub(super) async fn delete_personal_values(tx: &ScopedTx, subjects: &[Uuid]) -> Result<(), DbError> {
    tx.execute(
        "-- audit.delete_personal_values
        delete from audit_personal_values where tenant_id = $1 and subject_id = any ($2)",
        &[&tx.tenant(), &subjects],
    )
    .await
}

/// The values with these digests that were not erased.
pub(super) async fn personal_values(tx: &ScopedTx, digests: &[Vec<u8>]) -> Result<Vec<PersonalValue>, DbError> {
    let rows = tx
        .query(
            "-- audit.personal_values
            select digest, subject_id, value from audit_personal_values where tenant_id = $1 and digest = any ($2)",
            &[&tx.tenant(), &digests],
        )
        .await?;
    let read = |row: &Row| PersonalValue { digest: row.get(0), subject: row.get(1), salt: [0; 16], value: row.get(2) };
    Ok(rows.iter().map(read).collect())
}

/// Digests of values that no longer match their value.
pub(super) async fn changed_personal_values(tx: &ScopedTx) -> Result<Vec<Vec<u8>>, DbError> {
    let rows = tx
        .query(
            "-- audit.changed_personal_values
            select digest from audit_personal_values
             where tenant_id = $1 and digest <> sha256(salt || convert_to(value, 'UTF8'))
             limit 100",
            &[&tx.tenant()],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

macro_rules! entry_columns {
    () => {
        "id, at, actor_id, actor_role, action, object_type, object_id, changes, request_id, address, impersonator, seq"
    };
}

macro_rules! list_sql {
    ($direction:literal) => {
        concat!(
            "-- audit.list
            select ",
            entry_columns!(),
            " from audit_events
             where tenant_id = $1
               and ($2::uuid is null or actor_id = $2)
               and ($3::text is null or action = $3)
               and ($4::text is null or object_type = $4)
               and ($5::uuid is null or object_id = $5)
               and at >= $6 and at < $7
               and (at, seq) > ($8, $9)
               and (at, seq) < ($10, $11)
             order by at ",
            $direction,
            ", seq ",
            $direction,
            " limit $12"
        )
    };
}

/// One row more than the page, in scan order. The list is newest first, so later rows have smaller keys.
pub(super) async fn list(tx: &ScopedTx, filter: &AuditFilter, page: &Page<AuditKey>) -> Result<Vec<Entry>, DbError> {
    let sql = if page.from_the_back { list_sql!("asc") } else { list_sql!("desc") };
    let (lower, upper) = (page.before.unwrap_or((EARLIEST, 0)), page.after.unwrap_or((LATEST, i64::MAX)));
    let rows = tx
        .query(
            sql,
            &[
                &tx.tenant(),
                &filter.actor,
                &filter.action,
                &filter.object_type,
                &filter.object,
                &filter.from.unwrap_or(EARLIEST),
                &filter.to.unwrap_or(LATEST),
                &lower.0,
                &lower.1,
                &upper.0,
                &upper.1,
                &page.fetch(),
            ],
        )
        .await?;
    rows.iter().map(read_entry).collect()
}

/// Some events after this position of the chain, in order.
pub(super) async fn part(tx: &ScopedTx, past: i64, limit: i64) -> Result<Vec<Entry>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- audit.part
                select ",
                entry_columns!(),
                " from audit_events where tenant_id = $1 and seq > $2 order by seq limit $3"
            ),
            &[&tx.tenant(), &past, &limit],
        )
        .await?;
    rows.iter().map(read_entry).collect()
}

/// These events, in chain order.
pub(super) async fn by_ids(tx: &ScopedTx, ids: &[Uuid]) -> Result<Vec<Entry>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- audit.by_ids
                select ",
                entry_columns!(),
                " from audit_events where tenant_id = $1 and id = any ($2) order by seq"
            ),
            &[&tx.tenant(), &ids],
        )
        .await?;
    rows.iter().map(read_entry).collect()
}

/// Events that contain one of these digests.
pub(super) async fn naming_digests(tx: &ScopedTx, digests: &[Vec<u8>]) -> Result<Vec<Entry>, DbError> {
    let rows = tx
        .query(
            concat!(
                "-- audit.naming_digests
                select ",
                entry_columns!(),
                " from audit_events
                 where tenant_id = $1
                   and exists (select from unnest($2::bytea[]) d (digest)
                                where position(encode(d.digest, 'hex') in changes::text) > 0)
                 order by seq limit 100"
            ),
            &[&tx.tenant(), &digests],
        )
        .await?;
    rows.iter().map(read_entry).collect()
}

fn read_entry(row: &Row) -> Result<Entry, DbError> {
    Ok(Entry {
        id: row.get(0),
        at: row.get::<_, Timestamp>(1),
        actor: row.get(2),
        actor_role: row.get(3),
        action: row.get(4),
        object_type: row.get(5),
        object: row.get(6),
        changes: match row.get(7) {
            Value::Object(changes) => changes,
            other => return Err(DbError::Corrupt(format!("{other} is not a set of changes"))),
        },
        request: row.get(8),
        address: row.get(9),
        impersonator: row.get(10),
        seq: row.get(11),
    })
}

/// A position in the chain, with the hash at that position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    seq: i64,
    hash: Vec<u8>,
}

impl Link {
    /// The position before the first event.
    pub(super) fn start() -> Self {
        Self { seq: 0, hash: vec![0; 32] }
    }
}

/// The result of checking a part of the chain.
pub(super) struct Part {
    /// How many events it has.
    pub events: i64,
    /// Ids of the events whose hash or position does not match.
    pub broken: Vec<Uuid>,
    /// Its last event; `None` past the end.
    pub end: Option<Link>,
}

/// Checks the events after this position, up to the chain's head. Each event is compared with the stored hash of the
/// one before, so a changed event is reported and those after it are not.
pub(super) async fn verify_part(tx: &ScopedTx, past: &Link, head: &Link) -> Result<Part, DbError> {
    let rows = tx
        .query(
            "-- audit.verify_part
            with part as (
              select * from audit_events where tenant_id = $1 and seq > $2 and seq <= $5 order by seq limit $4
            ), linked as (
              select part.*, coalesce(lag(seq) over (order by seq), $2) as previous_seq,
                     coalesce(lag(hash) over (order by seq), $3) as previous_hash
                from part
            )
            select count(*), max(seq), (array_agg(hash order by seq desc))[1],
                   coalesce(array_agg(id order by seq) filter (where seq <> previous_seq + 1
                     or hash <> audit_event_hash(previous_hash, seq, id, at, actor_id, actor_role, impersonator, action,
                                                 object_type, object_id, changes, request_id, address)), '{}')
              from linked",
            &[&tx.tenant(), &past.seq, &past.hash, &PART, &head.seq],
        )
        .await?;
    let Some(row) = rows.first() else { return Err(DbError::Corrupt("an aggregate returned no row".into())) };
    let seq: Option<i64> = row.get(1);
    let end = seq.map(|seq| Link { seq, hash: row.get(2) });
    Ok(Part { events: row.get(0), broken: row.get(3), end })
}

/// The head of the chain, as stored with the last event.
pub(super) async fn head(tx: &ScopedTx) -> Result<Link, DbError> {
    let row = tx
        .query_opt(
            "-- audit.head
            select seq, hash from audit_heads where tenant_id = $1",
            &[&tx.tenant()],
        )
        .await?;
    Ok(row.map_or_else(Link::start, |row| Link { seq: row.get(0), hash: row.get(1) }))
}
