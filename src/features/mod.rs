//! One folder for each feature. In each, `mod.rs` declares and re-exports, `model.rs` has the types, and `queries.rs`
//! has every statement. The rules are in files named for what they do.

pub mod auth;
pub mod billing;
pub mod bookings;
pub mod calendars;
pub mod entitlements;
pub mod hours;
pub mod invitations;
pub mod mail;
pub mod notices;
pub mod platform;
pub mod resources;
pub mod series;
pub mod services;
pub mod tenants;
pub mod usage;
pub mod users;
pub mod waitlist;
pub mod webhooks;
