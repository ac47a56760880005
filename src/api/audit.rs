//! The audit log in the API. Administrators only.

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject};

use crate::{
    api::{ContextExt, objects::User},
    base::ids::{BookingId, InvitationId, ServiceId, SessionId, TenantId, UserId},
    core::audit::{AuditFilter, Entry},
    graphql::{
        ApiError, DateTime, ErrorClass, Listing, MUTATION_COST, PageArgs, connection, filter_interval, page_cost,
        parse_id,
    },
};

/// One line of the audit log: who did what, written in the transaction that did it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct AuditEvent {
    /// Its place in the tenant's chain, from 1 without a gap.
    pub sequence: i32,
    /// When.
    pub at: DateTime,
    /// In which role: `ADMIN`, `STAFF`, `USER`, or that of a part of the system, such as `AUTHENTICATOR` for signing in.
    pub actor_role: String,
    /// E-mail of the platform administrator who acted as this person.
    pub impersonator: Option<String>,
    /// Feature and verb, such as `bookings.create`.
    pub action: String,
    /// What kind of object it was done to, such as `booking`.
    pub object_type: String,
    /// The object's id, where it has one.
    pub object_id: Option<ID>,
    /// What changed. Secrets are never recorded.
    pub changes: Vec<AuditChange>,
    /// The request that did it, as its response named it.
    pub request_id: Option<String>,
    /// Network address of the client.
    pub address: Option<String>,
    #[graphql(skip)]
    actor: Option<UserId>,
}

/// What looking through the chain of audit events found.
#[derive(SimpleObject)]
pub struct AuditChainVerification {
    /// Whether every event is as it was written, and none is missing.
    pub intact: bool,
    /// How many events there are.
    pub events: i32,
    /// Events that were changed, or before which one is missing; at most 100, in the chain's order.
    pub broken: Vec<AuditEvent>,
    /// Whether events are missing at the end of the chain.
    pub end_differs: bool,
}

/// One field that changed.
#[derive(Clone, SimpleObject)]
pub struct AuditChange {
    /// Its name.
    pub field: String,
    /// Its value before, as JSON. `null` where there was none.
    pub before: String,
    /// Its value afterwards, as JSON. `null` where there is none.
    pub after: String,
}

impl From<Entry> for AuditEvent {
    fn from(entry: Entry) -> Self {
        let object_id = entry.object_id();
        let changes = entry.changes.into_iter().map(|(field, change)| AuditChange {
            field,
            before: change["from"].to_string(),
            after: change["to"].to_string(),
        });
        Self {
            at: DateTime(entry.at),
            sequence: i32::try_from(entry.seq).unwrap_or(i32::MAX),
            actor_role: entry.actor_role,
            impersonator: entry.impersonator,
            action: entry.action,
            object_type: entry.object_type,
            object_id: object_id.map(ID::from),
            changes: changes.collect(),
            request_id: entry.request.map(|it| it.to_string()),
            address: entry.address,
            actor: entry.actor,
        }
    }
}

#[ComplexObject]
impl AuditEvent {
    /// Who did it, or whom signing in was about. Null for background work.
    async fn actor(&self, ctx: &Context<'_>) -> Result<Option<User>, ApiError> {
        let Some(actor) = self.actor else { return Ok(None) };
        Ok(ctx.work()?.loaders.users().load_one(actor).await?.map(User::from))
    }
}

/// Which events a list holds. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "AuditFilter")]
pub struct AuditFilterInput {
    /// Only of this user.
    actor_id: Option<ID>,
    /// Only this action, such as `bookings.create`.
    action: Option<String>,
    /// Only to objects of this kind, such as `booking`.
    object_type: Option<String>,
    /// Only to this object.
    object_id: Option<ID>,
    /// Only at this instant or later.
    from: Option<DateTime>,
    /// Only before this instant.
    to: Option<DateTime>,
}

impl AuditFilterInput {
    fn read(self) -> Result<AuditFilter, ApiError> {
        let (from, to) = filter_interval(self.from, self.to)?;
        Ok(AuditFilter {
            actor: self.actor_id.map(|id| parse_id(&id, "filter.actorId")).transpose()?,
            action: self.action,
            object_type: self.object_type,
            object: self.object_id.map(|id| read_object_id(&id)).transpose()?,
            from,
            to,
        })
    }
}

/// An id of any kind that events name. The UUID alone tells the object: it is unique over all kinds.
fn read_object_id(id: &ID) -> Result<uuid::Uuid, ApiError> {
    let user = id.parse::<UserId>().map(|it| it.0);
    let any = user
        .or_else(|_| id.parse::<ServiceId>().map(|it| it.0))
        .or_else(|_| id.parse::<BookingId>().map(|it| it.0))
        .or_else(|_| id.parse::<SessionId>().map(|it| it.0))
        .or_else(|_| id.parse::<InvitationId>().map(|it| it.0))
        .or_else(|_| id.parse::<TenantId>().map(|it| it.0));
    any.map_err(|_| {
        ApiError::bad_input(
            "filter.objectId",
            "must be an id of a user, invitation, service, booking, session or tenant",
        )
    })
}

impl From<crate::core::audit::AuditError> for ErrorClass {
    fn from(error: crate::core::audit::AuditError) -> Self {
        match error {
            crate::core::audit::AuditError::Forbidden => Self::Refuse(ApiError::forbidden()),
            crate::core::audit::AuditError::Db(error) => error.into(),
        }
    }
}

/// Queries about the audit log.
#[derive(Default)]
pub struct AuditQuery;

#[Object]
impl AuditQuery {
    /// The tenant's audit log, newest first. Administrators only.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which events.")] filter: Option<AuditFilterInput>,
    ) -> Result<Listing<AuditEvent>, ApiError> {
        const KIND: &str = "audit_events.at";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let filter = filter.map(AuditFilterInput::read).transpose()?.unwrap_or_default();
        let slice = crate::core::audit::list(&ctx.work()?.caller(), &filter, &page).await.map_err(ErrorClass::from)?;
        Ok(connection(KIND, slice, AuditEvent::from))
    }

    /// Computes the tenant's whole chain of audit events anew, and names those that are not as they were written.
    /// Administrators only.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn verify_audit_chain(&self, ctx: &Context<'_>) -> Result<AuditChainVerification, ApiError> {
        let found = crate::core::audit::verify_chain(&ctx.work()?.caller()).await.map_err(ErrorClass::from)?;
        Ok(AuditChainVerification {
            intact: found.broken.is_empty() && !found.end_differs,
            events: i32::try_from(found.events).unwrap_or(i32::MAX),
            broken: found.broken.into_iter().map(AuditEvent::from).collect(),
            end_differs: found.end_differs,
        })
    }
}
