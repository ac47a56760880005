//! Plans in the API: the same objects for tenants who read the price list and for the platform that maintains it.

use std::collections::BTreeMap;

use async_graphql::{Enum, ID, InputObject, SimpleObject};
use uuid::Uuid;

use crate::{
    base::money,
    features::{
        billing::{
            cycles::Interval,
            plans::{PlanError, PlanVersion as Version},
            terms::{Model, Price, Terms, Tier},
        },
        entitlements::FeatureTerm,
    },
    graphql::{ApiError, CurrencyCode, DateTime, Decimal, ErrorClass, Money, UserError, UserErrorCode},
};

/// A plan that tenants can subscribe to, in the version on offer; a subscription shows the version that it was made with.
#[derive(Clone, SimpleObject)]
pub struct Plan {
    /// TypeID with the prefix `pln`.
    pub id: ID,
    /// Its machine name.
    pub key: String,
    /// Its display name.
    pub name: String,
    /// The version number, from 1. A version never changes once it is published.
    pub version: i32,
    /// TypeID of the version, with the prefix `plv`.
    pub version_id: ID,
    /// When the version was published; null for a draft, which only platform administrators see.
    pub published_at: Option<DateTime>,
    /// The flat fee for one month; for a plan sold only by the year, the fee for a year.
    pub price: Money,
    /// All of its prices.
    pub prices: Vec<PlanPrice>,
    /// Days of free trial for a tenant that subscribes for the first time.
    pub trial_days: i32,
    /// The limit of each meter. A meter that is not listed has no limit.
    pub limits: Vec<PlanLimit>,
    /// Keys of the features that the plan switches on.
    pub features: Vec<String>,
    /// The same features, with what each grants.
    pub feature_terms: Vec<PlanFeature>,
}

/// The limit of a meter under a plan.
#[derive(Clone, SimpleObject)]
pub struct PlanLimit {
    /// `bookings` per calendar month; `services`, `resources` and `users` at the same time; `api_cost` per minute;
    /// every other meter per calendar month.
    pub meter: String,
    /// The maximum.
    pub limit: i32,
}

/// A feature as a plan grants it.
#[derive(Clone, SimpleObject)]
pub struct PlanFeature {
    /// Its machine name.
    pub key: String,
    /// The number that it grants; null for a switch.
    pub number: Option<i64>,
    /// For a metered feature: it is on while this meter is below its limit. Null otherwise.
    pub meter: Option<String>,
}

/// How often a price is due.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "Interval")]
pub enum BillingInterval {
    /// Every month, counted from the subscription's anchor.
    Month,
    /// Every year, counted from the subscription's anchor.
    Year,
}

/// How a price is calculated.
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum PriceModel {
    /// The same amount each period, in advance.
    Flat,
    /// An amount for each unit.
    PerUnit,
    /// Each unit at the price of the tier that it falls into.
    Graduated,
    /// All units at the price of the tier that the total falls into.
    Volume,
    /// An amount for each started package of units.
    Package,
}

/// One price of a plan.
#[derive(Clone, SimpleObject)]
pub struct PlanPrice {
    /// UUID that invoice lines refer to. It is unique across all prices and versions.
    pub id: ID,
    /// The name on an invoice line.
    pub name: String,
    /// How often it is due: flat fees in advance, usage at the end of the period.
    pub interval: BillingInterval,
    /// The meter that it prices; null for the flat fee.
    pub meter: Option<String>,
    /// How it is calculated.
    pub model: PriceModel,
    /// The exact amount of the flat fee, one unit or one package, in units of the currency; null with tiers.
    pub amount: Option<Decimal>,
    /// Number of units in a package.
    pub package_size: Option<i64>,
    /// The tiers, lowest first.
    pub tiers: Vec<PriceTier>,
    /// The currency of the amounts.
    pub currency: CurrencyCode,
}

/// A tier of a price.
#[derive(Clone, SimpleObject)]
pub struct PriceTier {
    /// The last unit of the tier; null for the last tier.
    pub up_to: Option<i64>,
    /// The exact amount of one unit.
    pub unit_amount: Decimal,
    /// An amount that is due once when any unit falls into the tier.
    pub flat_amount: Decimal,
}

impl TryFrom<Version> for Plan {
    type Error = ApiError;

    fn try_from(it: Version) -> Result<Self, ApiError> {
        let currency = it.terms.currency().map_err(ApiError::from)?;
        let flat = it.terms.flat(Interval::Month).or_else(|| it.terms.flat(Interval::Year));
        let fee = flat.and_then(|it| it.model.rate(1).ok()).unwrap_or_default();
        let minor = crate::features::billing::terms::round(fee, currency).unwrap_or(0);
        let feature = |it: &FeatureTerm| PlanFeature {
            key: it.key().to_owned(),
            number: if let FeatureTerm::Number { number, .. } = it { Some(*number) } else { None },
            meter: if let FeatureTerm::Metered { meter, .. } = it { Some(meter.clone()) } else { None },
        };
        let to_int = |it: i64| i32::try_from(it).unwrap_or(i32::MAX);
        Ok(Self {
            id: it.plan.id.to_string().into(),
            key: it.plan.key,
            name: it.plan.name,
            version: it.version,
            version_id: it.id.to_string().into(),
            published_at: it.published_at.map(DateTime),
            price: money::Money { minor, currency }.into(),
            prices: it.terms.prices.iter().map(|price| PlanPrice::new(price, currency)).collect(),
            trial_days: it.terms.trial_days,
            limits: it
                .terms
                .limits
                .iter()
                .map(|(meter, most)| PlanLimit { meter: meter.clone(), limit: to_int(*most) })
                .collect(),
            features: it.terms.features.iter().map(|it| it.key().to_owned()).collect(),
            feature_terms: it.terms.features.iter().map(feature).collect(),
        })
    }
}

impl PlanPrice {
    /// The API view of a price in this currency.
    pub fn new(price: &Price, currency: money::Currency) -> Self {
        let (model, amount, package_size, tiers) = match &price.model {
            Model::Flat { amount } => (PriceModel::Flat, Some(*amount), None, &[][..]),
            Model::PerUnit { unit } => (PriceModel::PerUnit, Some(*unit), None, &[][..]),
            Model::Package { size, amount } => (PriceModel::Package, Some(*amount), Some(*size), &[][..]),
            Model::Graduated { tiers } => (PriceModel::Graduated, None, None, tiers.as_slice()),
            Model::Volume { tiers } => (PriceModel::Volume, None, None, tiers.as_slice()),
        };
        let tier =
            |it: &Tier| PriceTier { up_to: it.up_to, unit_amount: Decimal(it.unit), flat_amount: Decimal(it.flat) };
        Self {
            id: price.id.to_string().into(),
            name: price.name.clone(),
            interval: price.interval.into(),
            meter: price.meter.clone(),
            model,
            amount: amount.map(Decimal),
            package_size,
            tiers: tiers.iter().map(tier).collect(),
            currency: CurrencyCode(currency),
        }
    }
}

/// A price of a drafted version.
#[derive(InputObject)]
pub struct PlanPriceInput {
    /// The name on an invoice line.
    name: String,
    /// How often it is due.
    interval: BillingInterval,
    /// The meter that it prices; omitted for the flat fee.
    meter: Option<String>,
    /// How it is calculated.
    model: PriceModel,
    /// The amount of the flat fee, one unit or one package, in units of the currency.
    amount: Option<Decimal>,
    /// Number of units in a package.
    package_size: Option<i64>,
    /// The tiers, lowest first; the last has no upper bound.
    tiers: Option<Vec<PriceTierInput>>,
}

/// A tier of a price.
#[derive(InputObject)]
pub struct PriceTierInput {
    /// The last unit of the tier; omitted for the last tier.
    up_to: Option<i64>,
    /// The amount of one unit; at most 9 decimals.
    unit_amount: Decimal,
    /// An amount that is due once when any unit falls into the tier. 0 by default.
    flat_amount: Option<Decimal>,
}

/// The limit of a meter.
#[derive(InputObject)]
pub struct PlanLimitInput {
    /// The meter.
    meter: String,
    /// The maximum.
    limit: i64,
}

/// A feature of a version. With neither a number nor a meter it is a switch that is on.
#[derive(InputObject)]
pub struct PlanFeatureInput {
    /// Its machine name.
    key: String,
    /// The number that it grants.
    number: Option<i64>,
    /// The feature is on while this meter is below its limit.
    meter: Option<String>,
}

/// The terms of a version.
#[derive(InputObject)]
pub struct PlanTermsInput {
    /// The currency of every price.
    currency: CurrencyCode,
    /// Days of free trial for a tenant that subscribes for the first time, 0 to 365. 0 by default.
    trial_days: Option<i32>,
    /// Its prices: at most one for each meter and interval, and one flat fee for each interval.
    prices: Vec<PlanPriceInput>,
    /// The limit of each meter. A meter that is not listed has no limit.
    limits: Vec<PlanLimitInput>,
    /// The features that it switches on.
    features: Vec<PlanFeatureInput>,
}

impl PlanTermsInput {
    /// The terms, still to be validated as a whole.
    ///
    /// # Errors
    /// `Invalid` for a price whose parts do not fit together.
    pub fn read(self) -> Result<Terms, PlanError> {
        let invalid = |field, message: &str| PlanError::Invalid(field, message.to_owned());
        let mut limits = BTreeMap::new();
        for it in self.limits {
            if limits.insert(it.meter, it.limit).is_some() {
                return Err(invalid("limits", "Each meter has one limit."));
            }
        }
        let feature = |it: PlanFeatureInput| match (it.number, it.meter) {
            (None, None) => Ok(FeatureTerm::Switch(it.key)),
            (Some(number), None) => Ok(FeatureTerm::Number { key: it.key, number }),
            (None, Some(meter)) => Ok(FeatureTerm::Metered { key: it.key, meter }),
            (Some(_), Some(_)) => Err(invalid("features", "A feature has a number or a meter, not both.")),
        };
        Ok(Terms {
            currency: self.currency.0.code().to_owned(),
            trial_days: self.trial_days.unwrap_or(0),
            prices: self.prices.into_iter().map(PlanPriceInput::read).collect::<Result<_, _>>()?,
            limits,
            features: self.features.into_iter().map(feature).collect::<Result<_, _>>()?,
        })
    }
}

impl PlanPriceInput {
    fn read(self) -> Result<Price, PlanError> {
        let tiers = |tiers: Vec<PriceTierInput>| {
            let tier = |it: PriceTierInput| Tier {
                up_to: it.up_to,
                unit: it.unit_amount.0,
                flat: it.flat_amount.map(|it| it.0).unwrap_or_default(),
            };
            tiers.into_iter().map(tier).collect()
        };
        let model = match (self.model, self.amount.map(|it| it.0), self.package_size, self.tiers) {
            (PriceModel::Flat, Some(amount), None, None) => Model::Flat { amount },
            (PriceModel::PerUnit, Some(unit), None, None) => Model::PerUnit { unit },
            (PriceModel::Package, Some(amount), Some(size), None) => Model::Package { size, amount },
            (PriceModel::Graduated, None, None, Some(of)) => Model::Graduated { tiers: tiers(of) },
            (PriceModel::Volume, None, None, Some(of)) => Model::Volume { tiers: tiers(of) },
            _ => {
                let message = "FLAT and PER_UNIT need an amount, PACKAGE an amount and a packageSize, GRADUATED and VOLUME \
                               tiers; no other fields are allowed.";
                return Err(PlanError::Invalid("prices", message.to_owned()));
            }
        };
        Ok(Price { id: Uuid::nil(), name: self.name, interval: self.interval.into(), meter: self.meter, model })
    }
}

impl From<PlanError> for ErrorClass {
    fn from(error: PlanError) -> Self {
        let mend = |code, field: &str, message: &str| Self::Mend(UserError::new(code, field, message));
        match error {
            PlanError::NotFound => mend(UserErrorCode::NotFound, "plan", "There is no such plan."),
            PlanError::NoDraft => {
                mend(UserErrorCode::NotFound, "plan", "The plan has no draft. Draft a version first.")
            }
            PlanError::KeyTaken => mend(UserErrorCode::NameTaken, "key", "Another plan has this key."),
            PlanError::Invalid(field, message) => mend(UserErrorCode::Invalid, field, &message),
            PlanError::Db(error) => error.into(),
        }
    }
}
