//! Tenantry: a multi-tenant booking backend. GraphQL over PostgreSQL row-level security.
//!
//! The map, in reading order; each room imports only those after it:
//!
//! - [`cli`]: the command line, which wires everything together.
//! - [`config`]: every environment variable.
//! - [`http`]: routes, limits, GraphQL over HTTP and WebSocket, pages, webhooks that come in.
//! - [`api`]: the GraphQL schema, one file or folder a feature.
//! - [`worker`]: background work. [`fleet`]: the operator's side of all stores. [`seed`]: demo data.
//! - [`features`]: one folder a feature, in an order of their own; types, rules and statements in each.
//! - [`graphql`]: the plumbing of GraphQL, which knows no feature.
//! - [`core`]: who is calling, the audit log, effects after the commit, idempotent requests, telemetry.
//! - [`db`]: pools, scopes, transactions, placements, migrations.
//! - [`embedded`]: the private PostgreSQL of a first run.
//! - [`base`]: ids, money, clock, paging, text, network and the other small words that all share.
//!
//! In a room a `mod.rs` is the door: it declares and re-exports. `tests/it/architecture.rs` lists every file in its place and
//! fails on an import that leads up.

pub mod cli;
pub mod config;

pub mod http;

pub mod api;

pub mod fleet;
pub mod seed;
pub mod worker;

pub mod features;

pub mod graphql;

pub mod core;

pub mod db;
pub mod embedded;

pub mod base;
