//! Persisted documents: requests name them instead of sending them. They are either trusted documents of a manifest,
//! or documents that were sent before.
//!
//! With a manifest (the persisted documents of graphql-codegen), nothing else runs. Without one, automatic persisted
//! queries save clients from sending the same document again. Documents sent by users of one tenant are found only by
//! users of that tenant, so that a hash reveals nothing about what others send.

use std::{collections::HashMap, path::Path, sync::Arc};

use async_graphql::{ServerError, parser::parse_query};
use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::{Weighter, sync::Cache};

use super::{
    errors::{bad_variable, error_with_code},
    request::GraphqlRequest,
};
use crate::base::ids::TenantId;

/// Maximum size of all remembered documents together, in bytes.
const REMEMBERED_BYTES: u64 = 8 * 1024 * 1024;
/// Maximum size of a remembered document, in bytes.
const LONGEST: usize = 64 * 1024;
/// Expected number of documents.
const EXPECTED: usize = 2_000;
/// The prefix that a document id may have (GraphQL over HTTP, persisted documents).
const SHA256_PREFIX: &str = "sha256:";

/// Why the trusted documents cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("cannot read the manifest of trusted documents {0}: {1}")]
    File(String, std::io::Error),
    /// It is not a JSON object of strings.
    #[error("the manifest of trusted documents {0} is not a JSON object of id and document: {1}")]
    Format(String, serde_json::Error),
    /// A document in it does not parse.
    #[error("the manifest of trusted documents {0} contains a document that cannot be parsed: {1}")]
    Document(String, String),
}

/// The documents that may run, and those known by a hash or an id.
pub enum Documents {
    /// Only those of a manifest.
    Trusted(HashMap<String, String>),
    /// Any document; one that was sent with its hash is known by it.
    Any(Cache<(Option<TenantId>, [u8; 32]), Arc<str>, Bytes>),
}

/// Weighs a document by its bytes.
#[derive(Clone)]
pub struct Bytes;

impl<K> Weighter<K, Arc<str>> for Bytes {
    fn weight(&self, _: &K, document: &Arc<str>) -> u64 {
        document.len() as u64 + 100
    }
}

/// How a request names its document.
#[derive(Clone, Copy)]
pub enum Wanted {
    /// It does not name one.
    Unnamed,
    /// By a hash.
    Hashed([u8; 32]),
    /// By an id that is not a hash, or not only a hash.
    ById,
}

impl Wanted {
    /// Reads how a request names its document.
    ///
    /// # Errors
    /// An invalid hash or version.
    pub fn read(asked: &GraphqlRequest) -> Result<Self, Vec<ServerError>> {
        if asked.document_id.is_some() {
            return Ok(Self::ById);
        }
        let Some(named) = asked.extensions.as_ref().and_then(|it| it.get("persistedQuery")) else {
            return Ok(Self::Unnamed);
        };
        let bad =
            |field: &str, message: &str| vec![bad_variable(format!("extensions.persistedQuery.{field}"), message)];
        if named.get("version").and_then(serde_json::Value::as_i64) != Some(1) {
            return Err(bad("version", "must be 1"));
        }
        let hash = named.get("sha256Hash").and_then(serde_json::Value::as_str).and_then(read_hash);
        hash.map(Self::Hashed).ok_or_else(|| bad("sha256Hash", "must be 64 hexadecimal digits"))
    }
}

impl Documents {
    /// Allows any document.
    pub fn any() -> Self {
        Self::Any(Cache::with_weighter(EXPECTED, REMEMBERED_BYTES, Bytes))
    }

    /// Allows only those of this manifest: a JSON object of ids and documents.
    ///
    /// # Errors
    /// When the file cannot be read, or has another format.
    pub fn try_trusted(manifest: &Path) -> Result<Self, ManifestError> {
        let name = || manifest.display().to_string();
        let text = std::fs::read_to_string(manifest).map_err(|error| ManifestError::File(name(), error))?;
        let documents: HashMap<String, String> =
            serde_json::from_str(&text).map_err(|error| ManifestError::Format(name(), error))?;
        if let Some((id, _)) = documents.iter().find(|(_, document)| parse_query(document).is_err()) {
            return Err(ManifestError::Document(name(), id.clone()));
        }
        Ok(Self::Trusted(documents))
    }

    /// The document that a request refers to.
    ///
    /// # Errors
    /// When it is not known, or not trusted.
    pub fn find(
        &self,
        tenant: Option<TenantId>,
        wanted: Wanted,
        asked: &GraphqlRequest,
    ) -> Result<String, Vec<ServerError>> {
        match self {
            Self::Trusted(documents) => {
                let hash = match wanted {
                    Wanted::Hashed(hash) => Some(write_hash(&hash)),
                    Wanted::Unnamed | Wanted::ById => None,
                };
                let id = asked.document_id.as_deref().or(hash.as_deref()).unwrap_or_default();
                let known = documents.get(id).or_else(|| documents.get(id.strip_prefix(SHA256_PREFIX)?));
                known.cloned().ok_or_else(|| {
                    let message = "This server runs only trusted documents. Name one of them by its documentId.";
                    vec![error_with_code("GRAPHQL_PERSISTED_QUERY_NOT_FOUND", message)]
                })
            }
            Self::Any(known) => match (wanted, asked.query.as_deref().filter(|it| !it.trim().is_empty())) {
                (Wanted::ById, _) => {
                    let message = "This server has no manifest of documents. Send the query.";
                    Err(vec![error_with_code("GRAPHQL_PERSISTED_QUERY_NOT_FOUND", message)])
                }
                (Wanted::Hashed(hash), Some(text)) if hash_of(text) != hash => {
                    let field = "extensions.persistedQuery.sha256Hash".to_owned();
                    Err(vec![bad_variable(field, "is not the hash of the query")])
                }
                (_, Some(text)) => Ok(text.to_owned()),
                (Wanted::Hashed(hash), None) => {
                    // The exact message that clients of automatic persisted queries expect.
                    let unknown =
                        || vec![error_with_code("GRAPHQL_PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")];
                    known.get(&(tenant, hash)).map(|it| it.to_string()).ok_or_else(unknown)
                }
                (Wanted::Unnamed, None) => Ok(String::new()),
            },
        }
    }

    /// Remembers a valid document under the hash that it was sent with, if any.
    pub fn remember(&self, tenant: Option<TenantId>, wanted: Wanted, text: &str) {
        if let (Self::Any(known), Wanted::Hashed(hash)) = (self, wanted)
            && text.len() <= LONGEST
        {
            known.insert((tenant, hash), text.into());
        }
    }
}

fn hash_of(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

fn read_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit());
    for (at, byte) in hash.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    is_hex.then_some(hash)
}

fn write_hash(hash: &[u8; 32]) -> String {
    hash.iter().map(|it| format!("{it:02x}")).collect()
}
