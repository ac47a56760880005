//! Finds a PostgreSQL installation.

use std::fs;
use std::path::{Path, PathBuf};

use super::{EmbeddedError, process::Launcher};

const OLDEST_MAJOR: u32 = 15;

/// Folders whose entries are one PostgreSQL version each: the folder, the part of the entry's name before the version,
/// and where in the entry the binaries are.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// An installation that the server's user can run.
pub(super) struct Binaries {
    dir: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    /// Looks only in `told` if given, else in the usual places. An existing cluster needs the major version that
    /// created it; a new one needs 15 or newer.
    pub(super) fn find(
        told: Option<&Path>,
        cluster_dir: &Path,
        launcher: &Launcher,
    ) -> Result<Binaries, EmbeddedError> {
        let needed =
            fs::read_to_string(cluster_dir.join("PG_VERSION")).ok().and_then(|version| version.trim().parse().ok());
        let candidates = match told {
            // Not canonicalised: a link in another program's folder may be intended.
            Some(dir) => vec![std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())],
            None => usual_places(launcher),
        };

        let mut rejected = String::new();
        for dir in candidates {
            if !(dir.join("postgres").is_file() && dir.join("initdb").is_file()) {
                if told.is_some() {
                    rejected += &format!("\n{} does not contain `postgres` and `initdb`.", dir.display());
                }
                continue;
            }
            match major_version(&dir, launcher) {
                Ok(major) if needed.map_or(major >= OLDEST_MAJOR, |needed| major == needed) => {
                    return Ok(Binaries { dir, major });
                }
                Ok(major) => rejected += &format!("\nFound PostgreSQL {major} in {}.", dir.display()),
                Err(reason) => rejected += &format!("\nCannot use {}: {reason}.", dir.display()),
            }
        }
        Err(match needed {
            Some(major) => EmbeddedError::WrongVersion { cluster_dir: cluster_dir.to_owned(), major, rejected },
            None => EmbeddedError::NoBinaries { rejected },
        })
    }
}

/// The folder that `pg_config` names and those in PATH, then versioned folders, newest first; each folder once.
fn usual_places(launcher: &Launcher) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Ok(output) = launcher.command(Path::new("pg_config")).arg("--bindir").output() {
        places.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    if let Some(path) = std::env::var_os("PATH") {
        places.extend(std::env::split_paths(&path));
    }
    let mut versioned: Vec<(u32, PathBuf)> =
        VERSIONED.iter().flat_map(|&(root, prefix, suffix)| versions_in(Path::new(root), prefix, suffix)).collect();
    versioned.sort_by_key(|&(major, _)| std::cmp::Reverse(major));
    places.extend(versioned.into_iter().map(|(_, dir)| dir));
    places.push("/usr/local/pgsql/bin".into());

    let mut seen = Vec::new();
    // A relative entry of PATH would run whatever is in the current folder.
    places.retain(|dir| {
        let Ok(real) = dir.canonicalize() else {
            return false;
        };
        let first = dir.is_absolute() && !seen.contains(&real);
        seen.push(real);
        first
    });
    places
}

fn versions_in(root: &Path, prefix: &str, suffix: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let major = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((major, entry.path().join(suffix)))
        })
        .collect()
}

/// Runs `postgres --version` as the server's user, which also shows that this user may run it.
fn major_version(dir: &Path, launcher: &Launcher) -> Result<u32, String> {
    let output = launcher
        .command(&dir.join("postgres"))
        .arg("--version")
        .output()
        .map_err(|error| format!("user {} cannot run it: {error}", launcher.accounts.server.name))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_major(&text).ok_or_else(|| format!("`postgres --version` says {:?}", text.trim()))
}

/// "postgres (PostgreSQL) 15.8 (Debian ...)" is 15, and so are "15beta1" and "15devel".
fn parse_major(text: &str) -> Option<u32> {
    let version = text.split_once("(PostgreSQL) ")?.1;
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_major;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("postgres (PostgreSQL) 17"), Some(17));
        assert_eq!(parse_major("something else"), None);
    }
}
