//! Opaque tokens: random, and stored only as hashes.

use std::marker::PhantomData;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::base::{ids::TenantId, random};

/// The kind of an opaque token. Its prefix lets secret scanners find a leaked token, and keeps one kind from being
/// accepted as another.
pub trait TokenKind {
    /// The prefix of the token's text.
    const PREFIX: &'static str;
}

/// A token that is exchanged for a new pair of tokens.
#[derive(Clone)]
pub struct Refresh;

impl TokenKind for Refresh {
    const PREFIX: &'static str = "tnr_";
}

/// A token of a link in a mail.
#[derive(Clone)]
pub struct Link;

impl TokenKind for Link {
    const PREFIX: &'static str = "tnl_";
}

/// A token of a calendar subscription.
#[derive(Clone)]
pub struct Feed;

impl TokenKind for Feed {
    const PREFIX: &'static str = "tnc_";
}

/// A token of a link that stops reminders.
#[derive(Clone)]
pub struct Unsubscribe;

impl TokenKind for Unsubscribe {
    const PREFIX: &'static str = "tnu_";
}

/// Extends a session.
pub(super) type RefreshToken = OpaqueToken<Refresh>;

/// Opens a calendar feed.
pub type FeedToken = OpaqueToken<Feed>;

/// Stops reminders.
pub type UnsubscribeToken = OpaqueToken<Unsubscribe>;

/// A token from a mail, usable once.
pub(super) type LinkToken = OpaqueToken<Link>;

/// An opaque token: the tenant it belongs to, and 256 random bits that only its holder has.
#[derive(Clone)]
pub struct OpaqueToken<K> {
    /// Says where to look the token up; proves nothing.
    pub tenant: TenantId,
    pub(super) secret: [u8; 32],
    pub(super) kind: PhantomData<K>,
}

impl<K: TokenKind> OpaqueToken<K> {
    /// Generates a new token.
    ///
    /// # Panics
    /// When the operating system provides no randomness, without which no token is secure.
    pub fn generate(tenant: TenantId) -> Self {
        Self { tenant, secret: random::bytes(), kind: PhantomData }
    }

    /// Parses what a client sent. Returns `None` when it is not a token of this kind.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(K::PREFIX)?).ok()?;
        let (tenant, secret) = bytes.split_at_checked(16)?;
        let tenant = TenantId(Uuid::from_slice(tenant).ok()?);
        Some(Self { tenant, secret: secret.try_into().ok()?, kind: PhantomData })
    }

    /// The stored form: the token's SHA-256.
    pub fn hash(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, &self.bytes()).as_ref().to_vec()
    }

    /// The token's text, for its holder.
    pub fn expose(&self) -> String {
        format!("{}{}", K::PREFIX, URL_SAFE_NO_PAD.encode(self.bytes()))
    }

    pub(super) fn bytes(&self) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(self.tenant.0.as_bytes());
        bytes[16..].copy_from_slice(&self.secret);
        bytes
    }
}
