//! The loaders of one transaction. They are never shared with another transaction: a process-wide loader would be a
//! cross-tenant leak.

pub mod bookings;
mod counted;
mod request;
pub mod resources;
pub mod series;
pub mod services;
pub mod tenants;
pub mod users;

pub use counted::{Cached, Counted};
pub use request::Loaders;
