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
    /// Its name for programs.
    pub key: String,
    /// Whether it is on. One with a number is on where that is more than 0, a metered one while its quota lasts.
    pub enabled: bool,
    /// What it grants.
    pub kind: FeatureKind,
    /// So much of it; of a metered one, what is left in the present calendar month. Null for a switch, and where there is no
    /// limit.
    pub number: Option<i64>,
    /// Which meter, for a metered one.
    pub meter: Option<String>,
    /// Who says so.
    pub source: FeatureSource,
    /// Whether the platform switched it for this tenant, whatever its plan says.
    pub overridden: bool,
    /// When the plan counts again.
    pub expires_at: Option<DateTime>,
}

/// What a feature grants.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum FeatureKind {
    /// It is on or off.
    Boolean,
    /// So much of it.
    Number,
    /// On for as long as a meter is below its limit.
    Metered,
}

/// Who decided about a feature.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Source")]
pub enum FeatureSource {
    /// The plan.
    Plan,
    /// The platform, for this tenant.
    Override,
    /// A roll-out that has come to this tenant.
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
