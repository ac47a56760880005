//! Features in the API.

use async_graphql::{Context, Enum, SimpleObject};

use crate::{
    api::ContextExt,
    features::entitlements::{Grant, Source},
    graphql::{ApiError, DateTime},
};

/// A feature of a tenant.
#[derive(Clone, SimpleObject)]
pub struct Feature {
    /// Its machine name.
    pub key: String,
    /// Whether it is on. A number feature is on when its number is above 0, a metered one while its quota lasts.
    pub enabled: bool,
    /// What it grants.
    pub kind: FeatureKind,
    /// The number that it grants; for a metered feature, the quota left in the current calendar month. Null for a
    /// switch, and when there is no limit.
    pub number: Option<i64>,
    /// The meter, for a metered feature.
    pub meter: Option<String>,
    /// Where the value comes from.
    pub source: FeatureSource,
    /// Whether the platform set it for this tenant, overriding the plan.
    pub overridden: bool,
    /// When the override expires and the plan applies again.
    pub expires_at: Option<DateTime>,
}

/// What a feature grants.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum FeatureKind {
    /// On or off.
    Boolean,
    /// A number.
    Number,
    /// On while a meter is below its limit.
    Metered,
}

/// The source of a feature's value.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Source")]
pub enum FeatureSource {
    /// The plan.
    Plan,
    /// An override by the platform for this tenant.
    Override,
    /// A roll-out that includes this tenant.
    Rollout,
}

impl From<crate::features::entitlements::Feature> for Feature {
    fn from(it: crate::features::entitlements::Feature) -> Self {
        let (kind, number, meter) = match it.grant {
            Grant::Switch => (FeatureKind::Boolean, None, None),
            Grant::Number(number) => (FeatureKind::Number, Some(number), None),
            Grant::Metered { meter, used, limit } => {
                (FeatureKind::Metered, limit.map(|most| (most - used).max(0)), Some(meter))
            }
        };
        Self {
            key: it.key,
            enabled: it.enabled,
            kind,
            number,
            meter,
            source: it.source.into(),
            overridden: it.source == Source::Override,
            expires_at: it.expires_at.map(DateTime),
        }
    }
}

/// Whether the caller's tenant has a feature.
pub async fn is_enabled(ctx: &Context<'_>, key: &str) -> Result<bool, ApiError> {
    let work = ctx.work()?;
    Ok(crate::features::entitlements::is_enabled(&work.tx, key, work.caller().clock.now()).await?)
}

/// Every feature of the caller's tenant.
pub async fn all(ctx: &Context<'_>) -> Result<Vec<Feature>, ApiError> {
    let work = ctx.work()?;
    let features = crate::features::entitlements::all(&work.tx, work.caller().clock.now()).await?;
    Ok(features.into_iter().map(Feature::from).collect())
}
