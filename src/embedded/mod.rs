//! A private PostgreSQL for one application.
//!
//! [`Cluster::start`] finds PostgreSQL binaries, creates a cluster once, and runs `postgres` as a child process that
//! never runs as root, listens on no TCP port and ends when its parent ends, however the parent died. Everything is in
//! one folder:
//!
//! ```text
//! .tenantry/instance.lock   held by this process; a second one is refused at once
//! .tenantry/postgres.lock   held by the server and each of its backends
//! .tenantry/postgres/       the cluster (`postgres.new` while `initdb` runs)
//! .tenantry/postgres.log    the server's log
//! .tenantry/socket/         its Unix socket, unless that path would be too long
//! ```
//!
//! Two locks, because a killed application leaves a server that needs a moment to end. The kernel holds both and
//! releases each when its last holder is gone, so no pid file is ever trusted.
//!
//! All calls block; from async code use `spawn_blocking`.

mod accounts;
mod binaries;
mod cluster;
mod error;
mod folder;
mod process;
mod settings;

pub use cluster::{Cluster, connection_url, in_use};
pub use error::EmbeddedError;
pub use settings::Options;
