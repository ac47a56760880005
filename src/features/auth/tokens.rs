//! Access tokens (JWT, EdDSA over Ed25519) and refresh tokens (opaque).

use std::{collections::HashMap, marker::PhantomData, path::Path};

use aws_lc_rs::{
    digest, hmac, rand,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash},
};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};

use super::opaque_tokens::RefreshToken;
use crate::core::identity::{Actor, PlatformViewer, Role, Viewer};

/// Tolerated clock skew between servers, in seconds.
const LEEWAY_SECONDS: u64 = 5;

/// How many verified tokens are cached: about five megabytes.
const REMEMBERED: usize = 10_000;

/// Why no signing keys are available.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The PEM is not an Ed25519 key.
    #[error("not an Ed25519 {0} key in PEM format: generate one with `openssl genpkey -algorithm ed25519`")]
    Invalid(&'static str),
    /// The key file could not be read or written.
    #[error("cannot read or write the signing key in {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// Issuer, audience and lifetimes of tokens.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// Claim `iss`, the URL of this deployment.
    pub issuer: String,
    /// Claim `aud`, the API that the tokens are for.
    pub audience: String,
    /// Lifetime of an access token.
    pub access_life: SignedDuration,
    /// Lifetime of a refresh token, counted from each refresh.
    pub refresh_life: SignedDuration,
    /// Maximum lifetime of a session, counted from sign-in, however often it is refreshed.
    pub session_life: SignedDuration,
}

impl Default for TokenSettings {
    /// 15 minutes, 30 days and 90 days.
    fn default() -> Self {
        Self {
            issuer: "tenantry".into(),
            audience: "tenantry-api".into(),
            access_life: SignedDuration::from_mins(15),
            refresh_life: SignedDuration::from_hours(30 * 24),
            session_life: SignedDuration::from_hours(90 * 24),
        }
    }
}

/// The claims of an access token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    /// The tenant; absent for a platform administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<String>,
    role: String,
    /// The session.
    sid: String,
    /// A platform administrator's email.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// The party acting as the person (RFC 8693, section 4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<ActingParty>,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// The content of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whom the token identifies.
    pub actor: Actor,
    /// The email of the platform administrator who acts as that person, if any.
    pub impersonator: Option<String>,
    /// When the token expires.
    pub expires: Timestamp,
}

/// The claim `act`.
#[derive(Debug, Serialize, Deserialize)]
struct ActingParty {
    /// The platform administrator's email.
    sub: String,
}

/// The claim `role` of platform administrators.
const PLATFORM_ROLE: &str = "PLATFORM_ADMIN";

/// Signs and verifies access tokens; derives refresh tokens.
pub struct Tokens {
    signing: EncodingKey,
    header: Header,
    /// By `kid`: the signing key's public key, and those of retired keys whose tokens are still valid.
    verifying: HashMap<String, DecodingKey>,
    jwks: JwkSet,
    public_pem: String,
    validation: Validation,
    remembered: Remembered,
    successor_key: hmac::Key,
    seal_key: hmac::Key,
    /// Issuer, audience and lifetimes.
    pub settings: TokenSettings,
}

impl Tokens {
    /// Creates the keys from the private signing key and further public keys to accept, all in PEM format.
    ///
    /// # Errors
    /// [`KeyError::Invalid`] when a key is not an Ed25519 key.
    pub fn try_new(
        private_pem: &str,
        retired_public_pems: &[String],
        settings: TokenSettings,
    ) -> Result<Self, KeyError> {
        let signing = EncodingKey::from_ed_pem(private_pem.as_bytes()).map_err(|_| KeyError::Invalid("private"))?;
        let pair = Ed25519KeyPair::from_pkcs8(signing.as_bytes()).map_err(|_| KeyError::Invalid("private"))?;
        let der: Vec<u8> = PUBLIC_KEY_HEADER.iter().chain(pair.public_key().as_ref()).copied().collect();
        let public_pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        let mut keys = vec![URL_SAFE_NO_PAD.encode(pair.public_key().as_ref())];
        for pem in retired_public_pems {
            keys.push(public_key_of_pem(pem).ok_or(KeyError::Invalid("public"))?);
        }
        let jwks: Vec<Jwk> = keys.iter().filter_map(|x| jwk(x)).collect();
        let mut verifying = HashMap::new();
        for it in &jwks {
            let key = DecodingKey::from_jwk(it).map_err(|_| KeyError::Invalid("public"))?;
            verifying.insert(it.common.key_id.clone().unwrap_or_default(), key);
        }
        let header = Header {
            kid: jwks.first().and_then(|it| it.common.key_id.clone()),
            typ: Some("at+jwt".into()), // RFC 9068
            ..Header::new(Algorithm::EdDSA)
        };
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        // Without this a token that lacks `aud` or `iss` passes.
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        // Keys for other purposes are derived from the signing key, each under its own name.
        let master = hmac::Key::new(hmac::HMAC_SHA256, signing.as_bytes());
        let derived = |name: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&master, name).as_ref());
        let successor_key = derived(b"tenantry refresh token successor");
        let seal_key = derived(b"tenantry sealed address");
        Ok(Self {
            signing,
            header,
            verifying,
            jwks: JwkSet { keys: jwks },
            public_pem,
            validation,
            remembered: Remembered::new(),
            successor_key,
            seal_key,
            settings,
        })
    }

    /// Uses the key in this file. A missing file is created with a new key (mode 0600).
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds no key.
    pub fn with_key_file(path: &Path, settings: TokenSettings) -> Result<Self, KeyError> {
        let file_error = |source| KeyError::File { path: path.display().to_string(), source };
        let pem = match std::fs::read_to_string(path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let pem = generate_private_pem()?;
                write_private(path, &pem).map_err(file_error)?;
                pem
            }
            Err(error) => return Err(file_error(error)),
        };
        let retired = match std::fs::read_to_string(retired_file(path)) {
            Ok(pem) => vec![pem],
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(file_error(error)),
        };
        Self::try_new(&pem, &retired, settings)
    }

    /// Seals a text so that only this deployment can have created it, for URLs that prove themselves: the text and its
    /// HMAC-SHA256, under a separate key.
    pub fn seal(&self, text: &str) -> String {
        let tag = hmac::sign(&self.seal_key, text.as_bytes());
        format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(tag))
    }

    /// The text that was [sealed](Self::seal); `None` for anything else.
    pub fn unseal(&self, sealed: &str) -> Option<String> {
        let (text, tag) = sealed.split_once('.')?;
        let (text, tag) = (URL_SAFE_NO_PAD.decode(text).ok()?, URL_SAFE_NO_PAD.decode(tag).ok()?);
        hmac::verify(&self.seal_key, &text, &tag).ok()?;
        String::from_utf8(text).ok()
    }

    /// Writes a new key into this file. The previous key, if any, is accepted until the next rotation.
    ///
    /// # Errors
    /// When a file cannot be read or written, or holds no key.
    pub fn rotate_key_file(path: &Path, new_pem: &str) -> Result<(), KeyError> {
        let file_error = |source| KeyError::File { path: path.display().to_string(), source };
        match std::fs::read_to_string(path) {
            Ok(old) => {
                let public = Self::try_new(&old, &[], TokenSettings::default())?.public_pem();
                write_private(&retired_file(path), &public).map_err(file_error)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(file_error(error)),
        }
        write_private(path, new_pem).map_err(file_error)
    }

    /// Generates a private key in PEM format.
    ///
    /// # Errors
    /// When the system provides no randomness.
    pub fn generate_private_pem() -> Result<String, KeyError> {
        generate_private_pem()
    }

    /// The public half of the signing key, in PEM format.
    pub fn public_pem(&self) -> String {
        self.public_pem.clone()
    }

    /// Issues an access token for this person and returns when it expires.
    ///
    /// # Errors
    /// When signing fails, which no input can cause.
    pub fn issue(&self, viewer: &Viewer, now: Timestamp) -> Result<(String, Timestamp), jsonwebtoken::errors::Error> {
        self.issue_as(viewer, None, now)
    }

    /// Issues an access token for someone who acts as this person.
    ///
    /// # Errors
    /// When signing fails, which no input can cause.
    pub fn issue_as(
        &self,
        viewer: &Viewer,
        impersonator: Option<&str>,
        now: Timestamp,
    ) -> Result<(String, Timestamp), jsonwebtoken::errors::Error> {
        let expires = whole_seconds(now + self.settings.access_life);
        let claims = Claims {
            sub: viewer.user.to_string(),
            tid: Some(viewer.tenant.to_string()),
            role: viewer.role.as_str().to_owned(),
            sid: viewer.session.to_string(),
            act: impersonator.map(|it| ActingParty { sub: it.to_owned() }),
            ..self.claims(now, expires)
        };
        Ok((jsonwebtoken::encode(&self.header, &claims, &self.signing)?, expires))
    }

    /// Issues an access token for a platform administrator, valid until this instant.
    ///
    /// # Errors
    /// When signing fails, which no input can cause.
    pub fn issue_for_platform(
        &self,
        viewer: &PlatformViewer,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Claims {
            sub: viewer.administrator.to_string(),
            role: PLATFORM_ROLE.to_owned(),
            sid: viewer.session.to_string(),
            email: Some(viewer.email.to_string()),
            ..self.claims(now, whole_seconds(expires))
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signing)
    }

    /// The claims that all tokens share.
    fn claims(&self, now: Timestamp, expires: Timestamp) -> Claims {
        Claims {
            iss: self.settings.issuer.clone(),
            aud: self.settings.audience.clone(),
            sub: String::new(),
            tid: None,
            role: String::new(),
            sid: String::new(),
            email: None,
            act: None,
            iat: now.as_second(),
            nbf: now.as_second(),
            exp: expires.as_second(),
        }
    }

    /// The content of a token; `None` when this deployment did not sign it, it has expired, or it is not valid yet.
    ///
    /// A signature is checked once, and the result is cached until the token expires. The cache says nothing about the
    /// session, which `enter` checks in every transaction.
    pub fn verify(&self, token: &str) -> Option<Verified> {
        let hash = TokenHash::of(token);
        if let Some(known) = self.remembered.find(&hash, Timestamp::now()) {
            return Some(known);
        }
        let verified = self.verify_signature(token)?;
        self.remembered.keep(hash, &verified);
        Some(verified)
    }

    fn verify_signature(&self, token: &str) -> Option<Verified> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let key = self.verifying.get(header.kid.as_deref()?)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok()?.claims;
        let session = claims.sid.parse().ok()?;
        let actor = match claims.tid {
            Some(tenant) => Actor::Person(Viewer {
                tenant: tenant.parse().ok()?,
                user: claims.sub.parse().ok()?,
                role: claims.role.parse::<Role>().ok()?,
                session,
                impersonated: claims.act.is_some(),
            }),
            None if claims.role == PLATFORM_ROLE => {
                let (administrator, email) = (claims.sub.parse().ok()?, claims.email?.into());
                Actor::Platform(PlatformViewer { administrator, session, email })
            }
            None => return None,
        };
        let expires = Timestamp::from_second(claims.exp).ok()?;
        Some(Verified { actor, impersonator: claims.act.map(|it| it.sub), expires })
    }

    /// Whether this is an Ed25519 public key in PEM format.
    pub fn is_public_key(pem: &str) -> bool {
        public_key_of_pem(pem).is_some()
    }

    /// The public keys, as served at `/.well-known/jwks.json`.
    pub fn jwks(&self) -> &JwkSet {
        &self.jwks
    }

    /// The token that follows this one. It is always the same, so that a client that lost the response gets it again.
    /// It cannot be computed without the signing key.
    pub fn successor(&self, token: &RefreshToken) -> RefreshToken {
        let tag = hmac::sign(&self.successor_key, &token.bytes());
        let mut secret = [0; 32];
        secret.copy_from_slice(tag.as_ref());
        RefreshToken { tenant: token.tenant, secret, kind: PhantomData }
    }
}

/// SHA-256 of a token: the cache holds no tokens that a reader of the server's memory could use.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct TokenHash([u8; 32]);

impl TokenHash {
    fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

/// Tokens with a verified signature, each until it expires; the number is bounded.
struct Remembered(Cache<TokenHash, Verified>);

impl Remembered {
    fn new() -> Self {
        Self(Cache::new(REMEMBERED))
    }

    fn find(&self, hash: &TokenHash, now: Timestamp) -> Option<Verified> {
        // A token that has just expired is verified again.
        self.0.get(hash).filter(|it| now < it.expires)
    }

    fn keep(&self, hash: TokenHash, verified: &Verified) {
        self.0.insert(hash, verified.clone());
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The JWK of a public key, named by its RFC 7638 thumbprint.
fn jwk(x: &str) -> Option<Jwk> {
    let mut jwk: Jwk = serde_json::from_value(serde_json::json!({
        "kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA"
    }))
    .ok()?;
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256).ok()?);
    Some(jwk)
}

/// The prefix of an Ed25519 SubjectPublicKeyInfo (RFC 8410); the 32 bytes of the key follow.
const PUBLIC_KEY_HEADER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The file with the public half of the previous key.
fn retired_file(path: &Path) -> std::path::PathBuf {
    path.with_extension("retired.pem")
}

/// The raw key at the end of a SubjectPublicKeyInfo, as base64url.
fn public_key_of_pem(pem: &str) -> Option<String> {
    let body: String = pem
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")?
        .strip_suffix("-----END PUBLIC KEY-----")?
        .split_whitespace()
        .collect();
    let der = STANDARD.decode(body).ok()?;
    let key = der.strip_prefix(PUBLIC_KEY_HEADER.as_slice())?;
    (key.len() == 32).then(|| URL_SAFE_NO_PAD.encode(key))
}

fn generate_private_pem() -> Result<String, KeyError> {
    let der = Ed25519KeyPair::generate_pkcs8v1(&rand::SystemRandom::new()).map_err(|_| KeyError::Invalid("private"))?;
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref())))
}

/// Writes a new file and renames it, so that a crash leaves no partial key. The file is readable by its owner only at
/// all times.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::TenantId;
    use uuid::Uuid;

    #[test]
    fn a_remembered_token_is_good_until_it_expires_and_no_other_is_taken_for_it() {
        let pem = Tokens::generate_private_pem().unwrap();
        let tokens = Tokens::try_new(&pem, &[], TokenSettings::default()).unwrap();
        let viewer = Viewer {
            tenant: TenantId(Uuid::now_v7()),
            user: crate::base::ids::UserId(Uuid::now_v7()),
            role: Role::Staff,
            session: crate::base::ids::SessionId(Uuid::now_v7()),
            impersonated: false,
        };
        let (token, expires) = tokens.issue(&viewer, Timestamp::now()).unwrap();
        let verified = tokens.verify(&token).unwrap();
        assert_eq!(tokens.verify(&token), Some(verified.clone()), "the second time from memory");
        let hash = TokenHash::of(&token);
        assert_eq!(tokens.remembered.find(&hash, expires - SignedDuration::from_millis(1)), Some(verified));
        assert_eq!(tokens.remembered.find(&hash, expires), None);
        // A different signature on the same claims, and different claims with the same signature.
        let (claims, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(tokens.verify(&format!("{claims}.{}", signature.replace(&signature[..4], "AAAA"))), None);
        let other = tokens.issue(&Viewer { role: Role::Admin, ..viewer }, Timestamp::now()).unwrap().0;
        assert_eq!(tokens.verify(&format!("{}.{signature}", other.rsplit_once('.').unwrap().0)), None);
        // Refused tokens are not cached.
        assert_eq!(tokens.remembered.0.len(), 1);
    }
}
