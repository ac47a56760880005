//! The program: reads `.env`, parses the command line, runs the command.

use clap::Parser;
use mimalloc::MiMalloc;
use tenantry::cli::Cli;

/// A request makes and drops hundreds of small values: docs/performance.md has what this one saves of them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    // Before any thread is started, because it changes the environment.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        eprintln!("tenantry: .env cannot be read: {error}");
        return std::process::ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tenantry: no threads can be started: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli.run()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenantry: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
