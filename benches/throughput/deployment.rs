//! The program with its private PostgreSQL, and the machine resources that both use.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{PosixFadviseAdvice, posix_fadvise},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tenantry::db::roles;
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::{Client, NoTls};

/// Connections of the server's pool for the tenant store: its default.
pub(crate) const POOL: usize = 8;
/// Budgets are for customers; in the benchmark only the machine must be the limit.
const SETTINGS: [(&str, &str); 6] = [
    ("PORT", "0"),
    ("RATE_USER", "4000000000"),
    ("RATE_ADDRESS", "4000000000"),
    ("RATE_TENANT", "4000000000"),
    // The load generator sends client addresses, because sign-ins are counted by address.
    ("TRUSTED_PROXIES", "127.0.0.1/32"),
    ("JWT_ISSUER", "tenantry"),
];

/// The program that was built with this benchmark.
const BUILT: &str = env!("CARGO_BIN_EXE_tenantry");

/// The program to measure: `BENCH_PROGRAM`, or else the one that was built with this benchmark.
pub(crate) fn program() -> String {
    std::env::var("BENCH_PROGRAM").unwrap_or_else(|_| BUILT.to_owned())
}

/// A running server.
pub(crate) struct Deployment {
    server: Child,
    folder: PathBuf,
    /// Its address, as `127.0.0.1:port`.
    pub address: String,
    /// The time from its start until it was ready.
    pub ready: Duration,
    postmaster: i32,
}

/// Resources used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// CPU time of the server.
    pub server: Duration,
    /// CPU time of PostgreSQL, including its background processes.
    pub database: Duration,
}

impl Deployment {
    /// Starts the program in this folder, with demo data if the folder is new.
    pub(crate) fn start(program: &str, folder: &Path) -> Self {
        // It runs in another folder.
        let program = fs::canonicalize(program).unwrap_or_else(|error| panic!("{program}: {error}"));
        let begun = Instant::now();
        let mut server = Command::new(program)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TENANTRY_DATA_DIR", folder)
            .envs(SETTINGS)
            .envs(std::env::var("WORKER_THREADS").map(|it| ("WORKER_THREADS", it)))
            .current_dir("/tmp")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut banner = String::new();
        let mut lines = BufReader::new(server.stdout.take().unwrap());
        while !banner.contains("Stop with Ctrl-C.") {
            assert!(lines.read_line(&mut banner).unwrap() > 0, "it ended before it served: {banner}");
        }
        let ready = begun.elapsed();
        let address = banner.split("http://").nth(1).and_then(|it| it.split([' ', '\n']).next()).unwrap().to_owned();
        let postmaster = children(pid(&server)).into_iter().next().expect("a PostgreSQL of its own");
        Self { server, folder: folder.to_owned(), address, ready, postmaster }
    }

    /// The same, with the program read from the disk, as on a machine that has just started: how much of it is in
    /// memory afterwards depends on how it came into the system's cache, and a file that was just written is completely
    /// cached.
    pub(crate) fn start_from_disk(program: &str, folder: &Path) -> Self {
        let file = fs::File::open(program).unwrap();
        file.sync_all().unwrap();
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
        Self::start(program, folder)
    }

    /// Stops it, and waits until it has ended.
    pub(crate) fn stop(mut self) {
        kill(Pid::from_raw(pid(&self.server)), Signal::SIGTERM).unwrap();
        self.server.wait().unwrap();
    }

    /// The URL to connect to its database as this role, which may be `postgres`.
    pub(crate) fn database_url(&self, role: &str) -> String {
        let mut command = Command::new(BUILT);
        let printed =
            command.args(["database-url", "--owner"]).env("TENANTRY_DATA_DIR", &self.folder).output().unwrap();
        let url = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
        url.replace(&format!("user={}", roles::OWNER), &format!("user={role}"))
    }

    /// A connection as a superuser: the data set is written without the rules.
    pub(crate) async fn superuser(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.database_url("postgres"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// The log of its PostgreSQL.
    pub(crate) fn database_log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// The key with which it signs tokens.
    pub(crate) fn signing_key(&self) -> PathBuf {
        self.folder.join("jwt-signing-key.pem")
    }

    /// The resources used so far.
    pub(crate) fn usage(&self) -> Usage {
        // Backends that have ended are counted with their parent.
        let living = children(self.postmaster).into_iter().map(|it| cpu_time(it, false));
        let database = cpu_time(self.postmaster, true) + living.sum::<Duration>();
        Usage { server: cpu_time(pid(&self.server), false), database }
    }

    /// Current memory of the server, and the maximum since [`forget_peak`](Self::forget_peak), in MB.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let megabytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
        };
        (megabytes("VmRSS"), megabytes("VmHWM"))
    }

    /// Resets the memory maximum.
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.server.id()), "5").unwrap();
    }

    /// The server's own counters: requests that were answered as expected, and all others.
    pub(crate) async fn answered(&self) -> (u64, u64) {
        let text = reqwest::get(format!("http://{}/metrics", self.address)).await.unwrap().text().await.unwrap();
        let (mut good, mut bad) = (0, 0);
        for line in text.lines().filter(|it| it.starts_with("tenantry_requests_total{")) {
            let count: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            *if line.contains("code=\"OK\"") { &mut good } else { &mut bad } += count;
        }
        (good, bad)
    }
}

/// While this is alive, Linux shares CPUs by thread, as it does in a cgroup of its own: in a container, or under
/// systemd. Elsewhere, as in a shell on a bare machine, it shares them by session ("autogroup", sched(7)): each backend
/// of PostgreSQL is one, and may wait for most of a second while others run. Needs root; otherwise it prints a notice
/// and does nothing.
pub(crate) struct SharedByThread(bool);

const AUTOGROUP: &str = "/proc/sys/kernel/sched_autogroup_enabled";

impl SharedByThread {
    /// Starts now and lasts until the program is asked to stop.
    pub(crate) fn start() -> Self {
        let is_on = fs::read_to_string(AUTOGROUP).is_ok_and(|it| it.trim() == "1");
        let is_changed = is_on && fs::write(AUTOGROUP, "0").is_ok();
        if is_on && !is_changed {
            eprintln!("CPUs are shared by session ({AUTOGROUP} is 1): some latencies may be the scheduler's");
        }
        if is_changed {
            tokio::spawn(async {
                let mut terminated = signal(SignalKind::terminate()).unwrap();
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminated.recv() => {}
                }
                drop(Self(true));
                std::process::exit(130);
            });
        }
        Self(is_changed)
    }
}

impl Drop for SharedByThread {
    fn drop(&mut self) {
        if self.0 {
            let _ = fs::write(AUTOGROUP, "1");
        }
    }
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

/// The running child processes of this process.
fn children(parent: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|it| it.parse().unwrap()).collect::<Vec<i32>>()).collect()
}

/// CPU time of a process, and optionally of its ended children; nothing for one that is gone.
fn cpu_time(pid: i32, with_ended_children: bool) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in brackets, may contain spaces. Fields 14 to 17 of proc(5): utime, stime, cutime, cstime.
    let Some((_, fields)) = stat.rsplit_once(") ") else { return Duration::ZERO };
    let wanted = if with_ended_children { 4 } else { 2 };
    let ticks: u64 = fields.split(' ').skip(11).take(wanted).map(|it| it.parse::<u64>().unwrap()).sum();
    // Linux counts a hundred ticks a second in this file.
    Duration::from_millis(ticks * 10)
}
