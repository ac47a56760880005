//! Management of all stores of the deployment: creating, migrating, moving, exporting and removing them.
//!
//! It uses the operator's logins, which no request ever has. As `tenantry_owner` it creates, migrates and drops stores;
//! as `tenantry_platform` it copies rows, bypassing the policies. Its instructions and results are in the directory,
//! which it reads and writes as the platform through the [`Gate`](crate::db::Gate), like every other part.

pub mod archive;
mod copying;
mod erasing;
mod error;
mod link;
mod logins;
mod moving;
mod stores;
mod upgrading;
mod upkeep;

pub use erasing::{Erased, Remains};
pub use error::FleetError;
pub use logins::Logins;
pub use upgrading::{Store, StoreState, Upgraded};
pub use upkeep::Fleet;
