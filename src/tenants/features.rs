//! Features: what a plan switches on, and what a platform administrator switched on or off for one tenant.

use jiff::Timestamp;

use super::queries;
use crate::db::{DbError, ScopedTx};

/// A feature of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name for programs.
    pub key: String,
    /// Whether it is on.
    pub enabled: bool,
    /// Whether an override says so, and not the plan.
    pub overridden: bool,
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
    /// From then on the plan counts again.
    pub expires_at: Option<Timestamp>,
}

/// Every feature that the plan or an override speaks of, by key.
///
/// # Errors
/// When a statement fails.
pub async fn all(tx: &ScopedTx, now: Timestamp) -> Result<Vec<Feature>, DbError> {
    let (tenant, overrides) = futures_util::join!(queries::current(tx), queries::feature_overrides(tx));
    Ok(decide(&tenant?.plan_features, overrides?, now))
}

/// Whether this feature is on. One that nobody speaks of is off.
///
/// # Errors
/// When a statement fails.
pub async fn is_enabled(tx: &ScopedTx, key: &str, now: Timestamp) -> Result<bool, DbError> {
    Ok(all(tx, now).await?.into_iter().any(|it| it.key == key && it.enabled))
}

/// The one place that decides: an override that has not expired, else the plan.
fn decide(plan: &[String], overrides: Vec<Override>, now: Timestamp) -> Vec<Feature> {
    let of_plan = |key: &String| Feature { key: key.clone(), enabled: true, overridden: false, expires_at: None };
    let mut features: Vec<Feature> = plan.iter().map(of_plan).collect();
    for it in overrides.into_iter().filter(|it| it.expires_at.is_none_or(|end| end > now)) {
        features.retain(|known| known.key != it.key);
        features.push(Feature { key: it.key, enabled: it.enabled, overridden: true, expires_at: it.expires_at });
    }
    features.sort_by(|a, b| a.key.cmp(&b.key));
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_outweighs_the_plan_until_it_expires() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let plan = ["branding".to_owned(), "reminders".to_owned()];
        let set = |key: &str, enabled, expires_at| Override { key: key.into(), enabled, expires_at };
        let on = |overrides, now| {
            let features = decide(&plan, overrides, at(now));
            features.into_iter().filter(|it| it.enabled).map(|it| it.key).collect::<Vec<_>>()
        };
        assert_eq!(on(vec![], 0), ["branding", "reminders"]);
        let overrides = || vec![set("branding", false, Some(at(100))), set("webhooks", true, None)];
        assert_eq!(on(overrides(), 99), ["reminders", "webhooks"]);
        assert_eq!(on(overrides(), 100), ["branding", "reminders", "webhooks"]);
    }
}
