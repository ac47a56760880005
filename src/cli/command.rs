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
/// Without a command it serves. Every option is an environment variable too, and a file .env is read.
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
    /// Serve the API (the default). Without DATABASE_URL it starts a private PostgreSQL with demo data
    Serve,
    /// Bring the directory and every store of tenants up to date, as their owner
    Migrate {
        /// Show how each store stands, and change nothing
        #[arg(long)]
        status: bool,
    },
    /// Add the demo data, or what is missing of it; refused in production
    Seed,
    /// Keep platform administrators, the operators of the deployment
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Keep the keys that sign access tokens
    Keys {
        #[command(subcommand)]
        command: keys::KeysCommand,
    },
    /// See mail and other effects that were given up, and have them tried again
    Outbox {
        #[command(subcommand)]
        command: outbox::OutboxCommand,
    },
    /// Make, move and remove stores of tenants, beside servers that do not have the operator's logins
    Fleet,
    /// Move, export, import or erase one tenant
    Tenant {
        #[command(subcommand)]
        command: tenant::TenantCommand,
    },
    /// Print the GraphQL schema
    Schema,
    /// Print the connection URL of the app's role, for psql
    DatabaseUrl {
        /// Of the owner's role instead
        #[arg(long)]
        owner: bool,
    },
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Add one. The password is asked for, or read from the standard input
    Create {
        /// What he signs in with
        #[arg(long)]
        email: String,
        /// What he is called
        #[arg(long)]
        name: String,
    },
}

impl Cli {
    /// Carries the command out, on threads of its own.
    ///
    /// # Errors
    /// With a message for whoever typed it.
    pub fn run(self) -> Result<(), CliError> {
        let command = self.command.unwrap_or(Command::Serve);
        if let Command::Schema = command {
            print!("{}", crate::api::schema::sdl());
            return Ok(());
        }
        let config = Config::try_from(self.settings)?;
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(config.workers).enable_all().build();
        let threads = threads.map_err(|error| format!("no threads can be started: {error}"))?;
        let done = threads.block_on(command.run(&config));
        // Whatever still blocks one, such as looking a name up, keeps nobody waiting for what `done` says.
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
        return Err("demo data has passwords that everybody knows: refused in production".into());
    }
    let connected = Connected::to(config).await?;
    let gate = connected.gate(config)?;
    let sign_in = sign_in(&gate, tokens(config)?)?;
    seed::run(&gate, &sign_in).await?;
    gate.close();
    println!("the demo data is there");
    connected.stop().await;
    Ok(())
}

async fn create_admin(config: &Config, email: &str, name: &str) -> Result<(), CliError> {
    use std::io::IsTerminal;
    let password = if std::io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ")?;
        if rpassword::prompt_password("Once more: ")? != first {
            return Err("the two differ".into());
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
        Ok(false) => return Err(format!("{email} is one already").into()),
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
                eprintln!("The private PostgreSQL is not running: start it with `tenantry`.");
            }
            let role = if owner { roles::OWNER } else { roles::APP };
            embedded::connection_url(&config.data_dir, role, database::NAME)
        }
    };
    println!("{url}");
    Ok(())
}

/// How a program in this environment writes its log.
fn log_format(environment: Environment) -> LogFormat {
    match environment {
        Environment::Development => LogFormat::Text,
        Environment::Production => LogFormat::Json,
    }
}
