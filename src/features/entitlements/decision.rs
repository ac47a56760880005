//! Decides which features a tenant has.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    model::{Feature, FeatureTerm, Grant, Override, Source},
    queries,
};
use crate::{
    db::{DbError, ScopedTx},
    features::{
        tenants,
        usage::{self, Period},
    },
};

/// Whether this is a valid key of a feature or a meter: 1 to 40 letters a to z, digits and underscores, starting with a
/// letter.
pub fn is_key(text: &str) -> bool {
    let fits = text.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_');
    fits && text.len() <= 40 && text.starts_with(|it: char| it.is_ascii_lowercase())
}

/// Every feature that the plan, a rollout or an override mentions, by key.
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

/// Whether this feature is on. A feature that nothing mentions is off.
pub async fn is_enabled(tx: &ScopedTx, key: &str, now: Timestamp) -> Result<bool, DbError> {
    Ok(all(tx, now).await?.into_iter().any(|it| it.key == key && it.enabled))
}

/// Store: overrides a feature for the tenant; `None` removes the override.
pub async fn set(tx: &ScopedTx, key: &str, setting: Option<&Override>, now: Timestamp) -> Result<(), DbError> {
    match setting {
        Some(setting) => queries::upsert_override(tx, setting, now).await,
        None => queries::delete_override(tx, key).await,
    }
}

/// Decides about all features, and is the only place that does: an unexpired override, else a rollout, else the plan.
/// `quota` returns the usage and the limit of a meter.
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
        // A rollout does not change what the plan grants.
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

#[cfg(test)]
mod tests {
    use super::super::model::Rollout;
    use super::*;
    use crate::base::ids::TenantId;

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
