//! The commands and their arguments.

use clap::{Parser, Subcommand};

use super::{
    database::{self, Connected},
    error::CliError,
    fleet, keys, migrate, outbox,
    parts::{sign_in, tokens},
    serve, tenant,
};
use crate::{
    config::{Config, Database, Environment, Settings},
    core::telemetry::{self, LogFormat},
    db::roles,
    embedded,
    features::auth::SignInError,
    seed,
};

/// Tenantry: a multi-tenant booking backend. GraphQL over PostgreSQL row-level security.
///
/// Without a command, it serves the API. Every option is also an environment variable; a .env file is read.
#[derive(Parser)]
#[command(name = "tenantry", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (the default). Without DATABASE_URL, starts a private PostgreSQL with demo data
    Serve,
    /// Migrate the directory and all tenant stores, as their owner
    Migrate {
        /// Show the state of each store without changing anything
        #[arg(long)]
        status: bool,
    },
    /// Add the demo data, or the missing parts of it; refused in production
    Seed,
    /// Manage platform administrators, the operators of the deployment
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Manage the keys that sign access tokens
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// List and retry emails and other effects that failed for good
    Outbox {
        #[command(subcommand)]
        command: outbox::OutboxCommand,
    },
    /// Create, move and remove tenant stores, for servers that run without the operator's logins
    Fleet,
    /// Move, export, import or erase one tenant
    Tenant {
        #[command(subcommand)]
        command: tenant::TenantCommand,
    },
    /// Print the GraphQL schema
    Schema,
    /// Print the connection URL of the app role, for psql
    DatabaseUrl {
        /// Print the URL of the owner role instead
        #[arg(long)]
        owner: bool,
    },
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Add a platform administrator. The password is prompted for, or read from standard input
    Create {
        /// The administrator's email, for signing in
        #[arg(long)]
        email: String,
        /// The administrator's name
        #[arg(long)]
        name: String,
    },
}

impl Cli {
    /// Runs the command on a new Tokio runtime.
    ///
    /// # Errors
    /// The message for the terminal.
    pub fn run(self) -> Result<(), CliError> {
        let command = self.command.unwrap_or(Command::Serve);
        if let Command::Schema = command {
            print!("{}", crate::api::schema::sdl());
            return Ok(());
        }
        let config = Config::try_from(self.settings)?;
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(config.workers).enable_all().build();
        let threads = threads.map_err(|error| format!("cannot start the runtime: {error}"))?;
        let done = threads.block_on(command.run(&config));
        // A thread that still blocks, such as in a name lookup, must not delay the exit.
        threads.shutdown_background();
        done
    }
}

impl Command {
    async fn run(self, config: &Config) -> Result<(), CliError> {
        let _tracing = telemetry::start(log_format(config.environment), config.collector.as_deref())?;
        if let Some(point) = &config.fault {
            crate::base::fault::set(point);
        }
        match self {
            Self::Serve => serve::serve(config).await,
            Self::Migrate { status } => migrate::run(config, status).await,
            Self::Seed => add_demo_data(config).await,
            Self::Admin { command: AdminCommand::Create { email, name } } => create_admin(config, &email, &name).await,
            Self::Keys { command } => keys::run(config, &command),
            Self::Outbox { command } => outbox::run(config, &command).await,
            Self::Fleet => fleet::run(config).await,
            Self::Tenant { command } => tenant::run(config, command).await,
            Self::DatabaseUrl { owner } => print_database_url(config, owner),
            Self::Schema => Ok(()),
        }
    }
}

async fn add_demo_data(config: &Config) -> Result<(), CliError> {
    if config.environment == Environment::Production {
        return Err("demo data has publicly known passwords: refused in production".into());
    }
    let connected = Connected::to(config).await?;
    let gate = connected.gate(config)?;
    let sign_in = sign_in(&gate, tokens(config)?)?;
    seed::run(&gate, &sign_in).await?;
    gate.close();
    println!("the demo data is complete");
    connected.stop().await;
    Ok(())
}

async fn create_admin(config: &Config, email: &str, name: &str) -> Result<(), CliError> {
    use std::io::IsTerminal;
    let password = if std::io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ")?;
        if rpassword::prompt_password("Repeat password: ")? != first {
            return Err("the passwords differ".into());
        }
        first
    } else {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    let connected = Connected::to(config).await?;
    let gate = connected.gate(config)?;
    let added = sign_in(&gate, tokens(config)?)?.add_operator(email, name, password).await;
    gate.close();
    connected.stop().await;
    match added {
        Ok(true) => println!("{email} is a platform administrator"),
        Ok(false) => return Err(format!("{email} is already a platform administrator").into()),
        Err(SignInError::Invalid(_, why) | SignInError::WeakPassword(_, why)) => return Err(why.into()),
        Err(error) => return Err(format!("{error:?}").into()),
    }
    Ok(())
}

fn print_database_url(config: &Config, owner: bool) -> Result<(), CliError> {
    let url = match (&config.database, owner) {
        (Database::Given { app, .. }, false) => app.clone(),
        (Database::Given { owner, .. }, true) => owner.clone().ok_or("DATABASE_OWNER_URL is not set")?,
        (Database::Private, owner) => {
            if !embedded::in_use(&config.data_dir) {
                eprintln!("The private PostgreSQL is not running. Start it with `tenantry`.");
            }
            let role = if owner { roles::OWNER } else { roles::APP };
            embedded::connection_url(&config.data_dir, role, database::NAME)
        }
    };
    println!("{url}");
    Ok(())
}

/// The log format of an environment.
fn log_format(environment: Environment) -> LogFormat {
    match environment {
        Environment::Development => LogFormat::Text,
        Environment::Production => LogFormat::Json,
    }
}
