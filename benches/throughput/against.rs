//! Compares this build with another one that has the same migrations, alternating on one data set: the effect of a
//! change.

use crate::{
    BOOKINGS, CONNECTIONS, MANY_CONNECTIONS, Plan, Run, TENANTS, dataset,
    deployment::{self, Deployment},
    folder,
    load::Query,
    measured, prepared,
    report::{Start, median},
    started,
};

/// The queries; signing in is left out, because hashing takes nearly all of its time.
const QUERIES: [Query; 5] = [Query::Service, Query::Bookings, Query::CreateBooking, Query::Availability, Query::Mix];

/// A figure of a run, by name.
type Part = (&'static str, fn(&Run) -> f64);

/// The resources that one program used.
#[derive(Default)]
struct Runs {
    of: [Vec<Run>; QUERIES.len()],
    idle: Vec<f64>,
    many: Vec<f64>,
    ready: Vec<f64>,
}

/// Measures both, and prints a table: each figure of the other program, of this one, and their ratio.
pub(crate) async fn run(plan: Plan, other: &str) {
    let folder = folder();
    let (deployment, senders) = prepared(&folder, TENANTS, BOOKINGS).await;
    deployment.stop();
    let programs = [other.to_owned(), deployment::program()];
    let mut runs = [Runs::default(), Runs::default()];
    let mut turn = 0;
    for _ in 0..plan.rounds {
        for (program, runs) in programs.iter().zip(&mut runs) {
            let deployment = Deployment::start(program, &folder.path().join("data"));
            let Start { ready_ms, idle_mb } = started(&deployment).await;
            runs.ready.push(ready_ms);
            runs.idle.push(idle_mb);
            for (query, runs) in QUERIES.into_iter().zip(&mut runs.of) {
                for seconds in [1, plan.seconds] {
                    turn += 1;
                    let run = measured(&deployment, query, &senders, CONNECTIONS, seconds, turn).await;
                    runs.extend((seconds == plan.seconds).then_some(run));
                }
                dataset::settle(&deployment).await;
            }
            turn += 1;
            let many = measured(&deployment, Query::Bookings, &senders, MANY_CONNECTIONS, plan.seconds, turn).await;
            runs.many.push(many.peak);
            deployment.stop();
        }
    }
    println!("| what | other | this | ratio |\n|---|---|---|---|");
    let tell = |what: &str, of: [f64; 2]| println!("| {what} | {:.1} | {:.1} | {:.2} |", of[0], of[1], of[1] / of[0]);
    let each = |part: &dyn Fn(&Runs) -> Vec<f64>| [0, 1].map(|it| median(&part(&runs[it])).unwrap_or(f64::NAN));
    for (at, query) in QUERIES.into_iter().enumerate() {
        let parts: [Part; 4] = [
            ("requests/s", |it| it.load.rate),
            ("p99 ms", |it| it.load.p99),
            ("CPU of the server, µs", |it| it.server),
            ("CPU of PostgreSQL, µs", |it| it.database),
        ];
        for (name, part) in parts {
            tell(&format!("{}: {name}", query.name()), each(&|it| it.of[at].iter().map(part).collect()));
        }
    }
    tell("MB when idle", each(&|it| it.idle.clone()));
    tell("MB under q2 over many connections", each(&|it| it.many.clone()));
    tell("ms until ready", each(&|it| it.ready.clone()));
}
