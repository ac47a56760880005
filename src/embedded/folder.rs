//! The data folder: its locks, its permissions, and the location of the socket.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::Uid;

use super::{
    EmbeddedError,
    accounts::{Accounts, name_or_id},
    settings::PORT,
};

const INSTANCE_LOCK: &str = "instance.lock";
const SERVER_LOCK: &str = "postgres.lock";
/// How long the server of a killed earlier run may take to end: it writes a checkpoint.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(60);
/// The capacity of `sockaddr_un` without the terminating zero byte.
const LONGEST_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Creates the folder if absent and returns its absolute path.
pub(super) fn create_data_dir(path: &Path) -> Result<PathBuf, EmbeddedError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(EmbeddedError::io("create", parent))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(EmbeddedError::io("create", path)(error));
        }
        _ => {}
    }
    path.canonicalize().map_err(EmbeddedError::io("open", path))
}

/// The absolute path without links, also of a folder that does not exist yet.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// Lets the server's user pass through the folder to the cluster inside, when that is another user.
///
/// It may pass, but not list: the application keeps keys of its own here, with mode 0600, and nobody needs to see their
/// names.
pub(super) fn let_through(data_dir: &Path, accounts: &Accounts) -> Result<(), EmbeddedError> {
    if !accounts.differ() {
        return Ok(());
    }
    let metadata = data_dir.metadata().map_err(EmbeddedError::io("open", data_dir))?;
    let (mode, passing) = (metadata.mode() & 0o7777, 0o011);
    if metadata.uid() == accounts.server.uid.as_raw() || mode & passing == passing {
        return Ok(());
    }
    fs::set_permissions(data_dir, Permissions::from_mode(mode | passing))
        .map_err(EmbeddedError::io("change the mode of", data_dir))
}

/// Takes the lock that marks a running application. Never waits for another holder.
pub(super) fn lock_instance(data_dir: &Path) -> Result<File, EmbeddedError> {
    // Another process may be checking the lock (`is_instance_locked`) or be between fork and exec. Both last
    // microseconds and must not look like an application.
    const ATTEMPTS: u32 = 5;

    let path = data_dir.join(INSTANCE_LOCK);
    let mut file = open_private_file(&path)?;
    for _ in 0..ATTEMPTS {
        match file.try_lock() {
            Ok(()) => {
                // Only for the error message of a second process; nothing else relies on it.
                return file
                    .set_len(0)
                    .and_then(|()| writeln!(file, "{}", std::process::id()))
                    .map(|()| file)
                    .map_err(EmbeddedError::io("write", &path));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => return Err(EmbeddedError::io("lock", &path)(error)),
        }
    }
    Err(EmbeddedError::InUse { data_dir: data_dir.to_owned(), pid: first_number(&path) })
}

/// Whether an application holds the instance lock.
pub(super) fn is_instance_locked(data_dir: &Path) -> bool {
    File::open(data_dir.join(INSTANCE_LOCK))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Takes the lock that the server and its backends inherit. When it is held, the earlier run was killed and its server
/// is still ending; this waits for it.
pub(super) fn lock_server(data_dir: &Path, progress: &dyn Fn(&str)) -> Result<File, EmbeddedError> {
    let path = data_dir.join(SERVER_LOCK);
    let file = open_private_file(&path)?;
    let begin = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(EmbeddedError::io("lock", &path)(error)),
            Err(TryLockError::WouldBlock) if begin.elapsed() > PREDECESSOR_TIMEOUT => {
                return Err(EmbeddedError::StillEnding { lock: path });
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            told = true;
            progress("waiting for the PostgreSQL of an earlier, killed run to end");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Opens a file of this program for appending, creating it with mode 0600.
///
/// A link in its place is refused: this process may be root in another user's folder.
pub(super) fn open_private_file(path: &Path) -> Result<File, EmbeddedError> {
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path);
    opened.map_err(|error| match owner_of(path) {
        Some(owner) if error.kind() == ErrorKind::PermissionDenied && owner != Uid::effective() => foreign(path, owner),
        _ => EmbeddedError::io("open", path)(error),
    })
}

/// Ensures that `path` is a folder with mode 0700 that belongs to the server's user.
///
/// An existing folder must belong to that user or to this process's user; it may be in `/tmp`, where anyone can create
/// a name. Everything is done on the open folder, which cannot be swapped for another.
pub(super) fn create_private(path: &Path, accounts: &Accounts) -> Result<(), EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(EmbeddedError::io("create", path)(error));
        }
        _ => {}
    }
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
        .open(path)
        .map_err(EmbeddedError::io("open", path))?;
    let metadata = folder.metadata().map_err(EmbeddedError::io("open", path))?;
    let owner = Uid::from_raw(metadata.uid());
    if ![accounts.ours.uid, accounts.server.uid].contains(&owner) {
        return Err(foreign(path, owner));
    }
    give_to_server(&folder, accounts)
        .and_then(|()| folder.set_permissions(Permissions::from_mode(0o700)))
        .map_err(EmbeddedError::io("change the owner or mode of", path))
}

/// Replaces a file of the server: completely or not at all, even if power fails.
pub(super) fn replace_file(path: &Path, text: &str, accounts: &Accounts) -> Result<(), EmbeddedError> {
    let unfinished = path.with_extension("new");
    remove_if_present(&unfinished)?;
    // `create_new` follows no link that the server's user might have created for root.
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished);
    written
        .and_then(|mut file| {
            give_to_server(&file, accounts)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&unfinished, path))
        .map_err(EmbeddedError::io("write", path))
}

pub(super) fn remove_if_present(path: &Path) -> Result<(), EmbeddedError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(EmbeddedError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Where the socket of the cluster in this folder is; `data_dir` must be [`canonical`].
///
/// If the path is too long for a socket, or cannot be written in a connection URL or a server setting, this is a folder
/// in `/tmp` named after a hash of it. Not in `TMPDIR`, which may be long itself and may differ between shells:
/// everyone who knows the data folder must find the socket.
pub(super) fn socket_dir(data_dir: &Path) -> PathBuf {
    let inside = data_dir.join("socket");
    let fits = inside.join(socket_name()).as_os_str().len() <= LONGEST_SOCKET_PATH;
    // A comma separates hosts in a URL, even when it is percent-encoded.
    if fits && inside.to_str().is_some_and(|path| !path.contains([',', '"'])) {
        return inside;
    }
    let hash = fnv1a(data_dir.as_os_str().as_encoded_bytes());
    Path::new("/tmp").join(format!("tenantry-{hash:016x}"))
}

pub(super) fn socket_name() -> String {
    format!(".s.PGSQL.{PORT}")
}

/// The last `count` lines of a text file, counting only what follows `offset` bytes.
pub(super) fn last_lines(path: &Path, offset: u64, count: usize) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.read_to_end(&mut bytes)
    });
    if let Err(error) = read {
        return error.to_string();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn give_to_server(file: &File, accounts: &Accounts) -> std::io::Result<()> {
    if !accounts.differ() {
        return Ok(());
    }
    let server = &accounts.server;
    fchown(file, Some(server.uid.as_raw()), Some(server.gid.as_raw()))
}

/// The owner of the file, or of its folder if the file does not exist or is not visible.
fn owner_of(path: &Path) -> Option<Uid> {
    let metadata = fs::symlink_metadata(path).or_else(|_| path.parent().unwrap_or(path).metadata());
    metadata.ok().map(|metadata| Uid::from_raw(metadata.uid()))
}

fn foreign(path: &Path, owner: Uid) -> EmbeddedError {
    EmbeddedError::ForeignFolder { path: path.to_owned(), owner: name_or_id(owner) }
}

fn first_number(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok()
}

/// FNV-1a: short, and stable across versions, which std's hasher does not guarantee.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
