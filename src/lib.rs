//! Tenantry: a multi-tenant booking backend. GraphQL over PostgreSQL row-level security.
//!
//! The map, in reading order:
//!
//! - Floors: [`db`] (pools, scopes, transactions, migrations), [`auth`] (actors, tokens, passwords, sessions),
//!   [`graphql`] (roots, context, errors, paging, loaders), [`http`] (routes, limits, GraphQL over them).
//! - Features, each calling only those before it: [`audit`], [`outbox`], [`idempotency`], [`tenants`], [`usage`], [`entitlements`], [`users`],
//!   [`invitations`], [`resources`], [`services`], [`hours`], [`bookings`], [`series`], [`waitlist`], [`calendars`], [`notices`], [`webhooks`], [`billing`], [`platform`]. In each, `mod.rs` has the types and rules, `queries.rs` every statement, `graphql.rs` the
//!   resolvers, `loaders.rs` the batching look-ups.
//! - Around them: [`worker`] (background work), [`fleet`] (all stores: made, migrated, moved), [`mail`], [`cli`], [`config`], [`telemetry`], [`embedded`] (the private
//!   PostgreSQL of a first run), [`footprint`] (memory of the start), [`seed`] (demo data), [`fault`] (kills in tests), and the small vocabulary that all share: [`clock`], [`ids`], [`money`], [`paging`], [`random`].

pub mod db;

pub mod auth;
pub mod graphql;
pub mod http;

pub mod audit;
pub mod billing;
pub mod bookings;
pub mod calendars;
pub mod entitlements;
pub mod hours;
pub mod idempotency;
pub mod invitations;
pub mod notices;
pub mod outbox;
pub mod platform;
pub mod resources;
pub mod series;
pub mod services;
pub mod tenants;
pub mod usage;
pub mod users;
pub mod waitlist;
pub mod webhooks;

pub mod cli;
pub mod config;
pub mod embedded;
pub mod fault;
pub mod fleet;
pub mod footprint;
pub mod mail;
pub mod seed;
pub mod telemetry;
pub mod worker;

pub mod clock;
mod counted;
pub mod cpu;
mod http_client;
pub mod ids;
pub mod money;
pub mod names;
pub mod paging;
pub mod random;
