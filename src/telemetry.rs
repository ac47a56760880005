//! Log lines: readable in development, JSON in production. `RUST_LOG` says how many. And metrics, as Prometheus reads them.

use std::{
    io::IsTerminal,
    sync::{LazyLock, atomic::Ordering},
    time::Duration,
};

use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::{
    config::Environment,
    db::{PoolStatus, Stats},
};

/// Starts logging for this process. Called once, by the command line.
pub fn start(environment: Environment) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,tenantry=info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start in one process (tests) keeps the first.
    let _ = match environment {
        Environment::Development => lines.compact().with_target(false).try_init(),
        Environment::Production => lines.json().flatten_event(true).try_init(),
    };
}

/// Upper ends of the latency histogram's buckets, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 30.0];

/// Of this process, from the first look on. `None` where another recorder was there first.
static METRICS: LazyLock<Option<PrometheusHandle>> = LazyLock::new(|| {
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS);
    builder.ok()?.install_recorder().ok()
});

/// Begins to count. Called once, before anything is served.
pub fn start_metrics() {
    LazyLock::force(&METRICS);
}

/// A request was answered. `code` is the first error's, or `OK`: one of a closed list, so that the number of series has an
/// end.
pub fn count_request(operation: &'static str, code: &str, took: Duration) {
    counter!("tenantry_requests_total", "operation" => operation, "code" => code.to_owned()).increment(1);
    histogram!("tenantry_request_seconds", "operation" => operation).record(took.as_secs_f64());
}

/// A document was more than was left of a budget. `whose` is `user`, `tenant` or `address`.
pub fn count_rate_limited(whose: &'static str) {
    counter!("tenantry_rate_limited_total", "budget" => whose).increment(1);
}

/// An effect of an outbox was carried out, failed, or was given up.
pub fn count_effect(outcome: &'static str) {
    counter!("tenantry_outbox_effects_total", "outcome" => outcome).increment(1);
}

/// How many tenants the last sweep found with something due.
pub fn note_due_tenants(tenants: usize) {
    gauge!("tenantry_outbox_due_tenants").set(tenants as f64);
}

/// Everything, in the text format of Prometheus.
pub fn render_metrics(stats: &Stats, pools: [(&'static str, PoolStatus); 2]) -> String {
    let Some(handle) = METRICS.as_ref() else { return String::new() };
    counter!("tenantry_transactions_total").absolute(stats.transactions.load(Ordering::Relaxed));
    counter!("tenantry_statements_total").absolute(stats.statements.load(Ordering::Relaxed));
    counter!("tenantry_abandoned_transactions_total").absolute(stats.abandoned.load(Ordering::Relaxed));
    for (pool, status) in pools {
        gauge!("tenantry_pool_connections", "pool" => pool, "state" => "open").set(status.open as f64);
        gauge!("tenantry_pool_connections", "pool" => pool, "state" => "idle").set(status.idle as f64);
        gauge!("tenantry_pool_waiting", "pool" => pool).set(status.waiting as f64);
    }
    handle.run_upkeep();
    handle.render()
}
