//! Invitations to join a tenant, as its administrators keep them. Accepting one is signing in: see `auth::joining`.

mod invite;
mod model;
mod queries;

pub use invite::{invite, list, resend, revoke};
pub use model::{Invitation, InvitationError, InvitationKey, InvitationStatus};
