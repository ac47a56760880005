//! How many requests a second the server answers, compared with what its database could: `just bench`. `just bench
//! scale` measures how that changes as the data grows, and `just bench against <program>` compares it with another
//! build of the server, such as the one before a change. About ten minutes each, most of them measuring.
//!
//! Load generator, server and database share the machine, so figures are comparable within one run only.
//! `BENCH_SECONDS` sets how long each measurement takes (5) and `BENCH_ROUNDS` how often it is made (3); medians are
//! reported. `BENCH_PROGRAM` selects another program than the one built with this benchmark. `train <program>` only
//! runs the load on a program, for `.ci/tuned`. Needs Debian's packages wrk and postgresql, whose pgbench is used.

#![allow(clippy::unwrap_used, reason = "a benchmark must stop at an unexpected result")]
#![allow(clippy::disallowed_methods, reason = "its settings are not the server's")]

mod against;
mod dataset;
mod deployment;
mod load;
mod pgbench;
mod report;
mod scale;
mod train;

use std::{env, fs, os::unix::fs::PermissionsExt};

use dataset::Sender;
use deployment::{Deployment, POOL, SharedByThread};
use load::Query;
use pgbench::{Script, Sending, Statement, capture};
use report::{Footprint, Line, Rates, Report, Start};
use serde_json::json;
use tempfile::TempDir;

/// Tenants of the data set.
const TENANTS: usize = 500;
/// Bookings of all of them.
const BOOKINGS: usize = 500_000;
/// Connections of the load generator, which are kept alive.
const CONNECTIONS: usize = 32;
/// How many senders' statements pgbench sends for writes, each from its own script: one tenant's bookings wait for each
/// other. For reads it sends those of one sender: with a hundred scripts it would mostly plan.
const WRITING_SCRIPTS: usize = 10;
/// Connections during the memory measurement.
const MANY_CONNECTIONS: usize = 256;

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    seconds: u64,
    rounds: usize,
}

impl Plan {
    fn from_env() -> Self {
        let number = |name, usual| env::var(name).map_or(usual, |it| it.parse().expect(name));
        Self { seconds: number("BENCH_SECONDS", 5), rounds: usize::try_from(number("BENCH_ROUNDS", 3)).unwrap() }
    }
}

#[tokio::main]
async fn main() {
    let plan = Plan::from_env();
    let _shared = SharedByThread::start();
    // Cargo adds flags of its own.
    let words: Vec<String> = env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(plan).await,
        ["scale"] => scale::run(plan).await,
        ["against", program] => against::run(plan, program).await,
        ["train", program] => train::run(program, plan.seconds).await,
        ref other => panic!("neither `scale`, `against <program>` nor `train <program>`: {other:?}"),
    }
}

/// A folder that PostgreSQL, which runs as another user, can pass through.
fn folder() -> TempDir {
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Starts a deployment in a new folder, writes a data set into it, and starts it again.
async fn prepared(folder: &TempDir, tenants: usize, bookings: usize) -> (Deployment, Vec<Sender>) {
    prepared_by(&deployment::program(), folder, tenants, bookings).await
}

/// The same with another program.
async fn prepared_by(program: &str, folder: &TempDir, tenants: usize, bookings: usize) -> (Deployment, Vec<Sender>) {
    let begun = std::time::Instant::now();
    let data = folder.path().join("data");
    let first = Deployment::start(program, &data);
    let senders = dataset::write(&first, tenants, bookings).await;
    first.stop();
    eprintln!("{tenants} tenants and {bookings} bookings written in {:.0} s", begun.elapsed().as_secs_f64());
    (Deployment::start(program, &data), senders)
}

async fn compare(plan: Plan) {
    let folder = folder();
    let (deployment, senders) = prepared(&folder, TENANTS, BOOKINGS).await;
    let warm = started(&deployment).await;
    deployment.stop();
    let deployment = Deployment::start_from_disk(&deployment::program(), &folder.path().join("data"));
    let cold = started(&deployment).await;

    let mut turn = 0;
    let mut lines = Vec::new();
    for query in Query::ALL {
        let of = if query == Query::CreateBooking { WRITING_SCRIPTS } else { 1 };
        let scripts = Box::pin(scripts(&deployment, query, &senders[..of])).await;
        let (mut runs, mut rates) = (Vec::new(), Vec::new());
        for round in 0..=plan.rounds {
            // The first round warms caches and plans.
            let seconds = if round == 0 { 2 } else { plan.seconds };
            turn += 1;
            let run = measured(&deployment, query, &senders, CONNECTIONS, seconds, turn).await;
            runs.extend((round > 0).then_some(run));
            if let Some((awaited, pipelined)) = &scripts {
                dataset::settle(&deployment).await;
                let rate = Rates {
                    awaited: awaited.run(&deployment, Sending::Awaited, CONNECTIONS, seconds),
                    awaited_by_pool: awaited.run(&deployment, Sending::Awaited, POOL, seconds),
                    pipelined: pipelined.run(&deployment, Sending::Pipelined, POOL, seconds),
                };
                rates.extend((round > 0).then_some(rate));
            }
            dataset::settle(&deployment).await;
        }
        let line = Line::new(query.name(), &runs, &rates);
        eprintln!("{line}");
        lines.push(line);
    }
    turn += 1;
    let many = measured(&deployment, Query::Mix, &senders, MANY_CONNECTIONS, plan.seconds, turn).await;
    let footprint = Footprint { cold, warm, many_connections: MANY_CONNECTIONS, many_mb: many.peak };
    let setting = format!(
        "{}: {TENANTS} tenants, {BOOKINGS} bookings, {CONNECTIONS} connections, pool of {}, {} CPUs, {} rounds of {} s",
        deployment::program().trim_start_matches(concat!(env!("CARGO_MANIFEST_DIR"), "/")),
        POOL,
        std::thread::available_parallelism().unwrap(),
        plan.rounds,
        plan.seconds
    );
    deployment.stop();
    Report { setting, lines, footprint }.publish();
}

/// Start-up figures of a server without requests.
async fn started(deployment: &Deployment) -> Start {
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    Start { ready_ms: deployment.ready.as_secs_f64() * 1_000.0, idle_mb: deployment.memory().0 }
}

/// The statements of a query for pgbench: one by one, and pipelined as the server sends them.
async fn scripts(deployment: &Deployment, query: Query, senders: &[Sender]) -> Option<(Script, Script)> {
    match query {
        Query::Login | Query::Mix => None, // Hashing is no work of the database; a mix is of the others.
        Query::Service | Query::Availability => {
            let sent = capture(deployment, senders, |it| query.body(it)).await;
            let script = || Script::new(deployment, senders, &sent, None);
            Some((script().await, script().await))
        }
        Query::Bookings => {
            let joined = capture(deployment, senders, |it| query.body(it)).await;
            let joined = Script::new(deployment, senders, &joined, None).await;
            let apart = Script::new(deployment, senders, &three_statements(deployment, senders).await, None).await;
            Some((apart, joined))
        }
        Query::CreateBooking => {
            let starts_at = load::first_start(70);
            let sent =
                capture(deployment, senders, |it| query.body(it).replace(load::STARTS_AT, &load::time(starts_at)))
                    .await;
            let script = || Script::new(deployment, senders, &sent, Some(starts_at));
            Some((script().await, script().await))
        }
    }
}

/// The list of bookings, its services, and its customers: the equivalent of the loaders' work.
async fn three_statements(deployment: &Deployment, senders: &[Sender]) -> Vec<Vec<Statement>> {
    let found = dataset::booked(deployment, senders).await;
    let body = |sender: &Sender| {
        let (services, customers) = &found[&sender.viewer.tenant];
        let services =
            services.iter().enumerate().map(|(at, id)| format!("s{at}: service(id: \"{id}\") {{ id name }}"));
        let customers = customers
            .iter()
            .enumerate()
            .map(|(at, id)| format!("c{at}: node(id: \"{id}\") {{ ... on User {{ id name }} }}"));
        let one_by_one = services.chain(customers).collect::<Vec<String>>().join(" ");
        json!({ "query": format!("{{ bookings(first: 20) {{ nodes {{ id startsAt status }} }} {one_by_one} }}") })
            .to_string()
    };
    let sent = capture(deployment, senders, body).await;
    assert!(sent.iter().all(|it| it.len() == 6), "begin, enter, three statements, commit: {sent:?}");
    sent
}

/// The result of one run of the load generator.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    load: load::Measured,
    /// CPU of the server per request, in microseconds.
    server: f64,
    /// CPU of PostgreSQL per request, in microseconds.
    database: f64,
    /// Maximum memory of the server, in MB.
    peak: f64,
}

/// Sends load for some time, and measures the resources used. Stops when a request was not answered as expected.
async fn measured(
    deployment: &Deployment,
    query: Query,
    senders: &[Sender],
    connections: usize,
    seconds: u64,
    turn: usize,
) -> Run {
    deployment.forget_peak();
    let ((good, bad), before) = (deployment.answered().await, deployment.usage());
    let booked = dataset::bookings(deployment).await;
    let load = load::run(deployment, query, senders, connections, seconds, turn);
    let after = deployment.usage();
    let peak = deployment.memory().1;
    // Requests that were still running when the time was over.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let (good_now, bad_now) = deployment.answered().await;
    assert!(bad_now == bad && good_now >= good + load.requests, "{} was refused", query.name());
    if query == Query::CreateBooking {
        let made = dataset::bookings(deployment).await - booked;
        assert!(made >= load.requests, "{made} bookings of {} requests", load.requests);
    }
    #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
    let each = |before: std::time::Duration, after: std::time::Duration| {
        (after - before).as_secs_f64() * 1e6 / load.requests as f64
    };
    Run { load, server: each(before.server, after.server), database: each(before.database, after.database), peak }
}
