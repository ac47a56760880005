//! The program: reads `.env`, parses the command line, runs the command.

use clap::Parser;
use mimalloc::MiMalloc;
use tenantry::cli::Cli;

/// A request allocates and frees hundreds of small values: docs/performance.md shows what this allocator saves.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    // Before any thread starts, because it changes the environment.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        eprintln!("tenantry: cannot read .env: {error}");
        return std::process::ExitCode::FAILURE;
    }
    match Cli::parse().run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenantry: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
