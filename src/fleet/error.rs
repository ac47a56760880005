//! Errors of operations on stores.

use crate::db::{DbError, MigrationError};

/// Why an operation on a store failed.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The server of a store refused the connection, or it was lost.
    #[error("{0}")]
    Connection(#[from] tokio_postgres::Error),
    /// A migration failed.
    #[error("{0}")]
    Migration(#[from] MigrationError),
    /// The directory could not be read or written.
    #[error("the directory: {0}")]
    Directory(#[from] DbError),
    /// The copy differs from its source.
    #[error("{table}: {found} after copying, expected {expected}")]
    Differs {
        /// The table.
        table: String,
        /// Count and checksum at the source.
        expected: String,
        /// Count and checksum at the target.
        found: String,
    },
    /// The abort that was requested.
    #[error("the move was aborted on request")]
    Aborted,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
    /// A file could not be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// Any other error, as a sentence.
    #[error("{0}")]
    Refused(String),
}

impl FleetError {
    /// The message for the requester. It contains none of PostgreSQL's own text, which goes to the log.
    pub fn told(&self) -> String {
        match self {
            Self::Connection(_) => "A server could not be reached, or refused.".into(),
            Self::Migration(_) => "A migration failed.".into(),
            Self::Directory(_) => "The directory could not be read or written.".into(),
            Self::File(_) => "A file could not be read or written.".into(),
            Self::Differs { .. } | Self::Aborted | Self::Stopping | Self::Refused(_) => self.to_string(),
        }
    }
}
