//! Errors of the private PostgreSQL, written for the person at the terminal.

use std::io;
use std::path::{Path, PathBuf};

/// Why the private PostgreSQL is not available. The messages are for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// There is no PostgreSQL 15 or newer on this machine, or none in the given folder.
    #[error(
        "no usable PostgreSQL (15 or newer) was found.{rejected}\n\
         Do one of these:\n  \
         Debian, Ubuntu:  apt-get install postgresql\n  \
         Fedora:          dnf install postgresql-server\n  \
         macOS:           brew install postgresql@17\n  \
         or set TENANTRY_PG_BIN to the folder that contains `postgres` and `initdb`\n  \
         or set DATABASE_URL to use a PostgreSQL server of your own"
    )]
    NoBinaries {
        /// One line for each installation that was found but cannot be used; may be empty.
        rejected: String,
    },
    /// The cluster was created by a major version that is not installed (any more).
    #[error(
        "{} was created by PostgreSQL {major}, which was not found.{rejected}\n\
         Install PostgreSQL {major} or set TENANTRY_PG_BIN to the folder of its `postgres`; \
         or, to start over with an empty database, move {} away",
        cluster_dir.display(), cluster_dir.display()
    )]
    WrongVersion {
        /// The cluster's folder.
        cluster_dir: PathBuf,
        /// The major version that the cluster needs.
        major: u32,
        /// One line for each other installation that was found; may be empty.
        rejected: String,
    },
    /// Another process uses this folder.
    #[error(
        "{} is in use by {}. Stop it, or set TENANTRY_DATA_DIR to another folder",
        data_dir.display(),
        pid.map_or("another process".into(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The folder in use.
        data_dir: PathBuf,
        /// The process that uses it, when that could be read.
        pid: Option<u32>,
    },
    /// The application that used this folder is gone, but its server has not ended after a minute.
    #[error(
        "the PostgreSQL of an earlier run has not ended. Try again later, or end it with `kill -INT`: \
         `fuser -v {}` or `lsof {}` lists its processes",
        lock.display(), lock.display()
    )]
    StillEnding {
        /// The lock that the server's processes hold.
        lock: PathBuf,
    },
    /// This process is root, and `postgres` must not be.
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a `postgres` nor a `nobody` user \
         to run it as. Start as an ordinary user, create one (`useradd --system postgres`), \
         or set DATABASE_URL"
    )]
    NoUnprivilegedUser,
    /// Peer authentication uses user names, and `initdb` also needs one.
    #[error(
        "user id {uid} has no name in /etc/passwd, and PostgreSQL needs one. Start as a named user, \
         add the id to /etc/passwd, or set DATABASE_URL"
    )]
    UnnamedUser {
        /// The user id without a name.
        uid: u32,
    },
    /// This process runs as an ordinary user, and the folder belongs to another.
    #[error(
        "{} belongs to user {owner}. Start as {owner}, or set TENANTRY_DATA_DIR to another folder",
        path.display()
    )]
    ForeignFolder {
        /// The folder or file of the other user.
        path: PathBuf,
        /// The owner's name, or id.
        owner: String,
    },
    /// This process is root, and the user that the server runs as cannot enter the folder.
    #[error(
        "PostgreSQL does not run as root but as user {user}, who cannot enter {}. \
         Set TENANTRY_DATA_DIR to a folder that {user} can reach, such as /var/lib/tenantry",
        data_dir.display()
    )]
    Unreachable {
        /// The folder out of reach.
        data_dir: PathBuf,
        /// The user that the server runs as.
        user: String,
    },
    /// `initdb` failed; contains its output.
    #[error("creating the database failed. Output of initdb:\n{0}")]
    Initdb(String),
    /// The server ended, or was not ready in time; contains the reason and the end of its log.
    #[error("PostgreSQL did not start: {0}")]
    Start(String),
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl EmbeddedError {
    /// For `map_err`: "cannot `action` `path`: ...".
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
        let path = path.to_owned();
        move |source| EmbeddedError::Io { action, path, source }
    }
}
