//! A PostgreSQL server that belongs to this program: creates, starts and stops it.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::mpsc::Receiver,
    thread,
    time::{Duration, Instant},
};

use super::{
    accounts::Accounts,
    binaries::Binaries,
    error::EmbeddedError,
    folder,
    process::{Keeper, Launcher},
    settings::{LOCALE, Options, PORT, SUPERUSER},
};

/// Crash recovery replays the log since the last checkpoint, which can take long.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// A normal start takes well under a second; after this time the user gets a progress line.
const SLOW_START: Duration = Duration::from_secs(2);

/// A running private PostgreSQL. Dropping it stops the server and waits until it has ended.
pub struct Cluster {
    // Fields drop in this order: the server ends before another process may lock the folder.
    keeper: Keeper,
    _instance_lock: File,
    socket_dir: PathBuf,
    is_new: bool,
}

impl Cluster {
    /// Starts the server, after creating its cluster if there is none, and waits until it answers.
    ///
    /// Returns [`EmbeddedError::InUse`] at once when another process uses this folder. When that process was killed and
    /// only its server is still ending, waits up to 60 s.
    pub fn start(options: &Options) -> Result<Cluster, EmbeddedError> {
        let data_dir = folder::create_data_dir(options.data_dir)?;
        let cluster_dir = data_dir.join("postgres");
        let instance_lock = folder::lock_instance(&data_dir)?;
        let server_lock = folder::lock_server(&data_dir, options.progress)?;

        let accounts = Accounts::find(&cluster_dir)?;
        let mut launcher = Launcher::new(&accounts, &data_dir, server_lock);
        let binaries = Binaries::find(options.bin_dir, &cluster_dir, &launcher)?;
        folder::let_through(&data_dir, &accounts)?;
        launcher.ensure_reach(&binaries.postgres())?;

        let is_new = !cluster_dir.join("PG_VERSION").exists();
        if is_new {
            (options.progress)(&format!(
                "creating a private PostgreSQL {} in {} (once, about 3 s)",
                binaries.major,
                options.data_dir.join("postgres").display()
            ));
            initdb(options, &launcher, &binaries, &data_dir)?;
        }
        write_access_rules(&cluster_dir, &accounts, options.roles)?;

        let socket_dir = folder::socket_dir(&data_dir);
        folder::create_private(&socket_dir, &accounts)?;
        // Both locks are held, so these are leftovers of a killed server. The pid in them may belong to another process
        // by now, which would make postgres refuse to start.
        let socket_name = folder::socket_name();
        folder::remove_if_present(&cluster_dir.join("postmaster.pid"))?;
        folder::remove_if_present(&socket_dir.join(&socket_name))?;
        folder::remove_if_present(&socket_dir.join(format!("{socket_name}.lock")))?;

        let log_path = data_dir.join("postgres.log");
        let log = folder::open_private_file(&log_path)?;
        let log_start = log.metadata().map_or(0, |metadata| metadata.len());
        let command = server_command(&launcher, &binaries, &socket_dir, log, options.settings)
            .map_err(EmbeddedError::io("open", &log_path))?;
        // The launcher's copy of the server's lock must be closed: the lock represents the server, not this process.
        drop(launcher);
        let keeper = Keeper::spawn(command).map_err(EmbeddedError::io("run", &binaries.postgres()))?;

        let cluster = Cluster { keeper, _instance_lock: instance_lock, socket_dir, is_new };
        // On failure the cluster is dropped here, and with it the server.
        cluster.wait_until_ready(&cluster_dir, options.progress).map_err(|reason| {
            let said = folder::last_lines(&log_path, log_start, 8);
            EmbeddedError::Start(format!("{reason}. The end of {}:\n{said}", log_path.display()))
        })?;
        Ok(cluster)
    }

    /// The URL to connect as `role` to `database`, for both psql and tokio-postgres.
    pub fn connection_url(&self, role: &str, database: &str) -> String {
        socket_url(&self.socket_dir, role, database)
    }

    /// Whether this start created the cluster.
    ///
    /// `false` is no reason to skip creating roles and databases: the first start may have been killed right after this
    /// step. Check what exists instead.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Stops the server (a fast shutdown: transactions are rolled back) and waits until it has ended.
    pub fn stop(self) {
        drop(self);
    }

    /// A receiver for an unexpected end of the server: `recv` blocks until then and returns the exit status. After a
    /// regular stop it returns an error instead.
    ///
    /// `None` when it was taken before.
    pub fn ended(&self) -> Option<Receiver<ExitStatus>> {
        self.keeper.take_ended()
    }

    fn wait_until_ready(&self, cluster_dir: &Path, progress: &dyn Fn(&str)) -> Result<(), String> {
        let pid_file = cluster_dir.join("postmaster.pid");
        let begin = Instant::now();
        let mut told = false;
        loop {
            if is_ready(&pid_file, self.keeper.pid) {
                return Ok(());
            }
            if let Some(status) = self.keeper.early_end() {
                return Err(format!("it ended at once ({status})"));
            }
            if begin.elapsed() > READY_TIMEOUT {
                return Err(format!("it was not ready after {} s", READY_TIMEOUT.as_secs()));
            }
            if begin.elapsed() > SLOW_START && !told {
                told = true;
                progress("waiting for PostgreSQL, which may be recovering from a crash");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The URL of a cluster that may be running in `data_dir`, as [`Cluster::connection_url`] returns it.
///
/// Only computes a path; nothing is opened or created.
pub fn connection_url(data_dir: &Path, role: &str, database: &str) -> String {
    socket_url(&folder::socket_dir(&folder::canonical(data_dir)), role, database)
}

/// Whether a process runs a cluster in this folder, or is about to.
///
/// Also `false` when the folder belongs to another user, whose lock this process may not inspect.
pub fn in_use(data_dir: &Path) -> bool {
    folder::is_instance_locked(data_dir)
}

/// Creates the cluster under a temporary name and renames it when it is complete, so that an interrupted first start
/// leaves nothing that looks like a cluster.
pub(super) fn initdb(
    options: &Options,
    launcher: &Launcher,
    binaries: &Binaries,
    data_dir: &Path,
) -> Result<(), EmbeddedError> {
    let unfinished = data_dir.join("postgres.new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(EmbeddedError::io("remove", &unfinished))?;
    }
    folder::create_private(&unfinished, launcher.accounts)?;

    let mut command = launcher.command(&binaries.initdb());
    command
        .arg("--pgdata")
        .arg(launcher.as_seen_by_server("postgres.new"))
        .arg(format!("--username={SUPERUSER}"))
        .arg(format!("--locale={LOCALE}"))
        .args(["--encoding=UTF8", "--data-checksums", "--auth-local=peer", "--auth-host=reject"]);
    if options.settings.contains(&("fsync", "off")) {
        command.arg("--no-sync");
    }
    let output = command.output().map_err(EmbeddedError::io("run", &binaries.initdb()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(EmbeddedError::Initdb(said.trim().to_owned()));
    }

    let cluster_dir = data_dir.join("postgres");
    fs::rename(&unfinished, &cluster_dir).map_err(EmbeddedError::io("create", &cluster_dir))?;
    // initdb synced the files; the new name is an entry of this folder, which this program must sync.
    File::open(data_dir).and_then(|folder| folder.sync_all()).map_err(EmbeddedError::io("sync", data_dir))
}

/// Writes the rules for who may connect. Written at each start, because a later version may have more roles, and
/// another user may start the application.
fn write_access_rules(cluster_dir: &Path, accounts: &Accounts, roles: &[&str]) -> Result<(), EmbeddedError> {
    const HEADER: &str = "# Written by Tenantry at each start.\n";
    // The kernel authenticates the user at the other end of the socket. There are no passwords.
    let hba = format!("{HEADER}local all all peer map=tenantry\n");

    // Each pair is spelled out: PostgreSQL 15 does not know the role `all` here.
    let mut ident = String::from(HEADER);
    for user in accounts.names() {
        for role in [SUPERUSER].iter().chain(roles) {
            let (user, role) = (user.replace('"', "\"\""), role.replace('"', "\"\""));
            ident.push_str(&format!("tenantry \"{user}\" \"{role}\"\n"));
        }
    }

    folder::replace_file(&cluster_dir.join("pg_hba.conf"), &hba, accounts)?;
    folder::replace_file(&cluster_dir.join("pg_ident.conf"), &ident, accounts)
}

fn server_command(
    launcher: &Launcher,
    binaries: &Binaries,
    socket_dir: &Path,
    log: File,
    settings: &[(&str, &str)],
) -> io::Result<Command> {
    let mut command = launcher.command(&binaries.postgres());
    command.stdout(log.try_clone()?).stderr(log);
    command.arg("-D").arg(launcher.as_seen_by_server("postgres"));

    // This setting is a list: quotes keep the path a single item.
    let socket_dir = if socket_dir.starts_with(launcher.data_dir) {
        launcher.as_seen_by_server("socket")
    } else {
        socket_dir.to_owned()
    };
    let mut sockets = OsString::from("unix_socket_directories=\"");
    sockets.push(&socket_dir);
    sockets.push("\"");
    command.arg("-c").arg(sockets);

    let port = PORT.to_string();
    let ours = [("listen_addresses", ""), ("port", &port), ("max_connections", "100"), ("cluster_name", "tenantry")];
    // The last of two equal names wins, so the caller's settings come last.
    for (name, value) in ours.iter().chain(settings) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    Ok(command)
}

/// The eighth line of `postmaster.pid` reads "ready" once connections are accepted; the first line is the server's pid.
fn is_ready(pid_file: &Path, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(pid_file) else {
        return false;
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
}

fn socket_url(socket_dir: &Path, role: &str, database: &str) -> String {
    format!(
        "postgresql:///{}?host={}&user={}&port={PORT}",
        percent_encoded(database.as_bytes()),
        percent_encoded(socket_dir.as_os_str().as_encoded_bytes()),
        percent_encoded(role.as_bytes()),
    )
}

fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}
