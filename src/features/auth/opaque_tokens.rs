//! Tokens that say nothing: random, and kept as hashes.

use std::marker::PhantomData;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::base::{ids::TenantId, random};

/// What an opaque token is for. Its prefix marks it, so that a leaked one is found by scanners and none is ever taken for
/// another kind.
pub trait TokenKind {
    /// What it begins with.
    const PREFIX: &'static str;
}

/// For a new pair of tokens.
#[derive(Clone)]
pub struct Refresh;

impl TokenKind for Refresh {
    const PREFIX: &'static str = "tnr_";
}

/// For what a mail asks to do.
#[derive(Clone)]
pub struct Link;

impl TokenKind for Link {
    const PREFIX: &'static str = "tnl_";
}

/// For a calendar program.
#[derive(Clone)]
pub struct Feed;

impl TokenKind for Feed {
    const PREFIX: &'static str = "tnc_";
}

/// Prolongs a session.
pub(super) type RefreshToken = OpaqueToken<Refresh>;

/// Opens a calendar feed.
pub type FeedToken = OpaqueToken<Feed>;

/// Was sent by mail, and is good once.
pub(super) type LinkToken = OpaqueToken<Link>;

/// An opaque token: which tenant it belongs to, and 256 random bits that only its holder has.
#[derive(Clone)]
pub struct OpaqueToken<K> {
    /// Tells where to look it up; proves nothing.
    pub tenant: TenantId,
    pub(super) secret: [u8; 32],
    pub(super) kind: PhantomData<K>,
}

impl<K: TokenKind> OpaqueToken<K> {
    /// A new one.
    ///
    /// # Panics
    /// When the operating system has no randomness, without which nothing here is safe.
    pub fn generate(tenant: TenantId) -> Self {
        Self { tenant, secret: random::bytes(), kind: PhantomData }
    }

    /// Reads what a client sent; `None` when it never was a token of this kind.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(K::PREFIX)?).ok()?;
        let (tenant, secret) = bytes.split_at_checked(16)?;
        let tenant = TenantId(Uuid::from_slice(tenant).ok()?);
        Some(Self { tenant, secret: secret.try_into().ok()?, kind: PhantomData })
    }

    /// What is stored of it: its SHA-256.
    pub fn hash(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, &self.bytes()).as_ref().to_vec()
    }

    /// What its holder gets.
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
