//! What the schemas are called.

/// Where the directory's tables are.
pub const DIRECTORY_SCHEMA: &str = "directory";

/// Where the tables of tenants in shared tables are.
pub const SHARED_SCHEMA: &str = "shared";

/// Where the tables of a tenant with a database of its own are.
pub const OWN_SCHEMA: &str = "tenant";
