//! The floor on the database: pools, scopes, transactions, migrations.
//!
//! Features see [`ScopedTx`] and nothing below it. Whoever starts work (a request, a job, the command line) opens one
//! through the [`Gate`]; the pools themselves never leave this module.

mod changes;
mod distribution;
mod error;
mod handing;
pub mod migrations;
mod placement;
mod placements;
mod pools;
pub mod roles;
mod safety;
mod scope;
mod session;
mod shares;
mod sql_types;
mod stores;
mod tx;
mod unnamed;
mod wakeups;

pub use changes::{Change, Changes};
pub use error::DbError;
pub use migrations::MigrationError;
pub use placement::{InvalidLocation, Isolation, Location, Placement, Server, server_of};
pub use pools::{Gate, PoolSettings, PoolStatus, Stats, is_database_url, url_password};
pub use safety::{UnsafeDatabase, find_unsafe, refuse_too_few_connections, refuse_unsafe};
pub use scope::{Scope, ScopeRole};
pub use session::see_only;
pub use stores::StoreSettings;
pub use tokio_postgres::Row;
pub use tx::{Access, Param, Part, Restriction, ScopedTx};
