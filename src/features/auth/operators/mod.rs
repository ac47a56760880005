//! Platform administrators: the operators of the deployment. They belong to no tenant, have their own sign-in, and act
//! within a tenant only in an explicit, short, logged session.

mod model;
mod queries;
mod sign_in;

pub use model::{Impersonation, OperatorSignedIn};
pub use sign_in::{MAX_REASON, checked_reason, is_operator, note, note_work, refuse_ended};
