//! `tenantry keys`: the keys that sign access tokens.

use clap::Subcommand;

use super::CliError;
use crate::{
    config::Config,
    features::auth::{TokenSettings, Tokens},
};

/// The signing key for development, in the data folder.
pub(super) const FILE: &str = "jwt-signing-key.pem";

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Create a new signing key; tokens signed with the previous key are still accepted
    Rotate,
}

pub(super) fn run(config: &Config, command: &KeysCommand) -> Result<(), CliError> {
    match command {
        KeysCommand::Rotate => rotate(config),
    }
}

fn rotate(config: &Config) -> Result<(), CliError> {
    let new = Tokens::generate_private_pem()?;
    let Some(old) = &config.jwt_private_key else {
        let path = config.data_dir.join(FILE);
        Tokens::rotate_key_file(&path, &new)?;
        println!("{} is a new key; the previous one is still accepted. Restart the server.", path.display());
        return Ok(());
    };
    let public_of = |pem: &str| -> Result<String, CliError> {
        Ok(Tokens::try_new(pem, &[], TokenSettings::default())?.public_pem().replace('\n', "\\n"))
    };
    let (old_public, new_public) = (public_of(old)?, public_of(&new)?);
    println!("# The keys are in the environment, so change them there. Restart every server in each step.");
    println!("# 1. Make every server accept the new key:");
    println!("JWT_RETIRED_PUBLIC_KEYS=\"{new_public}\"");
    println!("# 2. Then sign with it, and still accept the old one:");
    println!("JWT_PRIVATE_KEY=\"{}\"", new.replace('\n', "\\n"));
    println!("JWT_RETIRED_PUBLIC_KEYS=\"{old_public}\"");
    println!("# 3. After an hour, when all tokens of the old key have expired, remove JWT_RETIRED_PUBLIC_KEYS.");
    Ok(())
}
