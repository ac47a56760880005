//! Sends messages to endpoints as specified by Standard Webhooks: <https://www.standardwebhooks.com>.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use reqwest::{
    Client, ClientBuilder, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

use super::addresses::is_public;
use super::lazy::{LazyClient, Settings};

/// How long an endpoint may take to answer.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// How long connecting to it may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// A message and its destination.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The message's id, the same for every attempt: `webhook-id`.
    pub id: &'a str,
    /// The destination.
    pub url: &'a str,
    /// The body, as signed and sent.
    pub body: &'a str,
    /// The secrets that sign it, newest first.
    pub secrets: &'a [Vec<u8>],
}

/// What an endpoint answered, or why it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP status.
    Status(u16),
    /// No answer, with the reason.
    None(&'static str),
}

/// Sends webhook messages to endpoints.
#[derive(Clone)]
pub struct WebhookClient {
    http: Arc<LazyClient>,
    may_be_private: bool,
}

/// A resolver that leaves out addresses that are not public.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|it| is_public(it.ip())).collect();
            if public.is_empty() {
                return Err("the name has no public address".into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

impl WebhookClient {
    /// With `may_be_private`, private addresses and unencrypted endpoints are allowed, as development and tests need.
    pub fn new(may_be_private: bool) -> Self {
        Self { http: Arc::new(LazyClient::new(Settings { may_be_private }, builder)), may_be_private }
    }

    /// Whether messages may be sent to this address.
    ///
    /// # Errors
    /// What is wrong with the address, as a sentence for people.
    pub fn check(&self, url: &str) -> Result<(), String> {
        let url = Url::parse(url).map_err(|_| "Enter a valid URL.".to_owned())?;
        if url.scheme() != "https" && !(self.may_be_private && url.scheme() == "http") {
            return Err("The URL must start with https://.".into());
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("The URL must not contain a user name, password or fragment.".into());
        }
        let Some(host) = url.host_str() else { return Err("The URL must name a host.".into()) };
        // A host name is checked when it is resolved: its addresses may change.
        let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let is_local = host == "localhost" || host.ends_with(".localhost");
        if !self.may_be_private && (is_local || literal.is_some_and(|it| !is_public(it))) {
            return Err("The URL must point to the public internet.".into());
        }
        Ok(())
    }

    /// Fetches a URL, up to `most` bytes; `None` when the body is larger, cannot be fetched, or the address is not
    /// allowed.
    pub async fn fetch(&self, url: &str, most: usize) -> Option<Vec<u8>> {
        self.check(url).ok()?;
        let http = self.http.get().inspect_err(|error| tracing::error!(%error, "cannot send requests")).ok()?;
        let mut response = http.get(url).send().await.ok().filter(|it| it.status().is_success())?;
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.ok()? {
            if body.len() + part.len() > most {
                return None;
            }
            body.extend_from_slice(&part);
        }
        Some(body)
    }

    /// Sends a message once. Only the status of the answer counts.
    pub async fn send(&self, message: &Message<'_>, now: Timestamp) -> Answer {
        // An address that was allowed when it was saved may no longer be, after a change of the settings.
        if self.check(message.url).is_err() {
            return Answer::None("the address is not allowed");
        }
        let http = match self.http.get() {
            Ok(http) => http,
            Err(error) => {
                tracing::error!(%error, "webhooks cannot be sent");
                return Answer::None("this server cannot check certificates");
            }
        };
        let request = http
            .post(message.url)
            .header("content-type", "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", now.as_second())
            .header("webhook-signature", signatures(message, now.as_second()))
            .body(message.body.to_owned());
        match request.send().await {
            Ok(response) => Answer::Status(response.status().as_u16()),
            Err(error) if error.is_timeout() => Answer::None("no answer in time"),
            Err(error) if error.is_connect() => Answer::None("the endpoint cannot be reached"),
            Err(_) => Answer::None("the connection failed"),
        }
    }
}

fn builder(settings: Settings) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent("Tenantry-Webhooks/1")
        .timeout(ANSWER_LIMIT)
        .connect_timeout(CONNECT_LIMIT)
        // A redirect's target has not been checked.
        .redirect(redirect::Policy::none())
        .no_proxy()
        .https_only(!settings.may_be_private);
    if settings.may_be_private { builder } else { builder.dns_resolver(Arc::new(PublicOnly)) }
}

/// `v1,` and the HMAC-SHA256 of id, time and body, for each secret.
fn signatures(message: &Message<'_>, seconds: i64) -> String {
    let signed = format!("{}.{seconds}.{}", message.id, message.body);
    let sign = |secret: &Vec<u8>| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
    };
    message.secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_everybodys_are_refused() {
        let client = WebhookClient::new(false);
        for good in ["https://hooks.example.com/x?y=z", "https://1.1.1.1:8443/"] {
            assert_eq!(client.check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "hooks.example.com",
            "http://hooks.example.com",
            "ftp://x.example",
            "https://user@x.example",
            "https://x.example/#y",
            "https://localhost/",
            "https://a.localhost/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://10.0.0.1:443/",
            "file:///etc/passwd",
            "javascript:1",
        ] {
            assert!(client.check(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_that_stands_for_a_private_address_is_not_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert!(found.is_err());
        let client = WebhookClient::new(false);
        // As it would be sent, bypassing the check of the address itself.
        let sent = client.http.get().unwrap().post(format!("https://localhost:{port}/")).send().await;
        assert!(sent.unwrap_err().is_connect());
        let accepted = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(accepted.is_err(), "nobody came");
    }
}
