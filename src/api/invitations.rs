//! Invitations in the API. Administrators only.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};

use crate::{
    api::{
        ContextExt,
        objects::{Role, User},
    },
    base::ids::{InvitationId, UserId},
    features::invitations::{InvitationError, InvitationStatus as Status},
    graphql::{
        ApiError, DateTime, ErrorClass, Listing, MUTATION_COST, PageArgs, UserError, UserErrorCode, connection,
        page_cost, parse_id, payload,
    },
};

/// The status of an invitation.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Status")]
pub enum InvitationStatus {
    /// It can be accepted until it expires.
    Pending,
    /// The person has joined.
    Accepted,
    /// It was revoked.
    Revoked,
}

/// An invitation to join the tenant.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Invitation {
    /// TypeID with the prefix `inv`.
    pub id: ID,
    /// The email address that it was sent to. Only the owner of that mailbox can accept it.
    pub email: String,
    /// The role that the person gets.
    pub role: Role,
    /// The status.
    pub status: InvitationStatus,
    /// When it was created.
    pub created_at: DateTime,
    /// When it expires.
    pub expires_at: DateTime,
    #[graphql(skip)]
    inviter: Option<UserId>,
}

impl From<crate::features::invitations::Invitation> for Invitation {
    fn from(it: crate::features::invitations::Invitation) -> Self {
        Self {
            id: it.id.to_string().into(),
            email: it.email,
            role: it.role.into(),
            status: it.status.into(),
            created_at: DateTime(it.created_at),
            expires_at: DateTime(it.expires_at),
            inviter: it.invited_by,
        }
    }
}

#[ComplexObject]
impl Invitation {
    /// The user who sent it. Null for a platform administrator.
    async fn invited_by(&self, ctx: &Context<'_>) -> Result<Option<User>, ApiError> {
        let Some(inviter) = self.inviter else { return Ok(None) };
        Ok(ctx.work()?.loaders.users().load_one(inviter).await?.map(User::from))
    }
}

/// A person to invite.
#[derive(InputObject)]
pub struct InviteUserInput {
    /// The email address to invite.
    email: String,
    /// The role that the person gets.
    role: Role,
}

/// The invitation to send again.
#[derive(InputObject)]
pub struct ResendInvitationInput {
    /// Its id.
    id: ID,
}

/// The invitation to revoke.
#[derive(InputObject)]
pub struct RevokeInvitationInput {
    /// Its id.
    id: ID,
}

payload!(
    /// The outcome of `inviteUser`.
    InviteUserPayload {
        /// The invitation.
        invitation: Invitation
    }
);
payload!(
    /// The outcome of `resendInvitation`.
    ResendInvitationPayload {
        /// The invitation.
        invitation: Invitation
    }
);
payload!(
    /// The outcome of `revokeInvitation`.
    RevokeInvitationPayload {
        /// The invitation.
        invitation: Invitation
    }
);

impl From<InvitationError> for ErrorClass {
    fn from(error: InvitationError) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            InvitationError::Forbidden => Self::Refuse(ApiError::forbidden()),
            InvitationError::Impersonated => Self::Refuse(ApiError::impersonated()),
            InvitationError::Unconfirmed => {
                mend(UserErrorCode::Invalid, "", "Confirm your own email first. requestEmailVerification sends a link.")
            }
            InvitationError::InvalidEmail => mend(UserErrorCode::Invalid, "email", "Enter a valid email address."),
            InvitationError::EmailTaken => {
                mend(UserErrorCode::EmailTaken, "email", "A user with this email already exists.")
            }
            InvitationError::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such pending invitation."),
            InvitationError::TooMany => {
                mend(UserErrorCode::QuotaExceeded, "", "The limit of invitations for this month is reached.")
            }
            InvitationError::Db(error) => error.into(),
        }
    }
}

/// Queries about invitations.
#[derive(Default)]
pub struct InvitationQuery;

#[Object]
impl InvitationQuery {
    /// The tenant's invitations, newest first. Administrators only.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn invitations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
    ) -> Result<Listing<Invitation>, ApiError> {
        const KIND: &str = "invitations.created_at";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let slice = crate::features::invitations::list(&ctx.work()?.caller(), &page).await.map_err(ErrorClass::from)?;
        Ok(connection(KIND, slice, Invitation::from))
    }
}

/// Mutations of invitations.
#[derive(Default)]
pub struct InvitationMutation;

#[Object]
impl InvitationMutation {
    /// Invites a person by email to join the tenant within 7 days. Administrators only, with a confirmed email
    /// address. A person who is invited again gets a new link, and the older one stops working. `EMAIL_TAKEN` when
    /// the person is already a user with at least this role.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn invite_user(&self, ctx: &Context<'_>, input: InviteUserInput) -> Result<InviteUserPayload, ApiError> {
        let work = ctx.work()?;
        let invited = crate::features::invitations::invite(&work.caller(), &input.email, input.role.into())
            .await
            .map(Invitation::from);
        Ok(work.settle(invited)?.into())
    }

    /// Sends a pending invitation again, with a new link that is valid for another 7 days. Administrators only.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn resend_invitation(
        &self,
        ctx: &Context<'_>,
        input: ResendInvitationInput,
    ) -> Result<ResendInvitationPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<InvitationId>(&input.id, "input.id")?;
        Ok(work.settle(crate::features::invitations::resend(&work.caller(), id).await.map(Invitation::from))?.into())
    }

    /// Revokes a pending invitation: its link stops working at once. Administrators only.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn revoke_invitation(
        &self,
        ctx: &Context<'_>,
        input: RevokeInvitationInput,
    ) -> Result<RevokeInvitationPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<InvitationId>(&input.id, "input.id")?;
        Ok(work.settle(crate::features::invitations::revoke(&work.caller(), id).await.map(Invitation::from))?.into())
    }
}
