//! How often callers are refused. A flood of refused requests must not fill the log, so each process counts them and
//! records the first, the tenth, the hundredth and so on, with how many there were since the last record.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::base::ids::{TenantId, UserId};

/// After this time without a record the next refusal is recorded again.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// Callers and fields whose counts are kept. Beyond that the least used are forgotten, and recorded again.
const MANY: usize = 10_000;
/// The factor between two records.
const STEP: usize = 10;

/// The refusals of this process, by tenant, user and field.
#[derive(Debug)]
pub struct Refusals(Cache<(TenantId, UserId, String), Arc<Mutex<Count>>>);

#[derive(Debug)]
struct Count {
    recorded_at: Timestamp,
    total: usize,
    recorded: usize,
    next: usize,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Cache::new(MANY))
    }
}

impl Refusals {
    /// Counts refusals of a field. Returns how many to record now, those counted since the last record included; `None`
    /// when nothing is to be recorded yet.
    pub fn count(&self, tenant: TenantId, user: UserId, field: &str, times: usize, now: Timestamp) -> Option<usize> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(Count::starting(now))));
        let Ok(count) = self.0.get_or_insert_with(&(tenant, user, field.to_owned()), fresh);
        let mut count = count.lock();
        if now.duration_since(count.recorded_at) > WINDOW {
            let unrecorded = count.total - count.recorded;
            *count = Count { total: unrecorded, ..Count::starting(now) };
        }
        count.total = count.total.saturating_add(times);
        if count.total < count.next {
            return None;
        }
        let due = count.total - count.recorded;
        while count.next <= count.total && count.next < usize::MAX {
            count.next = count.next.saturating_mul(STEP);
        }
        (count.recorded, count.recorded_at) = (count.total, now);
        Some(due)
    }
}

impl Count {
    fn starting(now: Timestamp) -> Self {
        Self { recorded_at: now, total: 0, recorded: 0, next: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_recorded_in_a_few_entries_whose_counts_add_up() {
        let (refusals, tenant, user) = (Refusals::default(), TenantId(uuid::Uuid::nil()), UserId(uuid::Uuid::nil()));
        let now = Timestamp::UNIX_EPOCH;
        let recorded: Vec<usize> = (0..1_000).filter_map(|_| refusals.count(tenant, user, "users", 1, now)).collect();
        assert_eq!(recorded, [1, 9, 90, 900]);
        assert_eq!(refusals.count(tenant, user, "audit", 3, now), Some(3), "another field");
        assert_eq!(refusals.count(tenant, UserId(uuid::Uuid::max()), "users", 1, now), Some(1), "another user");
        assert_eq!(refusals.count(tenant, user, "users", 5, now), None);
        let later = now + SignedDuration::from_hours(2);
        assert_eq!(refusals.count(tenant, user, "users", 1, later), Some(6), "with those not recorded yet");
    }
}
