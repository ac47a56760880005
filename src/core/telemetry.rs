//! Log lines: readable in development, JSON in production; `RUST_LOG` sets the level. Also traces, and metrics for
//! Prometheus.

use std::{
    io::IsTerminal,
    sync::{LazyLock, atomic::Ordering},
    time::Duration,
};

use hyper::HeaderMap;
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::db::{PoolStatus, Stats};

/// Sends traces until it is dropped, and then sends the remaining ones.
#[derive(Default)]
pub struct Tracing(Option<SdkTracerProvider>);

impl Drop for Tracing {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            eprintln!("tenantry: cannot send the last traces: {error}");
        }
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, in development.
    Text,
    /// One JSON object per line, for log collectors in production.
    Json,
}

/// Starts logging for this process, and tracing when a collector is given. Called once, by the command line.
///
/// # Errors
/// When the exporter for traces cannot be created.
pub fn start(format: LogFormat, collector: Option<&str>) -> Result<Tracing, String> {
    let usual = match format {
        LogFormat::Text => "warn,tenantry=info,tenantry::access=warn",
        LogFormat::Json => "warn,tenantry=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.compact().with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let provider = collector.map(provider).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        // Includes every statement, which log lines leave out.
        let filter = EnvFilter::new("off,tenantry=debug");
        tracing_opentelemetry::layer().with_tracer(provider.tracer("tenantry")).with_filter(filter)
    });
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(lines).with(spans).try_init();
    Ok(Tracing(provider))
}

/// Sends spans to a collector by OTLP over HTTP, in batches.
fn provider(collector: &str) -> Result<SdkTracerProvider, String> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
        .build()
        .map_err(|error| format!("cannot send traces to {collector}: {error}"))?;
    let resource = Resource::builder().with_service_name("tenantry").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Adds a request to the trace that its headers name (W3C Trace Context), if any, and records the trace's id.
pub fn join_trace(span: &tracing::Span, headers: &HeaderMap) {
    let named = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    let mut trace = named.span().span_context().trace_id();
    if named.span().span_context().is_valid() {
        let _ = span.set_parent(named); // Without a collector the span has no trace.
    } else {
        trace = span.context().span().span_context().trace_id();
    }
    if trace != opentelemetry::TraceId::INVALID {
        span.record("trace.id", tracing::field::display(trace));
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(hyper::header::HeaderName::as_str).collect()
    }
}

/// Upper bounds of the latency histogram's buckets, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 30.0];

/// Upper bounds of the batch size histogram's buckets.
const BATCHES: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1_000.0];

/// The metrics of this process, created on first use. `None` when another recorder was installed first.
static METRICS: LazyLock<Option<PrometheusHandle>> = LazyLock::new(|| {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
        .and_then(|it| it.set_buckets_for_metric(Matcher::Suffix("_keys".into()), &BATCHES));
    builder.ok()?.install_recorder().ok()
});

/// Starts counting. Called once, before anything is served.
pub fn start_metrics() {
    LazyLock::force(&METRICS);
}

/// Counts an answered request. `code` is the first error's, or `OK`; `field` is the single root field, as the schema
/// names it. Both come from closed lists, so the number of series is bounded.
pub fn count_request(operation: &'static str, field: Option<&str>, code: &str, took: Duration) {
    let field = field.unwrap_or("none").to_owned();
    counter!("tenantry_requests_total", "operation" => operation, "field" => field, "code" => code.to_owned())
        .increment(1);
    histogram!("tenantry_request_seconds", "operation" => operation).record(took.as_secs_f64());
}

/// Counts a subscription event that was sent.
pub fn count_event(code: &str) {
    counter!("tenantry_subscription_events_total", "code" => code.to_owned()).increment(1);
}

/// Records how many sockets are open.
pub fn note_sockets(open: usize) {
    gauge!("tenantry_sockets").set(open as f64);
}

/// Adjusts the number of running operations over sockets.
pub fn note_operations(more: f64) {
    gauge!("tenantry_socket_operations").increment(more);
}

/// Counts a closed socket by its code.
pub fn count_socket_closed(code: u16) {
    counter!("tenantry_sockets_closed_total", "code" => code.to_string()).increment(1);
}

/// Records how many keys a loader requested in one statement.
pub fn note_batch(loader: &'static str, keys: usize) {
    histogram!("tenantry_loader_batch_keys", "loader" => loader).record(keys as f64);
}

/// Records how long after its due time an effect was taken.
pub fn note_lag(seconds: f64) {
    histogram!("tenantry_outbox_lag_seconds").record(seconds.max(0.0));
}

/// Counts a document that exceeded a budget. `whose` is `user`, `customers`, `tenant` or `address`.
pub fn count_rate_limited(whose: &'static str) {
    counter!("tenantry_rate_limited_total", "budget" => whose).increment(1);
}

/// Counts an outbox effect that was carried out, failed, or was given up.
pub fn count_effect(outcome: &'static str) {
    counter!("tenantry_outbox_effects_total", "outcome" => outcome).increment(1);
}

/// Records how many tenants the last sweep found with something due.
pub fn note_due_tenants(tenants: usize) {
    gauge!("tenantry_outbox_due_tenants").set(tenants as f64);
}

/// All metrics in the text format of Prometheus.
pub fn render_metrics(stats: &Stats, pools: [(&'static str, PoolStatus); 3]) -> String {
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
