//! The private PostgreSQL, on this machine's real one. `first_run.rs` has the tests that need a second process.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tenantry::embedded::{Cluster, EmbeddedError, Options, connection_url, in_use};

const FAST: &[(&str, &str)] = &[("fsync", "off")];
const ROLES: &[&str] = &["app_owner", "app_user"];

/// A folder whose parents anyone can pass through, like a checkout in `/srv`.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn options<'a>(data_dir: &'a Path, settings: &'a [(&'a str, &'a str)]) -> Options<'a> {
    Options { data_dir, bin_dir: None, settings, roles: ROLES, progress: &|_| () }
}

fn start(data_dir: &Path) -> Cluster {
    Cluster::start(&options(data_dir, FAST)).unwrap_or_else(|error| panic!("{error}"))
}

fn start_error(data_dir: &Path) -> EmbeddedError {
    match Cluster::start(&options(data_dir, FAST)) {
        Ok(_) => panic!("it should not have started"),
        Err(error) => error,
    }
}

/// Runs statements and returns the first value of the last row.
fn run(url: &str, sql: &str) -> Result<String, tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let mut value = String::new();
        for message in client.simple_query(sql).await? {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                value = row.get(0).unwrap_or_default().to_owned();
            }
        }
        Ok(value)
    })
}

fn query(cluster: &Cluster, sql: &str) -> String {
    run(&cluster.connection_url("postgres", "postgres"), sql).unwrap()
}

fn postmaster(data_dir: &Path) -> i32 {
    let text = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

/// Whether it runs. A zombie, waiting for `init` because its parent was killed, does not.
fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn exists(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn effective_uid(pid: i32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

/// No process, not even a backend, holds the lock any more.
fn server_is_wholly_gone(data_dir: &Path) -> bool {
    File::open(data_dir.join("postgres.lock")).unwrap().try_lock().is_ok()
}

#[test]
fn listed_roles_connect_and_others_are_refused() {
    let folder = open_folder();
    let data_dir = folder.path().join(".tenantry");
    let cluster = start(&data_dir);
    assert!(cluster.is_new());
    query(&cluster, "create role app_owner login; create role app_user login; create role other login");

    for role in ["postgres", "app_owner", "app_user"] {
        assert_eq!(run(&cluster.connection_url(role, "postgres"), "select current_user").unwrap(), role);
    }
    let refused = run(&cluster.connection_url("other", "postgres"), "select 1").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "28000");
    assert_eq!(query(&cluster, "show listen_addresses"), "");
    assert_eq!(query(&cluster, "show data_directory"), data_dir.join("postgres").to_str().unwrap());
    assert_ne!(effective_uid(postmaster(&data_dir)), 0);
    assert_eq!(connection_url(&data_dir, "a b", "x/y"), cluster.connection_url("a b", "x/y"));
    // Others may pass through only when the server runs as another user.
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    assert_eq!(data_dir.metadata().unwrap().permissions().mode() & 0o777, mode);

    // psql reads the same URL.
    let url = cluster.connection_url("app_user", "postgres");
    let psql = Command::new("psql").args([&url, "-Atc", "select current_user"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&psql.stdout).trim(), "app_user");

    // A later version may have more roles.
    cluster.stop();
    let roles = Options { roles: &["other"], ..options(&data_dir, FAST) };
    let cluster = Cluster::start(&roles).unwrap();
    assert!(!cluster.is_new());
    assert_eq!(run(&cluster.connection_url("other", "postgres"), "select 1").unwrap(), "1");
}

#[test]
fn a_stop_leaves_nothing_running() {
    let folder = open_folder();
    let cluster = start(folder.path());
    let ended = cluster.ended().unwrap();
    let pid = postmaster(folder.path());
    assert!(is_alive(pid) && in_use(folder.path()) && !server_is_wholly_gone(folder.path()));

    cluster.stop();
    assert!(!exists(pid) && !in_use(folder.path()) && server_is_wholly_gone(folder.path()));
    assert!(ended.recv().is_err(), "a stop of our own is not reported");
    let log = fs::read_to_string(folder.path().join("postgres.log")).unwrap();
    assert!(log.contains("database system is shut down"), "{log}");
}

#[test]
fn a_second_start_is_refused_at_once() {
    let folder = open_folder();
    let _cluster = start(folder.path());
    let begin = Instant::now();
    let error = start_error(folder.path());
    assert!(begin.elapsed() < Duration::from_secs(1));
    let own_pid = std::process::id();
    assert!(matches!(error, EmbeddedError::InUse { pid: Some(pid), .. } if pid == own_pid), "{error}");
}

#[test]
fn committed_rows_survive_the_death_of_the_server() {
    let folder = open_folder();
    let cluster = Cluster::start(&options(folder.path(), &[])).unwrap();
    let ended = cluster.ended().unwrap();
    query(&cluster, "create table t (n int); insert into t values (42)");
    let sleeper = cluster.connection_url("postgres", "postgres");
    let sleeper = thread::spawn(move || run(&sleeper, "select pg_sleep(60)"));
    thread::sleep(Duration::from_millis(200));

    kill(Pid::from_raw(postmaster(folder.path())), Signal::SIGKILL).unwrap();
    let status = ended.recv_timeout(Duration::from_secs(2)).unwrap();
    assert_eq!(status.signal(), Some(9));
    drop(cluster);

    let cluster = Cluster::start(&options(folder.path(), &[])).unwrap();
    assert_eq!(query(&cluster, "select n from t"), "42");
    assert_eq!(query(&cluster, "show fsync"), "on");
    assert!(sleeper.join().unwrap().is_err());
}

#[test]
fn the_server_survives_the_thread_that_started_it() {
    let folder = open_folder();
    let path = folder.path().to_owned();
    let cluster = thread::spawn(move || start(&path)).join().unwrap();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(query(&cluster, "select 1"), "1");
}

#[test]
fn leftover_files_with_the_pid_of_another_process_do_no_harm() {
    let folder = open_folder();
    start(folder.path()).stop();
    let pid_file = format!("{}\n{}\n", std::process::id(), folder.path().display());
    fs::write(folder.path().join("postgres/postmaster.pid"), &pid_file).unwrap();
    fs::write(folder.path().join("socket/.s.PGSQL.5432.lock"), &pid_file).unwrap();
    assert_eq!(query(&start(folder.path()), "select 1"), "1");
}

#[test]
fn a_path_too_long_for_a_socket_uses_a_short_one() {
    let folder = open_folder();
    let data_dir = folder.path().join("a".repeat(120));
    let cluster = start(&data_dir);
    let url = cluster.connection_url("postgres", "postgres");
    assert!(url.contains("%2Ftmp%2Ftenantry-"), "{url}");
    assert_eq!(connection_url(&data_dir, "postgres", "postgres"), url);
    assert_eq!(query(&cluster, "select 1"), "1");
    cluster.stop();

    if !geteuid().is_root() {
        return; // Only root can act as another user.
    }
    // Another user takes the name.
    let name = url.split("%2Ftmp%2F").nth(1).unwrap().split('&').next().unwrap();
    let socket_dir = Path::new("/tmp").join(name);
    chown(&socket_dir, Some(12345), Some(12345)).unwrap();
    let error = start_error(&data_dir);
    fs::remove_dir_all(&socket_dir).unwrap();
    assert!(matches!(error, EmbeddedError::ForeignFolder { .. }), "{error}");
}

#[test]
fn unusual_paths_work() {
    let folder = open_folder();
    for name in ["with space & % 'quote'", "comma, \"quote\""] {
        let data_dir = folder.path().join(name);
        let cluster = start(&data_dir);
        assert_eq!(query(&cluster, "select 1"), "1");
        let host = cluster.connection_url("postgres", "postgres");
        cluster.stop();
        if let Some(name) = host.split("%2Ftmp%2Ftenantry-").nth(1) {
            let name = format!("/tmp/tenantry-{}", name.split('&').next().unwrap());
            fs::remove_dir_all(name).unwrap();
        }
    }
}

#[test]
fn a_folder_that_the_servers_user_cannot_reach_works() {
    let folder = open_folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = folder.path().join("deep/.tenantry");
    let cluster = start(&data_dir);
    let pid = postmaster(&data_dir);
    assert_ne!(effective_uid(pid), 0);
    // Root passes the open folder to a server that could not reach it; a server of the same user reaches the same
    // folders.
    let handed_down = query(&cluster, "show data_directory").starts_with("/proc/self/fd/");
    assert_eq!(handed_down, geteuid().is_root());
    query(&cluster, "create table t as select generate_series(1, 100000) n");
    query(&cluster, "vacuum full t");
    let parallel = "set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
        set min_parallel_table_scan_size = 0; select count(*) from t";
    assert_eq!(query(&cluster, parallel), "100000");
    assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);

    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    drop(cluster);
    let cluster = start(&data_dir);
    assert_eq!(query(&cluster, "select count(*) from t"), "100000");
    cluster.stop();
    assert!(server_is_wholly_gone(&data_dir));

    // The folder moves to where it can be reached.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&data_dir, folder.path().join("moved")).unwrap();
    let cluster = start(&folder.path().join("moved"));
    assert_eq!(query(&cluster, "select count(*) from t"), "100000");
}

#[test]
fn missing_and_unsuitable_binaries_are_named() {
    let folder = open_folder();
    let (data_dir, bin_dir) = (folder.path().join("data"), folder.path().join("bin"));
    fs::create_dir(&bin_dir).unwrap();
    let error = |bin_dir: Option<&Path>| {
        let options = Options { bin_dir, ..options(&data_dir, FAST) };
        Cluster::start(&options).err().expect("an error").to_string()
    };
    let nothing = error(Some(&bin_dir));
    assert!(nothing.contains("does not contain `postgres`"), "{nothing}");
    assert!(nothing.contains("apt-get install postgresql"), "{nothing}");

    for program in ["postgres", "initdb"] {
        let path = bin_dir.join(program);
        fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 13.4'\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let old = error(Some(&bin_dir));
    assert!(old.contains("Found PostgreSQL 13 in "), "{old}");

    // The server's user, who is not root, must be able to run them.
    fs::set_permissions(&bin_dir, fs::Permissions::from_mode(if geteuid().is_root() { 0o700 } else { 0o600 })).unwrap();
    let forbidden = error(Some(&bin_dir));
    let reason = if geteuid().is_root() { "cannot run it: Permission denied" } else { "does not contain `postgres`" };
    assert!(forbidden.contains(reason), "{forbidden}");
    fs::set_permissions(&bin_dir, fs::Permissions::from_mode(0o700)).unwrap();

    start(&data_dir).stop();
    fs::write(data_dir.join("postgres/PG_VERSION"), "99\n").unwrap();
    let newer = error(None);
    assert!(newer.contains("was created by PostgreSQL 99, which was not found"), "{newer}");
}

#[test]
fn a_failed_start_tells_what_the_server_said() {
    let folder = open_folder();
    let options = options(folder.path(), &[("fsync", "off"), ("shared_buffers", "nonsense")]);
    let error = Cluster::start(&options).err().expect("an error");
    assert!(matches!(error, EmbeddedError::Start(_)), "{error}");
    assert!(error.to_string().contains("invalid value for parameter \"shared_buffers\""), "{error}");
    assert!(!in_use(folder.path()) && server_is_wholly_gone(folder.path()));
}

#[test]
fn a_cluster_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Cluster>();
    shared::<EmbeddedError>();
}

#[test]
fn slow_steps_are_announced() {
    let folder = open_folder();
    let lines = Mutex::new(Vec::new());
    let progress = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let options = Options { progress: &progress, ..options(folder.path(), FAST) };
    Cluster::start(&options).unwrap().stop();
    Cluster::start(&options).unwrap().stop();
    let lines = lines.into_inner().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("creating a private PostgreSQL "), "{lines:?}");
}
