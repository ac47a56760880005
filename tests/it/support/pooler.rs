//! PgBouncer in transaction mode in front of the tests' cluster, with two server connections for each database and
//! user: so few that every transaction of a client may get another session.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::unistd::Uid;
use tokio::sync::OnceCell;
use tokio_postgres::{Config, config::Host};

static POOLER: OnceCell<Option<Pooler>> = OnceCell::const_new();

struct Pooler {
    port: u16,
}

/// The same database through the pooler. `None` when PgBouncer is not installed, which fails in CI.
pub(crate) async fn url(direct: &str) -> Option<String> {
    let config: Config = direct.parse().unwrap();
    let pooler = POOLER.get_or_init(|| async { start(&config) }).await.as_ref();
    if pooler.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PgBouncer is missing");
        eprintln!("SKIPPED: PgBouncer is not installed");
    }
    let (user, database) = (config.get_user().unwrap(), config.get_dbname().unwrap());
    pooler.map(|it| format!("postgresql://{user}@127.0.0.1:{}/{database}", it.port))
}

fn start(config: &Config) -> Option<Pooler> {
    let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
        .iter()
        .find(|it| Path::new(it).exists())?;
    let Some(Host::Unix(socket)) = config.get_hosts().first() else { panic!("the cluster has a socket") };
    let socket_port = config.get_ports().first().copied().unwrap_or(5432);
    let folder = super::cluster::folder().join("pooler");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let users: String =
        ["tenantry_app", "tenantry_owner", "tenantry_platform"].iter().map(|it| format!("\"{it}\" \"\"\n")).collect();
    fs::write(folder.join("users.txt"), users).unwrap();
    let settings = format!(
        "[databases]\n* = host={} port={socket_port}\n[pgbouncer]\npool_mode = transaction\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\ndefault_pool_size = 2\n\
         max_client_conn = 2000\nserver_idle_timeout = 5\nserver_reset_query =\nlogfile = {}\n",
        socket.display(),
        folder.join("users.txt").display(),
        folder.join("log/pgbouncer.log").display()
    );
    let logs = folder.join("log");
    fs::create_dir(&logs).unwrap();
    fs::set_permissions(&logs, fs::Permissions::from_mode(0o777)).unwrap();
    let file: PathBuf = folder.join("pgbouncer.ini");
    fs::write(&file, settings).unwrap();
    let program = program.to_string();
    // The signal that ends it with this process is bound to the thread that started it, so that thread stays.
    let (started, has_started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if Uid::effective().is_root() {
            // PgBouncer refuses root, and the cluster accepts the user it runs as.
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        }
        let child =
            command.arg(program).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        started.send(child.is_ok()).unwrap();
        if let Ok(mut child) = child {
            let ended = child.wait();
            // It must not end before this process does.
            eprintln!(
                "PgBouncer ended: {ended:?}\n{}",
                fs::read_to_string(logs.join("pgbouncer.log")).unwrap_or_default()
            );
        }
    });
    assert!(has_started.recv().unwrap(), "setpriv is missing");
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(30), "PgBouncer does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(Pooler { port })
}
