//! Why something with stores could not be done.

use crate::db::{DbError, MigrationError};

/// Why something could not be done to a store.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The server of a store did not let us in, or lost us.
    #[error("{0}")]
    Connection(#[from] tokio_postgres::Error),
    /// A migration failed.
    #[error("{0}")]
    Migration(#[from] MigrationError),
    /// The directory could not be read or written.
    #[error("the directory: {0}")]
    Directory(#[from] DbError),
    /// What was copied is not what was there.
    #[error("{table}: {found} after copying, expected {expected}")]
    Differs {
        /// Which table.
        table: String,
        /// Count and checksum at the source.
        expected: String,
        /// Count and checksum at the target.
        found: String,
    },
    /// Whoever asked for it asked for its end.
    #[error("it was asked to end")]
    Aborted,
    /// The process stops.
    #[error("the process stops")]
    Stopping,
    /// A file could not be read or written.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// Anything else, in a sentence.
    #[error("{0}")]
    Refused(String),
}

impl FleetError {
    /// What whoever asked for it is told: nothing of PostgreSQL's own words, which go to the log.
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
