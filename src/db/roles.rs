//! The login roles, and what only a superuser can do for them.

/// Serves requests: owns nothing and can bypass nothing.
pub const APP: &str = "tenantry_app";
/// Owns the tables and migrates them.
pub const OWNER: &str = "tenantry_owner";
/// Moves and backs up tenants from the command line, past the policies. No request ever uses it.
pub const PLATFORM: &str = "tenantry_platform";

/// Makes the roles: once for each cluster. It may run again, as it describes a state.
pub const BOOTSTRAP_ROLES: &str = include_str!("../../sql/bootstrap/10-roles.sql");
/// Prepares a database for them: once for each database, after the roles. It may run again.
pub const BOOTSTRAP_DATABASE: &str = include_str!("../../sql/bootstrap/20-database.sql");
