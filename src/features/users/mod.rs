//! The people of a tenant.

mod accounts;
mod model;
mod preferences;
mod queries;

pub use accounts::{
    AccessEnd, active, checked_name, end_access, erase, has_place, list, lock_roles, meter, rename, revoke_sessions,
    set_role, set_status, take_place,
};
pub use model::{MailPreferences, User, UserError, UserFilter, UserKey, UserStatus};
pub use preferences::{mail_preferences, set_mail_preferences};
pub use queries::{
    administrators, by_ids, count_active, count_administrators, mail_preferences_of, revoke_invitations, stop_reminders,
};
