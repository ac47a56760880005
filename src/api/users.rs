//! Users in the API.

use async_graphql::{Context, ID, InputObject, Object};

use super::{
    ContextExt,
    objects::{Role, User},
};
use crate::base::names;
use crate::{
    base::ids::UserId,
    features::users::{UserError as Error, UserFilter},
    graphql::{
        ApiError, ErrorClass, Listing, MUTATION_COST, PageArgs, UserError, UserErrorCode, connection, page_cost,
        parse_id, payload,
    },
};

/// Which users a list holds. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "UserFilter")]
pub struct UserFilterInput {
    /// Only this role.
    role: Option<Role>,
    /// Only those whose name or e-mail contains this text, whatever the case.
    search: Option<String>,
}

/// A new profile. Fields that are left out stay as they are.
#[derive(InputObject)]
pub struct UpdateUserInput {
    /// Whose.
    id: ID,
    /// 1 to 200 characters.
    name: Option<String>,
}

/// A new role.
#[derive(InputObject)]
pub struct UpdateUserRoleInput {
    /// Whose.
    id: ID,
    /// What he may do from now on.
    role: Role,
}

/// Whose sessions to end.
#[derive(InputObject)]
pub struct RevokeUserSessionsInput {
    /// TypeID of the user.
    id: ID,
}

/// Whom to let go.
#[derive(InputObject)]
pub struct DeactivateUserInput {
    /// His id.
    id: ID,
}

/// Whom to erase.
#[derive(InputObject)]
pub struct DeleteUserInput {
    /// His id.
    id: ID,
}

/// Whom to have back.
#[derive(InputObject)]
pub struct ReactivateUserInput {
    /// His id.
    id: ID,
}

payload!(
    /// The outcome of `deleteUser`.
    DeleteUserPayload {
        /// What is left: a pseudonym.
        user: User
    }
);
payload!(
    /// The outcome of `updateUserRole`.
    UpdateUserRolePayload {
        /// The user as changed.
        user: User
    }
);
payload!(
    /// The outcome of `revokeUserSessions`.
    RevokeUserSessionsPayload {
        /// The user, who has to sign in again.
        user: User
    }
);
payload!(
    /// The outcome of `deactivateUser`.
    DeactivateUserPayload {
        /// The user as changed.
        user: User
    }
);
payload!(
    /// The outcome of `reactivateUser`.
    ReactivateUserPayload {
        /// The user as changed.
        user: User
    }
);
payload!(
    /// The outcome of `updateUser`.
    UpdateUserPayload {
        /// The user as changed.
        user: User
    }
);

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::NotFound => Self::Mend(UserError::new(UserErrorCode::NotFound, "id", "There is no such user.")),
            Error::Impersonated => Self::Refuse(ApiError::impersonated()),
            Error::QuotaExceeded => {
                Self::Mend(UserError::new(UserErrorCode::QuotaExceeded, "", "The plan allows no more users."))
            }
            Error::InvalidName => Self::Mend(UserError::new(UserErrorCode::Invalid, "name", names::RULE)),
            Error::LastAdmin => Self::Mend(UserError::new(
                UserErrorCode::LastAdmin,
                "id",
                "This is the last administrator: make somebody else one first.",
            )),
            Error::Db(error) => error.into(),
        }
    }
}

/// Queries about users.
#[derive(Default)]
pub struct UserQuery;

#[Object]
impl UserQuery {
    /// The signed-in user. Null for an anonymous caller.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Option<User>, ApiError> {
        crate::base::fault::point("resolver.viewer");
        if matches!(ctx.request().actor(), crate::core::identity::Actor::Anonymous) {
            return Ok(None);
        }
        let work = ctx.work()?;
        // `enter` has just seen him, so he is there.
        let user = work.loaders.users().load_one(work.viewer.user).await?;
        Ok(Some(user.ok_or_else(ApiError::unauthenticated)?.into()))
    }

    /// The tenant's users, by name. Staff and administrators only.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the front, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Past this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which users.")] filter: Option<UserFilterInput>,
    ) -> Result<Listing<User>, ApiError> {
        const KIND: &str = "users.name";
        let page = PageArgs { first, after, last, before }.read(KIND)?;
        let filter = filter.map_or_else(UserFilter::default, |filter| UserFilter {
            role: filter.role.map(Into::into),
            search: filter.search.filter(|text| !text.is_empty()),
        });
        let work = ctx.work()?;
        let slice = crate::features::users::list(&work.caller(), &filter, &page).await.map_err(ErrorClass::from)?;
        Ok(connection(KIND, slice, User::from))
    }
}

/// Mutations of users.
#[derive(Default)]
pub struct UserMutation;

#[Object]
impl UserMutation {
    /// Changes a profile: an administrator anybody's, everybody his own. `NOT_FOUND` for any other user.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_user(&self, ctx: &Context<'_>, input: UpdateUserInput) -> Result<UpdateUserPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<UserId>(&input.id, "input.id")?;
        let renamed = crate::features::users::rename(&work.caller(), id, input.name.as_deref()).await.map(User::from);
        Ok(work.settle(renamed)?.into())
    }

    /// Gives a user another role. Administrators only; `LAST_ADMIN` where nobody else keeps the tenant. The user signs in
    /// again: the old role's sessions are refused from the next request on.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_user_role(
        &self,
        ctx: &Context<'_>,
        input: UpdateUserRoleInput,
    ) -> Result<UpdateUserRolePayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<UserId>(&input.id, "input.id")?;
        Ok(work
            .settle(crate::features::users::set_role(&work.caller(), id, input.role.into()).await.map(User::from))?
            .into())
    }

    /// Ends every session of a user, with their calendar feed and unused links for a new password. The user can sign in again.
    /// Administrators only.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn revoke_user_sessions(
        &self,
        ctx: &Context<'_>,
        input: RevokeUserSessionsInput,
    ) -> Result<RevokeUserSessionsPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<UserId>(&input.id, "input.id")?;
        Ok(work.settle(crate::features::users::revoke_sessions(&work.caller(), id).await.map(User::from))?.into())
    }

    /// Deactivates a user. They cannot sign in, and their sessions and calendar feed end for good. Their bookings stay.
    /// Administrators only; `LAST_ADMIN` where nobody else keeps the tenant.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn deactivate_user(
        &self,
        ctx: &Context<'_>,
        input: DeactivateUserInput,
    ) -> Result<DeactivateUserPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<UserId>(&input.id, "input.id")?;
        let changed =
            crate::features::users::set_status(&work.caller(), id, crate::features::users::UserStatus::Deactivated)
                .await;
        Ok(work.settle(changed.map(User::from))?.into())
    }

    /// Erases a person: name, e-mail, notes, sign-ins, and what the audit log knows of him. What he booked stays, under a
    /// pseudonym. It cannot be undone. Administrators only; `LAST_ADMIN` where nobody else keeps the tenant.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_user(&self, ctx: &Context<'_>, input: DeleteUserInput) -> Result<DeleteUserPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<UserId>(&input.id, "input.id")?;
        Ok(work.settle(crate::features::users::erase(&work.caller(), id).await.map(User::from))?.into())
    }

    /// Reactivates a user, who has to sign in again. Administrators only; `QUOTA_EXCEEDED` where the plan allows no more users.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn reactivate_user(
        &self,
        ctx: &Context<'_>,
        input: ReactivateUserInput,
    ) -> Result<ReactivateUserPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<UserId>(&input.id, "input.id")?;
        let changed =
            crate::features::users::set_status(&work.caller(), id, crate::features::users::UserStatus::Active).await;
        Ok(work.settle(changed.map(User::from))?.into())
    }
}
