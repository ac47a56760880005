//! One folder a feature, each calling only those below it in this list:
//!
//! - [`platform`]: the operator's side of all tenants, and what is sold to them.
//! - [`billing`]: plans, subscriptions, usage, invoices and payments.
//! - [`notices`]: letters about bookings.
//! - [`series`], [`waitlist`], [`calendars`], [`webhooks`]: repeated bookings, those who wait for a time, calendar feeds, and
//!   events for other systems. None of the four knows another.
//! - [`bookings`]: made, moved through their states, never removed.
//! - [`hours`]: when something is open.
//! - [`services`] and [`invitations`]: what can be booked, and who is asked in.
//! - [`resources`] and [`auth`]: who and what services take; tokens, passwords and sessions.
//! - [`users`]: the people of a tenant.
//! - [`entitlements`]: which features a tenant has.
//! - [`usage`] and [`mail`]: what is counted, and how letters look and are sent.
//! - [`tenants`]: the tenants themselves, and their settings.
//!
//! In each, `mod.rs` is the door, which declares and re-exports; `model.rs` has the types, `queries.rs` every statement, and
//! the rules are in files named for what they do. `tests/it/architecture.rs` holds the order, between features and inside.

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
