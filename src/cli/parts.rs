//! Building blocks that several commands share.

use std::{path::Path, sync::Arc};

use super::{error::CliError, keys};
use crate::{
    base::clock::Clock,
    config::Config,
    db::Gate,
    features::auth::{PasswordCost, Passwords, SignIn, SignInLimits, TokenSettings, Tokens},
};

/// The signing keys of the configuration or, in development, of the data folder.
pub(super) fn tokens(config: &Config) -> Result<Arc<Tokens>, CliError> {
    let settings = TokenSettings {
        issuer: config.jwt_issuer.clone(),
        audience: config.jwt_audience.clone(),
        ..TokenSettings::default()
    };
    let tokens = match &config.jwt_private_key {
        Some(key) => Tokens::try_new(key, &config.jwt_retired_public_keys, settings)?,
        None => {
            std::fs::create_dir_all(&config.data_dir)?;
            Tokens::with_key_file(&Path::new(&config.data_dir).join(keys::FILE), settings)?
        }
    };
    Ok(Arc::new(tokens))
}

pub(super) fn sign_in(gate: &Gate, tokens: Arc<Tokens>) -> Result<SignIn, CliError> {
    let passwords = Passwords::try_new(PasswordCost::default())?;
    Ok(SignIn::new(gate.clone(), passwords, tokens, SignInLimits::default(), Clock::system()))
}
