//! Errors of statements, for operators and for the few rules that branch on them.
//!
//! The first of three error types: [`DbError`] for operators, a feature's own (`BookingError`) for code that branches,
//! `ApiError` for clients. Each layer converts once, upwards.

use tokio_postgres::error::SqlState;

/// A statement or transaction that failed.
///
/// It can be cloned, because one failed batch fails every resolver that waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DbError {
    /// No connection in time: the pool is exhausted or the server does not answer.
    #[error("no database connection: {0}")]
    Unavailable(String),
    /// The session was ended, has expired, or its user is gone.
    #[error("the session has ended")]
    SessionEnded,
    /// The user's role is no longer the one in the token.
    #[error("the role has changed")]
    RoleChanged,
    /// The tenant is suspended.
    #[error("the tenant is suspended")]
    TenantSuspended,
    /// The store does not hold the tenant.
    #[error("the tenant is not in this store")]
    TenantNotHere,
    /// The tenant's own store is not where the directory says: an operational fault, or a moment during a move.
    #[error("the tenant's store is missing")]
    StoreMissing,
    /// The tenant is being moved; writes are refused for a short time.
    #[error("the tenant is being moved")]
    TenantMoving,
    /// A policy or a missing grant refused the statement.
    #[error("refused by the database: {0}")]
    Refused(String),
    /// A constraint refused the row. The name may carry a suffix on a sharded database: compare with [`DbError::violates`].
    #[error("constraint {constraint} is violated")]
    Violation {
        /// The constraint's name.
        constraint: String,
    },
    /// A value that PostgreSQL cannot hold, such as a NUL in a text or a year before its calendar.
    #[error("a value that the database cannot hold")]
    InvalidValue,
    /// The statement exceeded its time limit and was cancelled.
    #[error("the statement timed out")]
    Timeout,
    /// Another transaction was in the way (a deadlock, or a lock that was not acquired in time). A retry may succeed.
    #[error("contention: {0}")]
    Contention(String),
    /// The transaction had failed before, so it was rolled back instead of committed.
    #[error("the transaction had failed and was rolled back")]
    NotCommitted,
    /// The connection was lost, or time ran out, during the commit: it may or may not have happened.
    #[error("it is unknown whether the transaction was committed: {0}")]
    CommitUnknown(String),
    /// Any other error: a fault in Tenantry. Leaves out PostgreSQL's `detail`, which contains personal data.
    #[error("{0}")]
    Other(String),
    /// A row that the table's own checks should have made impossible.
    #[error("a row cannot be read: {0}")]
    Corrupt(String),
}

impl DbError {
    /// Whether the error says that the tenant is in another store, or about to be.
    pub(super) fn is_of_another_place(&self) -> bool {
        matches!(self, Self::TenantNotHere | Self::TenantMoving | Self::StoreMissing)
    }

    /// Whether it is the violation of this constraint. Compares the prefix, because Citus appends the shard's number.
    pub fn violates(&self, name: &str) -> bool {
        matches!(self, Self::Violation { constraint } if constraint.starts_with(name))
    }
}

impl From<tokio_postgres::Error> for DbError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            // Without an answer from the server, the connection failed, or a parameter has the wrong type. The latter
            // is a fault in the code, which a client must not retry.
            let broken =
                error.is_closed() || std::error::Error::source(&error).is_some_and(|it| it.is::<std::io::Error>());
            return if broken { Self::Unavailable(error.to_string()) } else { Self::Other(error.to_string()) };
        };
        match db.code().code() {
            "TN001" => return Self::TenantNotHere,
            "TN002" => return Self::TenantMoving,
            "TN003" => return Self::TenantSuspended,
            "TN004" => return Self::SessionEnded,
            "TN005" => return Self::RoleChanged,
            _ => {}
        }
        let code = db.code();
        let constraint = || db.constraint().unwrap_or_default().to_owned();
        if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            Self::Refused(db.message().to_owned())
        } else if [
            SqlState::UNIQUE_VIOLATION,
            SqlState::EXCLUSION_VIOLATION,
            SqlState::FOREIGN_KEY_VIOLATION,
            SqlState::CHECK_VIOLATION,
        ]
        .contains(code)
        {
            Self::Violation { constraint: constraint() }
        } else if [
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            SqlState::UNTRANSLATABLE_CHARACTER,
            SqlState::DATETIME_FIELD_OVERFLOW,
        ]
        .contains(code)
        {
            Self::InvalidValue
        } else if *code == SqlState::QUERY_CANCELED {
            Self::Timeout
        } else if [SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_SERIALIZATION_FAILURE]
            .contains(code)
        {
            Self::Contention(db.message().to_owned())
        } else if code.code().starts_with("57P") || code.code().starts_with("53") || code.code().starts_with("08") {
            // The server is shutting down, starting up, out of resources, or lost the connection.
            Self::Unavailable(db.message().to_owned())
        } else {
            Self::Other(format!("{} {}: {}", db.severity(), code.code(), db.message()))
        }
    }
}

impl From<deadpool_postgres::PoolError> for DbError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
