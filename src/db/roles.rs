//! The login roles, and the setup that only a superuser can do for them.

/// Serves requests: owns nothing and can bypass nothing.
pub const APP: &str = "tenantry_app";
/// Owns the tables and migrates them.
pub const OWNER: &str = "tenantry_owner";
/// Moves and backs up tenants from the command line, bypassing the policies. No request ever uses it.
pub const PLATFORM: &str = "tenantry_platform";

/// Creates the roles: once for each cluster. Safe to repeat, as it describes a state.
pub const BOOTSTRAP_ROLES: &str = include_str!("../../sql/bootstrap/10-roles.sql");
/// Prepares a database for them: once for each database, after the roles. Safe to repeat.
pub const BOOTSTRAP_DATABASE: &str = include_str!("../../sql/bootstrap/20-database.sql");
