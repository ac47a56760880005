//! The login roles, and what only a superuser can do for them.

/// Serves requests: owns nothing and can bypass nothing.
pub const APP: &str = "tenantry_app";
/// Owns the tables and migrates them.
pub const OWNER: &str = "tenantry_owner";
/// Moves and backs up tenants from the command line, past the policies. No request ever uses it.
pub const PLATFORM: &str = "tenantry_platform";

/// Makes the roles, in a database that exists. It may run again: every statement describes a state.
pub const BOOTSTRAP: &str = include_str!("../../sql/bootstrap/10-roles.sql");
