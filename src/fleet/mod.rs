//! All stores of the deployment, as its operator keeps them: made, brought up to date, moved, exported, removed.
//!
//! It works with the operator's logins, which no request ever has: as `tenantry_owner` it makes, migrates and drops stores, as
//! `tenantry_platform` it copies rows past the policies. What it decides by, and what it has done, stands in the directory,
//! which it reads and writes as the platform through the [`Gate`](crate::db::Gate) like everybody else.

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
