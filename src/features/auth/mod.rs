//! Authentication: tokens, passwords, sessions, sign-up and account recovery.
//!
//! The sign-in path opens its own transactions, in the role `AUTHENTICATOR`. It hashes passwords between them, never
//! inside one.

pub mod joining;
pub mod links;
mod mails;
mod model;
mod opaque_tokens;
pub mod operators;
mod password_policy;
mod passwords;
mod queries;
mod recovery;
mod requests;
mod sessions;
mod sign_in;
mod throttle;
mod tokens;

pub use joining::{Acceptance, Registration, SignUp, TenantDraft};
pub use model::{LiveSession, Revocation, SessionCookies};
pub use opaque_tokens::{FeedToken, UnsubscribeToken};
pub use passwords::{PasswordCost, Passwords, PasswordsError};
pub use sessions::{is_login, log_out, revoke_other_sessions, revoke_session, revoked, sessions};
pub use sign_in::{Login, NewUser, SignIn, SignInError, SignedIn, normalise_email};
pub use throttle::{Bucket, SignInLimits};
pub use tokens::{KeyError, TokenSettings, Tokens, Verified};
