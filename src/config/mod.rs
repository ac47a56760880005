//! The configuration: every environment variable, parsed once. Each is also a command line flag; a `.env` file is
//! read first.

mod checks;
mod model;
mod settings;

pub use model::{Config, Database, Environment, InvalidConfig, Payments};
pub use settings::Settings;
