//! Features, and why a tenant has one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
