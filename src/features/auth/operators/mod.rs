//! Platform administrators: the operators of the deployment. They belong to no tenant, sign in by themselves, and act within
//! a tenant only by an explicit, short, logged session.

mod model;
mod queries;
mod sign_in;

pub use model::{Impersonation, OperatorSignedIn};
pub use sign_in::{MAX_REASON, checked_reason, is_operator, note, note_work, refuse_ended};
