//! How people and tenants come: signing up, registering, accepting an invitation.
//!
//! Who joins has a row in the directory (his login) and rows in the tenant's store. The directory's is written first and
//! means nothing by itself, so a crash between the two leaves nothing that anybody can see, and doing it again completes
//! it. A tenant is begun as `CREATING` in both; [`SignIn::finish_or_abandon`](crate::features::auth::SignIn::finish_or_abandon) settles what was left so.

mod model;
mod queries;
mod registration;

pub use model::{Acceptance, Registration, SignUp, TenantDraft};
pub use registration::{CREATION_LIMIT, FIRST_PLAN, INVITATION_LIFE, invited_email, registered};
pub(crate) use registration::{checked_email, forget_registrations};
