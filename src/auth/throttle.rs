//! How fast one may try to sign in.
//!
//! Every attempt counts in three buckets: the account from this address, the account, and the address. The first is
//! narrow, the others are wide: an attacker who empties his own leaves the owner of the account, at another address,
//! most of the account's. Buckets fill again by themselves, so nobody is locked out for good.

use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};

use super::queries;
use crate::db::{DbError, ScopedTx};

/// One bucket: so many attempts at once, then one each interval.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Attempts at once.
    pub burst: u32,
    /// Time in which one more attempt becomes free.
    pub interval: SignedDuration,
}

/// The three buckets of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct SignInLimits {
    /// One account from one address.
    pub account_and_address: Bucket,
    /// One account from anywhere.
    pub account: Bucket,
    /// One address, whatever the account.
    pub address: Bucket,
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self {
            account_and_address: Bucket { burst: 10, interval: SignedDuration::from_secs(30) },
            account: Bucket { burst: 50, interval: SignedDuration::from_secs(10) },
            address: Bucket { burst: 100, interval: SignedDuration::from_secs(2) },
        }
    }
}

/// Counts one attempt. `Err` says how long to wait when a bucket is empty; then nothing else about the attempt is looked at.
pub(super) async fn count(
    tx: &ScopedTx,
    limits: &SignInLimits,
    email: &str,
    address: Option<&str>,
    now: Timestamp,
) -> Result<Result<(), SignedDuration>, DbError> {
    let address = address.unwrap_or("unknown");
    // The narrowest first, and no further once one is empty: what is refused there must not drain the wider ones, or an
    // attacker at one address could lock the owner out at all. Always in this order, so that two attempts never wait for
    // each other.
    let buckets = [
        (key(&["account and address", email, address]), limits.account_and_address),
        (key(&["address", address]), limits.address),
        (key(&["account", email]), limits.account),
    ];
    let mut counted = Ok(());
    for (key, bucket) in buckets {
        if !queries::take_from_bucket(tx, &key, bucket.interval, bucket.burst, now).await? {
            counted = Err(bucket.interval);
            break;
        }
    }
    queries::sweep_buckets(tx, now).await?;
    Ok(counted)
}

/// A hash, because addresses and e-mails of people who never signed up are not ours to keep.
fn key(parts: &[&str]) -> Vec<u8> {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish().as_ref().to_vec()
}
