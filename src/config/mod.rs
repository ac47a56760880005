//! Every environment variable, parsed once. Each is a command line flag too; `.env` is read before.

mod checks;
mod model;
mod settings;

pub use model::{Config, Database, Environment, InvalidConfig, Payments};
pub use settings::Settings;
