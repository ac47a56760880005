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

/// Where an invitation stands.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Status")]
pub enum InvitationStatus {
    /// It can be accepted until it expires.
    Pending,
    /// The person joined.
    Accepted,
    /// It was taken back.
    Revoked,
}

/// Somebody who was asked to join the tenant.
#[derive(Clone, SimpleObject)]
#[graphql(complex)]
pub struct Invitation {
    /// TypeID with the prefix `inv`.
    pub id: ID,
    /// To whom it was sent. Only who reads this mailbox can accept.
    pub email: String,
    /// What the person will be allowed to do.
    pub role: Role,
    /// Where it stands.
    pub status: InvitationStatus,
    /// When the person was invited.
    pub created_at: DateTime,
    /// Until when it can be accepted.
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
    /// Who invited. Null for a platform administrator.
    async fn invited_by(&self, ctx: &Context<'_>) -> Result<Option<User>, ApiError> {
        let Some(inviter) = self.inviter else { return Ok(None) };
        Ok(ctx.work()?.loaders.users().load_one(inviter).await?.map(User::from))
    }
}

/// Whom to invite.
#[derive(InputObject)]
pub struct InviteUserInput {
    /// To whom the mail goes.
    email: String,
    /// What the person will be allowed to do.
    role: Role,
}

/// Which invitation to send again.
#[derive(InputObject)]
pub struct ResendInvitationInput {
    /// Its id.
    id: ID,
}

/// Which invitation to take back.
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
            InvitationError::Unconfirmed => mend(
                UserErrorCode::Invalid,
                "",
                "Confirm your own e-mail first: requestEmailVerification sends a link.",
            ),
            InvitationError::InvalidEmail => mend(UserErrorCode::Invalid, "email", "This is no e-mail address."),
            InvitationError::EmailTaken => {
                mend(UserErrorCode::EmailTaken, "email", "Somebody with this e-mail is a user already.")
            }
            InvitationError::NotFound => mend(UserErrorCode::NotFound, "id", "There is no such pending invitation."),
            InvitationError::TooMany => {
                mend(UserErrorCode::QuotaExceeded, "", "No more invitations can be sent this month.")
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
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
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
    /// Asks somebody by mail to join the tenant, within 7 days. Administrators only. Who is invited again gets a new link,
    /// and the older one is out of force. `EMAIL_TAKEN` where the person is a user with as much to say already.
    /// Who invites has confirmed his own e-mail before.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn invite_user(&self, ctx: &Context<'_>, input: InviteUserInput) -> Result<InviteUserPayload, ApiError> {
        let work = ctx.work()?;
        let invited = crate::features::invitations::invite(&work.caller(), &input.email, input.role.into())
            .await
            .map(Invitation::from);
        Ok(work.settle(invited)?.into())
    }

    /// Sends a pending invitation once more, with a new link that is good for another 7 days. Administrators only.
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

    /// Takes a pending invitation back: its link is out of force at once. Administrators only.
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
