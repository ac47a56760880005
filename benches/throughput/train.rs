//! Runs what a program does most, for `.ci/tuned`, which optimises its layout by that.

use std::time::Duration;

use crate::{
    CONNECTIONS,
    dataset::{self, SENDERS},
    folder,
    load::Query,
    measured, prepared_by,
};

const BOOKINGS: usize = 10_000;

/// Makes the instrumented program start twice, answer each query for some seconds, and stop: then it writes its counts.
pub(crate) async fn run(program: &str, seconds: u64) {
    let folder = folder();
    let (deployment, senders) = Box::pin(prepared_by(program, &folder, SENDERS, BOOKINGS)).await;
    for (turn, query) in Query::ALL.into_iter().enumerate() {
        let run = measured(&deployment, query, &senders, CONNECTIONS, seconds, turn).await;
        eprintln!("{}: {} requests", query.name(), run.load.requests);
        dataset::settle(&deployment).await;
    }
    // Background work gets its turn too.
    tokio::time::sleep(Duration::from_secs(2)).await;
    deployment.stop();
}
