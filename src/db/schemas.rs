//! The names of the schemas.

/// Contains the directory's tables.
pub const DIRECTORY_SCHEMA: &str = "directory";

/// Contains the tables of tenants in shared tables.
pub const SHARED_SCHEMA: &str = "shared";

/// Contains the tables of a tenant with a database of its own.
pub const OWN_SCHEMA: &str = "tenant";
