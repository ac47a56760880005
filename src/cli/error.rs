//! How a command fails.

/// Everything that can stop a command, as a message for whoever typed it.
pub type CliError = Box<dyn std::error::Error + Send + Sync>;
