//! Hashes passwords with Argon2id, off the async threads and behind a gate.
//!
//! A hash costs about 60 ms of one core and 19 MiB, so a flood of logins must queue here and nowhere else: few hashes
//! run at a time, a bounded number wait, and further callers are refused.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{
        PasswordHasher, PasswordVerifier,
        phc::{Output, PasswordHash, Salt},
    },
};
use tokio::sync::Semaphore;

use super::password_policy;
use crate::base::{counted::Counted, random};

/// Why a password could not be hashed or checked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PasswordsError {
    /// The queue is full.
    #[error("too many concurrent sign-ins")]
    Busy,
    /// Hashing failed: an internal error.
    #[error("a password could not be hashed: {0}")]
    Hashing(String),
}

/// The cost of a hash.
#[derive(Clone, Copy, Debug)]
pub struct PasswordCost {
    /// Memory for one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// The first choice of OWASP's password storage cheat sheet for argon2id with 19 MiB.
    fn default() -> Self {
        Self { memory_kib: 19_456, passes: 2 }
    }
}

/// Hashes and verifies passwords.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    /// A hash that matches no password. It is verified when there is no user, so that both cases cost the same.
    dummy_hash: Arc<str>,
    running: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
    done: Arc<AtomicUsize>,
}

impl Passwords {
    /// Creates a hasher that runs half as many hashes at a time as there are cores and queues 64 for each core.
    ///
    /// # Errors
    /// When the cost is outside the range that Argon2 allows.
    pub fn try_new(cost: PasswordCost) -> Result<Self, PasswordsError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_gate(cost, (cores / 2).max(1), 64 * cores)
    }

    /// Creates a hasher with this many concurrent hashes and a queue of this length.
    ///
    /// # Errors
    /// When the cost is outside the range that Argon2 allows.
    pub fn with_gate(cost: PasswordCost, width: usize, max_waiting: usize) -> Result<Self, PasswordsError> {
        let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(hashing)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self {
            dummy_hash: hash_of_nothing(argon2.params())?.into(),
            argon2,
            running: Arc::new(Semaphore::new(width)),
            waiting: Arc::default(),
            max_waiting,
            done: Arc::default(),
        })
    }

    /// Computes a new hash, in PHC string format.
    ///
    /// # Errors
    /// [`PasswordsError::Busy`] when the queue is full.
    pub async fn hash(&self, password: String) -> Result<String, PasswordsError> {
        self.gated(move |argon2| argon2.hash_password(password.as_bytes()).map(|it| it.to_string()).map_err(hashing))
            .await?
    }

    /// Computes a new hash, or returns the message for a password that is too weak (`password_policy::weakness`). The
    /// check takes as long as a hash, so it waits in the same queue.
    ///
    /// # Errors
    /// [`PasswordsError::Busy`] when the queue is full.
    pub async fn hash_if_strong(
        &self,
        password: String,
        about: Vec<String>,
    ) -> Result<Result<String, &'static str>, PasswordsError> {
        self.gated(move |argon2| match password_policy::weakness(&password, &about) {
            Some(why) => Ok(Err(why)),
            None => argon2.hash_password(password.as_bytes()).map(|it| Ok(it.to_string())).map_err(hashing),
        })
        .await?
    }

    /// Whether the password matches the hash. Without a hash the result is `false`, at the same cost.
    ///
    /// # Errors
    /// [`PasswordsError::Busy`] when the queue is full.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordsError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy_hash.to_string());
        self.gated(move |argon2| {
            let parsed = PasswordHash::new(&hash).map_err(hashing)?;
            Ok(argon2.verify_password(password.as_bytes(), &parsed).is_ok() && known)
        })
        .await?
    }

    /// Whether a hash was computed with another cost than the current one and should be replaced.
    pub fn is_outdated(&self, hash: &str) -> bool {
        let today = self.argon2.params();
        PasswordHash::new(hash).ok().and_then(|it| Params::try_from(&it).ok()).is_none_or(|it| {
            (it.m_cost(), it.t_cost(), it.p_cost()) != (today.m_cost(), today.t_cost(), today.p_cost())
        })
    }

    /// The number of hashes computed since the start, for known and unknown users.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    async fn gated<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T, PasswordsError> {
        let place = Counted::up_to(self.max_waiting, &self.waiting).ok_or(PasswordsError::Busy)?;
        let permit = self.running.clone().acquire_owned().await.map_err(hashing)?;
        drop(place);
        let (argon2, done) = (self.argon2.clone(), self.done.clone());
        // The permit moves into the task: a caller that disconnects does not free a slot while its hash still runs.
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            done.fetch_add(1, Ordering::Relaxed);
            work(&argon2)
        });
        task.await.map_err(hashing)
    }
}

/// A hash that costs as much to verify as any other and that matches no password: random bytes in place of a password's
/// hash. It is not computed by hashing, because an idle server would keep the memory for that.
fn hash_of_nothing(params: &Params) -> Result<String, PasswordsError> {
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params.try_into().map_err(hashing)?,
        salt: Some(Salt::new(&random::bytes::<16>()).map_err(hashing)?),
        hash: Some(Output::new(&random::bytes::<32>()).map_err(hashing)?),
    };
    Ok(hash.to_string())
}

fn hashing(error: impl std::fmt::Display) -> PasswordsError {
    PasswordsError::Hashing(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: PasswordCost = PasswordCost { memory_kib: 8, passes: 1 };

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let passwords = Passwords::try_new(CHEAP).unwrap();
        let hash = passwords.hash("demo-demo-demo".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert!(passwords.verify("demo-demo-demo".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("demo-demo-demO".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("demo-demo-demo".into(), None).await.unwrap());
    }

    /// The duration of a sign-in must not reveal whether the user exists.
    #[tokio::test]
    async fn the_hash_of_nobody_is_like_any_other() {
        let passwords = Passwords::try_new(CHEAP).unwrap();
        let hash = passwords.hash("demo-demo-demo".into()).await.unwrap();
        let (one, nobodys) = (PasswordHash::new(&hash).unwrap(), PasswordHash::new(&passwords.dummy_hash).unwrap());
        assert_eq!((nobodys.algorithm, nobodys.version, &nobodys.params), (one.algorithm, one.version, &one.params));
        let lengths = |it: &PasswordHash| (it.salt.as_ref().unwrap().len(), it.hash.as_ref().unwrap().len());
        assert_eq!(lengths(&nobodys), lengths(&one));
        assert_ne!(Passwords::try_new(CHEAP).unwrap().dummy_hash, passwords.dummy_hash);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_places_come_back() {
        let passwords = Passwords::with_gate(CHEAP, 1, 2).unwrap();
        let held = passwords.running.clone().acquire_owned().await.unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.hash("x".into()).await })
            })
            .collect();
        while passwords.waiting.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(passwords.hash("x".into()).await, Err(PasswordsError::Busy)));
        drop(held);
        for it in waiting {
            assert!(it.await.unwrap().is_ok());
        }
        assert!(passwords.hash("x".into()).await.is_ok());
    }
}
