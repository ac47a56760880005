//! The people of a tenant.

mod accounts;
mod model;
mod queries;

pub use accounts::{
    AccessEnd, active, administrators, by_ids, checked_name, count_active, count_administrators, end_access, erase,
    has_place, list, lock_roles, meter, rename, revoke_invitations, revoke_sessions, set_role, set_status, take_place,
};
pub use model::{User, UserError, UserFilter, UserKey, UserStatus};
