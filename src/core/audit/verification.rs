//! Verifies that the chain of entries is unbroken.

use uuid::Uuid;

use super::{
    erasure::put_personal_values_back,
    model::{AuditError, Entry},
    queries,
};
use crate::{
    base::ids::{BookingId, InvitationId, ServiceId, SessionId, TenantId, UserId},
    core::identity::{Caller, Role},
};

impl Entry {
    /// The object's id as clients know it; `None` where the object has none.
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

/// The result of verifying the whole chain.
#[derive(Clone, Debug)]
pub struct Verification {
    /// How many events there are.
    pub events: i64,
    /// Events that were changed since they were written, or that do not follow the one before; at most [`MAX_BROKEN`].
    pub broken: Vec<Entry>,
    /// Whether the chain ends elsewhere than at the head that was stored with its last event.
    pub end_differs: bool,
}

/// The most broken events that a verification returns.
pub const MAX_BROKEN: usize = 100;

/// Recomputes the tenant's whole chain. Administrators only.
///
/// # Errors
/// `Forbidden`, or a statement failed.
pub async fn verify_chain(caller: &Caller<'_>) -> Result<Verification, AuditError> {
    if !caller.is_at_least(Role::Admin) {
        return Err(AuditError::Forbidden);
    }
    // The head is read first: events that others append meanwhile are not included.
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
