//! The people of a tenant.

mod accounts;
mod model;
mod queries;

pub use accounts::{
    AccessEnd, active, checked_name, end_access, erase, has_place, list, lock_roles, meter, rename, revoke_sessions,
    set_role, set_status, take_place,
};
pub use model::{User, UserError, UserFilter, UserKey, UserStatus};
pub use queries::{administrators, by_ids, count_active, count_administrators, revoke_invitations};
