//! Runs PostgreSQL's programs as the right user, and supervises the server.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

use super::{EmbeddedError, accounts::Accounts, settings::LOCALE};

/// How often the keeper checks whether the server is still running.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// The signals that end a server, the gentlest first, and how long each may take.
const SHUTDOWN: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(30)),
    (Signal::SIGQUIT, Duration::from_secs(10)),
    (Signal::SIGKILL, Duration::MAX),
];

/// Creates commands that run as the server's user in an environment of their own, hold the server's lock as long as
/// they or their children live, and end with this process.
pub(super) struct Launcher<'a> {
    pub(super) accounts: &'a Accounts,
    pub(super) data_dir: &'a Path,
    server_lock: Arc<File>,
    /// The open data folder, when the server cannot reach it by its path.
    door: Option<Arc<File>>,
}

impl<'a> Launcher<'a> {
    pub(super) fn new(accounts: &'a Accounts, data_dir: &'a Path, server_lock: File) -> Self {
        Launcher { accounts, data_dir, server_lock: Arc::new(server_lock), door: None }
    }

    /// Ensures that the server's user can enter the data folder.
    ///
    /// Root may run in `/root/app` or a private temporary folder, which no other user can pass through. The server then
    /// inherits the open data folder and uses `/proc/self/fd/N`, which does not pass through the parent folders. The
    /// program does not loosen the permissions of those folders, and a cluster elsewhere would not move or vanish with
    /// its folder.
    pub(super) fn ensure_reach(&mut self, postgres: &Path) -> Result<(), EmbeddedError> {
        if !self.accounts.differ() || self.can_enter(self.data_dir, postgres) {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        {
            use nix::fcntl::OFlag;
            use std::os::unix::fs::OpenOptionsExt;

            // O_PATH: enough to pass through, but not to list the folder.
            let door = std::fs::OpenOptions::new()
                .read(true)
                .custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY).bits())
                .open(self.data_dir)
                .map_err(EmbeddedError::io("open", self.data_dir))?;
            self.door = Some(Arc::new(door));
            if self.can_enter(&self.as_seen_by_server(""), postgres) {
                return Ok(());
            }
        }
        Err(EmbeddedError::Unreachable { data_dir: self.data_dir.to_owned(), user: self.accounts.server.name.clone() })
    }

    /// The path of an entry of the data folder, as the server can use it.
    pub(super) fn as_seen_by_server(&self, name: &str) -> PathBuf {
        match &self.door {
            Some(door) => PathBuf::from(format!("/proc/self/fd/{}/{name}", door.as_raw_fd())),
            None => self.data_dir.join(name),
        }
    }

    /// Tries it, because permissions alone are not conclusive: there are access lists and security modules.
    fn can_enter(&self, folder: &Path, postgres: &Path) -> bool {
        // The user is switched before the folder is entered. `postgres` is known to be executable.
        let tried = self.command(postgres).arg("--version").current_dir(folder).output();
        tried.is_ok_and(|output| output.status.success())
    }

    /// A command for `program`, without arguments.
    ///
    /// It must be spawned on a thread that lives as long as the program: see [`Keeper`].
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", LOCALE)
            .env("TZ", "UTC")
            .current_dir("/")
            .stdin(Stdio::null())
            // Ctrl-C in the terminal goes to this process only, which then stops the server in good order.
            .process_group(0);
        if self.accounts.differ() {
            let server = &self.accounts.server;
            command.uid(server.uid.as_raw()).gid(server.gid.as_raw());
        }

        let mut inherited = vec![self.server_lock.clone()];
        inherited.extend(self.door.clone());
        let parent = Pid::this();
        let prepare = move || {
            for file in &inherited {
                fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            end_with(parent)
        };
        // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes plain system calls
        // (fcntl, prctl, getppid) and neither allocates nor locks.
        #[expect(unsafe_code, reason = "the only way to prepare a child between fork and exec")]
        unsafe {
            command.pre_exec(prepare)
        };
        command
    }
}

/// Makes the kernel send SIGINT, a fast shutdown for `postgres`, when the parent is gone.
#[cfg(target_os = "linux")]
fn end_with(parent: Pid) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGINT)?;
    // The parent may have died before the line above; then no signal will arrive.
    if nix::unistd::getppid() != parent {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

/// Not available on this system: a server whose parent was killed runs until it is stopped.
#[cfg(not(target_os = "linux"))]
fn end_with(_parent: Pid) -> io::Result<()> {
    Ok(())
}

/// The server, and the thread that supervises it. Dropping it stops the server and waits.
///
/// The parent-death signal is bound to the thread that spawned the process, not to its process. A server spawned on
/// tokio's blocking pool dies when that thread has been idle for ten seconds. So this thread lives as long as the
/// server.
pub(super) struct Keeper {
    pub(super) pid: u32,
    /// Receives the status when the server ends unexpectedly. In a mutex only because a receiver cannot be shared
    /// between threads, and this struct must be.
    ended: Mutex<Option<Receiver<ExitStatus>>>,
    /// Dropped to make the thread stop the server.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Spawns the server. The command is dropped, with all files in it, as soon as the server runs.
    pub(super) fn spawn(command: Command) -> io::Result<Keeper> {
        let (spawned_sender, spawned) = mpsc::channel();
        let (ended_sender, ended) = mpsc::channel();
        let (stop, stop_receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("postgres-keeper".into()).spawn(move || {
            let mut command = command;
            let result = command.spawn();
            drop(command);
            // Failed sends are ignored here and in `keep`: then no receiver is left.
            match result {
                Ok(child) => {
                    let _ = spawned_sender.send(Ok(child.id()));
                    keep(child, &stop_receiver, &ended_sender);
                }
                Err(error) => {
                    let _ = spawned_sender.send(Err(error));
                }
            }
        })?;
        let pid = spawned.recv().map_err(|_| io::Error::other("the keeper thread died"))??;
        Ok(Keeper { pid, ended: Mutex::new(Some(ended)), stop: Some(stop), thread: Some(thread) })
    }

    /// The status of a server that has ended by itself. Taking it here removes it from the receiver.
    pub(super) fn early_end(&self) -> Option<ExitStatus> {
        let ended = self.ended.lock();
        ended.as_ref()?.try_recv().ok()
    }

    /// Returns the receiver the first time, then `None`.
    pub(super) fn take_ended(&self) -> Option<Receiver<ExitStatus>> {
        self.ended.lock().take()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // An error means that the thread panicked; the server then ended with it.
            let _ = thread.join();
        }
    }
}

/// Watches the server until it ends by itself or must be stopped.
fn keep(mut child: Child, stop: &Receiver<()>, ended: &Sender<ExitStatus>) {
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(WATCH_INTERVAL) {
        if let Ok(Some(status)) = child.try_wait() {
            let _ = ended.send(status);
            return;
        }
    }
    shut_down(&mut child);
}

/// Ends the server and reaps it, so that no zombie remains.
fn shut_down(child: &mut Child) {
    for (signal, patience) in SHUTDOWN {
        // Until it is reaped, which only this process does, the pid cannot belong to another process.
        let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}
