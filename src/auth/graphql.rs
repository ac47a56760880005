//! Signing in and out, in the API.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::{Actor, Login, PasswordsError, SignInError, SignedIn};
use crate::{
    graphql::{
        ApiError, Code, ContextExt, DateTime, MUTATION_COST, Meaning, SIGN_IN_COST, STATEMENT_COST, UserError,
        UserErrorCode, parse_id, payload,
    },
    ids::SessionId,
    users::graphql::User,
};

/// Tokens of a sign-in.
#[derive(SimpleObject)]
pub struct Session {
    /// A JWT for the header `Authorization: Bearer`.
    access_token: String,
    /// When the access token expires.
    access_token_expires_at: DateTime,
    /// Good for one `refreshSession`. Keep it secret.
    refresh_token: String,
    /// When the refresh token expires.
    refresh_token_expires_at: DateTime,
}

/// The outcome of signing in.
#[derive(SimpleObject)]
pub struct LoginPayload {
    /// The tokens.
    session: Option<Session>,
    /// Who signed in.
    user: Option<User>,
    /// What the caller can mend. Empty when there is a session.
    user_errors: Vec<UserError>,
}

/// What to sign in with.
#[derive(InputObject)]
pub struct LoginInput {
    /// Upper and lower case are the same.
    email: String,
    /// The password.
    #[graphql(secret)]
    password: String,
    /// The tenant's slug; needed only where the e-mail belongs to several tenants.
    tenant: Option<String>,
}

/// What to prolong a session with.
#[derive(InputObject)]
pub struct RefreshSessionInput {
    /// From the last `login` or `refreshSession`.
    #[graphql(secret)]
    refresh_token: String,
}

/// A change of one's own password.
#[derive(InputObject)]
pub struct ChangePasswordInput {
    /// As it is.
    #[graphql(secret)]
    current_password: String,
    /// As it shall be: 8 to 256 characters, and not easy to guess.
    #[graphql(secret)]
    new_password: String,
}

/// Which session to end.
#[derive(InputObject)]
pub struct RevokeSessionInput {
    /// Its id.
    id: ID,
}

/// A sign-in that still lives.
#[derive(SimpleObject)]
pub struct SignedInSession {
    /// TypeID with the prefix `ses`.
    id: ID,
    /// When it was begun.
    created_at: DateTime,
    /// The last instant to which it can be prolonged.
    expires_at: DateTime,
    /// What the client called itself.
    user_agent: Option<String>,
    /// Network address of the client.
    address: Option<String>,
    /// Whether it is the one that asks.
    current: bool,
}

payload!(
    /// The outcome of `changePassword`.
    ChangePasswordPayload {
        /// The caller.
        user: User
    }
);
payload!(
    /// The outcome of `revokeSession`.
    RevokeSessionPayload {
        /// The session that has ended.
        session_id: ID
    }
);
payload!(
    /// The outcome of `revokeOtherSessions`.
    RevokeOtherSessionsPayload {
        /// How many sessions have ended.
        revoked: i32
    }
);
payload!(
    /// The outcome of `logout`.
    LogoutPayload {
        /// The session that has ended.
        session_id: ID
    }
);

impl From<SignInError> for Meaning {
    fn from(error: SignInError) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            SignInError::WrongCredentials => mend(
                UserErrorCode::WrongCredentials,
                "",
                "E-mail or password is wrong. If you use this e-mail with several businesses, name the tenant.",
            ),
            SignInError::TenantNeeded => {
                mend(UserErrorCode::Invalid, "tenant", "This e-mail belongs to several tenants: say which.")
            }
            SignInError::TenantSuspended => mend(UserErrorCode::TenantSuspended, "", "This tenant is suspended."),
            SignInError::SessionEnded => Self::Refuse(ApiError::unauthenticated()),
            SignInError::WeakPassword(why) => mend(UserErrorCode::WeakPassword, "newPassword", why),
            SignInError::TokenInvalid => {
                mend(UserErrorCode::TokenInvalid, "refreshToken", "This token is not good any more: sign in again.")
            }
            SignInError::TooManyAttempts(wait) => Self::Refuse(ApiError::Refused {
                code: Code::RateLimited,
                message: "Too many attempts. Try again later.".into(),
                field: None,
                retry_after: Some(wait.as_secs().max(1)),
            }),
            SignInError::Passwords(PasswordsError::Busy) => Self::Refuse(ApiError::unavailable(2)),
            SignInError::Passwords(PasswordsError::Hashing(cause)) | SignInError::Signing(cause) => {
                Self::Refuse(ApiError::Internal(cause))
            }
            SignInError::Db(error) => error.into(),
        }
    }
}

/// Queries about sessions.
#[derive(Default)]
pub struct AuthQuery;

#[Object]
impl AuthQuery {
    /// The caller's own sign-ins that still live, newest first, at most 100.
    #[graphql(complexity = "STATEMENT_COST + 100 * child_complexity")]
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Vec<SignedInSession>, ApiError> {
        let work = ctx.work()?;
        let sessions = super::sessions(&work.caller()).await?;
        let view = |it: super::LiveSession| SignedInSession {
            id: it.id.to_string().into(),
            created_at: DateTime(it.created_at),
            expires_at: DateTime(it.expires_at),
            user_agent: it.user_agent,
            address: it.address,
            current: it.id == work.viewer.session,
        };
        Ok(sessions.into_iter().map(view).collect())
    }
}

/// Mutations of sessions.
#[derive(Default)]
pub struct AuthMutation;

#[Object]
impl AuthMutation {
    /// Signs in with e-mail and password. Every attempt counts: past a number of them `RATE_LIMITED`. In a document with
    /// other mutations it stands before them.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn login(&self, ctx: &Context<'_>, input: LoginInput) -> Result<LoginPayload, ApiError> {
        let login = Login { email: input.email, password: input.password, tenant: input.tenant };
        let request = ctx.request();
        answer(ctx, request.sign_in()?.login(login, request.origin()).await)
    }

    /// Exchanges a refresh token for new tokens. Each refresh token is good once; one that is used again later ends the
    /// session, because somebody else may have it.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn refresh_session(&self, ctx: &Context<'_>, input: RefreshSessionInput) -> Result<LoginPayload, ApiError> {
        let request = ctx.request();
        answer(ctx, request.sign_in()?.refresh(&input.refresh_token, request.origin()).await)
    }

    /// Ends the caller's session: its tokens are refused from the next request on.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn logout(&self, ctx: &Context<'_>) -> Result<LogoutPayload, ApiError> {
        let work = ctx.work()?;
        super::log_out(&work.caller()).await?;
        Ok(LogoutPayload { session_id: Some(work.viewer.session.to_string().into()), user_errors: Vec::new() })
    }

    /// Changes the caller's own password, and ends all of his sessions but this one. `WRONG_CREDENTIALS` when the current
    /// password is wrong, which counts as an attempt to sign in; `WEAK_PASSWORD` when the new one is easy to guess. In a
    /// document with other mutations it stands before them.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        input: ChangePasswordInput,
    ) -> Result<ChangePasswordPayload, ApiError> {
        let request = ctx.request();
        let Actor::Person(viewer) = request.actor() else { return Err(ApiError::unauthenticated()) };
        let (current, new) = (input.current_password, input.new_password);
        let changed = request.sign_in()?.change_password(viewer, current, new, request.origin()).await;
        Ok(match changed.map_err(Meaning::from) {
            Ok(user) => Ok(User::from(user)).into(),
            Err(Meaning::Mend(error)) if error.code == UserErrorCode::WrongCredentials => {
                let message = "This is not the current password.";
                Err(UserError::new(UserErrorCode::WrongCredentials, "currentPassword", message)).into()
            }
            Err(Meaning::Mend(error)) => Err(error).into(),
            Err(Meaning::Refuse(error)) => return Err(error),
        })
    }

    /// Ends one of the caller's own sessions: its tokens are refused from the next request on.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn revoke_session(
        &self,
        ctx: &Context<'_>,
        input: RevokeSessionInput,
    ) -> Result<RevokeSessionPayload, ApiError> {
        let work = ctx.work()?;
        let id: SessionId = parse_id(&input.id, "input.id")?;
        Ok(if super::revoke_session(&work.caller(), id).await? {
            Ok(ID::from(id.to_string())).into()
        } else {
            Err(UserError::new(UserErrorCode::NotFound, "id", "There is no such session.")).into()
        })
    }

    /// Ends all of the caller's sessions but this one.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn revoke_other_sessions(&self, ctx: &Context<'_>) -> Result<RevokeOtherSessionsPayload, ApiError> {
        let work = ctx.work()?;
        let revoked = super::revoke_other_sessions(&work.caller()).await?;
        Ok(Ok(i32::try_from(revoked).unwrap_or(i32::MAX)).into())
    }
}

fn answer(ctx: &Context<'_>, result: Result<SignedIn, SignInError>) -> Result<LoginPayload, ApiError> {
    match result.map_err(Meaning::from) {
        Ok(signed_in) => {
            // So that the answer can tell about the user, his tenant and bookings.
            ctx.request().adopt(signed_in.viewer);
            let session = Session {
                access_token: signed_in.access_token,
                access_token_expires_at: DateTime(signed_in.access_token_expires_at),
                refresh_token: signed_in.refresh_token,
                refresh_token_expires_at: DateTime(signed_in.refresh_token_expires_at),
            };
            Ok(LoginPayload { session: Some(session), user: Some(signed_in.user.into()), user_errors: vec![] })
        }
        // Sign-in has ended its own transactions; nothing of the request's has to be undone.
        Err(Meaning::Mend(error)) => Ok(LoginPayload { session: None, user: None, user_errors: vec![error] }),
        Err(Meaning::Refuse(error)) => Err(error),
    }
}
