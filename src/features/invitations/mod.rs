//! Invitations to join a tenant, as its administrators manage them. Accepting one is part of sign-in: see
//! `auth::joining`.

mod invite;
mod model;
mod queries;

pub use invite::{invite, list, resend, revoke};
pub use model::{Invitation, InvitationError, InvitationKey, InvitationStatus};
