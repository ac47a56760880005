//! Tenantry: a multi-tenant booking backend. GraphQL over PostgreSQL row-level security.
//!
//! The map, in reading order:

/// Who is calling: actors, tokens, passwords, sessions.
pub mod auth;
/// The floor on the database: pools, scopes, transactions, migrations.
pub mod db;
/// The floor of GraphQL: roots, context, errors, paging, loaders.
pub mod graphql;
/// The floor of HTTP: routes, limits, GraphQL over them.
pub mod http;

/// Feature: the audit log.
pub mod audit;
/// Feature: plans and what is used of them.
pub mod billing;
/// Feature: bookings.
pub mod bookings;
/// Feature: what can be booked.
pub mod services;
/// Feature: the tenant itself.
pub mod tenants;
/// Feature: what a tenant uses of what its plan limits.
pub mod usage;
/// Feature: the people of a tenant.
pub mod users;

/// What time it is.
pub mod clock;
/// Typed ids.
pub mod ids;
/// Exact amounts of money.
pub mod money;
/// A page of a list by keyset.
pub mod paging;

/// The command line.
pub mod cli;
/// Every environment variable.
pub mod config;
/// The private PostgreSQL of a first run.
pub mod embedded;
/// Demo data.
pub mod seed;
/// Log lines.
pub mod telemetry;
