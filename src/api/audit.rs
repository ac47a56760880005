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

/// One entry of the audit log: who did what, written in the transaction that did it.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct AuditEvent {
    /// Its position in the tenant's chain, from 1 without gaps.
    pub sequence: i32,
    /// When it happened.
    pub at: DateTime,
    /// The role of the actor: `ADMIN`, `STAFF`, `USER`, or that of a system component, such as `AUTHENTICATOR` for
    /// signing in.
    pub actor_role: String,
    /// Email of the platform administrator who acted as the user.
    pub impersonator: Option<String>,
    /// Feature and verb, such as `bookings.create`.
    pub action: String,
    /// The type of the object, such as `booking`.
    pub object_type: String,
    /// The object's id, when it has one.
    pub object_id: Option<ID>,
    /// What changed. Secrets are never recorded.
    pub changes: Vec<AuditChange>,
    /// The id of the request, as in its response.
    pub request_id: Option<String>,
    /// Network address of the client.
    pub address: Option<String>,
    #[graphql(skip)]
    actor: Option<UserId>,
}

/// The result of verifying the chain of audit events.
#[derive(SimpleObject)]
pub struct AuditChainVerification {
    /// Whether every event is unchanged and none is missing.
    pub intact: bool,
    /// Number of events.
    pub events: i32,
    /// Events that were changed, or that follow a missing one; at most 100, in the order of the chain.
    pub broken: Vec<AuditEvent>,
    /// Whether events are missing at the end of the chain.
    pub end_differs: bool,
}

/// One field that changed.
#[derive(Clone, SimpleObject)]
pub struct AuditChange {
    /// The field's name.
    pub field: String,
    /// The value before, as JSON. `null` when there was none.
    pub before: String,
    /// The value afterwards, as JSON. `null` when there is none.
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
    /// The user who did it, or who signed in. Null for background work.
    async fn actor(&self, ctx: &Context<'_>) -> Result<Option<User>, ApiError> {
        let Some(actor) = self.actor else { return Ok(None) };
        Ok(ctx.work()?.loaders.users().load_one(actor).await?.map(User::from))
    }
}

/// Filters a list of audit events. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "AuditFilter")]
pub struct AuditFilterInput {
    /// Only actions of this user.
    actor_id: Option<ID>,
    /// Only this action, such as `bookings.create`.
    action: Option<String>,
    /// Only actions on objects of this type, such as `booking`.
    object_type: Option<String>,
    /// Only actions on this object.
    object_id: Option<ID>,
    /// Only events at this time or later.
    from: Option<DateTime>,
    /// Only events before this time.
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

/// Reads an id of any type that events refer to. The UUID alone identifies the object: it is unique across all types.
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
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Filters the list.")] filter: Option<AuditFilterInput>,
    ) -> Result<Listing<AuditEvent>, ApiError> {
        const KIND: &str = "audit_events.at";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let filter = filter.map(AuditFilterInput::read).transpose()?.unwrap_or_default();
        let slice = crate::core::audit::list(&ctx.work()?.caller(), &filter, &page).await.map_err(ErrorClass::from)?;
        Ok(connection(KIND, slice, AuditEvent::from))
    }

    /// Recomputes the tenant's whole chain of audit events, and lists those that were changed. Administrators only.
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
