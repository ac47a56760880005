//! The settings of the private server.

use std::path::Path;

/// The role that owns the cluster: a superuser, created by `initdb`.
pub(super) const SUPERUSER: &str = "postgres";

/// Part of the socket file's name; there is no TCP port.
pub(super) const PORT: u16 = 5432;

// macOS has no C.UTF-8 before version 14.
pub(super) const LOCALE: &str = if cfg!(target_os = "macos") { "C" } else { "C.UTF-8" };

/// The options of [`Cluster::start`](super::Cluster::start).
pub struct Options<'a> {
    /// The folder for everything (`.tenantry`); created with mode 0700 if absent.
    pub data_dir: &'a Path,
    /// The folder that contains `postgres` and `initdb`; `None` searches the usual places.
    pub bin_dir: Option<&'a Path>,
    /// Extra server settings, which override the defaults. Tests pass `("fsync", "off")`, with which `initdb` does not
    /// sync either; the product passes none.
    pub settings: &'a [(&'a str, &'a str)],
    /// The database roles that this process's user, and the server's, may use over the socket, besides `postgres`. They
    /// are not created here.
    pub roles: &'a [&'a str],
    /// Receives one line before each slow step. Called on the thread that called `start`.
    pub progress: &'a dyn Fn(&str),
}
