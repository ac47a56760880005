//! The database layer: pools, scopes, transactions, migrations.
//!
//! Features see [`ScopedTx`] and nothing below it. The code that starts work (a request, a job, the command line) opens
//! one through the [`Gate`]. The pools never leave this module.

mod bootstrap;
mod changes;
mod common;
mod connect;
mod connection_handoff;
mod distribution;
mod error;
mod flush;
mod gate;
mod held;
mod live;
pub mod migrations;
mod placement;
mod placement_cache;
pub mod roles;
mod safety;
pub mod schemas;
mod scope;
mod session;
mod sql_types;
mod stores;
mod tenant_fair_share;
mod tx;
mod unprepared;
mod wakeups;

pub use bootstrap::bootstrap;
pub use changes::{Change, Changes};
pub use common::{PoolStatus, Stats};
pub use error::DbError;
pub use gate::{Gate, PoolSettings, is_database_url, url_password};
pub use live::{Access, Param, Restriction};
pub use migrations::MigrationError;
pub use placement::{InvalidLocation, Isolation, Location, Placement, Server};
pub use safety::{UnsafeDatabase, find_unsafe, refuse_too_few_connections, refuse_unsafe};
pub use scope::{Scope, ScopeRole};
pub use session::see_only;
pub use stores::StoreSettings;
pub use tokio_postgres::Row;
pub use tx::{Part, ScopedTx};
