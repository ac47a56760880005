//! Users in the API.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object};

use super::{
    ContextExt,
    objects::{MailPreferences, Role, User},
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

/// Filters a list of users. Every given field narrows it.
#[derive(InputObject)]
#[graphql(name = "UserFilter")]
pub struct UserFilterInput {
    /// Only users with this role.
    role: Option<Role>,
    /// Only users whose name or email contains this text, ignoring case.
    search: Option<String>,
}

/// A new profile. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateUserInput {
    /// The user.
    id: ID,
    /// 1 to 200 characters.
    name: Option<String>,
}

/// How a user wants emails about bookings. Omitted fields stay as they are.
#[derive(InputObject)]
pub struct UpdateMailPreferencesInput {
    /// The user; the caller when omitted.
    user_id: Option<ID>,
    /// BCP 47 tag in English, German or Dutch, such as `en-US` or `de-AT`. Null for the tenant's language.
    locale: MaybeUndefined<String>,
    /// Whether to send reminders of bookings.
    reminders: Option<bool>,
}

/// A change of a user's role.
#[derive(InputObject)]
pub struct UpdateUserRoleInput {
    /// The user.
    id: ID,
    /// The new role.
    role: Role,
}

/// The user whose sessions to end.
#[derive(InputObject)]
pub struct RevokeUserSessionsInput {
    /// TypeID of the user.
    id: ID,
}

/// The user to deactivate.
#[derive(InputObject)]
pub struct DeactivateUserInput {
    /// The user's id.
    id: ID,
}

/// The user to erase.
#[derive(InputObject)]
pub struct DeleteUserInput {
    /// The user's id.
    id: ID,
}

/// The user to reactivate.
#[derive(InputObject)]
pub struct ReactivateUserInput {
    /// The user's id.
    id: ID,
}

payload!(
    /// The outcome of `deleteUser`.
    DeleteUserPayload {
        /// The user, with a pseudonym.
        user: User
    }
);
payload!(
    /// The outcome of `updateUserRole`.
    UpdateUserRolePayload {
        /// The updated user.
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
        /// The deactivated user.
        user: User
    }
);
payload!(
    /// The outcome of `reactivateUser`.
    ReactivateUserPayload {
        /// The reactivated user.
        user: User
    }
);
payload!(
    /// The outcome of `updateUser`.
    UpdateUserPayload {
        /// The updated user.
        user: User
    }
);

payload!(
    /// The outcome of `updateMailPreferences`.
    UpdateMailPreferencesPayload {
        /// The preferences.
        mail_preferences: MailPreferences
    }
);

impl From<Error> for ErrorClass {
    fn from(error: Error) -> Self {
        match error {
            Error::Forbidden => Self::Refuse(ApiError::forbidden()),
            Error::NotFound => Self::Mend(UserError::new(UserErrorCode::NotFound, "id", "There is no such user.")),
            Error::Impersonated => Self::Refuse(ApiError::impersonated()),
            Error::QuotaExceeded => {
                Self::Mend(UserError::new(UserErrorCode::QuotaExceeded, "", "The plan does not allow more users."))
            }
            Error::InvalidLocale => {
                let message = "Enter a language tag in English, German or Dutch, such as en-US.";
                Self::Mend(UserError::new(UserErrorCode::Invalid, "locale", message))
            }
            Error::InvalidName => Self::Mend(UserError::new(UserErrorCode::Invalid, "name", names::RULE)),
            Error::LastAdmin => Self::Mend(UserError::new(
                UserErrorCode::LastAdmin,
                "id",
                "This is the last administrator. Make another user an administrator first.",
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
        // `enter` has just seen the user, so they exist.
        let user = work.loaders.users().load_one(work.viewer.user).await?;
        Ok(Some(user.ok_or_else(ApiError::unauthenticated)?.into()))
    }

    /// The tenant's users, by name. Staff and administrators only.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Number of items from the start, 1 to 100 (default 20).")] first: Option<i32>,
        #[graphql(desc = "Items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Items before this cursor.")] before: Option<String>,
        #[graphql(desc = "Filters the list.")] filter: Option<UserFilterInput>,
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
    /// Updates a user's profile. Administrators may update any user, everyone else only themselves. `NOT_FOUND` for
    /// other users.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_user(&self, ctx: &Context<'_>, input: UpdateUserInput) -> Result<UpdateUserPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<UserId>(&input.id, "input.id")?;
        let renamed = crate::features::users::rename(&work.caller(), id, input.name.as_deref()).await.map(User::from);
        Ok(work.settle(renamed)?.into())
    }

    /// Changes how a user gets emails about bookings: their language and reminders. Users change their own,
    /// administrators anyone's.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn update_mail_preferences(
        &self,
        ctx: &Context<'_>,
        input: UpdateMailPreferencesInput,
    ) -> Result<UpdateMailPreferencesPayload, ApiError> {
        let work = ctx.work()?;
        let user = input.user_id.map(|id| parse_id::<UserId>(&id, "input.userId")).transpose()?;
        let locale = input.locale.as_opt_ref().map(|it| it.map(String::as_str));
        let caller = work.caller();
        let user = user.unwrap_or(work.viewer.user);
        let set = crate::features::users::set_mail_preferences(&caller, user, locale, input.reminders).await;
        Ok(work.settle(set.map(MailPreferences::from))?.into())
    }

    /// Changes a user's role. Administrators only; `LAST_ADMIN` when no other administrator remains. The user must
    /// sign in again: sessions with the old role are refused from the next request on.
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

    /// Ends every session of a user, their calendar feed and their unused password reset links. The user can sign in
    /// again. Administrators only.
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

    /// Deactivates a user. They can no longer sign in, and their sessions and calendar feed end permanently. Their
    /// bookings stay. Administrators only; `LAST_ADMIN` when no other administrator remains.
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

    /// Erases a user's personal data: name, email, notes, sessions, and their data in the audit log. Their bookings
    /// stay under a pseudonym. This cannot be undone. Administrators only; `LAST_ADMIN` when no other administrator
    /// remains.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn delete_user(&self, ctx: &Context<'_>, input: DeleteUserInput) -> Result<DeleteUserPayload, ApiError> {
        let work = ctx.work()?;
        let id = parse_id::<UserId>(&input.id, "input.id")?;
        Ok(work.settle(crate::features::users::erase(&work.caller(), id).await.map(User::from))?.into())
    }

    /// Reactivates a user, who must sign in again. Administrators only; `QUOTA_EXCEEDED` when the plan does not allow
    /// more users.
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
