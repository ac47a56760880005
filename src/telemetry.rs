//! Log lines: readable in development, JSON in production. `RUST_LOG` says how many.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::Environment;

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
