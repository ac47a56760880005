//! Signing in and out, registration and passwords in the API.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::{
    api::{ContextExt, Work, objects::User},
    base::{ids::SessionId, money::Currency},
    core::identity::Actor,
    features::auth::{Acceptance, Login, PasswordsError, Registration, SessionCookies, SignInError, SignUp, SignedIn},
    graphql::{
        ApiError, Code, CurrencyCode, DateTime, ErrorClass, MUTATION_COST, SIGN_IN_COST, STATEMENT_COST, TimeZoneName,
        UserError, UserErrorCode, parse_id, payload, settled,
    },
};

/// The tokens of a session.
#[derive(SimpleObject)]
pub struct Session {
    /// A JWT for the header `Authorization: Bearer`. Empty in cookie mode: both tokens are in cookies.
    access_token: String,
    /// When the access token expires.
    access_token_expires_at: DateTime,
    /// Valid for one `refreshSession`. Keep it secret.
    refresh_token: String,
    /// When the refresh token expires.
    refresh_token_expires_at: DateTime,
}

/// The outcome of signing in.
#[derive(SimpleObject)]
pub struct LoginPayload {
    /// The tokens.
    session: Option<Session>,
    /// The user who signed in.
    user: Option<User>,
    /// Errors that the caller can correct. Empty when there is a session.
    user_errors: Vec<UserError>,
}

/// Credentials for signing in.
#[derive(InputObject)]
pub struct LoginInput {
    /// Case-insensitive.
    email: String,
    /// The password.
    #[graphql(secret)]
    password: String,
    /// The tenant's slug; needed only when the email belongs to several tenants.
    tenant: Option<String>,
}

/// A session to refresh.
#[derive(InputObject)]
pub struct RefreshSessionInput {
    /// From the last `login` or `refreshSession`. Empty in cookie mode: the cookie's token is used.
    #[graphql(secret)]
    refresh_token: String,
}

/// A change of the caller's own password.
#[derive(InputObject)]
pub struct ChangePasswordInput {
    /// The current password.
    #[graphql(secret)]
    current_password: String,
    /// The new password: 8 to 256 characters; easily guessed passwords are refused.
    #[graphql(secret)]
    new_password: String,
}

/// The session to end.
#[derive(InputObject)]
pub struct RevokeSessionInput {
    /// Its id.
    id: ID,
}

/// An active session.
#[derive(SimpleObject)]
pub struct SignedInSession {
    /// TypeID with the prefix `ses`.
    id: ID,
    /// When the user signed in.
    created_at: DateTime,
    /// The latest time until which it can be refreshed.
    expires_at: DateTime,
    /// The `User-Agent` of the client.
    user_agent: Option<String>,
    /// Network address of the client.
    address: Option<String>,
    /// Whether this is the session of the current request.
    current: bool,
    /// Whether a platform administrator acts as the user in it.
    impersonated: bool,
}

/// A request for a password reset.
#[derive(InputObject)]
pub struct RequestPasswordResetInput {
    /// Case-insensitive.
    email: String,
    /// The tenant's slug. When omitted, an email is sent for each tenant that the email address belongs to.
    tenant: Option<String>,
}

/// A password reset with an emailed token.
#[derive(InputObject)]
pub struct ResetPasswordInput {
    /// The token from the email.
    #[graphql(secret)]
    token: String,
    /// 8 to 256 characters; easily guessed passwords are refused.
    #[graphql(secret)]
    new_password: String,
}

/// The token that confirms an email address.
#[derive(InputObject)]
pub struct VerifyEmailInput {
    /// The token from the email.
    #[graphql(secret)]
    token: String,
}

/// A business that signs up, with its first administrator.
#[derive(InputObject)]
pub struct SignUpInput {
    /// The name of the business, 1 to 200 characters.
    tenant_name: String,
    /// Its name in URLs: 3 to 63 letters a to z, digits and hyphens.
    slug: String,
    /// The administrator's name, 1 to 200 characters.
    name: String,
    /// The administrator's email address.
    email: String,
    /// 8 to 256 characters; easily guessed passwords are refused.
    #[graphql(secret)]
    password: String,
    /// Time zone of its calendar. `UTC` by default.
    time_zone: Option<TimeZoneName>,
    /// The currency of its prices. `EUR` by default.
    currency: Option<CurrencyCode>,
}

/// A customer who registers.
#[derive(InputObject)]
pub struct RegisterUserInput {
    /// The tenant's slug.
    tenant: String,
    /// The address to which the confirmation email is sent.
    email: String,
    /// 1 to 200 characters.
    name: String,
    /// 8 to 256 characters; easily guessed passwords are refused.
    #[graphql(secret)]
    password: String,
}

/// A registration to confirm.
#[derive(InputObject)]
pub struct ConfirmRegistrationInput {
    /// The token from the email.
    #[graphql(secret)]
    token: String,
    /// The password that was given with `registerUser`.
    #[graphql(secret)]
    password: String,
}

/// The acceptance of an invitation.
#[derive(InputObject)]
pub struct AcceptInvitationInput {
    /// The token from the email.
    #[graphql(secret)]
    token: String,
    /// 1 to 200 characters. An existing user keeps their name.
    name: String,
    /// 8 to 256 characters; easily guessed passwords are refused. An existing user keeps their password.
    #[graphql(secret)]
    password: String,
}

payload!(
    /// The outcome of `requestPasswordReset`.
    RequestPasswordResetPayload {
        /// Always true: if the email address has an account, an email is sent. The answer does not reveal whether it has.
        requested: bool
    }
);
payload!(
    /// The outcome of `resetPassword`.
    ResetPasswordPayload {
        /// True when the password was changed. Sign in with it.
        reset: bool
    }
);
payload!(
    /// The outcome of `requestEmailVerification`.
    RequestEmailVerificationPayload {
        /// Whether an email is sent; false when the address is already confirmed.
        requested: bool
    }
);
payload!(
    /// The outcome of `verifyEmail`.
    VerifyEmailPayload {
        /// True when the address is confirmed.
        verified: bool
    }
);
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

impl From<SignInError> for ErrorClass {
    fn from(error: SignInError) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            SignInError::WrongCredentials => mend(
                UserErrorCode::WrongCredentials,
                "",
                "Wrong email or password. If you use this email with several businesses, name the tenant.",
            ),
            SignInError::TenantNeeded => {
                mend(UserErrorCode::Invalid, "tenant", "This email belongs to several tenants. Choose one.")
            }
            SignInError::TenantSuspended => mend(UserErrorCode::TenantSuspended, "", "This tenant is suspended."),
            SignInError::SessionEnded => Self::Refuse(ApiError::unauthenticated()),
            SignInError::WeakPassword(field, why) => mend(UserErrorCode::WeakPassword, field, why),
            SignInError::Invalid(field, message) => mend(UserErrorCode::Invalid, field, message),
            SignInError::SlugTaken => mend(UserErrorCode::SlugTaken, "slug", "Another tenant has this slug."),
            SignInError::TenantUnknown => mend(UserErrorCode::NotFound, "tenant", "There is no such tenant."),
            SignInError::NotOpen => mend(
                UserErrorCode::Invalid,
                "tenant",
                "This tenant does not allow registration. Ask for an invitation.",
            ),
            SignInError::QuotaExceeded => {
                mend(UserErrorCode::QuotaExceeded, "", "The tenant's plan does not allow more users.")
            }
            SignInError::Impersonated => Self::Refuse(ApiError::impersonated()),
            SignInError::TokenInvalid => {
                mend(UserErrorCode::TokenInvalid, "", "This token is unknown, already used or expired.")
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
    /// The caller's active sessions, newest first, at most 100.
    #[graphql(complexity = "STATEMENT_COST + 100 * child_complexity")]
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Vec<SignedInSession>, ApiError> {
        let work = ctx.work()?;
        let sessions = crate::features::auth::sessions(&work.caller()).await?;
        let view = |it: crate::features::auth::LiveSession| SignedInSession {
            id: it.id.to_string().into(),
            created_at: DateTime(it.created_at),
            expires_at: DateTime(it.expires_at),
            user_agent: it.user_agent,
            address: it.address,
            current: it.id == work.viewer.session,
            impersonated: it.impersonated,
        };
        Ok(sessions.into_iter().map(view).collect())
    }
}

/// Mutations of sessions.
#[derive(Default)]
pub struct AuthMutation;

#[Object]
impl AuthMutation {
    /// Signs in with email and password. Every attempt counts; too many fail with `RATE_LIMITED`. In a document with
    /// other mutations, this one comes first.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn login(&self, ctx: &Context<'_>, input: LoginInput) -> Result<LoginPayload, ApiError> {
        let login = Login { email: input.email, password: input.password, tenant: input.tenant };
        let request = ctx.request();
        answer(ctx, request.sign_in()?.login(login, request.origin()).await)
    }

    /// Exchanges a refresh token for new tokens. Each refresh token is valid once. A token that is used again later
    /// ends the session, because someone else may have it.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn refresh_session(&self, ctx: &Context<'_>, input: RefreshSessionInput) -> Result<LoginPayload, ApiError> {
        let request = ctx.request();
        let of_cookie = request.refresh_cookie().filter(|_| input.refresh_token.is_empty());
        let token = of_cookie.unwrap_or(&input.refresh_token);
        answer(ctx, request.sign_in()?.refresh(token, request.origin()).await)
    }

    /// Creates a tenant and its first administrator, and signs the administrator in. An email contains the link for
    /// `verifyEmail`; until then, `login` needs the tenant's slug, and nobody can be invited. `SLUG_TAKEN` when
    /// another tenant has the slug. In a document with other mutations, this one comes first.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn sign_up(&self, ctx: &Context<'_>, input: SignUpInput) -> Result<LoginPayload, ApiError> {
        let request = ctx.request();
        let new = SignUp {
            tenant_name: input.tenant_name,
            slug: input.slug,
            name: input.name,
            email: input.email,
            password: input.password,
            time_zone: input.time_zone.map_or("UTC".into(), |it| it.0.iana_name().unwrap_or("UTC").to_owned()),
            currency: input.currency.map_or(Currency::EUR, |it| it.0),
        };
        answer(ctx, request.sign_in()?.sign_up(new, request.origin()).await)
    }

    /// Requests an account as a customer of a tenant with open registration. The answer is the same whether the email
    /// is known or not, and never contains a session: an email contains the link for `confirmRegistration`.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn register_user(&self, ctx: &Context<'_>, input: RegisterUserInput) -> Result<LoginPayload, ApiError> {
        let request = ctx.request();
        let (tenant, email, name, password) = (input.tenant, input.email, input.name, input.password);
        let new = Registration { tenant, email, name, password };
        let asked = settled(request.sign_in()?.register(new, request.origin()).await)?;
        Ok(LoginPayload { session: None, user: None, user_errors: asked.err().into_iter().collect() })
    }

    /// Confirms a registration, creates the account and signs in. The password of `registerUser` is required again,
    /// so that nobody can confirm a registration that someone else started with their email.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn confirm_registration(
        &self,
        ctx: &Context<'_>,
        input: ConfirmRegistrationInput,
    ) -> Result<LoginPayload, ApiError> {
        let request = ctx.request();
        let confirmed = request.sign_in()?.confirm_registration(&input.token, input.password, request.origin()).await;
        answer(ctx, confirmed)
    }

    /// Joins a tenant by an invitation, and signs in. An existing user of the tenant keeps name, password and
    /// bookings, and gets the invited role if it allows more.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn accept_invitation(
        &self,
        ctx: &Context<'_>,
        input: AcceptInvitationInput,
    ) -> Result<LoginPayload, ApiError> {
        let request = ctx.request();
        let new = Acceptance { token: input.token, name: input.name, password: input.password };
        answer(ctx, request.sign_in()?.accept_invitation(new, request.origin()).await)
    }

    /// Sends an email with a link for choosing a new password within 30 minutes. The answer is the same whether the
    /// email is known or not.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn request_password_reset(
        &self,
        ctx: &Context<'_>,
        input: RequestPasswordResetInput,
    ) -> Result<RequestPasswordResetPayload, ApiError> {
        let request = ctx.request();
        let asked =
            request.sign_in()?.request_password_reset(&input.email, input.tenant.as_deref(), request.origin()).await;
        Ok(settled(asked.map(|()| true))?.into())
    }

    /// Sets a new password with an emailed token, which is valid once, and ends every session of the user.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn reset_password(
        &self,
        ctx: &Context<'_>,
        input: ResetPasswordInput,
    ) -> Result<ResetPasswordPayload, ApiError> {
        let request = ctx.request();
        let reset = request.sign_in()?.reset_password(&input.token, input.new_password, request.origin()).await;
        Ok(settled(reset.map(|()| true))?.into())
    }

    /// Sends an email with which the caller can verify their email address.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn request_email_verification(&self, ctx: &Context<'_>) -> Result<RequestEmailVerificationPayload, ApiError> {
        let request = ctx.request();
        let Actor::Person(viewer) = request.actor() else { return Err(ApiError::unauthenticated()) };
        let asked = request.sign_in()?.request_email_verification(viewer, request.origin()).await;
        Ok(settled(asked)?.into())
    }

    /// Confirms an email address with an emailed token, which is valid once.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn verify_email(&self, ctx: &Context<'_>, input: VerifyEmailInput) -> Result<VerifyEmailPayload, ApiError> {
        let request = ctx.request();
        let verified = request.sign_in()?.verify_email(&input.token, request.origin()).await;
        Ok(settled(verified.map(|()| true))?.into())
    }

    /// Ends the caller's session: its tokens are refused from the next request on.
    #[graphql(complexity = "SIGN_IN_COST + child_complexity")]
    async fn logout(&self, ctx: &Context<'_>) -> Result<LogoutPayload, ApiError> {
        let work = ctx.work()?;
        crate::features::auth::log_out(&work.caller()).await?;
        ctx.request().change_cookies(SessionCookies::Clear);
        Ok(LogoutPayload { session_id: Some(work.viewer.session.to_string().into()), user_errors: Vec::new() })
    }

    /// Changes the caller's own password, and ends all of their other sessions. `WRONG_CREDENTIALS` when the current
    /// password is wrong, which counts as an attempt to sign in; `WEAK_PASSWORD` when the new one is easily guessed.
    /// In a document with other mutations, this one comes first.
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
        Ok(match changed.map_err(ErrorClass::from) {
            Ok(user) => Ok(User::from(user)).into(),
            Err(ErrorClass::Mend(error)) if error.code == UserErrorCode::WrongCredentials => {
                let message = "This is not the current password.";
                Err(UserError::new(UserErrorCode::WrongCredentials, "currentPassword", message)).into()
            }
            Err(ErrorClass::Mend(error)) => Err(error).into(),
            Err(ErrorClass::Refuse(error)) => return Err(error),
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
        refuse_impersonator(&work)?;
        let id: SessionId = parse_id(&input.id, "input.id")?;
        Ok(if crate::features::auth::revoke_session(&work.caller(), id).await? {
            Ok(ID::from(id.to_string())).into()
        } else {
            Err(UserError::new(UserErrorCode::NotFound, "id", "There is no such session.")).into()
        })
    }

    /// Ends all of the caller's sessions but this one.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn revoke_other_sessions(&self, ctx: &Context<'_>) -> Result<RevokeOtherSessionsPayload, ApiError> {
        let work = ctx.work()?;
        refuse_impersonator(&work)?;
        let revoked = crate::features::auth::revoke_other_sessions(&work.caller()).await?;
        Ok(Ok(i32::try_from(revoked).unwrap_or(i32::MAX)).into())
    }
}

/// An impersonating administrator can end only the impersonated session itself, by `logout`.
fn refuse_impersonator(work: &Work) -> Result<(), ApiError> {
    if work.viewer.impersonated { Err(ApiError::impersonated()) } else { Ok(()) }
}

fn answer(ctx: &Context<'_>, result: Result<SignedIn, SignInError>) -> Result<LoginPayload, ApiError> {
    match result.map_err(ErrorClass::from) {
        Ok(signed_in) => {
            // The rest of the selection may read the user, their tenant and bookings.
            ctx.request().adopt(signed_in.viewer);
            let now = ctx.request().sign_in_clock().now();
            let in_cookies = ctx.request().change_cookies(SessionCookies::Set {
                access: signed_in.access_token.clone(),
                access_seconds: signed_in.access_token_expires_at.duration_since(now).as_secs(),
                refresh: signed_in.refresh_token.clone(),
                refresh_seconds: signed_in.refresh_token_expires_at.duration_since(now).as_secs(),
            });
            let shown = |token: String| if in_cookies { String::new() } else { token };
            let session = Session {
                access_token: shown(signed_in.access_token),
                access_token_expires_at: DateTime(signed_in.access_token_expires_at),
                refresh_token: shown(signed_in.refresh_token),
                refresh_token_expires_at: DateTime(signed_in.refresh_token_expires_at),
            };
            Ok(LoginPayload { session: Some(session), user: Some(signed_in.user.into()), user_errors: vec![] })
        }
        // Sign-in ended its own transactions; nothing of the request's transaction needs to be undone.
        Err(ErrorClass::Mend(error)) => Ok(LoginPayload { session: None, user: None, user_errors: vec![error] }),
        Err(ErrorClass::Refuse(error)) => Err(error),
    }
}
