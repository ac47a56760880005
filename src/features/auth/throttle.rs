//! Rate limits for sign-in attempts.
//!
//! Every attempt counts in three buckets: the account from this address, the account, and the address. The first is
//! narrow, the others are wide: an attacker at one address empties only their own bucket and leaves the account's to
//! its owner. Many addresses together can keep an account's bucket empty. But an address from which the account has
//! signed in before skips that bucket, so the owner can still sign in. Buckets refill over time.

use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};

use super::queries;
use crate::{
    base::network::{network, site},
    db::{DbError, ScopedTx},
};

/// How long an address counts as known for an account.
const KNOWN_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// A bucket: a burst of attempts, then one for each interval.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Attempts in one burst.
    pub burst: u32,
    /// The time after which one more attempt is available.
    pub interval: SignedDuration,
}

/// The limits of sign-in, mail and joining.
#[derive(Clone, Copy, Debug)]
pub struct SignInLimits {
    /// One account from one address.
    pub account_and_address: Bucket,
    /// One account from anywhere.
    pub account: Bucket,
    /// One address, for all accounts.
    pub address: Bucket,
    /// Requests from one address that send mail to one email.
    pub mail: Bucket,
    /// Mails with a link to one mailbox, no matter who requests them.
    pub mailbox: Bucket,
    /// Attempts of one address to use tokens or create accounts.
    pub joining: Bucket,
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self {
            account_and_address: Bucket { burst: 10, interval: SignedDuration::from_secs(30) },
            account: Bucket { burst: 100, interval: SignedDuration::from_secs(2) },
            address: Bucket { burst: 100, interval: SignedDuration::from_secs(2) },
            mail: Bucket { burst: 5, interval: SignedDuration::from_mins(5) },
            mailbox: Bucket { burst: 10, interval: SignedDuration::from_mins(30) },
            joining: Bucket { burst: 50, interval: SignedDuration::from_secs(10) },
        }
    }
}

/// Counts one attempt. Returns `Err` with the time to wait when a bucket is empty; the attempt is then not examined
/// further.
pub(super) async fn count(
    tx: &ScopedTx,
    limits: &SignInLimits,
    email: &str,
    address: Option<&str>,
    now: Timestamp,
) -> Result<Result<(), SignedDuration>, DbError> {
    let site = address.and_then(site);
    let network = address.map_or_else(|| "unknown".to_owned(), network);
    let address = network.as_str();
    // Narrowest first, stopping at the first empty bucket: an attempt that is refused there must not drain the wider
    // ones, or an attacker at one address could lock the owner out. The order is fixed, so that two attempts never
    // deadlock.
    let mut buckets = vec![
        (key(&["account and address", email, address]), limits.account_and_address),
        (key(&["address", address]), limits.address),
    ];
    buckets.extend(wide(site.as_deref(), "address", limits.address));
    if !queries::is_bucket_set(tx, &key(&["known", email, address]), now).await? {
        buckets.push((key(&["account", email]), limits.account));
    }
    take_all(tx, &buckets, now).await
}

/// Records that the account signed in from this address.
pub(super) async fn remember(tx: &ScopedTx, email: &str, address: Option<&str>, now: Timestamp) -> Result<(), DbError> {
    let network = address.map_or_else(|| "unknown".to_owned(), network);
    queries::set_bucket(tx, &key(&["known", email, &network]), now + KNOWN_LIFE).await
}

/// Counts one request that sends a mail to this email (`""` for none), or that tries a token or creates an account.
pub(super) async fn count_mail(
    tx: &ScopedTx,
    limits: &SignInLimits,
    email: &str,
    address: Option<&str>,
    now: Timestamp,
) -> Result<Result<(), SignedDuration>, DbError> {
    let network = address.map_or_else(|| "unknown".to_owned(), network);
    let mut buckets = vec![(key(&["joining", &network]), limits.joining)];
    buckets.extend(wide(address.and_then(site).as_deref(), "joining", limits.joining));
    if !email.is_empty() {
        // The key includes the address, so that requests by others in a person's name do not block that person.
        buckets.push((key(&["mail", email, &network]), limits.mail));
    }
    take_all(tx, &buckets, now).await
}

/// Counts one mail to this mailbox, from any tenant and address. When the budget is empty, the owner's own mails use a
/// reserve.
pub(super) async fn count_mailbox(
    tx: &ScopedTx,
    limits: &SignInLimits,
    email: &str,
    is_the_owners: bool,
    now: Timestamp,
) -> Result<Result<(), SignedDuration>, DbError> {
    let of = |budget: &str| [(key(&[budget, email]), limits.mailbox)];
    let counted = take_all(tx, &of("mailbox"), now).await?;
    if counted.is_ok() || !is_the_owners {
        return Ok(counted);
    }
    take_all(tx, &of("mailbox of its owner"), now).await
}

/// How many networks' worth of attempts a site has.
const NETWORKS_OF_A_SITE: u32 = 16;

/// The bucket of the site around an IPv6 network.
fn wide(site: Option<&str>, what: &str, narrow: Bucket) -> Option<(Vec<u8>, Bucket)> {
    let interval = narrow.interval / i32::try_from(NETWORKS_OF_A_SITE).unwrap_or(1);
    let bucket = Bucket { burst: narrow.burst * NETWORKS_OF_A_SITE, interval };
    site.map(|site| (key(&[what, site]), bucket))
}

async fn take_all(
    tx: &ScopedTx,
    buckets: &[(Vec<u8>, Bucket)],
    now: Timestamp,
) -> Result<Result<(), SignedDuration>, DbError> {
    let mut counted = Ok(());
    for (key, bucket) in buckets {
        if !queries::take_from_bucket(tx, key, bucket.interval, bucket.burst, now).await? {
            counted = Err(bucket.interval);
            break;
        }
    }
    queries::sweep_buckets(tx, now).await?;
    Ok(counted)
}

/// A hash, because the server should not store the addresses and emails of people who never signed up.
fn key(parts: &[&str]) -> Vec<u8> {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use crate::base::network::network;

    #[test]
    fn a_host_is_one_address_however_many_it_has() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::9"));
        assert_ne!(network("2001:db8:1:2::9"), network("2001:db8:1:3::9"));
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
    }
}
