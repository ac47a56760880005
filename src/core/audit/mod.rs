//! The audit log: who did what, written in the transaction that did it.

pub mod graphql;
mod queries;

use std::collections::HashMap;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    auth::{Caller, Origin, Role},
    db::{DbError, ScopedTx},
    ids::{BookingId, InvitationId, ServiceId, SessionId, TenantId, UserId, uuid_v7},
    paging::{Page, Slice, TimeKey},
    random,
};

/// What changed: `{"field": {"from": …, "to": …}}`. Never a secret.
///
/// Personal data stands apart: the event holds a salted digest of it, so that a person can be erased and the chain of
/// events still holds.
#[derive(Debug, Default)]
pub struct Changes {
    fields: Map<String, Value>,
    personal: Vec<PersonalValue>,
}

/// A value of the log that can be erased.
#[derive(Debug)]
struct PersonalValue {
    digest: Vec<u8>,
    subject: Uuid,
    salt: [u8; 16],
    value: String,
}

impl Changes {
    /// Adds a field when its value differs. A new object's fields come from null.
    pub fn field(mut self, name: &str, from: impl Into<Value>, to: impl Into<Value>) -> Self {
        let (from, to) = (from.into(), to.into());
        if from != to {
            self.fields.insert(name.to_owned(), json!({ "from": from, "to": to }));
        }
        self
    }

    /// The differences between two states of an object, each told by `facts` as the same fields in the same order.
    pub fn between<T, const N: usize>(
        before: Option<&T>,
        after: &T,
        facts: impl Fn(&T) -> [(&'static str, Value); N],
    ) -> Self {
        let old = before.map(&facts);
        facts(after).into_iter().enumerate().fold(Self::default(), |changes, (index, (name, new))| {
            let from = old.as_ref().map_or(Value::Null, |old| old[index].1.clone());
            changes.field(name, from, new)
        })
    }

    /// Adds a field that holds personal data of this subject: a user, an invitation or a registration.
    pub fn personal(mut self, subject: Uuid, name: &str, from: Option<&str>, to: Option<&str>) -> Self {
        if from != to {
            let (from, to) = (self.set_apart(subject, from), self.set_apart(subject, to));
            self.fields.insert(name.to_owned(), json!({ "from": from, "to": to }));
        }
        self
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn set_apart(&mut self, subject: Uuid, value: Option<&str>) -> Value {
        let Some(value) = value else { return Value::Null };
        let salt = random::bytes();
        let digest = personal_digest(&salt, value);
        let named = json!({ "digest": hex(&digest) });
        self.personal.push(PersonalValue { digest, subject, salt, value: value.to_owned() });
        named
    }
}

fn personal_digest(salt: &[u8], value: &str) -> Vec<u8> {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(salt);
    hash.update(value.as_bytes());
    hash.finish().as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line of the log.
#[derive(Debug)]
pub struct Event {
    actor: Option<UserId>,
    /// Feature and verb, such as `bookings.cancel`.
    action: &'static str,
    object_type: &'static str,
    object: Option<Uuid>,
    changes: Changes,
}

impl Event {
    /// An event of the sign-in path, about the user whom it concerns.
    pub fn of_sign_in(user: UserId, action: &'static str, object_type: &'static str, object: Option<Uuid>) -> Self {
        Self { actor: Some(user), action, object_type, object, changes: Changes::default() }
    }

    /// An event of a platform administrator, or of the platform itself, about this tenant.
    pub fn of_platform(administrator: Option<Uuid>, action: &'static str, object: Option<Uuid>) -> Self {
        let actor = administrator.map(UserId);
        Self { actor, action, object_type: "tenant", object, changes: Changes::default() }
    }

    /// An event of background work.
    pub fn of_work(action: &'static str, object_type: &'static str, object: Option<Uuid>) -> Self {
        Self { actor: None, action, object_type, object, changes: Changes::default() }
    }

    /// With what changed.
    pub fn with(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }
}

/// Records what the caller did.
///
/// # Errors
/// When the statement fails; then the change that it tells of must not stand either, and does not.
pub async fn record(
    caller: &Caller<'_>,
    action: &'static str,
    object_type: &'static str,
    object: Option<Uuid>,
    changes: Changes,
) -> Result<(), DbError> {
    let event = Event { actor: Some(caller.viewer.user), action, object_type, object, changes };
    record_as(caller.tx, event, caller.clock.now(), caller.origin).await
}

/// Records an event in the role of the transaction's scope.
///
/// # Errors
/// When the statement fails.
pub async fn record_as(tx: &ScopedTx, event: Event, now: Timestamp, origin: &Origin) -> Result<(), DbError> {
    for value in &event.changes.personal {
        queries::insert_personal_value(tx, value).await?;
    }
    tx.log(json!({
        "id": uuid_v7(now),
        "at": now.to_string(),
        "actor_id": event.actor.map(|it| it.0),
        "impersonator": origin.impersonator,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object,
        "changes": event.changes.fields,
        "request_id": (!origin.request_id.is_nil()).then_some(origin.request_id),
        "address": origin.address,
    }));
    Ok(())
}

/// Erases the personal data of these subjects from the log. The events stay, and their chain holds.
///
/// # Errors
/// When the statement fails.
pub async fn forget(tx: &ScopedTx, subjects: &[Uuid]) -> Result<(), DbError> {
    queries::delete_personal_values(tx, subjects).await
}

/// One line of the log, as it was written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// In the order in which events of one instant were written.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who, or whom signing in was about.
    pub actor: Option<UserId>,
    /// In which role.
    pub actor_role: String,
    /// E-mail of the platform administrator who acted as this person.
    pub impersonator: Option<String>,
    /// Its place in the chain.
    pub seq: i64,
    /// Feature and verb.
    pub action: String,
    /// What kind of object.
    pub object_type: String,
    /// Which one.
    pub object: Option<Uuid>,
    /// What changed.
    pub changes: Map<String, Value>,
    /// Which request.
    pub request: Option<Uuid>,
    /// From where.
    pub address: Option<String>,
}

/// Sort key of the log: instant, then id.
pub type AuditKey = TimeKey;

/// Which events a list holds. An empty filter holds all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only of this user.
    pub actor: Option<UserId>,
    /// Only this action.
    pub action: Option<String>,
    /// Only to objects of this kind.
    pub object_type: Option<String>,
    /// Only to this object.
    pub object: Option<Uuid>,
    /// Only at this instant or later.
    pub from: Option<Timestamp>,
    /// Only before this instant.
    pub to: Option<Timestamp>,
}

/// Why the log could not be shown.
#[derive(Debug)]
pub enum AuditError {
    /// Only administrators read it.
    Forbidden,
    /// A statement failed.
    Db(DbError),
}

impl From<DbError> for AuditError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// A page of the tenant's log, newest first. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn list(
    caller: &Caller<'_>,
    filter: &AuditFilter,
    page: &Page<AuditKey>,
) -> Result<Slice<AuditKey, Entry>, AuditError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(AuditError::Forbidden);
    }
    let mut entries = queries::list(caller.tx, filter, page).await?;
    put_personal_values_back(caller.tx, &mut entries).await?;
    Ok(page.slice(entries.into_iter().map(|entry| ((entry.at, entry.id), entry)).collect()))
}

/// Some events past this place of the chain, in its order. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn part(caller: &Caller<'_>, past: i64, limit: i64) -> Result<Vec<Entry>, AuditError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(AuditError::Forbidden);
    }
    let mut entries = queries::part(caller.tx, past, limit).await?;
    put_personal_values_back(caller.tx, &mut entries).await?;
    Ok(entries)
}

impl Entry {
    /// The object's id as clients know it, where it has one.
    pub fn object_id(&self) -> Option<String> {
        let id = self.object?;
        match self.object_type.as_str() {
            "user" => Some(UserId(id).to_string()),
            "service" => Some(ServiceId(id).to_string()),
            "booking" => Some(BookingId(id).to_string()),
            "session" => Some(SessionId(id).to_string()),
            "invitation" => Some(InvitationId(id).to_string()),
            "tenant" => Some(TenantId(id).to_string()),
            _ => None,
        }
    }
}

/// What a value that was erased reads as.
const ERASED: &str = "[erased]";

/// Replaces digests by the values that they are of, as long as those are there.
async fn put_personal_values_back(tx: &ScopedTx, entries: &mut [Entry]) -> Result<(), DbError> {
    let mut digests = Vec::new();
    for side in entries.iter_mut().flat_map(|it| sides(&mut it.changes)) {
        digests.extend(side["digest"].as_str().and_then(unhex));
    }
    if digests.is_empty() {
        return Ok(());
    }
    let values: HashMap<String, String> =
        queries::personal_values(tx, &digests).await?.into_iter().map(|it| (hex(&it.digest), it.value)).collect();
    for side in entries.iter_mut().flat_map(|it| sides(&mut it.changes)) {
        if let Some(digest) = side["digest"].as_str() {
            *side = values.get(digest).map_or(ERASED, String::as_str).into();
        }
    }
    Ok(())
}

/// Both sides of every change.
fn sides(changes: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    changes.values_mut().filter_map(Value::as_object_mut).flat_map(|it| it.values_mut()).filter(|it| it.is_object())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// What looking through the whole chain found.
#[derive(Clone, Debug)]
pub struct Verification {
    /// How many events there are.
    pub events: i64,
    /// Those that are not as they were written, or that do not follow the one before; at most [`MAX_BROKEN`].
    pub broken: Vec<Entry>,
    /// Whether the chain ends before, or after, the end that was noted with its last event.
    pub end_differs: bool,
}

/// Most broken events that a verification names.
pub const MAX_BROKEN: usize = 100;

/// Computes the tenant's whole chain anew. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn verify_chain(caller: &Caller<'_>) -> Result<Verification, AuditError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(AuditError::Forbidden);
    }
    // The end first: what others append meanwhile is no part of it.
    let head = queries::head(caller.tx).await?;
    let (mut events, mut last, mut broken) = (0, queries::Link::start(), Vec::new());
    loop {
        let part = queries::verify_part(caller.tx, &last, &head).await?;
        let Some(end) = part.end else { break };
        events += part.events;
        broken.extend(part.broken);
        last = end;
    }
    broken.truncate(MAX_BROKEN);
    let mut entries = queries::by_ids(caller.tx, &broken).await?;
    let changed_values = queries::changed_personal_values(caller.tx).await?;
    if !changed_values.is_empty() {
        let naming = queries::naming_digests(caller.tx, &changed_values).await?;
        let known: Vec<Uuid> = entries.iter().map(|it| it.id).collect();
        entries.extend(naming.into_iter().filter(|it| !known.contains(&it.id)));
        entries.truncate(MAX_BROKEN);
    }
    put_personal_values_back(caller.tx, &mut entries).await?;
    Ok(Verification { events, broken: entries, end_differs: head != last })
}
