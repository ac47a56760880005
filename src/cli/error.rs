//! The error type of commands.

/// Any error that stops a command, as a message for the terminal.
pub type CliError = Box<dyn std::error::Error + Send + Sync>;
