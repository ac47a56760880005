//! The operating system users of this process and of the server.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};

use super::EmbeddedError;

/// Unprivileged users that may run the server when this process is root, best first.
const STAND_INS: [&str; 2] = ["postgres", "nobody"];

/// The user of this process and the server's user: the same one unless this process is root.
pub(super) struct Accounts {
    pub(super) ours: User,
    pub(super) server: User,
}

impl Accounts {
    /// As root: the owner of the cluster, so that a restart never changes the owner, or else a stand-in. As any other
    /// user: that user.
    pub(super) fn find(cluster_dir: &Path) -> Result<Accounts, EmbeddedError> {
        let ours = named(Uid::effective())?;
        let owner = fs::metadata(cluster_dir).ok().map(|metadata| Uid::from_raw(metadata.uid()));
        if !ours.uid.is_root() {
            return match owner {
                Some(owner) if owner != ours.uid => {
                    Err(EmbeddedError::ForeignFolder { path: cluster_dir.to_owned(), owner: name_or_id(owner) })
                }
                _ => Ok(Accounts { server: ours.clone(), ours }),
            };
        }
        let server = match owner.filter(|owner| !owner.is_root()) {
            Some(owner) => named(owner)?,
            None => STAND_INS
                .iter()
                .find_map(|name| User::from_name(name).ok().flatten())
                .ok_or(EmbeddedError::NoUnprivilegedUser)?,
        };
        Ok(Accounts { ours, server })
    }

    /// Whether the server runs as another user, because this process is root.
    pub(super) fn differ(&self) -> bool {
        self.ours.uid != self.server.uid
    }

    /// The users that may connect, each name once.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names = vec![self.ours.name.as_str()];
        if self.differ() {
            names.push(&self.server.name);
        }
        names
    }
}

/// The user's name if there is one, else its number; for messages.
pub(super) fn name_or_id(uid: Uid) -> String {
    named(uid).map_or_else(|_| uid.to_string(), |user| user.name)
}

fn named(uid: Uid) -> Result<User, EmbeddedError> {
    User::from_uid(uid).ok().flatten().ok_or(EmbeddedError::UnnamedUser { uid: uid.as_raw() })
}
