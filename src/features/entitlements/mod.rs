//! What a tenant may use: decided by one function, from an override, a roll-out and the plan, in this order.

pub mod graphql;
mod queries;

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    db::{DbError, ScopedTx},
    ids::TenantId,
    tenants,
    usage::{self, Period},
};

/// What a plan says of a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FeatureTerm {
    /// It is on.
    Switch(String),
    /// So much of it.
    Number {
        /// Its name for programs.
        key: String,
        /// So much.
        number: i64,
    },
    /// On for as long as the meter is below its limit.
    Metered {
        /// Its name for programs.
        key: String,
        /// Which meter.
        meter: String,
    },
}

impl FeatureTerm {
    /// Its name for programs.
    pub fn key(&self) -> &str {
        match self {
            Self::Switch(key) | Self::Number { key, .. } | Self::Metered { key, .. } => key,
        }
    }
}

/// What a feature grants beside being on or off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Nothing.
    Switch,
    /// So much.
    Number(i64),
    /// What is left of a meter's quota.
    Metered {
        /// Which meter.
        meter: String,
        /// Used in the present month.
        used: i64,
        /// Of at most so much; `None` without a limit.
        limit: Option<i64>,
    },
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The plan.
    Plan,
    /// A platform administrator, for this tenant.
    Override,
    /// A roll-out, into whose part this tenant falls.
    Rollout,
}

/// A feature of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name for programs.
    pub key: String,
    /// Whether it is on.
    pub enabled: bool,
    /// What it grants.
    pub grant: Grant,
    /// Who says so.
    pub source: Source,
    /// When the override ends.
    pub expires_at: Option<Timestamp>,
}

/// An override of one tenant's feature.
#[derive(Clone, Debug)]
pub struct Override {
    /// Which feature.
    pub key: String,
    /// On or off.
    pub enabled: bool,
    /// So much of it, instead of the plan's number.
    pub number: Option<i64>,
    /// From then on the plan counts again.
    pub expires_at: Option<Timestamp>,
}

/// Whether this can be the name of a feature or a meter: 1 to 40 letters a to z, digits and underscores, a letter first.
pub fn is_key(text: &str) -> bool {
    let fits = text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_');
    fits && text.len() <= 40 && text.starts_with(|it: char| it.is_ascii_lowercase())
}

/// Every feature that the plan, a roll-out or an override speaks of, by key.
///
/// # Errors
/// When a statement fails.
pub async fn all(tx: &ScopedTx, now: Timestamp) -> Result<Vec<Feature>, DbError> {
    let (tenant, overrides) = futures_util::join!(tenants::current(tx), queries::overrides(tx));
    let (tenant, overrides) = (tenant?, overrides?);
    let terms: Vec<FeatureTerm> =
        tenant.plan_features.iter().filter_map(|it| FeatureTerm::deserialize(it).ok()).collect();
    let used = if terms.iter().any(|it| matches!(it, FeatureTerm::Metered { .. })) {
        usage::used_of_all(tx, Period::month_of(now, &tenant.time_zone)).await?
    } else {
        HashMap::new()
    };
    Ok(decide(
        terms,
        &tenant.rollouts,
        overrides,
        |meter| (used.get(meter).copied().unwrap_or(0), tenant.limits.of(meter)),
        now,
    ))
}

/// Whether this feature is on. One that nobody speaks of is off.
///
/// # Errors
/// When a statement fails.
pub async fn is_enabled(tx: &ScopedTx, key: &str, now: Timestamp) -> Result<bool, DbError> {
    Ok(all(tx, now).await?.into_iter().any(|it| it.key == key && it.enabled))
}

/// Store: switches a feature on or off for the tenant, or gives it a number of it; `None` leaves it to the plan again.
///
/// # Errors
/// When the statement fails.
pub async fn set(tx: &ScopedTx, key: &str, setting: Option<&Override>, now: Timestamp) -> Result<(), DbError> {
    match setting {
        Some(setting) => queries::upsert_override(tx, setting, now).await,
        None => queries::delete_override(tx, key).await,
    }
}

/// The one place that decides: an override that has not expired, else a roll-out, else the plan.
/// `quota` tells how much of a meter is used, and of at most how much.
fn decide(
    terms: Vec<FeatureTerm>,
    rollouts: &[String],
    overrides: Vec<Override>,
    quota: impl Fn(&str) -> (i64, Option<i64>),
    now: Timestamp,
) -> Vec<Feature> {
    let mut features: BTreeMap<String, Feature> = BTreeMap::new();
    for term in terms {
        let (enabled, grant) = match &term {
            FeatureTerm::Switch(_) => (true, Grant::Switch),
            FeatureTerm::Number { number, .. } => (*number > 0, Grant::Number(*number)),
            FeatureTerm::Metered { meter, .. } => {
                let (used, limit) = quota(meter);
                let enabled = limit.is_none_or(|most| used < most);
                (enabled, Grant::Metered { meter: meter.clone(), used, limit })
            }
        };
        let key = term.key().to_owned();
        features.insert(key.clone(), Feature { key, enabled, grant, source: Source::Plan, expires_at: None });
    }
    for key in rollouts {
        let known = features.get(key).map(|it| it.grant.clone());
        // What the plan grants already, it goes on granting.
        if features.get(key).is_none_or(|it| !it.enabled) {
            let grant = known.unwrap_or(Grant::Switch);
            let feature = Feature { key: key.clone(), enabled: true, grant, source: Source::Rollout, expires_at: None };
            features.insert(key.clone(), feature);
        }
    }
    for it in overrides.into_iter().filter(|it| it.expires_at.is_none_or(|end| end > now)) {
        let known = features.remove(&it.key).map(|it| it.grant);
        let grant = match (it.number, known) {
            (Some(number), _) => Grant::Number(number),
            (None, Some(known)) => known,
            (None, None) => Grant::Switch,
        };
        let (key, expires_at) = (it.key.clone(), it.expires_at);
        features.insert(it.key, Feature { key, enabled: it.enabled, grant, source: Source::Override, expires_at });
    }
    features.into_values().collect()
}

/// How far a feature is rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Which feature.
    pub key: String,
    /// To so many of a hundred tenants, of 0 to 100.
    pub percentage: i32,
    /// Counts the changes of all roll-outs.
    pub epoch: i64,
}

impl Rollout {
    /// Whether it has come to this tenant. A rise keeps all whom it had come to.
    pub fn reaches(&self, tenant: TenantId) -> bool {
        // A hash of both, so that it is not always the same tenants who come first.
        let digest = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            format!("{} {}", self.key, tenant.0.simple()).as_bytes(),
        );
        let bytes = digest.as_ref();
        let part = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % 100;
        i64::from(part) < i64::from(self.percentage)
    }
}

/// Directory: how far each feature is rolled out, by key.
///
/// # Errors
/// When the statement fails.
pub async fn rollouts(directory: &ScopedTx) -> Result<Vec<Rollout>, DbError> {
    queries::rollouts(directory).await
}

/// Directory: rolls a feature out to so many of a hundred tenants; their stores hear of it by background work.
///
/// # Errors
/// When the statement fails.
pub async fn set_rollout(directory: &ScopedTx, key: &str, percentage: i32) -> Result<(), DbError> {
    queries::upsert_rollout(directory, key, percentage).await
}

/// Directory: tenants whose stores have not seen the last change of the roll-outs.
///
/// # Errors
/// When the statement fails.
pub async fn behind(directory: &ScopedTx, epoch: i64) -> Result<Vec<TenantId>, DbError> {
    queries::behind(directory, epoch).await
}

/// Directory: the scope's tenant's store has seen this change of the roll-outs.
///
/// # Errors
/// When the statement fails.
pub async fn note_seen(directory: &ScopedTx, epoch: i64) -> Result<(), DbError> {
    queries::note_seen(directory, epoch).await
}

/// Store: what is rolled out to the scope's tenant.
///
/// # Errors
/// When the statement fails.
pub async fn take_rollouts(tx: &ScopedTx, rollouts: &[Rollout]) -> Result<(), DbError> {
    let keys: Vec<&str> = rollouts.iter().filter(|it| it.reaches(tx.tenant())).map(|it| it.key.as_str()).collect();
    queries::set_rollouts(tx, &serde_json::json!(keys)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_comes_to_its_part_of_the_tenants_and_never_leaves_on_its_rise() {
        let tenants: Vec<TenantId> = (0..2_000).map(|_| TenantId::generate(Timestamp::now())).collect();
        let of = |percentage| Rollout { key: "new_calendar".into(), percentage, epoch: 1 };
        let reached = |percentage| tenants.iter().filter(|it| of(percentage).reaches(**it)).count();
        assert_eq!((reached(0), reached(100)), (0, tenants.len()));
        assert!((300..=500).contains(&reached(20)), "{}", reached(20));
        assert!(tenants.iter().all(|it| !of(20).reaches(*it) || of(50).reaches(*it)));
        let other = Rollout { key: "other".into(), percentage: 20, epoch: 1 };
        assert!(tenants.iter().any(|it| of(20).reaches(*it) != other.reaches(*it)), "not always the same ones");
    }

    #[test]
    fn an_override_outweighs_a_rollout_and_both_the_plan() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let plan = || {
            let number = FeatureTerm::Number { key: "locations".into(), number: 3 };
            let metered = FeatureTerm::Metered { key: "texting".into(), meter: "sms".into() };
            vec![FeatureTerm::Switch("branding".into()), number, metered]
        };
        let set = |key: &str, enabled, number, expires_at| Override { key: key.into(), enabled, number, expires_at };
        let all = |overrides, now, used| {
            let rollouts = ["calendar".to_owned(), "branding".to_owned()];
            let features = decide(plan(), &rollouts, overrides, |_| (used, Some(10)), at(now));
            features.into_iter().map(|it| (it.key, it.enabled, it.grant, it.source)).collect::<Vec<_>>()
        };
        let sms = |used| Grant::Metered { meter: "sms".into(), used, limit: Some(10) };
        let plain = |used, texting| {
            vec![
                ("branding".to_owned(), true, Grant::Switch, Source::Plan),
                ("calendar".to_owned(), true, Grant::Switch, Source::Rollout),
                ("locations".to_owned(), true, Grant::Number(3), Source::Plan),
                ("texting".to_owned(), texting, sms(used), Source::Plan),
            ]
        };
        assert_eq!(all(vec![], 0, 9), plain(9, true));
        assert_eq!(all(vec![], 0, 10), plain(10, false));
        let overrides = || {
            vec![
                set("branding", false, None, Some(at(100))),
                set("calendar", false, None, None),
                set("locations", true, Some(7), Some(at(100))),
            ]
        };
        let before = all(overrides(), 99, 0);
        assert_eq!(before[0], ("branding".to_owned(), false, Grant::Switch, Source::Override));
        assert_eq!(before[1], ("calendar".to_owned(), false, Grant::Switch, Source::Override));
        assert_eq!(before[2], ("locations".to_owned(), true, Grant::Number(7), Source::Override));
        let after = all(overrides(), 100, 0);
        assert_eq!((after[0].3, after[1].3, after[2].3), (Source::Plan, Source::Override, Source::Plan));
    }

    #[test]
    fn keys_are_names_of_programs() {
        for good in ["a", "sms_sent", "a1"] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "1a", "_a", "A", "a-b", "ä", &"a".repeat(41)] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
