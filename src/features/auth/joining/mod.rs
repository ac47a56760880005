//! How people and tenants join: sign-up, registration, and invitations.
//!
//! A new user has a row in the directory (the login) and rows in the tenant's store. The directory's row is written
//! first and means nothing by itself, so a crash between the two leaves nothing visible, and a repetition completes it.
//! A tenant starts as `CREATING` in both; [`SignIn::finish_or_abandon`](crate::features::auth::SignIn::finish_or_abandon) resolves tenants that were left in that state.

mod model;
mod queries;
mod registration;

pub use model::{Acceptance, Registration, SignUp, TenantDraft};
pub use registration::{CREATION_LIMIT, FIRST_PLAN, INVITATION_LIFE, invited_email, registered};
pub(crate) use registration::{checked_email, forget_registrations};
