//! An HTTP client that is created on first use: a server without outgoing calls needs no certificate authorities, and
//! one without them reports it when a call is made.

use std::{error::Error, sync::OnceLock};

use reqwest::{Client, ClientBuilder};

/// An HTTP client created on first use; see the module.
pub struct LazyClient {
    builder: fn(Settings) -> ClientBuilder,
    settings: Settings,
    made: OnceLock<Client>,
}

/// The settings passed to the client's builder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Whether it may reach addresses of this machine and of private networks.
    pub may_be_private: bool,
}

/// Why the client could not be created.
#[derive(Debug, thiserror::Error)]
#[error(
    "no outgoing HTTPS, because the certificate authorities of this system cannot be read (install the package ca-certificates, or name a file in SSL_CERT_FILE): {0}"
)]
pub struct NoClient(String);

impl LazyClient {
    /// Prepares the client without creating it.
    pub fn new(settings: Settings, builder: fn(Settings) -> ClientBuilder) -> Self {
        Self { builder, settings, made: OnceLock::new() }
    }

    /// The client. If its creation failed, the next caller tries again.
    ///
    /// # Errors
    /// [`NoClient`] with every cause.
    pub fn get(&self) -> Result<&Client, NoClient> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = (self.builder)(self.settings).build().map_err(|error| NoClient(causes(&error)))?;
        Ok(self.made.get_or_init(|| made))
    }
}

/// An error with all of its causes: reqwest's own text is only "builder error".
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_made_says_every_cause() {
        // Provokes another of the builder's refusals, in place of a system without certificates.
        let client = LazyClient::new(Settings::default(), |_| Client::builder().user_agent("\n"));
        let why = client.get().unwrap_err().to_string();
        assert!(why.contains("ca-certificates") && why.contains("builder error: "), "{why}");
        assert!(LazyClient::new(Settings::default(), |_| Client::builder()).get().is_ok());
    }
}
