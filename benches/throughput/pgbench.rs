//! The database's own limit: pgbench with the statements that the server sends, taken from PostgreSQL's log.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use regex::{Captures, Regex};
use tenantry::db::roles;
use tokio_postgres::Client;

use crate::{dataset::Sender, deployment::Deployment, load::APART};

/// A statement as it reached the database.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// The text, with `$1` and so on.
    pub text: String,
    /// The values of its parameters; `None` is null.
    pub values: Vec<Option<String>>,
}

/// More bookings than a connection makes in a run, in starts of bookings: so all runs' bookings stay within a few
/// thousand years.
const MOST_EACH: usize = 20_000;

/// How pgbench sends the statements of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sending {
    /// Each one after the answer to the one before.
    Awaited,
    /// All at once (pipelined).
    Pipelined,
}

/// Makes PostgreSQL log every statement, sends a document as each sender, and returns the resulting transactions.
pub(crate) async fn capture(
    deployment: &Deployment,
    senders: &[Sender],
    body: impl Fn(&Sender) -> String,
) -> Vec<Vec<Statement>> {
    let superuser = deployment.superuser().await;
    log_statements(&superuser, "0").await;
    let begun = fs::metadata(deployment.database_log()).unwrap().len();
    let client = reqwest::Client::new();
    for sender in senders {
        let request = client.post(format!("http://{}/graphql", deployment.address)).bearer_auth(&sender.token);
        let answer = request.header("content-type", "application/json").body(body(sender)).send().await.unwrap();
        let text = answer.text().await.unwrap();
        assert!(!text.contains("\"code\""), "{text}");
    }
    // The client does not wait for a read's commit.
    tokio::time::sleep(Duration::from_millis(300)).await;
    log_statements(&superuser, "-1").await;
    let log = fs::read(deployment.database_log()).unwrap();
    let log = String::from_utf8_lossy(&log[usize::try_from(begun).unwrap()..]).into_owned();
    let transactions = transactions(&log);
    let of = |sender: &Sender| {
        let user = Some(sender.viewer.user.0.to_string());
        let is_his = |statements: &&Vec<Statement>| statements.iter().any(|it| it.values.get(1) == Some(&user));
        transactions.iter().rfind(is_his).cloned().expect("the transaction of a request")
    };
    senders.iter().map(of).collect()
}

async fn log_statements(superuser: &Client, milliseconds: &str) {
    superuser.batch_execute(&format!("alter system set log_min_duration_statement = {milliseconds}")).await.unwrap();
    superuser.batch_execute("select pg_reload_conf()").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// The transactions of a log, in the order in which they ended.
fn transactions(log: &str) -> Vec<Vec<Statement>> {
    let entry = Regex::new(r"^\S+ \S+ \S+ \[(\d+)\] (LOG|DETAIL):  (.*)$").unwrap();
    let executed = Regex::new(r"(?s)^duration: \S+ ms  (?:statement|execute [^:]+): (.*)$").unwrap();
    let mut entries: Vec<(String, String, String)> = Vec::new();
    for line in log.lines() {
        if let Some(found) = entry.captures(line) {
            entries.push((found[1].to_owned(), found[2].to_owned(), found[3].to_owned()));
        } else if let (Some(more), Some(last)) = (line.strip_prefix('\t'), entries.last_mut()) {
            let _ = write!(last.2, "\n{more}");
        }
    }
    let (mut open, mut ended) = (HashMap::<String, Vec<Statement>>::new(), Vec::new());
    let mut parameters_of = None;
    for (process, kind, text) in entries {
        if kind == "DETAIL" {
            if let Some(statement) = parameters_of.take().and_then(|it: String| open.get_mut(&it)?.last_mut()) {
                statement.values = values(&text);
            }
            continue;
        }
        parameters_of = None;
        let Some(found) = executed.captures(&text) else { continue };
        let statement = Statement { text: found[1].trim().to_owned(), values: Vec::new() };
        if statement.text.starts_with("begin") {
            open.insert(process.clone(), Vec::new());
        }
        let is_end = statement.text == "commit" || statement.text == "rollback";
        let Some(transaction) = open.get_mut(&process) else { continue };
        transaction.push(statement);
        if is_end {
            ended.extend(open.remove(&process));
        } else {
            parameters_of = Some(process);
        }
    }
    ended
}

/// What PostgreSQL logs of parameters: `parameters: $1 = 'it''s', $2 = NULL`.
fn values(text: &str) -> Vec<Option<String>> {
    let value = Regex::new(r"(?s)\$\d+ = (?:NULL|'((?:[^']|'')*)')").unwrap();
    value.captures_iter(text).map(|it| it.get(1).map(|it| it.as_str().replace("''", "'"))).collect()
}

/// A transaction for pgbench, one file for each sender: so each has its own parameters, as in the load.
pub(crate) struct Script {
    files: Vec<String>,
    variables: BTreeMap<String, String>,
}

impl Script {
    /// Built from the transactions of all senders. When they `write`, ids that a transaction creates differ in each
    /// run, and so do times of bookings.
    pub(crate) async fn new(
        deployment: &Deployment,
        senders: &[Sender],
        transactions: &[Vec<Statement>],
        starts_at: Option<i64>,
    ) -> Self {
        let superuser = deployment.superuser().await;
        superuser.batch_execute("set search_path = shared, pg_temp").await.unwrap();
        let mut types: HashMap<String, Vec<String>> = HashMap::new();
        let mut script =
            Self { files: Vec::new(), variables: BTreeMap::from([("none".to_owned(), "none".to_owned())]) };
        let placeholder = Regex::new(r"\$(\d+)").unwrap();
        for (number, (sender, transaction)) in senders.iter().zip(transactions).enumerate() {
            let mut text = String::new();
            if starts_at.is_some() {
                // Each run, connection and transaction uses another time: none takes another's.
                text.push_str("\\set fresh random(1, 281474976710655)\n\\set done :done + 1\n");
                writeln!(text, "\\set later (:run * 32 + :client_id) * {MOST_EACH} + :done").unwrap();
            }
            let made = Made::find(sender, transaction, starts_at);
            for statement in transaction {
                if !types.contains_key(&statement.text) {
                    let prepared = superuser.prepare(&statement.text).await;
                    let names = prepared.map(|it| it.params().iter().map(|it| it.name().to_owned()).collect());
                    types.insert(statement.text.clone(), names.unwrap_or_default());
                }
                let types = &types[&statement.text];
                let filled = placeholder.replace_all(&statement.text, |found: &Captures<'_>| {
                    let at = found[1].parse::<usize>().unwrap() - 1;
                    script.parameter(number, statement.values[at].as_deref(), &types[at], &made)
                });
                writeln!(text, "{filled};").unwrap();
            }
            script.files.push(text);
        }
        script
    }

    /// The replacement for a parameter.
    fn parameter(&mut self, sender: usize, value: Option<&str>, kind: &str, made: &Made) -> String {
        let Some(value) = value else {
            // Not the word null, from which the planner would conclude more than from a parameter.
            return format!("nullif(:none::text, 'none')::{kind}");
        };
        let next = self.variables.len();
        let known = self.variables.iter().find(|(name, it)| name.starts_with(&format!("s{sender}_")) && *it == value);
        let name = known.map_or_else(|| format!("s{sender}_{next}"), |it| it.0.clone());
        self.variables.insert(name.clone(), value.to_owned());
        made.renew(&name, value, kind)
    }

    /// Transactions a second over this many connections.
    pub(crate) fn run(&self, deployment: &Deployment, sending: Sending, connections: usize, seconds: u64) -> f64 {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut command = Command::new(bindir().join("pgbench"));
        command.args(["--no-vacuum", "--protocol", "prepared", "--jobs", "2"]);
        command.args(["--client", &connections.to_string(), "--time", &seconds.to_string()]);
        for (number, text) in self.files.iter().enumerate() {
            let path = folder.path().join(format!("{number}.sql"));
            let text = match sending {
                Sending::Awaited => text.clone(),
                Sending::Pipelined => {
                    let (settings, statements) = text.split_at(text.find("begin").unwrap());
                    format!("{settings}\\startpipeline\n{statements}\\endpipeline\n")
                }
            };
            fs::write(&path, text).unwrap();
            command.arg("--file").arg(path);
        }
        // Shared by all scripts: none books a time that another has.
        static RUNS: AtomicUsize = AtomicUsize::new(1);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        // The seed depends on the run too: otherwise it would generate the same ids again.
        command.args(["--define", "done=0", "--define", &format!("run={run}"), "--random-seed", &run.to_string()]);
        for (name, value) in &self.variables {
            command.arg("--define").arg(format!("{name}={value}"));
        }
        let output = command
            .arg(deployment.database_url(roles::APP))
            .env("PGOPTIONS", "-c search_path=shared,pg_temp")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let rate = Regex::new(r"tps = ([0-9.]+)").unwrap().captures(&text).map(|it| it[1].parse().unwrap());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{errors}");
        rate.unwrap_or_else(|| panic!("pgbench has not measured: {text}{errors}"))
    }
}

/// The values that a writing transaction creates, which must differ in each run.
struct Made {
    ids: Vec<String>,
    /// From then until the end of the booking.
    starts_at: Option<i64>,
}

impl Made {
    fn find(sender: &Sender, transaction: &[Statement], starts_at: Option<i64>) -> Self {
        let mut known: Vec<String> = sender.services.iter().map(|it| it.0.to_string()).collect();
        known.extend([sender.viewer.tenant.0, sender.viewer.user.0, sender.viewer.session.0].map(|it| it.to_string()));
        let mut ids = Vec::new();
        let id = Regex::new("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap();
        for value in transaction.iter().filter(|_| starts_at.is_some()).flat_map(|it| it.values.iter().flatten()) {
            ids.extend(id.find_iter(value).map(|it| it.as_str().to_owned()).filter(|it| !known.contains(it)));
        }
        ids.sort();
        ids.dedup();
        Self { ids, starts_at }
    }

    fn renew(&self, name: &str, value: &str, kind: &str) -> String {
        // The first twelve digits depend on the run, the others on the id.
        let renewed =
            |id: &str| format!("lpad(to_hex(:fresh::bigint), 12, '0') || '{}'", id.replace('-', "").split_at(12).1);
        if self.ids.iter().any(|it| it == value) {
            return format!("({})::{kind}", renewed(value));
        }
        if self.ids.iter().any(|it| value.contains(it)) {
            let within = |text: String, id: &String| format!("replace({text}, '{id}', {})", renewed(id));
            let found = self.ids.iter().filter(|it| value.contains(*it));
            return format!("({})::{kind}", found.fold(format!(":{name}::text"), within));
        }
        let instant = value
            .replacen(' ', "T", 1)
            .parse::<jiff::Timestamp>()
            .or_else(|_| format!("{}:00", value.replacen(' ', "T", 1)).parse());
        match (self.starts_at, instant) {
            (Some(starts_at), Ok(at))
                if kind == "timestamptz" && (starts_at..=starts_at + APART).contains(&at.as_second()) =>
            {
                format!("(:{name}::timestamptz + :later * interval '{APART} seconds')")
            }
            _ => format!(":{name}::{kind}"),
        }
    }
}

/// Where PostgreSQL's programs are: beside Debian's newest server.
fn bindir() -> std::path::PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|it| it.path().join("bin"));
    let with_pgbench = versions.filter(|it| it.join("pgbench").exists()).max();
    with_pgbench.unwrap_or_else(|| Path::new("").to_owned())
}
