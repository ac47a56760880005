//! The command line: `tenantry [serve | migrate | seed | admin | keys | outbox | fleet | tenant | schema | database-url]`.

mod command;
mod database;
mod error;
mod fleet;
mod keys;
mod migrate;
mod outbox;
mod parts;
mod serve;
mod tenant;

pub use command::Cli;
pub use error::CliError;
