//! Features and their sources.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A feature in the terms of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FeatureTerm {
    /// The feature is on.
    Switch(String),
    /// A number, such as of allowed locations.
    Number {
        /// The key for programs.
        key: String,
        /// The number.
        number: i64,
    },
    /// On as long as the meter is below its limit.
    Metered {
        /// The key for programs.
        key: String,
        /// The meter.
        meter: String,
    },
}

impl FeatureTerm {
    /// The key for programs.
    pub fn key(&self) -> &str {
        match self {
            Self::Switch(key) | Self::Number { key, .. } | Self::Metered { key, .. } => key,
        }
    }
}

/// What a feature grants besides being on or off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Nothing else.
    Switch,
    /// A number.
    Number(i64),
    /// The quota of a meter.
    Metered {
        /// The meter.
        meter: String,
        /// The usage in the current month.
        used: i64,
        /// The limit; `None` without one.
        limit: Option<i64>,
    },
}

/// Where a decision comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The plan.
    Plan,
    /// A platform administrator's override for this tenant.
    Override,
    /// A rollout that includes this tenant.
    Rollout,
}

/// A feature of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The key for programs.
    pub key: String,
    /// Whether it is on.
    pub enabled: bool,
    /// What it grants.
    pub grant: Grant,
    /// Where the decision comes from.
    pub source: Source,
    /// When the override expires.
    pub expires_at: Option<Timestamp>,
}

/// An override of one tenant's feature.
#[derive(Clone, Debug)]
pub struct Override {
    /// The feature.
    pub key: String,
    /// On or off.
    pub enabled: bool,
    /// A number that replaces the plan's.
    pub number: Option<i64>,
    /// When the override expires.
    pub expires_at: Option<Timestamp>,
}

/// The rollout of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The feature.
    pub key: String,
    /// The percentage of tenants, 0 to 100.
    pub percentage: i32,
    /// Increases with each change of any rollout.
    pub epoch: i64,
}
